"""Annotated faces: a folder of images, each with a ``.pts`` file of 68 landmarks and perhaps ``.xyz`` depth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, read_only
from clnf_engine.errors import ClnfError, LandmarkFileError
from clnf_engine.ibug68 import N_LANDMARKS, eye_distance
from clnf_engine.io.files import read_text
from clnf_engine.io.images import read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.model import Model

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Kinds of image looked for beside a ``.pts`` file, in this order."""

_MIN_EYE_DISTANCE = 10.0
"""Smallest distance of the outer eye corners that leaves something to learn from, px."""

_MAX_DEPTH_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Face:
    """One annotated face.

    Attributes
    ----------
    name : str
        The stem of its files.
    image : Path
    points : (68, 2) float64
        Image px, pixel centres at integers.
    depth : (68,) float64 or None
        In the same px, smaller is nearer.
    """

    name: str
    image: Path
    points: Floats
    depth: Floats | None = None

    @property
    def eye_distance(self) -> float:
        """Distance of the outer eye corners, px."""
        return eye_distance(self.points)

    def gray(self) -> NDArray[np.uint8]:
        """Grey levels of the image, (H, W)."""
        return read_image(self.image).gray


@dataclass(frozen=True, eq=False)
class Annotations:
    """What a folder holds.

    Attributes
    ----------
    faces : tuple of Face
        Sorted by name.
    skipped : tuple of str
        For each annotation that cannot be used, one sentence that names its file and says why.
    """

    faces: tuple[Face, ...]
    skipped: tuple[str, ...] = ()


def read_annotations(folder: str | os.PathLike[str]) -> Annotations:
    """Read every annotated face of a folder.

    A face is a file ``NAME.pts`` beside ``NAME.jpg`` (or another kind of image); ``NAME.xyz``, one line "x y z" per
    landmark, adds depth. What cannot be used is skipped and told.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    Annotations

    Raises
    ------
    ClnfError
        When the folder cannot be read or holds no usable face.
    """
    folder = Path(folder)
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".pts")
    except OSError as error:
        raise ClnfError(f"{folder}: cannot be read as a folder of faces ({error.strerror})") from error
    faces, skipped = [], []
    for file in files:
        try:
            faces.append(_read_face(file))
        except ClnfError as error:
            skipped.append(str(error).removeprefix(f"{folder}{os.sep}"))
    if not faces:
        found = f"none of its {len(files)} .pts files can be used; first: {skipped[0]}" if files else "no .pts files"
        raise ClnfError(f"{folder}: {found}; expected images, each with a .pts file of its name")
    return Annotations(tuple(faces), tuple(skipped))


def select(faces: Sequence[Face], names: Sequence[str]) -> tuple[Face, ...]:
    """The faces of these names, in the order of `faces`.

    Raises
    ------
    ClnfError
        When a name is not among them.
    """
    missing = sorted(set(names) - {face.name for face in faces})
    if missing:
        raise ClnfError(f"{len(missing)} of the faces asked for are not there; first: {missing[0]}")
    return tuple(face for face in faces if face.name in set(names))


def expect_same_landmarks(model: Model) -> None:
    """Raise when a model cannot be compared with annotated faces.

    Raises
    ------
    ClnfError
        When the model has another number of landmarks.
    """
    if model.n_landmarks != N_LANDMARKS:
        raise ClnfError(f"{model.name} has {model.n_landmarks} landmarks; the faces have {N_LANDMARKS}")


def resized(image: NDArray[np.uint8], points: Floats, size: float) -> tuple[NDArray[np.uint8], Floats]:
    """An image and its landmarks at another size.

    Parameters
    ----------
    image : (H, W) uint8
    points : (n, 2) or (n, 3) float64
        Px, pixel centres at integers.
    size : float
        Of the new image, as a share of its own.
    """
    if size == 1:
        return image, points
    kind = cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC
    height, width = (max(round(side * size), 1) for side in image.shape)
    shares = np.array([width / image.shape[1], height / image.shape[0]])
    there = (points[:, :2] + 0.5) * shares - 0.5
    picture = np.asarray(cv2.resize(image, (width, height), interpolation=kind), np.uint8)
    return picture, np.column_stack([there, size * points[:, 2:]])


def _read_face(file: Path) -> Face:
    if len(file.stem.splitlines()) > 1:
        raise LandmarkFileError(file, "", "has a line break in its name, which no list of faces can hold")
    image = next((path for suffix in IMAGE_SUFFIXES if (path := file.with_suffix(suffix)).is_file()), None)
    if image is None:
        raise LandmarkFileError(file, "", f"there is no image {file.stem}{IMAGE_SUFFIXES[0]} (or .png, …) beside it")
    points = read_pts(file)
    if len(points) != N_LANDMARKS:
        raise LandmarkFileError(file, "", f"has {len(points)} points; expected {N_LANDMARKS}")
    depth_file = file.with_suffix(".xyz")
    depth = _read_depth(depth_file) if depth_file.exists() else None
    face = Face(file.stem, image, read_only(points), depth)
    if face.eye_distance < _MIN_EYE_DISTANCE:
        raise LandmarkFileError(
            file, "", f"its outer eye corners are {face.eye_distance:.3g} px apart; expected {_MIN_EYE_DISTANCE:g} px"
        )
    height, width = face.gray().shape
    if not ((points.mean(axis=0) >= 0) & (points.mean(axis=0) < (width, height))).all():
        raise LandmarkFileError(file, "", f"its landmarks are not in the image of {width}×{height} px")
    return face


def _read_depth(file: Path) -> Floats:
    expected = f"{N_LANDMARKS} lines of three finite numbers x y z"
    text = read_text(file, expected, _MAX_DEPTH_BYTES, LandmarkFileError)
    try:
        values = np.array([line.split() for line in text.splitlines() if line.strip()], dtype=np.float64)
        good = values.shape == (N_LANDMARKS, 3) and bool(np.isfinite(values).all())
    except ValueError:
        good = False
    if not good:
        raise LandmarkFileError(file, "", f"expected {expected}")
    return read_only(values[:, 2].copy())
