"""First divergence: where two runs part, and how their difference grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Floats, read_only_fields
from clnf_engine.diagnostics.completed import projected
from clnf_engine.diagnostics.differences import Differences, differences
from clnf_engine.diagnostics.finding import Finding, Plot, Table
from clnf_engine.model import Model
from clnf_engine.steps import Step, describe, without_large
from clnf_engine.trace import Divergence, Trace, first_divergence, landmark_distance, paired
from clnf_engine.units import FLOAT32_LEVEL, FLOAT64_LEVEL, TOLERANCE, unit

NOTICEABLE_PX = 1e-6
"""Landmarks that are nearer differ by rounding."""

_MOST = 3
"""Settings that a verdict names."""

SETTLED_FRACTION = 0.1
"""Growth is measured up to the moment the difference reaches this fraction of its largest value."""


@dataclass(frozen=True, eq=False)
class Growth:
    """How the difference between two runs develops over the iterations that both have.

    Attributes
    ----------
    steps : tuple of Step
        Of the first run, without their maps, Jacobians and Hessians.
    distance : (k,) float64
        Largest distance between a landmark and itself in the other run, image px.
    factor : float
        By which the distance grows per iteration, as the geometric mean from the first iteration in which the runs
        differ to that in which the distance has reached `SETTLED_FRACTION` of its largest value; NaN when there are
        not two such iterations.
    """

    steps: tuple[Step, ...]
    distance: Floats
    factor: float


def growth(a: Trace, b: Trace) -> Growth:
    """The difference of two runs per iteration; moments are paired by place."""
    pairs = [
        (x, y) for x, y in paired(a.numbers, b.numbers) if x is not None and y is not None and x.iteration is not None
    ]
    distance = np.array([landmark_distance(x.landmarks, y.landmarks) for x, y in pairs])
    return read_only_fields(Growth(tuple(without_large(x) for x, _ in pairs), distance, _factor(distance)))


def _factor(distance: Floats) -> float:
    differing = np.flatnonzero(distance > 0)
    if differing.size == 0:
        return float("nan")
    first = int(differing[0])
    settled = int(np.argmax(distance >= SETTLED_FRACTION * np.nanmax(distance)))
    if settled <= first:
        return float("nan")
    return float((distance[settled] / distance[first]) ** (1 / (settled - first)))


@dataclass(frozen=True, eq=False)
class DivergenceFinding(Finding):
    """Where two runs first part.

    Attributes
    ----------
    divergence : Divergence or None
        The first value beyond the tolerance, in its unit; None when the runs are equal within it.
    growth : Growth
    final_distance : float
        Largest distance between a final landmark and itself in the other run, image px.
    tolerance : float
        Largest difference that counted as equal, in the unit of each value.
    differences : Differences
        Of every value.
    """

    question: ClassVar[str] = "Do the two runs part, and where?"
    provenance: ClassVar[str] = (
        "Every value of both runs, in the order the fit computed them, compared step by step in its own unit."
    )

    divergence: Divergence | None
    growth: Growth
    final_distance: float
    tolerance: float
    differences: Differences

    @property
    def first_bit(self) -> Divergence | None:
        """The first value that differs at all, its difference absolute; None when all are identical."""
        return self.differences.first_bit

    @property
    def answer(self) -> bool:
        """Whether they part."""
        return self.divergence is not None

    @property
    def parting(self) -> Step | None:
        """The first iteration of the first run whose landmarks are apart by more than `NOTICEABLE_PX`."""
        beyond = np.flatnonzero(self.growth.distance > NOTICEABLE_PX)
        return self.growth.steps[beyond[0]] if beyond.size else None

    @property
    def verdict(self) -> str:
        """Where the landmarks part by more than rounding, where the first value differs, and how the runs end."""
        found = self.divergence
        if found is None:
            return f"No: the two runs are {self._equal()}.{self._rest()}"
        return f"{self._landmarks()}. The first difference is at {_said(found)}.{self._growth()}{self._rest()}"

    def _equal(self) -> str:
        """In what sense they are."""
        if self.first_bit is None:
            return "identical, bit for bit"
        worst = self.differences.worst
        largest = 0.0 if worst is None else worst.largest
        if worst is None or largest > FLOAT32_LEVEL or self.tolerance < largest:
            level = f"equal within {self.tolerance:g}"
        else:
            level = f"equal within {'float64' if largest <= FLOAT64_LEVEL else 'float32'} rounding"
        most = "" if worst is None else f": {worst.name} differs most, by {largest:.2g} {unit(worst.name)}".rstrip()
        return f"{level}{most}; the first bit that differs is at {_said(self.first_bit)}"

    def _rest(self) -> str:
        """Settings that differ, and what could not be compared."""
        settings, lacking = self.differences.settings, self.differences.one_sided
        more = f" and {len(settings) - _MOST} more" if len(settings) > _MOST else ""
        text = f" The stages differ in {'; '.join(map(str, settings[:_MOST]))}{more}." if settings else ""
        return text + (f" Only one run has {', '.join(lacking)}." if lacking else "")

    def _landmarks(self) -> str:
        """Whether and where the landmarks part; a difference of the maps alone, such as their scale, moves none."""
        if np.isnan(self.final_distance):
            return "Yes; whether the landmarks part cannot be told, as the runs have none in common"
        if self.parting is None:
            end = f"end {self.final_distance:.3g} px apart"
            return f"Yes, but the landmarks never part by more than {NOTICEABLE_PX:g} px and {end}"
        where = f"Yes: the landmarks part by more than {NOTICEABLE_PX:g} px at {describe(self.parting)}"
        return f"{where} and end {self.final_distance:.3g} px apart"

    def _growth(self) -> str:
        factor = self.growth.factor
        return "" if np.isnan(factor) else f" Until it settles the difference grows ×{factor:.2f} per iteration."

    def tables(self) -> tuple[Table, ...]:
        """The largest difference of every value; the distance per iteration."""
        rows = tuple(
            (describe(step), float(distance))
            for step, distance in zip(self.growth.steps, self.growth.distance, strict=True)
        )
        links = tuple(step.place for step in self.growth.steps)
        columns = ("iteration", "largest landmark distance, px")
        return (*self.differences.tables(), Table("Difference per iteration", columns, rows, links))

    def plots(self) -> tuple[Plot, ...]:
        """The distance per iteration on a logarithmic axis."""
        distance = np.where(self.growth.distance > 0, self.growth.distance, np.nan)
        x = np.arange(1, len(distance) + 1, dtype=np.float64)
        return (Plot("Growth of the difference", "iteration of the run", "px", x, {"A − B": distance}, log_y=True),)


def divergence(a: Trace, b: Trace, tolerance: float = TOLERANCE, model: Model | None = None) -> DivergenceFinding:
    """Where two runs first part, and how their difference grows.

    Parameters
    ----------
    a, b : Trace
    tolerance : float
        Largest difference that still counts as equal, in the unit of each value; 0: not a bit may differ.
    model : Model, optional
        Of both; measures parameters exactly, and projects those of a run without landmarks.

    Returns
    -------
    DivergenceFinding

    Raises
    ------
    ValueError
        When the runs have different numbers of landmarks.
    """
    if model is not None:
        a, b = projected(a, model), projected(b, model)
    if a.landmarks.shape != b.landmarks.shape and len(a.landmarks) and len(b.landmarks):
        raise ValueError(f"the runs have {len(a.landmarks)} and {len(b.landmarks)} landmarks; expected the same number")
    distance = landmark_distance(a.landmarks, b.landmarks)
    found = differences(a, b, model, tolerance)
    first = found.first if tolerance > 0 else first_divergence(a, b)
    return DivergenceFinding(first, growth(a, b), distance, tolerance, found)


def _said(found: Divergence) -> str:
    """A divergence in words."""
    step = found.step_a or found.step_b
    assert step is not None
    what = f"{found.array} differs by {found.difference:.3g}" if found.array else "one run has no such step"
    return f"{describe(step)}: {what}"
