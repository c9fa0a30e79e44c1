"""One iteration of non-uniform regularised landmark mean-shift.

Baltrušaitis et al., ICCVW 2013, §4: ``(JᵀWJ + reg·Λ⁻¹)·Δ = JᵀWv − reg·Λ⁻¹·q``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import lapack

from clnf_engine.arrays import Array, DType, read_only_fields
from clnf_engine.mean_shift import map_positions, mean_shift
from clnf_engine.model import Model
from clnf_engine.options import FitOptions
from clnf_engine.pdm import RIGID, clamp, jacobian, landmarks, update
from clnf_engine.steps import Phase, ResponseMaps, Stage, Step


def landmark_weights(model: Model, stage: Stage, dtype: DType) -> Array:
    """Diagonal of W: ``weight_factor·patch_confidence`` per landmark, or ones when the factor is 0.

    Returns
    -------
    (n,)
        The magnitude of a response map never enters.
    """
    if stage.weight_factor > 0 and stage.view is not None:
        confidence = model.scales[stage.index].views[stage.view].patch_confidence
        return (stage.weight_factor * confidence).astype(dtype)
    return np.ones(model.n_landmarks, dtype=dtype)


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
    shift = mean_shift(map_positions(before.landmarks, responses, dtype), responses, stage.sigma, options.kernel)
    weights = landmark_weights(model, stage, dtype)
    jac = jacobian(pdm, before.params, rigid=phase is Phase.RIGID, dtype=dtype)
    if not responses.all_visible:
        jac.reshape(2, visible.shape[0], -1)[:, ~visible] = 0
    weighted = jac if stage.weight_factor <= 0 else jac * np.concatenate([weights, weights])[:, None]
    hessian = weighted.T @ jac
    gradient = shift.image.T.ravel() @ weighted
    if phase is Phase.NONRIGID:
        prior = (stage.reg_factor / pdm.variances).astype(dtype)
        hessian.reshape(-1)[:: hessian.shape[0] + 1][RIGID:] += prior
        gradient[RIGID:] -= prior * before.params[RIGID:].astype(dtype)
    delta = _solve(hessian, gradient)
    params, shape, message = before.params, before.landmarks, "the normal equations have no unique solution"
    clamped = np.zeros(params.shape, dtype=bool)
    if delta is not None:
        moved = update(params, delta)
        params = clamp(pdm, moved, options.clamp_sigmas)
        shape, clamped, message = landmarks(pdm, params), params != moved, ""
    change = (shape - before.landmarks).ravel()
    shape_change = math.sqrt(change @ change)
    likelihoods = np.log(shift.likelihoods if responses.all_visible else shift.likelihoods[visible])
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
            update_norm=None if delta is None else math.sqrt(delta @ delta),
            shape_change=shape_change,
            clamped=clamped,
            likelihood=math.fsum(likelihoods.tolist()) / likelihoods.size if likelihoods.size else None,
            converged=delta is not None and shape_change < options.convergence_px,
            message=message,
        )
    )


def _solve(hessian: Array, gradient: Array) -> Array | None:
    """Solution of ``hessian·x = gradient`` by Cholesky; None when the matrix is not positive definite."""
    posv = lapack.sposv if hessian.dtype == np.float32 else lapack.dposv
    _, solution, info = posv(hessian, gradient)
    return solution if info == 0 and math.isfinite(solution @ solution) else None
