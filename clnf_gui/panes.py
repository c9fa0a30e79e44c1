"""The docked panes: which view each holds, what of the Session it shows, and how it is painted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from PySide6.QtCore import QObject, QPoint, QRect, Qt, Signal
from PySide6.QtWidgets import QPlainTextEdit, QSplitter, QVBoxLayout, QWidget

from clnf_engine.diagnostics.magnitudes import magnitudes
from clnf_gui.commands import command
from clnf_gui.look import Worst
from clnf_gui.option_titles import lane_labels
from clnf_gui.panels.curve_choice import CurveChoice
from clnf_gui.panels.frame_bar import FrameBar
from clnf_gui.panels.lab_tools import LabTools, state_text
from clnf_gui.panels.look_choice import LookChoice
from clnf_gui.panels.map_choice import MapChoice
from clnf_gui.panels.study_bar import StudyBar
from clnf_gui.session import Session
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.lab import Activity, Record
from clnf_gui.views.convergence import ConvergenceView
from clnf_gui.views.error_view import ErrorView
from clnf_gui.views.finding_view import FindingView
from clnf_gui.views.frames_view import FramesView
from clnf_gui.views.inspector import InspectorView
from clnf_gui.views.landmark_path import LandmarkPathView
from clnf_gui.views.magnitudes_view import MagnitudesView
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.response_atlas import ResponseAtlas
from clnf_gui.views.study_view import StudyView
from clnf_gui.views.tables import ParametersView, statistics_columns, step_columns
from clnf_gui.views.worst import worst_columns

_AT_CURSOR = Aspect.SOURCE | Aspect.STEPS | Aspect.CURSOR | Aspect.LANES
_OF_RUN = Aspect.SOURCE | Aspect.STEPS | Aspect.LANES
_OF_LAB = Aspect.LAB | Aspect.START | Aspect.OPTIONS | Aspect.BUSY
_OF_VIDEO = Aspect.SOURCE | Aspect.FRAME | Aspect.TRACK | Aspect.LANES | Aspect.LOOK | Aspect.OPTIONS
_LOG_LINES = 5_000
_WORST = {
    Worst.JUMP: "Largest jump",
    Worst.LIKELIHOOD: "Lowest log-likelihood",
    Worst.UNSETTLED: "Least converged",
    Worst.LOST: "Lost or without a face",
    Worst.APART: "A and B differ most",
}


class Room(QWidget):
    """Where a view is from when it is first seen; making those that are behind tabs would take as long as a fit.

    Parameters
    ----------
    make : callable
        The view.
    """

    filled = Signal(QWidget)

    def __init__(self, make: Callable[[], QWidget]) -> None:
        super().__init__()
        self._make: Callable[[], QWidget] | None = make
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)

    def fill(self) -> None:
        """Make the view, unless it is there."""
        if self._make is not None:
            make, self._make = self._make, None
            view, layout = make(), self.layout()
            assert layout is not None
            layout.addWidget(view)
            if self.size().isEmpty():
                self.resize(self.sizeHint())  # behind other tabs it is laid out when it is raised
            self.filled.emit(view)


@dataclass(frozen=True, eq=False)
class Pane:
    """A docked view.

    Attributes
    ----------
    title : str
    widget : QWidget
    area : Qt.DockWidgetArea
        Panes of one area share it as tabs, but for those that begin a new row.
    aspects : Aspect
        Changes after which it is painted anew.
    paint : callable
        Of the Session.
    forget : callable or None
        Lets go of the run that is painted, when another is shown while the pane is out of sight.
    """

    title: str
    widget: QWidget
    area: Qt.DockWidgetArea
    aspects: Aspect
    paint: Callable[[Session], None]
    forget: Callable[[], None] | None = None

    def show(self, session: Session) -> None:
        """Paint it, whether it has been seen before or not."""
        if isinstance(self.widget, Room):
            self.widget.fill()
        self.paint(session)


def in_sight(widget: QWidget) -> bool:
    """Whether anything of a widget can be seen: Qt moves docks behind others out of sight, and calls them visible."""
    window = widget.window()
    place = QRect(widget.mapTo(window, QPoint()), widget.size())
    return widget.isVisible() and window.rect().intersects(place)


class Panes(QObject):
    """All panes of the window, their signals wired to the Session."""

    command_wanted = Signal(str)
    """Id of a command."""
    pointed_at = Signal(str)
    """What the mouse is on, in words; "" for nothing."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._shown: dict[str, tuple[object, ...]] = {}
        self._worst_frames: list[int] = []
        self.atlas, self.map_choice = ResponseAtlas(), MapChoice()
        self.inspector, self.magnitudes = InspectorView(), MagnitudesView()
        self.convergence, self.curve_choice = ConvergenceView(), CurveChoice()
        self.log = QPlainTextEdit(readOnly=True, maximumBlockCount=_LOG_LINES)
        self.log.setAccessibleName("Log")
        atlas_shows = _AT_CURSOR | Aspect.SELECTION | Aspect.LOOK | Aspect.TRUTH
        upper, lower = Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea
        selected = _AT_CURSOR | Aspect.SELECTION
        landmark_shows, curves_show = selected | Aspect.OPTIONS | Aspect.TRUTH, _AT_CURSOR | Aspect.LOOK | Aspect.TRUTH
        atlas, curves = _column(self.map_choice, self.atlas), _column(self.curve_choice, self.convergence)
        lab, frames = Room(self._make_lab), Room(self._make_frames)
        self.all = (
            Pane("Response maps", atlas, upper, atlas_shows, self._paint_atlas, self.atlas.forget),
            Pane("Landmark", self.inspector, upper, landmark_shows, self._paint_inspector),
            Pane("Path", Room(lambda: self.path), upper, selected | Aspect.TRUTH, self._paint_path),
            Pane("Errors", Room(lambda: self.errors), upper, selected | Aspect.TRUTH, self._paint_errors),
            Pane("Convergence", curves, lower, curves_show, self._paint_convergence),
            Pane("Lab", lab, lower, selected | _OF_LAB, self._paint_lab),
            Pane("Frames", frames, lower, _OF_VIDEO, self._paint_frames),
            Pane("Studies", Room(self._make_study), lower, Aspect.STUDY | Aspect.SOURCE, self._paint_study),
            Pane("Magnitudes", self.magnitudes, lower, selected | Aspect.OPTIONS, self._paint_magnitudes),
            Pane("Statistics", Room(lambda: self.statistics), lower, _OF_RUN, self._paint_statistics),
            Pane("Parameters", Room(lambda: self.parameters), lower, _AT_CURSOR, self._paint_parameters),
            Pane("Steps", Room(lambda: self.steps), lower, _AT_CURSOR | Aspect.TRUTH, self._paint_steps),
            Pane("Log", self.log, lower, Aspect(0), lambda _: None),
        )
        self.atlas.landmark_clicked.connect(session.select)
        self.magnitudes.landmark_clicked.connect(session.select)
        self.convergence.place_clicked.connect(session.cursor.move_to)
        self.map_choice.look_chosen.connect(session.set_look)
        self.curve_choice.look_chosen.connect(session.set_look)
        session.told.connect(self.log.appendPlainText)
        session.failed.connect(self._log_failure)

    # --- views that few look at, each made when it is first asked for --------------------------

    @cached_property
    def path(self) -> LandmarkPathView:
        view = LandmarkPathView()
        view.place_clicked.connect(self._session.cursor.move_to)
        return view

    @cached_property
    def errors(self) -> ErrorView:
        view = ErrorView()
        view.landmark_clicked.connect(self._session.select)
        return view

    @cached_property
    def tools(self) -> LabTools:
        tools = LabTools()
        tools.tool_chosen.connect(self._session.lab.choose)
        tools.run_wanted.connect(self._session.diagnose)
        tools.cancel_wanted.connect(self._session.lab.cancel)
        return tools

    @cached_property
    def finding(self) -> FindingView:
        view = FindingView()
        view.link_clicked.connect(self._session.follow)
        view.cell_clicked.connect(self._session.look_at)
        return view

    @cached_property
    def frame_bar(self) -> FrameBar:
        bar, session = FrameBar(), self._session
        bar.command_wanted.connect(self.command_wanted)
        bar.frame_wanted.connect(session.frames.go_to)
        bar.speed_chosen.connect(session.frames.set_speed)
        bar.chasing_chosen.connect(session.tracker.set_chasing)
        bar.look_chosen.connect(session.set_look)
        return bar

    @cached_property
    def frames(self) -> FramesView:
        view = FramesView()
        view.frame_wanted.connect(self._session.frames.go_to)
        return view

    @cached_property
    def worst_choice(self) -> LookChoice:
        choice = LookChoice("worst", _WORST, "Worst frames")
        choice.look_chosen.connect(self._session.set_look)
        return choice

    @cached_property
    def worst(self) -> NumberTable:
        table = NumberTable("Worst frames of the video")
        table.horizontalHeader().setStretchLastSection(True)
        table.row_clicked.connect(self._show_worst)
        return table

    @cached_property
    def study_bar(self) -> StudyBar:
        bar, studies = StudyBar(), self._session.studies
        bar.a_chosen.connect(lambda variant: studies.choose(a=variant))
        bar.b_chosen.connect(lambda variant: studies.choose(b=variant))
        bar.region_chosen.connect(lambda region: studies.choose(region=region))
        bar.filter_chosen.connect(studies.set_filter)
        bar.command_wanted.connect(self.command_wanted)
        return bar

    @cached_property
    def study(self) -> StudyView:
        view, studies = StudyView(), self._session.studies
        view.variant_clicked.connect(lambda variant: None if variant == studies.a else studies.choose(b=variant))
        view.pair_clicked.connect(studies.show)
        view.pair_hovered.connect(lambda pair: self.pointed_at.emit(studies.pair_text(pair)))
        return view

    @cached_property
    def statistics(self) -> NumberTable:
        return NumberTable("Statistics of the response maps")

    @cached_property
    def parameters(self) -> ParametersView:
        return ParametersView()

    @cached_property
    def steps(self) -> NumberTable:
        table = NumberTable("Steps of the run")
        table.row_clicked.connect(self._session.cursor.move_cursor)
        return table

    def _make_lab(self) -> QWidget:
        """The tools beside what the chosen one has found."""
        lab = QSplitter(Qt.Orientation.Horizontal)
        lab.addWidget(self.tools)
        lab.addWidget(self.finding)
        lab.setStretchFactor(1, 1)
        lab.setSizes([190, 810])
        lab.setChildrenCollapsible(False)
        return lab

    def _make_frames(self) -> QWidget:
        """The controls above the curves, the worst frames beside them."""
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.frames)
        split.addWidget(_column(self.worst_choice, self.worst))
        split.setStretchFactor(0, 1)
        split.setSizes([700, 290])
        split.setChildrenCollapsible(False)
        return _column(self.frame_bar, split)

    def _make_study(self) -> QWidget:
        """The choices above the study."""
        return _column(self.study_bar, self.study)

    # --- what they show -----------------------------------------------------------------------

    def _show_worst(self, row: int) -> None:
        self._session.frames.go_to(self._worst_frames[row])

    def _log_failure(self, message: str, details: str) -> None:
        self.log.appendPlainText(f"{message}\n{details}".rstrip())

    def _changed(self, name: str, *shown: object) -> bool:
        """Whether a pane shows other things than when it was asked last; moving the cursor alone changes few.

        `shown` tells the things, and keeps none alive: numbers of runs, weak references.
        """
        changed = self._shown.get(name) != shown
        self._shown[name] = shown
        return changed

    def _paint_atlas(self, session: Session) -> None:
        a, b = session.lanes["A"].step, session.lanes["B"].step if session.comparing else None
        runs = [session.lanes[name].steps for name in session.shown]
        self.atlas.show_steps(a, b, session.look, runs)
        self.atlas.show_truth(session.scene.truth if session.look.show_truth else None)
        self.atlas.show_selection(session.selection)
        self.map_choice.show_look(session.look, session.comparing)

    def _paint_inspector(self, session: Session) -> None:
        step, other = session.step, session.lanes.other_step
        model, options, truth = session.model_of(), session.engine_options(), session.scene.truth
        self.inspector.show_landmark(step, session.selection, model, options, truth, other)

    def _paint_convergence(self, session: Session) -> None:
        runs = {name: lane.numbers for name, lane in session.lanes.shown.items()}
        look = session.look
        self.curve_choice.show_look(look)
        labels = lane_labels(session.choices) if session.comparing else {}
        stop, truth = session.lane.options.convergence_px, session.scene.truth
        shown = (look.curves, look.target, stop, *labels.values(), _ref(truth))
        if self._changed("convergence", _runs(session), session.active, *shown):
            self.convergence.show_runs(runs, session.cursor.places(), stop, look, labels, truth)
        if session.lane.place is not None:
            self.convergence.show_cursor(session.lane.place)

    def _paint_path(self, session: Session) -> None:
        truth = session.scene.truth
        if self._changed("path", _runs(session), session.selection, _ref(truth)):
            runs = {name: lane.numbers for name, lane in session.lanes.shown.items()}
            self.path.show_paths(runs, session.selection, truth)
        if session.lane.place is not None:
            self.path.show_cursor(session.lane.place)

    def _paint_errors(self, session: Session) -> None:
        steps = {name: lane.step for name, lane in session.lanes.shown.items()}
        self.errors.show_errors(steps, session.scene.truth, session.selection)

    def _paint_frames(self, session: Session) -> None:
        look, tracks, apart = session.look, session.tracker.all_results(), session.tracker.apart
        self.frame_bar.show_session(session)
        self.worst_choice.show_look(look)
        known = tuple((name, _ref(results), results.end) for name, results in tracks.items())
        paired = _ref(apart)
        limits = {name: session.lanes[name].tracking.min_likelihood for name in tracks}
        if self._changed("frames", len(session.scene.times), known, paired, limits, look.frame_curves):
            self.frames.show_tracks(len(session.scene.times), tracks, apart, limits, look.frame_curves)
        if self._changed("worst", len(session.scene.times), known, paired, look.worst):
            columns = worst_columns(look.worst, tracks, apart)
            self._worst_frames = [number - 1 for number in columns.get("frame", [])]
            self.worst.show_columns(columns)
            self.worst.scrollToTop()
        self.frames.show_frame(session.frames.wanted)
        listed = session.frames.wanted in self._worst_frames and not session.tracker.tracking
        self.worst.show_row(self._worst_frames.index(session.frames.wanted) if listed else None)

    def _paint_study(self, session: Session) -> None:
        studies = session.studies
        self.study_bar.show_studies(studies)
        summary, faces = studies.summary, studies.faces
        if self._changed("study", _ref(summary), studies.b):
            self.study.show_summary(summary, studies.b)
        relisted = self._changed("listed", studies.filter)
        if self._changed("faces", _ref(faces)):
            what = "" if summary is None else summary.error_title if summary.has_truth else "log-likelihood"
            self.study.show_faces(faces, studies.listed, studies.filter, what)
        elif relisted:
            self.study.list_faces(faces, studies.listed, studies.filter)
        self.study.show_pair(*((studies.pair, studies.note) if studies.here else (None, "")))

    def _paint_lab(self, session: Session) -> None:
        lab, now = session.lab, session.subject()
        record = lab.records[lab.chosen]
        self.tools.show_records(lab.records.values(), lab.chosen, now, session.can_diagnose)
        found = record.result
        self.finding.show_finding(
            record.tool.question,
            "" if found is None else found.verdict(session.comparing),
            None if found is None else found.finding,
            () if found is None else found.tables,
            () if found is None else found.plots,
            () if found is None else found.strips,
            _lab_note(record, record.is_stale(now)),
        )
        session.evaluate()
        looked, step = session.evaluations, session.step if found is None else session.lanes[found.lanes[0]].step
        points = None if step is None else step.landmarks
        self.finding.show_evaluation(looked.of, looked.found, looked.note, session.selection, points)
        self.finding.show_cursor(session.selection, session.cursor.place, looked.operation)

    def _paint_magnitudes(self, session: Session) -> None:
        step, model = session.step, session.model_of()
        maps = None if step is None else step.responses
        if self._changed("magnitudes", _ref(maps), _ref(model)):
            self.magnitudes.show_magnitudes(None if step is None or model is None else magnitudes(step, model))
        self.magnitudes.show_selection(session.selection)

    def _paint_statistics(self, session: Session) -> None:
        if self._changed("statistics", session.lane.run, len(session.lane.steps)):
            trace = session.trace()
            self.statistics.show_columns({} if trace is None else statistics_columns(trace))

    def _paint_parameters(self, session: Session) -> None:
        model = session.model_of()
        pdm = None if model is None else model.pdm
        self.parameters.show_step(session.step, pdm, session.lane.options.clamp_sigmas)

    def _paint_steps(self, session: Session) -> None:
        truth = session.scene.truth
        if self._changed("steps", session.lane.run, len(session.lane.steps), _ref(truth)):
            self.steps.show_columns(step_columns(session.lane.numbers, truth))
        self.steps.show_row(session.lane.cursor)


def _column(above: QWidget, below: QWidget) -> QWidget:
    """A choice above what it is about, which gets the room."""
    result = QWidget()
    layout = QVBoxLayout(result)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    layout.addWidget(above)
    layout.addWidget(below, 1)
    return result


def _ref(thing: object) -> object:
    """What tells a thing from others without keeping it alive."""
    return None if thing is None else weakref.ref(thing)


def _runs(session: Session) -> tuple[tuple[str, int, int], ...]:
    """What tells the runs that are shown from others, and how far they are."""
    return tuple((name, lane.run, len(lane.steps)) for name, lane in session.lanes.shown.items())


def _lab_note(record: Record, stale: bool) -> str:
    """What there is to say about a finding, or the lack of one."""
    if record.activity is not Activity.NONE:
        return f"{state_text(record, stale).capitalize()}…"
    if record.problem:
        return f"Failed: {record.problem}"
    if record.result is None:
        keys = [command(name).keys for name in ("run_tool", "run_all_tools")]
        return f"Not run yet. {keys[0]} runs it, {keys[1]} runs all tools."
    return "Out of date: model, image, start or options have changed since." if stale else ""
