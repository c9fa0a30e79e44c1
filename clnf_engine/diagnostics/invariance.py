"""Invariance: whether scaling the response maps changes the fit; the mean-shift's own weight sum should cancel it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from clnf_engine.diagnostics.finding import Finding, Progress, Table, no_progress
from clnf_engine.fitting import fit
from clnf_engine.model import Model
from clnf_engine.options import FitOptions, Normalization
from clnf_engine.trace import Trace, landmark_distance

EXACT_POWERS = (10, -40)
"""Gains of 2 to these powers only change exponents: the fit must be the same bit for bit."""

GAINS = (3.0, 1e-6)
"""Gains that round; the fit must be the same but for rounding."""

ROUNDING_PX = 1e-4
"""Final landmarks that differ by no more, image px, differ by rounding."""

FIRST_SHIFT_PX = 1e-4
"""First mean-shifts that differ by no more, image px, differ by rounding; float32 included."""


@dataclass(frozen=True)
class Scaling:
    """One fit with scaled maps, compared with the fit as it was.

    Attributes
    ----------
    name : str
        Of the scaling.
    exact : bool
        Whether nothing is rounded, so that the fits must be identical.
    identical : bool
        Whether all landmarks of all Steps are, bit for bit.
    first_shift : float
        Largest difference of a mean-shift of the first iteration, image px; inf when only one fit has one.
    landmarks : float
        Largest distance between a final landmark and itself, image px.
    """

    name: str
    exact: bool
    identical: bool
    first_shift: float
    landmarks: float

    @property
    def harmless(self) -> bool:
        """Whether the fit did not change but for rounding."""
        return self.identical if self.exact else self.landmarks <= ROUNDING_PX

    @property
    def only_amplified(self) -> bool:
        """Whether the first mean-shifts agree, so that later iterations must have made a rounding error large."""
        return not self.exact and self.first_shift <= FIRST_SHIFT_PX


@dataclass(frozen=True)
class InvarianceFinding(Finding):
    """What scaling the maps does to a fit.

    Attributes
    ----------
    scalings : tuple of Scaling
        None when the fit has no mean-shifts.
    """

    question: ClassVar[str] = "Does scaling the response maps change the fit?"
    wanted: ClassVar[bool | None] = False
    provenance: ClassVar[str] = "The fit run again with only the option response_gain or normalization changed."

    scalings: tuple[Scaling, ...]

    @property
    def answer(self) -> bool | None:
        """Whether a scaling changes more than rounding may."""
        return not all(scaling.harmless for scaling in self.scalings) if self.scalings else None

    @property
    def verdict(self) -> str:
        """By how much, and whether the maps or the rest of the fit are to blame."""
        if not self.scalings:
            return "It cannot be told: the fit has no mean-shifts."
        exact = [s for s in self.scalings if s.exact]
        worst = max(self.scalings, key=lambda s: s.landmarks)
        if not self.answer:
            return (
                f"No: {' and '.join(s.name for s in exact)} are bit-identical, and no scaling moves a final landmark "
                f"by more than {worst.landmarks:.1g} px."
            )
        guilty = [s for s in self.scalings if not s.harmless]
        if all(s.only_amplified for s in guilty):
            return (
                f"Yes, but the maps are not to blame: the first mean-shifts agree within "
                f"{max(s.first_shift for s in guilty):.1g} px, and the fit makes {worst.landmarks:.2g} px of that "
                f"rounding ({worst.name})."
            )
        culprit = next(s for s in guilty if not s.only_amplified)
        return (
            f"Yes: {culprit.name} changes the first mean-shifts by {culprit.first_shift:.2g} px and the final "
            f"landmarks by {culprit.landmarks:.2g} px; something depends on the magnitude of the maps."
        )

    def tables(self) -> tuple[Table, ...]:
        """Every scaling."""
        columns = (
            "maps",
            "must be",
            "bit-identical",
            "first mean-shift differs by, px",
            "final landmarks differ by, px",
        )
        rows = tuple(
            (s.name, "identical" if s.exact else "equal to rounding", s.identical, s.first_shift, s.landmarks)
            for s in self.scalings
        )
        return (Table("Fits with scaled maps", columns, rows),)


def invariance(trace: Trace, model: Model, progress: Progress = no_progress) -> InvarianceFinding:
    """Run a fit again with scaled maps.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one that made it.
    progress : Progress

    Returns
    -------
    InvarianceFinding
    """
    if _first_shift(trace) is None:
        return InvarianceFinding(())
    gain, now = trace.options.response_gain, trace.options.normalization
    scalings: list[tuple[str, bool, FitOptions]] = [
        (f"× 2^{power}", True, replace(trace.options, response_gain=gain * 2.0**power)) for power in EXACT_POWERS
    ]
    scalings += [(f"× {factor:g}", False, replace(trace.options, response_gain=gain * factor)) for factor in GAINS]
    if now is not Normalization.MINMAX:  # which also subtracts: to and from it is no scaling
        scalings += [
            (f"normalization {other}", False, replace(trace.options, normalization=other))
            for other in Normalization
            if other not in (now, Normalization.MINMAX)
        ]
    found = []
    for k, (name, exact, options) in enumerate(scalings):
        progress(k, len(scalings))
        found.append(_compared(name, exact, trace, fit(trace.image, model, trace.initial, options)))
    progress(len(scalings), len(scalings))
    return InvarianceFinding(tuple(found))


def _compared(name: str, exact: bool, a: Trace, b: Trace) -> Scaling:
    same = len(a.numbers) == len(b.numbers) and all(
        np.array_equal(x.landmarks, y.landmarks) for x, y in zip(a.numbers, b.numbers, strict=True)
    )
    first_a, first_b = _first_shift(a), _first_shift(b)
    if first_a is None or first_b is None:
        first = 0.0 if first_a is first_b else float("inf")
    else:
        first = landmark_distance(first_a, first_b)
    distance = landmark_distance(a.landmarks, b.landmarks)
    return Scaling(name, exact, same, first, distance)


def _first_shift(trace: Trace) -> np.ndarray | None:
    return next((step.mean_shift.image for step in trace.numbers if step.mean_shift is not None), None)
