"""Video: which frame is shown, going to another, playing them, and where two trackings part."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer

from clnf_engine import Initial, Step, VideoSource, open_video
from clnf_engine.io.frames import Frame
from clnf_engine.io.images import Image
from clnf_engine.steps import Place
from clnf_engine.tracking.results import Results
from clnf_gui.cursor import ALL_ASPECTS, Aspect
from clnf_gui.lane import Origin
from clnf_gui.shots import Shot, Wish, take_shot
from clnf_gui.tracks import SHOT, Tracks

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of playing, times real time."""
PARTING_PX = 1.0
"""Two trackings part where a landmark is farther apart."""

_KEPT_FRAMES = 12
"""A person who steps back comes by those before; more would only take memory."""
_TICK_MS = 4
_CLOSE = "close"

Opened = tuple[VideoSource, Frame]


class Video(Tracks):
    """Shows one frame of a video, with its fits; a newer wish for a frame takes the place of an older one.

    Attributes
    ----------
    wanted : int
        Number of the frame that is shown, or that is to be as soon as it is there.
    times : list of float
        Of all frames, seconds.
    speed : float
        Of playing, times real time.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.faces: tuple[Initial, ...] = ()
        self.wanted = 0
        self.times: list[float] = []
        self.speed = 1.0
        self._clock = (0.0, 0.0)
        """When playing began, and the time in the video then."""
        self._pending: set[str] = set()
        """Lanes to be fitted to the frame that is wanted, once the one on its way is there."""
        self._at_maps = False
        self._unclosed: list[VideoSource] = []
        self._tick_timer = QTimer(self, interval=_TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._tick_timer.timeout.connect(self._tick)

    def shut_down(self) -> None:
        """Stop playing, end the threads and close the video."""
        self._tick_timer.stop()
        super().shut_down()
        for source in filter(None, (self.video, *self._unclosed)):
            source.close()
        self.video = None

    # --- opening ------------------------------------------------------------------------------

    def open_video(self, path: str | Path) -> None:
        """Open a video, or a folder of images, and fit its first frame."""
        self._submit("video", lambda: opened_video(path))

    def _show_video(self, opened: Opened) -> None:
        """Show the video that was opened, and fit its first frame."""
        self._set_video(opened)
        self.changed.emit(ALL_ASPECTS)
        self._take_shot(self.lanes)
        if self.frame:
            self.told.emit(f"frame {self.frame + 1} is the first that can be decoded")

    def _set_video(self, opened: Opened, at: int | None = None) -> None:
        """Take over the video that was opened; `at` is the frame wanted, by default the first."""
        source, frame = opened
        self._set_picture(Image(source.path, frame.rgb, frame.gray))
        self.video, self.frame = source, frame.index
        self.times = [source.timestamp(k) for k in range(len(source))]
        self._told_of_damage, self._at_maps = False, at is not None
        for lane in self.lanes.values():
            self._forget_track(lane)
        self.wanted = frame.index if at is None else min(max(at, 0), len(source) - 1)

    def _set_picture(self, image: Image) -> None:
        """Show another image, with nothing known of it; `Session` does."""
        raise NotImplementedError

    def _close_video(self) -> None:
        """Stop whatever is done with the video; closing it may have to wait for a frame, so a thread does it."""
        source, self.video = self.video, None
        self._tick_timer.stop()
        self._pause_tracking()
        self._wanted = self._gate.watched = False
        self._worker.cancel(SHOT)
        self._open.discard(SHOT)
        self._pending.clear()
        self.times, self.frame, self.wanted, self.apart = [], 0, 0, None
        if source is not None:
            self._unclosed.append(source)
            unclosed = tuple(self._unclosed)
            self._worker.submit(_CLOSE, lambda: _closing(unclosed))

    def _set_closed(self, sources: Iterable[VideoSource]) -> None:
        self._unclosed = [source for source in self._unclosed if source not in sources]

    # --- going to a frame ---------------------------------------------------------------------

    def go_to_frame(self, index: int) -> None:
        """Show a frame; one out of range means the nearest end."""
        if self.video is not None:
            self._gate.watched = False
            self._go_to(index)
            self._set_clock()

    def go_by_frames(self, count: int) -> None:
        """So many frames forwards or back."""
        self.go_to_frame(self.wanted + count)

    def _go_to(self, index: int) -> None:
        self.wanted = min(max(index, 0), len(self.times) - 1)
        self.changed.emit(Aspect.FRAME)
        self._take_shot(self.shown)

    def _take_shot(self, names: Iterable[str]) -> None:
        """Let a thread decode the frame that is wanted and fit it in these lanes, once the frame before is done."""
        source, model, index = self.video, self.model, self.wanted
        shown = [name for name in names if name in self.shown]
        if source is None or not shown:
            return
        if SHOT in self._open:
            self._pending.update(shown)
        else:
            self._pending.clear()
            wishes = {name: Wish.of(self.lanes[name], index) for name in shown}
            self._gate.close()
            self._submit(SHOT, lambda: take_shot(source, index, model, wishes, self._worker.check))

    def _set_shot(self, shot: Shot) -> None:
        if shot.image is None:
            if not self.video_playing:
                self.wanted = self.frame
                self.failed.emit(shot.problem, "")
            self.changed.emit(Aspect.FRAME)
            return
        moved = shot.index != self.frame
        self.image, self.frame = shot.image, shot.index
        if moved or shot.faces:
            self.faces = shot.faces
        for name, fit in shot.fits.items():
            lane = self.lanes[name]
            if fit.track is not lane.results:
                self._pending.add(name)
                continue
            self._worker.cancel(name)
            self._open.discard(name)
            lane.base_initial = lane.initial = fit.initial
            lane.steps, lane.complete, lane.seconds = fit.steps, bool(fit.steps), fit.seconds
            lane.fit_options, lane.origin = fit.options, fit.origin
            if fit.steps and not self._at_maps:
                self._at_maps, self.place = True, _last_maps(fit.steps)
            lane.show(self.place)
        self.changed.emit(Aspect.FRAME | Aspect.START | Aspect.STEPS | Aspect.CURSOR)

    def _go_on(self, kind: str) -> None:
        if kind == SHOT:
            self._gate.open()
            if self._pending:
                self._take_shot(set(self._pending))

    def _show_tracked(self, arrived: set[str]) -> None:
        if self.wanted == self.frame and not self.video_playing and not self.chasing:
            self._take_shot(arrived)

    def _set_tracked_shot(self, shot: Shot) -> None:
        if not self.chasing or self.video_playing or SHOT in self._open:
            return
        if set(shot.fits) == set(self.shown):
            self.wanted = shot.index
            self._set_shot(shot)
        else:  # another lane has been tracked before
            self._go_to(shot.index)

    def frame_note(self, name: str) -> str:
        """Which frame a lane shows and what the fit of it is; "" without a video."""
        lane = self.lanes[name]
        if self.video is None or self.image is None:
            return ""
        state = None if lane.results is None else lane.results.state(self.frame)
        if lane.origin is Origin.TRACKED and state is not None and lane.results is not None:
            result = lane.results[self.frame]
            text = state.value.replace("_", " ")
            if result is not None and not result.success and result.initial is not None:
                text += f": {result.message}"
        elif lane.initial is None:
            text = "no face found; a start can be given under Initialization"
        else:
            text = str(lane.origin)
        return f"frame {self.frame + 1}, {text}"

    # --- playing ------------------------------------------------------------------------------

    @property
    def video_playing(self) -> bool:
        """Whether frames follow one another by themselves."""
        return self._tick_timer.isActive()

    def set_video_playing(self, on: bool) -> None:
        """Play the frames at their times; those that would come too late are left out."""
        if on != self.video_playing and self.video is not None:
            if on:
                self.set_playing(False)
                self.go_to_frame(0 if self.wanted >= len(self.times) - 1 else self.wanted)
                self._tick_timer.start()
            else:
                self._tick_timer.stop()
            self.changed.emit(Aspect.TRACK | Aspect.PLAYING)

    def set_playing(self, on: bool) -> None:
        if on:
            self.set_video_playing(False)
        super().set_playing(on)

    def set_video_speed(self, speed: float) -> None:
        """How fast frames are played, times real time."""
        self.speed = speed
        self._set_clock()
        self.changed.emit(Aspect.TRACK)

    def _set_clock(self) -> None:
        if self.times:
            self._clock = (time.monotonic(), self.times[self.wanted])

    def _tick(self) -> None:
        """Wish for the frame that is due, unless the one before is still on its way."""
        if not self.video_playing or SHOT in self._open:
            return
        began, at = self._clock
        due = bisect_right(self.times, at + (time.monotonic() - began) * self.speed) - 1
        last = len(self.times) - 1
        if due != self.wanted:
            self._go_to(due)
        elif due >= last and self.looping:
            self.go_to_frame(0)
        elif due >= last:
            self.set_video_playing(False)

    # --- comparing ----------------------------------------------------------------------------

    def _show_other_lane(self) -> None:
        """Fit lane B, which has come into sight, and track in it from where A does; or do so no more."""
        a, b = self.lanes["A"], self.lanes["B"]
        if self.video is None:
            if self.comparing:
                self._refit("B")
            return
        if self.comparing:
            if (b.begin, b.first) != (a.begin, a.first):
                b.begin, b.first = a.begin, a.first
                self._forget_track(b)
            b.steps, b.complete = [], False
            self._take_shot(("B",))
        self._track_on()

    def go_to_parting(self) -> None:
        """Show the first frame in which the lanes' landmarks are farther apart than `PARTING_PX`."""
        apart = self.apart
        if apart is None:
            return
        found = apart.parting(PARTING_PX)
        so_far = "" if apart.end >= len(self.times) else f" up to frame {apart.end}, where both have come to"
        if found is None:
            self.told.emit(f"A and B stay within {PARTING_PX:g} px of each other{so_far}")
            return
        distance = "only one has found a face" if apart.one_only[found] else f"{apart.distance[found]:.2f} px apart"
        self.go_to_frame(found)
        self.told.emit(f"A and B first part at frame {found + 1}: {distance}")

    def all_results(self) -> dict[str, Results]:
        """The results of the lanes that are shown."""
        found = {name: self.lanes[name].results for name in self.shown}
        return {name: results for name, results in found.items() if results is not None}


def opened_video(path: str | Path) -> Iterator[Opened]:
    """A video and its first frame that decodes."""
    source = open_video(path)
    source.kept_frames = _KEPT_FRAMES
    try:
        frame = next(source.frames())
    except BaseException:
        source.close()
        raise
    yield source, frame


def _closing(sources: tuple[VideoSource, ...]) -> Iterator[tuple[VideoSource, ...]]:
    for source in sources:
        source.close()
    yield sources


def _last_maps(steps: Sequence[Step]) -> Place:
    """The last place of a run at which there are response maps."""
    return next((step.place for step in reversed(steps) if step.responses is not None), steps[-1].place)
