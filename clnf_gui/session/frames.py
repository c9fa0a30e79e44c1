"""Frames: which frame of the video is wanted, fetched with its fits by a thread; a newer wish replaces an older one."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from clnf_engine import Step, VideoSource
from clnf_engine.steps import Place, numbers_of
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.cursor import Cursor
from clnf_gui.session.fits import Fits
from clnf_gui.session.lanes import Lanes
from clnf_gui.session.playback import Playback
from clnf_gui.session.scene import Scene
from clnf_gui.session.shots import Gate, Shot, Wish, take_shot
from clnf_gui.worker import Worker

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of playing, times real time."""

_TICK_MS = 4
_SHOT, _CLOSE = "shot", "close"


class Frames(QObject):
    """Fetches the frame that is wanted, and plays.

    Attributes
    ----------
    wanted : int
        Number of the frame that is shown, or that is to be as soon as it is there.
    playback : Playback
    speed : float
        Of playing, times real time.
    """

    changed = Signal(Aspect)
    failed = Signal(str, str)

    def __init__(
        self, lanes: Lanes, scene: Scene, cursor: Cursor, fits: Fits, gate: Gate, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._lanes, self._scene, self._cursor, self._fits, self._gate = lanes, scene, cursor, fits, gate
        self.wanted, self.speed = 0, 1.0
        self.playback = Playback(_TICK_MS, self)
        self.playback.due.connect(self._tick)
        self.playback.switched.connect(self._tell_of_playing)
        self._clock = (0.0, 0.0)
        """When playing began, and the time in the video then."""
        self._busy = False
        self._maps_wanted = True
        self._pending: set[str] = set()
        """Lanes to be fitted to the frame that is wanted, once the one on its way is there."""
        self._unclosed: list[VideoSource] = []
        self._gate_timer = QTimer(self, singleShot=True)
        self._gate_timer.timeout.connect(self._open_gate)
        self._worker = Worker("clnf-frames")
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether a frame is on its way."""
        return self._busy

    @property
    def closing(self) -> bool:
        """Whether a video that was shown is still being closed."""
        return bool(self._unclosed)

    def shut_down(self) -> None:
        """End the thread and close the videos."""
        self.playback.stop()
        self._gate_timer.stop()
        self._worker.shut_down()
        for source in filter(None, (self._scene.close_video(), *self._unclosed)):
            source.close()
        self._unclosed = []

    # --- going to a frame ---------------------------------------------------------------------

    def go_to(self, index: int) -> None:
        """Show a frame, whatever a tracking shows; one out of range means the nearest end."""
        if self._scene.video is not None:
            self._gate.watch(False)
            self._want(index)
            self._set_clock()

    def go_by(self, count: int) -> None:
        """So many frames forwards or back."""
        self.go_to(self.wanted + count)

    def _want(self, index: int) -> None:
        self.expect(index)
        self.fetch(self._lanes.shown)

    def expect(self, index: int) -> None:
        """Say which frame is shown next, however it comes; one out of range means the nearest end."""
        self.wanted = min(max(index, 0), max(len(self._scene.times) - 1, 0))
        self.changed.emit(Aspect.FRAME)

    def fetch(self, names: Iterable[str]) -> None:
        """Let the thread decode the frame that is wanted and fit it in these lanes, once the frame before is done."""
        source, model, index = self._scene.video, self._scene.model, self.wanted
        lanes = {name: lane for name, lane in self._lanes.shown.items() if name in set(names)}
        if source is None or not lanes:
            return
        if self._busy:
            self._pending.update(lanes)
            return
        self._pending.clear()
        wishes = {name: Wish.of(lane, index) for name, lane in lanes.items()}
        self._gate.close()
        self._busy = True
        self._worker.submit(_SHOT, lambda: take_shot(source, index, model, wishes, self._worker.check))
        self.changed.emit(Aspect.BUSY)

    def close(self, source: VideoSource) -> None:
        """Fetch nothing more, and close a video, which may have to wait for a frame."""
        self.forget()
        self._unclosed.append(source)
        unclosed = tuple(self._unclosed)
        self._worker.submit(_CLOSE, lambda: _closing(unclosed))

    def forget(self) -> None:
        """Drop the frame that is on its way, and begin again with the first."""
        self.playback.stop()
        self._worker.cancel(_SHOT)
        self._pending.clear()
        self._busy, self.wanted = False, 0
        self._gate.open()

    def give_way(self) -> None:
        """Let a tracking wait until the window has been painted."""
        self._gate.close()
        self._gate_timer.start(0)

    def _open_gate(self) -> None:
        if not self._busy:
            self._gate.open()

    # --- showing a frame ----------------------------------------------------------------------

    def look_for_maps(self, on: bool = True) -> None:
        """Let the cursor go to the last response maps of the next fit that is shown, or stay."""
        self._maps_wanted = on

    def _show(self, shot: Shot) -> None:
        """Show a frame with its fits, where they are still as wished."""
        if shot.image is None:
            if not self.playback.on:
                self.wanted = self._scene.frame or 0
                self.failed.emit(shot.problem, "")
            self.changed.emit(Aspect.FRAME)
            return
        self._scene.set_frame(shot.image, shot.index, shot.faces)
        choices = self._lanes.choices
        for name, fit in shot.fits.items():
            lane = self._lanes[name]
            if fit.track is not lane.results:
                self._pending.add(name)
                continue
            self._fits.cancel(name)
            choices = choices.with_lane(name, start=None)
            lane.take_run(fit.initial, fit.options, fit.origin, fit.steps, fit.seconds)
            if len(fit.steps) and self._maps_wanted:
                self._maps_wanted = False
                self._cursor.set_place(_last_maps(fit.steps))
            lane.show(self._cursor.place)
        self._lanes.choose(choices)
        self.changed.emit(Aspect.FRAME | Aspect.START | Aspect.STEPS | Aspect.CURSOR)

    @Slot(object)
    def show_tracked(self, names: set[str]) -> None:
        """Show the frame that is shown as it has just been tracked in these lanes."""
        if self.wanted == self._scene.frame and not self.playback.on and not self._gate.watched:
            self.fetch(names)

    @Slot(object)
    def show_tracked_shot(self, shot: Shot) -> None:
        """Show a frame that has just been tracked, if that is still wished."""
        if not self._gate.watched or self.playback.on or self._busy:
            return
        if set(shot.fits) == set(self._lanes.shown):
            self.wanted = shot.index
            self._show(shot)
        else:  # another lane has been tracked before
            self._want(shot.index)

    # --- playing ------------------------------------------------------------------------------

    def set_playing(self, on: bool) -> None:
        """Play the frames at their times; those that would come too late are left out."""
        if on and not self.playback.on and self._scene.video is not None:
            self.go_to(0 if self.wanted >= len(self._scene.times) - 1 else self.wanted)
            self.playback.start()
        elif not on:
            self.playback.stop()

    def set_speed(self, speed: float) -> None:
        """How fast frames are played, times real time."""
        self.speed = speed
        self._set_clock()
        self.changed.emit(Aspect.TRACK)

    def _tell_of_playing(self) -> None:
        self.changed.emit(Aspect.TRACK | Aspect.PLAYING)

    def _set_clock(self) -> None:
        if self._scene.times:
            self._clock = (time.monotonic(), self._scene.times[self.wanted])

    def _tick(self) -> None:
        """Wish for the frame that is due, unless the one before is still on its way."""
        if self._busy:
            return
        began, at = self._clock
        due = bisect_right(self._scene.times, at + (time.monotonic() - began) * self.speed) - 1
        last = len(self._scene.times) - 1
        if due != self.wanted:
            self._want(due)
        elif due >= last and self._cursor.looping:
            self.go_to(0)
        elif due >= last:
            self.set_playing(False)

    # --- answers ------------------------------------------------------------------------------

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, item: Shot | tuple[VideoSource, ...]) -> None:
        if not self._worker.is_current(kind, epoch):
            return
        if isinstance(item, Shot):
            self._show(item)
        else:
            self._unclosed = [source for source in self._unclosed if source not in item]

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, _: float) -> None:
        if kind == _SHOT and self._worker.is_current(kind, epoch):
            self._end()

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(kind, epoch):
            if kind == _SHOT:
                self._end()
            self.failed.emit(message, details)

    def _end(self) -> None:
        self._busy = False
        self.changed.emit(Aspect.BUSY)
        self._gate.open()
        if self._pending:
            self.fetch(tuple(self._pending))


def _closing(sources: tuple[VideoSource, ...]) -> Iterator[tuple[VideoSource, ...]]:
    for source in sources:
        source.close()
    yield sources


def _last_maps(steps: Sequence[Step]) -> Place:
    """The last place of a run at which there are response maps."""
    numbers = numbers_of(steps)
    return next((step.place for step in reversed(numbers) if step.has("responses")), numbers[-1].place)
