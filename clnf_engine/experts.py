"""CCNF patch experts: sample the area of interest, run the neurons, all landmarks at once.

Baltrušaitis, Robinson, Morency, "Constrained Local Neural Fields for robust facial landmark detection in the
wild", ICCVW 2013, §3.1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clnf_engine.arrays import FLOAT64, Array, DType, Floats
from clnf_engine.caches import cached_with_owner
from clnf_engine.kernels import responses as kernels
from clnf_engine.model import PatchExperts

MIN_ALPHA = 1e-4
"""Neurons with a smaller α stay silent, as in OpenFace (they still count in Σα)."""

FLAT_STD = 1e-3
"""A patch with a smaller standard deviation (grey levels) is flat: it has no correlation with anything."""


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
    area = np.empty((len(centres), *size), np.float32)
    kernels.sample_areas(image, centres, reference_to_image, area)
    return area


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
    n, k, h, w = experts.weights.shape
    ncc = np.empty((n, k, areas.shape[1] - h + 1, areas.shape[2] - w + 1), dtype)
    kernels.correlate(areas, _unit_weights(experts, ncc.dtype), h, w, FLAT_STD * math.sqrt(h * w), ncc)
    return ncc


@cached_with_owner(maxsize=2)
def _unit_weights(experts: PatchExperts, dtype: DType) -> Array:
    """Neuron weights of zero mean and unit norm, as `kernels.correlate` takes them; a constant neuron becomes zero."""
    n, k, h, w = experts.weights.shape
    flat = experts.weights.reshape(n, k, h * w).astype(np.float64)
    flat -= flat.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(flat, axis=2, keepdims=True)
    np.divide(flat, norms, out=flat, where=norms > 0)
    groups, taps = -(-k // kernels.TOGETHER), -(-h * w // kernels.WHOLE) * kernels.WHOLE
    padded = np.zeros((n, groups * kernels.TOGETHER, taps), dtype)
    padded[:, :k, : h * w] = flat
    return padded.reshape(n, groups, kernels.TOGETHER, taps)


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
    output = np.empty(ncc.shape, ncc.dtype)
    kernels.neuron_outputs(ncc, *_activation(experts, ncc.dtype), *_exponential(ncc.dtype), output)
    return output


@cached_with_owner(maxsize=2)
def _activation(experts: PatchExperts, dtype: DType) -> tuple[Array, Array, Array]:
    """Per neuron −norm_weights, −bias and 2α, each (n, K)."""
    gain = np.where(experts.alpha > MIN_ALPHA, 2 * experts.alpha, 0.0)
    slope, offset, gain = (a.astype(dtype) for a in (-experts.norm_weights, -experts.bias, gain))
    return slope, offset, gain


@lru_cache(maxsize=2)
def _exponential(dtype: DType) -> tuple[Array, Array, Array]:
    """What `kernels.neuron_outputs` takes for its exponential: limits, series and the layout of a number."""
    numbers = np.finfo(dtype)
    bias, place = numbers.maxexp - 1, numbers.nmant
    # Beyond the limits 2ᵏ is 0 or inf. The first part of ln 2 has few bits, so that k times it is exact.
    ln2 = math.log(2)
    single = dtype == np.float32
    parts = (0.693359375, -2.1219444005469057e-4) if single else (0.6931471803691238, 1.9082149292705877e-10)
    limits = np.array([-(bias - 0.1) * ln2, (bias + 0.9) * ln2, 1 / ln2, *parts], dtype)
    series = np.array([1 / math.factorial(k) for k in range(kernels.TERMS - 1, -1, -1)], dtype)
    return limits, series, np.array([bias, place], f"i{dtype.itemsize}")


def sum_of_neurons(outputs: Array) -> Array:
    """The raw response, the sum of the neurons' outputs; (n, window, window)."""
    n, _, *window = outputs.shape
    raw = np.empty((n, *window), outputs.dtype)
    kernels.add_neurons(outputs, raw)
    return raw
