"""Formulas that were misread, or taken from another paper, another library or memory.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

import numpy as np

from . import port as clean
from .mistakes_of_shape import _with_scale
from .planting import mistake, plant
from .port import Port

# --- shape, schedule, frames

plant(
    "init_from_the_diagonal",
    "init",
    init=lambda port, box, angles: _with_scale(
        port, box, angles, lambda s: np.hypot(box[2], box[3]) / np.hypot(box[2] / s[0], box[3] / s[1])
    ),
)


@mistake("init")
def init_about_the_mean_point(port, box, angles):
    params, (x, y, width, height) = Port.init(port, box, angles), box
    points = port.shape(np.zeros(port.modes)) @ clean.rotation(*angles).T[:, :2]
    params[4:6] = np.array([x + width / 2, y + height / 2]) - params[0] * points.mean(axis=0)
    return params


def _yaw_negated(port, params):
    rx, ry, rz = params[1:4]
    return clean.rotation(rx, -ry, rz)


plant("yaw_the_other_way", "project base_shape jacobian update", rotation=_yaw_negated)


@mistake("schedule", method="stop", faces="stopping", hidden="tiny")
def stops_by_the_largest_change(port, shape, before, delta):
    return bool(np.abs(shape - before).max() < port.options.convergence_px)


@mistake("schedule", method="stop", faces="stopping", hidden="tiny")
def stops_by_the_square(port, shape, before, delta):
    return bool(((shape - before) ** 2).sum() < port.options.convergence_px)


@mistake("stage")
def sigma_times_the_ratio_of_scales(port, scaling):
    _sigma, reg, weight = Port.stage(port, scaling)
    return port.options.sigma * scaling / 0.25, reg, weight


@mistake("stage")
def reg_over_the_ratio_of_scales(port, scaling):
    sigma, _reg, weight = Port.stage(port, scaling)
    return sigma, port.options.reg_factor * 0.25 / scaling, weight


@mistake("stage", faces="turned")
def weight_times_the_ratio_of_scales(port, scaling):
    sigma, reg, _weight = Port.stage(port, scaling)
    return sigma, reg, port.options.weight_factor * scaling / 0.25


@mistake("similarity")
def similarity_of_the_bounding_boxes(port, base, reference):
    ratio = np.ptp(reference, axis=0) / np.ptp(base, axis=0)
    matrix = Port.similarity(port, base, reference)
    return matrix / np.sqrt(np.linalg.det(matrix)) * ratio.mean()


# --- response maps


@mistake("ncc")
def ncc_with_a_guard(port, area, weights):
    patches = np.lib.stride_tricks.sliding_window_view(area.astype(port.dtype), weights.shape)
    patches = patches - patches.mean(axis=(2, 3), keepdims=True)
    weights = (weights - weights.mean()).astype(port.dtype)
    lengths = np.sqrt((patches**2).sum(axis=(2, 3)) * (weights**2).sum())
    return (patches * weights).sum(axis=(2, 3)) / (lengths + 1)


@mistake("neuron")
def neuron_with_the_norm_weight_on_the_bias(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc + bias, norm_weight, 0, alpha)


@mistake("neuron")
def neuron_from_minus_one_to_one(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, bias, alpha) - port.dtype.type(alpha)


@mistake("neuron")
def neuron_divided_by_the_norm_weight(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, 1 / norm_weight, bias, alpha)


@mistake("sigma", method="sigma_matrix")
def sigma_with_the_two_on_the_alphas(port, patch_scale, view, window, i):
    alphas = port.model.scales[patch_scale].views[view].alpha[i].sum() * np.eye(window**2)
    both = np.linalg.inv(Port.sigma_matrix(port, patch_scale, view, window, i)) / 2
    return np.linalg.inv(both + alphas)


@mistake("sigma")
def sigma_added_to_the_raw_map(port, raw, where):
    return raw + Port.sigma(port, raw, where)


@mistake("normalise")
def normalised_by_the_logarithm(port, response):
    return np.log1p(response)


@mistake("normalise")
def normalised_to_a_norm_of_one(port, response):
    return response / np.linalg.norm(response)


# --- mean-shifts


@mistake("kernel_sum mean_shift likelihood", method="kernel")
def kernel_of_epanechnikov(port, dx, dy, window, sigma):
    cells = np.arange(window)
    distance = (cells[:, None] - dy) ** 2 + (cells[None, :] - dx) ** 2
    return np.maximum(1 - distance / (2 * sigma**2), 0).astype(port.dtype)


plant(
    "kernel_of_the_width_at_half_height",
    "kernel_sum mean_shift likelihood",
    kernel=lambda port, dx, dy, window, sigma: Port.kernel(port, dx, dy, window, sigma / 2.354820045),
)


@mistake("mean_shift_image")
def image_shift_times_the_patch_scaling(port, shifts, to_image):
    stages = [step.stage for step in port.steps if step.stage is not None]
    return Port.mean_shift_image(port, shifts, to_image) * port.dtype.type(stages[-1].scale)


@mistake("mean_shift_image")
def image_shift_in_units_of_the_model(port, shifts, to_image):
    stages = [step.stage for step in port.steps if step.stage is not None]
    return (shifts / stages[-1].scale).astype(port.dtype)


@mistake("weights", faces="turned")
def weights_divided_by_the_factor(port, experts, factor):
    return (experts.patch_confidence / factor).astype(port.dtype)


@mistake("weights", faces="turned", hidden="tiny")
def weights_of_at_most_one(port, experts, factor):
    return np.minimum(Port.weights(port, experts, factor), 1)


# --- equations and update


@mistake("jacobian", faces="turned")
def jacobian_of_a_flat_face(port, params):
    jacobian = Port.jacobian(port, params)
    s, r, (x, y, _) = params[0], port.rotation(params), port.shape(params[6:]).T
    for k in (0, 1):
        rows = slice(k * port.n, (k + 1) * port.n)
        jacobian[rows, 1:4] = s * np.stack([y * r[k, 2], -x * r[k, 2], x * r[k, 1] - y * r[k, 0]], axis=1)
    return jacobian


@mistake("jacobian")
def jacobian_without_any_scale(port, params):
    jacobian = Port.jacobian(port, params)
    jacobian[:, [1, 2, 3, *range(6, params.size)]] /= port.dtype.type(params[0])
    return jacobian


@mistake("jacobian")
def jacobian_of_standardised_modes(port, params):
    jacobian = Port.jacobian(port, params)
    jacobian[:, 6:] *= np.sqrt(port.model.pdm.variances).astype(port.dtype)
    return jacobian


@mistake("hessian")
def hessian_with_the_prior_times_the_landmarks(port, jacobian, weights, reg):
    return Port.hessian(port, jacobian, weights, reg * port.n)


@mistake("gradient")
def gradient_averaged_over_the_landmarks(port, jacobian, weights, shifts, reg, params):
    right, pull = (Port.gradient(port, jacobian, weights, shifts, factor, params) for factor in (0.0, reg))
    return right / port.n + (pull - right)


@mistake("delta")
def delta_of_the_pseudo_inverse(port, hessian, gradient):
    return np.linalg.pinv(hessian, rcond=1e-3) @ gradient


@mistake("delta")
def delta_by_a_step_of_steepest_descent(port, hessian, gradient):
    return gradient * (gradient @ gradient) / (gradient @ hessian @ gradient)


@mistake("update")
def update_by_a_quaternion(port, params, delta):
    new = Port.update(port, params, delta)
    (w, x, y, z) = np.array([1, *delta[1:4] / 2]) / np.linalg.norm([1, *delta[1:4] / 2])
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    new[1:4] = clean.euler(port.rotation(params) @ turn)
    return new


@mistake("update")
def update_reads_the_yaw_negated(port, params, delta):
    new = Port.update(port, params, delta)
    new[2] *= -1
    return new


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_at_the_root_of_three_variances(port, params):
    limits = np.sqrt(port.options.clamp_sigmas * port.model.pdm.variances)
    return np.concatenate([params[:6], np.clip(params[6:], -limits, limits)])


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_by_halving(port, params):
    new, over = params.copy(), np.abs(params[6:]) > port.bounds()
    new[6:][over] /= 2
    return new


@mistake("likelihood")
def likelihood_over_the_sum_of_the_map(port, response, dx, dy, sigma):
    return (response * port.kernel(dx, dy, len(response), sigma)).sum() / response.sum() + 1e-8


@mistake("likelihood", method="mean_likelihood")
def likelihood_by_the_geometric_mean(port, values):
    return float(np.exp(np.log(values).mean()))
