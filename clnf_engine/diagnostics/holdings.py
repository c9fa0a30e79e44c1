"""Holdings: what a recorded run holds, what was converted when it was read, and which operations it lets one check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.diagnostics.differences import is_recorded
from clnf_engine.diagnostics.finding import Table
from clnf_engine.model import Model
from clnf_engine.steps import Phase, Step
from clnf_engine.trace import COMPARED, Trace

NEEDS: dict[str, tuple[str, ...]] = {
    "init": ("start",),
    "project": ("params", "landmarks"),
    "schedule": ("stage.window",),
    "stage": ("stage.scale", "stage.sigma", "stage.reg_factor", "stage.weight_factor"),
    "view": ("params", "stage.view"),
    "base_shape": ("landmarks", "responses.base_shape"),
    "reference_shape": ("params", "stage.scale", "responses.reference_shape"),
    "similarity": ("responses.base_shape", "responses.reference_shape", "responses.image_to_reference"),
    "similarity_inverse": ("responses.image_to_reference", "responses.reference_to_image"),
    "area": ("responses.base_shape", "responses.reference_to_image", "responses.area"),
    "ncc": ("responses.area", "responses.neuron_ncc"),
    "neuron": ("responses.neuron_ncc", "responses.neuron_output"),
    "raw": ("responses.neuron_output", "responses.raw"),
    "sigma": ("responses.raw", "responses.after_sigma"),
    "shift": ("responses.after_sigma", "responses.shifted"),
    "normalise": ("responses.shifted", "responses.final"),
    "position": ("landmarks", "responses.base_shape", "responses.image_to_reference", "mean_shift.position"),
    "kernel_sum": ("responses.final", "mean_shift.position", "stage.sigma", "mean_shift.kernel_sum"),
    "mean_shift": ("responses.final", "mean_shift.position", "stage.sigma", "mean_shift.reference"),
    "mean_shift_image": ("mean_shift.reference", "responses.reference_to_image", "mean_shift.image"),
    "weights": ("stage.weight_factor", "weights"),
    "jacobian": ("params", "jacobian"),
    "hessian": ("jacobian", "weights", "stage.reg_factor", "hessian"),
    "gradient": ("jacobian", "weights", "mean_shift.image", "params", "gradient"),
    "delta": ("hessian", "gradient", "delta"),
    "update": ("params", "delta"),
    "clamp": ("params", "delta"),
    "likelihood": ("responses.final", "landmarks", "responses.base_shape", "stage.sigma", "likelihoods"),
}
"""Of every operation of a fit, in order, what a trace must hold for it to be checked on its own."""

_SETTINGS = ("window", "scale", "view", "sigma", "reg_factor", "weight_factor")


@dataclass(frozen=True)
class Holding:
    """How much of one value a trace holds.

    Attributes
    ----------
    name : str
        As in `COMPARED`, or "stage.sigma" and the like.
    moments, of : int
        In how many moments it is, of how many that could have it.
    dtype : str
        "" for what is no array.
    landmarks : int or None
        Of how many landmarks, where it has a row for each.
    """

    name: str
    moments: int
    of: int
    dtype: str
    landmarks: int | None


@dataclass(frozen=True, eq=False)
class Holdings:
    """What a trace holds.

    Attributes
    ----------
    trace : Trace
    values : tuple of Holding
        All that a trace can hold, also what this one does not.
    matches : bool or None
        Whether its fingerprint is that of the model; None when one of the two is not known.
    """

    trace: Trace
    values: tuple[Holding, ...]
    matches: bool | None

    def missing(self, operation: str) -> tuple[str, ...]:
        """What the trace lacks in all moments that checking an operation needs."""
        there = {value.name for value in self.values if value.moments}
        return tuple(name for name in NEEDS[operation] if name not in there)

    def tables(self) -> tuple[Table, ...]:
        """What it holds, and what that is enough for."""
        held = tuple((v.name, v.moments, v.of, v.dtype or None, v.landmarks) for v in self.values if v.moments)
        lacking = {operation: self.missing(operation) for operation in NEEDS}
        checks = tuple((name, not gone, ", ".join(gone) or None) for name, gone in lacking.items())
        return (
            Table("What it holds", ("value", "moments", "of", "dtype", "landmarks"), held),
            Table("What a check can see", ("operation", "can be checked alone", "missing"), checks),
        )

    def lines(self) -> Iterator[str]:
        """In words: what is not in the tables."""
        trace = self.trace
        height, width = trace.image.shape
        absent = [value.name for value in self.values if not value.moments]
        yield f"model {trace.model_name}, {self._model()}"
        yield f"image of {width} x {height} px, {len(trace.numbers)} steps, {len(trace.landmarks)} landmarks"
        yield f"not recorded: {', '.join(absent) or 'nothing'}"
        yield from (f"converted: {line}" for line in trace.converted)
        yield from (f"convention: {name}" for name in trace.conventions)
        yield from (f"note: {name} = {text[:200]}" for name, text in trace.notes)

    def _model(self) -> str:
        told = self.trace.fingerprint
        if not told:
            return "its fingerprint is not recorded"
        words = {None: "", True: ", that of the model given", False: ", not that of the model given"}
        return f"fingerprint {told}{words[self.matches]}"

    def document(self, path: str) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        trace = self.trace
        return {
            "version": 1,
            "trace": path,
            "model": trace.model_name,
            "model_fingerprint": trace.fingerprint or None,
            "model_matches": self.matches,
            "image_size": list(trace.image.shape[::-1]),
            "landmarks": len(trace.landmarks),
            "steps": len(trace.numbers),
            "complete": trace.complete,
            "start": trace.initial.known,
            "values": [vars(value) for value in self.values],
            "converted": list(trace.converted),
            "conventions": list(trace.conventions),
            "notes": {name: json.loads(text) for name, text in trace.notes},
            "operations": [{"name": name, "missing": list(self.missing(name))} for name in NEEDS],
        }


def holdings(trace: Trace, model: Model | None = None) -> Holdings:
    """Tell what a trace holds.

    Parameters
    ----------
    trace : Trace
    model : Model, optional
        To compare fingerprints with.

    Returns
    -------
    Holdings
    """
    known = trace.fingerprint and model is not None
    values = (_start(trace), *_settings(trace), *_recorded(trace))
    return Holdings(trace, values, trace.fingerprint == model.fingerprint if known and model is not None else None)


def _start(trace: Trace) -> Holding:
    return Holding("start", int(trace.initial.known), 1, "", None)


def _settings(trace: Trace) -> Iterator[Holding]:
    stages = [summary.stage for summary in trace.stages]
    for name in _SETTINGS:
        values = [getattr(stage, name) for stage in stages if not stage.skipped]
        there = [value for value in values if not (value is None or value != value or (name == "window" and not value))]  # noqa: PLR0124  # NaN is not itself
        yield Holding(f"stage.{name}", len(there), len(values), "", None)


def _recorded(trace: Trace) -> Iterator[Holding]:
    """Of every value of a Step; maps that several Steps share count once."""
    counts = {name: [0, 0] for name in COMPARED}
    samples: dict[str, Any] = {}
    maps: object = None
    for step in trace.steps:
        shared, maps = step.responses is maps, step.responses or maps
        for name in COMPARED:
            group, _, attribute = name.rpartition(".")
            if not _could_have(step, name) or (group == "responses" and shared and step.responses is not None):
                continue
            if group == "responses" and step.responses is None and step.phase is not Phase.RESPONSES:
                continue
            value = getattr(getattr(step, group) if group else step, attribute, None)
            counts[name][1] += 1
            if is_recorded(name, value):
                counts[name][0] += 1
                samples.setdefault(name, value)
    for name, (there, of) in counts.items():
        sample = samples.get(name)
        array = sample if isinstance(sample, np.ndarray) else None
        yield Holding(name, there, of, "" if array is None else str(array.dtype), _landmarks(trace, array))


def _could_have(step: Step, name: str) -> bool:
    """Whether a fit's Step of this phase has a value of this name."""
    if name in ("params", "landmarks"):
        return True
    if name == "success":
        return step.phase is Phase.END
    iterates = step.phase in (Phase.RIGID, Phase.NONRIGID)
    return iterates or (name.startswith("responses.") and step.phase is Phase.RESPONSES)


def _landmarks(trace: Trace, array: Array | None) -> int | None:
    """How many landmarks an array has a row for that is not NaN; None for arrays of something else."""
    n = len(trace.landmarks)
    if array is None or array.ndim == 0 or n == 0 or len(array) not in (n, 2 * n) or array.shape == (n, n):
        return None
    rows = array[:n].reshape(n, -1)
    return int((~np.isnan(rows.astype(np.float64)).all(axis=1)).sum())
