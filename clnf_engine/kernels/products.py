"""Products of rows, several together, so that each number is read once for several of them."""

from clnf_engine.kernels.compiling import kernel


@kernel("F[4,t], F[r], i8, i8, i8, i8 -> F[4,c]", "contract", "reassoc", "nsz")
def products(left, right, x, y, z, at, sums):
    """The products of four rows with three, those of `right` that begin at x, at y and at z; from column `at` on."""
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
    sums[0, at], sums[0, at + 1], sums[0, at + 2] = ax, ay, az
    sums[1, at], sums[1, at + 1], sums[1, at + 2] = bx, by, bz
    sums[2, at], sums[2, at + 1], sums[2, at + 2] = cx, cy, cz
    sums[3, at], sums[3, at + 1], sums[3, at + 2] = dx, dy, dz


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
