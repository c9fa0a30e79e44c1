"""CCNF patch experts: sample the area of interest, run the neurons, all landmarks at once.

Baltrušaitis, Robinson, Morency, "Constrained Local Neural Fields for robust facial landmark detection in the
wild", ICCVW 2013, §3.1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import DTypeLike, NDArray

from clnf_engine.arrays import FLOAT64, Array, DType, Floats
from clnf_engine.caches import cached_with_owner
from clnf_engine.model import PatchExperts

MIN_ALPHA = 1e-4
"""Neurons with a smaller α stay silent, as in OpenFace (they still count in Σα)."""

FLAT_STD = 1e-3
"""A patch with a smaller standard deviation (grey levels) is flat: it has no correlation with anything."""


_CHUNK = 8
"""Landmarks whose patches are unfolded at a time."""


def sample_areas(
    image: NDArray[np.uint8], centres: Floats, reference_to_image: Floats, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Areas of interest: the image around each landmark, resampled in the reference frame.

    Float bilinear interpolation; the image border is replicated. (`cv2.warpAffine` and `cv2.remap` round the
    coordinates to 1/32 px and differ visibly.)

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels.
    centres : (n, 2) float64
        Landmarks in image px.
    reference_to_image : (2, 2) float64
        Linear map from reference px to image px.
    size : (height, width)
        Of an area, reference px; its centre ``(size − 1)/2`` falls on the landmark.

    Returns
    -------
    (n, height, width) float32
        Grey levels 0…255.
    """
    if min(image.shape) < 2:
        image = np.pad(image, 1, mode="edge")
        centres = centres + 1
    rows, cols = image.shape
    height, width = size
    dy, dx = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    (axx, axy), (ayx, ayy) = reference_to_image
    left, fx = _cells_and_fractions(centres[:, 0], axx * dx + axy * dy[:, None], cols)
    top, fy = _cells_and_fractions(centres[:, 1], ayx * dx + ayy * dy[:, None], rows)
    top *= cols
    top += left
    corner = top.astype(np.intp)
    pixels = np.ascontiguousarray(image).ravel()
    upper = _lerp(pixels[corner], pixels[1:][corner], fx)
    lower = _lerp(pixels[cols:][corner], pixels[cols + 1 :][corner], fx)
    return _lerp(upper, lower, fy)


def _cells_and_fractions(centres: Floats, grid: Floats, length: int) -> tuple[Floats, NDArray[np.float32]]:
    """Of ``centre + grid`` the pixel before it and the fraction beyond; clamping replicates the border."""
    coordinates = centres[:, None, None] + grid
    np.clip(coordinates, 0.0, length - 1.0, out=coordinates)
    cells = np.floor(coordinates)
    np.minimum(cells, length - 2.0, out=cells)
    coordinates -= cells
    return cells, coordinates.astype(np.float32)


def _lerp(a: Array, b: Array, fraction: NDArray[np.float32]) -> NDArray[np.float32]:
    start, result = a.astype(np.float32), b.astype(np.float32)
    result -= start
    result *= fraction
    result += start
    return result


def correlate(areas: NDArray[np.float32], experts: PatchExperts, dtype: DTypeLike = FLOAT64) -> Array:
    """Normalized cross-correlation of every neuron with every patch (OpenCV's TM_CCOEFF_NORMED).

    A patch whose standard deviation is below `FLAT_STD` correlates with nothing: NCC = 0 there. (The C++
    leaves rounding noise in its place.)

    Parameters
    ----------
    areas : (n, window + h − 1, window + w − 1) float32
        From `sample_areas`.
    experts : PatchExperts
    dtype : float64 or float32
        Of the arithmetic and the result.

    Returns
    -------
    (n, K, window, window)
    """
    dtype = np.dtype(dtype)
    n, k, h, w = experts.weights.shape
    height, width = areas.shape[1] - h + 1, areas.shape[2] - w + 1
    norms = _patch_norms(areas, h, w)
    inverse = np.zeros_like(norms)
    np.divide(1.0, norms, out=inverse, where=norms > FLAT_STD * np.sqrt(h * w))
    # The neurons have zero mean, so removing the area's mean changes nothing but the rounding, in float32.
    centred = areas - areas.mean(axis=(1, 2), keepdims=True, dtype=dtype)
    weights = _unit_weights(experts, dtype)
    ncc = np.empty((n, k, height * width), dtype=dtype)
    # Unfolding columns first leaves each patch one contiguous run, so the big copy moves whole patches; a few
    # landmarks at a time keep it in the cache.
    columns = sliding_window_view(centred, w, axis=2).swapaxes(1, 2)
    unfolded = np.empty((_CHUNK, *columns.shape[1:]), dtype=dtype)
    s0, s1, s2, s3 = unfolded.strides
    runs = as_strided(unfolded, (_CHUNK, height, width, h * w), (s0, s2, s1, s3), writeable=False)
    patches: Array = np.empty(runs.shape, dtype=dtype)
    for start in range(0, n, _CHUNK):
        stop = min(start + _CHUNK, n)
        size = stop - start
        unfolded[:size] = columns[start:stop]
        patches[:size] = runs[:size]
        rows = patches[:size].reshape(size, height * width, h * w)
        np.matmul(weights[start:stop], rows.swapaxes(1, 2), out=ncc[start:stop])
    ncc *= inverse.reshape(n, 1, -1).astype(dtype, copy=False)
    return ncc.reshape(n, k, height, width)


def _patch_norms(areas: NDArray[np.float32], h: int, w: int) -> Floats:
    """Norm of every patch after removing its mean, (n, height, width); float64, so flat means flat."""
    moments = np.empty((2, *areas.shape))
    moments[0] = areas
    np.multiply(moments[0], moments[0], out=moments[1])
    columns = moments.reshape(-1, areas.shape[2]) @ _box(areas.shape[2], w).T
    total, squares = _box(areas.shape[1], h) @ columns.reshape(*moments.shape[:3], -1)
    total *= total
    total /= h * w
    squares -= total
    np.maximum(squares, 0.0, out=squares)
    norms: Floats = np.sqrt(squares, out=squares)
    return norms


@lru_cache(maxsize=64)
def _box(size: int, length: int) -> Floats:
    """Matrix that sums every run of `length` neighbours, (size − length + 1, size)."""
    starts = np.arange(size - length + 1)[:, None]
    offset = np.arange(size) - starts
    return ((offset >= 0) & (offset < length)).astype(np.float64)


@cached_with_owner(maxsize=2)
def _unit_weights(experts: PatchExperts, dtype: DType) -> Array:
    """Neuron weights with zero mean and unit norm, (n, K, h·w); a constant neuron becomes zero."""
    n, k, h, w = experts.weights.shape
    flat = experts.weights.reshape(n, k, h * w).astype(np.float64)
    flat -= flat.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(flat, axis=2, keepdims=True)
    np.divide(flat, norms, out=flat, where=norms > 0)
    return flat.astype(dtype)


def neuron_outputs(ncc: Array, experts: PatchExperts) -> Array:
    """Outputs ``2α / (1 + exp(−(NCC·norm_weights + bias)))``; zero for neurons with α ≤ `MIN_ALPHA`.

    Parameters
    ----------
    ncc : (n, K, window, window)
    experts : PatchExperts

    Returns
    -------
    (n, K, window, window), dtype of `ncc`
        Their sum over K is the raw response (ICCVW 2013, eq. 4).
    """
    dtype = ncc.dtype
    slope, offset, gain = _activation(experts, dtype)
    output: Array = ncc * slope
    output += offset
    with np.errstate(over="ignore"):  # exp(…) = inf is an output of exactly zero
        np.exp(output, out=output)
    output += 1
    np.divide(gain, output, out=output)
    return output


@cached_with_owner(maxsize=2)
def _activation(experts: PatchExperts, dtype: DType) -> tuple[Array, Array, Array]:
    """Per neuron −norm_weights, −bias and 2α, each (n, K, 1, 1)."""
    gain = np.where(experts.alpha > MIN_ALPHA, 2 * experts.alpha, 0.0)
    slope, offset, gain = (a[:, :, None, None].astype(dtype) for a in (-experts.norm_weights, -experts.bias, gain))
    return slope, offset, gain
