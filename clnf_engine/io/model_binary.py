"""The binary files of OpenFace's models: CCNF patch experts of all views at one scale, little-endian.

A file is never believed: every size is checked against the bytes that are left before anything is allocated.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only
from clnf_engine.io.byte_reader import ByteReader, binary_matrix
from clnf_engine.io.model_text import MAX_LANDMARKS
from clnf_engine.model import PatchExperts, PatchScale

_EXPERT_TAG = 5
_NEURON_TAG = 2
_MAX_VIEWS = 1_000
_MAX_WINDOWS = 100
_MAX_WINDOW = 51
_MAX_SUPPORT = 101
_MAX_NEURONS = 1_000
_MAX_DEGREES = 360.0
_MAX_PADDING = 16
"""Padding all experts to the largest may not make them take more than so many times the file's size…"""
_MIN_PADDED = 1 << 24
"""…unless that is less than so many bytes…"""
_MAX_PADDED = 1 << 29
"""…and never more than so many."""


def read_patch_scale(path: str | os.PathLike[str]) -> PatchScale:
    """Read a CCNF binary: the patch experts of all views at one scale.

    Raises
    ------
    ModelFileError
        When the file is truncated, corrupt, foreign, or has experts of different sizes.
    """
    reader = ByteReader(Path(path))
    patch_scaling = reader.number("patch scaling", 1e-3, 1e3, hint=": is this a CCNF file?")
    n_views = reader.integer("the number of views", 1, _MAX_VIEWS)
    centres = np.array([_read_centre(reader) for _ in range(n_views)])
    visibility = [reader.matrix("a view's visibility", (None, 1), 4).ravel() for _ in range(n_views)]
    n = visibility[0].shape[0]
    if not 1 <= n <= MAX_LANDMARKS or any(v.shape[0] != n for v in visibility):
        raise reader.error("the views' visibilities have no common number of landmarks")
    components: dict[int, NDArray[np.float32]] = {}
    for _ in range(reader.integer("the number of windows", 0, _MAX_WINDOWS)):
        window = reader.integer("a window", 1, _MAX_WINDOW)
        count = reader.integer("the number of Sigma components", 0, 100)
        side = window * window
        matrices = [reader.matrix("a Sigma component", (side, side), 5) for _ in range(count)]
        if not all(np.array_equal(matrix, matrix.T) for matrix in matrices):
            raise reader.error(f"a Sigma component of window {window} is not symmetric")
        components[window] = read_only(np.array(matrices, dtype=np.float32).reshape(count, side, side))
    counts = {q.shape[0] for q in components.values()}
    if len(counts) > 1:
        raise reader.error("windows have different numbers of Sigma components; expected the same for all")
    n_betas = counts.pop() if counts else 0
    experts = [[_read_expert(reader, n_betas) for _ in range(n)] for _ in range(n_views)]
    reader.expect_end()
    supports = {e[0].shape[1:] for view in experts for e in view if e is not None}
    if len(supports) != 1:
        raise reader.error(f"experts have {len(supports)} different sizes; expected one size for all")
    support = supports.pop()
    most = max(e[0].shape[0] for view in experts for e in view if e is not None)
    most_bytes = min(max(_MAX_PADDING * reader.size, _MIN_PADDED), _MAX_PADDED)
    if n_views * n * most * support[0] * support[1] * 4 > most_bytes:
        raise reader.error(f"a single expert has {most} neurons, far more than most; expected about as many for all")
    for v, view in enumerate(experts):
        for i, expert in enumerate(view):
            if visibility[v][i] and expert is None:
                raise reader.error(f"landmark {i} is visible in view {v} but has no neurons")
    return PatchScale(
        patch_scaling=patch_scaling,
        view_centres_degrees=read_only(centres),
        views=tuple(
            _stack(view, visible != 0, support, n_betas) for view, visible in zip(experts, visibility, strict=True)
        ),
        sigma_components=components,
    )


def _read_centre(reader: ByteReader) -> NDArray[np.float64]:
    centre = reader.matrix("a view's centre", (3, 1), 6).ravel()
    if not (np.abs(centre) <= _MAX_DEGREES).all():  # NaN is not either
        raise reader.error(f"a view's centre is {centre.tolist()}; expected angles of at most {_MAX_DEGREES:g} degrees")
    return centre


_Expert = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], float]
"""weights (k, h, w), columns norm_weights/bias/alpha (k, 3), betas (C,), patch confidence."""


def _read_expert(reader: ByteReader, n_betas: int) -> _Expert | None:
    reader.tag(_EXPERT_TAG, "a CCNF patch expert")
    width = reader.integer("a patch expert's width", 1, _MAX_SUPPORT)
    height = reader.integer("a patch expert's height", 1, _MAX_SUPPORT)
    k = reader.integer("a patch expert's number of neurons", 0, _MAX_NEURONS)
    if k == 0:
        reader.integer("the end of an empty patch expert", -(1 << 31), (1 << 31) - 1)
        return None
    neurons = reader.records(_neuron_dtype(height, width), k, "neurons")
    for name, value, what in (
        ("tag", _NEURON_TAG, "a neuron's tag"),
        ("kind", 0, "a neuron's kind (0 = intensity)"),
        ("rows", height, "a neuron's rows"),
        ("cols", width, "a neuron's columns"),
        ("type", 5, "a neuron's matrix type (5 = float32)"),
    ):
        wrong = np.flatnonzero(neurons[name] != value)
        if wrong.size:
            raise reader.error(f"{what} is {neurons[name][wrong[0]]}; expected {value}")
    numbers = np.stack([neurons["norm_weights"], neurons["bias"], neurons["alpha"]], axis=1)
    weights = neurons["weights"]
    tail = reader.records(np.dtype("<f8"), n_betas + 1, "betas and patch confidence")
    if not (np.isfinite(numbers).all() and np.isfinite(weights).all() and np.isfinite(tail).all()):
        raise reader.error("a patch expert holds a number that is not finite")
    if (numbers[:, 2] < 0).any() or not numbers[:, 2].sum() > 0 or (tail[:-1] < 0).any():
        raise reader.error("a patch expert's alphas or betas are negative or all zero; Sigma would not exist")
    return weights, numbers, tail[:-1], float(tail[-1])


def _neuron_dtype(height: int, width: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("tag", "<i4"),
            ("kind", "<i4"),
            ("norm_weights", "<f8"),
            ("bias", "<f8"),
            ("alpha", "<f8"),
            ("rows", "<i4"),
            ("cols", "<i4"),
            ("type", "<i4"),
            ("weights", "<f4", (height, width)),
        ]
    )


def _stack(
    experts: list[_Expert | None], visible: NDArray[np.bool_], support: tuple[int, ...], n_betas: int
) -> PatchExperts:
    n = len(experts)
    neurons = np.array([0 if e is None else e[0].shape[0] for e in experts], dtype=np.int64)
    k = int(neurons.max())
    weights = np.zeros((n, k, *support), dtype=np.float32)
    numbers = np.zeros((3, n, k))
    betas, confidence = np.zeros((n, n_betas)), np.zeros(n)
    for i, expert in enumerate(experts):
        if expert is not None:
            weights[i, : neurons[i]], numbers[:, i, : neurons[i]] = expert[0], expert[1].T
            betas[i], confidence[i] = expert[2], expert[3]
    return PatchExperts(
        visible=read_only(visible),
        weights=read_only(weights),
        norm_weights=read_only(numbers[0]),
        bias=read_only(numbers[1]),
        alpha=read_only(numbers[2]),
        neurons=read_only(neurons),
        betas=read_only(betas),
        patch_confidence=read_only(confidence),
    )


def patch_scale_bytes(scale: PatchScale) -> bytes:
    """The CCNF binary of a scale, as `read_patch_scale` reads it."""
    chunks = [struct.pack("<di", scale.patch_scaling, len(scale.views))]
    chunks += [binary_matrix(centre[:, None], 6) for centre in scale.view_centres_degrees]
    chunks += [binary_matrix(view.visible[:, None], 4) for view in scale.views]
    chunks.append(struct.pack("<i", len(scale.sigma_components)))
    for window, components in scale.sigma_components.items():
        chunks.append(struct.pack("<ii", window, len(components)))
        chunks += [binary_matrix(q, 5) for q in components]
    for view in scale.views:
        height, width = view.support
        for i, k in enumerate(view.neurons.tolist()):
            chunks.append(struct.pack("<iiii", _EXPERT_TAG, width, height, k))
            if k == 0:
                chunks.append(struct.pack("<i", 0))
                continue
            neurons = np.zeros(k, _neuron_dtype(height, width))
            neurons["tag"], neurons["rows"], neurons["cols"], neurons["type"] = _NEURON_TAG, height, width, 5
            neurons["norm_weights"], neurons["bias"] = view.norm_weights[i, :k], view.bias[i, :k]
            neurons["alpha"], neurons["weights"] = view.alpha[i, :k], view.weights[i, :k]
            chunks += [neurons.tobytes(), view.betas[i].tobytes(), struct.pack("<d", view.patch_confidence[i])]
    return b"".join(chunks)
