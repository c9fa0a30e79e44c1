"""Where a fit starts: a box, known landmarks, the previous frame, or a perturbation of these.

`clnf_engine.detection` finds the boxes of faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from clnf_engine.arrays import Floats, brief, read_only
from clnf_engine.errors import InitialError
from clnf_engine.model import Model
from clnf_engine.options import Source
from clnf_engine.pdm import (
    centre,
    euler_angles,
    landmarks,
    params_from_box,
    params_from_landmarks,
    rotation_matrix,
)

Box = tuple[float, float, float, float]
"""x, y, width, height in image px, around eyebrows to chin and cheek to cheek."""

Rotation = tuple[float, float, float]
"""rx, ry, rz in radians, of ``R = Rx·Ry·Rz``: pitch, yaw and roll."""

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

    __repr__ = brief

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

    @property
    def rotation(self) -> Rotation:
        """Head rotation, (rx, ry, rz) in radians."""
        rx, ry, rz = self.params[1:4].tolist()
        return rx, ry, rz

    @classmethod
    def unknown(cls, size: int) -> Initial:
        """The start of a recorded run that does not tell it; no fit can run from it.

        Parameters
        ----------
        size : int
            Number of parameters; they are NaN.

        Returns
        -------
        Initial
        """
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


def initial_from_box(model: Model, box: Box, rotation: Rotation = (0.0, 0.0, 0.0)) -> Initial:
    """Start from the mean shape in a box.

    Parameters
    ----------
    model : Model
    box : (x, y, width, height)
        Eyebrows to chin and cheek to cheek, image px; it may reach outside the image.
    rotation : (rx, ry, rz)
        Head rotation, radians.

    Returns
    -------
    Initial
        The mean shape, as large as the box.

    Raises
    ------
    InitialError
        When the box has no size or holds a number that is not finite.

    Examples
    --------
    >>> from clnf_engine import initial_from_box, load_model
    >>> start = initial_from_box(load_model(), (162, 153, 206, 200))
    >>> start.rotation, start.params.shape
    ((0.0, 0.0, 0.0), (32,))
    """
    if len(box) != 4 or not all(math.isfinite(v) for v in box):
        raise InitialError(f"box {tuple(box)}: expected four finite numbers x, y, width, height")
    _check_rotation(rotation)
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

    Returns
    -------
    Initial
        The pose and the shape coefficients whose landmarks are nearest to them, in the least-squares sense.

    Raises
    ------
    InitialError
        When their number is not the model's, one is not finite, or they all lie on a line.

    Examples
    --------
    The end of one fit as the start of another, with other options:

    >>> from clnf_engine import fit, initial_from_landmarks, preset
    >>> from clnf_engine import initials_from_detector, load_model, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> first = fit(gray, model, start)
    >>> again = fit(gray, model, initial_from_landmarks(model, first.landmarks), preset("openface-wild"))
    >>> again.initial.source.value
    'landmarks'
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
        ``[scale, rx, ry, rz, tx, ty, q…]``.

    Returns
    -------
    Initial

    Raises
    ------
    InitialError
        When their number is not the model's, one is not finite, or the scale is not above 0.

    Examples
    --------
    >>> from clnf_engine import fit, initial_from_params
    >>> from clnf_engine import initials_from_detector, load_model, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> end = fit(gray, model, start).steps[-1]
    >>> initial_from_params(model, end.params).source.value
    'previous'
    """
    params = np.asarray(params, dtype=np.float64)
    _check_length(model, params)
    return _with_box_around(model, Initial(params, Source.PREVIOUS, (0.0, 0.0, 0.0, 0.0)))


def turned(model: Model, initial: Initial, rotation: Rotation) -> Initial:
    """The same start with another head rotation.

    The face turns about the centre of its 3D shape, which keeps its place in the image. Scale and shape coefficients
    stay, and so do the box, the source and the seed.

    Parameters
    ----------
    model : Model
    initial : Initial
    rotation : (rx, ry, rz)
        Radians; it takes the place of the start's own.

    Returns
    -------
    Initial

    Raises
    ------
    InitialError
        When the rotation is not three finite numbers, or the start is of a model with another number of modes.

    Examples
    --------
    >>> import math
    >>> from clnf_engine import initial_from_box, load_model, turned
    >>> model = load_model()
    >>> start = initial_from_box(model, (162, 153, 206, 200))
    >>> tilted = turned(model, start, (0, 0, math.radians(20)))  # clockwise in the image
    >>> tilted.box == start.box, tilted.rotation[2] > 0
    (True, True)
    """
    _check_rotation(rotation)
    _check_length(model, initial.params)
    params = initial.params.copy()
    params[1:4] = rotation
    before, after = (rotation_matrix(p[1:4])[:2] for p in (initial.params, params))
    params[4:6] += params[0] * (before - after) @ centre(model.pdm, params)
    return replace(initial, params=params)


def upright_box(model: Model, initial: Initial) -> Box:
    """The box that a start fills once it is turned upright.

    It is the start's own where the start was made from that, as from a given or detected box, and the one around the
    upright landmarks where it was not: the box of a start from landmarks or parameters surrounds the turned face.

    Parameters
    ----------
    model : Model
    initial : Initial

    Returns
    -------
    (x, y, width, height)
        Image px. `turned` turns the face about its centre.

    Raises
    ------
    InitialError
        When the start is of a model with another number of modes.
    """
    upright = turned(model, initial, (0.0, 0.0, 0.0))
    if min(initial.box[2:]) > 0:
        made = params_from_box(model.pdm, initial.box)
        if np.allclose(made, upright.params, rtol=1e-9, atol=1e-9):
            return initial.box
    return box_around(landmarks(model.pdm, upright.params))


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

    Returns
    -------
    Initial

    Raises
    ------
    InitialError
        When the seed is negative, `amount` is not from 0 to below 1, or `rotation` not from 0 to π.

    Examples
    --------
    >>> from clnf_engine import initial_from_box, load_model, perturbed
    >>> model = load_model()
    >>> start = initial_from_box(model, (162, 153, 206, 200))
    >>> other = perturbed(model, start, seed=1)
    >>> other.seed, bool((other.params == perturbed(model, start, seed=1).params).all())
    (1, True)
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


def _check_rotation(rotation: Rotation) -> None:
    if len(rotation) != 3 or not all(math.isfinite(v) for v in rotation):
        raise InitialError(f"rotation {tuple(rotation)}: expected three finite angles rx, ry, rz in radians")


def _check_length(model: Model, params: Floats) -> None:
    if params.shape != (6 + model.pdm.n_modes,):
        raise InitialError(f"parameters have shape {params.shape}; this model expects ({6 + model.pdm.n_modes},)")


def _with_box_around(model: Model, initial: Initial) -> Initial:
    """A start whose box is the one around its landmarks; its parameters are known to be sane by now."""
    return replace(initial, box=box_around(landmarks(model.pdm, initial.params)))


def box_around(points: Floats) -> Box:
    """The smallest box around landmarks, (x, y, width, height) in image px."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y, width, height = (float(v) for v in (*low, *(high - low)))
    return x, y, width, height
