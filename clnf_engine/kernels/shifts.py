"""Mean-shift over response maps: positions, kernels, sums, shifts, likelihoods. See `mean_shift`."""

import math

import numpy as np

from clnf_engine.kernels.compiling import kernel


@kernel("f8[n,2], f8[n,2], f8[2,2], i8 -> F[n,2]")
def free_positions(landmarks, base_shape, image_to_reference, window, position):
    """``(landmarks − base_shape)·Sᵀ + (w − 1)/2`` in cells, (n, 2)."""
    middle = position.dtype.type((window - 1) / 2)
    for i in range(position.shape[0]):
        x, y = landmarks[i, 0] - base_shape[i, 0], landmarks[i, 1] - base_shape[i, 1]
        for axis in range(2):
            offset = image_to_reference[axis, 0] * x + image_to_reference[axis, 1] * y
            position[i, axis] = position.dtype.type(offset) + middle


@kernel("F[n,2], f8 -> F[n,2]")
def hold_in_map(free, highest, position):
    """Positions clamped to [0, highest], (n, 2)."""
    zero, top = position.dtype.type(0), position.dtype.type(highest)
    for i in range(position.shape[0]):
        for axis in range(2):
            position[i, axis] = min(max(free[i, axis], zero), top)


@kernel("F, f8 -> F[2,w]")
def gaussian(position, sigma, kernel_and_moment):
    """``k_j = exp(−(position − j)²/2σ²)`` and ``j·k_j``, (2, w)."""
    kind = kernel_and_moment.dtype.type
    factor = kind(-0.5 / sigma**2)
    for j in range(kernel_and_moment.shape[1]):
        distance = position - kind(j)
        value = math.exp(distance * distance * factor)
        kernel_and_moment[0, j] = value
        kernel_and_moment[1, j] = kind(j) * value


@kernel("F[w,w], F[2,w], F[2,w] -> F[3]")
def moments(response, column, row, sums):
    """``Σv, Σv·column, Σv·row`` with ``v = response·kernel``, (3,); the kernels by `gaussian`, (2, w) each."""
    zero = sums.dtype.type(0)
    total = first_x = first_y = zero
    for j in range(response.shape[1]):
        down = moment_down = zero
        for i in range(response.shape[0]):
            down += response[i, j] * row[0, i]
            moment_down += response[i, j] * row[1, i]
        total += down * column[0, j]
        first_x += down * column[1, j]
        first_y += moment_down * column[0, j]
    sums[0], sums[1], sums[2] = total, first_x, first_y


@kernel("F[k], f8 -> F[k,2,w]")
def gaussians(positions, sigma, table):
    """`gaussian` at every position, (k, 2, w)."""
    for k in range(positions.shape[0]):
        gaussian(positions[k], sigma, table[k])


@kernel("F, F[t,2,w] ->")
def entry_at(position, table):
    """Index of the entry next to a position, in a table of the kernels at 0, 0.1, 0.2 and so on."""
    kind = table.dtype.type
    return max(0, min(table.shape[0] - 1, int(position * kind(10) + kind(0.5))))


@kernel("F[n,2], f8, F[t,2,w] -> F[n,2,w]")
def kernels_at(positions, sigma, table, kernels):
    """The mean-shift's kernels k_j of the columns and of the rows, (n, 2, w); exact where the table is empty."""
    exact = np.empty((2, kernels.shape[2]), kernels.dtype)
    for i in range(positions.shape[0]):
        for axis in range(2):
            if table.shape[0] == 0:
                gaussian(positions[i, axis], sigma, exact)
                kernels[i, axis] = exact[0]
            else:
                kernels[i, axis] = table[entry_at(positions[i, axis], table), 0]


@kernel("F[n,w,w], F[n,2], f8, F[t,2,w] -> F[n,3]")
def kernel_sums(maps, position, sigma, table, sums):
    """`moments` of every map with the mean-shift's kernels at its position, (n, 3); exact where the table is empty."""
    window = maps.shape[1]
    exact = np.empty((2, 2, window), maps.dtype)
    for i in range(maps.shape[0]):
        if table.shape[0] == 0:
            gaussian(position[i, 0], sigma, exact[0])
            gaussian(position[i, 1], sigma, exact[1])
            moments(maps[i], exact[0], exact[1], sums[i])
        else:
            column, row = entry_at(position[i, 0], table), entry_at(position[i, 1], table)
            moments(maps[i], table[column], table[row], sums[i])


@kernel("F[n,3], F[n], F[n,2], b1[n] -> F[n,2]")
def shifts(sums, kernel_sum, position, visible, shift):
    """``(Σv·column/Σv − dx, Σv·row/Σv − dy)``, (n, 2); zero where not visible or where Σv is not positive."""
    for i in range(position.shape[0]):
        for axis in range(2):
            known = visible[i] and kernel_sum[i] > 0
            shift[i, axis] = sums[i, 1 + axis] / kernel_sum[i] - position[i, axis] if known else 0


@kernel("F[n,2], f8[2,2] -> F[n,2]")
def image_shifts(shift, reference_to_image, turned):
    """Shifts in image px, (n, 2)."""
    kind = shift.dtype.type
    a, b = kind(reference_to_image[0, 0]), kind(reference_to_image[0, 1])
    c, d = kind(reference_to_image[1, 0]), kind(reference_to_image[1, 1])
    for i in range(shift.shape[0]):
        x, y = shift[i, 0], shift[i, 1]
        turned[i, 0] = a * x + b * y
        turned[i, 1] = c * x + d * y


@kernel("F[n,w,w], F[n,2], b1[n], f8, f8 -> F[n]")
def likelihoods(maps, position, visible, sigma, floor, likelihood):
    """``Σ response·exact kernel + floor`` at every position, (n,); zero where not visible."""
    window = maps.shape[1]
    exact = np.empty((2, 2, window), maps.dtype)
    sums = np.empty(3, maps.dtype)
    for i in range(maps.shape[0]):
        gaussian(position[i, 0], sigma, exact[0])
        gaussian(position[i, 1], sigma, exact[1])
        moments(maps[i], exact[0], exact[1], sums)
        likelihood[i] = sums[0] + floor if visible[i] else 0
