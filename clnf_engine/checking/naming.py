"""Naming: which mistakes reproduce what a trace recorded, and how far a wrong value moves a landmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import GIVERS, Moment, Reference, error_of
from clnf_engine.checking.findings import NamedMistake
from clnf_engine.checking.general import general
from clnf_engine.checking.mistakes import FIT, Mistake, misfit, times_a_constant
from clnf_engine.checking.rows import UNFITTING, Row
from clnf_engine.operations import OPERATIONS
from clnf_engine.trace import landmark_distance

MOST = 12
"""Mistakes that are told of one operation at most."""

MOST_GENERAL = 6
"""Operations of a chain for which general mistakes are tried."""

Named = dict[str, list[NamedMistake]]


def named(
    rows: Sequence[Row], errors: Sequence[float], reference: Reference, tolerance: float, known: Sequence[Mistake]
) -> Named:
    """The mistakes that reproduce every row, by the operation they are made at; the most telling operation first.

    Parameters
    ----------
    rows : sequence of Row
        Of one value.
    errors : sequence of float
    reference : Reference
    tolerance : float
    known : sequence of Mistake
        To try before the general ones.
    """
    order = sorted(range(len(rows)), key=lambda k: -errors[k])
    worst_first = [rows[k] for k in order]
    chain = [name for name in OPERATIONS if any(name in row.chain for row in rows)]
    here = [mistake for mistake in known if mistake.operation in chain]
    one = [_telling(rows, errors, tolerance)]
    plausible = [mistake for mistake in here if misfit(mistake, one, reference, tolerance) is not None]
    found = _fitting(worst_first, reference, tolerance, _candidates(plausible, chain, worst_first, reference))
    if found:
        return found
    for where, part in _parts(rows, errors, tolerance):  # each holds every row that fails
        if len(part) < len(rows):
            some = [row for row in worst_first if row in part]
            found = _fitting(some, reference, tolerance, _candidates(plausible, chain, some, reference))
            if found:
                return {name: [replace(m, text=f"{m.text}, {where} only") for m in ms] for name, ms in found.items()}
    if len(rows[0].chain) > MOST_GENERAL:
        return {}
    candidates = _candidates(here, chain, worst_first, reference)
    scaled = (times_a_constant(mistake, worst_first, reference) for mistake in candidates)
    return _fitting(worst_first, reference, tolerance, (mistake for mistake in scaled if mistake is not None))


def _telling(rows: Sequence[Row], errors: Sequence[float], tolerance: float) -> Row:
    """The row that sorts hypotheses out soonest: clearly wrong, and of the smallest window, whose maps cost least."""

    def cost(k: int) -> tuple[bool, int, float]:
        stage = rows[k].moment.stage
        return not errors[k] > 10 * FIT * tolerance, 0 if stage is None else stage.window, -errors[k]

    return rows[min(range(len(rows)), key=cost)]


def _fitting(rows: Sequence[Row], reference: Reference, tolerance: float, candidates: Iterable[Mistake]) -> Named:
    """Those that reproduce every row."""
    found: Named = {}
    for mistake in candidates:
        if sum(map(len, found.values())) >= MOST:
            break
        if any(other.name == mistake.name for other in found.get(mistake.operation, ())):
            continue
        left = misfit(mistake, rows, reference, tolerance)
        if left is not None:
            found.setdefault(mistake.operation, []).append(
                NamedMistake(mistake.name, mistake.text, left, mistake.function)
            )
    return found


def _candidates(
    known: Sequence[Mistake], chain: Sequence[str], rows: Sequence[Row], reference: Reference
) -> Iterator[Mistake]:
    yield from known
    if len(chain) > MOST_GENERAL:
        return  # what is known by name is tried along a whole chain, what is made up only along a short one
    for operation in reversed(chain):
        yield from general(operation, rows, reference)


def _parts(rows: Sequence[Row], errors: Sequence[float], tolerance: float) -> Iterator[tuple[str, list[Row]]]:
    """The rows of the one stage, window or phase to which all that fail belong."""
    failing = [row for row, error in zip(rows, errors, strict=True) if not error <= tolerance]
    stages = {row.place[0] for row in failing}
    if len(stages) == 1:
        stage = stages.pop()
        yield f"in stage {(stage or 0) + 1}", [row for row in rows if row.place[0] == stage]
    phases = {row.place[1] for row in failing}
    if len(phases) == 1:
        phase = phases.pop()
        yield f"in the {phase.text} phase", [row for row in rows if row.place[1] is phase]
    if len(failing) < len(rows):
        first = {row.place[2] for row in failing}
        if first == {1}:
            yield "in the first iterations", [row for row in rows if row.place[2] == 1]
        elif 1 not in first:
            yield "after the first iterations", [row for row in rows if row.place[2] != 1]


# --- what a wrong value does ------------------------------------------------------------------------


def effect_px(row: Row, reference: Reference) -> float | None:
    """How far a recorded value moves a landmark in the rest of one right iteration, px; None where nothing follows."""
    if row.name == "landmarks" or (row.operation in ("init", "clamp") and not isinstance(row.recorded, float)):
        right = row.right(reference)
        return None if np.shape(right) != np.shape(row.recorded) else _moved(row, right, reference)
    if row.operation not in GIVERS.values() or row.operation in ("likelihood", "schedule", "stage", "view"):
        return None
    moment = _following(row.moment, row.operation)
    if moment is None:
        return None
    recorded = row.recorded
    plain = replace(reference, instead={}, cache={})
    try:
        right = moment.computed("params", plain)
        wrong = moment.computed("params", plain.under(row.operation, lambda _: recorded))
    except UNFITTING:
        return None
    ends = [moment.compute("project", plain, {"params": params}) for params in (right, wrong)]
    distance = landmark_distance(*ends)
    return distance if np.isfinite(distance) else None


def _moved(row: Row, right: Any, reference: Reference) -> float | None:
    distance = error_of(row.name, row.recorded, right, row.moment, reference)
    return distance if np.isfinite(distance) else None


def _following(moment: Moment, operation: str) -> Moment | None:
    """An iteration that an operation leads into, with nothing recorded of what follows the operation."""
    if not moment.iterates:
        own = [m for m in moment.context["moments"] if m.maps is moment]
        if not own:
            return None
        return _without(own[0], operation, _without(moment, operation, None))
    return _without(moment, operation, moment.maps)


def _without(moment: Moment, operation: str, maps: Moment | None) -> Moment:
    names = list(OPERATIONS)
    place = names.index(operation)
    copy = Moment(moment.step, moment.before, moment.stage, maps, moment.context)
    copy.recorded = {
        name: value
        for name, value in moment.recorded.items()
        if name not in GIVERS or names.index(GIVERS[name]) < place
    }
    return copy


def worst_landmark(recorded: Any, right: Any, n: int) -> int | None:
    """The landmark at which two values differ most; None when they have no row for each."""
    a, b = np.asarray(recorded, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if a.shape != b.shape or a.ndim == 0 or len(a) not in (n, 2 * n):
        return None
    difference: Array = np.nan_to_num(np.abs(a - b)).reshape(len(a), -1).max(axis=1)
    return int(np.argmax(difference)) % n


def float32_level(row: Row, reference: Reference) -> float | None:
    """What rounding the inputs of a row to float32 makes of its value, in its unit."""

    def rounded(value: Any) -> Any:
        whole = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return value.astype(np.float32).astype(np.float64) if whole else value

    reads = OPERATIONS[row.operation].reads
    try:
        exact = row.moment.compute(row.operation, reference)
        given = {name: rounded(row.moment.value(name, reference)) for name in reads}
        coarse = row.moment.compute(row.operation, reference, given)
        level = error_of(row.name, rounded(np.asarray(coarse)), exact, row.moment, reference)
    except UNFITTING:
        return None
    return level if np.isfinite(level) else None
