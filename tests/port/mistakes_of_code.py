"""Slips of programming: types, indices, loops, orders of arguments, and functions of a library that do another thing.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from . import port as clean
from .planting import mistake, plant
from .port import Port

# --- shape, schedule, frames


@mistake("init")
def init_from_a_box_of_integers(port, box, angles):
    return Port.init(port, tuple(int(value) for value in box), angles)


@mistake("schedule")
def one_iteration_too_many(port):
    plans = Port.schedule(port)
    return [replace(plan, iterations={k: v + 1 for k, v in plan.iterations.items()}) for plan in plans]


@mistake("schedule")
def scales_from_fine_to_coarse(port):
    plans = Port.schedule(port)
    scales = [plan.patch_scale for plan in plans][::-1]
    return [replace(plan, patch_scale=scale) for plan, scale in zip(plans, scales, strict=True)]


@mistake("stage", faces="grace")
def adapted_in_every_stage_anew(port, scaling):
    """In place: what the stage before left is adapted once more."""
    sigma, reg, weight = port.options.sigma, port.options.reg_factor, port.options.weight_factor
    for scale in port.model.scales:
        if scale.patch_scaling <= scaling:
            level = np.log2(scale.patch_scaling / 0.25)
            sigma, reg, weight = sigma + 0.25 * level, reg - 15 * level, weight * (1 + 2 * level)
    return sigma, reg if reg > 0 else 0.001, weight


@mistake("view", faces="turned", hidden="tiny")
def view_with_pitch_and_yaw_swapped(port, patch_scale, params):
    return Port.view(port, patch_scale, params[[0, 2, 1, 3, *range(4, params.size)]])


@mistake("base_shape", faces="border", hidden="tiny")
def base_shape_held_in_the_image(port, params):
    height, width = port.image.shape
    return np.clip(port.project(params), 0, (width - 1, height - 1))


@mistake("reference_shape")
def reference_shape_of_unit_scale(port, params, scaling):
    return Port.reference_shape(port, params, 1.0)


@mistake("reference_shape")
def reference_shape_about_its_middle(port, params, scaling):
    shape = Port.reference_shape(port, params, scaling)
    return shape - shape.mean(axis=0)


@mistake("similarity")
def similarity_about_the_first_landmark(port, base, reference):
    def centred(shape):
        own = shape - shape[0]
        return np.concatenate([own, -own])

    return Port.similarity(port, centred(base), centred(reference))


# --- response maps


@mistake("area", method="look_up")
def area_with_x_for_y(port, x, y):
    return Port.look_up(port, y, x)


@mistake("area", method="look_up")
def area_with_differences_of_bytes(port, x, y):
    """Differences of unsigned bytes wrap around."""
    height, width = port.image.shape
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    x0, x1 = np.clip(left, 0, width - 1), np.clip(left + 1, 0, width - 1)
    y0, y1 = np.clip(top, 0, height - 1), np.clip(top + 1, 0, height - 1)
    image, fx, fy = port.image, x - left, y - top
    upper = image[y0, x0] + fx * (image[y0, x1] - image[y0, x0])
    lower = image[y1, x0] + fx * (image[y1, x1] - image[y1, x0])
    return upper + fy * (lower - upper)


@mistake("area", method="look_up", faces="border", hidden="clamped")
def area_wrapped_around_the_border(port, x, y):
    height, width = port.image.shape
    inner = Port(port.model, port.options)
    inner.image = np.pad(port.image, 200, mode="wrap")
    return inner.look_up(x % width + 200, y % height + 200)


@mistake("area", method="look_up")
def area_with_fractions_swapped(port, x, y):
    height, width = port.image.shape
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = y - top, x - left
    x0, x1 = np.clip(left, 0, width - 1), np.clip(left + 1, 0, width - 1)
    y0, y1 = np.clip(top, 0, height - 1), np.clip(top + 1, 0, height - 1)
    upper = port.image[y0, x0] * (1 - fx) + port.image[y0, x1] * fx
    lower = port.image[y1, x0] * (1 - fx) + port.image[y1, x1] * fx
    return upper * (1 - fy) + lower * fy


@mistake("area", method="grid")
def area_of_a_stretched_grid(port, size):
    steps = np.linspace(-size / 2, size / 2, size)
    return np.stack(np.meshgrid(steps, steps), axis=-1)


@mistake("area")
def area_of_half_the_image(port, point, to_image, size):
    small = Port(port.model, port.options)
    small.image = cv2.resize(port.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return small.area(point / 2, to_image / 2, size)


@mistake("area")
def area_of_a_standardised_image(port, point, to_image, size):
    image = port.image.astype(float)
    return ((Port.area(port, point, to_image, size) - image.mean()) / image.std()).astype(np.float32)


@mistake("ncc")
def ncc_of_bytes(port, area, weights):
    return Port.ncc(port, area.astype(np.uint8), weights)


@mistake("ncc")
def ncc_by_squared_differences(port, area, weights):
    found = cv2.matchTemplate(area.astype(np.float32), weights.astype(np.float32), cv2.TM_SQDIFF_NORMED)
    return (1 - found).astype(port.dtype)


@mistake("ncc")
def ncc_of_full_correlation_cut_off_centre(port, area, weights):
    return np.roll(Port.ncc(port, area, weights), 1, axis=1)


@mistake("neuron")
def neuron_with_bias_and_norm_weight_swapped(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, bias, norm_weight, alpha)


@mistake("neuron")
def neuron_with_bias_and_alpha_swapped(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, alpha, bias)


@mistake("raw")
def raw_of_the_last_neuron(port, outputs):
    spoken = [output for output in outputs if output.any()]
    return spoken[-1] if spoken else outputs[0]


@mistake("shift")
def shift_by_the_absolute_minimum(port, response):
    return response + abs(response.min())


@mistake("normalise")
def normalised_to_bytes(port, response):
    return cv2.normalize(response, None, 0, 255, cv2.NORM_MINMAX, dtype=cv2.CV_8U).astype(port.dtype)


@mistake("normalise")
def normalised_by_blurring(port, response):
    return cv2.GaussianBlur(response.astype(float), (3, 3), 0).astype(port.dtype)


# --- mean-shifts


@mistake("position likelihood", method="cells")
def position_counted_from_1(port, landmarks, base, similarity, window):
    return Port.cells(port, landmarks, base, similarity, window) + 1


@mistake("position")
def position_cut_to_integers(port, cells, window):
    return np.trunc(Port.position(port, cells, window))


plant(
    "table_index_one_too_far",
    "kernel_sum mean_shift",
    table_entry=lambda port, d: (int(d / 0.1 + 0.5) + 1) * 0.1,
)


@mistake("mean_shift")
def mean_shift_with_moments_swapped(port, response, dx, dy, sigma, total):
    x, y = Port.mean_shift(port, response, dx, dy, sigma, total) + np.array([dx, dy])
    return np.array([y - dx, x - dy])


@mistake("mean_shift")
def mean_shift_by_integer_division(port, response, dx, dy, sigma, total):
    x, y = Port.mean_shift(port, response, dx, dy, sigma, total) + np.array([dx, dy])
    return np.array([x // 1 - dx, y // 1 - dy])


def _weights_repeated(weights):
    """As rows x, y of each landmark would need them; the engine's are x of all, then y of all."""
    return np.repeat(weights, 2)


@mistake("hessian", faces="turned", hidden="tiny")
def hessian_with_weights_interleaved(port, jacobian, weights, reg):
    both = _weights_repeated(weights)
    return jacobian.T @ (both[:, None] * jacobian) + port.dtype.type(reg) * np.diag(port.prior(jacobian.shape[1]))


@mistake("gradient", faces="turned", hidden="tiny")
def gradient_with_weights_interleaved(port, jacobian, weights, shifts, reg, params):
    both, size = _weights_repeated(weights), jacobian.shape[1]
    pull = port.dtype.type(reg) * port.prior(size) * params[:size].astype(port.dtype)
    return jacobian.T @ (both * shifts.T.ravel()) - pull


@mistake("jacobian", method="one_iteration", faces="turned", hidden="tiny")
def jacobian_with_hidden_rows(port, phase, params, landmarks, now):
    seen = np.ones_like(now.maps.visible)
    new, found = Port.one_iteration(port, phase, params, landmarks, replace(now, maps=replace(now.maps, visible=seen)))
    shift, hidden = found["mean_shift"], ~now.maps.visible
    return new, found | {"mean_shift": replace(shift, empty=shift.empty & ~hidden)}


@mistake("jacobian")
def jacobian_with_wx_and_wy_swapped(port, params):
    return Port.jacobian(port, params)[:, [0, 2, 1, *range(3, params.size)]]


def _prior_in_front(port, size):
    """The inverse variances from the first column on, zeros after them."""
    whole = np.concatenate([1 / port.model.pdm.variances, np.zeros(6)])
    return whole.astype(port.dtype) if size > 6 else np.zeros(size, port.dtype)


@mistake("hessian")
def hessian_with_the_prior_in_front(port, jacobian, weights, reg):
    plain = Port.hessian(port, jacobian, weights, 0.0)
    return plain + port.dtype.type(reg) * np.diag(_prior_in_front(port, jacobian.shape[1]))


@mistake("gradient")
def gradient_with_the_prior_in_front(port, jacobian, weights, shifts, reg, params):
    plain, size = Port.gradient(port, jacobian, weights, shifts, 0.0, params), jacobian.shape[1]
    return plain - port.dtype.type(reg) * _prior_in_front(port, size) * params[:size].astype(port.dtype)


@mistake("delta")
def delta_of_single_digits(port, hessian, gradient):
    return np.round(Port.delta(port, hessian, gradient), 3)


@mistake("update")
def update_with_translation_swapped(port, params, delta):
    step = delta.copy()
    step[4:6] = delta[5:3:-1]
    return Port.update(port, params, step)


@mistake("update")
def update_from_the_starts_rotation(port, params, delta):
    new = Port.update(port, params, delta)
    new[1:4] = clean.euler(clean.rotation(*port.steps[0].params[1:4]) @ clean.small_rotation(delta[1:4]))
    return new


@mistake("clamp", faces="clamped", hidden="tiny")
def clamp_that_keeps_the_old_value(port, params):
    bounds, old = port.bounds(), port.steps[-1].params
    new = Port.clamp(port, params)
    new[6:] = np.where(np.abs(params[6:]) > bounds, old[6:], params[6:])
    return new


@mistake("likelihood", method="mean_likelihood")
def likelihood_by_log1p(port, values):
    return float(np.log1p(values).mean())
