"""Mistakes that are made less often, some at every operation; no catalogue can hold all of them.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clnf_engine import Phase

from . import port as clean
from .planting import mistake, plant
from .port import Port

# --- shape, schedule, frames


@mistake("init")
def init_from_an_inclusive_box(port, box, angles):
    x, y, width, height = box
    return Port.init(port, (x, y, width - 1, height - 1), angles)


def _depth_negated(array):
    array = array.copy()
    array[..., 2] *= -1
    return array


plant(
    "depth_negated",
    "init project base_shape reference_shape jacobian",
    shape=lambda port, q: _depth_negated(Port.shape(port, q)),
    basis=lambda port: Port.basis(port) * np.array([1, 1, -1])[:, None, None],
)


@mistake("schedule")
def nonrigid_before_rigid(port):
    return [replace(plan, iterations=dict(reversed(plan.iterations.items()))) for plan in Port.schedule(port)]


@mistake("schedule")
def first_window_in_all_stages(port):
    plans = Port.schedule(port)
    return [replace(plan, window=plans[0].window) for plan in plans]


@mistake("stage")
def adapted_the_other_way(port, scaling):
    level, options = -np.log2(scaling / 0.25), port.options
    return options.sigma + 0.25 * level, options.reg_factor - 15 * level, options.weight_factor * (1 + 2 * level)


@mistake("stage")
def adapted_to_half_scale(port, scaling):
    return Port.stage(port, scaling / 2)


@mistake("base_shape")
def base_shape_cut_to_whole_pixels(port, params):
    return np.floor(port.project(params))


@mistake("similarity")
def similarity_of_the_eye_corners(port, base, reference):
    (ax, ay), (bx, by) = base[45] - base[36], reference[45] - reference[36]
    ratio = complex(bx, by) / complex(ax, ay)
    return np.array([[ratio.real, -ratio.imag], [ratio.imag, ratio.real]])


@mistake("similarity_inverse")
def similarity_inverse_without_the_square(port, similarity):
    return similarity.T / np.sqrt(np.linalg.det(similarity))


# --- response maps


@mistake("area")
def area_turned_the_other_way(port, point, to_image, size):
    return Port.area(port, point, to_image.T, size)


@mistake("area", method="look_up")
def area_of_pixels_to_the_upper_left(port, x, y):
    return Port.look_up(port, np.floor(x), np.floor(y))


@mistake("area")
def area_without_its_mean(port, point, to_image, size):
    area = Port.area(port, point, to_image, size)
    return area - area.mean()


@mistake("ncc")
def ncc_with_the_mean_of_the_area(port, area, weights):
    patches = np.lib.stride_tricks.sliding_window_view(area.astype(float) - area.mean(), weights.shape)
    weights = weights - weights.mean()
    return (patches * weights).sum(axis=(2, 3)) / np.sqrt((patches**2).sum(axis=(2, 3)) * (weights**2).sum())


@mistake("ncc")
def ncc_not_below_zero(port, area, weights):
    return np.maximum(Port.ncc(port, area, weights), 0)


@mistake("neuron")
def neuron_by_the_hyperbolic_tangent(port, ncc, norm_weight, bias, alpha):
    return (alpha * np.tanh(ncc * norm_weight + bias)).astype(port.dtype)


@mistake("neuron")
def neuron_with_the_exponent_negated(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, -ncc, norm_weight, -bias, alpha)


@mistake("neuron")
def neuron_with_alpha_squared(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, bias, alpha**2)


@mistake("neuron")
def neuron_with_the_bias_inside(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc + bias, norm_weight, 0, alpha)


@mistake("raw")
def raw_root_of_the_sum(port, outputs):
    return np.sqrt(outputs.sum(axis=0))


@mistake("sigma", method="sigma_matrix")
def sigma_with_the_alphas_doubled(port, patch_scale, view, window, i):
    alphas = port.model.scales[patch_scale].views[view].alpha[i].sum()
    return np.linalg.inv(
        np.linalg.inv(Port.sigma_matrix(port, patch_scale, view, window, i)) + 2 * alphas * np.eye(window**2)
    )


@mistake("sigma", method="sigma_matrix")
def sigma_with_rows_of_sum_1(port, patch_scale, view, window, i):
    matrix = Port.sigma_matrix(port, patch_scale, view, window, i)
    return matrix / matrix.sum(axis=1, keepdims=True)


@mistake("shift")
def shift_by_the_mean(port, response):
    return response - response.mean()


@mistake("normalise")
def normalised_by_softmax(port, response):
    return np.exp(response) / np.exp(response).sum()


# --- mean-shifts


@mistake("position")
def position_in_whole_cells(port, cells, window):
    return np.round(Port.position(port, cells, window))


@mistake("kernel_sum mean_shift likelihood", method="kernel")
def kernel_cut_at_two_cells(port, dx, dy, window, sigma):
    cells = np.arange(window)
    near = np.hypot(cells[:, None] - dy, cells[None, :] - dx) <= 2
    return Port.kernel(port, dx, dy, window, sigma) * near


@mistake("mean_shift")
def mean_shift_with_squared_responses(port, response, dx, dy, sigma, total):
    squared = response**2
    return Port.mean_shift(port, squared, dx, dy, sigma, Port.kernel_sum(port, squared, dx, dy, sigma))


@mistake("mean_shift")
def mean_shift_of_at_most_one_cell(port, response, dx, dy, sigma, total):
    return np.clip(Port.mean_shift(port, response, dx, dy, sigma, total), -1, 1)


@mistake("mean_shift_image")
def image_shift_through_the_forward_map(port, shifts, to_image):
    return shifts @ np.linalg.inv(to_image).T.astype(port.dtype)


@mistake("weights")
def weights_of_the_responses(port, experts, factor):
    maps = next(step.responses for step in reversed(port.steps) if step.phase is Phase.RESPONSES)
    return maps.final.max(axis=(1, 2))


# --- equations and update


@mistake("jacobian")
def jacobian_with_translation_first(port, params):
    order = [0, 4, 5, 1, 2, 3, *range(6, params.size)]
    return Port.jacobian(port, params)[:, order]


@mistake("jacobian")
def jacobian_with_scale_in_the_translation(port, params):
    jacobian = Port.jacobian(port, params)
    jacobian[:, 4:6] *= port.dtype.type(params[0])
    return jacobian


@mistake("jacobian")
def jacobian_of_the_start(port, params):
    return Port.jacobian(port, port.steps[0].params)


@mistake("hessian")
def hessian_damped_like_levenberg(port, jacobian, weights, reg):
    hessian = Port.hessian(port, jacobian, weights, reg)
    return hessian + port.dtype.type(0.1) * np.diag(np.diag(hessian))


@mistake("hessian")
def hessian_with_reg_per_landmark(port, jacobian, weights, reg):
    return Port.hessian(port, jacobian, weights, reg / port.n)


@mistake("gradient")
def gradient_with_the_square_root_of_the_prior(port, jacobian, weights, shifts, reg, params):
    right, size = Port.gradient(port, jacobian, weights, shifts, 0.0, params), jacobian.shape[1]
    return right - port.dtype.type(reg) * np.sqrt(port.prior(size)) * params[:size].astype(port.dtype)


@mistake("delta")
def delta_with_momentum(port, hessian, gradient):
    delta = Port.delta(port, hessian, gradient)
    last = port.steps[-1].delta
    return delta + (0.5 * last if last is not None and last.size == delta.size else 0)


@mistake("delta")
def delta_without_depth_rotation(port, hessian, gradient):
    delta = Port.delta(port, hessian, gradient)
    delta[1:3] = 0
    return delta


@mistake("update")
def update_of_standardised_modes(port, params, delta):
    step = delta.copy()
    step[6:] *= np.sqrt(port.model.pdm.variances)[: delta.size - 6]
    return Port.update(port, params, step)


@mistake("update")
def update_in_degrees(port, params, delta):
    step = delta.copy()
    step[1:4] = np.deg2rad(step[1:4])
    return Port.update(port, params, step)


@mistake("update")
def update_from_the_left_by_adding(port, params, delta):
    new = Port.update(port, params, delta)
    x, y, z = delta[1:4]
    new[1:4] = params[1:4] + clean.rotation(*params[1:4]) @ np.array([x, y, z])
    return new


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_at_one_deviation(port, params):
    limits = np.concatenate([np.full(6, np.inf), np.sqrt(port.model.pdm.variances) * port.options.clamp_sigmas / 3])
    return np.clip(params, -limits, limits)


@mistake("likelihood", method="mean_likelihood")
def likelihood_by_the_median(port, values):
    return float(np.median(np.log(values)))


@mistake("likelihood")
def likelihood_of_the_nearest_cell(port, response, dx, dy, sigma):
    last = len(response) - 1
    return response[int(np.clip(round(dy), 0, last)), int(np.clip(round(dx), 0, last))] + 1e-8
