"""The main window: its readouts, and the repainting of what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Slot
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMainWindow, QToolBar, QVBoxLayout, QWidget

from clnf_engine import DetectionOptions, FitOptions, Recording, Step
from clnf_engine.detection.tree import node_title
from clnf_gui.actions import Actions
from clnf_gui.dialogs import WindowDialogs
from clnf_gui.docks import Docks
from clnf_gui.guiding import Guiding
from clnf_gui.option_titles import lane_labels
from clnf_gui.pane import Pane, Room, in_sight
from clnf_gui.panels.editor_keys import EditorKeys
from clnf_gui.panels.frame_bar import FrameBar
from clnf_gui.panels.guide_card import GuideCard
from clnf_gui.panels.live_bar import LiveBar
from clnf_gui.panels.message_bar import MessageBar
from clnf_gui.panels.options import OptionsPanel
from clnf_gui.panels.timeline import Timeline
from clnf_gui.panes import Panes
from clnf_gui.pins import Pins
from clnf_gui.session import Session
from clnf_gui.session.aspect import ALL_ASPECTS, Aspect
from clnf_gui.theme import VERMILION, is_dark, readable
from clnf_gui.views.axes import follow_palette
from clnf_gui.views.frames_view import FramesView
from clnf_gui.views.image_view import ImageView
from clnf_gui.views.readout import apart_line, cell_line, error_line, landmark_line, step_line

_FRAME_SECONDS = 1 / 60
_TOLD_MS = 6000
"""A sentence in the status bar is shown so long."""
_LAB_SHARE = 0.42
"""Of the window's height, for the Lab when it has checked a foreign run: there are as many rows as operations."""
_STUDY_SHARE = 0.4
"""The same of a study that has been opened."""
_EDGE_PX = 8
_SEPARATOR = "   ·   "
_OF_RUN = Aspect.SOURCE | Aspect.STEPS | Aspect.CURSOR | Aspect.LANES


class MainWindow(QMainWindow):
    """Shows a Session. It holds no state of its own but what is still to be repainted."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setWindowTitle("CLNF Studio")
        self.resize(1440, 900)
        self.image_views = {name: ImageView(name) for name in session.lanes}
        self.panes = Panes(session)
        self.timeline, self.options = Timeline(), OptionsPanel()
        self.live_bar, self.guide_card = LiveBar(), GuideCard()
        self.message_bar, self.headers = MessageBar(), {name: _line(f"Step of lane {name}") for name in session.lanes}
        self.hover_label, self.run_label = _line("What is pointed at or selected"), QLabel()
        self.actions_by_id: dict[str, QAction] = {}
        self.pins = Pins(self)
        self.setAcceptDrops(True)
        self._lay_out()
        self.docks = Docks(self, self.options, self.panes.all, self)
        self.guiding = Guiding(session, self.guide_card, self.docks, self._guided_parts(), self)
        self.dialogs = WindowDialogs(
            self, session, self.panes, self.image_views, self.actions_by_id, self.docks, self.guiding
        )
        self.menus = Actions(self, session, self.dialogs, self.actions_by_id)
        self._connect()
        self._dirty = ALL_ASPECTS
        self._zoom_when_fitted = True
        self._had_video = False
        self._stale: set[Pane] = set(self.panes.all)
        self._painted_at = 0.0
        self._repaint_timer = QTimer(self, singleShot=True)
        self._repaint_timer.timeout.connect(self.repaint_now)
        self._layout_timer = QTimer(self, singleShot=True)
        self._layout_timer.timeout.connect(self.docks.follow_size)
        self._zoom_timer = QTimer(self, singleShot=True)
        self._zoom_timer.timeout.connect(self._zoom_to_face)
        self._mark_dirty(ALL_ASPECTS)

    # --- layout -------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        centre = QWidget()
        layout = QVBoxLayout(centre)
        layout.setContentsMargins(4, 4, 4, 2)
        layout.setSpacing(4)
        layout.addWidget(self.message_bar)
        images = QHBoxLayout()
        images.setSpacing(4)
        for view in self.image_views.values():
            images.addWidget(view, 1)
        self.image_views["B"].link(self.image_views["A"])
        layout.addLayout(images, 1)
        self.setCentralWidget(centre)
        strip = QWidget()
        strip_layout = QVBoxLayout(strip)
        strip_layout.setContentsMargins(6, 0, 6, 0)
        strip_layout.setSpacing(0)
        strip_layout.addWidget(self.guide_card)
        strip_layout.addWidget(self.live_bar)
        for header in self.headers.values():
            strip_layout.addWidget(header)
        strip_layout.addWidget(self.timeline)
        below_all = QToolBar("Timeline")
        below_all.setObjectName("Timeline")
        below_all.setMovable(False)
        below_all.addWidget(strip)
        self.addToolBar(Qt.ToolBarArea.BottomToolBarArea, below_all)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addWidget(self.hover_label, 1)
        self.statusBar().addPermanentWidget(self.run_label)
        self.run_label.setContentsMargins(0, 0, _EDGE_PX, 0)

    def _guided_parts(self) -> dict[str, tuple[QWidget, ...]]:
        """What guided cases point at, but for docks."""
        photos = tuple(self.image_views.values())
        return {"photo": photos[:1], "photos": photos}

    def _connect(self) -> None:
        session = self.session
        session.changed.connect(self._mark_dirty)
        session.failed.connect(self.message_bar.show_message)
        session.recovered.connect(self.message_bar.take_back)
        session.told.connect(self._tell)
        self.statusBar().messageChanged.connect(self._end_telling)
        self.timeline.scrubbed.connect(session.cursor.move_to)
        self.timeline.stop_toggled.connect(session.cursor.toggle_stop)
        for name, view in self.image_views.items():
            view.landmark_clicked.connect(partial(session.select_in, name))
            view.hovered.connect(partial(self._show_pixel, name))
            view.box_dragged.connect(partial(self._drag_box, name))
            view.box_turned.connect(partial(self._turn_box, name))
            view.box_grabbed.connect(session.history.end_run)
            view.box_released.connect(session.history.end_run)
        self.panes.atlas.hovered.connect(self._show_cell)
        self.options.lane_chosen.connect(session.set_active)
        self.options.start_like_a_chosen.connect(session.starts.like_a)
        self.options.options_chosen.connect(session.set_options)
        self.options.preset_chosen.connect(self._take_preset)
        self.options.face_chosen.connect(session.starts.from_face)
        self.options.box_chosen.connect(session.starts.from_box)
        self.options.rotation_chosen.connect(session.starts.turn)
        self.options.landmarks_wanted.connect(self.dialogs.ask_landmarks)
        self.options.result_chosen.connect(session.starts.from_result)
        self.options.perturbation_chosen.connect(session.starts.perturb)
        self.options.track.tracking_chosen.connect(session.set_tracking_options)
        keys = EditorKeys(self.menus.speed)
        for pane in self.panes.all:
            keys.watch(pane.widget)
            if isinstance(pane.widget, Room):
                pane.widget.filled.connect(keys.watch)
        for signal in (self.options.focus_released, keys.done):
            signal.connect(self._focus_image)
        self.pins.unpinned.connect(self._unpin)
        for part in (self.panes, self.message_bar, self.live_bar):
            part.command_wanted.connect(self._trigger)
        self.panes.pointed_at.connect(self._point_out)
        session.studies.opened.connect(self._show_study)
        if session.studies.results is not None:  # which was read before there was a window
            self._show_study()

    # --- repainting ---------------------------------------------------------------------------

    @Slot(Aspect)
    def _mark_dirty(self, aspect: Aspect) -> None:
        """Repaint soon, but at most once a frame."""
        self._dirty |= aspect
        if not self._repaint_timer.isActive():
            wait = self._painted_at + _FRAME_SECONDS - time.monotonic()
            self._repaint_timer.start(max(0, round(wait * 1000)))

    @Slot()
    def repaint_now(self) -> None:
        """Repaint everything that has changed; hidden views are left for when they are seen again."""
        self._repaint_timer.stop()
        self.session.give_way()
        dirty, self._dirty = self._dirty, Aspect(0)
        self._painted_at = time.monotonic()
        self.menus.update()  # which tells the parts what can be done
        for aspects, paint in _PARTS:
            if aspects & dirty:
                paint(self)
        self._stale |= {pane for pane in self.panes.all if pane.aspects & dirty}
        for pane in tuple(self._stale):
            if in_sight(pane.widget):
                self._stale.discard(pane)
                pane.show(self.session)
            elif pane.forget is not None:
                pane.forget()
        self._zoom_once()
        self._show_selected()

    def _paint_source(self) -> None:
        """Another picture has been opened: what was said of the one before is over."""
        session = self.session
        self.message_bar.hide()
        self.statusBar().clearMessage()
        self._paint_picture()
        self.dialogs.zoom_to_image()
        self._zoom_when_fitted = session.video is None
        self.options.show_video(session.video is not None)
        if session.lanes["A"].foreign and not session.lanes["A"].live:
            self.docks.raise_("Lab")
            self.docks.heighten("Lab", _LAB_SHARE)
        if session.video is not None:
            self.docks.raise_("Frames")
            if not self._had_video:
                self._had_video = True
                self.docks.heighten("Frames", 1 / 3)

    def _paint_picture(self) -> None:
        image = self.session.image
        for view in self.image_views.values():
            view.show_image(None if image is None else image.rgb)
        name = "" if image is None else f"{image.path.name} — "
        self.setWindowTitle(f"{name}CLNF Studio")

    def _paint_lanes(self) -> None:
        session = self.session
        if session.video is None:
            self._zoom_when_fitted |= self.image_views["B"].isHidden() == session.comparing
        self.options.show_lanes(session.comparing, session.active)
        for name in session.lanes:
            for widget in (self.image_views[name], self.headers[name]):
                widget.setVisible(name in session.shown)

    def _paint_titles(self) -> None:
        """Write into each picture what its lane is, where there are two, or one has functions of a file."""
        session = self.session
        labels = lane_labels(session.choices) if session.comparing or session.plugins.in_use else {}
        for name, view in self.image_views.items():
            view.show_title(labels.get(name, ""), name == session.active)

    def _paint_start(self) -> None:
        session = self.session
        start = session.starts.now
        like_a = session.active == "B" and session.lane.chosen.start is None and session.video is None
        box = None if start is None else session.starts.upright_box(start.base)
        given = session.starts.given(session.active) is not None
        self.options.show_initial(start, session.scene.faces, like_a, box, given)
        self.options.setEnabled(session.starts.of("A") is not None or session.video is not None)
        self.message_bar.show_note(*session.note)

    def _paint_options(self) -> None:
        lane = self.session.lane
        self.options.show_options(lane.options, lane.chosen.detection)
        self.options.track.show_way(lane.chosen.way)

    def _paint_strip(self) -> None:
        """Repaint the timeline and the line about each lane's Step."""
        session = self.session
        lanes = session.lanes.shown
        self.timeline.show_lanes(lanes, session.cursor.places(), session.cursor.stop_places())
        other = session.lanes.other_step
        for name, lane in lanes.items():
            parts = [name] if session.comparing else []
            if text := lane.frame_note(session.scene.frame):
                parts.append(text)
            parts.append(node_title(lane.node))
            if (step := lane.step) is not None:
                parts += [f"{lane.cursor + 1} / {len(lane.steps)}", step_line(step, session.cursor.moment)]
                parts.append(error_line(step, lane.truth(session.scene.truth)))
                if name == session.active and other is not None:
                    parts.append(apart_line(step, other))
            self.headers[name].setText(_SEPARATOR.join(filter(None, parts)))

    def _paint_images(self) -> None:
        session = self.session
        for name, lane in session.lanes.shown.items():
            view, other = self.image_views[name], session.lanes["A" if name == "B" else "B"].step
            view.show_step(lane.steps, lane.cursor, session.look, session.cursor.moment, lane.part)
            view.show_parts(lane.parts_shown(), session.look)
            view.show_selection(session.selection_in(name))
            view.show_truth(lane.truth(session.scene.truth), session.look)
            view.show_other(None if other is None or not session.comparing else other.landmarks, session.look)
            start = session.starts.of(name)
            if start is None or not session.look.show_box:
                view.show_box(None)
            else:
                view.show_box(session.starts.upright_box(start.initial), start.initial.rotation[2])

    def _paint_pins(self) -> None:
        self.pins.paint(self.session)

    @Slot()
    def _zoom_to_face(self) -> None:
        self.dialogs.zoom_to_face()

    def _zoom_once(self) -> None:
        """Zoom to the face when the first fit of a picture, or of a layout, is complete; of a port, once it tells."""
        lane = self.session.lanes["A"]
        if self._zoom_when_fitted and (lane.complete or (lane.live and np.isfinite(lane.numbers[-1].landmarks).any())):
            self._zoom_when_fitted = False
            self._zoom_timer.start(0)  # when a new layout has settled

    def _paint_live(self) -> None:
        self.live_bar.show_live(self.session.live, {name: a.isEnabled() for name, a in self.actions_by_id.items()})

    def _paint_run(self) -> None:
        """What is going on, or what the end of the active lane's run means."""
        session = self.session
        name = "no model" if session.model is None else session.model.name
        tip, failed = "", False
        if session.tracker.tracking:
            tracker, count = session.tracker, len(session.scene.times)
            state = f"tracking frame {tracker.tracked + 1} of {count}, {tracker.rate:.0f} frames/s"
        elif session.busy:
            state = f"{session.opener.what or 'working'}…"
        elif session.lane.live:
            state = "the run of a port, so far"
        elif session.lane.complete:
            verdict = session.verdict(session.active)
            outcome = verdict.text if verdict.failed else "fitted" if verdict.failed is None else verdict.short
            state = f"{outcome}{_SEPARATOR}{session.lane.seconds * 1000:.0f} ms{_memory(session.lane.steps)}"
            if session.lane.recorded is not None:
                state = "recorded run, foreign" if session.lane.foreign else f"recorded run{_SEPARATOR}{outcome}"
            tip, failed = f"{verdict.sentence}\n{verdict.basis}", verdict.failed is True
        else:
            state = "no fit"
        self.run_label.setText(f"{name}{_SEPARATOR}{state}")
        self.run_label.setToolTip(tip)
        colour = readable(VERMILION, is_dark(self.palette()))
        style = f"color: {colour}; font-weight: bold" if failed else ""
        if style != self.run_label.styleSheet():
            self.run_label.setStyleSheet(style)

    # --- readouts -----------------------------------------------------------------------------

    @Slot(str)
    def _tell(self, text: str) -> None:
        """Show a sentence in the status bar, which is its own for that while; the log keeps it."""
        self.run_label.hide()
        room = self.statusBar().width() - 3 * self.fontMetrics().averageCharWidth()
        elided = self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)
        self.statusBar().showMessage(elided, _TOLD_MS)

    @Slot(str)
    def _end_telling(self, text: str) -> None:
        """A sentence has been shown long enough."""
        if not text:
            self.run_label.show()

    def _read_out(self, text: str) -> None:
        """Show what is under the mouse, which a person who points at something wants to know now."""
        self.statusBar().clearMessage()
        self.hover_label.setText(text)

    @Slot(str)
    def _point_out(self, text: str) -> None:
        """Say what the mouse is on, or what is selected."""
        if text:
            self._read_out(text)
        else:
            self._show_selected()

    @Slot()
    def _show_study(self) -> None:
        """Bring the study that has been opened to the front."""
        self.docks.raise_("Studies")
        self.docks.heighten("Studies", _STUDY_SHARE)

    @Slot()
    def _focus_image(self) -> None:
        """Let the keys step the fit again, after a value has been typed."""
        self.image_views[self.session.active].setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot(object, object)
    def _take_preset(self, detection: DetectionOptions | None, options: FitOptions) -> None:
        """Fit as a preset says; where that does something around the fits, these come to the front."""
        self.session.set_detection(detection, options)
        if detection is not None:
            self.docks.raise_("Fits")

    @Slot(int)
    def _unpin(self, landmark: int) -> None:
        if landmark in self.session.look.pinned:
            self.session.set_look(self.session.look.with_pin(landmark))

    @Slot(str)
    def _trigger(self, command: str) -> None:
        self.menus.update()  # what can be done may have changed since it was painted
        self.actions_by_id[command].trigger()

    def _drag_box(self, name: str, box: tuple[float, float, float, float]) -> None:
        """The fit follows the box live, in the lane whose box is dragged."""
        self.session.set_active(name)
        self.session.starts.from_box(box)

    def _turn_box(self, name: str, angle: float) -> None:
        """The fit follows live, in the lane whose box is turned."""
        self.session.set_active(name)
        self.session.starts.roll(angle)

    def _show_pixel(self, name: str, point: tuple[float, float] | None) -> None:
        for other, view in self.image_views.items():
            view.show_crosshair(point if other != name and self.session.comparing else None)
        image = self.session.image
        if point is None or image is None:
            self._show_selected()
            return
        column, row = round(point[0]), round(point[1])
        height, width = image.gray.shape
        if 0 <= row < height and 0 <= column < width:
            self._read_out(f"pixel ({column}, {row})   grey {image.gray[row, column]}")

    @Slot(object)
    def _show_cell(self, cell: tuple[int, int, int] | None) -> None:
        lanes = {name: lane.step for name, lane in self.session.lanes.shown.items()}
        steps = {name: step for name, step in lanes.items() if step is not None}
        if cell is None or not steps:
            self._show_selected()
        else:
            self._read_out(cell_line(steps, *cell))

    def _show_selected(self) -> None:
        session = self.session
        step, landmark = session.step, session.selection
        if step is None or landmark is None:
            self.hover_label.setText("")
            return
        other = session.lanes.other_step
        parts = [landmark_line(step, landmark), error_line(step, session.truth, landmark)]
        parts.append("" if other is None else apart_line(step, other, landmark))
        self.hover_label.setText("   ".join(filter(None, parts)))

    # --- Qt's events --------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Paint what a dock that comes into sight has missed; raising a tab moves its dock."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.Move):
            self._mark_dirty(Aspect(0))
        return super().eventFilter(watched, event)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the desktop from light to dark and back."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            for plot in self.findChildren(pg.PlotWidget):
                follow_palette(plot, self.palette())
            self.menus.draw_icons()
            for bar in self.findChildren(FrameBar):
                bar.draw_icons()
            for frames in self.findChildren(FramesView):
                frames.follow_palette(self.palette())
            self.timeline.repaint_strips()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._layout_timer.start(0)  # when Qt is through with its own layout

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.dialogs.open_file(url.toLocalFile())

    def closeEvent(self, event: QCloseEvent) -> None:
        for timer in (self._repaint_timer, self._zoom_timer, self._layout_timer):
            timer.stop()
        self.guiding.close()
        self.hide()  # at once; a tool of the Lab may take a moment to end
        self.session.shut_down()
        super().closeEvent(event)


def _line(name: str) -> QLineEdit:
    """A line of text to be read and copied; unlike a label, another text does not lay the window out anew."""
    line = QLineEdit()
    line.setAccessibleName(name)
    line.setReadOnly(True)
    line.setFrame(False)
    line.setStyleSheet("background: transparent")
    line.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys stay with the fit
    line.setMinimumWidth(1)
    return line


def _memory(steps: Sequence[Step]) -> str:
    """What a run too long for its budget of memory has to say about that."""
    dropped = steps.n_dropped if isinstance(steps, Recording) else 0
    return f"{_SEPARATOR}maps of {dropped} of {len(steps)} steps are computed when looked at" if dropped else ""


_PARTS: tuple[tuple[Aspect, Callable[[MainWindow], None]], ...] = (
    (Aspect.SOURCE, MainWindow._paint_source),
    (Aspect.FRAME, MainWindow._paint_picture),
    (Aspect.LANES, MainWindow._paint_lanes),
    (Aspect.SOURCE | Aspect.LANES | Aspect.OPTIONS | Aspect.START, MainWindow._paint_titles),
    (Aspect.SOURCE | Aspect.START | Aspect.LANES, MainWindow._paint_start),
    (Aspect.SOURCE | Aspect.OPTIONS | Aspect.LANES, MainWindow._paint_options),
    (_OF_RUN | Aspect.STOPS | Aspect.FRAME | Aspect.TRUTH, MainWindow._paint_strip),
    (_OF_RUN | Aspect.TRUTH | Aspect.START | Aspect.LOOK | Aspect.SELECTION, MainWindow._paint_images),
    (_OF_RUN | Aspect.LOOK | Aspect.OPTIONS, MainWindow._paint_pins),
    (Aspect.SOURCE | Aspect.STEPS | Aspect.LANES | Aspect.BUSY | Aspect.TRACK | Aspect.FRAME, MainWindow._paint_run),
    (Aspect.LIVE, MainWindow._paint_live),
)
"""What is painted anew after which changes, in this order."""
