"""Products of rows, several together, so that each number is read once for several of them."""

from clnf_engine.kernels.compiling import kernel


@kernel("F[4,t], F[r], i8, i8, i8 -> F[4,3]", "contract", "reassoc", "nsz")
def products(left, right, x, y, z, sums):
    """The products of four rows with three, (4, 3): those of `right` that begin at x, at y and at z."""
    ax = ay = az = bx = by = bz = cx = cy = cz = dx = dy = dz = sums.dtype.type(0)
    taps = left.shape[1]
    first, second, third = right[x : x + taps], right[y : y + taps], right[z : z + taps]
    for t in range(taps):
        a, b, c, d = left[0, t], left[1, t], left[2, t], left[3, t]
        p, q, r = first[t], second[t], third[t]
        ax += a * p
        ay += a * q
        az += a * r
        bx += b * p
        by += b * q
        bz += b * r
        cx += c * p
        cy += c * q
        cz += c * r
        dx += d * p
        dy += d * q
        dz += d * r
    sums[0, 0], sums[0, 1], sums[0, 2] = ax, ay, az
    sums[1, 0], sums[1, 1], sums[1, 2] = bx, by, bz
    sums[2, 0], sums[2, 1], sums[2, 2] = cx, cy, cz
    sums[3, 0], sums[3, 1], sums[3, 2] = dx, dy, dz


@kernel("F[k,j], F[k] -> F[j]", "contract")
def product(transposed, vector, result):
    """``Mᵀ·vector`` of a matrix M, four rows at a time."""
    size = vector.shape[0]
    for j in range(result.shape[0]):
        result[j] = 0
    whole = size - size % 4
    for k in range(0, whole, 4):
        a, b, c, d = vector[k], vector[k + 1], vector[k + 2], vector[k + 3]
        for j in range(result.shape[0]):
            first = transposed[k, j] * a + transposed[k + 1, j] * b
            result[j] += first + (transposed[k + 2, j] * c + transposed[k + 3, j] * d)
    for k in range(whole, size):
        for j in range(result.shape[0]):
            result[j] += transposed[k, j] * vector[k]
