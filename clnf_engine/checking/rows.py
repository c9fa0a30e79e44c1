"""Rows: a recorded value beside what its operation, or the chain that leads to it, makes of its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import (
    Inputs,
    Missing,
    Moment,
    Reference,
    error_of,
    flat_landmarks,
)
from clnf_engine.experts import MIN_ALPHA
from clnf_engine.mean_shift import TABLE_STEP, kernel_sums, shifts
from clnf_engine.operations import EQUATIONS, MAPS, OPERATIONS
from clnf_engine.options import Kernel
from clnf_engine.steps import Place

NUDGE = 5e-5
"""Cells; in float32 a position this near to the middle of two entries of the kernel table may get either."""

_TABLED = ("kernel_sum", "mean_shift")
_OF_LANDMARKS = frozenset((*MAPS[5:], "position", "kernel_sum", "mean_shift", "mean_shift_image"))
"""Operations whose results have a row for every landmark that comes from its own patch."""

_UNSEEN = ("position", "kernel_sum")
"""Operations whose results mean nothing for landmarks that are not visible."""

UNFITTING = (Missing, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, StopIteration)
"""What a hypothesis may stumble over that does not suit a trace."""


@dataclass(frozen=True, eq=False)
class Row:
    """One evaluation of an operation.

    Attributes
    ----------
    operation : str
        That gives the value.
    name : str
        Of the value.
    moment : Moment
    recorded : array
    chain : tuple of str
        What leads to it from recorded values; ends with `operation`.
    slack : float
        What a position between two entries of the kernel table may add to its error.
    """

    operation: str
    name: str
    moment: Moment
    recorded: Any
    chain: tuple[str, ...]
    slack: float = 0.0

    @property
    def place(self) -> Place:
        """Where it is in the run."""
        return self.moment.step.place

    def right(self, reference: Reference) -> Any:
        """The value as it should be; where nobody can tell, the recorded one."""
        value = self.moment.compute(self.operation, reference)
        if value is None or self.operation not in _OF_LANDMARKS:
            return value
        value = np.asarray(value)
        if value.shape != self.recorded.shape:
            return value
        if "ncc" in self.chain and len(value) == reference.model.n_landmarks:
            flat = flat_landmarks(self.moment, reference)
            value = _with(value, self.recorded, flat) if flat.any() else value
        if self.operation in _UNSEEN:
            visible = self.moment.constants(reference)["visible"]
            value = value if visible.all() else _with(value, self.recorded, ~visible)
        if self.operation == "ncc":
            silent = self.moment.constants(reference)["experts"].alpha <= MIN_ALPHA
            value = _with(value, self.recorded, silent) if silent.any() else value
        if self.operation in _TABLED and reference.options.kernel is Kernel.TABLE:
            value = _nearest_entry(self, value, reference)
        return value

    def error(self, reference: Reference) -> float:
        """How far the recorded value is from the right one, in its unit."""
        return error_of(self.name, self.recorded, self.right(reference), self.moment, reference)

    def error_beyond_slack(self, reference: Reference) -> float:
        """The part of its error that no position between two entries of the kernel table explains."""
        return max(self.error(reference) - self.slack, 0.0)


@dataclass(frozen=True, eq=False)
class MeanRow(Row):
    """The log-likelihood of a phase, of the likelihoods of its landmarks."""

    def right(self, reference: Reference) -> Any:
        """The mean of their logarithms over the visible landmarks."""
        likelihoods = np.asarray(self.moment.value("likelihoods", reference))
        visible = self.moment.constants(reference)["visible"]
        hypothesis = reference.instead.get("likelihood")
        if isinstance(hypothesis, OfTheMean):
            return hypothesis.function(likelihoods, visible)
        return float(np.log(likelihoods[visible]).mean())


@dataclass(frozen=True)
class OfTheMean:
    """A hypothesis about the mean of the likelihoods, which leaves the likelihoods themselves right."""

    function: Callable[[Array, Array], float]

    def __call__(self, v: Inputs) -> Any:
        """What is right of each landmark."""
        return v.out


def rows_of(moments: list[Moment], reference: Reference) -> dict[str, list[Row]]:
    """Every row of every operation that a trace has something recorded of."""
    found: dict[str, list[Row]] = {name: [] for name in OPERATIONS}
    for moment in moments:
        for row in _rows_at(moment, reference):
            found[row.operation].append(row)
    return found


def _rows_at(moment: Moment, reference: Reference) -> Iterator[Row]:
    if moment.iterates:
        names = [*EQUATIONS, "clamp", "likelihood"]
    elif moment.stage is not None:
        names = list(MAPS)
    else:
        names = []
    likelihood = moment.step.likelihood
    if moment.iterates and likelihood is not None and not math.isnan(likelihood):
        chain = ("likelihood",) if "likelihoods" in moment.recorded else moment.chain("likelihood", reference)
        mean = MeanRow("likelihood", "likelihood", moment, np.float64(likelihood), chain)
        try:
            mean.right(reference)
        except UNFITTING:
            pass
        else:
            if _judged(replace(mean, operation="clamp"), reference):
                yield mean
    for operation in names:
        name = OPERATIONS[operation].gives
        recorded = moment.recorded.get(name)
        if recorded is None:
            continue
        row = Row(operation, name, moment, recorded, moment.chain(operation, reference))
        try:
            right = row.right(reference)
        except UNFITTING:
            continue
        if right is None or not _judged(row, reference):
            continue
        yield replace(row, slack=_slack(row, reference))


def _judged(row: Row, reference: Reference) -> bool:
    """Whether programs agree about it: not what follows from flat patches unseen."""
    if "ncc" not in row.chain or row.operation in _OF_LANDMARKS:
        return True
    visible = row.moment.constants(reference)["visible"]
    return not (flat_landmarks(row.moment, reference) & visible).any()


def _with(value: Array, recorded: Array, where: Array) -> Array:
    result = value.copy()
    result[where] = recorded[where]
    return result


# --- the kernel table -------------------------------------------------------------------------------


def nudged(reference: Reference, nudge: tuple[float, float]) -> Reference:
    """The reference whose kernels are those of positions that lie a little aside."""
    aside = np.array(nudge)

    def sums(v: Inputs) -> Array:
        return kernel_sums(v.final, _aside(v, aside), v.sigma, v.kernel)

    def shift(v: Inputs) -> Array:
        position = _aside(v, aside)
        total = kernel_sums(v.final, position, v.sigma, v.kernel)
        found: Array = shifts(v.final, position, total, v.visible, v.sigma, v.kernel)
        return np.where(v.visible[:, None], found + (position - v.position), found)

    other = reference
    for operation, instead in (("kernel_sum", sums), ("mean_shift", shift)):
        if operation not in reference.instead:
            other = other.under(operation, instead)
    return other


def _aside(v: Inputs, aside: Array) -> Array:
    return np.asarray(np.clip(v.position + aside, 0, v.window - TABLE_STEP))


def _near_boundary(row: Row, reference: Reference) -> bool:
    try:
        position = row.moment.value("position", reference)
    except UNFITTING:
        return False
    places = position / TABLE_STEP + 0.5
    return bool((np.abs(places - np.round(places)) < NUDGE / TABLE_STEP).any())


_NUDGES = tuple((x, y) for x in (-NUDGE, NUDGE) for y in (-NUDGE, NUDGE))


def _nearest_entry(row: Row, value: Array, reference: Reference) -> Array:
    """Of the entries that a position lies between, each landmark's that is nearest to what was recorded."""
    if row.operation in reference.instead or not _near_boundary(row, reference):
        return value
    result, size = value.copy(), len(value)
    best = np.abs(row.recorded - value).reshape(size, -1).max(axis=1)
    for nudge in _NUDGES:
        other = row.moment.compute(row.operation, nudged(reference, nudge))
        distance = np.abs(row.recorded - other).reshape(size, -1).max(axis=1)
        result[distance < best] = other[distance < best]
        best = np.fmin(best, distance)
    return result


def _slack(row: Row, reference: Reference) -> float:
    """How far apart the values are that follow from either entry of the table."""
    before = set(row.chain) - {row.operation}
    if not before & set(_TABLED) or reference.options.kernel is not Kernel.TABLE or not _near_boundary(row, reference):
        return 0.0
    right = row.right(reference)
    others = (row.moment.compute(row.operation, nudged(reference, nudge)) for nudge in _NUDGES)
    errors = [error_of(row.name, other, right, row.moment, reference) for other in others if other is not None]
    return 2 * max((value for value in errors if math.isfinite(value)), default=0.0)
