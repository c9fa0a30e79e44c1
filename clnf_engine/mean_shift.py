"""Mean-shift over response maps with a Gaussian kernel.

Saragih et al., IJCV 2011, §3.3. Each landmark's shift is divided by its own kernel sum, so scaling a map by
a constant changes nothing; adding a constant does. The kernel is separable, so the sums of all landmarks are
two small batched products with one-dimensional kernels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clnf_engine.arrays import Array, DType, Floats, read_only, read_only_fields, remembering_last
from clnf_engine.kernels import shifts as kernels
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
    return _with_moments(position.ravel(), window, sigma)[:, 0].reshape(*position.shape, window)


def _with_moments(positions: Array, window: int, sigma: float) -> Array:
    """The kernels k_j of positions, (k,), and their first moments j·k_j; (k, 2, window)."""
    result: Array = np.empty((positions.size, 2, window), positions.dtype)
    kernels.gaussians(positions, sigma, result)
    return result


@lru_cache(maxsize=64)
def kernel_table(window: int, sigma: float, kernel: Kernel, dtype: DType) -> Array:
    """The 1-D kernels with their moments at positions 0, 0.1, … window − 0.1, (10·window, 2, window).

    It is empty for the exact kernel, which has no table.
    """
    positions = np.arange(0 if kernel is Kernel.EXACT else round(window / TABLE_STEP)) * TABLE_STEP
    return read_only(_with_moments(positions.astype(dtype), window, sigma))


def free_positions(
    landmarks: Floats, base_shape: Floats, image_to_reference: Floats, window: int, dtype: DTypeLike
) -> Array:
    """Where landmarks stand in their maps, not yet clamped.

    Parameters
    ----------
    landmarks, base_shape : (n, 2) float64
        Now, and where the maps are centred; image px.
    image_to_reference : (2, 2) float64
    window : int
    dtype : float64 or float32

    Returns
    -------
    (n, 2)
        (dx, dy) in cells: ``(landmarks − base_shape)·Sᵀ + (w − 1)/2``.
    """
    positions = np.empty(base_shape.shape, dtype)
    kernels.free_positions(landmarks, base_shape, image_to_reference, window, positions)
    return positions


def map_positions(landmarks: Floats, responses: ResponseMaps, dtype: DTypeLike) -> Array:
    """`free_positions` in these maps, (n, 2)."""
    return free_positions(landmarks, responses.base_shape, responses.image_to_reference, responses.window, dtype)


def positions(
    landmarks: Floats, base_shape: Floats, image_to_reference: Floats, window: int, dtype: DTypeLike
) -> Array:
    """`free_positions`, clamped to [0, w − 0.1]; (n, 2), read-only."""
    return held_in_map(free_positions(landmarks, base_shape, image_to_reference, window, dtype), window)


def held_in_map(positions: Array, window: int) -> Array:
    """Positions clamped to [0, w − 0.1], (n, 2), read-only."""
    clamped = np.empty(positions.shape, positions.dtype)
    kernels.hold_in_map(positions, window - TABLE_STEP, clamped)
    return read_only(clamped)


@remembering_last
def _sums(maps: Array, position: Array, sigma: float, kernel: Kernel) -> Array:
    """Σv, Σv·column and Σv·row, (n, 3), with v = response·kernel."""
    sums = np.empty((maps.shape[0], 3), maps.dtype)
    kernels.kernel_sums(maps, position, sigma, kernel_table(maps.shape[-1], sigma, kernel, maps.dtype), sums)
    return sums


def kernel_sums(maps: Array, position: Array, sigma: float, kernel: Kernel) -> Array:
    """Σ response·kernel at every landmark, (n,).

    Parameters
    ----------
    maps : (n, w, w)
    position : (n, 2)
        (dx, dy), clamped. The table kernel is that of the position rounded to 0.1 cells.
    sigma : float
        Reference px.
    kernel : Kernel
    """
    return _sums(maps, position, sigma, kernel)[:, 0]


def shifts(
    maps: Array, position: Array, kernel_sum: Array, visible: NDArray[np.bool_], sigma: float, kernel: Kernel
) -> Array:
    """``(Σv·j/Σv − dx, Σv·i/Σv − dy)``, reference px, (n, 2); the position subtracted is not rounded.

    Zero where the landmark is not visible or `kernel_sum`, Σv, is not positive (C++: NaN where it is 0).
    """
    shift = np.empty(position.shape, maps.dtype)
    kernels.shifts(_sums(maps, position, sigma, kernel), kernel_sum, position, visible, shift)
    return shift


def image_shifts(shift: Array, reference_to_image: Floats) -> Array:
    """Shifts in image px, (n, 2)."""
    turned = np.empty(shift.shape, shift.dtype)
    kernels.image_shifts(shift, reference_to_image, turned)
    return turned


def mean_shift(positions: Array, responses: ResponseMaps, sigma: float, kernel: Kernel) -> MeanShift:
    """Mean-shift of every landmark.

    Parameters
    ----------
    positions : (n, 2)
        (dx, dy) in cells; clamped here to [0, w − 0.1].
    responses : ResponseMaps
    sigma : float
        Reference px.
    kernel : Kernel

    Returns
    -------
    MeanShift
    """
    maps, visible = responses.final, responses.visible
    position = held_in_map(positions, responses.window).astype(maps.dtype, copy=False)
    total = kernel_sums(maps, position, sigma, kernel)
    shift = shifts(maps, position, total, visible, sigma, kernel)
    image = image_shifts(shift, responses.reference_to_image)
    return read_only_fields(MeanShift(position, total, shift, image, visible & ~(total > 0)))


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
    of_cells = np.empty((positions.shape[0], 2, window), positions.dtype)
    kernels.kernels_at(positions, sigma, kernel_table(window, sigma, kernel, positions.dtype), of_cells)
    result: Array = of_cells[:, 1, :, None] * of_cells[:, 0, None, :]
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
    return likelihoods_at(positions, responses.final, responses.visible, sigma)


def likelihoods_at(positions: Array, maps: Array, visible: NDArray[np.bool_], sigma: float) -> Array:
    """The same of maps, (n, w, w)."""
    result = np.empty(maps.shape[0], maps.dtype)
    kernels.likelihoods(maps, positions, visible, sigma, LIKELIHOOD_FLOOR, result)
    return result


def likelihoods(
    maps: Array,
    landmarks: Floats,
    base_shape: Floats,
    image_to_reference: Floats,
    visible: NDArray[np.bool_],
    sigma: float,
) -> Array:
    """`likelihoods_at` the free positions of landmarks, (n,)."""
    free = free_positions(landmarks, base_shape, image_to_reference, maps.shape[-1], maps.dtype)
    return likelihoods_at(free, maps, visible, sigma)
