"""The normal equations of NU-RLMS and their solution. See `nu_rlms`."""

import math

import numpy as np

from clnf_engine.kernels.compiling import kernel
from clnf_engine.kernels.products import products
from clnf_engine.kernels.shape import RIGID

MAX_UPDATE = 1e9
"""A solution with a larger element comes from equations that are singular but for rounding."""


@kernel("F[2n,p], F[n], F[m] -> F[p,p]")
def hessian(jac, weights, prior, matrix):
    """``JᵀWJ + reg·Λ⁻¹``, (p, p); `prior` is the diagonal of reg·Λ⁻¹, (m,). Nothing is regularised where p = 6."""
    n, p = weights.shape[0], jac.shape[1]
    # In groups of columns that `products` takes; what is beyond p repeats the last one.
    left, right = np.empty((-(-p // 4) * 4, 2 * n), jac.dtype), np.empty((-(-p // 3) * 3, 2 * n), jac.dtype)
    sums = np.empty((4, 3), jac.dtype)
    for a in range(left.shape[0]):
        column, from_column = left[a], min(a, p - 1)
        for i in range(n):
            column[i] = weights[i] * jac[i, from_column]
            column[n + i] = weights[i] * jac[n + i, from_column]
    for b in range(right.shape[0]):
        column, from_column = right[b], min(b, p - 1)
        for i in range(2 * n):
            column[i] = jac[i, from_column]
    for a in range(0, p, 4):
        for b in range(0, min(a + 4, p), 3):
            products(left[a], left[a + 1], left[a + 2], left[a + 3], right[b], right[b + 1], right[b + 2], sums)
            for i in range(4):
                for j in range(3):
                    if b + j <= a + i < p:
                        matrix[a + i, b + j] = matrix[b + j, a + i] = sums[i, j]
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
    """Solution of ``matrix·x = vector`` by Cholesky, ``LLᵀ = matrix``, (p,), and whether there is one."""
    p = vector.shape[0]
    lower = np.empty((p, p), matrix.dtype)  # with the inverse of its diagonal
    for i in range(p):
        row = lower[i]
        for j in range(i):
            other, total = lower[j], matrix[i, j]
            for k in range(j):
                total -= row[k] * other[k]
            row[j] = total * other[j]
        pivot, y = matrix[i, i], vector[i]
        for k in range(i):
            pivot -= row[k] * row[k]
            y -= row[k] * solution[k]
        if not pivot > 0:
            return False
        row[i] = 1 / math.sqrt(pivot)
        solution[i] = y * row[i]
    for k in range(p - 1, -1, -1):
        row = lower[k]
        x = solution[k] * row[k]
        solution[k] = x
        for j in range(k):
            solution[j] -= row[j] * x
    for k in range(p):
        if not abs(solution[k]) < MAX_UPDATE:  # a NaN compares false, too
            return False
    return True
