"""What can be done to a value: turned, swapped, negated, scaled, shifted, rounded, reordered, by its shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.mistakes import factor_text

Change = Callable[[Array], Any]


def _of_points(text: str) -> dict[str, tuple[str, Change]]:
    sides = {"x": (1.0, 0.0), "y": (0.0, 1.0), "x and y": (1.0, 1.0)}
    return {
        f"{'plus' if sign > 0 else 'minus'}_{size:g}_{name.replace(' ', '_')}".replace("0.5", "half"): (
            f"{text} {'plus' if sign > 0 else 'minus'} {size:g} in {name}",
            lambda a, by=sign * size, side=side: a + by * np.array(side),
        )
        for size in (0.5, 1.0)
        for sign in (1, -1)
        for name, side in sides.items()
    }


def _interleaved(a: Array) -> Array:
    half = len(a) // 2
    return a.reshape(2, half, *a.shape[1:]).swapaxes(0, 1).reshape(a.shape)


def _stacked(a: Array) -> Array:
    half = len(a) // 2
    return a.reshape(half, 2, *a.shape[1:]).swapaxes(0, 1).reshape(a.shape)


def _permuted(a: Array, axis: int) -> Array:
    order = [0, 4, 5, 1, 2, 3, *range(6, a.shape[axis])]
    return np.take(a, order, axis=axis)


def changes_of(value: Any, what: str) -> dict[str, tuple[str, Change]]:
    """What can be done to a value of this shape, by name: a clause about `what`, and the change."""
    if not isinstance(value, np.ndarray):
        return _of_numbers(what) if isinstance(value, float) else {}
    found: dict[str, tuple[str, Change]] = {
        "negated": (f"{what} negated", lambda a: -a),
        "zero": (f"{what} left zero", np.zeros_like),
        "in_half_precision": (f"{what} in half precision", lambda a: a.astype(np.float16).astype(np.float64)),
        **{
            f"rounded_to_{name}": (f"{what} rounded to {name}", lambda a, places=places: np.round(a, places))
            for places, name in ((1, "tenths"), (2, "hundredths"), (3, "thousandths"))
        },
    }
    if value.ndim == 2 and value.shape[1] == 2 and len(value) > 2:
        found |= {
            "xy_swapped": (f"x and y of {what} swapped", lambda a: a[:, ::-1]),
            "x_negated": (f"x of {what} negated", lambda a: a * (-1, 1)),
            "y_negated": (f"y of {what} negated", lambda a: a * (1, -1)),
            "rounded": (f"{what} rounded to whole numbers", np.rint),
            "floored": (f"{what} cut to whole numbers", np.floor),
            "truncated": (f"{what} cut to whole numbers", np.trunc),
            "mirrored_order": (f"the landmarks of {what} in reverse order", lambda a: a[::-1]),
            "next_landmark": (f"{what} of the next landmark", lambda a: np.roll(a, -1, axis=0)),
            "previous_landmark": (f"{what} of the landmark before", lambda a: np.roll(a, 1, axis=0)),
            "centred": (f"{what} less its mean", lambda a: a - a.mean(axis=0)),
            **_of_points(what),
        }
    if value.shape == (2, 2):
        found |= {
            "transposed": (f"{what} transposed", lambda a: a.T),
            "inverted": (f"{what} inverted", np.linalg.inv),
            "inverse_transposed": (f"{what} inverted and transposed", lambda a: np.linalg.inv(a).T),
            "rotation_only": (f"{what} without its scale", lambda a: a / math.sqrt(abs(np.linalg.det(a)))),
            "scale_only": (f"{what} without its rotation", lambda a: np.eye(2) * math.sqrt(abs(np.linalg.det(a)))),
            "left_out": (f"{what} left out", lambda a: np.eye(2)),
            "scale_inverted": (f"{what} with its scale inverted", lambda a: a / abs(np.linalg.det(a))),
            "axes_swapped": (f"{what} for (y, x)", lambda a: a[::-1, ::-1]),
            "scale_squared": (f"{what} with its scale squared", lambda a: a * math.sqrt(abs(np.linalg.det(a)))),
        }
    if value.ndim == 2 and value.shape[0] > 2 and value.shape[0] == value.shape[1]:
        found |= {
            "transposed": (f"{what} transposed", lambda a: a.T),
            "diagonal_only": (f"the diagonal of {what} alone", lambda a: np.diag(np.diagonal(a))),
            "permuted": (f"{what} in the order scale, tx, ty, rx, ry, rz", lambda a: _permuted(_permuted(a, 0), 1)),
        }
    if value.ndim == 2 and value.shape[1] >= 6 and value.shape[0] != value.shape[1]:
        found |= {
            "interleaved": (f"the rows of {what} interleaved, x and y of each landmark", _interleaved),
            "stacked": (f"the rows of {what} taken for interleaved", _stacked),
            "rows_swapped": (f"the rows y of {what} before those of x", lambda a: np.roll(a, len(a) // 2, axis=0)),
            "permuted": (f"the columns of {what} in the order scale, tx, ty, rx, ry, rz", lambda a: _permuted(a, 1)),
            "translation_swapped": (
                f"the columns tx and ty of {what} swapped",
                lambda a: np.take(a, [0, 1, 2, 3, 5, 4, *range(6, a.shape[1])], axis=1),
            ),
            "rotation_negated": (f"the rotation columns of {what} negated", lambda a: _scaled(a, slice(1, 4), -1)),
            "rotation_reversed": (f"the rotation columns of {what} in the order z, y, x", _rotation_reversed),
            "rotation_in_degrees": (
                f"the rotation columns of {what} per degree",
                lambda a: _scaled(a, slice(1, 4), math.pi / 180),
            ),
        }
    if value.ndim >= 3:
        found |= {
            "transposed": (f"{what} with rows and columns swapped", lambda a: a.swapaxes(-1, -2)),
            "flipped_x": (f"{what} mirrored left to right", lambda a: a[..., ::-1]),
            "flipped_y": (f"{what} upside down", lambda a: a[..., ::-1, :]),
            "turned": (f"{what} turned by 180°", lambda a: a[..., ::-1, ::-1]),
            "next_landmark": (f"{what} of the next landmark", lambda a: np.roll(a, -1, axis=0)),
            "previous_landmark": (f"{what} of the landmark before", lambda a: np.roll(a, 1, axis=0)),
            "absolute": (f"the absolute values of {what}", np.abs),
            "non_negative": (f"negative values of {what} set to zero", lambda a: np.maximum(a, 0)),
            "squared": (f"{what} squared", np.square),
            "root": (f"the square root of {what}", lambda a: np.sqrt(np.maximum(a, 0))),
            "exponential": (f"the exponential of {what}", np.exp),
            "rounded": (f"{what} rounded to whole numbers", np.rint),
            "truncated": (f"{what} cut to whole numbers", np.trunc),
            **{
                f"rolled_{name}": (f"{what} one cell {name}", lambda a, by=by, axis=axis: np.roll(a, by, axis))
                for name, by, axis in (("right", 1, -1), ("left", -1, -1), ("down", 1, -2), ("up", -1, -2))
            },
            "mean_removed": (f"{what} less the mean of each map", lambda a: a - a.mean(axis=(-1, -2), keepdims=True)),
            "minimum_removed": (
                f"{what} less the minimum of each map",
                lambda a: a - a.min(axis=(-1, -2), keepdims=True),
            ),
        }
    if value.ndim == 1:
        found |= {
            "squared": (f"{what} squared", np.square),
            "root": (f"the square root of {what}", lambda a: np.sqrt(np.abs(a))),
            "inverse": (f"one over {what}", lambda a: 1 / a),
            "ones": (f"{what} taken as one", np.ones_like),
            "mean": (f"the mean of {what} for each", lambda a: np.full_like(a, a.mean())),
        }
        if len(value) >= 6:
            found |= {
                "permuted": (f"{what} in the order scale, tx, ty, rx, ry, rz", lambda a: _permuted(a, 0)),
                "angles_in_degrees": (f"the angles of {what} in degrees", lambda a: _scaled_part(a, 180 / math.pi)),
                "angles_from_degrees": (
                    f"the angles of {what} taken for degrees",
                    lambda a: _scaled_part(a, math.pi / 180),
                ),
                "angles_negated": (f"the angles of {what} negated", lambda a: _scaled_part(a, -1)),
                "angles_reversed": (f"the angles of {what} in the order z, y, x", _angles_reversed),
                "translation_swapped": (f"tx and ty of {what} swapped", _translation_swapped),
                "modes_left_out": (f"{what} without its modes", lambda a: _part(a, slice(6, None), 0)),
                "rigid_left_out": (f"{what} without its first six", lambda a: _part(a, slice(0, 6), 0)),
                "rotation_left_out": (f"{what} without its rotation", lambda a: _part(a, slice(1, 4), 0)),
                "scale_left_out": (f"{what} without its scale", lambda a: _part(a, slice(0, 1), 0)),
                "translation_left_out": (f"{what} without its translation", lambda a: _part(a, slice(4, 6), 0)),
                **{
                    f"translation_{side}": (f"{what} with tx, ty {side} half a pixel", lambda a, by=by: _moved(a, by))
                    for side, by in (("plus", 0.5), ("minus", -0.5))
                },
            }
    return found


def _of_numbers(what: str) -> dict[str, tuple[str, Change]]:
    powers: dict[str, tuple[str, Any]] = {
        "squared": (f"{what} squared", lambda a: a * a),
        "root": (f"the square root of {what}", math.sqrt),
        "inverse": (f"one over {what}", lambda a: 1 / a),
        "zero": (f"{what} taken as 0", lambda a: 0.0),
        "one": (f"{what} taken as 1", lambda a: 1.0),
        "negated": (f"{what} negated", lambda a: -a),
    }
    return powers | {
        f"times_{factor:g}": (f"{what} times {factor_text(factor)}", lambda a, by=factor: a * by)
        for factor in (2.0, 0.5, 0.25, 4.0, math.sqrt(2), 1 / math.sqrt(2), 10.0, 0.1, 3.0, 1 / 3)
    }


def _scaled(a: Array, columns: slice, factor: float) -> Array:
    a = a.copy()
    a[:, columns] *= factor
    return a


def _rotation_reversed(a: Array) -> Array:
    a = a.copy()
    a[:, 1:4] = a[:, 3:0:-1]
    return a


def _angles_reversed(a: Array) -> Array:
    a = a.copy()
    a[1:4] = a[3:0:-1].copy()
    return a


def _scaled_part(a: Array, factor: float) -> Array:
    return _part(a, slice(1, 4), factor)


def _part(a: Array, part: slice, factor: float) -> Array:
    a = a.copy()
    a[part] *= factor
    return a


def _translation_swapped(a: Array) -> Array:
    a = a.copy()
    a[4:6] = a[5:3:-1].copy()
    return a


def _moved(a: Array, by: float) -> Array:
    a = a.copy()
    a[4:6] += by
    return a


_WORDS = {
    "params": "the parameters", "params_before": "the parameters", "moved": "the parameters",
    "landmarks": "the landmarks",
    "landmarks_before": "the landmarks", "base_shape": "the base shape", "reference_shape": "the reference shape",
    "image_to_reference": "the map from image to reference", "reference_to_image": "the map from reference to image",
    "area": "the area", "neuron_ncc": "the correlation", "neuron_output": "the neuron's output", "raw": "the raw map",
    "after_sigma": "the map after Sigma", "shifted": "the shifted map", "final": "the final map",
    "position": "the position", "kernel_sum": "the kernel sum", "mean_shift": "the mean-shift",
    "mean_shift_image": "the mean-shift in image px", "weights": "the weights", "jacobian": "the Jacobian",
    "hessian": "the Hessian", "gradient": "the gradient", "delta": "the update", "likelihoods": "the likelihoods",
    "sigma": "σ", "chosen_sigma": "σ as chosen", "reg_factor": "the regularisation",
    "chosen_reg_factor": "the regularisation as chosen", "weight_factor": "the weight factor",
    "chosen_weight_factor": "the weight factor as chosen", "patch_scaling": "the patch scaling",
    "adapted": "the stage's options",
    "view": "the view", "image": "the image", "box": "the box", "rotation": "the rotation", "window": "the window",
    "clamp_sigmas": "the bound", "response_gain": "the gain",
}  # fmt: skip


def words(name: str) -> str:
    """A value in words."""
    return _WORDS.get(name, name.replace("_", " "))
