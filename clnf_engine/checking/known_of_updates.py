"""Known mistakes of the Jacobian, of the update and of the bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, on, right_with
from clnf_engine.checking.known_of_shape import (
    ORDERS,
    angles_of,
    cross,
    jacobian_of,
    projected,
    small_rotation,
    updated,
)
from clnf_engine.checking.mistakes import Mistake
from clnf_engine.deviations import forward_difference_columns, transposed_euler_angles
from clnf_engine.nu_rlms import without_hidden_rows
from clnf_engine.pdm import PDM, RIGID, clamp, rotation_matrix, update

KNOWN = Known()


# --- Jacobian --------------------------------------------------------------------------------------


@KNOWN.at("jacobian", "the rotation columns are derivatives by the Euler angles")
def euler_derivatives(v: Inputs) -> Array:
    jac: Array = v.out.copy()
    params, step = v.params_before, 1e-6
    for k in range(3):
        ends = []
        for sign in (1, -1):
            beyond = params[1:4].copy()
            beyond[k] += sign * step
            ends.append(projected(v.pdm, params, rotation_matrix(beyond)))
        jac[:, 1 + k] = ((ends[0] - ends[1]) / (2 * step)).T.ravel()
    return without_hidden_rows(jac, v.visible)


@KNOWN.at("jacobian", "the rotation columns are forward differences of a float32 matrix by the Euler angles")
def rotation_jacobian_forward_difference(v: Inputs) -> Array:
    jac: Array = v.out.copy()
    jac[:, 1:4] = forward_difference_columns(v.pdm, v.params_before)
    return without_hidden_rows(jac, v.visible)


@KNOWN.at("jacobian", "the small rotation is multiplied from the left")
def jacobian_from_the_left(v: Inputs) -> Array:
    return jacobian_of(v, rotation_matrix(v.params_before[1:4]), left=True)


def _columns(columns: slice, factor: Callable[[Inputs], float]) -> Callable[[Inputs], Array]:
    def changed(v: Inputs) -> Array:
        jac: Array = v.out.copy()
        jac[:, columns] *= factor(v)
        return jac

    return changed


for _part, _slice in (
    ("scale", slice(0, 1)),
    ("rotation", slice(1, 4)),
    ("translation", slice(4, 6)),
    ("modes", slice(6, None)),
):
    for _how, _words, _factor in (
        ("without_scale", "lack the factor of the scale", lambda v: 1 / v.params_before[0]),
        ("with_scale", "have a factor of the scale too many", lambda v: v.params_before[0]),
        ("negated", "are negated", lambda v: -1.0),
        ("zero", "are left zero", lambda v: 0.0),
        ("halved", "are halved", lambda v: 0.5),
        ("doubled", "are doubled", lambda v: 2.0),
    ):
        KNOWN.add(
            "jacobian", f"{_part}_columns_{_how}", f"the columns of the {_part} {_words}", _columns(_slice, _factor)
        )


def _rotation_column(k: int, sign: float) -> Callable[[Inputs], Array]:
    return _columns(slice(1 + k, 2 + k), lambda v: sign)


for _k, _axis in enumerate("xyz"):
    KNOWN.add("jacobian", f"w{_axis}_negated", f"the column of w{_axis} is negated", _rotation_column(_k, -1.0))
    KNOWN.add("jacobian", f"w{_axis}_zero", f"the column of w{_axis} is left zero", _rotation_column(_k, 0.0))


def _at(place: slice) -> Callable[[Inputs], Floats]:
    def params(v: Inputs) -> Floats:
        result: Floats = v.params_before.copy()
        result[place] = 0.0
        return result

    return params


KNOWN.add(
    "jacobian",
    "jacobian_of_the_mean",
    "the Jacobian is that of the mean shape",
    on("params_before", _at(slice(6, None))),
)
KNOWN.add(
    "jacobian", "jacobian_not_turned", "the Jacobian is that of the frontal pose", on("params_before", _at(slice(1, 4)))
)


@KNOWN.at("jacobian", "the modes are not turned")
def modes_not_turned(v: Inputs) -> Array:
    jac: Array = v.out.copy()
    if not v.rigid:
        upright = v.params_before.copy()
        upright[1:4] = 0.0
        jac[:, RIGID:] = right_with(v, params_before=upright)[:, RIGID:]
    return jac


@KNOWN.at("jacobian", "the rotation and scale columns are those of the mean shape")
def rigid_columns_of_the_mean(v: Inputs) -> Array:
    jac: Array = v.out.copy()
    jac[:, :RIGID] = right_with(v, params_before=_at(slice(6, None))(v))[:, :RIGID]
    return jac


@KNOWN.at("jacobian", "the rotation columns are those of a face without depth")
def rotation_columns_flat(v: Inputs) -> Array:
    jac: Array = v.out.copy()
    flat = replace(v.pdm, mean=v.pdm.mean * _in_plane(v.pdm), modes=v.pdm.modes * _in_plane(v.pdm)[:, None])
    jac[:, 1:4] = right_with(v, pdm=flat)[:, 1:4]
    return jac


def _in_plane(pdm: PDM) -> Floats:
    return np.repeat([1.0, 1.0, 0.0], pdm.n_landmarks)


@KNOWN.at("jacobian", "the scale column is that of the unturned shape")
def scale_column_not_turned(v: Inputs) -> Array:
    jac: Array = v.out.copy()
    jac[:, 0] = right_with(v, params_before=_at(slice(1, 4))(v))[:, 0]
    return jac


@KNOWN.at("jacobian", "rows of landmarks that are not visible are kept")
def hidden_rows_kept(v: Inputs) -> Array:
    return np.asarray(right_with(v, visible=np.ones_like(v.visible)))


@KNOWN.at("jacobian", "the rows are weighted already")
def jacobian_weighted(v: Inputs) -> Array:
    return np.asarray(v.out * np.tile(v.weights, 2)[:, None])


# --- update and clamp ------------------------------------------------------------------------------


@KNOWN.at("update", "the Euler angles are read from the transposed matrix")
def euler_transposed(v: Inputs) -> Floats:
    return update(v.params_before, v.delta, transposed_euler_angles)


@KNOWN.at("update", "the small rotation is multiplied from the left")
def update_from_the_left(v: Inputs) -> Floats:
    return updated(v, small_rotation(v) @ rotation_matrix(v.params_before[1:4]))


@KNOWN.at("update", "the rotation's update is added to the Euler angles")
def angles_added(v: Inputs) -> Floats:
    result: Floats = v.params_before.copy()
    result[: len(v.delta)] += v.delta
    return result


@KNOWN.at("update", "the rotation's update is turned by the rotation and added to the Euler angles")
def angles_added_from_the_left(v: Inputs) -> Floats:
    result = angles_added(v)
    result[1:4] = v.params_before[1:4] + rotation_matrix(v.params_before[1:4]) @ v.delta[1:4]
    return result


@KNOWN.at("update", "the rotation's update is turned back by the rotation and added to the Euler angles")
def angles_added_turned_back(v: Inputs) -> Floats:
    result = angles_added(v)
    result[1:4] = v.params_before[1:4] + rotation_matrix(v.params_before[1:4]).T @ v.delta[1:4]
    return result


@KNOWN.at("update", "the rotation's update is subtracted from the Euler angles")
def angles_subtracted(v: Inputs) -> Floats:
    result = angles_added(v)
    result[1:4] -= 2 * v.delta[1:4]
    return result


@KNOWN.at("update", "the small rotation is not made orthogonal")
def not_orthogonalised(v: Inputs) -> Floats:
    return updated(v, rotation_matrix(v.params_before[1:4]) @ (np.eye(3) + cross(v.delta[1:4])))


@KNOWN.at("update", "the rotation is not updated")
def rotation_kept(v: Inputs) -> Floats:
    return updated(v, rotation_matrix(v.params_before[1:4]))


@KNOWN.at("update", "the small rotation turns the other way")
def rotation_backwards(v: Inputs) -> Floats:
    return updated(v, rotation_matrix(v.params_before[1:4]) @ small_rotation(v).T)


@KNOWN.at("update", "the small rotation is the exponential map of w instead of orth(I + [w]×)")
def exponential_map(v: Inputs) -> Floats:
    return updated(v, rotation_matrix(v.params_before[1:4]) @ _rodrigues(v.delta[1:4]))


@KNOWN.at("update", "the small rotation is made of w taken for Euler angles")
def small_rotation_of_euler_angles(v: Inputs) -> Floats:
    return updated(v, rotation_matrix(v.params_before[1:4]) @ rotation_matrix(v.delta[1:4]))


def _rodrigues(w: Floats) -> Floats:
    angle = float(np.linalg.norm(w))
    if angle == 0:
        return np.eye(3)
    k = cross(w / angle)
    return np.asarray(np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k)


for _order in ORDERS:
    KNOWN.add(
        "update", f"angles_read_{_order}",
        f"the angles are read from the matrix as if it were {'·'.join(f'R{a}' for a in _order)}",
        lambda v, read=angles_of(_order): updated(v, rotation_matrix(v.params_before[1:4]) @ small_rotation(v), read),
    )  # fmt: skip


def _factor_of(v: Inputs) -> float:
    """What an update was multiplied by, told by the translation."""
    recorded = v.moment.recorded["params"]
    moved, step = recorded[4:6] - v.params_before[4:6], v.delta[4:6]
    return float(moved @ step / (step @ step))


for _factor_ in (0.75, 0.5, 0.25, 2.0, 0.9, 0.8, 0.7, 0.6, 0.3, 0.1, 1.5, -1.0):
    KNOWN.add(
        "update", "step_damping" if 0 < _factor_ < 1 else "step_scaled", f"the update is multiplied by {_factor_:g}",
        on("delta", lambda v, factor=_factor_: factor * v.delta),
    )  # fmt: skip
KNOWN.add(
    "update", "step_length_of_its_own", "the update is multiplied by a factor of its own in every iteration",
    on("delta", lambda v: _factor_of(v) * v.delta),
)  # fmt: skip


def _modes_times(power: float) -> Callable[[Inputs], Floats]:
    """The step of the modes, times a power of their variances."""
    return lambda v: np.concatenate(
        [v.delta[:RIGID], v.delta[RIGID:] * v.pdm.variances[: len(v.delta) - RIGID] ** power]
    )


for _power, _text in (
    (0.5, "multiplied by the deviations"),
    (1.0, "multiplied by the variances"),
    (-0.5, "divided by the deviations"),
    (-1.0, "divided by the variances"),
):
    KNOWN.add("update", "modes_standardised", f"the step of the modes is {_text}", on("delta", _modes_times(_power)))


def _parts_of_update(place: slice, text: str, name: str) -> None:
    def kept(v: Inputs) -> Floats:
        result: Floats = v.out.copy()
        result[place] = v.params_before[place]
        return result

    def replaced(v: Inputs) -> Floats:
        result: Floats = v.out.copy()
        end = result[: len(v.delta)][place]
        end[:] = v.delta[place]
        return result

    KNOWN.add("update", f"{name}_kept", f"{text} not updated", kept)
    KNOWN.add("update", f"{name}_replaced", f"{text} replaced by the update instead of added to", replaced)


_parts_of_update(slice(0, 1), "the scale is", "scale")
_parts_of_update(slice(4, 6), "the translation is", "translation")
_parts_of_update(slice(6, None), "the modes are", "modes")


@KNOWN.at("update", "the scale is multiplied by 1 + Δs")
def scale_multiplied(v: Inputs) -> Floats:
    result: Floats = v.out.copy()
    result[0] = v.params_before[0] * (1 + v.delta[0])
    return result


@KNOWN.at("update", "the scale is multiplied by exp(Δs)")
def scale_exponential(v: Inputs) -> Floats:
    result: Floats = v.out.copy()
    result[0] = v.params_before[0] * math.exp(v.delta[0])
    return result


@KNOWN.at("update", "the update of the translation is multiplied by the scale")
def translation_scaled(v: Inputs) -> Floats:
    result: Floats = v.out.copy()
    result[4:6] = v.params_before[4:6] + v.params_before[0] * v.delta[4:6]
    return result


def _bounds(text: str) -> None:
    for sigmas in (1.0, 1.5, 2.0, 2.5, 3.5, 4.0, 5.0):
        KNOWN.add(
            "clamp", "clamp_at_another_multiple", f"the modes are held within {sigmas:g} standard deviations",
            lambda v, by=sigmas: clamp(v.pdm, v.moved, by),
        )  # fmt: skip
    KNOWN.add("clamp", "clamp_missing", text, lambda v: v.moved)


_bounds("nothing is held at a bound")


def _held(v: Inputs, bound: Floats | None, angle: float = math.pi / 2) -> Floats:
    result: Floats = v.moved.copy()
    result[1:4] = np.clip(result[1:4], -angle, angle)
    if bound is not None:
        result[RIGID:] = np.clip(result[RIGID:], -bound, bound)
    return result


KNOWN.add("clamp", "clamp_of_modes_missing", "the modes are not held at a bound", lambda v: _held(v, None))
KNOWN.add(
    "clamp", "clamp_of_angles_missing", "the angles are not held at a bound",
    lambda v: _held(v, v.clamp_sigmas * np.sqrt(v.pdm.variances), np.inf),
)  # fmt: skip
KNOWN.add(
    "clamp", "clamp_by_variance", "the modes are held within their variances instead of standard deviations",
    lambda v: _held(v, v.clamp_sigmas * v.pdm.variances),
)  # fmt: skip
for _angle, _text in ((math.pi / 4, "π/4"), (math.pi / 3, "π/3"), (math.pi / 6, "π/6"), (math.pi, "π"), (1.0, "1")):
    KNOWN.add(
        "clamp", "clamp_of_angles_elsewhere", f"the angles are held within {_text}",
        lambda v, angle=_angle: _held(v, v.clamp_sigmas * np.sqrt(v.pdm.variances), angle),
    )  # fmt: skip


@KNOWN.at("clamp", "all modes are scaled back together when one passes its bound")
def clamp_by_length(v: Inputs) -> Floats:
    result = _held(v, None)
    most = float((np.abs(result[RIGID:]) / np.sqrt(v.pdm.variances)).max(initial=0.0))
    if most > v.clamp_sigmas:
        result[RIGID:] *= v.clamp_sigmas / most
    return result


@KNOWN.at("clamp", "the modes are held within an ellipsoid")
def clamp_by_mahalanobis(v: Inputs) -> Floats:
    result = _held(v, None)
    length = float(np.linalg.norm(result[RIGID:] / np.sqrt(v.pdm.variances)))
    if length > v.clamp_sigmas:
        result[RIGID:] *= v.clamp_sigmas / length
    return result


@KNOWN.at("clamp", "modes that pass their bound are set to zero")
def clamp_to_zero(v: Inputs) -> Floats:
    result = _held(v, None)
    result[RIGID:][np.abs(result[RIGID:]) > v.clamp_sigmas * np.sqrt(v.pdm.variances)] = 0.0
    return result


@KNOWN.at("clamp", "the modes are held from above only")
def clamp_above_only(v: Inputs) -> Floats:
    result = _held(v, None)
    result[RIGID:] = np.minimum(result[RIGID:], v.clamp_sigmas * np.sqrt(v.pdm.variances))
    return result


def angles_not_held(mistake: Mistake) -> Mistake:
    """The same mistake at the modes, with angles that are not held at all."""

    def free(v: Inputs) -> Floats:
        result = np.array(mistake.function(v))
        result[1:4] = v.moved[1:4]
        return result

    return replace(mistake, text=f"{mistake.text}, the angles not at all", function=free)


for _mistake in [mistake for mistake in KNOWN if mistake.operation == "clamp" and "angles" not in mistake.name]:
    KNOWN.append(angles_not_held(_mistake))
