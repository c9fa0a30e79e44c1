"""What a trace tells of every moment: the values it recorded, and what the table's functions make of them.

Each operation is computed from the trace's own inputs at that moment, so a fault shows where it is made, and nowhere
else. What a trace lacks is computed from what comes before it, and the chain so far is judged as one operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clnf_engine.arrays import Array
from clnf_engine.deviations import without_deviations
from clnf_engine.experts import FLAT_STD
from clnf_engine.model import Model
from clnf_engine.moments import stage_values
from clnf_engine.operations import OPERATIONS, Functions
from clnf_engine.options import FitOptions, Precision
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step
from clnf_engine.trace import Trace
from clnf_engine.units import error

GIVERS = {row.gives: name for name, row in OPERATIONS.items() if name not in ("init", "project")}
"""Which operation gives a value."""

_ORDER = {name: place for place, name in enumerate(OPERATIONS)}
_GIVEN_AT = {value: _ORDER[name] for value, name in GIVERS.items()}

OF_MAPS = tuple(name for name in ResponseMaps.__dataclass_fields__ if name != "visible")
"""Values that the iterations of a stage share."""

ITERATIONS = (Phase.RIGID, Phase.NONRIGID)

_UNTAUGHT = ("kernel_sum", "moved")
"""Values that later operations do not take as they are recorded: a shift is judged by its maps."""

_MEASURED_BY_EQUATIONS = ("delta", "gradient")
"""Values whose unit needs the Jacobian, or the shifts and weights, of their moment."""

_MEASURED_AS = {"mean_shift": "reference", "mean_shift_image": "image", "moved": "params"}


class Missing(Exception):
    """A value that the trace does not record and that nobody can compute from what it does."""


class Inputs:
    """The values of a moment by name, for a hypothesis: ``v.raw``, ``v.sigma``, and ``v.out``, what is right there."""

    def __init__(self, read: Callable[[str], Any], out: Callable[[], Any], more: Mapping[str, Any]) -> None:
        self._read, self._out, self._more = read, out, more

    @property
    def out(self) -> Any:
        """What the operation gives when it is right."""
        return self._out()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._more[name] if name in self._more else self._read(name)


Hypothesis = Callable[[Inputs], Any]


@dataclass(frozen=True, eq=False)
class Reference:
    """What a trace is checked against.

    Attributes
    ----------
    model : Model
    options : FitOptions
        Those of the trace without deviations, in float64.
    functions : Functions
        Of these options.
    instead : mapping of operation to Hypothesis
        What takes the place of an operation.
    """

    model: Model
    options: FitOptions
    functions: Functions
    instead: Mapping[str, Hypothesis] = field(default_factory=dict)
    cache: dict[Any, Any] = field(default_factory=dict)

    def under(self, operation: str, hypothesis: Hypothesis) -> Reference:
        """The same with a hypothesis; what comes before its operation need not be computed again."""
        place = _ORDER[operation]
        kept = {key: value for key, value in self.cache.items() if _GIVEN_AT.get(key[1], -1) < place}
        return replace(self, instead={**self.instead, operation: hypothesis}, cache=kept)


def reference_of(trace: Trace, model: Model) -> Reference:
    """OpenFace's fit in float64, with the options that the trace names, deviations off."""
    options = replace(without_deviations(trace.options), precision=Precision.FLOAT64)
    return Reference(model, options, Functions(options))


class Moment:
    """A moment of a trace: what it recorded, and what can be computed there.

    Parameters
    ----------
    step : Step
    before : Step or None
        The moment before it, when the trace has it.
    stage : Stage or None
        With everything filled in that the trace does not tell.
    maps : Moment or None
        Where the maps of an iteration were made.
    context : mapping
        Further values that hypotheses may read: ``image``, ``trace``, ``stages``, ….
    """

    def __init__(
        self, step: Step, before: Step | None, stage: Stage | None, maps: Moment | None, context: Mapping[str, Any]
    ) -> None:
        self.step, self.before, self.stage, self.maps, self.context = step, before, stage, maps, context
        self.recorded = _recorded(step, before)
        self.flat: Array | None = None

    @property
    def iterates(self) -> bool:
        """Whether it is an iteration."""
        return self.step.phase in ITERATIONS

    def value(self, name: str, reference: Reference) -> Any:
        """A value as later operations take it: recorded, else computed; what is NaN in a record is computed, too."""
        if name in OF_MAPS and self.maps is not None:
            return self.maps.value(name, reference)
        found = None if name in _UNTAUGHT else self.recorded.get(name)
        if found is None:
            return self.computed(name, reference)
        if not np.isnan(found).any():
            return found
        try:
            computed = self.computed(name, reference)
        except Missing:
            return found
        return np.where(np.isnan(found), computed, found) if np.shape(computed) == found.shape else found

    def computed(self, name: str, reference: Reference) -> Any:
        """The value as the operation that gives it makes it of the values before it."""
        key = (id(self), name)
        if key not in reference.cache:
            reference.cache[key] = self._computed(name, reference)
        return reference.cache[key]

    def _computed(self, name: str, reference: Reference) -> Any:
        constants = self.constants(reference)
        if name in constants:
            return constants[name]
        if name == "landmarks_before":
            return self.compute("project", reference, {"params": self.value("params_before", reference)})
        if name in OF_MAPS and self.maps is not None:
            return self.maps.computed(name, reference)
        if name not in GIVERS or (name == "params" and not self.iterates):
            raise Missing(name)
        return self.compute(GIVERS[name], reference)

    def compute(self, operation: str, reference: Reference, given: Mapping[str, Any] | None = None) -> Any:
        """What an operation makes of the values here; of `given` ones first."""
        given = given or {}

        def read(name: str) -> Any:
            return given[name] if name in given else self.value(name, reference)

        def right() -> Any:
            arguments = [read(name) for name in OPERATIONS[operation].reads]
            if any(argument is None for argument in arguments):
                raise Missing(operation)
            try:
                return reference.functions[operation](*arguments)
            except Exception as error:  # a trace of another program may hold anything
                raise Missing(operation) from error

        hypothesis = reference.instead.get(operation)
        if hypothesis is None:
            return right()
        return hypothesis(
            Inputs(read, right, {**self.context, "moment": self, "reference": reference, "operation": operation})
        )

    def chain(self, operation: str, reference: Reference) -> tuple[str, ...]:
        """The operations from recorded values to this one, in order, this one last."""
        found: set[str] = set()
        self._collect(operation, found, self.constants(reference))
        return tuple(name for name in OPERATIONS if name in found)

    def _collect(self, operation: str, found: set[str], constants: Mapping[str, Any]) -> None:
        found.add(operation)
        for name in OPERATIONS[operation].reads:
            here = self.maps if name in OF_MAPS and self.maps is not None else self
            told = name in constants or name not in GIVERS or (name not in _UNTAUGHT and name in here.recorded)
            if not told and GIVERS[name] not in found:
                here._collect(GIVERS[name], found, constants)

    def constants(self, reference: Reference) -> Mapping[str, Any]:
        """What operations read here that none gives."""
        key = (id(self), "")
        if key not in reference.cache:
            values: dict[str, Any] = {"pdm": reference.model.pdm, "clamp_sigmas": reference.options.clamp_sigmas}
            if self.stage is not None:
                values |= stage_values(reference.model, reference.options, self.stage)
                values |= {"rigid": self.step.phase is Phase.RIGID, "image": self.context["image"]}
                values["sigma_transform"] = True
            reference.cache[key] = values
        constants: Mapping[str, Any] = reference.cache[key]
        return constants

    def scale(self, name: str, reference: Reference) -> Step:
        """The step that a value's unit is taken from, with the right Jacobian and shifts where it needs them."""
        if name not in _MEASURED_BY_EQUATIONS:
            return replace(self.step, params=self.recorded.get("params_before", self.step.params), jacobian=None)
        key = (id(self), "the step of units")  # no value of the table has this name
        if key not in reference.cache:
            known: dict[str, Any] = {"jacobian": None, "mean_shift": None, "weights": None}
            if "params_before" in self.recorded:
                known["params"] = self.recorded["params_before"]
            plain = replace(reference, instead={}, cache={})
            try:
                known["jacobian"] = self.compute("jacobian", plain)
                image = self.value("mean_shift_image", plain)
                known["mean_shift"] = MeanShift(image, image, image, image, image)
                known["weights"] = self.value("weights", plain)
            except Missing:
                pass
            reference.cache[key] = replace(self.step, **known)
        step: Step = reference.cache[key]
        return step


def _recorded(step: Step, before: Step | None) -> dict[str, Array]:
    """The values that a step tells, by the names of the table; what is all NaN is not told."""
    found: dict[str, Any] = {}
    if step.phase in ITERATIONS:
        shift = step.mean_shift
        if shift is not None:
            found |= {"position": shift.position, "kernel_sum": shift.kernel_sum}
            found |= {"mean_shift": shift.reference, "mean_shift_image": shift.image}
        for name in ("weights", "jacobian", "hessian", "gradient", "delta", "likelihoods", "params"):
            found[name] = getattr(step, name)
        found["params_before"] = None if before is None else before.params
        found["landmarks_before"] = step.landmarks_before
        if step.landmarks_before is None and before is not None:
            found["landmarks_before"] = before.landmarks
    else:
        found["params_before"] = step.params
        if step.responses is not None:
            found |= {name: getattr(step.responses, name) for name in OF_MAPS}
    known = {name: np.asarray(value, dtype=np.float64) for name, value in found.items() if value is not None}
    return {name: value for name, value in known.items() if value.size and not np.isnan(value).all()}


# --- the moments of a trace -------------------------------------------------------------------------


def moments_of(trace: Trace, reference: Reference) -> list[Moment]:
    """Every moment of a trace, in order; where iterations have maps of their own, also the one that makes them."""
    found: list[Moment] = []
    context: dict[str, Any] = {"image": trace.image, "trace": trace, "reference_options": reference.options}
    context["moments"] = found
    first_scaling: float | None = None
    maps: Moment | None = None
    known: dict[int, Moment] = {}
    previous: Step | None = None
    for step in trace.steps:
        before = previous if previous is None or _follows(previous, step) else None
        stage = None if step.stage is None else _filled(step.stage, previous or step, reference, first_scaling)
        if step.phase is Phase.RESPONSES or step.phase in ITERATIONS:
            assert stage is not None
            first_scaling = first_scaling or stage.scale
            key = -1 - stage.index if step.responses is None else id(step.responses)
            if key not in known and maps is not None and _same_maps(step, maps):
                known[key] = maps
            if key not in known:
                start = step if step.phase is Phase.RESPONSES else _start_of(step, before)
                known[key] = maps = Moment(start, before, _with_window(stage, step), None, context)
                found.append(maps)
            maps = known[key]
        if step.phase in ITERATIONS:
            assert maps is not None
            found.append(Moment(step, before, maps.stage and _as_of_maps(maps.stage, stage), maps, context))
        elif step.phase is not Phase.RESPONSES:
            found.append(Moment(step, before, None, None, context))
        previous = step
    return found


def _same_maps(step: Step, maps: Moment) -> bool:
    """Whether an iteration has the maps of a moment of its stage, perhaps in an object of its own."""
    theirs, own = maps.step.responses, step.responses
    if step.phase not in ITERATIONS or maps.step.stage is None or maps.step.stage.index != step.place[0]:
        return False
    if theirs is None or own is None:
        return theirs is own
    both = ((getattr(theirs, name), getattr(own, name)) for name in OF_MAPS)
    return all(a is b or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True)) for a, b in both)


def _as_of_maps(maps_stage: Stage, stage: Stage | None) -> Stage:
    """The stage of an iteration is that of its maps."""
    return maps_stage if stage is None else replace(stage, view=maps_stage.view, window=maps_stage.window)


def _follows(before: Step, step: Step) -> bool:
    """Whether a step is the next one after another, as far as that can be told."""
    if step.phase not in ITERATIONS or step.iteration is None:
        return True
    same = before.phase is step.phase and before.stage == step.stage and before.iteration is not None
    return step.iteration == (before.iteration or 0) + 1 if same else step.iteration <= 1


def _start_of(step: Step, before: Step | None) -> Step:
    """The moment that makes the maps of an iteration, when the trace has none for it."""
    unknown = np.full_like(step.params, np.nan), np.full_like(step.landmarks, np.nan)
    params, points = unknown if before is None else (before.params, before.landmarks)
    if before is None and step.iteration is not None and step.iteration > 1:
        params, points = unknown
    return Step(Phase.RESPONSES, params, points, stage=step.stage, responses=step.responses)


def _with_window(stage: Stage, step: Step) -> Stage:
    window = 0 if step.responses is None else step.responses.window
    return replace(stage, window=window) if window else stage


def _filled(stage: Stage, before: Step, reference: Reference, first_scaling: float | None) -> Stage:
    """A stage with what the trace does not tell, or tells of another model, as the reference would have it."""
    model, options = reference.model, reference.options
    patch_scale = min(max(stage.patch_scale, 0), len(model.scales) - 1)
    scale = model.scales[patch_scale]
    adapted = reference.functions.adapted(scale.patch_scaling, first_scaling or scale.patch_scaling)
    told = (stage.sigma, stage.reg_factor, stage.weight_factor)
    sigma, reg, weight = (right if math.isnan(value) else value for value, right in zip(told, adapted, strict=True))
    view = stage.view
    if view is None or not 0 <= view < len(scale.views):
        known = np.isfinite(before.params[1:4]).all()
        view = scale.nearest_view(before.params[1:4]) if known else 0
    window = stage.window or (options.windows[patch_scale] if patch_scale < len(options.windows) else 0)
    return replace(
        stage, patch_scale=patch_scale, scale=scale.patch_scaling, window=window, view=view,
        sigma=sigma, reg_factor=reg, weight_factor=weight,
    )  # fmt: skip


# --- errors -----------------------------------------------------------------------------------------


def error_of(name: str, recorded: Any, right: Any, moment: Moment, reference: Reference) -> float:
    """How far a recorded value is from the right one in its unit; what either lacks does not count."""
    if right is None:  # a solver that finds no solution
        return math.inf
    recorded, right = np.asarray(recorded, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if recorded.shape != right.shape:
        return math.inf
    unknown = np.isnan(recorded) | np.isnan(right)
    if unknown.any():
        recorded, right = (np.where(unknown, np.nan, value) for value in (recorded, right))
    return error(_MEASURED_AS.get(name, name), recorded, right, moment.scale(name, reference), reference.model)


def flat_landmarks(moment: Moment, reference: Reference) -> Array:
    """Landmarks with a patch that is flat but for rounding, where programs differ in what they do; (n,) bool."""
    maps = moment.maps or moment
    if maps.flat is None:
        maps.flat = _flat(maps, replace(reference, instead={}, cache={}))
    return maps.flat


def _flat(maps: Moment, reference: Reference) -> Array:
    try:
        area = maps.value("area", reference)
    except Missing:
        return np.zeros(reference.model.n_landmarks, dtype=bool)
    height, width = maps.constants(reference)["support"]
    # The largest minus the smallest grey level bounds the deviation, at a fraction of its cost.
    rows = sliding_window_view(area, height, axis=1)
    high, low = (sliding_window_view(ends, width, axis=2) for ends in (rows.max(axis=-1), rows.min(axis=-1)))
    return np.asarray((high.max(axis=-1) - low.min(axis=-1) < 4 * FLAT_STD).any(axis=(1, 2)))
