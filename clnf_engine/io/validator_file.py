"""OpenFace's file of a validator: per view the normalisation, the network and the warp; binary, little-endian."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats, read_only, read_only_fields
from clnf_engine.io.byte_reader import ByteReader, binary_matrix
from clnf_engine.io.model_text import MAX_LANDMARKS
from clnf_engine.validator import (
    Convolution,
    Convolutional,
    Dense,
    FullyConnected,
    Linear,
    Network,
    Subsampling,
    Validator,
    ValidatorView,
    Warp,
)

_INT32 = 4
_SVR, _NET, _CNN = 0, 1, 2
_CONVOLUTION, _SUBSAMPLING, _DENSE = 0, 1, 2
_MAX_VIEWS = 1_000
_MAX_LAYERS = 100
_MAX_MAPS = 10_000
_MAX_PIXELS = 1 << 22
_MAX_DEGREES = 360.0


def read_validator(path: str | os.PathLike[str]) -> Validator:
    """Read a validator.

    Raises
    ------
    ModelFileError
        When the file is missing, truncated, corrupt, foreign, or its parts do not fit together.
    """
    reader = ByteReader(Path(path))
    kind = reader.integer("the kind of validator (0 SVR, 1 network, 2 CNN)", _SVR, _CNN)
    n_views = reader.integer("the number of views", 1, _MAX_VIEWS)
    centres = np.array([_numbers(reader, "a view's centre", 3) for _ in range(n_views)])
    if not (np.abs(centres) <= _MAX_DEGREES).all():
        raise reader.error(f"a view's centre is no rotation of at most {_MAX_DEGREES:g} degrees")
    views = tuple(_read_view(reader, kind) for _ in range(n_views))
    reader.expect_end()
    if len({len(view.warp.destination) for view in views}) > 1:
        raise reader.error("the views' warps have no common number of landmarks")
    return Validator(read_only(centres), views)


def _read_view(reader: ByteReader, kind: int) -> ValidatorView:
    mean = _numbers(reader, "the mean of the values")
    deviation = _numbers(reader, "the standard deviation of the values", mean.size)
    if (deviation == 0).any():
        raise reader.error("a standard deviation is 0")
    network = (_read_linear, _read_net, _read_cnn)[kind](reader)
    warp = _read_warp(reader)
    inside = int(warp.mask.sum())
    if inside != mean.size:
        raise reader.error(f"the warp has {inside} pixels in its mask, but the mean has {mean.size} values")
    try:  # whether the layers fit together shows when they are run
        with np.errstate(all="ignore"):
            network.decision(np.zeros(inside), warp.mask)
    except (ValueError, IndexError):
        raise reader.error("the layers of the network do not fit each other or the crop") from None
    return ValidatorView(read_only(mean), read_only(deviation), network, warp)


def _read_linear(reader: ByteReader) -> Network:
    bias = reader.number("the bias", -1e30, 1e30)
    return Linear(_numbers(reader, "the weights"), bias)


def _read_net(reader: ByteReader) -> Network:
    n_layers = reader.integer("the number of layers", 1, _MAX_LAYERS)
    hidden, output = (reader.integer(f"the {which} function (0 or 1)", 0, 1) for which in ("hidden", "output"))
    layers = tuple(_finite(reader, "the weights of a layer").astype(np.float64) for _ in range(n_layers))
    return FullyConnected(layers, hidden == 0, output == 0)


def _read_cnn(reader: ByteReader) -> Network:
    n_layers = reader.integer("the number of layers", 1, _MAX_LAYERS)
    return Convolutional(tuple(_read_layer(reader) for _ in range(n_layers)))


def _read_layer(reader: ByteReader) -> Convolution | Subsampling | Dense:
    kind = reader.integer("the kind of a layer (0 convolution, 1 subsampling, 2 fully connected)", 0, 2)
    if kind == _SUBSAMPLING:
        return Subsampling(reader.integer("the scale of a subsampling", 1, 1000))
    if kind == _DENSE:
        bias = reader.number("the bias of a layer", -1e30, 1e30, "f")
        return Dense(_finite(reader, "the weights of a layer").astype(np.float32), bias)
    n_inputs = reader.integer("the number of input maps", 1, _MAX_MAPS)
    n_kernels = reader.integer("the number of kernels", 1, _MAX_MAPS)
    biases = np.array(reader.records(np.dtype("<f4"), n_kernels, "the biases of the kernels"))
    kernels = [[_finite(reader, "a kernel") for _ in range(n_kernels)] for _ in range(n_inputs)]
    if len({kernel.shape for row in kernels for kernel in row}) > 1:
        raise reader.error("the kernels of a layer have different sizes")
    return Convolution(np.array(kernels, dtype=np.float32), biases)


def _read_warp(reader: ByteReader) -> Warp:
    reader.integer("the number of pixels of the warp", 0, _MAX_PIXELS)
    low = np.array([reader.number(f"the smallest {axis} of the warp", -1e6, 1e6) for axis in "xy"])
    destination = _numbers(reader, "the landmarks of the warp")
    if destination.size % 2 or not 0 < destination.size <= 2 * MAX_LANDMARKS:
        raise reader.error(f"the warp has {destination.size} coordinates; expected x and y of every landmark")
    triangles = reader.matrix("the triangles", (None, 3), _INT32).astype(np.int32)
    t = len(triangles)
    if not ((triangles >= 0) & (triangles < destination.size // 2)).all():
        raise reader.error(f"a triangle names a landmark that is not among the {destination.size // 2} of the warp")
    triangle_of = reader.matrix("the triangle of each pixel", code=_INT32).astype(np.int32)
    mask = reader.matrix("the mask", (triangle_of.shape[0], triangle_of.shape[1])) != 0
    if not ((triangle_of[mask] >= 0) & (triangle_of[mask] < t)).all():
        raise reader.error(f"a pixel in the mask lies in none of the {t} triangles")
    alpha, beta = (_finite(reader, f"the {name} of the triangles", (t, 3)) for name in ("alpha", "beta"))
    points = destination.reshape(2, -1).T
    arrays = (low, np.ascontiguousarray(points), triangles, triangle_of, mask, alpha.astype(float), beta.astype(float))
    return read_only_fields(Warp(*arrays))


def _numbers(reader: ByteReader, what: str, size: int | None = None) -> Floats:
    """The values of a row or a column."""
    values = _finite(reader, what)
    if 1 not in values.shape or size not in (None, values.size):
        found = "×".join(map(str, values.shape))
        raise reader.error(f"{what}: found a {found} matrix; expected {size or 'some'} numbers in a row")
    return values.ravel().astype(np.float64)


def _finite(reader: ByteReader, what: str, shape: tuple[Any, Any] = (None, None)) -> Array:
    values: Array = reader.matrix(what, shape)
    if not np.isfinite(values).all():
        raise reader.error(f"{what} holds a number that is not finite")
    return values


def validator_bytes(validator: Validator) -> bytes:
    """The file of a validator, as `read_validator` reads it."""
    kinds = {Linear: _SVR, FullyConnected: _NET, Convolutional: _CNN}
    chunks = [struct.pack("<ii", kinds[type(validator.views[0].network)], len(validator.views))]
    chunks += [binary_matrix(centre[:, None], 6) for centre in validator.view_centres_degrees]
    for view in validator.views:
        chunks += [binary_matrix(values[None], 6) for values in (view.mean, view.deviation)]
        chunks += [_network_bytes(view.network), _warp_bytes(view.warp)]
    return b"".join(chunks)


def _network_bytes(network: Network) -> bytes:
    if isinstance(network, Linear):
        return struct.pack("<d", network.bias) + binary_matrix(network.weights[None], 6)
    if isinstance(network, FullyConnected):
        functions = (not network.logistic_hidden, not network.logistic_output)
        layers = b"".join(binary_matrix(weights, 6) for weights in network.layers)
        return struct.pack("<iii", len(network.layers), *functions) + layers
    assert isinstance(network, Convolutional)
    return struct.pack("<i", len(network.layers)) + b"".join(map(_layer_bytes, network.layers))


def _layer_bytes(layer: Convolution | Subsampling | Dense) -> bytes:
    if isinstance(layer, Subsampling):
        return struct.pack("<ii", _SUBSAMPLING, layer.scale)
    if isinstance(layer, Dense):
        return struct.pack("<if", _DENSE, layer.bias) + binary_matrix(layer.weights, 5)
    kernels = b"".join(binary_matrix(kernel, 5) for row in layer.kernels for kernel in row)
    return struct.pack("<iii", _CONVOLUTION, *layer.kernels.shape[:2]) + layer.biases.tobytes() + kernels


def _warp_bytes(warp: Warp) -> bytes:
    head = struct.pack("<idd", int(warp.mask.sum()), *warp.low.tolist())
    matrices = ((warp.destination.T.ravel()[:, None], 6), (warp.triangles, 4), (warp.triangle_of, 4), (warp.mask, 4))
    weights = ((warp.alpha, 6), (warp.beta, 6))
    return head + b"".join(binary_matrix(matrix, code) for matrix, code in (*matrices, *weights))
