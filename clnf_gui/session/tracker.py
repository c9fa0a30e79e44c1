"""Tracker: follows a face through the video in every lane that is shown, in a thread of its own."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from clnf_engine.errors import VideoFileError
from clnf_engine.tracking.results import Apart, Results
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.lanes import Lane, Lanes, Origin
from clnf_gui.session.scene import Scene
from clnf_gui.session.shots import Batch, Gate, Shot, Task, track_lanes
from clnf_gui.worker import Worker

_TELL_MS = 100
"""While tracking, the views hear of it this often."""
_FRAMES_AT_ONCE = 200
"""So many are compared without a pause."""
_TRACK = "track"
PARTING_PX = 1.0
"""Two trackings part where a landmark is farther apart."""


class Tracker(QObject):
    """Tracks, when asked to, what is still to be tracked.

    Attributes
    ----------
    apart : Apart or None
        How far apart the lanes are, while two are compared.
    rate : float
        Frames per second.
    """

    changed = Signal(Aspect)
    told = Signal(str)
    failed = Signal(str, str)
    arrived = Signal(object)
    """Names of lanes in which the frame that is shown has just been tracked."""
    shot = Signal(object)
    """A `Shot` that has just been tracked, while every frame is to be shown."""

    def __init__(self, lanes: Lanes, scene: Scene, gate: Gate, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lanes, self._scene, self._gate = lanes, scene, gate
        self.apart: Apart | None = None
        self.rate = 0.0
        self._wanted = self._tracking = False
        self._told_of_damage = False
        self._begun, self._count = 0.0, 0
        self._tell_timer = QTimer(self, singleShot=True)
        self._tell_timer.timeout.connect(self._tell)
        self._compare_timer = QTimer(self, singleShot=True)
        self._compare_timer.timeout.connect(self._compare)
        self._worker = Worker("clnf-track")
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)

    def shut_down(self) -> None:
        """End the thread."""
        self._tell_timer.stop()
        self._compare_timer.stop()
        self._gate.open()
        self._worker.shut_down()

    # --- what is known ------------------------------------------------------------------------

    @property
    def tracking(self) -> bool:
        """Whether a face is being tracked now."""
        return self._tracking

    @property
    def can_track(self) -> bool:
        """Whether there are frames left to track."""
        scene = self._scene
        left = any(not lane.followed for lane in self._lanes.shown.values())
        return scene.video is not None and scene.model is not None and left

    @property
    def tracked(self) -> int:
        """Number of the frame after the last one that was tracked in every lane."""
        return min((results.end for results in self.all_results().values()), default=0)

    @property
    def chasing(self) -> bool:
        """Whether every frame is shown as it is tracked; the tracking waits until it is."""
        return self._gate.watched

    def all_results(self) -> dict[str, Results]:
        """The results of the lanes that are shown."""
        found = {name: lane.results for name, lane in self._lanes.shown.items()}
        return {name: results for name, results in found.items() if results is not None}

    # --- tracking -----------------------------------------------------------------------------

    def start(self) -> None:
        """Track on from where tracking was stopped, and show how it goes; from now on every change tracks anew."""
        self._wanted = True
        self._gate.watch(True)
        self.go_on()

    def stop(self) -> None:
        """Stop; what was tracked stays."""
        self._wanted = False
        self._gate.watch(False)
        self._pause()
        self._tell()

    def set_chasing(self, on: bool) -> None:
        """Let every frame be shown as it is tracked, or let the tracking run."""
        self._gate.watch(on)
        self._tell()

    def open(self) -> None:
        """Begin with another video, of which nothing is known and nothing was asked."""
        self._wanted = self._told_of_damage = False
        self._gate.watch(False)
        self._pause()
        self.apart = None
        for name in self._lanes:
            self.forget(name)

    def forget(self, name: str) -> None:
        """What was tracked in a lane is out of date: let it be tracked from its beginning."""
        video, model, lane = self._scene.video, self._scene.model, self._lanes[name]
        if video is None or model is None:
            lane.set_results(None)
        else:
            begin = min(lane.chosen.begin, len(video) - 1)
            lane.set_results(Results(len(video), model, begin, lane.tracking.rules))

    def go_on(self) -> None:
        """Track what is still to be tracked in the lanes that are shown; what is under way goes on from there."""
        self._pause()
        self._pair()
        source, model = self._scene.video, self._scene.model
        if self._wanted and source is not None and model is not None:
            tasks = {
                name: Task(lane.results, lane.options, lane.tracking, lane.chosen.first, lane.results.past)
                for name, lane in self._lanes.shown.items()
                if lane.results is not None and not lane.followed
            }
            if tasks:
                self._tracking, self._begun, self._count = True, time.monotonic(), 0
                self._worker.submit(_TRACK, lambda: track_lanes(source, model, tasks, self._gate, self._worker.check))
        self._tell()

    def _pause(self) -> None:
        self._worker.cancel(_TRACK)
        self._gate.open()
        self._tracking = False

    def _tell(self) -> None:
        self.changed.emit(Aspect.TRACK)

    # --- comparing ----------------------------------------------------------------------------

    def _pair(self) -> None:
        """Compare the lanes, if two are shown; what was compared of them stays."""
        a, b = (lane.results for lane in self._lanes.values())
        if not self._lanes.choices.comparing or a is None or b is None:
            self.apart = None
        elif self.apart is None or (self.apart.a, self.apart.b) != (a, b):
            self.apart = Apart(a, b)
            self._compare()

    def _compare(self) -> None:
        """Compare what both lanes have come by, a little at a time."""
        if self.apart is not None and not self.apart.update(_FRAMES_AT_ONCE):
            self._compare_timer.start(0)
        if self.apart is not None and not self._tell_timer.isActive():
            self._tell_timer.start(_TELL_MS)

    # --- answers ------------------------------------------------------------------------------

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, item: Batch | Shot | VideoFileError) -> None:
        if not self._worker.is_current(kind, epoch):
            return
        if isinstance(item, Shot):
            self._gate.open()
            self.shot.emit(item)
        elif isinstance(item, VideoFileError):
            if not self._told_of_damage:
                self._told_of_damage = True
                self.failed.emit(str(item), "")
        else:
            self._take(item)

    def _take(self, batch: Batch) -> None:
        arrived = set()
        for name, result in batch:
            lane = self._lanes[name]
            if lane.results is not None:
                lane.results.append(result)
                if result.index == self._scene.frame and _shows_another_fit(lane):
                    arrived.add(name)
        self._compare()
        self._count += len({result.index for _, result in batch})
        self.rate = self._count / max(time.monotonic() - self._begun, 1e-6)
        if not self._tell_timer.isActive():
            self._tell_timer.start(_TELL_MS)
        if arrived:
            self.arrived.emit(arrived)

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, seconds: float) -> None:
        if self._worker.is_current(kind, epoch):
            for lane in self._lanes.shown.values():
                lane.end_tracking()
            self._tracking = False
            self._gate.watch(False)
            self._tell_timer.stop()
            self._tell()
            self.told.emit(f"tracked {self._count} frames in {seconds:.1f} s")

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(kind, epoch):
            self._wanted = self._tracking = False
            self._gate.watch(False)
            self._tell()
            self.failed.emit(message, details)


def parting(apart: Apart, frames: int) -> tuple[int | None, str]:
    """The first of so many frames in which the lanes' landmarks are farther apart than `PARTING_PX`, and what to say.

    The frame is None where there is none as far as both lanes have come.
    """
    found = apart.parting(PARTING_PX)
    if found is None:
        so_far = "" if apart.end >= frames else f" up to frame {apart.end}, where both have come to"
        return None, f"A and B stay within {PARTING_PX:g} px of each other{so_far}"
    distance = "only one has found a face" if apart.one_only[found] else f"{apart.distance[found]:.2f} px apart"
    return found, f"A and B first part at frame {found + 1}: {distance}"


def _shows_another_fit(lane: Lane) -> bool:
    """Whether a lane shows a fit that only stands in for the tracked one."""
    return lane.origin in (Origin.ALONE, Origin.CHANGED)
