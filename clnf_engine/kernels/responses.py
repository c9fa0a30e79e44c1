"""Response maps: areas of interest, correlation, neurons, Sigma, shift. See `experts`, `sigma` and `response`."""

import math

import numpy as np

from clnf_engine.kernels.compiling import kernel
from clnf_engine.kernels.products import product, products

TOGETHER = 4
"""Neurons that `correlate` takes together."""

TERMS = 14
"""Of Taylor's series of the exponential function, up to half of ln 2."""

WHOLE = 16
"""The taps of a neuron are padded to a multiple of it: whole vectors of any processor."""


@kernel("f8[n,2], f8[n,2] -> f8[2,2]")
def similarity(source, target, result):
    """Linear part of the map of one shape onto another: Kabsch's rotation times the ratio of the RMS sizes, (2, 2)."""
    n = source.shape[0]
    sx = sy = tx = ty = 0.0
    for i in range(n):
        sx, sy = sx + source[i, 0], sy + source[i, 1]
        tx, ty = tx + target[i, 0], ty + target[i, 1]
    before = after = dot = cross = 0.0
    for i in range(n):
        x, y = source[i, 0] - sx / n, source[i, 1] - sy / n
        u, v = target[i, 0] - tx / n, target[i, 1] - ty / n
        before += x * x + y * y
        after += u * u + v * v
        dot += x * u + y * v
        cross += x * v - y * u
    # In two dimensions Kabsch's rotation is the angle between the shapes, by their dot and cross products.
    scale = math.sqrt(after / before) / math.sqrt(dot * dot + cross * cross)
    result[0, 0], result[0, 1] = scale * dot, -scale * cross
    result[1, 0], result[1, 1] = scale * cross, scale * dot


@kernel("u1[rows,cols], f8[n,2], f8[2,2] -> f4[n,y,x]")
def sample_areas(image, centres, reference_to_image, area):
    """Grey levels around every centre, by float bilinear interpolation with the border replicated.

    NaN around a centre, or with a map, that is not finite.
    """
    rows, cols = image.shape
    n, height, width = area.shape
    pixels = image.reshape(-1)
    axx, axy = reference_to_image[0, 0], reference_to_image[0, 1]
    ayx, ayy = reference_to_image[1, 0], reference_to_image[1, 1]
    right, bottom = cols - 1.0, rows - 1.0
    corner = np.empty(width, np.int64)
    beyond = np.empty((2, width), np.float32)
    for i in range(n):
        cx, cy = centres[i, 0], centres[i, 1]
        if not math.isfinite(cx + cy + axx + axy + ayx + ayy):
            area[i] = np.nan
            continue
        for row in range(height):
            dy = row - (height - 1) / 2
            for column in range(width):
                dx = column - (width - 1) / 2
                x, y = cx + (axx * dx + axy * dy), cy + (ayx * dx + ayy * dy)
                x = min(x, right) if x > 0.0 else 0.0  # so NaN of a sum that overflowed is inside, too
                y = min(y, bottom) if y > 0.0 else 0.0
                left, top = min(np.floor(x), right - 1.0), min(np.floor(y), bottom - 1.0)
                corner[column] = int(top) * cols + int(left)
                beyond[0, column], beyond[1, column] = x - left, y - top
            for column in range(width):
                at, fx, fy = corner[column], beyond[0, column], beyond[1, column]
                a, b = np.float32(pixels[at]), np.float32(pixels[at + 1])
                c, d = np.float32(pixels[at + cols]), np.float32(pixels[at + cols + 1])
                upper, lower = (b - a) * fx + a, (d - c) * fx + c
                area[i, row, column] = (lower - upper) * fy + upper


@kernel("f4[y,x], i8, i8, f8 -> F[r,c]")
def inverse_norms(area, h, w, flat, inverse):
    """One over the norm of every h × w patch without its mean, (window, window); 0 where the norm is at most `flat`.

    The sums are float64, so that flat means flat.
    """
    height, width = inverse.shape
    total, square = np.zeros(area.shape[1]), np.zeros(area.shape[1])
    for y in range(-h + 1, height):
        entering, leaving = area[y + h - 1], area[max(y - 1, 0)]
        for x in range(area.shape[1]):
            new, old = np.float64(entering[x]), np.float64(leaving[x]) if y > 0 else 0.0
            total[x] += new - old
            square[x] += new * new - old * old
        if y < 0:
            continue
        t = q = 0.0
        for x in range(w - 1):
            t += total[x]
            q += square[x]
        for x in range(width):
            t += total[x + w - 1]
            q += square[x + w - 1]
            norm = math.sqrt(max(q - t * t / (h * w), 0.0))
            inverse[y, x] = 1.0 / norm if norm > flat else 0.0
            t -= total[x]
            q -= square[x]


@kernel("f4[n,y,x], F[n,g,4,t], i8, i8, f8 -> F[n,k,r,c]")
def correlate(areas, weights, h, w, flat, ncc):
    """Normalized cross-correlation of every neuron with every patch of every landmark, (n, K, window, window).

    `weights` have zero mean and unit norm, (n, K/4, 4, taps): zero beyond K and h·w.
    """
    n, size, across = areas.shape
    neurons, height, width, taps = ncc.shape[1], ncc.shape[2], ncc.shape[3], weights.shape[3]
    run = size * w
    columns = np.zeros(width * run + taps, ncc.dtype)  # a last patch is read beyond its end
    unfolded = columns[: width * run].reshape(width, size, w)
    inverse = np.empty((height, width), ncc.dtype)
    column = -(-height // 3) * 3
    sums = np.empty((4, width * column), ncc.dtype)  # what is beyond the height repeats its last row
    for i in range(n):
        area = areas[i]
        inverse_norms(area, h, w, flat, inverse)
        total = 0.0
        for y in range(size):
            for x in range(across):
                total += np.float64(area[y, x])
        # The neurons have zero mean, so removing the area's mean changes nothing but the rounding, in float32.
        mean = ncc.dtype.type(total / (size * across))
        # Unfolded by columns, so that every patch is one run.
        for x in range(width):
            for y in range(size):
                for v in range(w):
                    unfolded[x, y, v] = ncc.dtype.type(area[y, x + v]) - mean
        for group in range(weights.shape[1]):
            four = weights[i, group]
            for x in range(width):
                for y in range(0, height, 3):
                    first = x * run + y * w
                    second = x * run + min(y + 1, height - 1) * w
                    third = x * run + min(y + 2, height - 1) * w
                    products(four, columns, first, second, third, x * column + y, sums)
            for k in range(min(4, neurons - 4 * group)):
                result, found = ncc[i, 4 * group + k], sums[k]
                for y in range(height):
                    for x in range(width):
                        result[y, x] = found[x * column + y] * inverse[y, x]


@kernel("F[n,k,r,c], F[n,k], F[n,k], F[n,k], F[5], F[s], I[2] -> F[n,k,r,c]", "contract")
def neuron_outputs(ncc, slopes, offsets, gains, limits, series, layout, output):
    """``gain / (1 + exp(slope·NCC + offset))``, (n, K, window, window).

    ``exp(x) = 2ᵏ·exp(x − k·ln 2)`` with k the nearest integer: `limits` are the least and greatest x, 1/ln 2 and ln 2
    in two parts, `series` Taylor's coefficients, the highest first. 2ᵏ is put together from its bits: `layout` are the
    bias of a number's exponent and where it stands.
    """
    n, neurons, height, width = ncc.shape
    cells = height * width
    least, greatest, per_power, ln2, rest = limits[0], limits[1], limits[2], limits[3], limits[4]
    half, one = limits.dtype.type(0.5), limits.dtype.type(1)
    bias, place = layout[0], layout[1]
    remainder, bits = np.empty(cells, limits.dtype), np.empty(cells, layout.dtype)
    power_of_two = bits.view(limits.dtype)
    for i in range(n):
        for neuron in range(neurons):
            x, result = ncc[i, neuron].reshape(-1), output[i, neuron].reshape(-1)
            slope, offset, gain = slopes[i, neuron], offsets[i, neuron], gains[i, neuron]
            for c in range(cells):
                value = x[c] * slope + offset
                value = value if value > least else least
                value = value if value < greatest else greatest
                power = np.floor(value * per_power + half)
                remainder[c] = (value - power * ln2) - power * rest
                bits[c] = (np.int32(power) + bias) << place
            for c in range(cells):
                exponential = series[0]
                for k in range(1, TERMS):
                    exponential = exponential * remainder[c] + series[k]
                result[c] = exponential
            for c in range(cells):
                value = gain / (one + result[c] * power_of_two[c])
                result[c] = value if x[c] == x[c] else x[c]


@kernel("F[n,k,r,c] -> F[n,r,c]")
def add_neurons(output, raw):
    """Sum of the neurons' outputs, (n, window, window)."""
    for i in range(raw.shape[0]):
        total = raw[i].reshape(-1)
        for neuron in range(output.shape[1]):
            of_neuron = output[i, neuron].reshape(-1)
            for c in range(total.shape[0]):
                total[c] = of_neuron[c] if neuron == 0 else total[c] + of_neuron[c]


@kernel("F[n,w,w], F[n,a,a] -> F[n,w,w]")
def dense_sigma(raw, sigma, transformed):
    """``Sigma·vec(raw)`` with every Sigma symmetric, (n, window², window²)."""
    for i in range(raw.shape[0]):
        product(sigma[i], raw[i].reshape(-1), transformed[i].reshape(-1))


@kernel("F[n,w,w], F[n,a,a], F[n,b,b], F[n,c,c] -> F[n,w,w]")
def folded_sigma(raw, even, mixed, odd, transformed):
    """``Sigma·vec(raw)`` with every Sigma symmetric under both mirrorings and transposition of the window.

    Half-sums and half-differences of the mirrored cells are transformed apart: `even` in both directions, (n, h², h²)
    with h = (window + 1)/2, `mixed` even along y and odd along x, or the other way round with x and y exchanged, and
    `odd` in both. The matrices are transposed.
    """
    window = raw.shape[1]
    last, middle, half = window - 1, window // 2, window // 2 + 1
    dtype = raw.dtype
    ee, eo, oe, oo = (
        np.empty(half * half, dtype),
        np.empty(half * middle, dtype),
        np.empty(half * middle, dtype),
        np.empty(middle * middle, dtype),
    )
    see, seo, soe, soo = np.empty_like(ee), np.empty_like(eo), np.empty_like(oe), np.empty_like(oo)
    quarter = raw.dtype.type(0.25)
    for i in range(raw.shape[0]):
        response, result = raw[i], transformed[i]
        for y in range(half):
            for x in range(half):
                a, b = response[y, x], response[y, last - x]
                c, d = response[last - y, x], response[last - y, last - x]
                ee[y * half + x] = ((a + b) + (c + d)) * quarter
                if x < middle:
                    eo[y * middle + x] = ((a - b) + (c - d)) * quarter
                if y < middle:
                    oe[x * middle + y] = ((a + b) - (c + d)) * quarter
                if x < middle and y < middle:
                    oo[y * middle + x] = ((a - b) - (c - d)) * quarter
        product(even[i], ee, see)
        product(mixed[i], eo, seo)
        product(mixed[i], oe, soe)
        product(odd[i], oo, soo)
        for y in range(half):
            for x in range(half):
                s = see[y * half + x]
                u = seo[y * middle + x] if x < middle else 0 * quarter
                v = soe[x * middle + y] if y < middle else 0 * quarter
                d = soo[y * middle + x] if x < middle and y < middle else 0 * quarter
                result[y, x] = (s + u) + (v + d)
                result[y, last - x] = (s - u) + (v - d)
                result[last - y, x] = (s + u) - (v + d)
                result[last - y, last - x] = (s - u) - (v - d)


@kernel("F[n,r,c] -> F[n,r,c]")
def shift_to_positive(maps, shifted):
    """Every map less its minimum where that is negative, (n, window, window)."""
    for i in range(maps.shape[0]):
        values, result = maps[i].reshape(-1), shifted[i].reshape(-1)
        lowest = values.dtype.type(0)
        for c in range(values.shape[0]):
            lowest = min(lowest, values[c])
        for c in range(values.shape[0]):
            result[c] = values[c] - lowest
