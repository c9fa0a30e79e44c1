"""Mistakes of the response maps.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

import numpy as np

from .planting import mistake
from .port import Port

# --- area of interest


@mistake("area", method="grid")
def area_half_a_cell_off(port, size):
    return Port.grid(port, size) + 0.5


@mistake("area", method="look_up")
def area_half_a_pixel_off(port, x, y):
    return Port.look_up(port, x - 0.5, y - 0.5)


@mistake("area", method="look_up")
def area_of_nearest_pixels(port, x, y):
    return Port.look_up(port, np.round(x), np.round(y))


@mistake("area", method="look_up")
def area_in_fixed_point(port, x, y):
    return Port.look_up(port, np.round(x * 32) / 32, np.round(y * 32) / 32)


@mistake("area", method="look_up", faces="border", hidden="clamped")
def area_black_beyond_the_border(port, x, y):
    height, width = port.image.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.where(inside, Port.look_up(port, x, y), 0)


@mistake("area")
def area_around_whole_pixels(port, point, to_image, size):
    return Port.area(port, np.round(point), to_image, size)


@mistake("area")
def area_not_turned(port, point, to_image, size):
    return Port.area(port, point, np.sqrt(np.linalg.det(to_image)) * np.eye(2), size)


@mistake("area")
def area_transposed(port, point, to_image, size):
    return Port.area(port, point, to_image, size).T


@mistake("area")
def area_of_bytes(port, point, to_image, size):
    return np.round(Port.area(port, point, to_image, size))


@mistake("area")
def area_from_0_to_1(port, point, to_image, size):
    return Port.area(port, point, to_image, size) / np.float32(255)


# --- correlation, neurons, their sum


@mistake("ncc")
def ncc_without_subtracting_the_mean(port, area, weights):
    patches = np.lib.stride_tricks.sliding_window_view(area.astype(float), weights.shape)
    lengths = np.sqrt((patches**2).sum(axis=(2, 3)) * (weights**2).sum())
    return (patches * weights).sum(axis=(2, 3)) / lengths


@mistake("ncc")
def ncc_not_normalised(port, area, weights):
    patches = np.lib.stride_tricks.sliding_window_view(area.astype(float), weights.shape)
    patches = patches - patches.mean(axis=(2, 3), keepdims=True)
    return (patches * (weights - weights.mean())).mean(axis=(2, 3)) / 255


@mistake("ncc")
def ncc_by_convolution(port, area, weights):
    return Port.ncc(port, area, weights[::-1, ::-1])


@mistake("ncc")
def ncc_with_transposed_weights(port, area, weights):
    return Port.ncc(port, area, weights.T)


@mistake("ncc")
def ncc_with_the_sample_deviation(port, area, weights):
    return Port.ncc(port, area, weights) * (weights.size - 1) / weights.size


@mistake("ncc")
def ncc_absolute(port, area, weights):
    return abs(Port.ncc(port, area, weights))


@mistake("neuron")
def neuron_without_bias(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, 0, alpha)


@mistake("neuron")
def neuron_with_bias_subtracted(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, -bias, alpha)


@mistake("neuron")
def neuron_without_alpha(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, bias, 1)


@mistake("neuron")
def neuron_without_the_two(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, norm_weight, bias, alpha / 2)


@mistake("neuron")
def neuron_without_norm_weight(port, ncc, norm_weight, bias, alpha):
    return Port.neuron(port, ncc, 1, bias, alpha)


@mistake("raw")
def raw_mean_of_neurons(port, outputs):
    return outputs.mean(axis=0)


@mistake("raw")
def raw_greatest_of_neurons(port, outputs):
    return outputs.max(axis=0)


@mistake("raw")
def raw_of_the_first_neuron(port, outputs):
    return outputs[0]


# --- Sigma, shift, normalisation


@mistake("sigma")
def sigma_left_out(port, raw, where):
    return raw


@mistake("sigma", method="sigma_matrix")
def sigma_not_inverted(port, patch_scale, view, window, i):
    return np.linalg.inv(Port.sigma_matrix(port, patch_scale, view, window, i))


@mistake("sigma", method="sigma_matrix")
def sigma_without_the_two(port, patch_scale, view, window, i):
    return 2 * Port.sigma_matrix(port, patch_scale, view, window, i)


@mistake("sigma", method="sigma_matrix")
def sigma_without_betas(port, patch_scale, view, window, i):
    return np.eye(window**2) / (2 * port.model.scales[patch_scale].views[view].alpha[i].sum())


@mistake("sigma", method="sigma_matrix")
def sigma_with_half_the_betas(port, patch_scale, view, window, i):
    alone = np.linalg.inv(sigma_without_betas(port, patch_scale, view, window, i))
    return np.linalg.inv((alone + np.linalg.inv(Port.sigma_matrix(port, patch_scale, view, window, i))) / 2)


@mistake("sigma")
def sigma_column_major(port, raw, where):
    return Port.sigma(port, raw.T.copy(), where)


@mistake("sigma")
def sigma_of_the_first_landmark(port, raw, where):
    first = np.flatnonzero(port.model.scales[where[0]].views[where[1]].visible)[0]
    return Port.sigma(port, raw, (*where[:3], int(first)))


@mistake("sigma", faces="grace", hidden="tiny")
def sigma_of_the_first_scale(port, raw, where):
    return Port.sigma(port, raw, (0, *where[1:]))


@mistake("sigma", faces="tiny grace", hidden="default")
def sigma_left_out_of_window_7(port, raw, where):
    return raw if where[2] == 7 else Port.sigma(port, raw, where)


@mistake("shift")
def shift_always(port, response):
    return response - response.min()


@mistake("shift", faces="tiny border", hidden="grace")
def shift_never(port, response):
    return response


@mistake("shift", faces="tiny border", hidden="grace")
def shift_negatives_to_zero(port, response):
    return np.maximum(response, 0)


@mistake("shift", faces="tiny border", hidden="grace")
def shift_by_the_absolute_value(port, response):
    return abs(response)


@mistake("normalise")
def normalised_by_the_peak(port, response):
    return response / response.max()


@mistake("normalise")
def normalised_by_the_sum(port, response):
    return response / response.sum()


@mistake("normalise")
def normalised_from_0_to_1(port, response):
    return (response - response.min()) / np.ptp(response)


@mistake("normalise")
def normalised_by_the_square(port, response):
    return response**2
