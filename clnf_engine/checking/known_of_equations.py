"""Known mistakes of the weights and of the normal equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, right_with
from clnf_engine.pdm import RIGID

KNOWN = Known()


# --- weights ---------------------------------------------------------------------------------------


def _confidence(v: Inputs) -> Array:
    return np.asarray(v.experts.patch_confidence)


for _name, _text, _function in (
    ("confidences_always", "the patch confidences weight although the factor is 0", _confidence),
    ("confidences_without_factor", "the weights lack the factor", _confidence),
    ("weights_of_one", "all weights are 1 although there is a factor", lambda v: np.ones_like(v.out)),
    (
        "weights_of_the_factor",
        "the weights are the factor, without the confidences",
        lambda v: np.full_like(v.out, v.weight_factor),
    ),
    ("confidences_squared", "the confidences are squared", lambda v: (v.weight_factor or 1.0) * _confidence(v) ** 2),
    ("weights_squared", "the weights are squared", lambda v: v.out**2),
    (
        "confidences_root",
        "the square root of the confidences is taken",
        lambda v: (v.weight_factor or 1.0) * np.sqrt(_confidence(v)),
    ),
    ("weights_inverse", "the weights divide", lambda v: 1 / v.out),
    (
        "weights_of_visibility",
        "the weights are 1 where a landmark is visible, else 0",
        lambda v: v.visible.astype(float),
    ),
    ("weights_of_mean_1", "the weights have mean 1", lambda v: v.out / v.out.mean()),
    (
        "weights_of_mean_1",
        "the confidences are divided by their mean",
        lambda v: _confidence(v) / _confidence(v).mean(),
    ),
    ("weights_of_sum_1", "the weights add up to 1", lambda v: v.out / v.out.sum()),
    ("weights_up_to_1", "the weights are divided by the largest", lambda v: v.out / v.out.max()),
    ("weights_up_to_1", "the confidences are divided by the largest", lambda v: _confidence(v) / _confidence(v).max()),
    ("weights_plus_1", "1 is added to the weights", lambda v: 1 + v.weight_factor * _confidence(v)),
    (
        "factor_not_adapted",
        "the weight factor is as chosen, not adapted to the scale",
        lambda v: right_with(v, weight_factor=v.reference_options.weight_factor),
    ),
    (
        "weights_of_the_first_view",
        "the confidences are those of the first view",
        lambda v: right_with(v, experts=v.scale.views[0]),
    ),
    (
        "weights_of_the_first_scale",
        "the confidences are those of the first scale",
        lambda v: right_with(v, experts=v.reference.model.scales[0].views[v.view]),
    ),
    (
        "weights_of_the_last_scale",
        "the confidences are those of the last scale",
        lambda v: right_with(v, experts=v.reference.model.scales[-1].views[v.view]),
    ),
    (
        "weights_of_kernel_sums",
        "the weights are the kernel sums: the magnitude of the maps",
        lambda v: v.moment.value("kernel_sum", v.reference),
    ),
    (
        "weights_of_peaks",
        "the weights are the peaks of the maps",
        lambda v: v.moment.value("final", v.reference).max(axis=(1, 2)),
    ),
):
    KNOWN.add("weights", _name, _text, _function)
    KNOWN.add("weights", _name, _text, lambda v, f=_function: f(v) if v.weight_factor > 0 else v.out)


# --- normal equations ------------------------------------------------------------------------------


def data_term(v: Inputs, power: float = 1.0, weights: Array | None = None) -> Array:
    """JᵀWJ, with a power of the weights or with others, (p, p)."""
    w = np.tile(v.weights if weights is None else weights, 2) ** power
    return np.asarray((v.jacobian * w[:, None]).T @ v.jacobian)


def _with_prior(matrix: Array, prior: Array | float, first: int = RIGID) -> Array:
    result = matrix.copy()
    diagonal = np.einsum("ii->i", result)
    diagonal[first:] += prior
    return result


_PRIORS: dict[str, tuple[str, Callable[[Inputs], Any]]] = {
    "prior_left_out": ("the prior is missing", lambda v: 0.0),
    "prior_of_variances": ("the prior is Λ instead of Λ⁻¹", lambda v: v.reg_factor * v.pdm.variances),
    "prior_of_deviations": (
        "the prior has deviations for variances",
        lambda v: v.reg_factor / np.sqrt(v.pdm.variances),
    ),
    "prior_of_squares": ("the prior has squares of the variances", lambda v: v.reg_factor / v.pdm.variances**2),
    "prior_of_one": ("the prior is the identity, without Λ", lambda v: v.reg_factor),
    "prior_without_factor": ("the prior lacks the regularisation", lambda v: 1 / v.pdm.variances),
    "prior_not_adapted": (
        "the regularisation of the prior is not adapted to the scale",
        lambda v: v.reference_options.reg_factor / v.pdm.variances,
    ),
    "prior_negated": ("the prior has the other sign", lambda v: -prior_term(v)),
    "prior_halved": ("the prior is halved", lambda v: 0.5 * prior_term(v)),
    "prior_doubled": ("the prior is doubled", lambda v: 2 * prior_term(v)),
    "prior_reversed": ("the variances of the prior come in reverse order", lambda v: prior_term(v)[::-1]),
    "prior_squared_factor": ("the regularisation of the prior is squared", lambda v: v.reg_factor * prior_term(v)),
    "prior_inverse_factor": ("the regularisation divides", lambda v: 1 / (v.reg_factor * v.pdm.variances)),
    "prior_root_factor": ("the root of the regularisation is taken", lambda v: prior_term(v) / math.sqrt(v.reg_factor)),
}


def _hessian_with(name: str) -> Callable[[Inputs], Array]:
    return lambda v: data_term(v) if v.rigid else _with_prior(data_term(v), _PRIORS[name][1](v))


def right_hand_side(v: Inputs, weights: Array | None = None, power: float = 1.0) -> Array:
    """JᵀWv, with a power of the weights or with others, (p,)."""
    w = np.tile(v.weights if weights is None else weights, 2) ** power
    return np.asarray((v.jacobian * w[:, None]).T @ v.mean_shift_image.T.ravel())


def _rhs_with(v: Inputs, prior: Any, q: Array | None = None, rhs: Array | None = None) -> Array:
    result = (right_hand_side(v) if rhs is None else rhs).copy()
    if not v.rigid:
        result[RIGID:] -= prior * (v.params_before[RIGID:] if q is None else q)
    return result


def _gradient_with(name: str) -> Callable[[Inputs], Array]:
    return lambda v: _rhs_with(v, _PRIORS[name][1](v))


for _name, (_text, _) in _PRIORS.items():
    KNOWN.add("hessian", _name, _text, _hessian_with(_name))
    KNOWN.add("gradient", _name, _text, _gradient_with(_name))


def prior_term(v: Inputs) -> Array:
    """The diagonal of reg·Λ⁻¹, (m,)."""
    return np.asarray(v.reg_factor / v.pdm.variances)


def _extended(v: Inputs, data: Array) -> Array:
    return data if v.rigid else _with_prior(data, prior_term(v))


for _name, _text, _function in (
    ("weights_left_out", "the weights are left out", lambda v: _extended(v, data_term(v, power=0.0))),
    ("weights_squared", "the weights are squared", lambda v: _extended(v, data_term(v, power=2.0))),
    ("weights_root", "the square root of the weights is taken", lambda v: _extended(v, data_term(v, power=0.5))),
    (
        "confidences_always",
        "the patch confidences weight although the factor is 0",
        lambda v: _extended(v, data_term(v, weights=_confidence(v))),
    ),
    (
        "rigid_regularised",
        "the six global parameters are regularised, too",
        lambda v: (
            _with_prior(v.out, v.reg_factor, 0)
            - (0 if v.rigid else np.diag([0.0] * RIGID + [v.reg_factor] * v.pdm.n_modes))
        ),
    ),
    ("rigid_regularised", "the six global parameters are regularised by 1", lambda v: _first_six(v, 1.0)),
    ("data_diagonal", "only the diagonal of JᵀWJ counts", lambda v: np.diag(np.diagonal(v.out))),
    ("identity", "the Hessian is the identity", lambda v: np.eye(len(v.out))),
    ("rigid_uncoupled", "global parameters and modes are not coupled", lambda v: _uncoupled(v.out)),
):
    KNOWN.add("hessian", _name, _text, _function)
for _damping in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 10.0, 100.0):
    KNOWN.add(
        "hessian",
        "damped",
        f"{_damping:g} is added to the whole diagonal",
        lambda v, by=_damping: _with_prior(v.out, by, 0),
    )
    KNOWN.add(
        "hessian",
        "damped",
        f"the diagonal is multiplied by {1 + _damping:g}",
        lambda v, by=_damping: _with_prior(v.out, by * np.diagonal(v.out), 0),
    )
    KNOWN.add(
        "delta",
        "damped",
        f"{_damping:g} is added to the diagonal of the Hessian",
        lambda v, by=_damping: np.linalg.solve(_with_prior(v.hessian, by, 0), v.gradient),
    )
    KNOWN.add(
        "delta",
        "damped",
        f"the diagonal of the Hessian is multiplied by {1 + _damping:g}",
        lambda v, by=_damping: np.linalg.solve(_with_prior(v.hessian, by * np.diagonal(v.hessian), 0), v.gradient),
    )


def _first_six(v: Inputs, by: float) -> Array:
    result: Array = v.out.copy()
    np.einsum("ii->i", result)[:RIGID] += by
    return result


def _uncoupled(matrix: Array) -> Array:
    result = matrix.copy()
    result[:RIGID, RIGID:] = result[RIGID:, :RIGID] = 0.0
    return result


for _name, _text, _function in (
    ("prior_sign", "the prior is added instead of subtracted", lambda v: _rhs_with(v, -prior_term(v))),
    (
        "weights_left_out",
        "the weights are left out",
        lambda v: _rhs_with(v, prior_term(v), rhs=right_hand_side(v, power=0.0)),
    ),
    (
        "weights_squared",
        "the weights are squared",
        lambda v: _rhs_with(v, prior_term(v), rhs=right_hand_side(v, power=2.0)),
    ),
    (
        "weights_root",
        "the square root of the weights is taken",
        lambda v: _rhs_with(v, prior_term(v), rhs=right_hand_side(v, power=0.5)),
    ),
    (
        "confidences_always",
        "the patch confidences weight although the factor is 0",
        lambda v: _rhs_with(v, prior_term(v), rhs=right_hand_side(v, weights=_confidence(v))),
    ),
    (
        "shift_interleaved",
        "the shifts are interleaved, the Jacobian's rows are not",
        lambda v: _rhs_with(v, prior_term(v), rhs=_weighted(v).T @ v.mean_shift_image.ravel()),
    ),
    (
        "shift_in_reference_px",
        "the shifts are those in reference px",
        lambda v: right_with(v, mean_shift_image=v.moment.value("mean_shift", v.reference)),
    ),
    ("shift_negated", "the shifts have the other sign", lambda v: right_with(v, mean_shift_image=-v.mean_shift_image)),
    ("residual_only", "the prior and the weights are left out", lambda v: right_hand_side(v, power=0.0)),
    (
        "prior_of_the_stages_start",
        "the prior is that of the modes at the start of the stage",
        lambda v: _rhs_with(v, prior_term(v), _stage_modes(v)),
    ),
    (
        "prior_of_the_fits_start",
        "the prior is that of the modes at the start of the fit",
        lambda v: _rhs_with(v, prior_term(v), v.trace.steps[0].params[RIGID:]),
    ),
    (
        "rigid_regularised",
        "the six global parameters are regularised, too",
        lambda v: v.out - np.r_[v.reg_factor * v.params_before[:RIGID], np.zeros(len(v.out) - RIGID)],
    ),
    ("gradient_negated", "the gradient has the other sign", lambda v: -v.out),
):
    KNOWN.add("gradient", _name, _text, _function)


def _weighted(v: Inputs) -> Array:
    return np.asarray(v.jacobian * np.tile(v.weights, 2)[:, None])


def _stage_modes(v: Inputs) -> Array:
    return np.asarray(v.moment.maps.recorded["params_before"][RIGID:])


for _name, _text, _function in (
    ("diagonal_solution", "the Hessian's diagonal alone is solved for", lambda v: v.gradient / np.diagonal(v.hessian)),
    ("gradient_step", "the update is the gradient", lambda v: v.gradient),
    ("multiplied", "the gradient is multiplied by the Hessian", lambda v: v.hessian @ v.gradient),
    (
        "uncoupled",
        "global parameters and modes are solved for apart",
        lambda v: np.linalg.solve(_uncoupled(v.hessian), v.gradient),
    ),
    ("wrong_sign", "the update has the other sign", lambda v: -v.out),
    ("unit_length", "the update is given length 1", lambda v: v.out / np.linalg.norm(v.out)),
    (
        "one_triangle",
        "only one triangular factor is solved for",
        lambda v: np.linalg.solve(np.linalg.cholesky(v.hessian), v.gradient),
    ),
    (
        "one_triangle",
        "the second triangular factor alone is solved for",
        lambda v: np.linalg.solve(np.linalg.cholesky(v.hessian).T, v.gradient),
    ),
    ("clipped_update", "the update is clipped to ±1", lambda v: np.clip(v.out, -1, 1)),
):
    KNOWN.add("delta", _name, _text, _function)
for _factor in (0.75, 0.5, 0.25, 2.0, 0.9, 0.8, 0.7, 0.6, 0.1):
    KNOWN.add(
        "delta",
        "step_damping" if _factor < 1 else "step_scaled",
        f"the update is multiplied by {_factor:g}",
        lambda v, by=_factor: by * v.out,
    )
