"""One iteration of non-uniform regularised landmark mean-shift.

Baltrušaitis et al., ICCVW 2013, §4: ``(JᵀWJ + reg·Λ⁻¹)·Δ = JᵀWv − reg·Λ⁻¹·q``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import lapack

from clnf_engine.arrays import Array, DType, Floats, read_only, read_only_fields
from clnf_engine.caches import cached_with_owner
from clnf_engine.deviations import (
    KERNEL_SUM_GUARD,
    forward_difference_columns,
    pixel_fraction_positions,
    transposed_euler_angles,
)
from clnf_engine.mean_shift import landmark_likelihoods, map_positions, mean_shift
from clnf_engine.model import Model, PatchExperts
from clnf_engine.options import FitOptions
from clnf_engine.pdm import PDM, RIGID, clamp, euler_angles, jacobian, landmarks, update
from clnf_engine.steps import Phase, ResponseMaps, Stage, Step

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


@cached_with_owner(maxsize=8)
def _prior(pdm: PDM, reg_factor: float, dtype: DType) -> Array:
    """``reg·Λ⁻¹`` of the modes, (m,)."""
    return read_only((reg_factor / pdm.variances).astype(dtype))


def fit_jacobian(pdm: PDM, params: Floats, options: FitOptions, *, rigid: bool) -> Array:
    """The Jacobian a fit with these options uses, (2n, 6) or (2n, 6 + m), in its precision; see `pdm.jacobian`."""
    jac = jacobian(pdm, params, rigid=rigid, dtype=np.dtype(options.precision))
    if options.rotation_jacobian_forward_difference:
        jac[:, 1:4] = forward_difference_columns(pdm, params)
    return jac


def fit_update(params: Floats, delta: Floats, options: FitOptions) -> Floats:
    """How a fit with these options adds an update to its parameters; see `pdm.update`."""
    return update(params, delta, transposed_euler_angles if options.euler_transposed else euler_angles)


def iterate(
    model: Model, stage: Stage, responses: ResponseMaps, options: FitOptions, before: Step, phase: Phase, iteration: int
) -> Step:
    """One iteration: mean-shift, weights, normal equations, update, clamp.

    Parameters
    ----------
    model : Model
    stage : Stage
    responses : ResponseMaps
    options : FitOptions
    before : Step
        The moment to start from.
    phase : Phase
        RIGID moves the six global parameters, NONRIGID all.
    iteration : int
        To record.

    Returns
    -------
    Step
        When the normal equations have no unique solution: `delta` None, parameters as they were, and a message.
    """
    pdm = model.pdm
    dtype = responses.final.dtype
    visible = responses.visible
    if options.kernel_centre_pixel_fraction:
        positions = pixel_fraction_positions(before.landmarks, responses.window, dtype)
    else:
        positions = map_positions(before.landmarks, responses, dtype)
    guard = KERNEL_SUM_GUARD if options.sum_guard else 0.0
    shift = mean_shift(positions, responses, stage.sigma, options.kernel, guard)
    weights = landmark_weights(model.scales[stage.patch_scale].views[stage.view or 0], stage.weight_factor, dtype)
    jac = fit_jacobian(pdm, before.params, options, rigid=phase is Phase.RIGID)
    if not responses.all_visible:
        jac.reshape(2, visible.shape[0], -1)[:, ~visible] = 0
    weighted = jac if stage.weight_factor <= 0 else jac * np.concatenate([weights, weights])[:, None]
    hessian = weighted.T @ jac
    gradient = shift.image.T.ravel() @ weighted
    if phase is Phase.NONRIGID:
        prior = _prior(pdm, stage.reg_factor, dtype)
        hessian.reshape(-1)[:: hessian.shape[0] + 1][RIGID:] += prior
        gradient[RIGID:] -= prior * before.params[RIGID:].astype(dtype)
    delta = _solve(hessian, gradient)
    params, shape, message = before.params, before.landmarks, "the normal equations have no unique solution"
    clamped = np.zeros(params.shape, dtype=bool)
    if delta is not None:
        moved = fit_update(params, delta if options.step_damping == 1 else options.step_damping * delta, options)
        params = clamp(pdm, moved, options.clamp_sigmas)
        shape, clamped, message = landmarks(pdm, params), params != moved, ""
    change = (shape - before.landmarks).ravel()
    shape_change = math.sqrt(change @ change)
    update_norm = None if delta is None else math.sqrt(delta @ delta)
    converged = update_norm is not None and (
        shape_change < options.convergence_px or update_norm < options.convergence_update
    )
    likelihoods = likelihood = None
    if converged or delta is None or iteration == options.max_iterations:
        likelihoods = landmark_likelihoods(positions, responses, stage.sigma)
        likelihood = float(np.log(likelihoods[visible]).mean()) if visible.any() else None
    return read_only_fields(
        Step(
            phase=phase,
            params=params,
            landmarks=shape,
            stage=stage,
            iteration=iteration,
            responses=responses,
            landmarks_before=before.landmarks,
            mean_shift=shift,
            weights=weights,
            jacobian=jac,
            hessian=hessian,
            gradient=gradient,
            delta=delta,
            update_norm=update_norm,
            shape_change=shape_change,
            clamped=clamped,
            likelihoods=likelihoods,
            likelihood=likelihood,
            converged=converged,
            message=message,
        )
    )


def _solve(hessian: Array, gradient: Array) -> Array | None:
    """Solution of ``hessian·x = gradient`` by Cholesky; None when the matrix is not positive definite."""
    posv = lapack.sposv if hessian.dtype == np.float32 else lapack.dposv
    _, solution, info = posv(hessian, gradient)
    # A NaN compares false, too.
    return solution if info == 0 and np.abs(solution).max() < _MAX_UPDATE else None
