"""Completed: the Steps of a recording as a viewer wants them, with NaN in the place of what was not recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats, read_only, read_only_fields
from clnf_engine.model import Model
from clnf_engine.options import MAX_WINDOW
from clnf_engine.pdm import landmarks
from clnf_engine.steps import MeanShift, ResponseMaps, Step, common_start
from clnf_engine.trace import Trace


def completed_steps(trace: Trace, model: Model | None = None) -> tuple[Step, ...]:
    """The Steps of a recording whose groups of maps and mean-shifts have all values, NaN where they were not recorded.

    Landmarks that were not recorded are projected from the parameters, ‖Δp‖ is computed from the update, and the
    change of the shape from the landmarks of the step before, by their definitions.

    Parameters
    ----------
    trace : Trace
        As it was read.
    model : Model, optional
        To project parameters with, where it has as many.

    Returns
    -------
    tuple of Step
        Steps that lack nothing are the same objects. A Step has no maps where not even their size is known.
    """
    return Completion(model).of(trace.steps)


class Completion:
    """Completes the Steps of a recording to which more are added, each of them once.

    Parameters
    ----------
    model : Model, optional
        As of `completed_steps`.
    """

    def __init__(self, model: Model | None = None) -> None:
        self._model = model
        self._maps: dict[int, tuple[ResponseMaps, ResponseMaps | None]] = {}
        self._given: list[Step] = []
        self._found: list[Step] = []

    def of(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """The Steps completed; those that were given before are completed to the same objects as then."""
        kept = common_start(self._given, steps)
        del self._given[kept:], self._found[kept:]
        for index in range(kept, len(steps)):
            step = steps[index]
            self._found.append(self._completed(step))
            self._given.append(step)
        return tuple(self._found)

    def _completed(self, step: Step) -> Step:
        shape = _landmarks(step, self._model)
        changes: dict[str, Any] = {} if shape is step.landmarks else {"landmarks": shape}
        if step.responses is not None:
            maps = step.responses
            if id(maps) not in self._maps:
                self._maps[id(maps)] = maps, _maps(maps, len(shape), 0 if step.stage is None else step.stage.window)
            whole = self._maps[id(maps)][1]
            if whole is not maps:
                changes["responses"] = whole
        if step.mean_shift is not None and not step.mean_shift.has(*MeanShift.__dataclass_fields__):
            changes["mean_shift"] = _shift(step.mean_shift, len(shape))
        if step.iteration is not None:
            changes |= _norms(step, shape, self._found[-1].landmarks if self._found else None)
        return replace(step, **changes) if changes else step


def projected(trace: Trace, model: Model) -> Trace:
    """A recording whose Steps have the landmarks of their parameters where none were recorded; itself if none were not.

    Parameters
    ----------
    trace : Trace
    model : Model
        One with other numbers of landmarks or parameters changes nothing.
    """
    if not any(np.isnan(step.landmarks).all() for step in trace.numbers):
        return trace
    if len(trace.landmarks) not in (0, model.n_landmarks):
        return trace
    steps = tuple(replace(step, landmarks=_landmarks(step, model)) for step in trace.steps)
    return replace(trace, steps=steps)


def _landmarks(step: Step, model: Model | None) -> Floats:
    """The landmarks of a Step; where none is recorded, those of its parameters if the model has as many."""
    missing = np.isnan(step.landmarks).all()
    if missing and model is not None and step.params.shape == (6 + model.pdm.n_modes,):
        if np.isfinite(step.params).all():
            return read_only(landmarks(model.pdm, step.params))
        return read_only(np.full((model.n_landmarks, 2), np.nan))
    return step.landmarks


def _maps(maps: ResponseMaps, n: int, window: int) -> ResponseMaps | None:
    """A group of maps with NaN where a value is missing; None where their size is not known."""
    names = tuple(ResponseMaps.__dataclass_fields__)
    if maps.has(*names):
        return maps
    side = maps.window or window
    if not 0 < side <= max(maps.window, MAX_WINDOW):  # a header may claim any window
        return None
    shapes = {
        **dict.fromkeys(("base_shape", "reference_shape"), (n, 2)),
        **dict.fromkeys(("image_to_reference", "reference_to_image"), (2, 2)),
        "area": (n, 1, 1),
        **dict.fromkeys(("neuron_ncc", "neuron_output"), (n, 0, side, side)),
    }
    values: dict[str, Array] = {
        name: getattr(maps, name) if maps.has(name) else np.full(shapes.get(name, (n, side, side)), np.nan)
        for name in names
        if name != "visible"
    }
    recorded = ~np.all([np.isnan(values[name]).all(axis=(1, 2)) for name in ("raw", "after_sigma", "final")], axis=0)
    values["visible"] = maps.visible if maps.has("visible") else recorded
    return read_only_fields(ResponseMaps(**values))


def _shift(shift: MeanShift, n: int) -> MeanShift:
    def value(name: str, *shape: int) -> Array:
        return getattr(shift, name) if shift.has(name) else np.full(shape, np.nan)

    pairs = {name: value(name, n, 2) for name in ("position", "reference", "image")}
    empty = shift.empty if shift.has("empty") else np.zeros(n, dtype=bool)
    return read_only_fields(MeanShift(kernel_sum=value("kernel_sum", n), empty=empty, **pairs))


def _norms(step: Step, shape: Floats, before: Floats | None) -> dict[str, float]:
    """What can be told of the size of an update that was recorded without it."""
    found = {}
    if step.update_norm is None and step.delta is not None:
        found["update_norm"] = float(np.linalg.norm(step.delta))
    start = before if step.landmarks_before is None else step.landmarks_before
    if step.shape_change is None and start is not None and start.shape == shape.shape and shape.size:
        change = float(np.linalg.norm(shape - start))
        if np.isfinite(change):
            found["shape_change"] = change
    return found
