"""Cursor: two lanes under one cursor, moved by steps, phases and stages, run to stop conditions, and played."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag, auto
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from clnf_engine import FitOptions, Normalization, Phase, Step
from clnf_engine.steps import Place, place_order
from clnf_engine.stops import Stop, firings, first_stop
from clnf_gui.lane import Lane
from clnf_gui.look import Moment

START: Place = (0, Phase.RESPONSES, None)
"""Where the cursor stands when something is opened: the first moment at which there are response maps."""


class Aspect(Flag):
    """What of a Session has changed."""

    SOURCE = auto()
    TRUTH = auto()
    START = auto()
    OPTIONS = auto()
    STEPS = auto()
    CURSOR = auto()
    LOOK = auto()
    SELECTION = auto()
    PLAYING = auto()
    BUSY = auto()
    LANES = auto()
    STOPS = auto()
    LAB = auto()
    FRAME = auto()
    """Which frame of a video is shown."""
    TRACK = auto()
    """What is known of the other frames, and whether they are being tracked or played."""


ALL_ASPECTS = ~Aspect(0)


class Cursor(QObject):
    """Lanes A and B and the place (stage, phase, iteration) at which both are shown."""

    changed = Signal(Aspect)
    told = Signal(str)
    """A sentence for the status bar."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lanes = {"A": Lane(), "B": Lane(FitOptions(normalization=Normalization.PEAK))}
        self.comparing = False
        self.active = "A"
        self.place = START
        self.moment = Moment.UPDATE
        self.stops: tuple[Stop, ...] = ()
        self.looping = self.following = False
        self._play_timer = QTimer(self)
        self._play_timer.timeout.connect(self._play_on)
        self.set_speed(8.0)

    # --- what is shown ------------------------------------------------------------------------

    @property
    def lane(self) -> Lane:
        """The lane that options and start apply to, and whose numbers are read out."""
        return self.lanes[self.active]

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the lanes that are shown."""
        return ("A", "B") if self.comparing else ("A",)

    @property
    def step(self) -> Step | None:
        """The Step under the cursor in the active lane."""
        return self.lane.step

    @property
    def playing(self) -> bool:
        """Whether the cursor moves by itself."""
        return self._play_timer.isActive()

    # --- cursor -------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Every place that a shown run comes by, in order."""
        found = {step.place for name in self.shown for step in self.lanes[name].steps}
        return sorted(found, key=place_order)

    def move_to(self, place: Place) -> None:
        """Show another place, in both lanes."""
        if place != self.place or self.moment is not Moment.UPDATE:
            self.place, self.moment = place, Moment.UPDATE
            for name in self.shown:
                self.lanes[name].show(place)
            self.changed.emit(Aspect.CURSOR)

    def step_into(self, direction: int) -> None:
        """To the next or previous moment within an iteration: mean-shift, solve, update."""
        moments = list(Moment)
        inside = self.step is not None and self.step.iteration is not None
        at = moments.index(self.moment) + direction if inside else -1
        if 0 <= at < len(moments):
            self.moment = moments[at]
            self.changed.emit(Aspect.CURSOR)
            return
        place = self.place
        self.move_by_step(direction)
        entered = self.place != place and self.step is not None and self.step.iteration is not None
        if direction > 0 and entered:
            self.moment = Moment.MEAN_SHIFT
            self.changed.emit(Aspect.CURSOR)

    def move_cursor(self, index: int) -> None:
        """Show a Step of the active lane by its index; one out of range means the nearest end."""
        if self.lane.steps:
            self.move_to(self.lane.steps[min(max(index, 0), len(self.lane.steps) - 1)].place)

    def move_by_step(self, direction: int) -> None:
        """To the next (+1) or previous (−1) Step."""
        self._move_by(lambda place: place, direction)

    def move_by_phase(self, direction: int) -> None:
        """To the start of the next phase, or back to the start of this or the previous one."""
        self._move_by(lambda place: place[:2], direction)

    def move_by_stage(self, direction: int) -> None:
        """To the start of the next stage, or back to the start of this or the previous one."""
        self._move_by(lambda place: place[0], direction)

    def _move_by(self, group: Callable[[Place], Any], direction: int) -> None:
        places = self.places()
        if not places:
            return
        starts = [p for k, p in enumerate(places) if k == 0 or group(p) != group(places[k - 1])]
        here = max(place_order(step.place) for name in self.shown if (step := self.lanes[name].step))
        if direction > 0:
            self.move_to(next((p for p in starts if place_order(p) > here), places[-1]))
        else:
            self.move_to(next((p for p in reversed(starts) if place_order(p) < here), places[0]))

    # --- running and playing ------------------------------------------------------------------

    def set_stops(self, stops: tuple[Stop, ...]) -> None:
        """Choose the conditions at which `run` and playing stop."""
        if stops != self.stops:
            self.stops = stops
            self.changed.emit(Aspect.STOPS)

    def run(self) -> None:
        """To the next Step at which a stop condition fires, else to the end."""
        last = len(self.lane.steps) - 1
        found = self._next_stop(last)
        self.move_cursor(last if found is None else found[0])
        self._tell_stop(found)

    def _next_stop(self, last: int) -> tuple[int, Stop] | None:
        """The first Step after the cursor, up to index `last`, at which a condition fires."""
        return first_stop(self.lane.steps[: last + 1], self._other_steps(), self.stops, self.lane.cursor + 1)

    def stop_places(self) -> set[Place]:
        """Every place of the active lane at which a stop condition fires."""
        steps = self.lane.steps
        return {steps[index].place for index, _ in firings(steps, self._other_steps(), self.stops)}

    def _other_steps(self) -> list[Step]:
        """Steps of the lane that is compared with the active one; none without comparison."""
        return self.lanes["A" if self.active == "B" else "B"].steps if self.comparing else []

    def _tell_stop(self, found: tuple[int, Stop] | None) -> None:
        if found is not None:
            self.told.emit(f"stopped: {found[1].text}")

    def set_playing(self, on: bool) -> None:
        """Let the cursor move by itself, from the start if it stands at the end."""
        if on and self.lane.cursor >= len(self.lane.steps) - 1:
            self.move_cursor(0)
        if on != self.playing:
            if on:
                self._play_timer.start()
            else:
                self._play_timer.stop()
            self.changed.emit(Aspect.PLAYING)

    def set_looping(self, on: bool) -> None:
        """Let playing begin again at the end."""
        self.looping = on
        self.changed.emit(Aspect.PLAYING)

    def set_following(self, on: bool) -> None:
        """Let the cursor stay at the newest Step while a fit runs."""
        self.following = on
        self.changed.emit(Aspect.PLAYING)

    def set_speed(self, steps_per_second: float) -> None:
        """How fast it plays."""
        self._play_timer.setInterval(round(1000 / steps_per_second))

    def _play_on(self) -> None:
        found = self._next_stop(self.lane.cursor + 1)
        self.move_by_step(1)
        self._tell_stop(found)
        at_end = self.lane.cursor >= len(self.lane.steps) - 1
        if found is not None or (at_end and not self.looping):
            self.set_playing(False)
        elif at_end:
            self.move_cursor(0)
