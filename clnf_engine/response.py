"""Response maps of a stage: similarity → area → neurons → Sigma → shift → normalization. `experts` has the neurons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, all_of
from clnf_engine.experts import sample_areas
from clnf_engine.kernels import responses as kernels
from clnf_engine.options import Normalization


def areas(
    image: NDArray[np.uint8],
    base_shape: Floats,
    reference_to_image: Floats,
    visible: NDArray[np.bool_],
    window: int,
    support: tuple[int, int],
) -> NDArray[np.float32]:
    """Areas of interest around landmarks, zero where they are not visible.

    The C++ keeps the landmarks it samples around in float32; so both sample the same places.

    Returns
    -------
    (n, window + h − 1, window + w − 1) float32
        See `experts.sample_areas`; (h, w) is the support.
    """
    return unrounded_areas(
        image, base_shape.astype(np.float32).astype(np.float64), reference_to_image, visible, window, support
    )


def unrounded_areas(
    image: NDArray[np.uint8],
    base_shape: Floats,
    reference_to_image: Floats,
    visible: NDArray[np.bool_],
    window: int,
    support: tuple[int, int],
) -> NDArray[np.float32]:
    """The same around the landmarks as they are."""
    size = (window + support[0] - 1, window + support[1] - 1)
    area = sample_areas(image, base_shape, reference_to_image, size)
    if not all_of(visible):
        area[~visible] = 0
    return area


def similarity(source: Floats, target: Floats) -> Floats:
    """Linear part of the similarity that maps one shape onto another.

    Both are centred and RMS-normalised; the rotation is Kabsch's, the scale the ratio of the RMS sizes (not
    the least-squares scale).

    Parameters
    ----------
    source, target : (n, 2) float64

    Returns
    -------
    (2, 2) float64
        S such that ``target ≈ source @ S.T`` after centring.
    """
    result = np.empty((2, 2))
    kernels.similarity(source, target, result)
    return result


def similarity_inverse(image_to_reference: Floats) -> Floats:
    """The map back, (2, 2) float64, rounded to float32 as in the C++."""
    inverse: Floats = np.linalg.inv(image_to_reference).astype(np.float32).astype(np.float64)
    return inverse


def shift_to_positive(maps: Array) -> Array:
    """Subtract its minimum from every map whose minimum is negative; leave the others alone.

    Parameters
    ----------
    maps : (n, w, w)

    Returns
    -------
    (n, w, w)
    """
    shifted = np.empty(maps.shape, maps.dtype)
    kernels.shift_to_positive(maps, shifted)
    return shifted


def normalize(maps: Array, normalization: Normalization) -> Array:
    """Normalize non-negative response maps; a map that is zero everywhere stays so.

    Parameters
    ----------
    maps : (n, w, w)
    normalization : Normalization
        ``none``; ``peak``: each map by its maximum; ``minmax``: each to exactly [0, 1]; ``sum``: each to a
        probability; ``global_peak``: all by the largest maximum of any landmark.

    Returns
    -------
    (n, w, w)
        `maps` itself for ``none``.
    """
    if normalization is Normalization.NONE:
        return maps
    if normalization is Normalization.MINMAX:
        maps = maps - maps.min(axis=(1, 2), keepdims=True)
    if normalization is Normalization.SUM:
        divisor = maps.sum(axis=(1, 2), keepdims=True)
    elif normalization is Normalization.GLOBAL_PEAK:
        divisor = np.broadcast_to(maps.max(), (maps.shape[0], 1, 1))
    else:
        divisor = maps.max(axis=(1, 2), keepdims=True)
    normalized: Array = np.divide(maps, divisor, out=np.zeros_like(maps), where=divisor > 0)
    return normalized


def final_maps(shifted: Array, normalization: Normalization, gain: float = 1.0) -> Array:
    """What the mean-shift sees: normalized maps times a gain, (n, w, w)."""
    final = normalize(shifted, normalization)
    return final if gain == 1.0 else final * final.dtype.type(gain)
