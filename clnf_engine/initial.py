"""Where a fit starts: a box, a detected face, known landmarks, the previous frame, or a perturbation of these."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, read_only
from clnf_engine.errors import ClnfError, InitialError
from clnf_engine.model import Model
from clnf_engine.options import Source
from clnf_engine.pdm import euler_angles, landmarks, params_from_box, params_from_landmarks, rotation_matrix

Box = tuple[float, float, float, float]
"""x, y, width, height in image px, around eyebrows to chin and cheek to cheek."""

_MAX_COORDINATE = 1e6
_MAX_SCALE = 1e4
_MIN_ASPECT = 1e-6
"""Landmarks whose smaller extent is a smaller fraction of the larger lie on a line."""


@dataclass(frozen=True, eq=False)
class Initial:
    """The starting point of a fit.

    Attributes
    ----------
    params : (6 + m,) float64
        Read-only; ``[scale, rx, ry, rz, tx, ty, q…]``.
    source : Source
    box : (x, y, width, height)
        Of the face, image px: as given or detected, else around the initial landmarks.
    seed : int or None
        Of the perturbation applied last.
    """

    params: Floats
    source: Source
    box: Box
    seed: int | None = None

    def __post_init__(self) -> None:
        params = np.array(self.params, dtype=np.float64)
        if params.ndim != 1 or params.shape[0] < 6:
            raise InitialError(f"initial parameters have shape {params.shape}; expected (6 + m,)")
        if not np.isfinite(params).all():
            raise InitialError("initial parameters are not all finite numbers")
        if not 0 < params[0] <= _MAX_SCALE:
            raise InitialError(f"initial scale is {params[0]:g}; expected more than 0 and at most {_MAX_SCALE:g}")
        if np.abs(params).max() > _MAX_COORDINATE:
            raise InitialError(f"an initial parameter is larger than {_MAX_COORDINATE:g}")
        object.__setattr__(self, "params", read_only(params))

    @classmethod
    def unknown(cls, size: int) -> Initial:
        """The start of a recorded run that does not tell it: `size` parameters that are NaN; no fit can run from it."""
        start = object.__new__(cls)
        values = {
            "params": read_only(np.full(size, np.nan)),
            "source": Source.PREVIOUS,
            "box": (0.0, 0.0, 0.0, 0.0),
            "seed": None,
        }
        for name, value in values.items():
            object.__setattr__(start, name, value)
        return start

    @property
    def known(self) -> bool:
        """Whether a fit can begin here."""
        return bool(np.isfinite(self.params).all())


def initial_from_box(model: Model, box: Box, rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Initial:
    """Start from the mean shape in a box.

    Parameters
    ----------
    model : Model
    box : (x, y, width, height)
        Eyebrows to chin and cheek to cheek, image px; it may reach outside the image.
    rotation : (rx, ry, rz)
        Head rotation, radians.

    Raises
    ------
    InitialError
        When the box has no size or holds a number that is not finite.
    """
    if len(box) != 4 or not all(math.isfinite(v) for v in box):
        raise InitialError(f"box {tuple(box)}: expected four finite numbers x, y, width, height")
    if len(rotation) != 3 or not all(math.isfinite(v) for v in rotation):
        raise InitialError(f"rotation {tuple(rotation)}: expected three finite angles rx, ry, rz in radians")
    if box[2] <= 0 or box[3] <= 0:
        raise InitialError(f"box has width {box[2]:g} and height {box[3]:g}; expected both above 0")
    x, y, width, height = (float(v) for v in box)
    return Initial(params_from_box(model.pdm, (x, y, width, height), rotation), Source.BOX, (x, y, width, height))


def initial_from_landmarks(model: Model, points: Floats) -> Initial:
    """Start from the parameters nearest to known landmarks.

    Parameters
    ----------
    model : Model
    points : (n, 2) float64
        Image px.

    Raises
    ------
    InitialError
        When their number is not the model's, one is not finite, or they all lie on a line.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (model.n_landmarks, 2):
        raise InitialError(f"landmarks have shape {points.shape}; this model expects ({model.n_landmarks}, 2)")
    if not np.isfinite(points).all() or np.abs(points).max() > _MAX_COORDINATE:
        raise InitialError(f"a landmark is not a finite number below {_MAX_COORDINATE:g}")
    extents = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if not extents[1] > _MIN_ASPECT * extents[0]:
        raise InitialError("the landmarks lie on a line")
    return Initial(params_from_landmarks(model.pdm, points), Source.LANDMARKS, box_around(points))


def initial_from_params(model: Model, params: Floats) -> Initial:
    """Start from parameters, as of the previous frame.

    Parameters
    ----------
    model : Model
    params : (6 + m,) float64
    """
    params = np.asarray(params, dtype=np.float64)
    if params.shape != (6 + model.pdm.n_modes,):
        raise InitialError(f"parameters have shape {params.shape}; this model expects ({6 + model.pdm.n_modes},)")
    return _with_box_around(model, Initial(params, Source.PREVIOUS, (0.0, 0.0, 0.0, 0.0)))


def initials_from_detector(model: Model, image: NDArray[np.uint8]) -> list[Initial]:
    """One start per detected face, the largest face first; none when no face is found."""
    return [replace(initial_from_box(model, box), source=Source.DETECTOR) for box in detect_faces(image)]


def detected_at(model: Model, image: NDArray[np.uint8], box: Box) -> Initial | None:
    """The start at the detected face that overlaps a box most, the larger of equals; None when none does."""
    found = initials_from_detector(model, image)
    best = max(found, default=None, key=lambda initial: _overlap(initial.box, box))
    return best if best is not None and _overlap(best.box, box) > 0 else None


def _overlap(a: Box, b: Box) -> float:
    """Area common to two boxes, px²."""
    sides = [max(0.0, min(a[k] + a[k + 2], b[k] + b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    return sides[0] * sides[1]


def perturbed(model: Model, initial: Initial, seed: int, amount: float = 0.1, rotation: float = 0.0) -> Initial:
    """A seeded random perturbation of a start.

    Parameters
    ----------
    model : Model
    initial : Initial
    seed : int
        The same seed gives the same start.
    amount : float
        Shift per axis, uniform within ± this fraction of the shape's extent, and relative change of scale,
        uniform within ± this fraction.
    rotation : float
        Change of each Euler angle, uniform within ± this, radians.
    """
    if not 0 <= amount < 1:
        raise InitialError(f"perturbation is {amount:g}; expected 0 up to, but not including, 1")
    if not 0 <= rotation <= math.pi:
        raise InitialError(f"perturbation of the rotation is {rotation:g}; expected 0 to pi")
    if seed < 0:
        raise InitialError(f"seed is {seed}; expected 0 or more")
    rng = np.random.default_rng(seed)
    box = np.array(box_around(landmarks(model.pdm, initial.params)))
    shift, stretch = rng.uniform(-amount, amount, 2) * box[2:], rng.uniform(-amount, amount)
    params = initial.params.copy()
    centre = box[:2] + box[2:] / 2
    params[4:6] = centre + shift + (params[4:6] - centre) * (1 + stretch)
    params[0] *= 1 + stretch
    params[1:4] += rng.uniform(-rotation, rotation, 3)
    return _with_box_around(model, replace(initial, params=params, seed=seed))


def moved(
    model: Model,
    initial: Initial,
    roll: float = 0.0,
    yaw: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Initial:
    """A start that is turned, resized and shifted; the middle of the box around its landmarks stays, but for the shift.

    Parameters
    ----------
    model : Model
    initial : Initial
    roll : float
        Turn in the image, radians, clockwise where positive.
    yaw : float
        Turn about the head's own vertical axis, radians.
    scale : float
        Factor on the size, above 0.
    shift : (x, y)
        Shares of the width and the height of the box around its landmarks.

    Raises
    ------
    InitialError
        When the result is no start.
    """
    if not all(math.isfinite(v) for v in (roll, yaw, scale, *shift)) or scale <= 0:
        raise InitialError(
            f"roll {roll:g}, yaw {yaw:g}, scale {scale:g}, shift {shift}: expected finite numbers, scale > 0"
        )
    params = initial.params.copy()
    around, turn = rotation_matrix(np.array([0.0, 0.0, roll])), rotation_matrix(np.array([0.0, yaw, 0.0]))
    params[1:4] = euler_angles(around @ rotation_matrix(params[1:4]) @ turn)
    params[0] *= scale
    before, after = (np.array(box_around(landmarks(model.pdm, p))) for p in (initial.params, params))
    params[4:6] += before[:2] + before[2:] * (0.5 + np.array(shift)) - (after[:2] + after[2:] / 2)
    return _with_box_around(model, replace(initial, params=params))


def _with_box_around(model: Model, initial: Initial) -> Initial:
    """A start whose box is the one around its landmarks; its parameters are known to be sane by now."""
    return replace(initial, box=box_around(landmarks(model.pdm, initial.params)))


def box_around(points: Floats) -> Box:
    """The smallest box around landmarks, (x, y, width, height) in image px."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y, width, height = (float(v) for v in (*low, *(high - low)))
    return x, y, width, height


_local = threading.local()


def detect_faces(image: NDArray[np.uint8]) -> list[Box]:
    """Frontal faces, by OpenCV's Haar cascade, with OpenFace's correction of its box.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels.

    Returns
    -------
    list of (x, y, width, height)
        Largest first, image px, around eyebrows to chin and cheek to cheek.
    """
    # A classifier may not be shared between threads.
    cascade: cv2.CascadeClassifier | None = getattr(_local, "cascade", None)
    if cascade is None:
        file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt.xml"
        cascade = cv2.CascadeClassifier(str(file))
        if cascade.empty():
            raise ClnfError(f"{file}: this installation of OpenCV lacks its Haar cascade")
        _local.cascade = cascade
    faces = cascade.detectMultiScale(image, scaleFactor=1.2, minNeighbors=2, minSize=(50, 50))
    boxes = sorted((tuple(map(float, face)) for face in faces), key=lambda b: (-b[2] * b[3], b))
    return [(x + 0.0578 * w, y + 0.2166 * h, 0.8924 * w, 0.8676 * h) for x, y, w, h in boxes]
