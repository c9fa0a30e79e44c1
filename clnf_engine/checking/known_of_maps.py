"""Known mistakes of Sigma, of the minimum and of the normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, on, scale_aside, with_others
from clnf_engine.experts import MIN_ALPHA
from clnf_engine.options import Normalization
from clnf_engine.response import normalize
from clnf_engine.sigma import sigma_matrices

KNOWN = Known()


# --- Sigma -----------------------------------------------------------------------------------------


def _components(v: Inputs, window: int | None = None) -> Array:
    found = v.scale.sigma_components.get(v.window if window is None else window)
    return np.zeros((0, v.window**2, v.window**2)) if found is None else found.astype(np.float64)


def _precision(
    v: Inputs, betas: Array | None = None, alphas: Array | None = None, components: Array | None = None
) -> Array:
    """``Σα·I + Σ_k β_k·Q_k``, (n, w², w²)."""
    parts = _components(v) if components is None else components
    e = v.experts
    betas = (e.betas if betas is None else betas)[:, : len(parts)]
    alphas = e.sum_alphas if alphas is None else alphas
    eye = np.eye(v.window**2)
    return np.asarray(np.tensordot(betas, parts[: betas.shape[1]], axes=1) + alphas[:, None, None] * eye)


Apply = Callable[[Array, Array], Array]
"""What makes maps, (n, w², 1), of precisions and raw maps."""


def _through(v: Inputs, apply: Apply, precision: Array) -> Array:
    n, exists = len(v.raw), v.experts.neurons > 0
    result = np.zeros_like(v.raw, dtype=np.float64)
    chosen = v.raw.reshape(n, -1)[exists]
    found = apply(precision[exists], chosen[:, :, None])
    result[exists] = found.reshape(-1, *v.raw.shape[1:])
    return result


def _inverse(precision: Array, raw: Array) -> Array:
    """Sigma's part: the inverse of twice a precision; to solve takes a third of the time."""
    return np.asarray(np.linalg.solve(2 * precision, raw))


def _betas(change: Callable[[Array], Array]) -> Callable[[Inputs], Array]:
    return lambda v: _through(v, _inverse, _precision(v, betas=change(v.experts.betas)))


def _sum_alphas(change: Callable[[Any], Array]) -> Callable[[Inputs], Array]:
    return lambda v: _through(v, _inverse, _precision(v, alphas=change(v.experts)))


for _name, _text, _function in (
    ("sigma_off", "Sigma is left out", lambda v: v.raw),
    ("sigma_without_2", "Sigma lacks the factor 2 of its inverse", lambda v: 2 * v.out),
    ("sigma_not_inverted", "Sigma is not inverted", lambda v: _through(v, lambda p, x: 2 * p @ x, _precision(v))),
    (
        "sigma_not_inverted",
        "Sigma is not inverted and lacks its 2",
        lambda v: _through(v, lambda p, x: p @ x, _precision(v)),
    ),
    ("betas_halved", "the betas are halved", _betas(lambda b: b / 2)),
    ("betas_doubled", "the betas are doubled", _betas(lambda b: b * 2)),
    ("betas_left_out", "the betas are left out", _betas(np.zeros_like)),
    ("betas_reversed", "the betas come in reverse order", _betas(lambda b: b[:, ::-1])),
    ("betas_rolled", "the betas belong to the next component", _betas(lambda b: np.roll(b, 1, axis=1))),
    ("betas_rolled", "the betas belong to the component before", _betas(lambda b: np.roll(b, -1, axis=1))),
    ("betas_negated", "the betas are negated", _betas(lambda b: -b)),
    ("betas_squared", "the betas are squared", _betas(np.square)),
    ("betas_exponential", "the exponentials of the betas are taken", _betas(np.exp)),
    ("betas_first_only", "only the first component counts", _betas(lambda b: b * (np.arange(b.shape[1]) == 0))),
    (
        "betas_last_left_out",
        "the last component is left out",
        _betas(lambda b: b * (np.arange(b.shape[1]) < b.shape[1] - 1)),
    ),
    (
        "betas_of_the_next_landmark",
        "the betas are those of the next landmark",
        _betas(lambda b: np.roll(b, -1, axis=0)),
    ),
    ("betas_of_one", "all betas are 1", _betas(np.ones_like)),
    ("alphas_left_out", "Σα is left out of Sigma", _sum_alphas(lambda e: np.full(len(e.alpha), 1e-6))),
    ("alphas_of_one", "Σα is 1 in Sigma", _sum_alphas(lambda e: np.ones(len(e.alpha)))),
    (
        "alphas_averaged",
        "the mean of α takes the place of its sum in Sigma",
        _sum_alphas(lambda e: e.sum_alphas / np.maximum(e.neurons, 1)),
    ),
    ("alphas_first", "the first α takes the place of their sum in Sigma", _sum_alphas(lambda e: e.alpha[:, 0])),
    (
        "alphas_above_the_threshold",
        "only the α of neurons that count are added up in Sigma",
        _sum_alphas(lambda e: np.where(e.alpha > MIN_ALPHA, e.alpha, 0).sum(axis=1)),
    ),
    ("alphas_squared", "the squares of α are added up in Sigma", _sum_alphas(lambda e: (e.alpha**2).sum(axis=1))),
    ("alphas_doubled", "Σα is doubled in Sigma", _sum_alphas(lambda e: 2 * e.sum_alphas)),
    ("alphas_halved", "Σα is halved in Sigma", _sum_alphas(lambda e: e.sum_alphas / 2)),
    ("sigma_by_column", "the map is read column by column for Sigma", lambda v: _by_column(v)),
    (
        "sigma_of_the_transpose",
        "Sigma gets the map by columns and gives it by rows",
        lambda v: _half_by_column(v, True),
    ),
    (
        "sigma_of_the_transpose",
        "Sigma gets the map by rows and gives it by columns",
        lambda v: _half_by_column(v, False),
    ),
    ("sigma_twice", "Sigma is applied twice", lambda v: _again(v)),
    ("sigma_rows_normalised", "the rows of Sigma add up to 1", lambda v: _rows_normalised(v)),
    ("sigma_diagonal", "only the diagonal of Sigma is applied", lambda v: _diagonal(v)),
    (
        "sigma_root",
        "the Cholesky factor of Sigma is applied",
        lambda v: _through(v, lambda p, x: np.linalg.cholesky(np.linalg.inv(2 * p)) @ x, _precision(v)),
    ),
):
    KNOWN.add("sigma", _name, _text, _function)
for _by in (1, -1, 2, -2):
    KNOWN.add(
        "sigma",
        "components_of_another_window",
        "the components are those of another window",
        lambda v, by=_by: _cut(v, by),
    )
for _view in range(7):
    KNOWN.add("sigma", "sigma_of_another_view", f"Sigma is that of view {_view + 1}", on("view", _view))
for _by in (1, -1):
    KNOWN.add(
        "sigma",
        "sigma_of_another_scale",
        "Sigma is that of a neighbouring scale",
        on("scale", lambda v, by=_by: scale_aside(v, by)),
    )


KNOWN.add(
    "sigma",
    "sigma_of_the_first_scale",
    "Sigma is that of the first scale",
    on("scale", lambda v: v.reference.model.scales[0]),
)
KNOWN.add(
    "sigma",
    "sigma_of_the_last_scale",
    "Sigma is that of the last scale",
    on("scale", lambda v: v.reference.model.scales[-1]),
)
KNOWN.add(
    "sigma", "sigma_of_the_first_landmark", "Sigma is that of the first landmark for all", lambda v: _of_one_landmark(v)
)
KNOWN.add(
    "ncc neuron",
    "experts_of_the_first_scale",
    "the experts are those of the first scale",
    on("experts", lambda v: v.reference.model.scales[0].views[v.view]),
)


def _of_one_landmark(v: Inputs) -> Array:
    exists = v.experts.neurons > 0
    first = int(np.flatnonzero(exists)[0])
    precision = np.repeat(_precision(v)[first : first + 1], len(exists), axis=0)
    return _through(v, _inverse, precision)


def _by_column(v: Inputs) -> Array:
    turned = _through(_turned(v), _inverse, _precision(v))
    return np.asarray(turned.swapaxes(1, 2))


def _half_by_column(v: Inputs, first: bool) -> Array:
    if first:
        return _through(_turned(v), _inverse, _precision(v))
    return np.asarray(v.out.swapaxes(1, 2))


def _turned(v: Inputs) -> Inputs:
    """The same values with the raw map transposed."""
    return with_others(v, raw=v.raw.swapaxes(1, 2))


def _again(v: Inputs) -> Array:
    sigma = sigma_matrices(v.scale, v.view, v.window)
    if sigma is None:
        raise LookupError(v.window)
    return np.asarray((sigma @ v.out.reshape(len(v.out), -1, 1)).reshape(v.out.shape))


def _rows_normalised(v: Inputs) -> Array:
    return _through(v, lambda p, x: np.linalg.solve(p, x) / np.linalg.solve(p, np.ones_like(x)), _precision(v))


def _diagonal(v: Inputs) -> Array:
    return _through(v, lambda p, x: np.linalg.inv(2 * p) * np.eye(p.shape[-1]) @ x, _precision(v))


def _cut(v: Inputs, by: int) -> Array:
    """With the components of another window, cut to this one's size or padded with zeros."""
    windows = sorted(v.scale.sigma_components)
    if v.window not in windows:
        raise LookupError(v.window)
    place = windows.index(v.window) + by
    if not 0 <= place < len(windows):
        raise LookupError(place)
    other = _components(v, windows[place])
    side = v.window**2
    components = np.zeros((len(other), side, side))
    size = min(side, other.shape[1])
    components[:, :size, :size] = other[:, :size, :size]
    return _through(v, _inverse, _precision(v, components=components))


# --- minimum and normalization ---------------------------------------------------------------------


def _least(maps: Array) -> Array:
    return np.asarray(maps.min(axis=(1, 2), keepdims=True))


for _name, _text, _function in (
    ("shift_left_out", "the minimum is never subtracted", lambda v: v.after_sigma),
    (
        "shift_always",
        "the minimum is subtracted also where it is positive",
        lambda v: v.after_sigma - _least(v.after_sigma),
    ),
    (
        "shift_clipped",
        "negative values are set to zero instead of the minimum subtracted",
        lambda v: np.maximum(v.after_sigma, 0),
    ),
    (
        "shift_of_all_maps",
        "the minimum of all maps is subtracted from each",
        lambda v: v.after_sigma - min(float(v.after_sigma.min()), 0),
    ),
    ("shift_added", "the minimum is added", lambda v: v.after_sigma + np.minimum(_least(v.after_sigma), 0)),
    ("shift_absolute", "the absolute value is taken", lambda v: np.abs(v.after_sigma)),
    (
        "shift_by_mean",
        "the mean is subtracted",
        lambda v: v.after_sigma - v.after_sigma.mean(axis=(1, 2), keepdims=True),
    ),
    (
        "shift_where_positive",
        "the minimum is subtracted where it is positive, and only there",
        lambda v: v.after_sigma - np.maximum(_least(v.after_sigma), 0),
    ),
    (
        "shift_twice",
        "the minimum is subtracted twice",
        lambda v: v.after_sigma - 2 * np.minimum(_least(v.after_sigma), 0),
    ),
):
    KNOWN.add("shift", _name, _text, _function)
for _normalization in Normalization:
    if _normalization is not Normalization.NONE:
        KNOWN.add(
            "normalise", f"normalised_{_normalization}", f"the maps are normalised: {_normalization}",
            lambda v, how=_normalization: normalize(np.asarray(v.shifted), how),
        )  # fmt: skip
for _name, _text, _function in (
    ("normalisation_left_out", "the maps are not normalised", lambda v: v.shifted),
    ("squared", "the maps are squared", lambda v: v.shifted**2),
    ("root", "the square root of the maps is taken", lambda v: np.sqrt(np.maximum(v.shifted, 0))),
    ("exponential", "the exponential of the maps is taken", lambda v: np.exp(v.shifted)),
    ("logarithm", "the logarithm of the maps is taken", lambda v: np.log(v.shifted)),
    ("softmax", "a softmax is taken of each map", lambda v: _softmax(v.shifted)),
    (
        "standardised",
        "each map has mean 0 and deviation 1",
        lambda v: (v.shifted - v.shifted.mean(axis=(1, 2), keepdims=True)) / v.shifted.std(axis=(1, 2), keepdims=True),
    ),
    ("unit_norm", "each map has norm 1", lambda v: v.shifted / np.sqrt((v.shifted**2).sum(axis=(1, 2), keepdims=True))),
    ("normalised_global_sum", "the maps are divided by the sum of all", lambda v: v.shifted / v.shifted.sum()),
    (
        "normalised_mean",
        "each map is divided by its mean",
        lambda v: v.shifted / v.shifted.mean(axis=(1, 2), keepdims=True),
    ),
    ("not_gained", "the gain is left out", lambda v: normalize(np.asarray(v.shifted), v.normalization)),
):
    KNOWN.add("normalise", _name, _text, _function)


def _softmax(maps: Array) -> Array:
    exponential = np.exp(maps - maps.max(axis=(1, 2), keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=(1, 2), keepdims=True))
