"""Trace files of version 1, read as strictly as they were written: twelve maps or none, given dtypes, no gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.initial import Initial
from clnf_engine.io.trace_parts import ITERATION_PHASES, NUMBERS, RESPONSES, SHIFTS, TraceContent, field, optional
from clnf_engine.options import FitOptions, Source
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step

_ARRAY_FIELDS = (
    "landmarks_before",
    "weights",
    "jacobian",
    "hessian",
    "gradient",
    "delta",
    "clamped",
    "likelihoods",
)
_SOMETIMES_MISSING = {"delta", "likelihoods"}
"""Array fields that not every iteration has; a row of NaN stands for a missing one."""
_FLOATS = (np.float64, np.float32)


def content(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> TraceContent:
    """The content of a version 1 trace from its arrays and its header, read strictly.

    Raises
    ------
    KeyError, ValueError, OverflowError, ClnfError
        When something is missing or does not fit together.
    """
    image, params, points = arrays["image"], arrays["params"], arrays["landmarks"]
    entries = field(header, "steps", list)
    count, n = len(entries), points.shape[1] if points.ndim == 3 else 0
    _expect("image", image, (None, None), np.uint8)
    _expect("params", params, (count, None), np.float64)
    _expect("landmarks", points, (count, None, 2), np.float64)
    if count == 0 or params.shape[1] < 6:
        raise ValueError("it has no steps or fewer than 6 parameters")
    numbers = {name: arrays[name] for name in NUMBERS if name in arrays}
    for name, values in numbers.items():
        _expect(name, values, (count,), np.float64)
    stages = [_stage(entry) for entry in field(header, "stages", list)]
    steps = [_StepEntry(entry, len(stages)) for entry in entries]
    maps = {k: _responses(arrays, k, n) for k in sorted({s.responses for s in steps if s.responses is not None})}
    rows = {phase: _iteration_rows(arrays, phase, steps, n, params.shape[1]) for phase in ITERATION_PHASES}
    result = []
    for k, entry in enumerate(steps):
        found: dict[str, Any] = next(rows[entry.phase]) if entry.phase in rows else {}
        found |= {name: None if np.isnan(column[k]) else float(column[k]) for name, column in numbers.items()}
        result.append(
            Step(
                phase=entry.phase,
                params=params[k],
                landmarks=points[k],
                stage=None if entry.stage is None else stages[entry.stage],
                iteration=entry.iteration,
                responses=None if entry.responses is None else maps[entry.responses],
                converged=entry.converged,
                success=entry.success,
                message=entry.message,
                **found,
            )
        )
    initial = _initial(arrays, field(header, "initial", dict))
    options = FitOptions.from_json(field(header, "options", dict))
    return TraceContent(image, field(header, "model", str), initial, options, tuple(result))


class _StepEntry:
    """A step's entry in the header, checked."""

    def __init__(self, entry: Any, n_stages: int) -> None:
        if not isinstance(entry, dict):
            raise ValueError("a step in its header is not a JSON object")
        self.phase = Phase(field(entry, "phase", str))
        self.stage = optional(entry, "stage", int)
        if self.stage is not None and not 0 <= self.stage < n_stages:
            raise ValueError(f"a step names stage {self.stage}, but there are {n_stages}")
        self.iteration = optional(entry, "iteration", int)
        self.responses = optional(entry, "responses", int)
        self.converged = optional(entry, "converged", bool)
        self.success = optional(entry, "success", bool)
        self.message = optional(entry, "message", str) or ""


def _stage(entry: Any) -> Stage:
    if not isinstance(entry, dict):
        raise ValueError("a stage in its header is not a JSON object")
    unknown = set(entry) - {one.name for one in fields(Stage)}
    if unknown:
        raise ValueError(f"a stage in its header has an unknown key {min(unknown)!r}")
    index, patch_scale = field(entry, "index", int), optional(entry, "patch_scale", int)
    sigma_transform = optional(entry, "sigma_transform", bool)
    return Stage(
        index=index,
        scale=field(entry, "scale", float),
        window=field(entry, "window", int),
        view=optional(entry, "view", int),
        sigma=field(entry, "sigma", float),
        reg_factor=field(entry, "reg_factor", float),
        weight_factor=field(entry, "weight_factor", float),
        skipped=optional(entry, "skipped", str) or "",
        patch_scale=index if patch_scale is None else patch_scale,
        sigma_transform=sigma_transform is not False,
    )


def _initial(arrays: Mapping[str, Array], entry: Mapping[str, Any]) -> Initial:
    params, box = arrays["initial_params"], field(entry, "box", list)
    _expect("initial_params", params, (None,), np.float64)
    if len(box) != 4 or any(type(value) not in (int, float) for value in box):
        raise ValueError(f"box in its header is {str(box)[:60]}; expected four numbers")
    x, y, width, height = (float(value) for value in box)
    return Initial(params, Source(field(entry, "source", str)), (x, y, width, height), optional(entry, "seed", int))


def _responses(arrays: Mapping[str, Array], k: int, n: int) -> ResponseMaps:
    maps = {name: arrays[f"responses/{k}/{name}"] for name in RESPONSES}
    window = maps["final"].shape[-1] if maps["final"].ndim else 0
    square, of_neurons = (n, window, window), (n, None, window, window)
    shapes: dict[str, tuple[tuple[int | None, ...], tuple[Any, ...]]] = {
        "base_shape": ((n, 2), (np.float64,)),
        "reference_shape": ((n, 2), (np.float64,)),
        "image_to_reference": ((2, 2), (np.float64,)),
        "reference_to_image": ((2, 2), (np.float64,)),
        "visible": ((n,), (np.bool_,)),
        "area": ((n, None, None), (np.float32,)),
        "neuron_ncc": (of_neurons, _FLOATS),
        "neuron_output": (of_neurons, _FLOATS),
    }
    for name, array in maps.items():
        shape, dtypes = shapes.get(name, (square, _FLOATS))
        _expect(f"responses/{k}/{name}", array, shape, *dtypes)
    if len({maps[name].dtype for name in ("raw", "after_sigma", "shifted", "final")}) > 1:
        raise ValueError(f"responses/{k} has maps of different dtypes")
    return ResponseMaps(**maps)


def _iteration_rows(
    arrays: Mapping[str, Array], phase: Phase, steps: list[_StepEntry], n: int, p: int
) -> Iterator[dict[str, Any]]:
    """The values of a phase's iterations, in order; the arrays are checked at once."""
    count, q = sum(step.phase is phase for step in steps), 6 if phase is Phase.RIGID else p
    shapes = {
        "landmarks_before": (n, 2),
        "weights": (n,),
        "jacobian": (2 * n, q),
        "hessian": (q, q),
        "gradient": (q,),
        "delta": (q,),
        "clamped": (p,),
        "likelihoods": (n,),
        "mean_shift/kernel_sum": (n,),
        "mean_shift/empty": (n,),
    }
    found = {}
    for name in (*_ARRAY_FIELDS, *(f"mean_shift/{name}" for name in SHIFTS)):
        array = arrays.get(f"{phase}/{name}")
        if array is not None:
            dtypes = (np.bool_,) if name in ("clamped", "mean_shift/empty") else _FLOATS
            _expect(f"{phase}/{name}", array, (count, *shapes.get(name, (n, 2))), *dtypes)
            found[name] = array
    return _rows(found, count)


def _rows(arrays: Mapping[str, Array], count: int) -> Iterator[dict[str, Any]]:
    has_shifts = all(f"mean_shift/{name}" in arrays for name in SHIFTS)
    for k in range(count):
        values: dict[str, Any] = {name: arrays[name][k] for name in _ARRAY_FIELDS if name in arrays}
        for name in _SOMETIMES_MISSING & values.keys():
            if np.isnan(values[name]).all():
                values[name] = None
        if has_shifts:
            values["mean_shift"] = MeanShift(**{name: arrays[f"mean_shift/{name}"][k] for name in SHIFTS})
        yield values


def _expect(name: str, array: Array, shape: tuple[int | None, ...], *dtypes: Any) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype not in dtypes:
        wanted = "×".join("any" if size is None else str(size) for size in shape)
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(f"{name} is {array.dtype} {array.shape}; expected {names} {wanted}")
