"""The calls of a recorder with which a port would record a trace, played to the recorder of either language.

Values are given in every way there is: whole, of one landmark, of one neuron, with the step, and after it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine import Phase, Step, Trace
from clnf_engine.recorders.clnf_recorder import Recorder

Call = tuple[str, list[Any], dict[str, Any]]
ITERATED = (Phase.RIGID, Phase.NONRIGID)
SETTINGS = ("index", "window", "scale", "patch_scale", "view", "sigma", "reg_factor", "weight_factor")
LATER = ("likelihoods", "likelihood")
"""Known only when the phase has ended."""


def calls(trace: Trace) -> Iterator[Call]:
    """Method, arguments by place, and arguments by name, which are arrays."""
    first = trace.steps[0]
    header = {"box": np.array(trace.initial.box), "options": trace.options.to_json(), "model": trace.model_name}
    yield "begin", [trace.image, trace.initial.params, first.landmarks], header
    maps = None
    for step in trace.steps[1:]:
        values = arrays_of(step)
        if step.phase in (Phase.RESPONSES, Phase.SKIPPED):
            settings = {name: value for name in SETTINGS if (value := getattr(step.stage, name)) is not None}
            yield ("stage", [], settings) if step.phase is Phase.RESPONSES else ("skip", [step.message], settings)
        if step.responses is not None and step.responses is not maps:
            yield from calls_of_maps(step.responses)
            maps = step.responses
        if step.phase in ITERATED:
            for name in [name for name in ("jacobian", "hessian") if name in values]:
                yield "put", [], {name: values.pop(name)}
            for i in range(len(values["mean_shift/position"]) if "mean_shift/position" in values else 0):
                yield "put_at", [i], {"mean_shift/position": values["mean_shift/position"][i]}
            values.pop("mean_shift/position", None)
            later = {name: values.pop(name) for name in LATER if name in values}
            yield "iteration", [str(step.phase), step.iteration], values
            yield "more", [step.converged], later
        if step.phase is Phase.END:
            yield "end", [step.success, step.message], values


def calls_of_maps(maps: Any) -> Iterator[Call]:
    for field in fields(maps):
        array = getattr(maps, field.name)
        if array is None:
            continue
        if field.name.startswith("neuron_"):
            for i, k in np.ndindex(array.shape[:2]):
                yield "neuron", [k, i], {field.name: array[i, k]}
        elif field.name == "area":
            for i, one in enumerate(array):
                yield "map", [i], {field.name: one}
        else:
            yield "maps", [], {field.name: array}


def arrays_of(step: Step) -> dict[str, Any]:
    """The values of a step by the names of the format."""
    shifts = {} if step.mean_shift is None else vars(step.mean_shift)
    values = {field.name: getattr(step, field.name) for field in fields(step)} | {
        f"mean_shift/{name}": value for name, value in shifts.items()
    }
    return {name: value for name, value in values.items() if isinstance(value, (np.ndarray, float))}


def play(trace: Trace, rec: Recorder) -> None:
    """Record a trace in Python."""
    for method, places, names in calls(trace):
        named = {name.replace("/", "_"): value for name, value in names.items()}
        if method == "iteration":
            rec.iteration(places[0], iteration=places[1], **named)
        elif method == "more":
            rec.more(converged=places[0], **named)
        else:
            getattr(rec, method)(*places, **named)


def script(trace: Trace, path: Path) -> None:
    """Write the calls for ``replay.cpp``: a method, its words, and its arrays as dtype, shape and bytes."""
    with open(path, "wb") as file:
        for method, places, names in calls(trace):
            words = [value for value in places if not isinstance(value, np.ndarray)]
            options = names.pop("options", {})
            texts = [method, *(f"{value}" for value in words)]
            texts += [f"{name}={value}" for name, value in names.items() if isinstance(value, str)]
            texts += [f"option {name}={_option(value)}" for name, value in options.items() if _option(value)]
            arrays = dict(zip(("image", "params", "landmarks"), places, strict=True)) if method == "begin" else {}
            arrays |= {name: np.asarray(value) for name, value in names.items() if not isinstance(value, str)}
            file.write(struct.pack("<ii", len(texts), len(arrays)))
            for text in texts:
                _put(file, text.encode())
            for name, value in arrays.items():
                array = np.asarray(value, np.float64 if value.dtype.kind == "i" else value.dtype, order="C")
                _put(file, name.encode())
                file.write(
                    struct.pack(
                        f"<cii{array.ndim}i", array.dtype.char.encode(), array.itemsize, array.ndim, *array.shape
                    )
                )
                file.write(array.tobytes())


def _option(value: Any) -> str:
    """As ``replay.cpp`` reads it; an empty list is left out, which is the default of all that are lists."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _put(file: Any, data: bytes) -> None:
    file.write(struct.pack("<i", len(data)))
    file.write(data)
