"""What the response maps are like, per landmark: raw, after Sigma, shifted and normalized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only_fields
from clnf_engine.model import Model
from clnf_engine.sigma import sigma_matrices
from clnf_engine.steps import ResponseMaps, Step

PERCENTILES = (25, 50, 75, 95, 99)
MAP_KINDS = ("raw", "after_sigma", "shifted", "final")
"""Fields of `ResponseMaps`, in the order the fit computes them."""

WEAK_FRACTION = 0.1
"""A landmark is weak when its map after Sigma peaks below this fraction of the median peak of all visible ones."""


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """Magnitudes of the response maps of one stage, (n,) per landmark; NaN where a landmark is not visible.

    Attributes
    ----------
    raw_max, raw_mean, after_sigma_max, after_sigma_mean, final_max : (n,) float64
    attenuation : (n,) float64
        ``raw_max / after_sigma_max``.
    sigma_diagonal_mean : (n,) float64
        Mean of Sigma's diagonal; NaN when Sigma is not applied.
    peak_offset : (n,) float64
        Distance of the final map's peak from its centre, reference px.
    sharpness : (n,) float64
        Peak over mean of the final map.
    patch_confidence : (n,) float64
    weak : (n,) bool
        See `WEAK_FRACTION`.
    """

    raw_max: Floats
    raw_mean: Floats
    after_sigma_max: Floats
    after_sigma_mean: Floats
    final_max: Floats
    attenuation: Floats
    sigma_diagonal_mean: Floats
    peak_offset: Floats
    sharpness: Floats
    patch_confidence: Floats
    weak: NDArray[np.bool_]


def magnitudes(step: Step, model: Model) -> Magnitudes | None:
    """Magnitudes of the maps that a Step carries.

    Parameters
    ----------
    step : Step
    model : Model
        The one the fit used; for Sigma and the patch confidences.

    Returns
    -------
    Magnitudes or None
        None for a Step without maps.
    """
    maps, stage = step.responses, step.stage
    if maps is None or stage is None or stage.view is None:
        return None
    n, window = maps.final.shape[0], maps.window
    raw_max, after_max, final_max = (
        _visible(m.max(axis=(1, 2)), maps) for m in (maps.raw, maps.after_sigma, maps.final)
    )
    raw_mean, after_mean, final_mean = (
        _visible(m.mean(axis=(1, 2)), maps) for m in (maps.raw, maps.after_sigma, maps.final)
    )
    cells = maps.final.reshape(n, -1).argmax(axis=1)
    centre = (window - 1) / 2
    offset = np.hypot(cells % window - centre, cells // window - centre)
    diagonal = np.full(n, np.nan)
    if stage.sigma_transform:
        sigma = sigma_matrices(model.scales[stage.patch_scale], stage.view, window, maps.raw.dtype)
        if sigma is None:
            total = 2 * model.scales[stage.patch_scale].views[stage.view].sum_alphas
            np.divide(1.0, total, out=diagonal, where=total > 0)
        else:
            diagonal = sigma.diagonal(axis1=1, axis2=2).mean(axis=1).astype(np.float64)
    limit = WEAK_FRACTION * (np.nanmedian(after_max) if maps.visible.any() else 0.0)
    return read_only_fields(
        Magnitudes(
            raw_max=raw_max,
            raw_mean=raw_mean,
            after_sigma_max=after_max,
            after_sigma_mean=after_mean,
            final_max=final_max,
            attenuation=_ratio(raw_max, after_max),
            sigma_diagonal_mean=_visible(diagonal, maps),
            peak_offset=_visible(offset, maps),
            sharpness=_ratio(final_max, final_mean),
            patch_confidence=_visible(model.scales[stage.patch_scale].views[stage.view].patch_confidence, maps),
            weak=maps.visible & (np.nan_to_num(after_max) < limit),
        )
    )


def percentiles(maps: ResponseMaps) -> dict[str, Floats]:
    """Distribution of all cells of all visible maps.

    Parameters
    ----------
    maps : ResponseMaps

    Returns
    -------
    dict
        Per kind of map (`MAP_KINDS`): minimum, `PERCENTILES`, maximum, mean and standard deviation, (9,).
    """
    result = {}
    for kind in MAP_KINDS:
        values: Array = getattr(maps, kind)[maps.visible]
        if values.size == 0:
            result[kind] = np.full(len(PERCENTILES) + 4, np.nan)
            continue
        quantiles = np.percentile(values, PERCENTILES)
        result[kind] = np.array([values.min(), *quantiles, values.max(), values.mean(), values.std()], dtype=np.float64)
    return result


def _visible(values: Array, maps: ResponseMaps) -> Floats:
    return np.where(maps.visible, values.astype(np.float64), np.nan)


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=np.nan_to_num(b) != 0)
