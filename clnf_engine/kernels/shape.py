"""The point distribution model: rotation, shape, landmarks, Jacobian, update and clamp. See `pdm`."""

import math

import numpy as np

from clnf_engine.kernels.compiling import kernel
from clnf_engine.kernels.products import product

RIGID = 6
"""Number of global parameters at the head of every parameter vector."""


@kernel("f8[3] -> f8[3,3]")
def rotation_matrix(euler, rotation):
    """``R = Rx·Ry·Rz`` of three angles in radians, (3, 3)."""
    s1, s2, s3 = math.sin(euler[0]), math.sin(euler[1]), math.sin(euler[2])
    c1, c2, c3 = math.cos(euler[0]), math.cos(euler[1]), math.cos(euler[2])
    rotation[0, 0], rotation[0, 1], rotation[0, 2] = c2 * c3, -c2 * s3, s2
    rotation[1, 0], rotation[1, 1], rotation[1, 2] = c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1
    rotation[2, 0], rotation[2, 1], rotation[2, 2] = s1 * s3 - c1 * c3 * s2, c3 * s1 + c1 * s2 * s3, c1 * c2


@kernel("f8[3,3] -> f8[3]")
def euler_angles(rotation, euler):
    """The angles of a rotation matrix, (3,) radians."""
    euler[0] = math.atan2(-rotation[1, 2], rotation[2, 2])
    euler[1] = math.asin(min(1.0, max(-1.0, rotation[0, 2])))
    euler[2] = math.atan2(-rotation[0, 1], rotation[0, 0])


@kernel("f8[m+6], f8[3n], f8[m,3n] -> f8[3,n]")
def unposed_shape(params, mean, modes, shape):
    """``X = mean + Φ·q``, (3, n); `modes` is Φᵀ, (m, 3n)."""
    coordinates = shape.reshape(-1)
    product(modes, params[RIGID:], coordinates)
    for i in range(mean.shape[0]):
        coordinates[i] += mean[i]


@kernel("f8[p], f8[3,3], f8[3,n] -> f8[n,2]")
def project(params, rotation, shape, landmarks):
    """``x_i = s·R[0:2]·X_i + t``, (n, 2) image px."""
    s, tx, ty = params[0], params[4], params[5]
    a, b, c = s * rotation[0, 0], s * rotation[0, 1], s * rotation[0, 2]
    d, e, f = s * rotation[1, 0], s * rotation[1, 1], s * rotation[1, 2]
    for i in range(shape.shape[1]):
        x, y, z = shape[0, i], shape[1, i], shape[2, i]
        landmarks[i, 0] = a * x + b * y + c * z + tx
        landmarks[i, 1] = d * x + e * y + f * z + ty


@kernel("f8[m+6], f8[3n], f8[m,3n] -> f8[3,3], f8[3,n], f8[n,2]")
def landmarks(params, mean, modes, rotation, shape, result):
    """`project` of `unposed_shape` turned by `rotation_matrix`, all of them filled in; (n, 2) image px."""
    rotation_matrix(params[1:4], rotation)
    unposed_shape(params, mean, modes, shape)
    project(params, rotation, shape, result)


@kernel("f8[m+6], f8[3,3], f8[3,n], f8[3n,m], b1[n] -> F[2n,p]")
def jacobian(params, rotation, shape, modes, visible, jac):
    """Derivative of the landmarks through `update`, (2n, 6) or (2n, 6 + m): x of all landmarks, then y of all.

    Rows of landmarks that are not visible are zero. `modes` is Φ, (3n, m).
    """
    n, columns = shape.shape[1], jac.shape[1]
    s = params[0]
    for axis in range(2):
        a, b, c = rotation[axis, 0], rotation[axis, 1], rotation[axis, 2]
        sa, sb, sc = s * a, s * b, s * c
        for i in range(n):
            row = axis * n + i
            if not visible[i]:
                for j in range(columns):
                    jac[row, j] = 0
                continue
            x, y, z = shape[0, i], shape[1, i], shape[2, i]
            jac[row, 0] = a * x + b * y + c * z
            # The small rotation w moves X by w × X, so a row r of s·R gives r·(w × X) = w·(X × r).
            jac[row, 1] = sc * y - sb * z
            jac[row, 2] = sa * z - sc * x
            jac[row, 3] = sb * x - sa * y
            jac[row, 4] = 1 - axis
            jac[row, 5] = axis
            for j in range(columns - RIGID):
                jac[row, RIGID + j] = sa * modes[i, j] + sb * modes[n + i, j] + sc * modes[2 * n + i, j]


@kernel("f8[p], F[q] -> f8[3,3], f8[3,3], f8[p]")
def update(params, delta, rotation, small, moved):
    """Add an update: the rotation by ``R·orth(I + [w]×)``, all else by sum; (6 + m,).

    `rotation` becomes the new rotation matrix, `small` the rotation by the update.
    """
    wx, wy, wz = np.float64(delta[1]), np.float64(delta[2]), np.float64(delta[3])
    # The orthogonal factor of I + [w]× is the rotation about w by atan|w|; c = cos of that angle.
    c = 1.0 / math.sqrt(1.0 + wx * wx + wy * wy + wz * wz)
    d = c * c / (1.0 + c)
    small[0, 0], small[0, 1], small[0, 2] = c + d * wx * wx, d * wx * wy - c * wz, d * wx * wz + c * wy
    small[1, 0], small[1, 1], small[1, 2] = d * wx * wy + c * wz, c + d * wy * wy, d * wy * wz - c * wx
    small[2, 0], small[2, 1], small[2, 2] = d * wx * wz - c * wy, d * wy * wz + c * wx, c + d * wz * wz
    rotation_matrix(params[1:4], rotation)
    for row in range(3):
        a, b, e = rotation[row, 0], rotation[row, 1], rotation[row, 2]
        for column in range(3):
            rotation[row, column] = a * small[0, column] + b * small[1, column] + e * small[2, column]
    for j in range(params.shape[0]):
        moved[j] = params[j] + delta[j] if j < delta.shape[0] else params[j]
    euler_angles(rotation, moved[1:4])


@kernel("f8[m+6], f8[m] -> f8[m+6]")
def clamp(moved, bounds, params):
    """Every mode within ±its bound, every Euler angle within ±π/2; (6 + m,). `bounds` is (m,)."""
    for k in range(RIGID):
        turns = 1 <= k <= 3
        params[k] = max(min(moved[k], math.pi / 2), -math.pi / 2) if turns else moved[k]
    for j in range(bounds.shape[0]):
        params[RIGID + j] = max(min(moved[RIGID + j], bounds[j]), -bounds[j])
