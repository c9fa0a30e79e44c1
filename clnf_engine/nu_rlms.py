"""The equations of non-uniform regularised landmark mean-shift.

Baltrušaitis et al., ICCVW 2013, §4: ``(JᵀWJ + reg·Λ⁻¹)·Δ = JᵀWv − reg·Λ⁻¹·q``. `operations` puts them in order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, DType, Floats, all_of, read_only
from clnf_engine.caches import cached_with_owner
from clnf_engine.kernels import equations as kernels
from clnf_engine.model import PatchExperts
from clnf_engine.pdm import PDM, jacobian


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
    return read_only(jacobian(pdm, params, rigid=rigid, visible=visible, dtype=dtype))


def without_hidden_rows(jac: Array, visible: NDArray[np.bool_]) -> Array:
    """Make the rows of landmarks that are not visible zero, and return the same array."""
    if not all_of(visible):
        jac.reshape(2, visible.shape[0], -1)[:, ~visible] = 0
    return jac


def hessian(jac: Array, weights: Array, rigid: bool, reg_factor: float, pdm: PDM) -> Array:
    """``JᵀWJ + reg·Λ⁻¹``, (q, q); nothing is regularised in the rigid phase."""
    result = np.empty((jac.shape[1],) * 2, jac.dtype)
    kernels.hessian(jac, weights, prior(pdm, reg_factor, rigid, jac.dtype), result)
    return result


def gradient(
    jac: Array, weights: Array, shift: Array, params: Floats, rigid: bool, reg_factor: float, pdm: PDM
) -> Array:
    """``JᵀWv − reg·Λ⁻¹·q``, (q,); `shift` is v in image px, (n, 2), and `params` those that the Jacobian is of."""
    result = np.empty(jac.shape[1], jac.dtype)
    kernels.gradient(jac, weights, shift, params, prior(pdm, reg_factor, rigid, jac.dtype), result)
    return result


def solve(hessian: Array, gradient: Array) -> Array | None:
    """Solution of ``hessian·x = gradient`` by Cholesky; None when the matrix is not positive definite."""
    solution = np.empty(gradient.shape, hessian.dtype)
    return solution if kernels.solve(hessian, gradient, solution) else None


@cached_with_owner(maxsize=8)
def prior(pdm: PDM, reg_factor: float, rigid: bool, dtype: DType) -> Array:
    """Diagonal of ``reg·Λ⁻¹`` of the modes, (m,); zero in the rigid phase.

    Of variances too small for their inverse it is the largest number there is.
    """
    with np.errstate(over="ignore"):
        inverse = np.zeros(pdm.n_modes) if rigid else reg_factor / pdm.variances
    return read_only(np.minimum(inverse, np.finfo(dtype).max).astype(dtype))
