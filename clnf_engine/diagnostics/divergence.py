"""First divergence: where two runs part, and how their difference grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Floats, read_only_fields
from clnf_engine.diagnostics.finding import Finding, Plot, Table
from clnf_engine.steps import Step, describe, without_large
from clnf_engine.trace import Divergence, Trace, first_divergence, landmark_distance, paired

NOTICEABLE_PX = 1e-6
"""Landmarks that are nearer differ by rounding."""

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
    settled = int(np.argmax(distance >= SETTLED_FRACTION * distance.max()))
    if settled <= first:
        return float("nan")
    return float((distance[settled] / distance[first]) ** (1 / (settled - first)))


@dataclass(frozen=True, eq=False)
class DivergenceFinding(Finding):
    """Where two runs first part.

    Attributes
    ----------
    divergence : Divergence or None
        None when the runs are equal within the tolerance.
    growth : Growth
    final_distance : float
        Largest distance between a final landmark and itself in the other run, image px.
    tolerance : float
        Largest absolute difference that counted as equal.
    """

    question: ClassVar[str] = "Do the two runs part, and where?"
    provenance: ClassVar[str] = "Every array of both runs, in the order the fit computed them, compared step by step."

    divergence: Divergence | None
    growth: Growth
    final_distance: float
    tolerance: float

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
            same = f"equal within {self.tolerance:g}" if self.tolerance else "identical, bit for bit"
            return f"No: the two runs are {same}."
        step = found.step_a or found.step_b
        assert step is not None
        what = f"{found.array} differs by {found.difference:.3g}" if found.array else "one run has no such step"
        return f"{self._landmarks()}. The first difference is at {describe(step)}: {what}.{self._growth()}"

    def _landmarks(self) -> str:
        """Whether and where the landmarks part; a difference of the maps alone, such as their scale, moves none."""
        if self.parting is None:
            end = f"end {self.final_distance:.3g} px apart"
            return f"Yes, but the landmarks never part by more than {NOTICEABLE_PX:g} px and {end}"
        where = f"Yes: the landmarks part by more than {NOTICEABLE_PX:g} px at {describe(self.parting)}"
        return f"{where} and end {self.final_distance:.3g} px apart"

    def _growth(self) -> str:
        factor = self.growth.factor
        return "" if np.isnan(factor) else f" Until it settles the difference grows ×{factor:.2f} per iteration."

    def tables(self) -> tuple[Table, ...]:
        """The distance per iteration."""
        rows = tuple(
            (describe(step), float(distance))
            for step, distance in zip(self.growth.steps, self.growth.distance, strict=True)
        )
        links = tuple(step.place for step in self.growth.steps)
        return (Table("Difference per iteration", ("iteration", "largest landmark distance, px"), rows, links),)

    def plots(self) -> tuple[Plot, ...]:
        """The distance per iteration on a logarithmic axis."""
        distance = np.where(self.growth.distance > 0, self.growth.distance, np.nan)
        x = np.arange(1, len(distance) + 1, dtype=np.float64)
        return (Plot("Growth of the difference", "iteration of the run", "px", x, {"A − B": distance}, log_y=True),)


def divergence(a: Trace, b: Trace, tolerance: float = 0.0) -> DivergenceFinding:
    """Where two runs first part, and how their difference grows.

    Parameters
    ----------
    a, b : Trace
    tolerance : float
        Largest absolute difference that still counts as equal.

    Returns
    -------
    DivergenceFinding

    Raises
    ------
    ValueError
        When the runs have different numbers of landmarks.
    """
    if a.landmarks.shape != b.landmarks.shape:
        raise ValueError(f"the runs have {len(a.landmarks)} and {len(b.landmarks)} landmarks; expected the same number")
    distance = landmark_distance(a.landmarks, b.landmarks)
    return DivergenceFinding(first_divergence(a, b, tolerance), growth(a, b), distance, tolerance)
