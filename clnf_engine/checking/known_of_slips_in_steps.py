"""Known slips of programming in iterations: indices, axes, orders, combinations that are not the one of the papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations, product

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import ANGLES, Known, on, right_with, similarity_scale
from clnf_engine.checking.known_of_equations import data_term, prior_term, right_hand_side
from clnf_engine.checking.known_of_shape import cross, small_rotation, updated
from clnf_engine.checking.known_of_shifts import gaussian, kernel_parts, map_moments, mean_shift_of, shift_of, tabled
from clnf_engine.checking.known_of_updates import angles_not_held
from clnf_engine.mean_shift import TABLE_STEP
from clnf_engine.pdm import RIGID, euler_angles, rotation_matrix

KNOWN = Known()


# --- shifts ----------------------------------------------------------------------------------------

for _off in (1, -1, 2, -2, 5, -5):
    _kernels = gaussian(lambda v: v.sigma, lambda p, by=_off * TABLE_STEP: tabled(p) + by)
    _text = f"the index into the kernel table is {_off:+d}"
    KNOWN.add("kernel_sum", "kernel_index_one_off", _text, lambda v, k=_kernels: kernel_parts(v, k)[0])
    KNOWN.add("mean_shift", "kernel_index_one_off", _text, lambda v, k=_kernels: shift_of(v, k))


def _epanechnikov(width: float, flat: bool) -> Callable[[Inputs, Array], Array]:
    """Weights ``1 − d²/(width·σ²)`` in a disk, (n, w, w)."""

    def weights(v: Inputs, position: Array) -> Array:
        d = (position[..., None] - np.arange(v.window)) ** 2
        distance = d[:, 1, :, None] + d[:, 0, None, :]
        inside = distance <= width * v.sigma**2
        return np.where(inside, 1.0 if flat else 1 - distance / (width * v.sigma**2), 0.0)

    return weights


_RIGHT = gaussian(lambda v: v.sigma, tabled)


def _disk_parts(v: Inputs, position: Array, weights: Callable[[Inputs, Array], Array]) -> tuple[Array, Array]:
    return map_moments(v.final * weights(v, position))


def _disk_shift(v: Inputs, position: Array, weights: Callable[[Inputs, Array], Array]) -> Array:
    return mean_shift_of(v, *_disk_parts(v, position, weights), v.position)


def _gaussian_disk(radius: float, of_sigma: bool) -> Callable[[Inputs, Array], Array]:
    """The kernel, cut off at a radius in cells or in σ, (n, w, w)."""

    def weights(v: Inputs, position: Array) -> Array:
        d = position[..., None] - np.arange(v.window)
        distance = np.hypot(d[:, 1, :, None], d[:, 0, None, :])
        near = distance <= radius * (v.sigma if of_sigma else 1.0)
        return np.where(near, np.exp(-0.5 * (distance / v.sigma) ** 2), 0.0)

    return weights


for _radius, _of_sigma in product((1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0), (False, True)):
    _weights = _gaussian_disk(_radius, _of_sigma)
    _said = f"the kernel is cut off {_radius:g} {'σ' if _of_sigma else 'cells'} away"
    KNOWN.add("kernel_sum", "kernel_cut", _said, lambda v, k=_weights: _disk_parts(v, tabled(v.position), k)[0])
    KNOWN.add("mean_shift", "kernel_cut", _said, lambda v, k=_weights: _disk_shift(v, tabled(v.position), k))

for _name, _text, _flat in (
    ("epanechnikov_kernel", "the kernel is Epanechnikov's", False),
    ("flat_kernel", "the kernel is a flat disk", True),
):
    for _width in (1.0, 2.0, 4.0, 5.0, 9.0):
        for _at in (tabled, lambda p: p):
            _weights = _epanechnikov(_width, _flat)
            _said = f"{_text}, of radius {math.sqrt(_width):.3g}·σ"
            KNOWN.add("kernel_sum", _name, _said, lambda v, k=_weights, at=_at: _disk_parts(v, at(v.position), k)[0])
            KNOWN.add("mean_shift", _name, _said, lambda v, k=_weights, at=_at: _disk_shift(v, at(v.position), k))


def _centroids(v: Inputs) -> Array:
    return _quotients(*kernel_parts(v, _RIGHT))


def _quotients(total: Array, moments: Array) -> Array:
    return np.asarray(moments / np.where(total > 0, total, 1)[:, None])


_CENTROIDS: dict[str, tuple[str, Callable[[Inputs], Array]]] = {
    "": ("the centroid", _centroids),
    "moments_swapped": ("the centroid with rows for columns", lambda v: _centroids(v)[:, ::-1]),
    "integer_division": ("the centroid cut to whole cells", lambda v: np.floor(_centroids(v))),
    "centroid_rounded": ("the centroid rounded to whole cells", lambda v: np.rint(_centroids(v))),
    "centroid_from_1": ("the centroid with cells counted from 1", lambda v: _centroids(v) + 1),
    "centroid_without_kernel": ("the centroid of the map without kernel", lambda v: _plain_centroids(v)),
    "peak": ("the peak of the map", lambda v: _peaks(v)),
}
_STARTS: dict[str, tuple[str, Callable[[Inputs], Array]]] = {
    "": ("the position", lambda v: v.position),
    "position_swapped": ("the position (dy, dx)", lambda v: v.position[:, ::-1]),
    "position_floored": ("the position cut to whole cells", lambda v: np.floor(v.position)),
    "middle_subtracted": ("the middle of the map", lambda v: np.full_like(v.position, (v.window - 1) / 2)),
    "half_the_window_subtracted": ("half the window", lambda v: np.full_like(v.position, v.window / 2)),
    "cut_half_subtracted": ("half the window, cut", lambda v: np.full_like(v.position, v.window // 2)),
}


def _plain_centroids(v: Inputs) -> Array:
    return _quotients(*map_moments(v.final))


def _peaks(v: Inputs) -> Array:
    place = v.final.reshape(len(v.final), -1).argmax(axis=1)
    return np.stack([place % v.window, place // v.window], axis=1).astype(np.float64)


for (_name, (_text, _centroid)), (_from, (_less, _start)) in product(_CENTROIDS.items(), _STARTS.items()):
    if _name or _from:
        KNOWN.add(
            "mean_shift", "_".join(filter(None, (_name, _from))), f"the shift is {_text} less {_less}",
            lambda v, a=_centroid, b=_start: np.where((v.visible & (v.kernel_sum > 0))[:, None], a(v) - b(v), 0.0),
        )  # fmt: skip

_TURNS: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "": ("", lambda a: a / similarity_scale(a)),
    "turned_the_other_way": ("turned the other way, ", lambda a: a.T / similarity_scale(a)),
    "not_turned": ("not turned, ", lambda a: np.eye(2)),
}
_SIZES: dict[str, tuple[str, Callable[[Inputs], float]]] = {
    "": ("scaled to the image", lambda v: similarity_scale(v.reference_to_image)),
    "not_scaled": ("not scaled", lambda v: 1.0),
    "scaled_inversely": ("divided by the scale", lambda v: 1 / similarity_scale(v.reference_to_image)),
    "scaled_twice": ("scaled twice", lambda v: similarity_scale(v.reference_to_image) ** 2),
    "times_the_patch_scaling": ("multiplied by the patch scaling", lambda v: v.patch_scaling),
    "in_model_units": ("divided by the patch scaling", lambda v: 1 / v.patch_scaling),
    "times_both": (
        "scaled to the image and multiplied by the patch scaling",
        lambda v: similarity_scale(v.reference_to_image) * v.patch_scaling,
    ),
    "over_both": (
        "scaled to the image and divided by the patch scaling",
        lambda v: similarity_scale(v.reference_to_image) / v.patch_scaling,
    ),
    "times_the_faces_scale": ("multiplied by the face's scale", lambda v: v.params_before[0]),
    "over_the_faces_scale": ("divided by the face's scale", lambda v: 1 / v.params_before[0]),
    "by_both_scales": (
        "multiplied by the face's scale over the patch scaling",
        lambda v: v.params_before[0] / v.patch_scaling,
    ),
}  # fmt: skip
for (_name, (_text, _turn)), (_by, (_words, _length)) in product(_TURNS.items(), _SIZES.items()):
    if _name or _by:
        _called = "_".join(filter(None, ("shift", _name, _by)))
        if _called == "shift_not_turned_not_scaled":
            _called, _text, _words = "shift_not_taken_to_the_image", "", "left in reference px"
        KNOWN.add(
            "mean_shift_image", _called,
            f"the shift is {_text}{_words}" if _by else f"the shift is {_text.rstrip(', ')}",
            lambda v, turn=_turn, size=_length: v.mean_shift @ (turn(v.reference_to_image) * size(v)).T,
        )  # fmt: skip


# --- equations and update --------------------------------------------------------------------------

KNOWN.add("weights", "weights_at_most_1", "the weights are at most 1", lambda v: np.minimum(v.out, 1))
KNOWN.add("weights", "weights_rounded", "the weights are cut to whole numbers", lambda v: np.trunc(v.out))
KNOWN.add("weights", "factor_squared", "the factor of the weights is squared", lambda v: v.weight_factor * v.out)


def _repeated(v: Inputs) -> Array:
    return np.repeat(v.weights, 2)


def _interleaved_hessian(v: Inputs) -> Array:
    result = (v.jacobian * _repeated(v)[:, None]).T @ v.jacobian
    return np.asarray(result + (v.out - data_term(v)))


KNOWN.add(
    "hessian",
    "weights_interleaved",
    "the weights are those of interleaved rows: w₁, w₁, w₂, w₂, …",
    _interleaved_hessian,
)
KNOWN.add(
    "gradient", "weights_interleaved", "the weights are those of interleaved rows: w₁, w₁, w₂, w₂, …",
    lambda v: v.out - right_hand_side(v) + v.jacobian.T @ (_repeated(v) * v.mean_shift_image.T.ravel()),
)  # fmt: skip


def _in_front(v: Inputs) -> Array:
    """The prior's diagonal, put in front of the global parameters instead of behind them."""
    return np.concatenate([prior_term(v), np.zeros(RIGID)])


KNOWN.add(
    "hessian", "prior_in_front", "the prior begins at the first parameter, not at the first mode",
    lambda v: data_term(v) + (0.0 if v.rigid else np.diag(_in_front(v))),
)  # fmt: skip
KNOWN.add(
    "gradient", "prior_in_front", "the prior begins at the first parameter, not at the first mode",
    lambda v: right_hand_side(v) - (0.0 if v.rigid else _in_front(v) * v.params_before),
)  # fmt: skip
KNOWN.add(
    "gradient", "prior_of_the_first_parameters", "the prior pulls at the first parameters in the place of the modes",
    lambda v: right_hand_side(v) if v.rigid else right_hand_side(v)
    - np.concatenate([np.zeros(RIGID), prior_term(v) * v.params_before[: v.pdm.n_modes]]),
)  # fmt: skip
for _rcond in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
    KNOWN.add(
        "delta", "pseudo_inverse", f"the equations are solved by a pseudo-inverse that drops what is below {_rcond:g}",
        lambda v, rcond=_rcond: np.linalg.pinv(v.hessian, rcond=rcond) @ v.gradient,
    )  # fmt: skip
KNOWN.add(
    "delta", "steepest_descent", "the update is a step of steepest descent",
    lambda v: v.gradient * (v.gradient @ v.gradient) / (v.gradient @ v.hessian @ v.gradient),
)  # fmt: skip
KNOWN.add(
    "delta",
    "in_half_precision",
    "the update is rounded to half precision",
    lambda v: v.out.astype(np.float16).astype(float),
)


def _quaternion(v: Inputs) -> Floats:
    w, x, y, z = np.array([1, *v.delta[1:4] / 2]) / np.linalg.norm([1, *v.delta[1:4] / 2])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


KNOWN.add(
    "update", "quaternion", "the small rotation is the quaternion (1, w/2)",
    lambda v: updated(v, rotation_matrix(v.params_before[1:4]) @ _quaternion(v)),
)  # fmt: skip
KNOWN.add(
    "update", "rotation_of_the_start", "the small rotation is applied to the rotation of the fit's start",
    lambda v: updated(v, rotation_matrix(v.trace.steps[0].params[1:4]) @ small_rotation(v)),
)  # fmt: skip
for _signs in product((1, -1), repeat=3):
    if min(_signs) < 0:
        _said = ", ".join(f"{'−' if sign < 0 else ''}{name}" for sign, name in zip(_signs, ANGLES, strict=True))
        KNOWN.add(
            "update", "yaw_negated" if _signs == (1, -1, 1) else "angles_read_negated",
            f"the angles are read from the matrix as {_said}",
            lambda v, signs=_signs: updated(
                v, rotation_matrix(v.params_before[1:4]) @ small_rotation(v), lambda r: euler_angles(r) * signs
            ),
        )  # fmt: skip
for _order, _signs in product(permutations(range(3)), product((1, -1), repeat=3)):
    if _order != (0, 1, 2) or min(_signs) < 0:
        _said = ", ".join(f"{'−' if s < 0 else ''}{'w' + 'xyz'[k]}" for k, s in zip(_order, _signs, strict=True))
        KNOWN.add(
            "update", "small_rotation_of_other_axes", f"the small rotation is made of {_said}",
            on("delta", lambda v, order=_order, signs=_signs: np.concatenate(
                [v.delta[:1], v.delta[1:4][list(order)] * signs, v.delta[4:]]
            )),
        )  # fmt: skip


_STEPS: dict[str, tuple[str, Callable[[Inputs], Floats]]] = {
    "": ("", small_rotation),
    "backwards": ("turned the other way", lambda v: small_rotation(v).T),
    "not_orthogonal": ("not made orthogonal", lambda v: np.eye(3) + cross(v.delta[1:4])),
    "of_euler_angles": ("of w taken for Euler angles", lambda v: rotation_matrix(v.delta[1:4])),
}
_SIDES: dict[str, tuple[str, Callable[[Floats, Floats], Floats]]] = {
    "": ("", lambda r, small: r @ small),
    "from_the_left": ("multiplied from the left", lambda r, small: small @ r),
    "to_the_transposed": ("multiplied with the transposed rotation", lambda r, small: r.T @ small),
}
_READ: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "": ("", euler_angles),
    "read_transposed": ("and the angles are read from the transposed matrix", lambda r: euler_angles(r.T)),
    "read_negated": ("and the angles are negated", lambda r: -euler_angles(r)),
}
for (_step, (_a, _small)), (_side, (_b, _product)), (_from, (_c, _angles)) in product(
    _STEPS.items(), _SIDES.items(), _READ.items()
):
    if sum(map(bool, (_step, _side, _from))) > 1:
        KNOWN.add(
            "update", "_".join(filter(None, ("small_rotation", _step, _side, _from))),
            f"the small rotation is {', '.join(filter(None, (_a, _b, _c)))}",
            lambda v, small=_small, side=_product, read=_angles: updated(
                v, side(rotation_matrix(v.params_before[1:4]), small(v)), read
            ),
        )  # fmt: skip


def _beyond(v: Inputs) -> tuple[Floats, Array]:
    bound = v.clamp_sigmas * np.sqrt(v.pdm.variances)
    return bound, np.abs(v.moved[RIGID:]) > bound


def _clamped(change: Callable[[Inputs, Floats, Floats], Floats]) -> Callable[[Inputs], Floats]:
    """Modes beyond their bound as a function makes them of what they are and of the bound."""

    def clamped(v: Inputs) -> Floats:
        bound, beyond = _beyond(v)
        result: Floats = right_with(v, clamp_sigmas=np.inf)
        result[RIGID:] = np.where(beyond, change(v, v.moved[RIGID:], bound), v.moved[RIGID:])
        return result

    return clamped


for _name, _text, _change_q in (
    (
        "clamp_keeps_the_old_value",
        "modes that pass their bound stay as they were",
        lambda v, q, b: v.params_before[RIGID:],
    ),
    ("clamp_by_halving", "modes that pass their bound are halved", lambda v, q, b: q / 2),
    (
        "clamp_reflected",
        "modes that pass their bound are reflected there",
        lambda v, q, b: np.sign(q) * (2 * b - np.abs(q)),
    ),
    ("clamp_to_the_positive_bound", "modes that pass their bound get it without their sign", lambda v, q, b: b),
    (
        "clamp_to_the_deviation",
        "modes that pass their bound are set to one deviation",
        lambda v, q, b: np.sign(q) * b / v.clamp_sigmas,
    ),
    ("clamp_by_tanh", "modes beyond their bound are bent back by tanh", lambda v, q, b: b * np.tanh(q / b)),
):
    KNOWN.add("clamp", _name, _text, _clamped(_change_q))
KNOWN.add(
    "clamp", "clamp_by_root", "the modes are held within the square root of the bound times the variance",
    lambda v: right_with(v, clamp_sigmas=math.sqrt(v.clamp_sigmas)),
)  # fmt: skip


for _mistake in [mistake for mistake in KNOWN if mistake.operation == "clamp"]:
    KNOWN.append(angles_not_held(_mistake))
