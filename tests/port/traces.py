"""Traces of the port: with mistakes, stripped of what a port may not record, and in conventions of another kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Model, ResponseMaps, Step, Trace

from .faces import FACES
from .mistakes import MISTAKES
from .port import Port

BARE = ("phase", "params", "landmarks", "stage", "iteration", "success", "message")
"""What a step has that records nothing but where it is."""
MAPS = ("neuron_ncc", "neuron_output", "raw", "after_sigma", "shifted", "final")
_matrices: dict[int, dict[tuple[int, ...], np.ndarray]] = {}
"""Sigma of every expert, of each model: ports without a mistake there need not invert it again."""


def faulty(names: tuple[str, ...], model: Model, options: FitOptions, dtype: Any = np.float64) -> Port:
    """A port with mistakes; those of a pair replace different methods."""
    port = Port(model, options, dtype)
    if all("sigma_matrix" not in MISTAKES[name].replaced for name in names):
        port.matrices = _matrices.setdefault(id(model), port.matrices)
    for name in names:
        for method, function in MISTAKES[name].replaced.items():
            assert method not in vars(port), f"{names} replace {method} twice"
            setattr(port, method, function.__get__(port))
    return port


@lru_cache(maxsize=24)  # a trace takes two megabytes
def recorded(names: str = "", face: str = "tiny", dtype: Any = np.float64, model: Model | None = None) -> Trace:
    """The trace of a port with mistakes, which `names` names with spaces between them."""
    what = FACES[face]
    port = faulty(tuple(names.split()), model or what.model(), FitOptions(**what.options), dtype)
    with np.errstate(all="ignore"):
        return port.fit(what.image(), what.box, what.angles)


# --- less than everything


def only_landmarks(trace: Trace) -> Trace:
    """Nothing but parameters and landmarks."""
    return _each(trace, lambda step: Step(**{name: getattr(step, name) for name in BARE}))


def only_final_maps(trace: Trace) -> Trace:
    """Of the response maps nothing but the last, of the iterations everything."""
    absent = {field.name: None for field in fields(ResponseMaps) if field.name != "final"}
    return _with_maps(trace, lambda maps: replace(maps, **absent))


def last_iterations(trace: Trace) -> Trace:
    """Of every phase only its last iteration."""
    steps = trace.steps
    kept = [
        step
        for step, following in zip(steps, (*steps[1:], None), strict=True)
        if following is None or step.phase is not following.phase or step.stage is not following.stage
    ]
    return replace(trace, steps=tuple(kept))


# --- conventions of the file


def in_degrees(trace: Trace) -> Trace:
    """Angles of the parameters in degrees."""
    factors = np.ones(trace.initial.params.size)
    factors[1:4] = 180 / np.pi
    return _with_params(trace, lambda params: params * factors)


def translation_before_rotation(trace: Trace) -> Trace:
    """Parameters as scale, tx, ty, rx, ry, rz."""
    order = [0, 4, 5, 1, 2, 3, *range(6, trace.initial.params.size)]
    return _with_params(trace, lambda params: params[order])


def jacobian_interleaved(trace: Trace) -> Trace:
    """Rows x and y of the first landmark, x and y of the second, and so on."""

    def changed(step: Step) -> Step:
        if step.jacobian is None:
            return step
        rows = step.jacobian.reshape(2, -1, step.jacobian.shape[1])
        return replace(step, jacobian=rows.transpose(1, 0, 2).reshape(step.jacobian.shape))

    return _each(trace, changed)


def maps_column_major(trace: Trace) -> Trace:
    """Maps as (landmark, column, row)."""

    def changed(maps: ResponseMaps) -> ResponseMaps:
        return replace(maps, **{name: getattr(maps, name).swapaxes(-1, -2).copy() for name in MAPS})

    return _with_maps(trace, changed)


def shifts_in_reference_pixels(trace: Trace) -> Trace:
    """Mean-shifts of `image` in reference px."""

    def changed(step: Step) -> Step:
        shift = step.mean_shift
        return step if shift is None else replace(step, mean_shift=replace(shift, image=shift.reference))

    return _each(trace, changed)


def iterations_from_0(trace: Trace) -> Trace:
    """Iterations counted from 0."""
    return _each(trace, lambda step: replace(step, iteration=step.iteration and step.iteration - 1))


CONVENTIONS: dict[str, Callable[[Trace], Trace]] = {
    "degrees": in_degrees,
    "params_order": translation_before_rotation,
    "jacobian_interleaved": jacobian_interleaved,
    "maps_column_major": maps_column_major,
    "shifts_in_reference_pixels": shifts_in_reference_pixels,
    "iterations_from_0": iterations_from_0,
}


def _each(trace: Trace, change: Callable[[Step], Step]) -> Trace:
    return replace(trace, steps=tuple(change(step) for step in trace.steps))


def _with_params(trace: Trace, change: Callable[[np.ndarray], np.ndarray]) -> Trace:
    initial = replace(trace.initial, params=change(trace.initial.params))
    return replace(_each(trace, lambda step: replace(step, params=change(step.params))), initial=initial)


def _with_maps(trace: Trace, change: Callable[[ResponseMaps], ResponseMaps]) -> Trace:
    changed = {id(s.responses): change(s.responses) for s in trace.steps if s.responses is not None}
    return _each(trace, lambda s: s if s.responses is None else replace(s, responses=changed[id(s.responses)]))
