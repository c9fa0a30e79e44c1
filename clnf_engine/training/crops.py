"""Crops to train a patch expert on: the image around a landmark, as the fit would sample it, from jittered places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats
from clnf_engine.experts import sample_areas
from clnf_engine.ibug68 import TRAINED, mirrored
from clnf_engine.pdm import PDM, params_from_landmarks, upright_shape
from clnf_engine.response import similarity
from clnf_engine.training.annotations import Face
from clnf_engine.training.recipe import Recipe
from clnf_engine.training.views import TurnedFace


def sample_crops(
    faces: Sequence[Face],
    pdm: PDM,
    patch_scaling: float,
    recipe: Recipe,
    landmarks: Sequence[int] = TRAINED,
    flips: Sequence[bool] = (False, True),
) -> tuple[NDArray[np.float32], Floats]:
    """Crops around landmarks of faces and of their mirror images.

    Each is jittered in rotation, scale, sharpness and place, so that experts meet what they will meet in a fit.
    The jitter of a face depends on the recipe's seed and the face's name only, not on the other faces.

    Parameters
    ----------
    faces : sequence of Face
        Photographs or turned copies.
    pdm : PDM
    patch_scaling : float
        Reference px per model unit.
    recipe : Recipe
    landmarks : sequence of int
        Those of one side and the midline by default.
    flips : sequence of bool
        Whether to take the faces as they are (False), their mirror images (True), or both.

    Returns
    -------
    crops : (T, N, side, side) float32
        Grey levels; T landmarks, side = window + support − 1. N is `recipe.copies` for every face and mirror image,
        three times as many for photographs of faces turned by more than `recipe.turned_degrees`, which are rare but
        matter.
    truth : (T, N, 2) float64
        The true landmark from the crop's centre, x and y, reference px.
    """
    side = recipe.training_window + recipe.support - 1
    poses = [params_from_landmarks(pdm, _frontal(face)) for face in faces]
    copies = [recipe.copies * (3 if _is_rare(face, p, recipe) else 1) for face, p in zip(faces, poses, strict=True)]
    crops = np.empty((len(landmarks), len(flips) * sum(copies), side, side), dtype=np.float32)
    truth = np.empty((*crops.shape[:2], 2))
    at = 0
    for face, params, repeats in zip(faces, poses, copies, strict=True):
        rng = np.random.default_rng([recipe.seed, *face.name.encode()])
        gray = face.gray()
        reference = upright_shape(pdm, params, patch_scaling)
        for flip in flips:
            image = np.ascontiguousarray(gray[:, ::-1]) if flip else gray
            points = mirrored(face.points, gray.shape[1]) if flip else face.points
            # The map that a fit standing at the truth would use; a mirror image has the mirrored reference shape.
            to_image = similarity(mirrored(reference) if flip else reference, points)
            for _ in range(repeats):
                linear = to_image @ _jitter(recipe, rng)
                picture = _blurred(image, math.sqrt(abs(np.linalg.det(linear))), rng)
                offsets = _offsets(recipe, len(landmarks), rng)
                centres = points[list(landmarks)] + offsets @ linear.T
                crops[:, at] = sample_areas(picture, centres, linear, (side, side))
                truth[:, at] = -offsets
                at += 1
    return crops, truth


def _frontal(face: Face) -> Floats:
    """The landmarks that tell the shape of a face; those of a turned copy are seen too much from the side for that."""
    return face.photographed if isinstance(face, TurnedFace) else face.points


def _is_rare(face: Face, params: Floats, recipe: Recipe) -> bool:
    return not isinstance(face, TurnedFace) and abs(math.degrees(params[2])) > recipe.turned_degrees


def _jitter(recipe: Recipe, rng: np.random.Generator) -> Floats:
    angle = math.radians(recipe.jitter_degrees) * rng.standard_normal()
    size = math.exp(recipe.jitter_scale * rng.standard_normal())
    c, s = size * math.cos(angle), size * math.sin(angle)
    return np.array([[c, -s], [s, c]])


def _blurred(image: NDArray[np.uint8], pixels: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image, in half of the cases blurred by up to half a reference px (`pixels` image px)."""
    blur, width = rng.random() < 0.5, rng.uniform(0.2, 0.5) * pixels
    if not blur or width < 0.2:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), width, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _offsets(recipe: Recipe, count: int, rng: np.random.Generator) -> Floats:
    """Places of crops from the truth, (count, 2): most within the window, the rest up to a face's width off it."""
    near, far = recipe.training_window // 2, recipe.far_offset
    reach = np.where(rng.random((count, 1)) < recipe.near_share, near, far)
    result: Floats = reach * rng.uniform(-1.0, 1.0, (count, 2))
    return result


def targets(truth: Floats, window: int, bump: float) -> Floats:
    """What an expert should answer: a Gaussian bump of height 1 at the landmark.

    Parameters
    ----------
    truth : (N, 2) float64
        The landmark from the window's centre, x and y, reference px.
    window : int
        Side of the response map.
    bump : float
        Standard deviation, reference px.

    Returns
    -------
    (N, window²) float64
        Row-major.
    """
    grid = np.arange(window) - (window - 1) / 2
    dx, dy = grid - truth[:, :1], grid - truth[:, 1:]
    distance = dy[:, :, None] ** 2 + dx[:, None, :] ** 2
    result: Floats = np.exp(-distance / (2 * bump**2)).reshape(len(truth), -1)
    return result


def patches(crops: Array, support: int) -> NDArray[np.float32]:
    """Every patch of every crop, zero mean and unit norm, so that a product with a unit neuron is its NCC.

    Parameters
    ----------
    crops : (N, side, side) float32
    support : int
        Side of a patch.

    Returns
    -------
    (N·window², support²) float32
        A patch without contrast is zero.
    """
    views = np.lib.stride_tricks.sliding_window_view(crops, (support, support), axis=(1, 2))
    rows = views.reshape(-1, support * support).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    np.divide(rows, norms, out=rows, where=norms > 1e-2 * support)
    rows[norms[:, 0] <= 1e-2 * support] = 0
    return rows
