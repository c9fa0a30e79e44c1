"""The schedule of a fit: which stages it comes by, in which phases, and how a stage adapts the options to its scale.

Baltrušaitis et al., ICCVW 2013, §4: coarse to fine, first the six global parameters, then all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from clnf_engine.steps import Phase

MIN_SIGMA = 1e-3
"""Lower bound on the bandwidth after its adaptation to very small patch scales, reference px."""

MIN_REG_FACTOR = 0.001
"""The weight of the prior where its adaptation would leave nothing of it."""

SKIP_RATIO = 0.9
"""A stage is skipped when the face is smaller than this fraction of its patch scaling."""


@dataclass(frozen=True)
class Schedule:
    """What a fit comes by.

    Attributes
    ----------
    stages : tuple of (patch scale, window, sigma transform)
        Index of the model's patch scale; side of the maps, reference px, 0 where the scale is left out; whether Sigma
        is applied.
    phases : tuple of Phase
        Of every stage, in order.
    fresh_maps : bool
        Whether the maps are made anew in every iteration.
    """

    stages: tuple[tuple[int, int, bool], ...]
    phases: tuple[Phase, ...] = (Phase.RIGID, Phase.NONRIGID)
    fresh_maps: bool = False


def coarse_to_fine(windows: tuple[int, ...], n_scales: int) -> Schedule:
    """One stage per patch scale; surplus windows are unused, missing ones leave the scale out."""
    padded = (*windows, *(0,) * n_scales)[:n_scales]
    return Schedule(tuple((scale, window, True) for scale, window in enumerate(padded)))


def adapted(
    patch_scaling: float,
    first_scaling: float,
    sigma: float,
    reg_factor: float,
    weight_factor: float,
    adapt_per_scale: bool = True,
) -> tuple[float, float, float]:
    """Bandwidth, weight of the prior and weight of the confidences at a patch scaling.

    Parameters
    ----------
    patch_scaling : float
        Reference px per model unit.
    first_scaling : float
        Of the first stage that is run; OpenFace's rule does not depend on it.
    sigma, reg_factor, weight_factor : float
        As chosen, at patch scaling 0.25.
    adapt_per_scale : bool
        False leaves them as they are.

    Returns
    -------
    sigma, reg_factor, weight_factor : float
        With L octaves above 0.25: ``σ + 0.25·L``, ``reg − 15·L``, ``weight·(1 + 2·L)``.
    """
    octaves = math.log2(patch_scaling / 0.25) if adapt_per_scale else 0.0
    reg = reg_factor - 15 * octaves
    if adapt_per_scale and reg <= 0:
        reg = MIN_REG_FACTOR
    return max(sigma + 0.25 * octaves, MIN_SIGMA), reg, weight_factor * (1 + 2 * octaves)


def skip_reason(window: int, patch_scaling: float, face: float) -> str:
    """Why a stage is not run, in words; "" when it is. `face` is the scale of the face, image px per model unit."""
    if window == 0:
        return "no window for this scale"
    if SKIP_RATIO * patch_scaling > face:
        return f"the face is too small for this scale ({face:.3g}, at least {SKIP_RATIO * patch_scaling:.3g} needed)"
    return ""
