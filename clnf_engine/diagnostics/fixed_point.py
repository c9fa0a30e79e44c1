"""Fixed point: whether a fit has converged; the parts of its updates, and the gradient that vanishes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.caches import remembered
from clnf_engine.diagnostics.finding import Finding, Plot, Table
from clnf_engine.options import FitOptions
from clnf_engine.steps import Step, describe, without_large
from clnf_engine.trace import Trace


@dataclass(frozen=True)
class UpdateParts:
    """Norms of the parts of an update, each in its own unit; ‖Δp‖ mixes them.

    Attributes
    ----------
    scale : float
        Image px per model unit.
    rotation : float
        Radians.
    translation : float
        Image px.
    shape : float
        Shape coefficients; 0 in the rigid phase.
    gradient : float or None
        ‖JᵀWv − reg·Λ⁻¹q‖: what vanishes at the optimum. Neither ‖Δp‖ nor the mean-shifts need to. None where another
        program did not record it.
    """

    scale: float
    rotation: float
    translation: float
    shape: float
    gradient: float | None


@remembered
def update_parts(step: Step) -> UpdateParts | None:
    """The parts of a Step's update; None for a Step without one."""
    if step.delta is None:
        return None
    return UpdateParts(
        scale=abs(float(step.delta[0])),
        rotation=_norm(step.delta[1:4]),
        translation=_norm(step.delta[4:6]),
        shape=_norm(step.delta[6:]),
        gradient=None if step.gradient is None else _norm(step.gradient),
    )


@dataclass(frozen=True, eq=False)
class FixedPointFinding(Finding):
    """How every phase of a run ended.

    Attributes
    ----------
    steps : tuple of Step
        Every iteration with an update, without its maps, Jacobian and Hessian. What another program did not record
        is None.
    options : FitOptions
        Its stop rules.
    """

    question: ClassVar[str] = "Has the fit converged?"
    wanted: ClassVar[bool | None] = True
    provenance: ClassVar[str] = "The update, gradient, mean-shifts and landmarks that every iteration recorded."

    steps: tuple[Step, ...]
    options: FitOptions

    @property
    def answer(self) -> bool | None:
        """Whether the last phase stopped by a stop rule of the fit, and not by the number of iterations."""
        return self.steps[-1].converged if self.steps else None

    @property
    def verdict(self) -> str:
        """How the last phase ended, and what ‖Δp‖ is made of."""
        if not self.steps:
            return "It cannot be told: the fit has no iterations, or none was recorded with its update."
        rest = "; ".join(self._told())
        if self.answer is None:
            return f"It cannot be told: whether a stop rule ended the last phase was not recorded; {rest}."
        return f"{'Yes' if self.answer else 'No, the iterations ran out'}: {rest}."

    def _told(self) -> Iterator[str]:
        """What is known of the last iteration."""
        last = self.steps[-1]
        parts = update_parts(last)
        first = update_parts(next(s for s in self.steps if s.place[:2] == last.place[:2]))
        if last.shape_change is not None:
            limit = self.options.convergence_px
            rule = f"the rule is {limit:g} px" if limit else "there is no px rule"
            yield f"the shape moves {last.shape_change:.3g} px in the last iteration ({rule})"
        if last.update_norm is not None:
            norm = f"‖Δp‖ is {last.update_norm:.3g}"
            if parts is not None:
                shape = 100 * (parts.shape / last.update_norm) ** 2 if last.update_norm else 0.0
                norm += f", {shape:.0f} % of its square shape coefficients"
            yield norm
        shift = _shift(last)
        if parts is not None and first is not None and parts.gradient is not None and first.gradient is not None:
            yield f"‖JᵀWv − reg·Λ⁻¹q‖ went from {first.gradient:.3g} to {parts.gradient:.3g}" + (
                "" if shift is None else f" while ‖mean-shift‖ is {shift:.3g} px, which need not vanish"
            )
        elif shift is not None:
            yield f"‖mean-shift‖ is {shift:.3g} px, which need not vanish"

    def tables(self) -> tuple[Table, ...]:
        """Every iteration."""
        columns = (
            "iteration",
            "‖Δp‖",
            "scale",
            "rotation, rad",
            "translation, px",
            "shape coefficients",
            "‖JᵀWv − reg·Λ⁻¹q‖",
            "‖mean-shift‖, px",
            "shape change, px",
            "stopped by rule",
        )
        rows = []
        for step in self.steps:
            parts = update_parts(step)
            values = (None,) * 5 if parts is None else tuple(vars(parts).values())
            rows.append((describe(step), step.update_norm, *values, _shift(step), step.shape_change, step.converged))
        return (Table("Iterations", columns, tuple(rows), tuple(step.place for step in self.steps)),)

    def plots(self) -> tuple[Plot, ...]:
        """Update norm, gradient and shape change per iteration."""
        x = np.arange(1, len(self.steps) + 1, dtype=np.float64)
        parts = [update_parts(step) for step in self.steps]
        series = {
            "‖Δp‖": [step.update_norm for step in self.steps],
            "‖JᵀWv − reg·Λ⁻¹q‖": [None if p is None else p.gradient for p in parts],
            "shape change, px": [step.shape_change for step in self.steps],
        }
        curves = {name: np.array([v or np.nan for v in values], dtype=np.float64) for name, values in series.items()}
        return (Plot("Convergence", "iteration of the run", "", x, curves, log_y=True),)


def fixed_point(trace: Trace) -> FixedPointFinding:
    """How every phase of a run ended.

    Parameters
    ----------
    trace : Trace

    Returns
    -------
    FixedPointFinding
    """
    steps = tuple(
        without_large(step)
        for step in trace.numbers
        if step.delta is not None or (step.iteration is not None and step.shape_change is not None and not step.message)
    )
    return FixedPointFinding(steps, trace.options)


def _shift(step: Step) -> float | None:
    """‖mean-shift‖ of a Step, image px; None where it is not recorded."""
    shift = step.mean_shift
    return None if shift is None or not shift.has("image") else _norm(shift.image)


def _norm(values: Array) -> float:
    return float(np.linalg.norm(values))
