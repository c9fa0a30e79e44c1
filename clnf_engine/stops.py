"""Stop conditions: named predicates over the Steps of a run, and their text form.

A condition is tested at one Step, given the iteration before it in the same phase, the Step at the same place of a
second run and the true landmarks; each may be missing, and a condition that needs a missing one does not fire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clnf_engine.accuracy import accuracy
from clnf_engine.arrays import Floats
from clnf_engine.errors import StopError
from clnf_engine.steps import Phase, Place, Step, place_text


@dataclass(frozen=True, eq=False)
class Moment:
    """What a condition is tested on.

    Attributes
    ----------
    step : Step
    before : Step or None
        The iteration before it in its phase.
    other : Step or None
        The Step at its place in a second run.
    truth : (n, 2) float64 or None
        True landmarks, image px.
    """

    step: Step
    before: Step | None = None
    other: Step | None = None
    truth: Floats | None = None


Test = Callable[[Moment], bool]

_NUMBERS = ("update_norm", "shape_change", "likelihood")
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Stop:
    """A stop condition.

    Attributes
    ----------
    text : str
        As it was given; what the window shows when it fires.
    test : callable
        Of a `Moment`.
    """

    text: str
    test: Test

    def fires(
        self, step: Step, before: Step | None = None, other: Step | None = None, truth: Floats | None = None
    ) -> bool:
        """Whether the condition holds at a Step; `Moment` describes the parameters."""
        return self.test(Moment(step, before, other, truth))


EXAMPLES = (
    "update_norm grows",
    "update_norm < 0.005",
    "shape_change < 0.01",
    "likelihood falls",
    "landmark 48 moves > 2 px",
    "any landmark moves > 10 px",
    "any clamp",
    "any empty",
    "A and B differ > 0.01 px",
    "error grows",
    "error > 3 px",
    "at stage 2 non-rigid 3",
)
"""One condition of every form, for help and error messages."""


def parse_stop(text: str) -> Stop:
    """The condition that a text describes; `EXAMPLES` shows every form.

    Raises
    ------
    StopError
        When the text has no such form.
    """
    words = " ".join(text.split())
    for pattern, make in _FORMS:
        match = re.fullmatch(pattern, words, flags=re.IGNORECASE)
        if match:
            return Stop(words, make(*match.groups()))
    raise StopError(f"expected a stop condition such as {'; '.join(EXAMPLES)}; not {text!r}")


def firings(
    steps: Sequence[Step],
    others: Sequence[Step],
    stops: Sequence[Stop],
    start: int = 0,
    truth: Floats | None = None,
) -> Iterator[tuple[int, Stop]]:
    """Every Step from index `start` on at which a condition fires, and the first one that does.

    Parameters
    ----------
    steps : sequence of Step
    others : sequence of Step
        Of a second run, paired by place; empty when there is none.
    stops : sequence of Stop
    start : int
    truth : (n, 2) float64, optional
        True landmarks, image px.

    Yields
    ------
    (index, Stop)
    """
    if not stops:
        return
    paired = {step.place: step for step in others}
    for index in range(start, len(steps)):
        step = steps[index]
        previous = steps[index - 1] if index else None
        before = previous if previous is not None and previous.place[:2] == step.place[:2] else None
        other = paired.get(step.place)
        fired = next((stop for stop in stops if stop.fires(step, before, other, truth)), None)
        if fired is not None:
            yield index, fired


def first_stop(
    steps: Sequence[Step],
    others: Sequence[Step],
    stops: Sequence[Stop],
    start: int,
    truth: Floats | None = None,
) -> tuple[int, Stop] | None:
    """The first of the `firings`, or None."""
    return next(firings(steps, others, stops, start, truth), None)


def _number(name: str, step: Step, truth: Floats | None) -> float | None:
    """A number of a Step; its `error` is the mean distance from the truth, px."""
    if name == "error":
        return None if truth is None or truth.shape != step.landmarks.shape else accuracy(step.landmarks, truth).mean
    value: float | None = getattr(step, name)
    return value


def _changes(name: str, direction: str) -> Test:
    sign, name = 1 if direction.lower() == "grows" else -1, name.lower()

    def test(at: Moment) -> bool:
        now = _number(name, at.step, at.truth)
        then = None if at.before is None else _number(name, at.before, at.truth)
        return now is not None and then is not None and sign * (now - then) > 0

    return test


def _compares(name: str, relation: str, bound: str) -> Test:
    limit, name = float(bound), name.lower()

    def test(at: Moment) -> bool:
        value = _number(name, at.step, at.truth)
        return value is not None and bool(value < limit if relation == "<" else value > limit)

    return test


def _moves(landmark: str, distance: str) -> Test:
    limit, index = float(distance), int(landmark)

    def test(at: Moment) -> bool:
        before, now = at.step.landmarks_before, at.step.landmarks
        if before is None or index >= len(now):
            return False
        return bool(np.linalg.norm(now[index] - before[index]) > limit)

    return test


def _any_moves(distance: str) -> Test:
    limit = float(distance)

    def test(at: Moment) -> bool:
        before = at.step.landmarks_before
        return before is not None and bool((np.linalg.norm(at.step.landmarks - before, axis=1) > limit).any())

    return test


def _at(stage: str, phase: str, iteration: str | None) -> Test:
    place = (int(stage) - 1, Phase(phase.lower().replace("-", "")), None if iteration is None else int(iteration))
    return lambda at: at.step.place == place


def place_stop(place: Place) -> Stop | None:
    """The condition that stops at a place; None for the start and the end, where every run stops."""
    stage, phase, _ = place
    return None if stage is None or phase is Phase.SKIPPED else parse_stop(f"at {place_text(place)}")


def _any_clamp() -> Test:
    return lambda at: at.step.clamped is not None and bool(at.step.clamped.any())


def _any_empty() -> Test:
    return lambda at: at.step.mean_shift is not None and bool(at.step.mean_shift.empty.any())


def _differ(distance: str) -> Test:
    limit = float(distance)

    def test(at: Moment) -> bool:
        if at.other is None or at.other.landmarks.shape != at.step.landmarks.shape:
            return False
        return bool((np.linalg.norm(at.step.landmarks - at.other.landmarks, axis=1) > limit).any())

    return test


_NAMES = "|".join(_NUMBERS)
_FORMS: tuple[tuple[str, Callable[..., Test]], ...] = (
    (rf"({_NAMES}|error) (grows|falls)", _changes),
    (rf"({_NAMES}) ?([<>]) ?(-?{_NUMBER})", _compares),
    (rf"(error) ?([<>]) ?({_NUMBER}) ?px", _compares),
    (rf"landmark (\d{{1,4}}) moves ?> ?({_NUMBER}) ?px", _moves),
    (rf"any landmark moves ?> ?({_NUMBER}) ?px", _any_moves),
    (r"at stage (\d{1,3}),? (responses|rigid|non-?rigid)(?: (\d{1,6}))?", _at),
    (r"any clamp", _any_clamp),
    (r"any empty", _any_empty),
    (rf"A and B differ ?> ?({_NUMBER}) ?px", _differ),
)
