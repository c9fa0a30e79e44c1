"""The Sigma transform: spatial correlation of neighbouring responses in a CCNF.

ICCVW 2013, eq. 6–8: the response map is the mean of a Gaussian with covariance Sigma/2.
"""

from __future__ import annotations

import numpy as np

from clnf_engine.arrays import FLOAT64, Array, DType, read_only
from clnf_engine.caches import cached_with_owner
from clnf_engine.errors import ClnfError
from clnf_engine.model import PatchScale

_SMALL = 32
"""Matrices up to this size are inverted whole."""


@cached_with_owner(maxsize=8)
def sigma_matrices(scale: PatchScale, view: int, window: int, dtype: DType = FLOAT64) -> Array | None:
    """``Sigma = inv(2(Σα·I + Σ_k β_k·Q_k))`` of every landmark.

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
        model has no components for this window: Sigma is then diagonal, 1/(2·Σα), and nothing is stored.

    Raises
    ------
    ClnfError
        When the model's components make no invertible matrix.
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
    result: Array = np.zeros((exists.shape[0], side, side), dtype=dtype)
    try:
        result[exists] = _inverse(precision)
    except np.linalg.LinAlgError:
        raise ClnfError(f"window {window}: the model's Sigma components give a singular matrix") from None
    return read_only(result)


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


def sigma_transform(raw: Array, scale: PatchScale, view: int) -> Array:
    """Responses after Sigma, ``Sigma·vec(raw)``.

    Parameters
    ----------
    raw : (n, window, window)
    scale : PatchScale
    view : int

    Returns
    -------
    (n, window, window), dtype of `raw`
        Attenuated by roughly 150–200×. Windows without components are only divided by 2·Σα (β = 0).
    """
    n, window, _ = raw.shape
    sigma = sigma_matrices(scale, view, window, raw.dtype)
    if sigma is None:
        total = 2 * scale.views[view].sum_alphas
        factor = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        scaled: Array = raw * factor[:, None, None].astype(raw.dtype)
        return scaled
    transformed: Array = sigma @ raw.reshape(n, -1, 1)
    return transformed.reshape(raw.shape)
