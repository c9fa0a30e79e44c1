"""Differences between two runs, each value in its own unit: what is largest, where it is, and what differs first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnf_engine.diagnostics.finding import Table
from clnf_engine.model import Model
from clnf_engine.steps import Phase, Stage, Step, describe, without_large
from clnf_engine.trace import COMPARED, Divergence, Trace, absolute_difference, compared
from clnf_engine.units import TOLERANCE, error, unit

_SETTINGS = (
    "patch_scale",
    "scale",
    "window",
    "view",
    "sigma_transform",
    "sigma",
    "reg_factor",
    "weight_factor",
    "skipped",
)
_ONCE = (Phase.INITIAL, Phase.RESPONSES, Phase.END)
"""Moments that a recording of iterations alone may leave out."""


@dataclass(frozen=True, eq=False)
class Difference:
    """How one value differs over two runs.

    Attributes
    ----------
    name : str
        Of the value, as "mean_shift.image".
    largest : float
        Its largest `units.error`; inf where shapes differ.
    worst : Step
        Where that is, of the first run, without its large arrays.
    first : Step or None
        Where it is first beyond the tolerance.
    count : int
        In how many moments both runs have it.
    """

    name: str
    largest: float
    worst: Step
    first: Step | None
    count: int


@dataclass(frozen=True)
class Setting:
    """A setting of a stage in which two runs differ."""

    stage: Stage
    name: str
    a: Any
    b: Any

    def __str__(self) -> str:
        """In words, such as "sigma of stage 2, 1.62 and 2"."""
        a, b = (f"{value:.4g}" if isinstance(value, float) else str(value) or "none" for value in (self.a, self.b))
        return f"{self.name} of stage {self.stage.index + 1}, {a} and {b}"


@dataclass(frozen=True, eq=False)
class Differences:
    """Where two runs differ.

    Attributes
    ----------
    values : tuple of Difference
        Of every value that both runs have, in the order a fit computes them.
    settings : tuple of Setting
        Of stages that both runs have.
    one_sided : tuple of str
        Values that only one run has where both have the moment.
    first : Divergence or None
        The first value beyond the tolerance, its difference in its unit, or the first moment that one run lacks.
    first_bit : Divergence or None
        The first value of those that differs at all, its difference absolute, or the first moment that one run lacks.
    """

    values: tuple[Difference, ...]
    settings: tuple[Setting, ...]
    one_sided: tuple[str, ...]
    first: Divergence | None
    first_bit: Divergence | None

    @property
    def worst(self) -> Difference | None:
        """The value that differs most; None when no value is in both runs."""
        return max(self.values, key=lambda value: value.largest, default=None)

    def tables(self) -> tuple[Table, ...]:
        """The largest difference of every value; settings that differ."""
        columns = ("value", "largest difference", "unit", "at", "first beyond the tolerance", "moments")
        rows = tuple(
            (v.name, v.largest, unit(v.name), describe(v.worst), describe(v.first) if v.first else None, v.count)
            for v in self.values
        )
        found = [Table("Largest difference of every value", columns, rows, tuple(v.worst.place for v in self.values))]
        if self.settings:
            rows_ = tuple((f"stage {s.stage.index + 1}", s.name, str(s.a), str(s.b)) for s in self.settings)
            found.append(Table("Settings of the stages that differ", ("stage", "setting", "A", "B"), rows_))
        return tuple(found)


def differences(a: Trace, b: Trace, model: Model | None = None, tolerance: float = TOLERANCE) -> Differences:
    """Compare every value that two runs recorded, and the settings of their stages.

    Parameters
    ----------
    a, b : Trace
        Moments are paired by (stage, phase, iteration). Errors are relative to what `b` has.
    model : Model, optional
        Of both; measures parameters exactly. See `units.error`.
    tolerance : float
        Largest error that still counts as equal.

    Returns
    -------
    Differences
    """
    found: dict[str, Difference] = {}
    one_sided: dict[str, None] = {}
    first: Divergence | None = None
    bit: Divergence | None = None
    for step_a, step_b, values in compared(a, b):
        if step_a is None or step_b is None:
            if not _left_out(step_a or step_b, b if step_b is None else a):
                missing = Divergence(step_a, step_b, "", np.inf)
                first, bit = first or missing, bit or missing
            continue
        for name, value_a, value_b in values:
            there = [is_recorded(name, value) for value in (value_a, value_b)]
            if not all(there):
                if any(there) and name != "converged":
                    one_sided[name] = None
                continue
            amount = error(name, value_a, value_b, step_b, model)
            if first is None and not amount <= tolerance:
                first = Divergence(step_a, step_b, name, amount)
            if bit is None and (difference := _of_bits(value_a, value_b)) > 0:
                bit = Divergence(step_a, step_b, name, difference)
            found[name] = _added(found.get(name), name, amount, step_a, tolerance)
    ordered = tuple(found[name] for name in COMPARED if name in found)
    return Differences(ordered, tuple(_settings(a, b, tolerance)), tuple(one_sided), first, bit)


def _left_out(step: Step | None, other: Trace) -> bool:
    """Whether the other run lacks a moment because it was not recorded, not because the fit did not come by it.

    So it is where all moments of its kind are lacking, or a later iteration of its phase is there.
    """
    if step is None:
        return False
    if step.phase in _ONCE:
        return all(s.phase is not step.phase for s in other.numbers)
    return step.iteration is not None and any(
        s.place[:2] == step.place[:2] and (s.iteration or 0) > step.iteration for s in other.numbers
    )


def is_recorded(name: str, value: Any) -> bool:
    """Whether a Step has a value: parameters and landmarks, which every Step has, are NaN where they are not known."""
    return value is not None and not (name in ("params", "landmarks") and np.isnan(value).all())


def _of_bits(a: Any, b: Any) -> float:
    """Largest absolute difference of what both have: numbers that are NaN in one alone were not recorded there."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape == b.shape and a.dtype.kind == b.dtype.kind == "f":
        both = np.isnan(a) == np.isnan(b)
        a, b = a[both], b[both]
    return absolute_difference(a, b)


def _added(so_far: Difference | None, name: str, amount: float, step: Step, tolerance: float) -> Difference:
    """The difference of a value with that of one more moment."""
    here = without_large(step)
    beyond = here if not amount <= tolerance else None
    if so_far is None:
        return Difference(name, amount, here, beyond, 1)
    largest, worst = (amount, here) if amount > so_far.largest else (so_far.largest, so_far.worst)
    return Difference(name, largest, worst, so_far.first or beyond, so_far.count + 1)


def _settings(a: Trace, b: Trace, tolerance: float) -> Iterator[Setting]:
    others = {summary.stage.index: summary.stage for summary in b.stages}
    step = b.numbers[0]
    for summary in a.stages:
        one, other = summary.stage, others.get(summary.stage.index)
        for name in _SETTINGS if other is not None else ():
            pair = getattr(one, name), getattr(other, name)
            known = all(value is not None and value == value for value in pair)  # noqa: PLR0124  # NaN is not itself
            if known and error(name, *pair, step) > tolerance:
                yield Setting(one, name, *pair)
