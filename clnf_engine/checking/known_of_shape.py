"""Known mistakes of the shape model: its layout, its rotation, its start and the shapes of a stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.caches import cached_with_owner
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, on
from clnf_engine.nu_rlms import without_hidden_rows
from clnf_engine.pdm import PDM, RIGID, euler_angles, jacobian, rotation_matrix, unposed_shape, update

KNOWN = Known()

_PLACED = "init project base_shape reference_shape jacobian"
"""Operations that read the PDM's mean and modes."""


# --- layout ----------------------------------------------------------------------------------------


@cached_with_owner(maxsize=32)
def _pdm(pdm: PDM, name: str) -> PDM:
    n, m = pdm.n_landmarks, pdm.n_modes
    mean, modes = pdm.mean, pdm.modes
    signs = {"x": (-1, 1, 1), "y": (1, -1, 1), "z": (1, 1, -1)}
    if name == "interleaved":
        return PDM(mean.reshape(n, 3).T.ravel(), modes.reshape(n, 3, m).swapaxes(0, 1).reshape(3 * n, m), pdm.variances)
    if name == "modes_interleaved":
        return replace(pdm, modes=modes.reshape(n, 3, m).swapaxes(0, 1).reshape(3 * n, m))
    if name == "modes_by_column":
        return replace(pdm, modes=modes.reshape(m, 3 * n).T.copy())
    if name == "standardised":
        return replace(pdm, modes=modes * np.sqrt(pdm.variances))
    if name == "by_variance":
        return replace(pdm, modes=modes * pdm.variances)
    if name == "modes_reversed":
        return replace(pdm, modes=modes[:, ::-1].copy())
    if name == "mean_left_out":
        return replace(pdm, mean=np.zeros_like(mean))
    if name == "modes_left_out":
        return replace(pdm, modes=np.zeros_like(modes))
    if name == "flat":
        flat = np.repeat([1.0, 1.0, 0.0], n)
        return replace(pdm, mean=mean * flat, modes=modes * flat[:, None])
    sign = np.repeat(signs[name[0]], n)
    return replace(pdm, mean=mean * sign, modes=modes * sign[:, None])


for _name, _text in {
    "interleaved": "mean and modes of the PDM are read as x, y, z of each landmark",
    "modes_interleaved": "the modes of the PDM are read as x, y, z of each landmark",
    "modes_by_column": "the matrix of modes is read column by column",
    "modes_left_out": "the shape is the mean, without its modes",
    "mean_left_out": "the shape is that of the modes, without the mean",
    "standardised": "the modes are multiplied by their standard deviations",
    "by_variance": "the modes are multiplied by their variances",
    "modes_reversed": "the modes come in reverse order",
    "flat": "the shape has no depth",
    "x_negated": "x of the shape is negated",
    "y_negated": "y of the shape is negated",
    "z_negated": "z of the shape is negated",
}.items():
    KNOWN.add(_PLACED, f"pdm_{_name}", _text, on("pdm", lambda v, name=_name: _pdm(v.pdm, name)))


# --- rotation --------------------------------------------------------------------------------------


def _axis_rotation(axis: str, angle: float) -> Floats:
    angles = np.zeros(3)
    angles["xyz".index(axis)] = angle
    return rotation_matrix(angles)


def _rotation(order: str, signs: tuple[int, ...] = (1, 1, 1)) -> Callable[[Floats], Floats]:
    def rotation(angles: Floats) -> Floats:
        parts = [_axis_rotation(axis, (signs * angles)["xyz".index(axis)]) for axis in order]
        product: Floats = parts[0] @ parts[1] @ parts[2]
        return product

    return rotation


def _transposed(angles: Floats) -> Floats:
    return rotation_matrix(angles).T


def projected(pdm: PDM, params: Floats, rotation: Floats) -> Floats:
    """Landmarks of parameters whose rotation is another, (n, 2)."""
    shape = unposed_shape(pdm, params)
    return np.asarray(params[0] * (rotation[:2] @ shape).T + params[4:6])


def jacobian_of(v: Inputs, rotation: Floats, left: bool = False) -> Array:
    """The Jacobian at a rotation, of small rotations multiplied from the right or from the left."""
    pdm, params = v.pdm, v.params_before
    shape = unposed_shape(pdm, params)
    jac = jacobian(pdm, params, rigid=v.rigid).copy()
    jac[:, 0] = (rotation[:2] @ shape).ravel()
    for k in range(3):
        small = cross(np.eye(3)[k])
        turned = small @ rotation if left else rotation @ small
        jac[:, 1 + k] = params[0] * (turned[:2] @ shape).ravel()
    if not v.rigid:
        modes = pdm.modes.reshape(3, -1)
        jac[:, RIGID:] = params[0] * (rotation[:2] @ modes).reshape(2 * pdm.n_landmarks, -1)
    return without_hidden_rows(jac, v.visible)


def cross(w: Floats) -> Floats:
    return np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])


def _orthogonal(matrix: Floats) -> Floats:
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)


def updated(v: Inputs, rotation: Floats, angles: Callable[[Floats], Floats] = euler_angles) -> Floats:
    result: Floats = update(v.params_before, v.delta)
    result[1:4] = angles(rotation)
    return result


def angles_of(order: str) -> Callable[[Floats], Floats]:
    """Euler angles of a matrix as a product of rotations about the axes in this order."""
    first, second, third = ("xyz".index(axis) for axis in order)
    sign = 1.0 if (first, second, third) in ((0, 1, 2), (1, 2, 0), (2, 0, 1)) else -1.0

    def angles(r: Floats) -> Floats:
        result = np.zeros(3)
        result[second] = math.asin(max(-1.0, min(1.0, sign * r[first, third])))
        result[first] = math.atan2(-sign * r[second, third], r[third, third])
        result[third] = math.atan2(-sign * r[first, second], r[first, first])
        return result

    return angles


def small_rotation(v: Inputs) -> Floats:
    return _orthogonal(np.eye(3) + cross(v.delta[1:4]))


def _add_rotation(
    name: str, text: str, rotation: Callable[[Floats], Floats], angles: Callable[[Floats], Floats]
) -> None:
    def placed(v: Inputs) -> Floats:
        params = v.params if v.operation == "project" else v.params_before
        return projected(v.pdm, params, rotation(params[1:4]))

    KNOWN.add("project base_shape", name, text, placed)
    KNOWN.add("jacobian", name, text, lambda v: jacobian_of(v, rotation(v.params_before[1:4])))
    for read, said in ((angles, text), (euler_angles, f"{text}, but the angles are read as they should be")):
        KNOWN.add(
            "update", name, said,
            lambda v, read=read: updated(v, rotation(v.params_before[1:4]) @ small_rotation(v), read),
        )  # fmt: skip

    def boxed(v: Inputs) -> Floats:
        return _from_box(
            v, projected(v.pdm, np.array([1.0, *v.rotation, 0, 0, *[0.0] * v.pdm.n_modes]), rotation(v.rotation))
        )

    KNOWN.add("init", name, text, boxed)


ORDERS = ["".join(order) for order in permutations("xyz") if "".join(order) != "xyz"]
_add_rotation("rotation_transposed", "the rotation matrix is transposed", _transposed, lambda r: euler_angles(r.T))
for _order in ORDERS:
    _product = "·".join(f"R{axis}" for axis in _order)
    _add_rotation(
        f"rotation_order_{_order}",
        f"the rotation is {_product} instead of Rx·Ry·Rz",
        _rotation(_order),
        angles_of(_order),
    )
for _name, _text, _signs in (
    ("angles_negated", "the angles turn the other way", (-1, -1, -1)),
    ("pitch_negated", "the pitch rx turns the other way", (-1, 1, 1)),
    ("yaw_negated", "the yaw ry turns the other way", (1, -1, 1)),
    ("roll_negated", "the roll rz turns the other way", (1, 1, -1)),
):
    _add_rotation(_name, _text, _rotation("xyz", _signs), lambda r, signs=_signs: euler_angles(r) * signs)


# --- start -----------------------------------------------------------------------------------------


def _from_box(v: Inputs, shape: Floats, scale: Callable[[float, float], float] = lambda a, b: (a + b) / 2) -> Floats:
    x, y, width, height = v.box
    low, high = shape.min(axis=0), shape.max(axis=0)
    extent = high - low
    params = np.zeros(RIGID + v.pdm.n_modes)
    params[0] = scale(width / extent[0], height / extent[1])
    params[1:4] = v.rotation
    params[4:6] = np.array([x + width / 2, y + height / 2]) - params[0] * (low + high) / 2
    return params


def _mean_shape(v: Inputs, turned: bool = True) -> Floats:
    params = np.zeros(RIGID + v.pdm.n_modes)
    params[0] = 1.0
    params[1:4] = v.rotation if turned else 0.0
    return projected(v.pdm, params, rotation_matrix(params[1:4]))


@KNOWN.at("init", "the size of the mean shape is taken before it is turned")
def box_of_the_unturned_shape(v: Inputs) -> Floats:
    return _from_box(v, _mean_shape(v, turned=False))


for _name, _text, _rule in (
    ("scale_from_width", "the scale is that of the width alone", lambda a, b: a),
    ("scale_from_height", "the scale is that of the height alone", lambda a, b: b),
    ("scale_smaller", "the scale is the smaller of those of width and height", min),
    ("scale_larger", "the scale is the larger of those of width and height", max),
    ("scale_geometric", "the scale is the geometric mean of those of width and height", lambda a, b: math.sqrt(a * b)),
):
    KNOWN.add("init", _name, _text, lambda v, rule=_rule: _from_box(v, _mean_shape(v), rule))


def _placed(v: Inputs, centre: Floats) -> Floats:
    params: Floats = v.out.copy()
    params[4:6] = centre
    return params


KNOWN.add(
    "init", "centre_of_the_box", "the translation is the centre of the box; the middle of the mean shape is forgotten",
    lambda v: _placed(v, np.array([v.box[0] + v.box[2] / 2, v.box[1] + v.box[3] / 2])),
)  # fmt: skip
KNOWN.add(
    "init", "corner_of_the_box", "the corner of the box is taken for its centre",
    lambda v: _placed(v, v.out[4:6] - np.array(v.box[2:]) / 2),
)  # fmt: skip
for _name, _text, _size in (
    (
        "scale_of_the_diagonal",
        "the scale is the ratio of the diagonals",
        lambda a, b, extent: math.hypot(a, b) / math.hypot(*extent),
    ),
    (
        "scale_of_the_area",
        "the scale is the root of the ratio of the areas",
        lambda a, b, extent: math.sqrt(a * b / math.prod(extent)),
    ),
    ("scale_of_the_sums", "the scale is the ratio of width + height", lambda a, b, extent: (a + b) / sum(extent)),
):
    KNOWN.add("init", _name, _text, lambda v, size=_size: _sized(v, size))


def _sized(v: Inputs, size: Callable[..., float]) -> Floats:
    extent = np.ptp(_mean_shape(v), axis=0)
    return _from_box(v, _mean_shape(v), lambda a, b: size(v.box[2], v.box[3], extent))


KNOWN.add(
    "init", "mean_point_at_the_centre", "the mean of the landmarks is put in the middle of the box",
    lambda v: _placed(v, np.array(v.box[:2]) + np.array(v.box[2:]) / 2 - v.out[0] * _mean_shape(v).mean(axis=0)),
)  # fmt: skip
KNOWN.add("init", "rotation_left_out", "the start is not turned", on("rotation", lambda v: np.zeros(3)))


# --- shapes of a stage -----------------------------------------------------------------------------


def _reference(v: Inputs, **parts: Any) -> Floats:
    params = np.concatenate([[v.patch_scaling, 0, 0, 0, 0, 0], v.params_before[RIGID:]])
    for place, value in parts.values():
        params[place] = value
    return projected(v.pdm, params, rotation_matrix(params[1:4]))


@KNOWN.at("reference_shape", "the reference shape is turned like the face")
def reference_shape_turned(v: Inputs) -> Floats:
    return _reference(v, rotation=(slice(1, 4), v.params_before[1:4]))


@KNOWN.at("reference_shape", "the reference shape is moved like the face")
def reference_shape_moved(v: Inputs) -> Floats:
    return _reference(v, translation=(slice(4, 6), v.params_before[4:6]))


@KNOWN.at("reference_shape", "the reference shape has the size of the face")
def reference_shape_of_the_faces_size(v: Inputs) -> Floats:
    return _reference(v, scale=(0, v.params_before[0]))


@KNOWN.at("reference_shape", "the reference shape is the mean shape")
def reference_shape_of_the_mean(v: Inputs) -> Floats:
    return _reference(v, modes=(slice(RIGID, None), 0.0))


@KNOWN.at("base_shape", "the base shape is that of the start of the fit")
def base_shape_of_the_start(v: Inputs) -> Floats:
    return np.asarray(v.trace.steps[0].landmarks)
