"""Iterations of NU-RLMS: the kernels of the table's rows, from `position` to `project`, one after the other."""

import math

import numpy as np

from clnf_engine.kernels import equations, shape, shifts
from clnf_engine.kernels.compiling import kernel


@kernel("f8[n,2], f8[n,2] ->")
def shape_change(landmarks, before):
    """‖landmarks − before‖₂ over all 2n coordinates, image px."""
    total = 0.0
    for i in range(landmarks.shape[0]):
        x, y = landmarks[i, 0] - before[i, 0], landmarks[i, 1] - before[i, 1]
        total += x * x + y * y
    return math.sqrt(total)


@kernel("F[p] ->")
def update_norm(delta):
    """‖delta‖₂."""
    total = delta.dtype.type(0)
    for j in range(delta.shape[0]):
        total += delta[j] * delta[j]
    return math.sqrt(total)


@kernel(
    "F[n,w,w], f8[n,2], f8[2,2], f8[2,2], F[n], F[m], F[t,2,w], b1[n], f8, f8, f8[3n], f8[3n,m], f8[m,3n], f8[m], "
    "f8, f8 -> "
    "F[n,2], F[n], F[n,2], F[n,2], F[2n,p], F[p,p], F[p], F[p], f8[m+6], f8[m+6], f8[n,2], f8[m+6], f8[n,2], f8[k,n,2]"
)
def iterate(
    maps,
    base_shape,
    image_to_reference,
    reference_to_image,
    weights,
    prior,
    table,
    visible,
    sigma,
    highest,
    mean,
    modes,
    modes_transposed,
    bounds,
    convergence_px,
    convergence_update,
    position,
    kernel_sum,
    shift,
    image_shift,
    jac,
    matrix,
    vector,
    delta,
    params_before,
    moved,
    landmarks_before,
    params,
    landmarks,
    ends,
):
    """Iterations from `params` and `landmarks`, which move, until they converge or `ends` is full.

    `ends` gets the landmarks after each, (k, n, 2); the other arrays are those of the last one.

    Returns
    -------
    (count, change, norm) : (int, float, float)
        Iterations run, and of the last one the change of the landmarks, image px, and the norm of the update; 0 and NaN
        when the normal equations have no solution, which leaves everything where it was.
    """
    n, window = maps.shape[0], maps.shape[1]
    free, sums = np.empty_like(position), np.empty((n, 3), maps.dtype)
    rotation, small, points = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, n))
    count, change, norm = 0, math.nan, math.nan
    while count < ends.shape[0]:
        count += 1
        for j in range(params.shape[0]):
            params_before[j] = params[j]
        for i in range(n):
            landmarks_before[i, 0], landmarks_before[i, 1] = landmarks[i, 0], landmarks[i, 1]
        shifts.free_positions(landmarks_before, base_shape, image_to_reference, window, free)
        shifts.hold_in_map(free, highest, position)
        shifts.kernel_sums(maps, position, sigma, table, sums)
        for i in range(n):
            kernel_sum[i] = sums[i, 0]
        shifts.shifts(sums, kernel_sum, position, visible, shift)
        shifts.image_shifts(shift, reference_to_image, image_shift)
        shape.rotation_matrix(params_before[1:4], rotation)
        shape.unposed_shape(params_before, mean, modes_transposed, points)
        shape.jacobian(params_before, rotation, points, modes, visible, jac)
        equations.hessian(jac, weights, prior, matrix)
        equations.gradient(jac, weights, image_shift, params_before, prior, vector)
        if not equations.solve(matrix, vector, delta):
            for j in range(params.shape[0]):
                moved[j] = params[j]
            for i in range(n):
                ends[count - 1, i, 0], ends[count - 1, i, 1] = landmarks[i, 0], landmarks[i, 1]
            return count, 0.0, math.nan
        shape.update(params_before, delta, rotation, small, moved)
        shape.clamp(moved, bounds, params)
        shape.landmarks(params, mean, modes_transposed, rotation, points, landmarks)
        for i in range(n):
            ends[count - 1, i, 0], ends[count - 1, i, 1] = landmarks[i, 0], landmarks[i, 1]
        change, norm = shape_change(landmarks, landmarks_before), float(update_norm(delta))
        if change < convergence_px or norm < convergence_update:
            break
    return count, change, norm
