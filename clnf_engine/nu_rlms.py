"""The equations of non-uniform regularised landmark mean-shift.

Baltrušaitis et al., ICCVW 2013, §4: ``(JᵀWJ + reg·Λ⁻¹)·Δ = JᵀWv − reg·Λ⁻¹·q``. `operations` puts them in order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from clnf_engine.arrays import Array, DType, Floats, all_of, read_only, remembering_last
from clnf_engine.caches import cached_with_owner
from clnf_engine.model import PatchExperts
from clnf_engine.pdm import PDM, RIGID, jacobian

_MAX_UPDATE = 1e9
"""A solution with a larger element comes from equations that are singular but for rounding."""


@cached_with_owner(maxsize=8)
def landmark_weights(experts: PatchExperts, weight_factor: float, dtype: DType) -> Array:
    """Diagonal of W: ``weight_factor·patch_confidence`` per landmark, or ones unless the factor is positive.

    Returns
    -------
    (n,)
        Read-only. The magnitude of a response map never enters.
    """
    if weight_factor > 0:
        return read_only((weight_factor * experts.patch_confidence).astype(dtype))
    return read_only(np.ones(experts.visible.shape, dtype=dtype))


def visible_jacobian(params: Floats, rigid: bool, visible: NDArray[np.bool_], pdm: PDM, dtype: DType) -> Array:
    """The Jacobian of the landmarks through the update, its rows zero where a landmark is not visible.

    Returns
    -------
    (2n, 6) or (2n, 6 + m)
        Read-only; see `pdm.jacobian`.
    """
    return read_only(without_hidden_rows(jacobian(pdm, params, rigid=rigid, dtype=dtype), visible))


def without_hidden_rows(jac: Array, visible: NDArray[np.bool_]) -> Array:
    """Make the rows of landmarks that are not visible zero, and return the same array."""
    if not all_of(visible):
        jac.reshape(2, visible.shape[0], -1)[:, ~visible] = 0
    return jac


def hessian(jac: Array, weights: Array, rigid: bool, reg_factor: float, pdm: PDM) -> Array:
    """``JᵀWJ + reg·Λ⁻¹``, (q, q); nothing is regularised in the rigid phase."""
    result: Array = _weighted(jac, weights).T @ jac
    if not rigid:
        result.reshape(-1)[:: result.shape[0] + 1][RIGID:] += _prior(pdm, reg_factor, jac.dtype)
    return result


def gradient(
    jac: Array, weights: Array, shift: Array, params: Floats, rigid: bool, reg_factor: float, pdm: PDM
) -> Array:
    """``JᵀWv − reg·Λ⁻¹·q``, (q,); `shift` is v in image px, (n, 2), and `params` those that the Jacobian is of."""
    result: Array = shift.T.ravel() @ _weighted(jac, weights)
    if not rigid:
        result[RIGID:] -= _prior(pdm, reg_factor, jac.dtype) * params[RIGID:].astype(jac.dtype)
    return result


def solve(hessian: Array, gradient: Array) -> Array | None:
    """Solution of ``hessian·x = gradient`` by Cholesky; None when the matrix is not positive definite."""
    posv = lapack.sposv if hessian.dtype == np.float32 else lapack.dposv
    _, solution, info = posv(hessian, gradient)
    # A NaN compares false, too.
    return solution if info == 0 and np.abs(solution).max() < _MAX_UPDATE else None


@cached_with_owner(maxsize=8)
def _prior(pdm: PDM, reg_factor: float, dtype: DType) -> Array:
    """``reg·Λ⁻¹`` of the modes, (m,); of variances too small for their inverse the largest number there is."""
    with np.errstate(over="ignore"):
        inverse = reg_factor / pdm.variances
    return read_only(np.minimum(inverse, np.finfo(dtype).max).astype(dtype))


# The Hessian and the gradient of an iteration share the product, all iterations of a stage the two questions.


def _weighted(jac: Array, weights: Array) -> Array:
    """``W·J``."""
    return jac if _all_one(weights) else _product(jac, weights)


@remembering_last
def _product(jac: Array, weights: Array) -> Array:
    weighted: Array = jac * np.concatenate([weights, weights])[:, None]
    return weighted


@remembering_last
def _all_one(weights: Array) -> bool:
    return bool((weights == 1).all())
