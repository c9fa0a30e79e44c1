"""Tracks: what is known of all frames of a video, in every lane, and the tracking that finds it out."""

from __future__ import annotations

import time
from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Slot

from clnf_engine import (
    ClnfError,
    FitOptions,
    Initial,
    TrackOptions,
    VideoSource,
    initial_from_box,
    initial_from_landmarks,
)
from clnf_engine.errors import VideoFileError
from clnf_engine.options import Source
from clnf_engine.tracking.results import Apart, Results
from clnf_engine.tracking.track import check_first, tracked_windows
from clnf_gui.cursor import Aspect
from clnf_gui.lane import Lane, Origin
from clnf_gui.runs import Runs
from clnf_gui.shots import Batch, Gate, Shot, Task, track_lanes
from clnf_gui.worker import Worker

_TELL_MS = 100
"""While tracking, the views hear of it this often."""
_FRAMES_AT_ONCE = 200
"""So many are compared without a pause."""
SHOT = "shot"
"""Kind of the jobs that fit a frame to be shown; the tracking waits for them."""
_TRACK = "track"


class Tracks(Runs):
    """Tracks a face through the video in every lane that is shown, in a thread of its own.

    Attributes
    ----------
    video : VideoSource or None
    frame : int
        Number of the frame that is shown, from 0.
    apart : Apart or None
        How far apart the lanes are, while two are compared.
    rate : float
        Frames per second of the tracking.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.video: VideoSource | None = None
        self.frame = 0
        self.apart: Apart | None = None
        self.rate = 0.0
        self._gate = Gate()
        self._wanted = self._tracking = False
        self._told_of_damage = False
        self._begun, self._count = 0.0, 0
        self._tell_timer = QTimer(self, singleShot=True)
        self._tell_timer.timeout.connect(lambda: self.changed.emit(Aspect.TRACK))
        self._compare_timer = QTimer(self, singleShot=True)
        self._compare_timer.timeout.connect(self._compare)
        self._gate_timer = QTimer(self, singleShot=True)
        self._gate_timer.timeout.connect(self._open_gate)
        self._tracker = Worker("clnf-track")
        self._tracker.produced.connect(self._on_tracked)
        self._tracker.finished.connect(self._on_track_end)
        self._tracker.failed.connect(self._on_track_failed)

    def shut_down(self) -> None:
        """End the threads."""
        self._tell_timer.stop()
        self._compare_timer.stop()
        self._gate_timer.stop()
        self._gate.open()
        self._tracker.shut_down()
        super().shut_down()

    # --- what is known ------------------------------------------------------------------------

    @property
    def tracking(self) -> bool:
        """Whether a face is being tracked now."""
        return self._tracking

    @property
    def can_track(self) -> bool:
        """Whether there are frames left to track."""
        return self.video is not None and self.model is not None and any(not lane.followed for lane in self._lanes())

    @property
    def still(self) -> int | None:
        """Number of the frame that is shown; None without a video."""
        return None if self.video is None else self.frame

    @property
    def tracked(self) -> int:
        """Number of the frame after the last one that was tracked in every lane."""
        return min((lane.results.end for lane in self._lanes() if lane.results is not None), default=0)

    def _lanes(self) -> list[Lane]:
        return [self.lanes[name] for name in self.shown]

    # --- tracking -----------------------------------------------------------------------------

    def start_tracking(self) -> None:
        """Track on from where tracking was stopped, and show how it goes; from now on every change tracks anew."""
        if self.can_track:
            self._wanted = self._gate.watched = True
            self._track_on()

    def stop_tracking(self) -> None:
        """Stop; what was tracked stays."""
        self._wanted = self._gate.watched = False
        self._pause_tracking()
        self.changed.emit(Aspect.TRACK)

    @property
    def chasing(self) -> bool:
        """Whether every frame is shown as it is tracked; the tracking waits until it is."""
        return self._gate.watched

    def set_chasing(self, on: bool) -> None:
        """Let every frame be shown as it is tracked, or let the tracking run."""
        self._gate.watched = on
        self.changed.emit(Aspect.TRACK)

    def set_tracking_options(self, tracking: TrackOptions) -> None:
        """Track the active lane with other options."""
        lane = self.lane
        if tracking == lane.tracking or self.model is None:
            return
        first = lane.first
        try:
            if tracking.initialization in (Source.BOX, Source.LANDMARKS) and (
                first is None or first.source is not tracking.initialization
            ):
                first = self._shown_as(tracking.initialization, lane)
            check_first(self.model, tracking, first)
        except ClnfError as error:
            self.failed.emit(str(error), "")
            self.changed.emit(Aspect.OPTIONS)
            return
        self._record()
        lane.tracking, lane.first = tracking, first
        self.changed.emit(Aspect.OPTIONS)
        self._retrack(self.active)

    def _shown_as(self, source: Source, lane: Lane) -> Initial | None:
        """A start of a kind, made from the fit that is shown; None without one."""
        if self.model is None or lane.initial is None or not lane.steps:
            return None
        if lane.initial.source is source:
            return lane.initial
        if source is Source.BOX:
            return initial_from_box(self.model, lane.initial.box)
        return initial_from_landmarks(self.model, lane.steps[-1].landmarks)

    def track_from_here(self) -> None:
        """Begin the tracking of every lane with this frame and the active lane's start."""
        if self.video is None or self.lane.initial is None:
            return
        self._record()
        for name in self.shown:
            lane = self.lanes[name]
            lane.begin, lane.first = self.frame, self.lane.initial
            if lane.tracking.initialization in (Source.BOX, Source.LANDMARKS):
                lane.tracking = replace(lane.tracking, initialization=Source.PREVIOUS)
            self._forget_track(lane)
        self.changed.emit(Aspect.OPTIONS)
        self._wanted = self._gate.watched = True
        self._track_on()

    def _record(self) -> None:
        """Remember how things are, for undo; `Changes` does."""
        raise NotImplementedError

    def _forget_track(self, lane: Lane) -> None:
        """Let a lane be tracked from its beginning."""
        if self.video is not None and self.model is not None:
            lane.begin = min(lane.begin, len(self.video) - 1)
            lane.results, lane.followed = Results(len(self.video), self.model, lane.begin), False
            if lane.origin is Origin.TRACKED:
                lane.origin = Origin.CHANGED

    def _retrack(self, name: str) -> None:
        """Track a lane anew, if tracking has been asked for."""
        if self.video is not None:
            self._forget_track(self.lanes[name])
            self._track_on()

    def _track_on(self) -> None:
        """Track what is still to be tracked in the lanes that are shown; what is under way goes on from there."""
        self._pause_tracking()
        a, b = (lane.results for lane in self.lanes.values())
        if not self.comparing or a is None or b is None:
            self.apart = None
        elif self.apart is None or (self.apart.a, self.apart.b) != (a, b):
            self.apart = Apart(a, b)
            self._compare()
        source, model = self.video, self.model
        if self._wanted and source is not None and model is not None:
            tasks = {
                name: Task(lane.results, lane.options, lane.tracking, lane.first, lane.results.past)
                for name in self.shown
                if (lane := self.lanes[name]).results is not None and not lane.followed
            }
            if tasks:
                self._tracking, self._begun, self._count = True, time.monotonic(), 0
                self._tracker.submit(_TRACK, lambda: track_lanes(source, model, tasks, self._gate))
        self.changed.emit(Aspect.TRACK)

    def give_way(self) -> None:
        """Let the tracking wait until the window has been painted."""
        if self._tracking:
            self._gate.close()
            self._gate_timer.start(0)

    def _open_gate(self) -> None:
        if SHOT not in self._open:
            self._gate.open()

    def _compare(self) -> None:
        """Compare what both lanes have come by, a little at a time."""
        if self.apart is not None and not self.apart.update(_FRAMES_AT_ONCE):
            self._compare_timer.start(0)
        if self.apart is not None and not self._tell_timer.isActive():
            self._tell_timer.start(_TELL_MS)

    def _pause_tracking(self) -> None:
        self._tracker.cancel(_TRACK)
        self._gate.open()
        self._tracking = False

    # --- answers ------------------------------------------------------------------------------

    @Slot(str, int, object)
    def _on_tracked(self, kind: str, epoch: int, item: Batch | Shot | VideoFileError) -> None:
        if not self._tracker.is_current(kind, epoch):
            return
        if isinstance(item, Shot):
            self._gate.open()
            self._set_tracked_shot(item)
            return
        if isinstance(item, VideoFileError):
            if not self._told_of_damage:
                self._told_of_damage = True
                self.failed.emit(str(item), "")
            return
        arrived = set()
        for name, result in item:
            lane = self.lanes[name]
            if lane.results is not None:
                lane.results.append(result)
                if result.index == self.frame and lane.origin in (Origin.ALONE, Origin.CHANGED):
                    arrived.add(name)
        self._compare()
        self._count += len({result.index for _, result in item})
        self.rate = self._count / max(time.monotonic() - self._begun, 1e-6)
        if not self._tell_timer.isActive():
            self._tell_timer.start(_TELL_MS)
        if arrived:
            self._show_tracked(arrived)

    def _set_tracked_shot(self, shot: Shot) -> None:
        """Show a frame that has just been tracked, if that is still wished; `Video` does."""
        raise NotImplementedError

    def _show_tracked(self, arrived: set[str]) -> None:
        """Show the frame that is shown as it has just been tracked in these lanes; `Video` does."""
        raise NotImplementedError

    @Slot(str, int, float)
    def _on_track_end(self, kind: str, epoch: int, seconds: float) -> None:
        if self._tracker.is_current(kind, epoch):
            for lane in self._lanes():
                lane.followed = True
            self._tracking = self._gate.watched = False
            self._tell_timer.stop()
            self.changed.emit(Aspect.TRACK)
            self.told.emit(f"tracked {self._count} frames in {seconds:.1f} s")

    @Slot(str, int, str, str)
    def _on_track_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._tracker.is_current(kind, epoch):
            self._wanted = self._tracking = self._gate.watched = False
            self.changed.emit(Aspect.TRACK)
            self.failed.emit(message, details)

    # --- fits of single frames ----------------------------------------------------------------

    def _fit_options(self, lane: Lane) -> FitOptions:
        """What a lane is to be fitted with: the windows of a tracked frame where it starts from the one before."""
        initial = lane.initial
        if self.video is None or self.model is None or initial is None or initial.source is not Source.PREVIOUS:
            return lane.options
        windows = tracked_windows(self.model, lane.options, lane.tracking, float(initial.params[0]))
        return replace(lane.options, windows=windows)
