"""Known mistakes of the options of a stage and of its view."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, right_with

KNOWN = Known()


# --- stage and view --------------------------------------------------------------------------------


def _stage(v: Inputs, octaves: Callable[[float], float], which: str = "sigma reg weight") -> Array:
    change = octaves(v.patch_scaling)
    reg = v.chosen_reg_factor - 15 * change
    wrong = (v.chosen_sigma + 0.25 * change, reg if reg > 0 else 0.001, v.chosen_weight_factor * (1 + 2 * change))
    names = ("sigma", "reg", "weight")
    return np.array([w if name in which else r for name, w, r in zip(names, wrong, v.out, strict=True)])


def _times(v: Inputs, power: float, which: str) -> Array:
    """Options multiplied by a power of the ratio of the scales."""
    factor = (v.patch_scaling / 0.25) ** power
    values = zip(
        ("sigma", "reg", "weight"), (v.chosen_sigma, v.chosen_reg_factor, v.chosen_weight_factor), v.out, strict=True
    )
    return np.array([chosen * factor if name in which else right for name, chosen, right in values])


for _which, _words in (
    ("sigma reg weight", "σ, regularisation and weight factor are"),
    ("sigma", "σ is"),
    ("reg", "the regularisation is"),
    ("weight", "the weight factor is"),
    ("sigma reg", "σ and regularisation are"),
    ("sigma weight", "σ and weight factor are"),
    ("reg weight", "regularisation and weight factor are"),
):
    for _name, _text, _octaves in (
        ("not_adapted", "not adapted to the scale", lambda s: 0.0),
        ("adapted_by_natural_logarithm", "adapted with the natural logarithm", lambda s: math.log(s / 0.25)),
        ("adapted_by_decimal_logarithm", "adapted with the decimal logarithm", lambda s: math.log10(s / 0.25)),
        ("adapted_the_other_way", "adapted the other way", lambda s: math.log2(0.25 / s)),
        ("adapted_by_ratio", "adapted by the ratio of the scales", lambda s: s / 0.25 - 1),
        ("adapted_by_whole_ratio", "adapted by the ratio of the scales", lambda s: s / 0.25),
        ("adapted_to_half", "adapted relative to 0.5", lambda s: math.log2(s / 0.5)),
        ("adapted_to_one", "adapted relative to 1", lambda s: math.log2(s)),
    ):
        KNOWN.add("stage", _name, f"{_words} {_text}", lambda v, o=_octaves, w=_which: _stage(v, o, w))
    for _name, _text, _power in (
        ("times_the_ratio", "multiplied by the ratio of the scales", 1.0),
        ("over_the_ratio", "divided by the ratio of the scales", -1.0),
        ("times_the_root_of_the_ratio", "multiplied by the root of the ratio of the scales", 0.5),
        ("over_the_root_of_the_ratio", "divided by the root of the ratio of the scales", -0.5),
        ("times_the_square_of_the_ratio", "multiplied by the square of the ratio of the scales", 2.0),
        ("over_the_square_of_the_ratio", "divided by the square of the ratio of the scales", -2.0),
    ):
        KNOWN.add("stage", _name, f"{_words} {_text}", lambda v, p=_power, w=_which: _times(v, p, w))


@KNOWN.at("stage", "σ is that of the first stage in all")
def kernel_table_stale(v: Inputs) -> Array:
    first = right_with(v, patch_scaling=v.first_scaling)
    return np.array([first[0], *v.out[1:]])


@KNOWN.at("stage", "all options are those of the first stage")
def options_stale(v: Inputs) -> Array:
    return np.array(right_with(v, patch_scaling=v.first_scaling))


@KNOWN.at("stage", "the regularisation is not kept above zero")
def regularisation_not_bounded(v: Inputs) -> Array:
    reg = v.chosen_reg_factor - 15 * math.log2(v.patch_scaling / 0.25)
    return np.array([v.out[0], reg, v.out[2]])


@KNOWN.at("stage", "the regularisation is kept at zero or above, not at 0.001")
def regularisation_at_zero(v: Inputs) -> Array:
    return np.array([v.out[0], max(0.0, v.chosen_reg_factor - 15 * math.log2(v.patch_scaling / 0.25)), v.out[2]])


def _nearest(centres: Floats, angles: Floats) -> int:
    return int(np.argmin(np.linalg.norm(centres - angles, axis=-1)))


for _name, _text, _function in (
    ("first_view", "the view is always the first", lambda v: 0),
    (
        "view_in_degrees",
        "the centres of the views are taken for radians",
        lambda v: _nearest(v.scale.view_centres_degrees, v.params_before[1:4]),
    ),
    (
        "view_by_yaw",
        "the view is chosen by the yaw alone",
        lambda v: _nearest(v.view_centres[:, 1:2], v.params_before[2:3]),
    ),
    (
        "view_by_pitch",
        "the view is chosen by the pitch alone",
        lambda v: _nearest(v.view_centres[:, :1], v.params_before[1:2]),
    ),
    (
        "view_mirrored",
        "the yaw has the other sign when the view is chosen",
        lambda v: _nearest(v.view_centres, v.params_before[1:4] * (1, -1, 1)),
    ),
    (
        "view_opposite",
        "the angles have the other sign when the view is chosen",
        lambda v: _nearest(v.view_centres, -v.params_before[1:4]),
    ),
    (
        "view_without_roll",
        "the roll is left out when the view is chosen",
        lambda v: _nearest(v.view_centres * (1, 1, 0), v.params_before[1:4] * (1, 1, 0)),
    ),
    (
        "farthest_view",
        "the view farthest away is chosen",
        lambda v: int(np.argmax(np.linalg.norm(v.view_centres - v.params_before[1:4], axis=1))),
    ),
    (
        "view_by_sum",
        "the view is chosen by the sum of the differences",
        lambda v: int(np.argmin(np.abs(v.view_centres - v.params_before[1:4]).sum(axis=1))),
    ),
    ("view_from_1", "the views are counted from 1", lambda v: v.out + 1),
    (
        "view_of_the_start",
        "the view is that of the start of the fit",
        lambda v: _nearest(v.view_centres, v.trace.steps[0].params[1:4]),
    ),
    (
        "view_of_translation",
        "the view is chosen by the wrong parameters",
        lambda v: _nearest(v.view_centres, v.params_before[0:3]),
    ),
    (
        "view_in_degrees",
        "the angles are converted to degrees, the centres are not",
        lambda v: _nearest(v.view_centres, np.rad2deg(v.params_before[1:4])),
    ),
):
    KNOWN.add("view", _name, _text, _function)
