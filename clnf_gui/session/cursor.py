"""Cursor: the place at which both lanes are shown, moved by steps, phases and stages, and run to stop conditions."""

from __future__ import annotations

import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from clnf_engine import Phase, Step
from clnf_engine.detection.tree import WHOLE, Node
from clnf_engine.steps import Place, place_order
from clnf_engine.stops import Stop, firings, first_stop, place_stop
from clnf_gui.look import Moment
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.lanes import Lanes
from clnf_gui.session.playback import Playback
from clnf_gui.session.scene import Scene

START: Place = (0, Phase.RESPONSES, None)
"""Where the cursor stands when something is opened: the first moment at which there are response maps."""

_STEPS_PER_SECOND = 8.0


class Cursor(QObject):
    """The place (stage, phase, iteration) at which all lanes are shown, and the run that it is in.

    Attributes
    ----------
    place : Place
    node : Node
        Which run of their detections the lanes show, as far as they have one.
    moment : Moment
        Within an iteration.
    stops : tuple of Stop
        The conditions at which `run` and playing stop.
    looping : bool
        Whether playing begins again at the end.
    following : bool
        Whether the cursor stays at the newest Step while a fit runs.
    playback : Playback
    """

    changed = Signal(Aspect)
    told = Signal(str)
    """A sentence for the status bar."""

    def __init__(self, lanes: Lanes, scene: Scene, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lanes, self._scene = lanes, scene
        self._known: object = None
        self._places: list[Place] = []
        """Those of the runs that are known, by number and length."""
        self._marked: tuple[object, set[Place]] = (None, set())
        self.place, self.node = START, WHOLE
        self.moment = Moment.UPDATE
        self.stops: tuple[Stop, ...] = ()
        self.looping = self.following = False
        self.playback = Playback(0, self)
        self.playback.due.connect(self._play_on)
        self.playback.switched.connect(self._tell_of_playing)
        self.set_speed(_STEPS_PER_SECOND)

    # --- moving -------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Every place that a shown run comes by, in order."""
        lanes = list(self._lanes.shown.values())
        known = tuple((lane.run, len(lane.steps)) for lane in lanes)
        if known != self._known:
            alike = all(lane.places == lanes[0].places for lane in lanes)
            found = lanes[0].places if alike else {place for lane in lanes for place in lane.places}
            self._known, self._places = known, list(found) if alike else sorted(found, key=place_order)
        return self._places

    def set_place(self, place: Place) -> None:
        """Stand at a place, from which the lanes are to be shown next."""
        self.place, self.moment = place, Moment.UPDATE

    def move_to(self, place: Place) -> None:
        """Show another place, in all lanes."""
        if place != self.place or self.moment is not Moment.UPDATE:
            self.set_place(place)
            for lane in self._lanes.shown.values():
                lane.show(place)
            self.changed.emit(Aspect.CURSOR)

    def set_node(self, node: Node) -> None:
        """Stand in a run of the detections, which the lanes are to show next."""
        self.node = node

    def show_node(self, node: Node, place: Place | None = None) -> None:
        """Show another run of the detections in all lanes, at a place; where the cursor stands, without one."""
        self.playback.stop()
        self.node = node
        self.set_place(self.place if place is None else place)
        for lane in self._lanes.shown.values():
            lane.show_node(node)
            lane.show(self.place)
        self.changed.emit(Aspect.STEPS | Aspect.CURSOR)

    def step_into(self, direction: int) -> None:
        """To the next or previous moment within an iteration: mean-shift, solve, update."""
        moments = list(Moment)
        at = moments.index(self.moment) + direction if self._in_iteration() else -1
        if 0 <= at < len(moments):
            self._set_moment(moments[at])
            return
        place = self.place
        self.move_by_step(direction)
        if direction > 0 and self.place != place and self._in_iteration():
            self._set_moment(Moment.MEAN_SHIFT)

    def _in_iteration(self) -> bool:
        place = self._lanes.active.place
        return place is not None and place[2] is not None

    def _set_moment(self, moment: Moment) -> None:
        self.moment = moment
        self.changed.emit(Aspect.CURSOR)

    def move_cursor(self, index: int) -> None:
        """Show a Step of the active lane by its index; one out of range means the nearest end."""
        steps = self._lanes.active.numbers
        if len(steps):
            self.move_to(steps[min(max(index, 0), len(steps) - 1)].place)

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

        def begins(k: int) -> bool:
            return k == 0 or group(places[k]) != group(places[k - 1])

        here = max(place_order(lane.place) for lane in self._lanes.shown.values() if lane.place is not None)
        if direction > 0:
            after = range(bisect_right(places, here, key=place_order), len(places))
            self.move_to(next((places[k] for k in after if begins(k)), places[-1]))
        else:
            before = range(bisect_left(places, here, key=place_order) - 1, -1, -1)
            self.move_to(next((places[k] for k in before if begins(k)), places[0]))

    def follow(self, name: str, step: Step) -> None:
        """Stay at the newest Step of the active lane, if that is wished."""
        if self.following and name == self._lanes.choices.active:
            self.set_place(step.place)

    # --- running and playing ------------------------------------------------------------------

    def set_stops(self, stops: tuple[Stop, ...]) -> None:
        """Choose the conditions at which `run` and playing stop."""
        if stops != self.stops:
            self.stops = stops
            self.changed.emit(Aspect.STOPS)

    def toggle_stop(self, place: Place) -> None:
        """Stop at a place from now on, or no more."""
        stop = place_stop(place)
        if stop is not None:
            others = tuple(other for other in self.stops if other.text != stop.text)
            self.set_stops(others if len(others) < len(self.stops) else (*self.stops, stop))

    def run(self) -> None:
        """To the next Step at which a stop condition fires, else to the end."""
        last = len(self._lanes.active.steps) - 1
        found = self._next_stop(last)
        self.move_cursor(last if found is None else found[0])
        self._tell_stop(found)

    def _next_stop(self, last: int) -> tuple[int, Stop] | None:
        """The first Step after the cursor, up to index `last`, at which a condition fires."""
        lane = self._lanes.active
        steps = lane.numbers[: last + 1]
        return first_stop(steps, self._other_steps(), self.stops, lane.cursor + 1, lane.truth(self._scene.truth))

    def stop_at_new(self, name: str, start: int) -> bool:
        """Go to the first Step of a lane from index `start` on at which a condition fires; whether there is one."""
        lanes = self._lanes.shown
        others = next((lane.numbers for other, lane in lanes.items() if other != name), ())
        lane = self._lanes[name]
        found = first_stop(lane.numbers, others, self.stops, start, lane.truth(self._scene.truth))
        if found is not None:
            self.move_to(lane.places[found[0]])
        self._tell_stop(found)
        return found is not None

    def stop_places(self) -> set[Place]:
        """Every place of the active lane at which a stop condition fires."""
        lanes, truth = self._lanes, self._lanes.active.truth(self._scene.truth)
        runs = [(lane.run, len(lane.steps)) for lane in lanes.shown.values()]
        known = runs, lanes.choices.active, self.stops, None if truth is None else weakref.ref(truth)
        if self._marked[0] != known:
            found = firings(lanes.active.numbers, self._other_steps(), self.stops, truth=truth)
            self._marked = known, {lanes.active.places[index] for index, _ in found}
        return self._marked[1]

    def _other_steps(self) -> Sequence[Step]:
        other = self._lanes.other
        return () if other is None else other.numbers

    def _tell_stop(self, found: tuple[int, Stop] | None) -> None:
        if found is not None:
            self.told.emit(f"stopped: {found[1].text}")

    def set_playing(self, on: bool) -> None:
        """Let the cursor move by itself, from the start if it stands at the end."""
        if on and self._at_end():
            self.move_cursor(0)
        if on:
            self.playback.start()
        else:
            self.playback.stop()

    def _tell_of_playing(self) -> None:
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
        self.playback.set_interval(round(1000 / steps_per_second))

    def _at_end(self) -> bool:
        return self._lanes.active.cursor >= len(self._lanes.active.steps) - 1

    def _play_on(self) -> None:
        found = self._next_stop(self._lanes.active.cursor + 1)
        self.move_by_step(1)
        self._tell_stop(found)
        if found is not None or (self._at_end() and not self.looping):
            self.set_playing(False)
        elif self._at_end():
            self.move_cursor(0)
