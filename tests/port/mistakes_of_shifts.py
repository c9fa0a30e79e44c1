"""Mistakes of the mean-shifts, their weights and their likelihood.

A function takes the place of the port's method of the operation, or of the method that `mistake` names.
"""

from __future__ import annotations

import numpy as np

from .planting import mistake, plant
from .port import Port

KERNEL = "kernel_sum mean_shift likelihood"

# --- position


@mistake("position likelihood", method="cells")
def position_half_a_cell_off(port, landmarks, base, similarity, window):
    return Port.cells(port, landmarks, base, similarity, window) + 0.5


@mistake("position likelihood", method="cells")
def position_in_image_pixels(port, landmarks, base, similarity, window):
    return Port.cells(port, landmarks, base, np.eye(2), window)


@mistake("position likelihood", method="cells")
def position_turned_the_other_way(port, landmarks, base, similarity, window):
    return Port.cells(port, landmarks, base, similarity.T, window)


@mistake("position likelihood", method="cells")
def position_with_axes_swapped(port, landmarks, base, similarity, window):
    return Port.cells(port, landmarks, base, similarity, window)[:, ::-1].copy()


@mistake("position", faces="border", hidden="tiny")
def position_not_clamped(port, cells, window):
    return cells.astype(port.dtype)


@mistake("position likelihood", method="cells", faces="tiny")
def position_always_at_the_centre(port, landmarks, base, similarity, window):
    return np.full((port.n, 2), (window - 1) / 2)


# --- kernel and mean-shift

plant(
    "sigma_for_its_square",
    KERNEL,
    kernel=lambda port, dx, dy, window, sigma: Port.kernel(port, dx, dy, window, np.sqrt(sigma)),
)
plant(
    "kernel_without_the_two",
    KERNEL,
    kernel=lambda port, dx, dy, window, sigma: Port.kernel(port, dx, dy, window, sigma / np.sqrt(2)),
)
plant(
    "kernel_not_squared",
    KERNEL,
    kernel=lambda port, dx, dy, window, sigma: np.sqrt(-np.log(Port.kernel(port, dx, dy, window, sigma)) + 0.01),
)
plant(
    "kernel_axes_swapped",
    KERNEL,
    kernel=lambda port, dx, dy, window, sigma: Port.kernel(port, dy, dx, window, sigma),
)
plant("table_index_truncated", "kernel_sum mean_shift", table_entry=lambda port, d: int(d / 0.1) * 0.1)
plant("table_of_half_steps", "kernel_sum mean_shift", table_entry=lambda port, d: int(d / 0.5 + 0.5) * 0.5)
plant("table_left_out", "kernel_sum mean_shift", table_entry=lambda port, d: d)


@mistake(KERNEL, method="kernel")
def table_of_the_first_stage(port, dx, dy, window, sigma):
    if not hasattr(port, "first_sigma"):
        port.first_sigma = sigma
    return Port.kernel(port, dx, dy, window, port.first_sigma)


@mistake("kernel_sum mean_shift")
def kernel_sum_with_a_guard(port, response, dx, dy, sigma):
    return Port.kernel_sum(port, response, dx, dy, sigma) + 0.01


@mistake("kernel_sum mean_shift")
def kernel_sum_of_the_kernel_alone(port, response, dx, dy, sigma):
    return port.kernel(dx, dy, len(response), sigma).sum()


@mistake("mean_shift")
def mean_shift_from_the_table_entry(port, response, dx, dy, sigma, total):
    off = np.array([port.table_entry(dx) - dx, port.table_entry(dy) - dy])
    return Port.mean_shift(port, response, dx, dy, sigma, total) - off


@mistake("mean_shift")
def mean_shift_from_the_centre(port, response, dx, dy, sigma, total):
    found = Port.mean_shift(port, response, dx, dy, sigma, total)
    return found + np.array([dx, dy]) - (len(response) - 1) / 2


@mistake("mean_shift")
def mean_shift_with_axes_swapped(port, response, dx, dy, sigma, total):
    return Port.mean_shift(port, response, dx, dy, sigma, total)[::-1]


@mistake("mean_shift")
def mean_shift_to_the_peak(port, response, dx, dy, sigma, total):
    row, column = np.unravel_index(np.argmax(response), response.shape)
    return np.array([column - dx, row - dy])


@mistake("mean_shift")
def mean_shift_halved(port, response, dx, dy, sigma, total):
    return Port.mean_shift(port, response, dx, dy, sigma, total) / 2


@mistake("mean_shift")
def mean_shift_counts_from_1(port, response, dx, dy, sigma, total):
    return Port.mean_shift(port, response, dx, dy, sigma, total) + 1


# --- mean-shift in image px


@mistake("mean_shift_image")
def image_shift_in_reference_pixels(port, shifts, to_image):
    return shifts.copy()


@mistake("mean_shift_image")
def image_shift_not_scaled_back(port, shifts, to_image):
    return Port.mean_shift_image(port, shifts, to_image / np.sqrt(np.linalg.det(to_image)))


@mistake("mean_shift_image")
def image_shift_not_turned_back(port, shifts, to_image):
    return shifts * port.dtype.type(np.sqrt(np.linalg.det(to_image)))


@mistake("mean_shift_image")
def image_shift_turned_the_other_way(port, shifts, to_image):
    return Port.mean_shift_image(port, shifts, to_image.T)


@mistake("mean_shift_image")
def image_shift_negated(port, shifts, to_image):
    return -Port.mean_shift_image(port, shifts, to_image)


@mistake("mean_shift_image")
def image_shift_with_axes_swapped(port, shifts, to_image):
    return Port.mean_shift_image(port, shifts, to_image)[:, ::-1].copy()


# --- weights


@mistake("weights")
def confidences_always(port, experts, factor):
    return (max(factor, 1) * experts.patch_confidence).astype(port.dtype)


@mistake("weights", faces="turned", hidden="tiny")
def confidences_squared(port, experts, factor):
    return (factor * experts.patch_confidence**2 if factor > 0 else np.ones(port.n)).astype(port.dtype)


@mistake("weights", faces="turned", hidden="tiny")
def confidences_left_out(port, experts, factor):
    return np.ones(port.n, port.dtype)


@mistake("weights", faces="turned", hidden="tiny")
def weight_factor_left_out(port, experts, factor):
    return (experts.patch_confidence if factor > 0 else np.ones(port.n)).astype(port.dtype)


@mistake("weights", faces="turned", hidden="tiny")
def weights_that_sum_to_1(port, experts, factor):
    weights = Port.weights(port, experts, factor)
    return weights / weights.sum() if factor > 0 else weights


# --- likelihood


@mistake("likelihood")
def likelihood_from_the_table(port, response, dx, dy, sigma):
    return Port.likelihood(port, response, port.table_entry(dx), port.table_entry(dy), sigma)


@mistake("likelihood")
def likelihood_of_the_peak(port, response, dx, dy, sigma):
    return response.max() + 1e-8


@mistake("likelihood")
def likelihood_divided_by_the_kernel(port, response, dx, dy, sigma):
    return Port.likelihood(port, response, dx, dy, sigma) / port.kernel(dx, dy, len(response), sigma).sum()


@mistake("likelihood", method="mean_likelihood")
def likelihood_without_logarithm(port, values):
    return float(values.mean())


@mistake("likelihood", method="mean_likelihood")
def likelihood_summed(port, values):
    return float(np.log(values).sum())


@mistake("likelihood", method="mean_likelihood")
def likelihood_in_bits(port, values):
    return float(np.log2(values).mean())


@mistake("likelihood", method="mean_likelihood", faces="turned", hidden="tiny")
def likelihood_averaged_over_all(port, values):
    return float(np.log(values).sum() / port.n)
