"""Mean-shift over response maps with a Gaussian kernel.

Saragih et al., IJCV 2011, §3.3. Each landmark's shift is divided by its own kernel sum, so scaling a map by
a constant changes nothing; adding a constant does. The kernel is separable, so the sums of all landmarks are
two small batched products with one-dimensional kernels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from clnf_engine.arrays import Array, DType, Floats, read_only_fields
from clnf_engine.options import Kernel
from clnf_engine.steps import MeanShift, ResponseMaps

TABLE_STEP = 0.1
"""Spacing of the kernel table, cells."""

LIKELIHOOD_FLOOR = 1e-8
"""Added to every likelihood, so that its logarithm exists."""


def kernel_1d(position: Array, window: int, sigma: float) -> Array:
    """One-dimensional Gaussian kernel over the cells of a map, ``exp(−(position − j)²/2σ²)``.

    Parameters
    ----------
    position : (…,)
        In cells.
    window : int
    sigma : float
        In cells (reference px).

    Returns
    -------
    (…, window)
        The two-dimensional kernel is the product of that of the row and that of the column.
    """
    exponent: Array = position[..., None] - _cells(window, position.dtype)
    exponent *= exponent
    exponent *= -0.5 / sigma**2
    np.exp(exponent, out=exponent)
    return exponent


@lru_cache(maxsize=64)
def _cells(window: int, dtype: DType) -> Array:
    return np.arange(window, dtype=dtype)


def _with_moment(kernel: Array, axis: int) -> Array:
    """Stack k_j and j·k_j along a new axis."""
    return np.stack([kernel, kernel * _cells(kernel.shape[-1], kernel.dtype)], axis=axis)


@lru_cache(maxsize=64)
def _kernel_table(window: int, sigma: float, dtype: DType, axis: int) -> Array:
    """The 1-D kernel with its moment at positions 0, 0.1, … window − 0.1."""
    positions = np.arange(round(window / TABLE_STEP)) * TABLE_STEP
    return _with_moment(kernel_1d(positions.astype(dtype), window, sigma), axis)


def _kernels(positions: Array, window: int, sigma: float, kernel: Kernel) -> tuple[Array, Array]:
    """The mean-shift's 1-D kernels k and first moments of the columns, (n, window, 2), and rows, (n, 2, window)."""
    if kernel is Kernel.EXACT:
        kernels = kernel_1d(positions, window, sigma)
        return _with_moment(kernels[:, 0], -1), _with_moment(kernels[:, 1], -2)
    index = (positions * (1 / TABLE_STEP) + 0.5).astype(np.intp)
    columns = _kernel_table(window, sigma, positions.dtype, -1).take(index[:, 0], axis=0)
    return columns, _kernel_table(window, sigma, positions.dtype, -2).take(index[:, 1], axis=0)


def map_positions(landmarks: Floats, responses: ResponseMaps, dtype: DTypeLike) -> Array:
    """Where landmarks stand in their maps, not yet clamped.

    Parameters
    ----------
    landmarks : (n, 2) float64
        Image px.
    responses : ResponseMaps
    dtype : float64 or float32

    Returns
    -------
    (n, 2)
        (dx, dy) in cells: ``(landmarks − base_shape)·Sᵀ + (w − 1)/2``.
    """
    offset = (landmarks - responses.base_shape) @ responses.image_to_reference.T
    positions: Array = offset.astype(dtype)
    positions += (responses.window - 1) / 2
    return positions


def mean_shift(
    positions: Array, responses: ResponseMaps, sigma: float, kernel: Kernel, guard: float = 0.0
) -> MeanShift:
    """Mean-shift of every landmark.

    With v = response·kernel, ``shift = (Σv·j/Σv − dx, Σv·i/Σv − dy)``. The table kernel is that of the
    position rounded to 0.1 cells, but the position subtracted is not rounded.

    Parameters
    ----------
    positions : (n, 2)
        From `map_positions`; clamped here to [0, w − 0.1].
    responses : ResponseMaps
    sigma : float
        Reference px.
    kernel : Kernel
    guard : float
        Landmarks whose Σv is not above this get a zero shift and are marked `empty` (C++: NaN where Σv = 0).

    Returns
    -------
    MeanShift
    """
    maps = responses.final
    dtype = maps.dtype
    window = responses.window
    clamped = np.minimum(np.maximum(positions, 0), dtype.type(window - TABLE_STEP))
    columns, rows = _kernels(clamped, window, sigma, kernel)
    sums = (rows @ maps @ columns).reshape(-1, 4)  # Σv, Σv·column, Σv·row and a mixed moment
    total, moments = sums[:, 0], sums[:, 1:3]
    known = total > guard
    shift = np.divide(moments, total[:, None], out=clamped.copy(), where=known[:, None])
    shift -= clamped
    if not responses.all_visible:
        shift[~responses.visible] = 0
    return read_only_fields(
        MeanShift(
            position=clamped,
            kernel_sum=total,
            reference=shift,
            image=shift @ responses.reference_to_image.T.astype(dtype),
            empty=responses.visible & ~known,
        )
    )


def kernel_maps(positions: Array, window: int, sigma: float, kernel: Kernel) -> Array:
    """The mean-shift's two-dimensional kernels, from the factors that `mean_shift` itself uses.

    Parameters
    ----------
    positions : (n, 2)
        Clamped, as `MeanShift.position`.
    window : int
    sigma : float
        Reference px.
    kernel : Kernel

    Returns
    -------
    (n, window, window)
        ``kernel_maps · final`` sums to `MeanShift.kernel_sum`.
    """
    columns, rows = _kernels(positions, window, sigma, kernel)
    result: Array = rows[:, 0, :, None] * columns[:, None, :, 0]
    return result


def landmark_likelihoods(positions: Array, responses: ResponseMaps, sigma: float) -> Array:
    """``Σ response·exact kernel + 1e-8`` of every landmark.

    Parameters
    ----------
    positions : (n, 2)
        From `map_positions`, not clamped.
    responses : ResponseMaps
    sigma : float
        Reference px.

    Returns
    -------
    (n,)
        Zero where not visible. Unlike the mean-shift, it depends on the absolute magnitude of the maps.
    """
    kernels = kernel_1d(positions, responses.window, sigma)
    sums = kernels[:, 1, None, :] @ responses.final @ kernels[:, 0, :, None]
    return np.where(responses.visible, sums[:, 0, 0] + LIKELIHOOD_FLOOR, 0)
