"""The Sigma transform: spatial correlation of neighbouring responses in a CCNF.

ICCVW 2013, eq. 6–8: the response map is the mean of a Gaussian with covariance Sigma/2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from clnf_engine.arrays import FLOAT64, Array, DType, read_only
from clnf_engine.caches import cached_with_owner
from clnf_engine.errors import ClnfError
from clnf_engine.kernels import responses as kernels
from clnf_engine.model import PatchScale

_SMALL = 32
"""Matrices up to this size are inverted whole."""


def sigma_transform(raw: Array, scale: PatchScale, view: int) -> Array:
    """Responses after Sigma, ``Sigma·vec(raw)`` with ``Sigma = inv(2(Σα·I + Σ_k β_k·Q_k))``.

    Parameters
    ----------
    raw : (n, window, window)
    scale : PatchScale
    view : int

    Returns
    -------
    (n, window, window), dtype of `raw`
        Attenuated by roughly 150–200×. Windows without components are only divided by 2·Σα (β = 0).

    Raises
    ------
    ClnfError
        When the model's components make no invertible matrix.
    """
    window = raw.shape[-1]
    parts = _sigma_parts(scale, view, window, raw.dtype)
    if parts is None:
        total = 2 * scale.views[view].sum_alphas
        factor = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        scaled: Array = raw * factor[:, None, None].astype(raw.dtype)
        return scaled
    transformed = np.empty(raw.shape, raw.dtype)
    (kernels.folded_sigma if len(parts) > 1 else kernels.dense_sigma)(raw, *parts, transformed)
    return transformed


@cached_with_owner(maxsize=2)
def sigma_matrices(scale: PatchScale, view: int, window: int, dtype: DType = FLOAT64) -> Array | None:
    """Sigma of every landmark: what `sigma_transform` makes of every unit map.

    Parameters
    ----------
    scale : PatchScale
    view : int
    window : int
        Side of the response map.
    dtype : float64 or float32
        Of the result; the inversion itself is float64.

    Returns
    -------
    (n, window², window²) or None
        Read-only, row-major in both pairs of indices; zero for landmarks without an expert. None when the
        model has no components for this window: Sigma is then diagonal, 1/(2·Σα).

    Raises
    ------
    ClnfError
        When the model's components make no invertible matrix.
    """
    if _sigma_parts(scale, view, window, dtype) is None:
        return None
    n, side = scale.views[view].visible.shape[0], window * window
    result: Array = np.empty((n, side, side), dtype=dtype)
    for cell in range(side):
        unit = np.zeros((n, side), dtype)
        unit[:, cell] = 1
        result[:, :, cell] = sigma_transform(unit.reshape(n, window, window), scale, view).reshape(n, side)
    return read_only(result)


@cached_with_owner(maxsize=8)
def _sigma_parts(scale: PatchScale, view: int, window: int, dtype: DType) -> tuple[Array, ...] | None:
    """Sigma of every landmark as the kernels take it: its three blocks, or whole where it is not symmetric.

    A window has no direction of its own, so Sigma commutes with both mirrorings and transposition in every known
    model. In half-sums and half-differences of mirrored cells it then falls into four blocks, of which two are equal:
    a quarter of the numbers.
    """
    components = scale.sigma_components.get(window)
    if components is None or len(components) == 0:
        return None
    experts = scale.views[view]
    exists = experts.neurons > 0
    side = window * window
    precision = np.tensordot(experts.betas[exists], components.astype(np.float64), axes=1)
    precision[:, np.arange(side), np.arange(side)] += experts.sum_alphas[exists, None]
    precision *= 2
    blocks = _folded(precision, window) if _is_symmetric(components, window) else (precision,)
    try:
        inverses = [_inverse(block) for block in blocks]
    except np.linalg.LinAlgError:
        raise ClnfError(f"window {window}: the model's Sigma components give a singular matrix") from None
    if len(blocks) > 1:
        inverses = [_weighted(block, 1 / root) for block, root in zip(inverses, _roots(window), strict=True)]
    return tuple(_of_all(block, exists, dtype) for block in inverses)


def _of_all(blocks: Array, exists: Array, dtype: DType) -> Array:
    """Matrices of all landmarks, transposed; zero for those without an expert."""
    result: Array = np.zeros((exists.shape[0], *blocks.shape[1:]), dtype=dtype)
    result[exists] = blocks.swapaxes(1, 2)
    return read_only(result)


def _is_symmetric(components: Array, window: int) -> bool:
    """Whether matrices over the cells of a window commute with its mirrorings and its transposition."""
    q = components.reshape(-1, window, window, window, window)
    mirrored = q[:, ::-1, :, ::-1], q[:, :, ::-1, :, ::-1], q.transpose(0, 2, 1, 4, 3)
    return bool(window % 2) and all(np.array_equal(q, other) for other in mirrored)


def _folded(matrices: Array, window: int) -> tuple[Array, ...]:
    """Symmetric matrices between maps even along both axes, along y only, and along neither; see `_roots`."""
    half, middle = window // 2 + 1, window // 2
    q = matrices.reshape(-1, window, window, window, window)
    blocks = []
    for root, odd_y, odd_x in zip(_roots(window), (False, False, True), (False, True, True), strict=True):
        rows, columns = middle if odd_y else half, middle if odd_x else half
        part = q[:, :rows, :columns]
        for axis, odd in ((3, odd_y), (4, odd_x)):
            near, far = np.split(part, [half], axis=axis)
            folded = near.copy()
            folded[(slice(None),) * axis + (slice(middle),)] += (-1 if odd else 1) * np.flip(far, axis)
            part = np.delete(folded, middle, axis) if odd else folded
        blocks.append(_weighted(part.reshape(len(q), rows * columns, rows * columns), root))
    return tuple(blocks)


@lru_cache(maxsize=16)
def _roots(window: int) -> tuple[Array, Array, Array]:
    """√ of how many cells a folded cell stands for, of the three blocks; with it they are symmetric."""
    of_axis = np.full(window // 2 + 1, math.sqrt(2.0))
    of_axis[-1] = 1.0
    odd = of_axis[:-1]
    return np.outer(of_axis, of_axis).ravel(), np.outer(of_axis, odd).ravel(), np.outer(odd, odd).ravel()


def _weighted(matrices: Array, root: Array) -> Array:
    """``root_j·M_jk/root_k``."""
    weighted: Array = root[:, None] * matrices / root
    return weighted


def _inverse(matrices: Array) -> Array:
    """Inverse of symmetric positive definite matrices, (n, s, s), by Schur complements of halves.

    `numpy.linalg.inv` of large matrices depends in its last bits on the number of BLAS threads; this does not,
    and it is faster.
    """
    size = matrices.shape[-1]
    if size <= _SMALL:
        return np.linalg.inv(matrices)
    half = size // 2
    b = matrices[:, :half, half:]
    inverse_a = _inverse(np.ascontiguousarray(matrices[:, :half, :half]))
    w = inverse_a @ b
    inverse_schur = _inverse(matrices[:, half:, half:] - b.swapaxes(1, 2) @ w)
    v = w @ inverse_schur
    result = np.empty_like(matrices)
    result[:, :half, :half] = inverse_a + v @ w.swapaxes(1, 2)
    result[:, :half, half:] = -v
    result[:, half:, :half] = -v.swapaxes(1, 2)
    result[:, half:, half:] = inverse_schur
    return result
