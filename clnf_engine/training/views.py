"""The copies that views other than the frontal one learn from: made once for all faces, and kept in a folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, read_only
from clnf_engine.errors import ClnfError
from clnf_engine.ibug68 import MIRROR, N_LANDMARKS, TRAINED, mirrored
from clnf_engine.io.files import atomic_write, read_file
from clnf_engine.pdm import PDM, euler_angles, rotation_matrix
from clnf_engine.training.annotations import Face, resized
from clnf_engine.training.recipe import Recipe, View
from clnf_engine.training.turning import pose_of, turned

_SEEN_SHARE = 0.5
"""A view has experts for the landmarks that are seen in at least this share of its copies."""


_SURROUNDINGS = 300.0
"""How much of a photograph around the landmarks is turned with them, model units."""

_FINEST = 2.0
"""Most px per model unit of a copy; a larger photograph is shrunk."""

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class TurnedFace(Face):
    """A turned copy of a face.

    Attributes
    ----------
    photographed : (68, 2) float64
        The landmarks of the face before it was turned, image px; they tell its shape, which turning does not change.
    seen : (68,) bool
        Landmarks that nothing hides.
    """

    photographed: Floats
    seen: NDArray[np.bool_]


def can_be_turned(face: Face, pdm: PDM, recipe: Recipe) -> bool:
    """Whether a face has depth and shows both of its sides: behind a cheek there is nothing to turn forwards."""
    if face.depth is None:
        return False
    yaw = euler_angles(pose_of(_with_depth(face), pdm).rotation)[1]
    return bool(abs(np.degrees(yaw)) <= recipe.most_yaw_to_turn)


def copy_names(face: Face, view: View) -> tuple[str, ...]:
    """Names of the copies of a face for a view: with its mirror image for a view to a side, else alone."""
    name = f"{face.name}_{view.name}"
    return (name,) if view.mirrors_itself else (name, f"{name}_mirrored")


def has_copies(folder: Path, face: Face, recipe: Recipe) -> bool:
    """Whether a folder has all copies of a face."""
    return all((folder / f"{name}.npz").is_file() for view in recipe.views for name in copy_names(face, view))


def write_copies(folder: Path, face: Face, pdm: PDM, recipe: Recipe) -> None:
    """Make the copies of a face for all views that are not in the folder yet.

    The angles of a face depend on the recipe's seed and the face's name only, not on the other faces.

    Parameters
    ----------
    folder : Path
        ``NAME.png`` and ``NAME.npz`` for every name of `copy_names`.
    face : Face
        With depth.
    pdm : PDM
    recipe : Recipe
    """
    photo, points = _portrait(face.gray(), _with_depth(face), pdm)
    for view in recipe.views:
        rng = np.random.default_rng([recipe.seed, *face.name.encode(), *view.name.encode()])
        for flip, name in enumerate(copy_names(face, view)):
            rotation = _rotation(view, recipe, rng)
            if (folder / f"{name}.npz").is_file():
                continue
            image = np.ascontiguousarray(photo[:, ::-1]) if flip else photo
            own = mirrored(points, photo.shape[1]) if flip else points
            copy = turned(image, own, pdm, rotation)
            good, data = cv2.imencode(".png", copy.image)
            if not good:
                raise ClnfError(f"{folder / name}.png: cannot be encoded")
            arrays = io.BytesIO()
            np.savez(arrays, points=copy.points, photographed=own[:, :2], seen=copy.seen)
            atomic_write(folder / f"{name}.png", data.tobytes())
            atomic_write(folder / f"{name}.npz", arrays.getvalue())


def read_copies(folder: Path, faces: Sequence[Face], view: View) -> tuple[TurnedFace, ...]:
    """The copies of faces for a view that `write_copies` left in a folder."""
    return tuple(_read(folder, name) for face in faces for name in copy_names(face, view))


def landmarks_seen(copies: Sequence[TurnedFace], view: View) -> tuple[int, ...]:
    """The landmarks to train in a view: those seen in half of its copies; those of one side where it mirrors itself."""
    share = np.mean([copy.seen for copy in copies], axis=0)
    if not view.mirrors_itself:
        return tuple(i for i in range(N_LANDMARKS) if share[i] >= _SEEN_SHARE)
    return tuple(i for i in TRAINED if share[[i, MIRROR[i]]].mean() >= _SEEN_SHARE)


def _rotation(view: View, recipe: Recipe, rng: np.random.Generator) -> Floats:
    """A random head rotation for a view, (3, 3)."""
    pitch, yaw, roll = rng.standard_normal(3) * (recipe.other_degrees, recipe.other_degrees, recipe.roll_degrees)
    angle = rng.uniform(view.least, view.most)
    if view.yaw:
        yaw = np.sign(view.yaw) * angle
    else:
        pitch = np.sign(view.pitch) * angle
    return rotation_matrix(np.radians([pitch, yaw, roll]))


def _portrait(photo: NDArray[np.uint8], points: Floats, pdm: PDM) -> tuple[NDArray[np.uint8], Floats]:
    """Of a photograph what crops can come from, no finer than they need; the image and the landmarks in it."""
    around = _SURROUNDINGS * pose_of(points, pdm).scale
    (left, top), (right, bottom) = points[:, :2].min(axis=0) - around, points[:, :2].max(axis=0) + around
    left, top = max(int(left), 0), max(int(top), 0)
    part = photo[top : int(bottom) + 1, left : int(right) + 1]
    return resized(part, points - (left, top, 0), min(1.0, _FINEST * _SURROUNDINGS / around))


def _with_depth(face: Face) -> Floats:
    depth = np.full(N_LANDMARKS, np.nan) if face.depth is None else face.depth
    return np.column_stack([face.points, depth])


def _read(folder: Path, name: str) -> TurnedFace:
    data = read_file(folder / f"{name}.npz", "the landmarks of a copy", _MAX_BYTES)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        points, photographed, seen = (read_only(arrays[key]) for key in ("points", "photographed", "seen"))
    return TurnedFace(
        name=name,
        image=folder / f"{name}.png",
        points=read_only(np.ascontiguousarray(points[:, :2])),
        depth=read_only(points[:, 2].copy()),
        photographed=photographed,
        seen=seen,
    )
