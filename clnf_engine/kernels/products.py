"""Products of rows, several together, so that each number is read once for several of them."""

from clnf_engine.kernels.compiling import kernel


@kernel("F[t], F[t], F[t], F[t], F[t], F[t], F[t] -> F[4,3]", "contract", "reassoc", "nsz")
def products(a, b, c, d, x, y, z, sums):
    """The products of four rows with three: ``((a·x, a·y, a·z), (b·x, …), …)``, (4, 3)."""
    ax = ay = az = bx = by = bz = cx = cy = cz = dx = dy = dz = sums.dtype.type(0)
    for t in range(a.shape[0]):
        p, q, r = x[t], y[t], z[t]
        ax += a[t] * p
        ay += a[t] * q
        az += a[t] * r
        bx += b[t] * p
        by += b[t] * q
        bz += b[t] * r
        cx += c[t] * p
        cy += c[t] * q
        cz += c[t] * r
        dx += d[t] * p
        dy += d[t] * q
        dz += d[t] * r
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
        a, b, c, d = transposed[k], transposed[k + 1], transposed[k + 2], transposed[k + 3]
        va, vb, vc, vd = vector[k], vector[k + 1], vector[k + 2], vector[k + 3]
        for j in range(result.shape[0]):
            result[j] += (a[j] * va + b[j] * vb) + (c[j] * vc + d[j] * vd)
    for k in range(whole, size):
        a, va = transposed[k], vector[k]
        for j in range(result.shape[0]):
            result[j] += a[j] * va
