"""Fixed point: whether a fit has converged; the parts of its updates, and the gradient that vanishes there."""

from __future__ import annotations

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
    gradient : float
        ‖JᵀWv − reg·Λ⁻¹q‖: what vanishes at the optimum. Neither ‖Δp‖ nor the mean-shifts need to.
    """

    scale: float
    rotation: float
    translation: float
    shape: float
    gradient: float


@remembered
def update_parts(step: Step) -> UpdateParts | None:
    """The parts of a Step's update; None for a Step without one."""
    if step.delta is None or step.gradient is None:
        return None
    return UpdateParts(
        scale=abs(float(step.delta[0])),
        rotation=_norm(step.delta[1:4]),
        translation=_norm(step.delta[4:6]),
        shape=_norm(step.delta[6:]),
        gradient=_norm(step.gradient),
    )


@dataclass(frozen=True, eq=False)
class FixedPointFinding(Finding):
    """How every phase of a run ended.

    Attributes
    ----------
    steps : tuple of Step
        Every iteration with an update, without its maps, Jacobian and Hessian.
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
        return bool(self.steps[-1].converged) if self.steps else None

    @property
    def verdict(self) -> str:
        """How the last phase ended, and what ‖Δp‖ is made of."""
        if not self.steps:
            return "It cannot be told: the fit has no iterations."
        last = self.steps[-1]
        parts = update_parts(last)
        first = update_parts(next(s for s in self.steps if s.place[:2] == last.place[:2]))
        assert parts is not None and first is not None and last.update_norm is not None and last.mean_shift is not None
        shape = 100 * (parts.shape / last.update_norm) ** 2 if last.update_norm else 0.0
        moves = f"the shape moves {last.shape_change:.3g} px in the last iteration"
        rule = (
            f"the rule is {self.options.convergence_px:g} px" if self.options.convergence_px else "there is no px rule"
        )
        shift = f"‖mean-shift‖ is {_norm(last.mean_shift.image):.3g} px, which need not vanish"
        rest = (
            f"‖Δp‖ is {last.update_norm:.3g}, {shape:.0f} % of its square shape coefficients; ‖JᵀWv − reg·Λ⁻¹q‖ went "
            f"from {first.gradient:.3g} to {parts.gradient:.3g} while {shift}"
        )
        if self.answer:
            return f"Yes: {moves} ({rule}); {rest}."
        return f"No, the iterations ran out: {moves} ({rule}); {rest}."

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
            assert parts is not None and step.mean_shift is not None
            values = (parts.scale, parts.rotation, parts.translation, parts.shape, parts.gradient)
            shift = _norm(step.mean_shift.image)
            rows.append((describe(step), step.update_norm, *values, shift, step.shape_change, step.converged))
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
    steps = tuple(without_large(step) for step in trace.numbers if step.delta is not None)
    return FixedPointFinding(steps, trace.options)


def _norm(values: Array) -> float:
    return float(np.linalg.norm(values))
