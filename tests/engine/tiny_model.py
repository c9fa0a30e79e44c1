"""A tiny CLNF model made from formulas, and photos it fits: nothing in it comes from a data set.

The face is a point set drawn by hand on a textured plane. An expert's first neuron is the texture as it looks around
its landmark, so the response maps peak where the landmark is, and a fit has something true to find.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clnf_engine import Initial, Model, initial_from_box
from clnf_engine.initial import box_around
from clnf_engine.model import ModelPart, PatchExperts, PatchScale
from clnf_engine.pdm import PDM, landmarks
from clnf_engine.validator import Linear, Validator, ValidatorView, Warp

Floats = NDArray[np.float64]

N = 68
SUPPORT = 11
WINDOWS = (7, 9, 11)
SCALES = (0.25, 0.35)
VIEW_CENTRES_DEGREES = np.array([[0.0, 0.0, 0.0], [0.0, 30.0, 0.0]])
CERTAINTY = -0.75
"""What the validator of the tiny model with parts says of everything."""
INVISIBLE = (0, 1, 2, 3, 4, 5, 17, 18, 36, 41)
"""Landmarks without an expert in the second view."""
TRUE_GLOBAL = (0.62, 0.0, 0.0, 0.12, 71.0, 76.0)
"""Where the face of `tiny_image` is."""


def _points() -> Floats:
    """Mean shape, (68, 3): x right, y down, z away from the viewer; about millimetres."""
    points = []
    for k in range(17):  # jaw, ear to ear
        a = math.pi * k / 16
        points.append((-70 * math.cos(a), -10 + 88 * math.sin(a), 45 * math.cos(a) ** 2))
    for side in (-1, 1):  # brows
        for k in range(5):
            outward = (4 - k if side < 0 else k) / 4
            points.append((side * (16 + 42 * outward), -46 - 8 * math.sin(math.pi * outward), -6 + 14 * outward))
    for k in range(4):  # bridge of the nose
        points.append((0.0, -26 + 13 * k, -12 - 7 * k))
    for k in range(5):  # base of the nose
        points.append((8.0 * (k - 2), 22 + 2 * math.cos((k - 2) * 0.8), -20 - 3 * math.cos((k - 2) * 0.8)))
    for cx in (-34.0, 34.0):  # eyes
        for k in range(6):
            a = math.pi + math.pi * k / 3
            points.append((cx + 14 * math.cos(a), -27 + 6 * math.sin(a), 2.0))
    for count, rx, ry in ((12, 27.0, 12.0), (8, 19.0, 4.0)):  # lips
        for k in range(count):
            a = math.pi + 2 * math.pi * k / count
            points.append((rx * math.cos(a), 45 + ry * math.sin(a), -8 + 10 * math.cos(a) ** 2))
    array = np.array(points)
    return array - array.mean(axis=0)


def _pdm() -> PDM:
    points = _points()
    jaw, brows, lower_lip = np.zeros(N), np.zeros(N), np.zeros(N)
    jaw[:17], brows[17:27], lower_lip[[*range(55, 60), *range(65, 68)]] = 1, 1, 1
    zero, chin = np.zeros(N), np.sin(np.pi * np.arange(N) / 16) ** 4 * jaw
    columns = [
        (points[:, 0] * jaw / 70, zero, zero),  # wide or narrow jaw
        (zero, lower_lip + chin, zero),  # open mouth
        (zero, -brows, 0.2 * brows),  # raised brows
        (0.2 * np.abs(points[:, 1]) / 50, zero, points[:, 0] / 70 * jaw),  # crooked
    ]
    q, r = np.linalg.qr(np.array([np.concatenate(column) for column in columns]).T)
    modes = q * np.sign(np.diag(r))
    return PDM(mean=_frozen(points.T.ravel()), modes=_frozen(modes), variances=_frozen(np.array([160.0, 90, 50, 20])))


def texture(u: Floats, v: Floats) -> Floats:
    """Grey level of the face at (u, v), model units: a sum of waves 30 to 130 units long."""
    rng = np.random.default_rng(20)
    total = np.full(np.broadcast(u, v).shape, 128.0)
    for _ in range(16):
        direction, length, phase = rng.uniform(0, np.pi), rng.uniform(30, 130), rng.uniform(0, 2 * np.pi)
        wave = 2 * np.pi / length
        total += 7.5 * np.cos(wave * (np.cos(direction) * u + np.sin(direction) * v) + phase)
    return total


def _experts(points: Floats, patch_scaling: float, view: int) -> PatchExperts:
    steps = np.arange(SUPPORT) - (SUPPORT - 1) / 2
    narrow = math.cos(math.radians(VIEW_CENTRES_DEGREES[view, 1]))
    du, dv = steps[None, :] / (patch_scaling * narrow), steps[:, None] / patch_scaling
    n = len(points)
    visible = np.ones(n, dtype=bool)
    if view == 1:
        visible[list(INVISIBLE)] = False
    weights = np.zeros((n, 3, SUPPORT, SUPPORT), dtype=np.float32)
    norm_weights, bias, alpha = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3))
    neurons, betas, confidence = np.zeros(n, dtype=np.int64), np.zeros((n, 2)), np.zeros(n)
    for i in np.flatnonzero(visible):
        u, v = points[i, 0] + du, points[i, 1] + dv
        look = texture(u, v)
        candidates = (
            (look, 9 + 0.1 * (i % 5), -5.0, 1.2),
            (texture(u + 4, v) - texture(u - 4, v) + 0.3 * look, 4.0, -1.0 - 0.1 * (i % 3), 0.4),
            (look[::-1], 2.0, 0.5, 5e-5),  # below the threshold: silent, but counted in the sum of the alphas
        )
        neurons[i] = 1 + i % 3
        for k, neuron in enumerate(candidates[: neurons[i]]):
            weights[i, k], norm_weights[i, k], bias[i, k], alpha[i, k] = neuron
        betas[i] = 0.15 + 0.05 * (i % 4), 0.3 * (i % 3)
        confidence[i] = 0.4 + 0.1 * (i % 6)
    arrays = (visible, weights, norm_weights, bias, alpha, neurons, betas, confidence)
    return PatchExperts(*(_frozen(array) for array in arrays))


def _grid_laplacian(window: int, neighbours: tuple[tuple[int, int], ...], sign: int) -> NDArray[np.float32]:
    """``D + sign·A`` of the grid graph; positive semi-definite for both signs."""
    matrix = np.zeros((window**2, window**2), dtype=np.float32)
    for row in range(window):
        for col in range(window):
            for dr, dc in neighbours:
                r, c = row + dr, col + dc
                if 0 <= r < window and 0 <= c < window:
                    matrix[row * window + col, row * window + col] += 1
                    matrix[row * window + col, r * window + c] += sign
    return matrix


def sigma_components(window: int) -> NDArray[np.float32]:
    """One component that smooths over direct neighbours, one that sharpens against diagonal ones."""
    smooth = _grid_laplacian(window, ((0, 1), (1, 0), (0, -1), (-1, 0)), -1)
    sharpen = _grid_laplacian(window, ((1, 1), (1, -1), (-1, 1), (-1, -1)), 1)
    return _frozen(np.stack([smooth, sharpen]))


@lru_cache(maxsize=1)
def tiny_model() -> Model:
    """68 landmarks, 4 modes, 2 scales, 2 views, the second of which does not see `INVISIBLE`."""
    points = _points()
    components = {window: sigma_components(window) for window in WINDOWS}
    scales = tuple(
        PatchScale(
            patch_scaling=scaling,
            view_centres_degrees=_frozen(VIEW_CENTRES_DEGREES.copy()),
            views=tuple(_experts(points, scaling, view) for view in range(2)),
            sigma_components=components,
        )
        for scaling in SCALES
    )
    triangles = _frozen(np.array([[0, 1, 36], [30, 31, 35], [48, 51, 54]], dtype=np.int32))
    return Model(name="tiny", pdm=_pdm(), scales=scales, triangulations=(triangles, triangles[:2]))


def _part(name: str, points: Floats, pairs: list[tuple[int, int]]) -> ModelPart:
    """A part of the tiny face: its points in the face's own frame, and two modes that make it wider and higher."""
    n, scaling = len(points), SCALES[0]
    columns = [np.concatenate([points[:, 0] - points[:, 0].mean(), np.zeros(2 * n)]) / n]
    columns.append(np.concatenate([np.zeros(n), points[:, 1] - points[:, 1].mean(), np.zeros(n)]) / n)
    modes = np.ascontiguousarray(np.array([column / np.linalg.norm(column) for column in columns]).T)
    mean = (points - points.mean(axis=0)).T.ravel()
    pdm = PDM(_frozen(mean), _frozen(modes), _frozen(np.array([40.0, 20])))
    experts = replace(_experts(points, scaling, 0), betas=_frozen(np.zeros((n, 0))))  # as those of OpenFace's eyes
    scale = PatchScale(scaling, _frozen(VIEW_CENTRES_DEGREES[:1].copy()), (experts,), {})
    return ModelPart(name, _frozen(np.array(pairs)), Model(name=f"tiny_{name}", pdm=pdm, scales=(scale,)))


@lru_cache(maxsize=1)
def tiny_model_with_parts() -> Model:
    """The tiny model with OpenFace's parts, which share its landmarks as OpenFace's do, and a validator that agrees."""
    points, parts = _points(), []
    parts.append(_part("inner", points[17:], [(17 + k, k) for k in range(51)]))
    for name, first in (("left_eye_28", 36), ("right_eye_28", 42)):
        lid = points[first : first + 6]
        middle = lid.mean(axis=0)
        between = (lid + np.roll(lid, -1, axis=0)) / 2
        circle = np.array([(np.cos(a), np.sin(a), 0.0) for a in 2 * np.pi * np.arange(8) / 8])
        eye = np.array(
            [*(middle + 7 * circle), *np.stack([lid, between], axis=1).reshape(12, 3), *(middle + 3 * circle)]
        )
        eye[:, 2] += (
            eye[:, 0] - middle[0]
        ) ** 2 / 20  # round: of flat points nobody can tell which way they are turned
        parts.append(_part(name, eye, [(first + k, 8 + 2 * k) for k in range(6)]))
    inside, plane = np.ones((2, 2), dtype=bool), np.array([[0.0, 0.1, 0.0]])
    warp = Warp(
        np.zeros(2),
        np.zeros((N, 2)),
        np.array([[0, 8, 16]], np.int32),
        np.zeros((2, 2), np.int32),
        inside,
        plane,
        plane,
    )
    view = ValidatorView(np.zeros(4), np.ones(4), Linear(np.zeros(4), CERTAINTY), warp)
    return replace(tiny_model(), name="parted", parts=tuple(parts), validator=Validator(np.zeros((1, 3)), (view,)))


def micro_model() -> Model:
    """Three landmarks, 3×3 neurons, windows 3 and 5: files of a few hundred bytes."""
    rng = np.random.default_rng(3)
    mean = np.array([-10.0, 10, 0, -5, -5, 12, 0, 1, -2])
    modes, _ = np.linalg.qr(rng.normal(size=(9, 2)))
    pdm = PDM(_frozen(mean), _frozen(modes), _frozen(np.array([4.0, 1.5])))
    views = []
    for visible in ([True, True, True], [True, False, True]):
        neurons = np.where(visible, [2, 1, 1], 0)
        present = np.arange(2) < neurons[:, None]  # True where there is a neuron
        views.append(
            PatchExperts(
                visible=_frozen(np.array(visible)),
                weights=_frozen(
                    np.where(present[..., None, None], rng.normal(size=(3, 2, 3, 3)), 0).astype(np.float32)
                ),
                norm_weights=_frozen(np.where(present, rng.normal(size=(3, 2)), 0)),
                bias=_frozen(np.where(present, rng.normal(size=(3, 2)), 0)),
                alpha=_frozen(rng.uniform(0.1, 2, size=(3, 2)) * present),
                neurons=_frozen(neurons),
                betas=_frozen(rng.uniform(0.1, 1, size=(3, 1)) * present[:, :1]),
                patch_confidence=_frozen(rng.uniform(0.1, 1, size=3) * present[:, 0]),
            )
        )
    components = {3: sigma_components(3)[:1]}
    scale = PatchScale(0.25, _frozen(VIEW_CENTRES_DEGREES.copy()), tuple(views), components)
    return Model(name="micro", pdm=pdm, scales=(scale,))


def with_experts(model: Model, **changes: Floats) -> Model:
    """A copy of a model whose experts, in every view and scale, have some arrays replaced."""
    scales = tuple(replace(s, views=tuple(replace(v, **changes) for v in s.views)) for s in model.scales)
    return replace(model, scales=scales)


def one_view(model: Model) -> Model:
    """The model with its first view only."""
    scales = (replace(s, view_centres_degrees=s.view_centres_degrees[:1], views=s.views[:1]) for s in model.scales)
    return replace(model, scales=tuple(scales))


def true_params() -> Floats:
    """Parameters of the face in `tiny_image`."""
    return np.concatenate([TRUE_GLOBAL, np.zeros(tiny_model().pdm.n_modes)])


def true_landmarks() -> Floats:
    """Landmarks of the face in `tiny_image`, image px."""
    return landmarks(tiny_model().pdm, true_params())


@lru_cache(maxsize=1)
def tiny_image() -> NDArray[np.uint8]:
    """The textured face, scaled, turned in the plane and shifted, (150, 144) uint8."""
    scale, _, _, angle, tx, ty = TRUE_GLOBAL
    y, x = np.mgrid[0:150, 0:144].astype(float)
    x, y = (x - tx) / scale, (y - ty) / scale
    u, v = math.cos(angle) * x + math.sin(angle) * y, -math.sin(angle) * x + math.cos(angle) * y
    return _frozen(np.clip(np.rint(texture(u, v)), 0, 255).astype(np.uint8))


def start(
    dx: float = 4.0, dy: float = -3.0, stretch: float = 1.05, rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Initial:
    """A start from a box that misses the face of `tiny_image` by a few pixels."""
    x, y, width, height = box_around(true_landmarks())
    return initial_from_box(tiny_model(), (x + dx, y + dy, width * stretch, height * stretch), rotation)


def _frozen(array: NDArray) -> NDArray:
    array.flags.writeable = False
    return array
