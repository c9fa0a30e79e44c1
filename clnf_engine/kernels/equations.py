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
    # Transposed, in the groups of columns that `products` takes; what is beyond p repeats the last one.
    size = 2 * n
    left, right = np.empty((-(-p // 4) * 4, size), jac.dtype), np.empty(-(-p // 3) * 3 * size, jac.dtype)
    sums = np.empty((4, 3), jac.dtype)
    for a in range(left.shape[0]):
        column = min(a, p - 1)
        for i in range(n):
            left[a, i] = weights[i] * jac[i, column]
            left[a, n + i] = weights[i] * jac[n + i, column]
    for b in range(right.shape[0] // size):
        column = min(b, p - 1)
        for i in range(size):
            right[b * size + i] = jac[i, column]
    for a in range(0, p, 4):
        for b in range(0, min(a + 4, p), 3):
            products(left[a : a + 4], right, b * size, (b + 1) * size, (b + 2) * size, sums)
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
        vx, vy = weights[i] * shift[i, 0], weights[i] * shift[i, 1]
        for b in range(p):
            vector[b] += vx * jac[i, b] + vy * jac[n + i, b]
    for j in range(p - RIGID):
        vector[RIGID + j] -= prior[j] * vector.dtype.type(params[RIGID + j])


@kernel("F[p,p], F[p] -> F[p]")
def solve(matrix, vector, solution):
    """Solution of ``matrix·x = vector`` by Cholesky, ``LLᵀ = matrix``, (p,), and whether there is one."""
    p = vector.shape[0]
    lower = np.empty((p, p), matrix.dtype)  # with the inverse of its diagonal
    for i in range(p):
        for j in range(i):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = total * lower[j, j]
        pivot, y = matrix[i, i], vector[i]
        for k in range(i):
            pivot -= lower[i, k] * lower[i, k]
            y -= lower[i, k] * solution[k]
        if not pivot > 0:
            return False
        lower[i, i] = 1 / math.sqrt(pivot)
        solution[i] = y * lower[i, i]
    for k in range(p - 1, -1, -1):
        x = solution[k] * lower[k, k]
        solution[k] = x
        for j in range(k):
            solution[j] -= lower[k, j] * x
    bounded = True
    for k in range(p):
        bounded = bounded and abs(solution[k]) < MAX_UPDATE  # a NaN compares false, too
    return bounded
