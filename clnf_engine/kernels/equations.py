"""The normal equations of NU-RLMS and their solution. See `nu_rlms`."""

import math

import numpy as np

from clnf_engine.kernels.compiling import kernel
from clnf_engine.kernels.shape import RIGID

MAX_UPDATE = 1e9
"""A solution with a larger element comes from equations that are singular but for rounding."""


@kernel("F[2n,p], F[n], F[m] -> F[p,p]", "contract")
def hessian(jac, weights, prior, matrix):
    """``JᵀWJ + reg·Λ⁻¹``, (p, p); `prior` is the diagonal of reg·Λ⁻¹, (m,). Nothing is regularised where p = 6."""
    n, p = weights.shape[0], jac.shape[1]
    for a in range(p):
        for b in range(p):
            matrix[a, b] = 0
    for i in range(n):
        x, y = jac[i], jac[n + i]
        for a in range(p):
            wx, wy = weights[i] * x[a], weights[i] * y[a]
            row = matrix[a]
            for b in range(a - a % 8, p):  # whole vectors of the upper triangle
                row[b] += wx * x[b] + wy * y[b]
    for a in range(p):
        for b in range(a):
            matrix[a, b] = matrix[b, a]
    for j in range(p - RIGID):
        matrix[RIGID + j, RIGID + j] += prior[j]


@kernel("F[2n,p], F[n], F[n,2], f8[m+6], F[m] -> F[p]")
def gradient(jac, weights, shift, params, prior, vector):
    """``JᵀWv − reg·Λ⁻¹·q``, (p,); `shift` is v, (n, 2) image px."""
    n, p = weights.shape[0], jac.shape[1]
    for b in range(p):
        vector[b] = 0
    for i in range(n):
        x, y = jac[i], jac[n + i]
        vx, vy = weights[i] * shift[i, 0], weights[i] * shift[i, 1]
        for b in range(p):
            vector[b] += vx * x[b] + vy * y[b]
    for j in range(p - RIGID):
        vector[RIGID + j] -= prior[j] * vector.dtype.type(params[RIGID + j])


@kernel("F[p,p], F[p] -> F[p]")
def solve(matrix, vector, solution):
    """Solution of ``matrix·x = vector`` by Cholesky, (p,), and whether there is one.

    ``UᵀU = matrix``: U takes the place of a copy's upper triangle, row by row.
    """
    p = vector.shape[0]
    upper = np.empty((p, p), matrix.dtype)
    for k in range(p):
        solution[k] = vector[k]
        for j in range(k, p):
            upper[k, j] = matrix[k, j]
    for k in range(p):
        row = upper[k]
        if not row[k] > 0:
            return False
        root = math.sqrt(row[k])
        for j in range(k, p):
            row[j] /= root
        for i in range(k + 1, p):
            factor, below = row[i], upper[i]
            for j in range(i, p):
                below[j] -= factor * row[j]
        # Forwards, Uᵀy = vector.
        y = solution[k] / root
        solution[k] = y
        for j in range(k + 1, p):
            solution[j] -= row[j] * y
    for k in range(p - 1, -1, -1):
        total = solution[k]
        for j in range(k + 1, p):
            total -= upper[k, j] * solution[j]
        solution[k] = total / upper[k, k]
    for k in range(p):
        if not abs(solution[k]) < MAX_UPDATE:  # a NaN compares false, too
            return False
    return True
