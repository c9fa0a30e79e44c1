"""Session: everything the window shows and changes; its objects of one concern each, and how they work together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import (
    ClnfError,
    FitOptions,
    Initial,
    Model,
    Step,
    Trace,
    TrackOptions,
    VideoSource,
)
from clnf_engine.calibration import Verdict, judge
from clnf_engine.deviations import DEVIATIONS, without_deviations
from clnf_engine.diagnostics.divergence import divergence
from clnf_engine.diagnostics.finding import Link
from clnf_engine.diagnostics.tools import Tool
from clnf_engine.io.images import Image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.options import Source
from clnf_engine.steps import Place
from clnf_engine.tracking.track import check_first, tracked_windows
from clnf_gui.look import Look
from clnf_gui.session.announcements import ENGINE_LOG, Announcements
from clnf_gui.session.aspect import ALL_ASPECTS, Aspect
from clnf_gui.session.choices import LANES, Choices, Recorded, beside_recorded, consequences
from clnf_gui.session.cursor import START, Cursor
from clnf_gui.session.document import SessionDocument
from clnf_gui.session.evaluations import Evaluations
from clnf_gui.session.fits import Fits, Order
from clnf_gui.session.frames import Frames
from clnf_gui.session.history import History
from clnf_gui.session.lab import Lab, Result, Subject
from clnf_gui.session.lanes import Lane, Lanes, Origin
from clnf_gui.session.live import Live
from clnf_gui.session.opener import Opened, Opener
from clnf_gui.session.plugins import Plugins
from clnf_gui.session.scene import Scene
from clnf_gui.session.shots import Gate
from clnf_gui.session.starts import Starts
from clnf_gui.session.studies import Studies
from clnf_gui.session.taking import show_waiting, take, take_live
from clnf_gui.session.tracker import Tracker

CONFORMANCE = "conformance"
"""The tool that a recorded run is put to first."""

PARTING_PX = 1.0
"""Two trackings part where a landmark is farther apart."""


class Session(QObject):
    """What the window shows. Commands change it; `changed` tells the views.

    There are two lanes, A and B. B runs only while comparing; as long as it has no start of its own it starts where A
    does. The cursor is a place (stage, phase, iteration) that both lanes share. Whatever a person chooses goes through
    `choose`, and so do undo, redo and what a session file holds.

    Attributes
    ----------
    scene : Scene
        What is looked at.
    lanes : Lanes
        What was chosen, and what came of it.
    cursor : Cursor
    frames : Frames
        Which frame of a video is wanted; they can be played.
    tracker : Tracker
    starts : Starts
        Where runs start, and other starts for the active lane.
    fits : Fits
    opener : Opener
    live : Live
        A port that is followed.
    history : History
    plugins : Plugins
        Files with functions of the person's own.
    studies : Studies
        The results of a study, and its faces.
    lab : Lab
    evaluations : Evaluations
        One operation of the run that the Lab has checked, where the cursor stands.
    selection : int or None
        The landmark that is selected.
    note : tuple of (str, str)
        What there is to say about the picture that is shown, and the id of the command that helps; "" when nothing is.
    """

    changed = Signal(Aspect)
    told = Signal(str)
    """A sentence for the status bar."""
    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""
    recovered = Signal(str)
    """A sentence that was told as failed, and is true no more."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.selection: int | None = None
        self.note = ("", "")
        self.scene, self.lanes, self.history = Scene(), Lanes(), History[Choices]()
        gate = Gate()
        self.cursor = Cursor(self.lanes, self.scene, self)
        self.fits = Fits(self.lanes, self.cursor, self)
        self.tracker = Tracker(self.lanes, self.scene, gate, self)
        self.frames = Frames(self.lanes, self.scene, self.cursor, self.fits, gate, self)
        self.starts, self.opener, self.lab = Starts(self.lanes, self.scene, self), Opener(self), Lab(self)
        self.evaluations, self.live, self.plugins = Evaluations(self), Live(self.scene, self), Plugins(self)
        self.studies = Studies(self.lanes, self.scene, self.cursor, self.fits, self.opener, self)
        slow = (self.lab, self.evaluations, self.live, self.studies)
        working = (self.fits, self.tracker, self.frames, self.opener, *slow)
        for changing in (self.cursor, *working):
            changing.changed.connect(self.changed)
        for telling in (self.cursor, self.fits, self.tracker, self.lab, self.live, self.studies):
            telling.told.connect(self.told)
        for failing in (self.starts, *working):
            failing.failed.connect(self.failed)
        self.live.arrived.connect(self._take_live)
        self.live.ended.connect(self._compare_ended)
        self.cursor.changed.connect(self._show_waiting)
        self.fits.recovered.connect(self.recovered)
        self.fits.ended.connect(self.plugins.end_run)
        self.evaluations.worst_at.connect(self.select)
        self.starts.chosen.connect(self._choose_start)
        self.opener.opened.connect(self._take)
        self.tracker.shot.connect(self.frames.show_tracked_shot)
        self.tracker.arrived.connect(self.frames.show_tracked)
        self.cursor.playback.exclude(self.frames.playback)
        self.frames.playback.exclude(self.cursor.playback)
        self._announcements = Announcements(self.told.emit)
        ENGINE_LOG.addHandler(self._announcements)

    def shut_down(self) -> None:
        """Stop playing and end the threads; the Session cannot be used afterwards."""
        ENGINE_LOG.removeHandler(self._announcements)
        self.cursor.playback.stop()
        reading = (self.live, self.lab, self.evaluations, self.studies, self.opener)
        for part in (*reading, self.tracker, self.fits, self.frames):
            part.shut_down()

    # --- what is shown ------------------------------------------------------------------------

    @property
    def model(self) -> Model | None:
        """The model that fits."""
        return self.scene.model

    @property
    def image(self) -> Image | None:
        """The photo, or the frame that is shown."""
        return self.scene.image

    @property
    def video(self) -> VideoSource | None:
        """The video whose frame is shown."""
        return self.scene.video

    @property
    def choices(self) -> Choices:
        """What was chosen of the lanes and the look."""
        return self.lanes.choices

    @property
    def look(self) -> Look:
        """How things are shown."""
        return self.choices.look

    @property
    def comparing(self) -> bool:
        """Whether lane B is shown beside lane A."""
        return self.choices.comparing

    @property
    def active(self) -> str:
        """Name of the lane that options and start apply to, and whose numbers are read out."""
        return self.choices.active

    @property
    def lane(self) -> Lane:
        """The active lane."""
        return self.lanes.active

    @property
    def step(self) -> Step | None:
        """The Step under the cursor in the active lane."""
        return self.lane.step

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the lanes that are shown."""
        return self.choices.shown

    @property
    def busy(self) -> bool:
        """Whether something is being opened, fitted or fetched."""
        return bool(self.opener.what or self.fits.under_way or self.frames.busy)

    def trace(self, name: str = "") -> Trace | None:
        """A lane's run as a Trace (the active lane's without a name); None before its first Step."""
        scene = self.scene
        if scene.image is None or scene.model is None:
            return None
        return self.lanes[name or self.active].trace(scene.image.gray, scene.model)

    def model_of(self) -> Model | None:
        """The model that the active lane's run is of; None where it is none that is open."""
        recorded = self.lane.recorded
        return None if recorded is not None and recorded.other_model else self.scene.model

    def engine_options(self) -> FitOptions | None:
        """What the engine made the active lane's run with; None where another program did."""
        return None if self.lane.foreign else self.lane.options

    def recorded_files(self) -> dict[str, Path]:
        """The files of the lanes that hold recorded runs, by name; the first is that of the picture, too."""
        return {name: recorded.path for name in LANES if (recorded := self.choices[name].recorded) is not None}

    def verdict(self, name: str) -> Verdict:
        """What the end of a lane's run means."""
        lane, model = self.lanes[name], self.scene.model
        if model is None:
            return Verdict(None, "cannot be told: no model is open", "")
        if lane.live:
            return Verdict(None, "cannot be told: the run has not ended", "The port is still computing it.")
        if lane.foreign:
            return Verdict(None, "cannot be told: the run is foreign", "The calibration is that of the engine's fits.")
        if lane.functions is not None:
            reason = f"cannot be told: the fit has functions of {lane.functions.name}"
            return Verdict(None, reason, "The calibration is that of the engine's fits.")
        return judge(lane.steps, model, lane.fit_options)

    def finished(self, name: str) -> bool:
        """Whether a lane's run has ended and no newer one is under way."""
        return self.lanes[name].complete and name not in self.fits.under_way

    # --- the one path of every choice ---------------------------------------------------------

    def choose(self, choices: Choices, kind: str = "") -> None:
        """Take what a person has chosen; a run of choices of one kind, such as a drag, is undone as one."""
        choices, told = beside_recorded(self.choices, choices)
        if choices != self.choices:
            self.history.record(self.choices, kind)
            self._follow(choices)
        if told:
            # What was typed for one lane is so of the other, or of none.
            self.changed.emit(Aspect.OPTIONS | Aspect.START)
            self.told.emit(told)

    @Slot(object, str)
    def _choose_start(self, choices: Choices, kind: str) -> None:
        """A person who gives a frame a start wants to look at that frame."""
        self.tracker.set_chasing(False)
        self.choose(choices, kind)

    def undo(self) -> None:
        """Take the last choice back."""
        if self.history.can_undo:
            self._follow(self.history.undo(self.choices))

    def redo(self) -> None:
        """Choose again what was undone last."""
        if self.history.can_redo:
            self._follow(self.history.redo(self.choices))

    def _follow(self, choices: Choices) -> None:
        """Do what follows from choices."""
        old, swapped = self.choices, self.choices.swapped()
        if self.comparing and (choices.a, choices.b) == (swapped.a, swapped.b):
            old = swapped
            self.lanes.swap()
            self.changed.emit(ALL_ASPECTS & ~Aspect.SOURCE)
        found = consequences(old, choices, self.scene.frame)
        self.lanes.choose(choices)
        for name in found.retrack:
            self.tracker.forget(name)
        self.changed.emit(found.aspects)
        for name in LANES if old is swapped and self.fits.under_way else found.refit:
            self.refit(name)
        self.frames.fetch(found.show)
        if self.scene.video is not None and (found.retrack or old is swapped or Aspect.LANES in found.aspects):
            self.tracker.go_on()

    def refit(self, name: str) -> None:
        """Run a lane anew, if there is something to run; a recorded run is shown as it is."""
        recorded = self.choices[name].recorded
        if recorded is not None:
            self.fits.cancel(name)
            self.lanes[name].take_recorded(recorded)
            self.lanes[name].show(self.cursor.place)
            self.changed.emit(Aspect.STEPS | Aspect.CURSOR | Aspect.BUSY)
            return
        scene, start = self.scene, self.starts.of(name)
        if scene.image is None or scene.model is None or start is None:
            return
        if not self.plugins.may_run(name):
            self.fits.cancel(name)
            self.lanes[name].forget_run()
            self.changed.emit(Aspect.STEPS | Aspect.CURSOR | Aspect.BUSY)
            return
        given = self.starts.given(name) is not None
        origin = Origin.IMAGE if scene.video is None else Origin.BY_HAND if given else self.lanes[name].origin
        options = self._fit_options(name, start.initial)
        functions = self.choices[name].functions
        self.fits.refit(name, Order(scene.image, scene.model, start.initial, options, origin, functions))

    def _fit_options(self, name: str, initial: Initial) -> FitOptions:
        """What a lane is to be fitted with: the windows of a tracked frame where it starts from the one before."""
        model, chosen = self.scene.model, self.choices[name]
        if self.scene.video is None or model is None or initial.source is not Source.PREVIOUS:
            return chosen.options
        windows = tracked_windows(model, chosen.options, chosen.tracking, float(initial.params[0]))
        return replace(chosen.options, windows=windows)

    # --- lanes, options and look --------------------------------------------------------------

    def set_comparing(self, on: bool) -> None:
        """Show lane B beside lane A, or A alone."""
        if on != self.comparing:
            choices = self.choices
            if on and self.scene.video is not None:  # B tracks from where A does
                choices = choices.with_lane("B", begin=choices.a.begin, first=choices.a.first)
            self.choose(replace(choices, comparing=on, active="A"))

    def set_active(self, name: str) -> None:
        """Choose the lane that options and start apply to."""
        if name in self.shown and name != self.active:
            self._follow(replace(self.choices, active=name))

    def swap_lanes(self) -> None:
        """Let each lane be what the other was."""
        if self.comparing:
            choices = self.choices
            if choices.b.start is not None:  # the start that A was offered goes with it
                choices = choices.with_lane("A", start=self.starts.of("A"))
            self.choose(choices.swapped())

    def set_options(self, options: FitOptions) -> None:
        """Refit the active lane with other options; the cursor keeps its place."""
        self.choose(self.choices.with_lane(self.active, options=options))

    def set_look(self, look: Look) -> None:
        """Show things another way."""
        self.choose(replace(self.choices, look=look))

    def select(self, landmark: int | None) -> None:
        """Select a landmark everywhere."""
        if landmark != self.selection:
            self.selection = landmark
            self.changed.emit(Aspect.SELECTION)

    # --- the lab ------------------------------------------------------------------------------

    def subject(self) -> Subject | None:
        """What the Lab's tools would look at now; None before the active lane has a run."""
        runs = {name: trace for name in self.shown if (trace := self.trace(name)) is not None}
        model = self.scene.model
        if model is None or self.active not in runs:
            return None
        recorded = frozenset(name for name in runs if self.lanes[name].recorded is not None)
        own = {name: self.lanes[name].run for name in runs if self.lanes[name].functions is not None}
        return Subject(runs, self.active, model, self.scene.truth, recorded, own)

    @property
    def can_diagnose(self) -> bool:
        """Whether the runs that are shown are finished."""
        return self.scene.model is not None and all(self.finished(name) for name in self.shown)

    def diagnose(self, names: Iterable[str]) -> None:
        """Run tools of the Lab on the runs that are shown."""
        subject = self.subject()
        if subject is not None and self.can_diagnose:
            self.lab.run(names, subject)

    def check_recorded(self) -> None:
        """Let the Lab say which operations of the recorded run in the active lane conform, whatever else is running."""
        subject = self.subject()
        self.lab.choose(CONFORMANCE)
        if subject is not None and self.active in subject.recorded:
            self.lab.run((CONFORMANCE,), subject)

    def look_at(self, operation: str, place: Place) -> None:
        """Look at one operation of the run that was checked: go to a step, and to the landmark where it is worst."""
        self.evaluations.choose(operation)
        self.cursor.move_to(place)
        self.changed.emit(Aspect.LAB)

    def evaluate(self) -> None:
        """Recompute the operation that is looked at where the cursor stands, unless that is known."""
        now, record = self.subject(), self.lab.records[self.lab.chosen]
        result = record.result
        if now is None or result is None or record.is_stale(now):
            self.evaluations.forget()
        else:
            self.evaluations.show(result, now.runs[result.lanes[0]], now.model, self.cursor.place)

    def results(self) -> tuple[tuple[Tool, Result], ...]:
        """What the Lab has found in the runs that are shown."""
        subject = self.subject()
        return () if subject is None else self.lab.results(subject)

    def follow(self, link: Link) -> None:
        """Go to what a row of a finding is about: a landmark, a deviation, a start, or a place in the run."""
        result = self.lab.records[self.lab.chosen].result
        lane = self.active if result is None else result.lanes[0]
        if isinstance(link, Initial):
            self.set_active(lane)
            self.starts.set(link)
        elif isinstance(link, str):
            self.try_deviation(link, lane)
        elif not isinstance(link, int):
            self.cursor.move_to(link)
        elif self.scene.model is not None and link < self.scene.model.n_landmarks:
            self.select(link)

    def try_deviation(self, name: str, lane_name: str = "A") -> None:
        """Let lane B be like a lane, but with exactly one deviation; compare it with A."""
        deviation, lane = DEVIATIONS[name], self.choices[lane_name]
        value = getattr(lane.options, name) if deviation.on(lane.options) else deviation.value
        options = replace(without_deviations(lane.options), **{name: value})
        if self.scene.video is not None:
            lane = replace(lane, start=self.starts.of(lane_name))
        elif lane_name == "A" and lane.recorded is None:
            lane = replace(lane, start=None)
        target = "B" if self.choices.b.recorded is None else "A"
        choices = replace(self.choices, comparing=True, active=target)
        self.choose(choices.with_lane(target, **vars(replace(lane, options=options, recorded=None, functions=None))))
        if self.choices[target].recorded is None:
            self.told.emit(f"lane {target} is lane {lane_name} with no deviation but {name}")

    def go_to_divergence(self) -> None:
        """Go to where the landmarks of A and B part by more than rounding, else to the first bit that differs."""
        self.tell_divergence(go=True)

    def tell_divergence(self, go: bool) -> None:
        """Say where A and B part, and go there if that is wanted."""
        a, b = self.trace("A"), self.trace("B")
        if not self.comparing or a is None or b is None:
            return
        try:
            found = divergence(a, b, model=self.scene.model)
        except ValueError as error:  # a recorded run of other landmarks
            self.told.emit(f"A and B cannot be compared: {error}")
            return
        first = None if found.divergence is None else found.divergence.step_a or found.divergence.step_b
        step = found.parting or first
        if step is not None and go:
            self.cursor.move_to(step.place)
        self.told.emit(f"Do A and B part? {found.verdict}")

    # --- opening ------------------------------------------------------------------------------

    def open_model(self, path: str | Path) -> None:
        """Load a model and fit with it."""
        self.opener.open_model(path)

    def open_image(self, path: str | Path) -> None:
        """Load an image, find its faces and fit the largest."""
        self.opener.open_image(path)

    def open_video(self, path: str | Path) -> None:
        """Open a video, or a folder of images, and fit its first frame."""
        self.opener.open_video(path)

    def open_trace(self, path: str | Path) -> None:
        """Show a saved run in lane A, and beside one that the engine does not reproduce, the engine's in lane B."""
        self.opener.open_trace(path, lambda: self.scene.model)

    def open_session(self, path: str | Path) -> None:
        """Open what a session file holds."""
        self.opener.open_session(path)

    def open_truth(self, path: str | Path) -> None:
        """Load the true landmarks of the image from a ``.pts`` file, to be shown and measured against."""
        try:
            self.scene.set_truth(read_pts(path), Path(path))
        except ClnfError as error:
            self.failed.emit(str(error), "")
            return
        self.changed.emit(Aspect.TRUTH)

    def document(self) -> SessionDocument | None:
        """What a session file holds of this Session; None before a model and an image are open."""
        scene, choices = self.scene, self.choices
        if scene.model is None or scene.model.path is None or scene.image is None:
            return None
        if scene.video is None:
            choices = choices.with_lane("A", start=self.starts.of("A"))
        return SessionDocument(
            model=scene.model.path,
            image=scene.image.path,
            choices=choices,
            recorded=self.recorded_files(),
            place=self.cursor.place,
            selection=self.selection,
            stops=tuple(stop.text for stop in self.cursor.stops),
            frame=scene.frame,
            truth=scene.truth_path,
        )

    @Slot(object)
    def _take(self, opened: Opened) -> None:
        take(self, opened)

    @Slot(object)
    def _take_live(self, recorded: Recorded) -> None:
        take_live(self, recorded)

    @Slot(Aspect)
    def _show_waiting(self, aspect: Aspect) -> None:
        if Aspect.CURSOR in aspect:
            show_waiting(self)

    @Slot(object)
    def _compare_ended(self, recorded: Recorded) -> None:
        self.opener.compare_ended(recorded, self.scene.model)

    def begin_anew(self) -> None:
        """Forget whatever belongs to a model or a picture that is no longer open; options and look stay."""
        for name, lane in self.lanes.items():
            self.fits.cancel(name)
            lane.forget_run()
        self.lanes.choose(self.choices.without_starts())
        self.history.clear()
        self.evaluations.forget()
        self.cursor.set_place(START)
        self.frames.look_for_maps()
        self.selection, self.note = None, ("", "")

    def set_note(self, note: str, command: str) -> None:
        """Say something about the picture that is shown, and offer a command; forgotten with the picture."""
        self.note = note, command
        self.changed.emit(Aspect.START)

    # --- video --------------------------------------------------------------------------------

    def set_tracking_options(self, tracking: TrackOptions) -> None:
        """Track the active lane with other options."""
        lane, model = self.choices[self.active], self.scene.model
        if tracking == lane.tracking or model is None:
            return
        first = lane.first
        try:
            if tracking.initialization in (Source.BOX, Source.LANDMARKS) and (
                first is None or first.source is not tracking.initialization
            ):
                first = self.lane.start_of_kind(tracking.initialization, model)
            check_first(model, tracking, first)
        except ClnfError as error:
            self.failed.emit(str(error), "")
            self.changed.emit(Aspect.OPTIONS)
            return
        self.choose(self.choices.with_lane(self.active, tracking=tracking, first=first))

    def track_from_here(self) -> None:
        """Begin the tracking of every lane with this frame and the active lane's start."""
        frame, first, choices = self.scene.frame, self.lane.initial, self.choices
        if frame is None or first is None:
            return
        for name in self.shown:
            tracking = choices[name].tracking
            if tracking.initialization in (Source.BOX, Source.LANDMARKS):
                tracking = replace(tracking, initialization=Source.PREVIOUS)
            choices = choices.with_lane(name, begin=frame, first=first, tracking=tracking)
        self.choose(choices)
        self.tracker.start()

    def go_to_parting(self) -> None:
        """Show the first frame in which the lanes' landmarks are farther apart than `PARTING_PX`."""
        apart = self.tracker.apart
        if apart is None:
            return
        found = apart.parting(PARTING_PX)
        so_far = "" if apart.end >= len(self.scene.times) else f" up to frame {apart.end}, where both have come to"
        if found is None:
            self.told.emit(f"A and B stay within {PARTING_PX:g} px of each other{so_far}")
            return
        distance = "only one has found a face" if apart.one_only[found] else f"{apart.distance[found]:.2f} px apart"
        self.frames.go_to(found)
        self.told.emit(f"A and B first part at frame {found + 1}: {distance}")

    def give_way(self) -> None:
        """Let a tracking wait until the window has been painted."""
        if self.tracker.tracking:
            self.frames.give_way()
