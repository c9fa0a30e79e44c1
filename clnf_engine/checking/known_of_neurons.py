"""Known mistakes of the correlation and of the neurons."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, on, scale_aside, with_others
from clnf_engine.experts import MIN_ALPHA

KNOWN = Known()


# --- correlation -----------------------------------------------------------------------------------


def _correlated(
    v: Inputs,
    patch_mean: bool = True,
    patch_norm: bool = True,
    weight_mean: bool = True,
    weight_norm: bool = True,
    change: Callable[[Array], Array] = lambda weights: weights,
    norm: Callable[[Array], Array] = lambda patches: np.linalg.norm(patches, axis=-1),
) -> Array:
    """Correlation of every neuron with every patch, leaving out what is told, (n, K, w, w)."""
    area = np.asarray(v.area, dtype=np.float64)
    weights = change(v.experts.weights.astype(np.float64))
    n, k, height, width = weights.shape
    windows = sliding_window_view(area, (height, width), axis=(1, 2))
    rows, cols = windows.shape[1:3]
    patches = windows.reshape(n, rows * cols, height * width)
    weights = weights.reshape(n, k, -1)
    centred = patches - patches.mean(axis=-1, keepdims=True)
    spread = np.linalg.norm(centred, axis=-1)
    if patch_mean:
        patches = centred
    if weight_mean:
        weights = weights - weights.mean(axis=-1, keepdims=True)
    if weight_norm:
        length = np.linalg.norm(weights, axis=-1, keepdims=True)
        weights = np.divide(weights, length, out=np.zeros_like(weights), where=length > 0)
    found = weights @ patches.swapaxes(1, 2)
    if patch_norm:
        length = norm(patches)[:, None, :]
        known = np.broadcast_to((length > 0) & (spread[:, None, :] > 1e-3), found.shape)
        found = np.divide(found, length, out=np.zeros_like(found), where=known)
    return np.asarray(found.reshape(n, k, rows, cols))


for _means, _norms, _name, _text in (
    ((False, False), (True, True), "no_mean", "the correlation removes neither mean"),
    ((False, True), (True, True), "patch_mean_kept", "the correlation does not remove the patch's mean"),
    ((True, False), (True, True), "weight_mean_kept", "the correlation does not remove the weights' mean"),
    ((True, True), (False, True), "patch_norm_left_out", "the correlation does not divide by the patch's norm"),
    ((True, True), (True, False), "weight_norm_left_out", "the correlation does not divide by the weights' norm"),
    ((True, True), (False, False), "no_norm", "the correlation divides by neither norm"),
    ((False, False), (False, False), "plain_product", "the correlation is a plain product"),
    ((True, False), (True, False), "weights_as_they_are", "the correlation takes the weights as they are"),
    ((False, True), (False, True), "patch_as_it_is", "the correlation takes the patch as it is"),
    ((False, True), (False, False), "weight_mean_only", "the correlation only removes the weights' mean"),
    ((True, False), (False, False), "patch_mean_only", "the correlation only removes the patch's mean"),
    (
        (True, False),
        (False, True),
        "weight_norm_only",
        "the correlation removes the patch's mean and divides by the weights' norm",
    ),
    (
        (False, False),
        (False, True),
        "plain_product_of_unit_weights",
        "the correlation is the product with weights of norm 1",
    ),
    (
        (False, False),
        (True, False),
        "plain_product_of_unit_patches",
        "the correlation is the product with patches of norm 1",
    ),
):
    KNOWN.add("ncc", _name, _text, lambda v, m=_means, n=_norms: _correlated(v, m[0], n[0], m[1], n[1]))
for _name, _text, _change in (
    ("weights_transposed", "the weights of a neuron are transposed", lambda w: w.swapaxes(-1, -2)),
    ("convolution", "the weights are turned by 180°: a convolution", lambda w: w[..., ::-1, ::-1]),
    ("weights_mirrored", "the weights are mirrored left to right", lambda w: w[..., ::-1]),
    ("weights_upside_down", "the weights are upside down", lambda w: w[..., ::-1, :]),
    ("weights_negated", "the weights are negated", lambda w: -w),
    ("weights_of_the_next_landmark", "the weights are those of the next landmark", lambda w: np.roll(w, -1, axis=0)),
    ("weights_of_the_next_neuron", "the weights are those of the next neuron", lambda w: np.roll(w, -1, axis=1)),
    (
        "weights_of_the_first_neuron",
        "all neurons have the weights of the first",
        lambda w: np.repeat(w[:, :1], w.shape[1], 1),
    ),
):
    KNOWN.add("ncc", _name, _text, lambda v, change=_change: _correlated(v, change=change))
KNOWN.add(
    "ncc",
    "deviation_for_norm",
    "the patch is divided by its deviation, not its norm",
    lambda v: _correlated(v, norm=lambda p: p.std(axis=-1)),
)
KNOWN.add(
    "ncc",
    "variance_for_norm",
    "the patch is divided by its variance",
    lambda v: _correlated(v, norm=lambda p: p.var(axis=-1)),
)
KNOWN.add(
    "ncc",
    "sum_of_squares_for_norm",
    "the patch is divided by its sum of squares",
    lambda v: _correlated(v, norm=lambda p: (p * p).sum(axis=-1)),
)


@KNOWN.at("ncc", "the mean of the whole area is removed instead of the patch's")
def mean_of_the_area(v: Inputs) -> Array:
    area = np.asarray(v.area, dtype=np.float64)
    area = area - area.mean(axis=(1, 2), keepdims=True)
    return _correlated(with_others(v, area=area), patch_mean=False)


KNOWN.add("ncc", "clipped", "the correlation is clipped to 0…1", lambda v: np.clip(v.out, 0, 1))


def _expert_of(v: Inputs, view: int) -> Any:
    return v.scale.views[view]


KNOWN.add(
    "ncc neuron",
    "experts_of_view_0",
    "the experts are those of the first view",
    on("experts", lambda v: _expert_of(v, 0)),
)
for _by in (1, -1):
    KNOWN.add(
        "ncc neuron", "experts_of_the_next_view", "the experts are those of a neighbouring view",
        on("experts", lambda v, by=_by: _expert_of(v, (v.view + by) % len(v.scale.views))),
    )  # fmt: skip
    KNOWN.add(
        "ncc neuron", "experts_of_the_next_scale", "the experts are those of a neighbouring scale",
        on("experts", lambda v, by=_by: scale_aside(v, by).views[v.view]),
    )  # fmt: skip


# --- neurons ---------------------------------------------------------------------------------------


def _neuron(
    v: Inputs,
    inner: Callable[[Array, Array, Array], Array] = lambda ncc, norm, bias: ncc * norm + bias,
    gain: Callable[[Array], Array] = lambda alpha: 2 * alpha,
    outer: Callable[[Array], Array] = lambda x: 1 / (1 + np.exp(-x)),
    least: float = MIN_ALPHA,
) -> Array:
    e = v.experts
    norm, bias, alpha = (value[:, :, None, None] for value in (e.norm_weights, e.bias, e.alpha))
    return np.asarray(np.where(alpha > least, gain(alpha) * outer(inner(v.neuron_ncc, norm, bias)), 0.0))


for _name, _text, _parts in (
    ("bias_left_out", "the bias is left out", {"inner": lambda x, norm, bias: x * norm}),
    ("bias_negated", "the bias is subtracted", {"inner": lambda x, norm, bias: x * norm - bias}),
    ("norm_weights_left_out", "norm_weights is left out", {"inner": lambda x, norm, bias: x + bias}),
    ("norm_weights_and_bias_left_out", "norm_weights and bias are left out", {"inner": lambda x, norm, bias: x}),
    ("bias_inside", "the bias is multiplied by norm_weights too", {"inner": lambda x, norm, bias: (x + bias) * norm}),
    (
        "norm_weights_divide",
        "the correlation is divided by norm_weights",
        {"inner": lambda x, norm, bias: x / norm + bias},
    ),
    ("norm_weights_squared", "norm_weights is squared", {"inner": lambda x, norm, bias: x * norm * norm + bias}),
    ("exponent_sign", "the exponent has the other sign", {"inner": lambda x, norm, bias: -(x * norm + bias)}),
    (
        "exponent_sign_of_the_correlation",
        "the correlation has the other sign",
        {"inner": lambda x, norm, bias: -x * norm + bias},
    ),
    ("alpha_without_2", "α is not doubled", {"gain": lambda alpha: alpha}),
    ("alpha_left_out", "α is left out", {"gain": np.ones_like}),
    ("alpha_left_out", "α is left out, but not the 2", {"gain": lambda alpha: np.full_like(alpha, 2.0)}),
    ("alpha_squared", "α is squared", {"gain": lambda alpha: 2 * alpha**2}),
    ("alpha_inverse", "α divides", {"gain": lambda alpha: 2 / alpha}),
    ("alpha_root", "the square root of α is taken", {"gain": lambda alpha: 2 * np.sqrt(np.abs(alpha))}),
    ("linear", "the sigmoid is left out", {"outer": lambda x: x}),
    ("sigmoid_about_zero", "the sigmoid is less ½: from −1 to 1", {"outer": lambda x: 1 / (1 + np.exp(-x)) - 0.5}),
    ("tanh", "the sigmoid is a tanh", {"outer": np.tanh}),
    ("relu", "the sigmoid is a ramp", {"outer": lambda x: np.maximum(x, 0)}),
    ("exponential", "the sigmoid is an exponential", {"outer": np.exp}),
    ("sigmoid_of_twice", "the sigmoid is of twice its argument", {"outer": lambda x: 1 / (1 + np.exp(-2 * x))}),
    ("all_neurons", "neurons with a tiny α are not left out", {"least": -math.inf}),
    ("neurons_above_1e-3", "neurons with α up to 1e-3 are left out", {"least": 1e-3}),
    ("neurons_above_1e-2", "neurons with α up to 1e-2 are left out", {"least": 1e-2}),
    ("neurons_above_0.1", "neurons with α up to 0.1 are left out", {"least": 0.1}),
):
    KNOWN.add("neuron", _name, _text, lambda v, parts=_parts: _neuron(v, **parts))


def _present(v: Inputs) -> Array:
    return np.maximum(v.experts.neurons, 1)[:, None, None]


for _name, _text, _sum in (
    ("mean_of_neurons", "the neurons are averaged, not added", lambda v: v.out / _present(v)),
    (
        "mean_of_neurons",
        "the neurons are averaged over the largest number there is",
        lambda v: v.neuron_output.mean(axis=1),
    ),
    ("first_neuron", "only the first neuron counts", lambda v: v.neuron_output[:, 0]),
    ("last_neuron_left_out", "the last neuron is left out", lambda v: v.neuron_output[:, :-1].sum(axis=1)),
    ("last_neuron_left_out", "the last neuron of each expert is left out", lambda v: v.out - _last(v)),
    ("first_neuron_left_out", "the first neuron is left out", lambda v: v.neuron_output[:, 1:].sum(axis=1)),
    ("largest_neuron", "the largest neuron takes the place of the sum", lambda v: v.neuron_output.max(axis=1)),
    ("product_of_neurons", "the neurons are multiplied", lambda v: v.neuron_output.prod(axis=1)),
    ("divided_by_alphas", "the sum is divided by Σα", lambda v: v.out / _alphas(v)),
    ("divided_by_alphas", "the sum is divided by 2·Σα", lambda v: v.out / (2 * _alphas(v))),
    (
        "correlations_added",
        "the correlations are added instead of the neurons' outputs",
        lambda v: v.neuron_ncc.sum(axis=1),
    ),
    ("averaged_correlations", "the correlations are averaged", lambda v: v.neuron_ncc.mean(axis=1)),
):
    KNOWN.add("raw", _name, _text, _sum)


def _last(v: Inputs) -> Array:
    rows = np.arange(len(v.neuron_output))
    return np.asarray(v.neuron_output[rows, np.maximum(v.experts.neurons - 1, 0)])


def _alphas(v: Inputs) -> Array:
    total = v.experts.sum_alphas
    return np.asarray(np.where(total > 0, total, 1.0)[:, None, None])
