"""How far two values of a fit are apart, each in a unit of its own, so that one tolerance serves them all.

Between a scale of 1e-3 and a Hessian of 1e5 no absolute difference means anything. Here parameters and updates are
measured in the pixels they move a landmark, maps relative to their peak, and so on: see `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.model import Model
from clnf_engine.pdm import RIGID, jacobian, landmarks
from clnf_engine.steps import Step

TOLERANCE = 1e-4
"""Values whose `error` is not above are the same; the smallest real fault that was measured is 2e-3."""

FLOAT32_LEVEL = 1e-5
"""What float32 arithmetic makes of right values stays below."""

FLOAT64_LEVEL = 1e-9
"""Likewise float64 arithmetic in another order, as far as a few iterations amplify it."""

Measure = Callable[[Floats, Floats, Step, Model | None], float]


def error(name: str, a: Any, b: Any, step: Step, model: Model | None = None) -> float:
    """How far a value is from what it should be, in its unit.

    Parameters
    ----------
    name : str
        Of the value, with or without its group: "delta", "responses.final", "mean_shift/image", "reg_factor".
    a, b : array or number
        The value and what it should be. A row of NaN stands for a landmark that was not recorded, and is left out.
    step : Step
        The moment that `b` belongs to; its parameters, Jacobian and mean-shifts give the scale.
    model : Model, optional
        With it parameters are measured by the landmarks they project to; without it, by a bound on how far these move.

    Returns
    -------
    float
        0 where nothing differs, inf where shapes differ or one is NaN alone.

    Raises
    ------
    KeyError
        When no value has this name.
    """
    measure = MEASURES[name.replace("/", ".").rpartition(".")[2]]
    x, y = (np.asarray(value) for value in (a, b))
    if x.dtype.kind in "OSU" or y.dtype.kind in "OSU":
        return 0.0 if np.array_equal(x, y) else 1.0
    if x.shape != y.shape:
        return np.inf
    with np.errstate(all="ignore"):  # a trace of another program may hold anything
        x, y = x.astype(np.float64), y.astype(np.float64)
        both = np.isnan(x) & np.isnan(y)
        found = measure(np.where(both, 0.0, x), np.where(both, 0.0, y), step, model)
    return float(np.inf) if np.isnan(found) else float(found)


# --- measures ---------------------------------------------------------------------------------------


def _same(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """1 unless all are equal: for what is true or false, or counted."""
    return float((a != b).any())


def _absolute(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    return _most(np.abs(a - b))


def _distance(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """Largest distance between a point and itself."""
    return _most(np.linalg.norm(a - b, axis=-1)[~_nowhere(a)])


def _relative(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """Largest difference over the largest of all."""
    return _most(_over(np.abs(a - b), np.full_like(b, _most(np.abs(b)))))


def _relative_each(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """Largest difference of a landmark's value over that value."""
    return _most(_over(np.abs(a - b), np.abs(b))[~np.isnan(a)])


def _of_255(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    return _most(np.abs(a - b)[~_nowhere(a)]) / 255


def _of_correlation(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    return _most(np.abs(a - b)[~_nowhere(a)])


def _of_peak(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """Largest difference within a landmark's map over that map's peak; that of all where a map is zero."""
    n = len(b)
    difference, peaks = (_rows_max(np.abs(v).reshape(n, -1)) for v in (a - b, b))
    return _most(_over(difference, peaks)[~_nowhere(a)])


def _moved_by_params(a: Floats, b: Floats, step: Step, model: Model | None) -> float:
    """Largest distance by which the landmarks of two parameter vectors are apart, image px."""
    if model is not None and a.shape == (RIGID + model.pdm.n_modes,) and np.isfinite([a, b]).all():
        return _most(np.linalg.norm(landmarks(model.pdm, a) - landmarks(model.pdm, b), axis=1))
    return _bound(a - b, step)


def _moved_by_delta(a: Floats, b: Floats, step: Step, model: Model | None) -> float:
    """Largest distance by which two updates move a landmark apart, to first order, image px."""
    columns = step.jacobian
    if columns is None and model is not None and np.isfinite(step.params).all():
        columns = jacobian(model.pdm, step.params, rigid=len(a) == RIGID)
    if columns is None or columns.shape[1] != len(a):
        return _bound(a - b, step)
    moved = columns.astype(np.float64) @ (a - b)
    return _most(np.linalg.norm(moved.reshape(2, -1), axis=0))


def _bound(difference: Floats, step: Step) -> float:
    """What a difference of parameters moves a landmark by at most, image px, when only the landmarks are known."""
    known = step.landmarks[np.isfinite(step.landmarks).all(axis=1)]
    reach = _most(np.linalg.norm(known - known.mean(axis=0), axis=1)) if len(known) else 1.0
    scale = abs(float(step.params[0])) if np.isfinite(step.params[0]) and step.params[0] else 1.0
    parts = np.abs(difference)
    turned = float(np.linalg.norm(difference[1:4])) * reach
    shifted = float(np.linalg.norm(difference[4:RIGID]))
    return float(parts[0]) / scale * reach + turned + shifted + scale * float(np.linalg.norm(difference[RIGID:]))


def _per_column(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """Largest difference within a column over its largest element; rows of landmarks left out are NaN."""
    left_out = np.isnan(a).all(axis=1)
    return _most(_over(_rows_max(np.abs(a - b)[~left_out].T), _rows_max(np.abs(b).T)))


def _by_diagonal(a: Floats, b: Floats, _: Step, __: Model | None) -> float:
    """Element (i, j) over √(H_ii·H_jj)."""
    size = np.sqrt(np.abs(np.diagonal(b)))
    return _most(_over(np.abs(a - b), np.outer(size, size)))


def _by_sum(a: Floats, b: Floats, step: Step, _: Model | None) -> float:
    """Element k over (|J|ᵀ·W·|v|)_k, the sum of what its terms could be if none cancelled another."""
    size = np.abs(b)
    if step.jacobian is not None and step.jacobian.shape[1] == len(b) and step.mean_shift is not None:
        shift: Array | None = getattr(step.mean_shift, "image", None)
        if shift is not None:
            weights = np.ones(len(shift)) if step.weights is None else step.weights
            size = np.abs(step.jacobian).T.astype(np.float64) @ (np.abs(shift) * weights[:, None]).T.ravel()
    return _most(_over(np.abs(a - b), size))


def _most(values: Floats) -> float:
    return float(values.max(initial=0.0))


def _rows_max(values: Floats) -> Floats:
    return np.asarray(values.max(axis=1, initial=0.0))


def _nowhere(a: Floats) -> Array:
    """Landmarks without a value: rows of NaN, (n,) bool."""
    return np.asarray(np.isnan(a.reshape(len(a), -1)).all(axis=1) & (a.size > 0))


def _over(difference: Floats, size: Floats) -> Floats:
    """A quotient; where the size is zero, over the largest size there is, or as it is where there is none."""
    size = np.where(size > 0, size, _most(np.nan_to_num(size)) or 1.0)
    return np.where(difference == 0, 0.0, difference / size)


MEASURES: dict[str, Measure] = {
    "params": _moved_by_params,
    "delta": _moved_by_delta,
    **dict.fromkeys(("landmarks", "landmarks_before", "base_shape", "reference_shape"), _distance),
    **dict.fromkeys(("position", "reference", "image"), _distance),
    **dict.fromkeys(("image_to_reference", "reference_to_image"), _relative),
    "area": _of_255,
    "neuron_ncc": _of_correlation,
    **dict.fromkeys(("neuron_output", "raw", "after_sigma", "shifted", "final"), _of_peak),
    **dict.fromkeys(("kernel_sum", "likelihoods", "weights"), _relative_each),
    "jacobian": _per_column,
    "hessian": _by_diagonal,
    "gradient": _by_sum,
    **dict.fromkeys(("shape_change", "likelihood"), _absolute),
    **dict.fromkeys(("update_norm", "scale", "sigma", "reg_factor", "weight_factor"), _relative),
    **dict.fromkeys(("visible", "empty", "clamped", "converged", "success", "message"), _same),
    **dict.fromkeys(("index", "window", "view", "patch_scale", "sigma_transform", "skipped"), _same),
}
"""Of every value by name, how its error is measured."""

_UNITS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("px a landmark is moved", ("params", "delta")),
    ("px", ("landmarks", "landmarks_before", "base_shape", "image", "shape_change")),
    ("reference px", ("reference_shape", "position", "reference")),
    ("of 255 grey levels", ("area",)),
    ("of the peak", ("neuron_output", "raw", "after_sigma", "shifted", "final")),
    ("of its column", ("jacobian",)),
    ("of its diagonal", ("hessian",)),
    ("of |J|ᵀ|v|", ("gradient",)),
    ("correlation", ("neuron_ncc",)),
    ("log-likelihood", ("likelihood",)),
    ("of itself", ("image_to_reference", "reference_to_image", "kernel_sum", "likelihoods", "weights", "update_norm")),
    ("of itself", ("scale", "sigma", "reg_factor", "weight_factor")),
)


def unit(name: str) -> str:
    """The unit of a value's `error` in words; "" where it is 0 or 1."""
    last = name.replace("/", ".").rpartition(".")[2]
    return next((words for words, names in _UNITS if last in names), "")
