"""Has it converged? The parts of an update, and the gradient that vanishes at the fixed point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.steps import Step


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


def _norm(values: Array) -> float:
    return float(np.linalg.norm(values))
