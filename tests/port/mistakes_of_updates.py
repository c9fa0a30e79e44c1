"""Mistakes of the normal equations and of the update.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

import numpy as np

from . import port as clean
from .planting import mistake
from .port import Port

# --- Jacobian


def _columns(port, params, columns, factors):
    jacobian = Port.jacobian(port, params)
    jacobian[:, columns] *= np.asarray(factors, port.dtype)
    return jacobian


@mistake("jacobian")
def jacobian_with_wx_negated(port, params):
    return _columns(port, params, [1], -1)


@mistake("jacobian")
def jacobian_with_wy_negated(port, params):
    return _columns(port, params, [2], -1)


@mistake("jacobian")
def jacobian_with_wz_negated(port, params):
    return _columns(port, params, [3], -1)


@mistake("jacobian")
def jacobian_with_scale_in_the_scale_column(port, params):
    return _columns(port, params, [0], params[0])


@mistake("jacobian")
def jacobian_without_scale_in_the_modes(port, params):
    return _columns(port, params, slice(6, None), 1 / params[0])


@mistake("jacobian")
def jacobian_without_scale_in_the_rotation(port, params):
    return _columns(port, params, slice(1, 4), 1 / params[0])


@mistake("jacobian")
def jacobian_with_the_modes_not_turned(port, params):
    flat = np.concatenate([params[:1], np.zeros(3), params[4:]])
    return np.hstack([Port.jacobian(port, params)[:, :6], Port.jacobian(port, flat)[:, 6:]])


@mistake("jacobian")
def jacobian_at_the_mean_shape(port, params):
    return Port.jacobian(port, np.concatenate([params[:6], 0 * params[6:]]))


@mistake("jacobian")
def jacobian_by_euler_angles(port, params):
    jacobian = Port.jacobian(port, params)
    for k in (1, 2, 3):
        step = np.zeros(params.size)
        step[k] = 1e-6
        slope = (port.project(params + step) - port.project(params - step)) / 2e-6
        jacobian[:, k] = slope.T.ravel()
    return jacobian


@mistake("jacobian")
def jacobian_of_a_rotation_from_the_left(port, params):
    points = port.shape(params[6:]) @ port.rotation(params).T * params[0]
    zero = np.zeros(port.n)
    jacobian = Port.jacobian(port, params)
    jacobian[: port.n, 1:4] = np.stack([zero, points[:, 2], -points[:, 1]], axis=1)
    jacobian[port.n :, 1:4] = np.stack([-points[:, 2], zero, points[:, 0]], axis=1)
    return jacobian


@mistake("jacobian")
def jacobian_with_rows_interleaved(port, params):
    jacobian = Port.jacobian(port, params)
    return jacobian.reshape(2, port.n, -1).transpose(1, 0, 2).reshape(jacobian.shape)


@mistake("jacobian")
def jacobian_with_translation_swapped(port, params):
    jacobian = Port.jacobian(port, params)
    jacobian[:, [4, 5]] = jacobian[:, [5, 4]]
    return jacobian


# --- Hessian and gradient


def _hessian_with(port, jacobian, weights, prior):
    return Port.hessian(port, jacobian, weights, 0.0) + np.diag(prior).astype(port.dtype)


def _modes(port, size, values):
    return np.concatenate([np.zeros(6), values])[:size]


@mistake("hessian")
def hessian_without_prior(port, jacobian, weights, reg):
    return Port.hessian(port, jacobian, weights, 0.0)


@mistake("hessian")
def hessian_with_the_variances(port, jacobian, weights, reg):
    size = jacobian.shape[1]
    return _hessian_with(port, jacobian, weights, _modes(port, size, reg * port.model.pdm.variances))


@mistake("hessian")
def hessian_with_the_deviations(port, jacobian, weights, reg):
    size = jacobian.shape[1]
    return _hessian_with(port, jacobian, weights, _modes(port, size, reg / np.sqrt(port.model.pdm.variances)))


@mistake("hessian")
def hessian_regularised_everywhere(port, jacobian, weights, reg):
    return Port.hessian(port, jacobian, weights, reg) + port.dtype.type(reg) * np.diag(np.arange(jacobian.shape[1]) < 6)


@mistake("hessian", faces="turned", hidden="tiny")
def hessian_without_weights(port, jacobian, weights, reg):
    return Port.hessian(port, jacobian, np.ones_like(weights), reg)


@mistake("gradient")
def gradient_without_prior(port, jacobian, weights, shifts, reg, params):
    return Port.gradient(port, jacobian, weights, shifts, 0.0, params)


@mistake("gradient")
def gradient_with_the_prior_added(port, jacobian, weights, shifts, reg, params):
    return Port.gradient(port, jacobian, weights, shifts, -reg, params)


@mistake("gradient")
def gradient_with_shifts_interleaved(port, jacobian, weights, shifts, reg, params):
    stacked = shifts.ravel().reshape(2, -1).T
    return Port.gradient(port, jacobian, weights, stacked, reg, params)


@mistake("gradient")
def gradient_without_reg(port, jacobian, weights, shifts, reg, params):
    return Port.gradient(port, jacobian, weights, shifts, 1.0, params)


@mistake("gradient", faces="turned", hidden="tiny")
def gradient_without_weights(port, jacobian, weights, shifts, reg, params):
    return Port.gradient(port, jacobian, np.ones_like(weights), shifts, reg, params)


# --- delta and update


@mistake("delta")
def delta_damped(port, hessian, gradient):
    return port.dtype.type(0.75) * Port.delta(port, hessian, gradient)


@mistake("delta")
def delta_of_the_diagonal(port, hessian, gradient):
    return gradient / np.diag(hessian)


@mistake("delta")
def delta_negated(port, hessian, gradient):
    return -Port.delta(port, hessian, gradient)


@mistake("delta")
def delta_limited(port, hessian, gradient):
    found = Port.delta(port, hessian, gradient)
    return found / max(1, np.linalg.norm(found))


def _turned(port, params, delta, angles):
    new = Port.update(port, params, delta)
    new[1:4] = angles
    return new


@mistake("update")
def update_from_the_left(port, params, delta):
    return _turned(port, params, delta, clean.euler(clean.small_rotation(delta[1:4]) @ port.rotation(params)))


@mistake("update")
def update_by_adding_angles(port, params, delta):
    return _turned(port, params, delta, params[1:4] + delta[1:4])


@mistake("update")
def update_turned_the_other_way(port, params, delta):
    return _turned(port, params, delta, clean.euler(port.rotation(params) @ clean.small_rotation(-delta[1:4])))


@mistake("update")
def update_not_orthogonalised(port, params, delta):
    x, y, z = delta[1:4]
    small = np.array([[1, -z, y], [z, 1, -x], [-y, x, 1]])
    return _turned(port, params, delta, clean.euler(np.clip(port.rotation(params) @ small, -1, 1)))


@mistake("update")
def update_reads_the_transposed_matrix(port, params, delta):
    return _turned(port, params, delta, clean.euler((port.rotation(params) @ clean.small_rotation(delta[1:4])).T))


@mistake("update")
def update_multiplies_the_scale(port, params, delta):
    new = Port.update(port, params, delta)
    new[0] = params[0] * (1 + delta[0])
    return new


@mistake("update")
def update_replaces_the_modes(port, params, delta):
    new = Port.update(port, params, delta)
    new[6 : delta.size] = delta[6:]
    return new


@mistake("update")
def update_without_translation(port, params, delta):
    new = Port.update(port, params, delta)
    new[4:6] = params[4:6]
    return new


@mistake("update")
def update_damped(port, params, delta):
    return Port.update(port, params, 0.5 * delta)


# --- clamp


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_missing(port, params):
    return params.copy()


@mistake("clamp", faces="clamped", hidden="tiny", method="bounds")
def clamp_at_two_thirds(port):
    return Port.bounds(port) * 2 / 3


@mistake("clamp", faces="clamped", hidden="tiny", method="bounds")
def clamp_at_the_variances(port):
    return port.options.clamp_sigmas * port.model.pdm.variances


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_to_zero(port, params):
    held = Port.clamp(port, params)
    return np.where(held == params, params, 0)


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_by_scaling_all_modes(port, params):
    worst = max(1, (abs(params[6:]) / port.bounds()).max())
    return np.concatenate([params[:6], params[6:] / worst])


@mistake("clamp", faces="border", hidden="tiny clamped")
def clamp_from_above_only(port, params):
    held = Port.clamp(port, params)
    return np.where(params < 0, params, held)
