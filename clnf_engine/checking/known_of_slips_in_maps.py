"""Known slips of programming up to the maps: types, indices, orders of arguments, functions that do another thing."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations, product

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import ANGLES, Known, on, similarity_scale, with_others
from clnf_engine.checking.known_of_areas import coordinates, each_area, sampled
from clnf_engine.experts import MIN_ALPHA

KNOWN = Known()


# --- start, stage and view -------------------------------------------------------------------------

KNOWN.add(
    "init", "box_of_integers", "the box is cut to whole pixels", on("box", lambda v: tuple(map(math.floor, v.box)))
)
KNOWN.add(
    "init", "box_of_integers", "the box is rounded to whole pixels", on("box", lambda v: tuple(map(round, v.box)))
)
KNOWN.add(
    "init", "inclusive_box", "width and height of the box are one pixel less",
    on("box", lambda v: (*v.box[:2], v.box[2] - 1, v.box[3] - 1)),
)  # fmt: skip
KNOWN.add(
    "init", "inclusive_box", "width and height of the box are one pixel more",
    on("box", lambda v: (*v.box[:2], v.box[2] + 1, v.box[3] + 1)),
)  # fmt: skip
KNOWN.add(
    "init", "box_of_corners", "the box is read as two corners",
    on("box", lambda v: (*v.box[:2], v.box[2] - v.box[0], v.box[3] - v.box[1])),
)  # fmt: skip


@KNOWN.at("stage", "the options are adapted anew in every stage, on top of those of the stage before")
def adapted_cumulatively(v: Inputs) -> Array:
    values = np.array([v.chosen_sigma, v.chosen_reg_factor, v.chosen_weight_factor])
    for scale in v.reference.model.scales:
        if v.first_scaling <= scale.patch_scaling <= v.patch_scaling:
            values = np.array(v.reference.functions["stage"](scale.patch_scaling, v.first_scaling, *values, True))
    return values


for _order, _signs in product(permutations(range(3)), product((1, -1), repeat=3)):
    if _order != (0, 1, 2):
        _said = ", ".join(f"{'−' if sign < 0 else ''}{ANGLES[k]}" for k, sign in zip(_order, _signs, strict=True))
        KNOWN.add(
            "view", "view_of_swapped_angles", f"the view is chosen by the angles {_said}",
            lambda v, order=_order, signs=_signs: int(
                np.argmin(np.linalg.norm(v.view_centres - v.params_before[1:4][list(order)] * signs, axis=1))
            ),
        )  # fmt: skip


# --- sampling --------------------------------------------------------------------------------------


def _around(v: Inputs, where: Floats) -> tuple[tuple[Array, ...], Floats, Floats]:
    """The four pixels about every place, and its fractions in x and y."""
    rows, cols = v.image.shape
    left, top = np.floor(where[..., 0]).astype(int), np.floor(where[..., 1]).astype(int)
    x, y = ((np.clip(k, 0, n - 1), np.clip(k + 1, 0, n - 1)) for k, n in ((left, cols), (top, rows)))
    pixels = tuple(v.image[b, a] for b in y for a in x)
    return pixels, where[..., 0] - left, where[..., 1] - top


def _seen(v: Inputs, area: Array) -> Array:
    return np.where(v.visible[:, None, None], area, 0.0)


@KNOWN.at("area", "the fractions of x and y are swapped in the interpolation")
def fractions_swapped(v: Inputs) -> Array:
    (a, b, c, d), fy, fx = _around(v, coordinates(v))
    return _seen(v, (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy)


@KNOWN.at("area", "the weights of the interpolation are those of the opposite pixels")
def fractions_reversed(v: Inputs) -> Array:
    (a, b, c, d), fx, fy = _around(v, coordinates(v))
    return _seen(v, (a * fx + b * (1 - fx)) * fy + (c * fx + d * (1 - fx)) * (1 - fy))


@KNOWN.at("area", "differences of grey levels wrap around, as those of unsigned bytes do")
def byte_differences(v: Inputs) -> Array:
    (a, b, c, d), fx, fy = _around(v, coordinates(v))
    upper, lower = a + fx * (b - a), c + fx * (d - c)
    return _seen(v, upper + fy * (lower - upper))


@KNOWN.at("area", "the interpolation is in x only")
def interpolated_in_x(v: Inputs) -> Array:
    (a, b, _, _), fx, _fy = _around(v, coordinates(v))
    return _seen(v, a * (1 - fx) + b * fx)


@KNOWN.at("area", "the interpolation is in y only")
def interpolated_in_y(v: Inputs) -> Array:
    (a, _, c, _), _fx, fy = _around(v, coordinates(v))
    return _seen(v, a * (1 - fy) + c * fy)


KNOWN.add(
    "area",
    "image_xy_swapped",
    "x and y are swapped when the image is read",
    lambda v: sampled(v, coordinates(v)[..., ::-1]),
)
for _name, _text, _mode in (
    ("border_wrapped", "beyond the border the image begins again from the other side", "wrap"),
    ("border_reflected", "beyond the border the image is reflected, its last pixel twice", "symmetric"),
):
    KNOWN.add("area", _name, _text, lambda v, mode=_mode: _padded(v, mode))


def _padded(v: Inputs, mode: str) -> Array:
    """Sampled in the image continued beyond its border."""
    where = coordinates(v)
    beyond = int(max(0.0, np.nanmax(-where), np.nanmax(where - np.array(v.image.shape[::-1])))) + 2
    image = np.pad(v.image, beyond, mode=mode)  # type: ignore[call-overload]
    return sampled(with_others(v, image=image), where + beyond)


for _name, _text, _spacing in (
    ("grid_stretched", "the grid of the area ends half a cell further out", lambda size: size / (size - 1)),
    ("grid_stretched", "the grid of the area ends half a cell further in", lambda size: (size - 1) / size),
    ("grid_stretched", "the grid of the area has a cell more", lambda size: (size + 1) / size),
    ("grid_halved", "the cells of the area are half a reference px apart", lambda size: 0.5),
    ("grid_doubled", "the cells of the area are two reference px apart", lambda size: 2.0),
):
    KNOWN.add(
        "area", _name, _text,
        lambda v, by=_spacing: sampled(
            v, coordinates(v, matrix=v.reference_to_image * by(v.window + v.support[0] - 1))
        ),
    )  # fmt: skip
for _name, _text, _scale in (
    ("area_of_the_faces_scale", "the area is scaled by the parameters' scale alone", lambda v: v.params_before[0]),
    ("area_of_the_patch_scaling", "the area is scaled by the patch scaling", lambda v: v.patch_scaling),
    ("area_scaled_inversely", "the area is divided by the scale", lambda v: 1 / similarity_scale(v.reference_to_image)),
    ("area_scaled_twice", "the area is scaled twice", lambda v: similarity_scale(v.reference_to_image) ** 2),
):
    KNOWN.add(
        "area", _name, _text,
        lambda v, scale=_scale: sampled(
            v, coordinates(v, matrix=v.reference_to_image / similarity_scale(v.reference_to_image) * scale(v))
        ),
    )  # fmt: skip


for _factor, _how in product((0.5, 0.25), (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST)):
    for _centre in (0.0, 0.5):
        KNOWN.add(
            "area", "image_resized",
            f"the area is taken from the image at {_factor:g} times its size"
            + (", places scaled about pixel centres" if _centre else ""),
            lambda v, by=_factor, how=_how, centre=_centre: _resized(v, by, how, centre),
        )  # fmt: skip


def _resized(v: Inputs, factor: float, how: int, centre: float) -> Array:
    image = cv2.resize(v.image, None, fx=factor, fy=factor, interpolation=how)
    return sampled(with_others(v, image=image), (coordinates(v) + centre) * factor - centre)


@KNOWN.at("area", "the area is taken from every second pixel of the image")
def image_halved(v: Inputs) -> Array:
    return sampled(with_others(v, image=v.image[::2, ::2]), coordinates(v) / 2)


@KNOWN.at("area", "the image has mean 0 and deviation 1")
def standardised_image(v: Inputs) -> Array:
    image = v.image.astype(np.float64)
    return _seen(v, (v.out - image.mean()) / image.std())


KNOWN.add(
    "area",
    "area_mean_removed",
    "each area is less its mean",
    each_area(lambda a: a - a.mean(axis=(1, 2), keepdims=True)),
)
KNOWN.add("area", "signed_bytes", "grey levels above 127 are negative", each_area(lambda a: (a + 128) % 256 - 128))


# --- correlation and neurons -----------------------------------------------------------------------


def _matched(v: Inputs, method: int, change: Callable[[Array], Array] = lambda a: a) -> Array:
    """What OpenCV's matchTemplate gives, (n, K, w, w)."""
    areas, weights = change(np.asarray(v.area)).astype(np.float32), v.experts.weights.astype(np.float32)
    n, k = weights.shape[:2]
    result = np.zeros((n, k, v.window, v.window))
    for i in np.flatnonzero(v.experts.visible):
        for j in range(int(v.experts.neurons[i])):
            result[i, j] = cv2.matchTemplate(areas[i], weights[i, j], method)
    return result


for _name, _text, _method, _change in (
    ("squared_differences", "the correlation is a squared difference (TM_SQDIFF)", cv2.TM_SQDIFF, lambda m: m),
    ("squared_differences", "the correlation is a normed squared difference", cv2.TM_SQDIFF_NORMED, lambda m: m),
    ("squared_differences", "it is 1 less the normed squared difference", cv2.TM_SQDIFF_NORMED, lambda m: 1 - m),
    ("match_ccorr", "the correlation is TM_CCORR: no mean, no norm", cv2.TM_CCORR, lambda m: m),
    ("match_ccoeff", "the correlation is TM_CCOEFF: no norm", cv2.TM_CCOEFF, lambda m: m),
    ("match_ccorr_normed", "the correlation is TM_CCORR_NORMED: no mean", cv2.TM_CCORR_NORMED, lambda m: m),
):
    KNOWN.add(
        "ncc", _name, _text,
        lambda v, method=_method, change=_change: np.where(
            (np.arange(v.experts.weights.shape[1]) < v.experts.neurons[:, None])[..., None, None],
            change(_matched(v, method)), 0,
        ),
    )  # fmt: skip


def _norms(v: Inputs) -> Array:
    """Length of every patch, less its mean, times that of every neuron's weights, (n, K, w, w)."""
    weights = v.experts.weights.astype(np.float64)
    h, w = weights.shape[2:]
    area = np.asarray(v.area, dtype=np.float64)
    ones = sliding_window_view(area, (h, w), axis=(1, 2)).std(axis=(-1, -2)) * math.sqrt(h * w)
    of_weights = np.linalg.norm(weights - weights.mean(axis=(2, 3), keepdims=True), axis=(2, 3))
    return np.asarray(ones[:, None] * of_weights[..., None, None])


def _guarded(v: Inputs, guard: float) -> Array:
    norms = _norms(v)
    return np.asarray(v.out * norms / (norms + guard))


for _guard in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0):
    KNOWN.add(
        "ncc", "epsilon_in_the_norm", f"{_guard:g} is added to the product of the norms",
        lambda v, by=_guard: _guarded(v, by),
    )  # fmt: skip


def neuron_of(v: Inputs, **others: str | Array) -> Array:
    """The neurons with other values in the place of norm weight, bias or α."""
    parts = {name: getattr(v.experts, name) for name in _PARTS}
    parts |= {name: parts[other] if isinstance(other, str) else other for name, other in others.items()}
    norm, bias, alpha = (parts[name][:, :, None, None] for name in _PARTS)
    heard = v.experts.alpha[:, :, None, None] > MIN_ALPHA
    return np.where(heard, 2 * alpha / (1 + np.exp(-(v.neuron_ncc * norm + bias))), 0.0)


_PARTS = {"norm_weights": "norm weight", "bias": "bias", "alpha": "α"}
for (_a, _word), (_b, _other) in (pair for pair in product(_PARTS.items(), repeat=2) if pair[0] < pair[1]):
    KNOWN.add(
        "neuron", f"{_a}_and_{_b}_swapped", f"{_word} and {_other} of a neuron are swapped",
        lambda v, a=_a, b=_b: neuron_of(v, **{a: b, b: a}),
    )  # fmt: skip
for _part, _word in _PARTS.items():
    for _other_part, _other in _PARTS.items():
        if _part != _other_part:
            KNOWN.add(
                "neuron", f"{_other_part}_for_{_part}", f"{_other} of a neuron is taken for its {_word}",
                lambda v, a=_part, b=_other_part: neuron_of(v, **{a: b}),
            )  # fmt: skip
for _which, _change_e in (
    ("first", lambda a: np.repeat(a[:, :1], a.shape[1], axis=1)),
    ("next", lambda a: np.roll(a, -1, axis=1)),
):
    for _part, _word in _PARTS.items():
        KNOWN.add(
            "neuron", f"{_part}_of_the_{_which}_neuron", f"the {_word} is that of the {_which} neuron",
            lambda v, part=_part, change=_change_e: neuron_of(v, **{part: change(getattr(v.experts, part))}),
        )  # fmt: skip
KNOWN.add(
    "raw", "last_neuron", "only the last neuron counts: each takes the place of the one before", lambda v: _last_told(v)
)


def _last_told(v: Inputs) -> Array:
    told = v.neuron_output.any(axis=(2, 3))
    last = told.shape[1] - 1 - told[:, ::-1].argmax(axis=1)
    return np.asarray(v.neuron_output[np.arange(len(told)), last])


# --- maps ------------------------------------------------------------------------------------------

for _name, _text, _function in (
    ("shift_by_the_absolute_minimum", "the absolute value of the minimum is added", lambda v: _plus_least(v)),
    (
        "shift_of_maps_below_zero_on_average",
        "the minimum is subtracted where the mean is negative",
        lambda v: _if_mean(v),
    ),
):
    KNOWN.add("shift", _name, _text, _function)


def _plus_least(v: Inputs) -> Array:
    return np.asarray(v.after_sigma + np.abs(v.after_sigma.min(axis=(1, 2), keepdims=True)))


def _if_mean(v: Inputs) -> Array:
    negative = v.after_sigma.mean(axis=(1, 2), keepdims=True) < 0
    return np.asarray(v.after_sigma - negative * v.after_sigma.min(axis=(1, 2), keepdims=True))


def _stretched(maps: Array, top: float) -> Array:
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(top * np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low))


def _bytes(maps: Array) -> Array:
    found = (np.zeros(a.shape, np.uint8) for a in maps)
    made = [cv2.normalize(a, b, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U) for a, b in zip(maps.copy(), found, strict=True)]
    return np.stack(made).astype(np.float64)


for _name, _text, _function in (
    (
        "normalised_to_bytes",
        "the maps are stretched to 0…255 and rounded",
        lambda v: np.rint(_stretched(v.shifted, 255)),
    ),
    ("normalised_to_bytes", "the maps are stretched to 0…255 and cut", lambda v: np.floor(_stretched(v.shifted, 255))),
    ("normalised_to_bytes", "the maps are stretched to 0…255 as bytes by cv2.normalize", lambda v: _bytes(v.shifted)),
    ("normalised_to_255", "the maps are stretched to 0…255", lambda v: _stretched(v.shifted, 255.0)),
    ("logarithm_of_1_plus", "the logarithm of 1 + the map is taken", lambda v: np.log1p(v.shifted)),
):
    KNOWN.add("normalise", _name, _text, _function)
for _size_ in (3, 5, 7):
    for _name, _text, _blur in (
        ("blurred", "blurred by a Gaussian", lambda a, size: cv2.GaussianBlur(a, (size, size), 0)),
        ("blurred", "blurred by a box", lambda a, size: cv2.blur(a, (size, size))),
        (
            "median_filtered",
            "filtered by the median",
            lambda a, size: cv2.medianBlur(a.astype(np.float32), min(size, 5)),
        ),
    ):
        KNOWN.add(
            "normalise", _name, f"the maps are {_text} of {_size_} cells",
            lambda v, blur=_blur, size=_size_: np.stack([blur(np.array(a, np.float64), size) for a in v.shifted]),
        )  # fmt: skip
for _name, _text, _apply in (
    ("sigma_added", "Sigma's map is added to the raw one", lambda v: v.raw + v.out),
    ("sigma_subtracted", "Sigma's map is subtracted from the raw one", lambda v: v.raw - v.out),
    ("sigma_multiplied", "Sigma's map is multiplied with the raw one", lambda v: v.raw * v.out),
    ("sigma_averaged", "Sigma's map and the raw one are averaged", lambda v: (v.raw + v.out) / 2),
):
    KNOWN.add("sigma", _name, _text, _apply)
