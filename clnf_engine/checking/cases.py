"""Cases of every operation, made from a model alone: what it reads, what it gives, and which corners they exercise.

Four moments of a fit that never was: turned heads, one with landmarks that are not seen, one over the border of the
image, and one with negative maps, an empty kernel, landmarks beyond their windows and a step beyond every bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Moment, Reference, moments_of, reference_of
from clnf_engine.checking.outline import OutlineRow
from clnf_engine.checking.rows import UNFITTING, Row
from clnf_engine.experts import MIN_ALPHA
from clnf_engine.initial import initial_from_params
from clnf_engine.mean_shift import TABLE_STEP, free_positions
from clnf_engine.model import Model
from clnf_engine.moments import iterate, response_maps
from clnf_engine.operations import EQUATIONS, MAPS, OPERATIONS, Functions
from clnf_engine.options import FitOptions
from clnf_engine.pdm import RIGID, landmarks
from clnf_engine.schedule import MIN_REG_FACTOR, Schedule
from clnf_engine.steps import Phase, Stage, Step
from clnf_engine.trace import Trace


@dataclass(frozen=True, eq=False)
class Case:
    """One evaluation of an operation.

    Attributes
    ----------
    operation : str
    number : int
        Among those of its operation, from 1.
    row : Row
        What is recorded there is what is right.
    inputs : dict
        What the operation reads, by name.
    corners : tuple of str
    """

    operation: str
    number: int
    row: Row
    inputs: dict[str, Any]
    corners: tuple[str, ...]

    @property
    def name(self) -> str:
        """As files are named."""
        return f"{self.operation}/{self.number}"


@dataclass(frozen=True, eq=False)
class Cases:
    """The cases of a model.

    Attributes
    ----------
    reference : Reference
    every : tuple of Case
    """

    reference: Reference
    every: tuple[Case, ...]

    def of(self, operation: str) -> list[Case]:
        """The cases of one operation."""
        return [case for case in self.every if case.operation == operation]

    def not_exercised(self, operation: str) -> list[str]:
        """Corners of an operation that this model has no case of."""
        met = {corner for case in self.of(operation) for corner in case.corners}
        return [corner for corner in CORNERS[operation] if corner not in met]


def cases_of(model: Model) -> Cases:
    """The cases of every operation, the same for the same model."""
    model = _with_hidden_landmarks(model)
    options = FitOptions(weight_factor=2.5)
    trace = _trace(model, options)
    reference = reference_of(trace, model)
    moments = moments_of(trace, reference)
    rows = [*_outline(moments, reference), *(row for moment in moments for row in _rows(moment, reference))]
    found: list[Case] = []
    for name in OPERATIONS:
        own = [row for row in rows if row.operation == name]
        for number, row in enumerate(own, start=1):
            inputs = _inputs(row, reference)
            corners = tuple(corner for corner, met in CORNERS[name].items() if met(inputs, row.recorded))
            found.append(Case(name, number, row, inputs, corners))
    return Cases(reference, tuple(found))


# --- moments ----------------------------------------------------------------------------------------


def _with_hidden_landmarks(model: Model) -> Model:
    """The model, a view of which does not see every landmark; where all do, those of the last scale are made so."""
    if any(not view.visible.all() for view in model.scales[-1].views):
        return model
    hidden = np.arange(model.n_landmarks) % 7 == 3 % model.n_landmarks
    last = model.scales[-1]
    views = tuple(
        replace(
            view,
            visible=view.visible & ~hidden,
            neurons=np.where(hidden, 0, view.neurons),
            **{
                name: np.where(hidden.reshape(-1, *[1] * (value.ndim - 1)), 0, value).astype(value.dtype)
                for name in ("weights", "norm_weights", "bias", "alpha", "betas", "patch_confidence")
                for value in [getattr(view, name)]
            },
        )
        for view in last.views
    )
    return replace(model, scales=(*model.scales[:-1], replace(last, views=views)))


def _image(model: Model, scale: float) -> tuple[Array, Floats]:
    """A smooth picture with room for a face of this scale, and its middle, px."""
    reach = np.ptp(model.pdm.mean.reshape(3, -1)[:2], axis=1) * scale
    width, height = (int(size) + 60 for size in reach)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = sum(
        np.cos((k + 1) * 0.11 * (math.cos(1.7 * k) * x + math.sin(1.7 * k) * y) + k) / (k + 1) ** 0.7 for k in range(9)
    )
    return np.clip(np.rint(128 + 38 * waves), 0, 255).astype(np.uint8), np.array([width, height]) / 2


def _params(model: Model, scale: float, angles: Sequence[float], place: Floats, modes: float) -> Floats:
    size = model.pdm.n_modes
    q = modes * np.sqrt(model.pdm.variances) * np.cos(1.3 * np.arange(size))
    return np.concatenate([[scale], angles, place, q])


def _trace(model: Model, options: FitOptions) -> Trace:
    functions = Functions(options)
    scale = 1.25 * max(s.patch_scaling for s in model.scales)
    image, middle = _image(model, scale)
    last = len(model.scales) - 1
    unseen = next(k for k, view in enumerate(model.scales[last].views) if not view.visible.all())
    own = model.scales[last].view_centres[unseen]
    scenes = (
        (0, (0.15, -0.25, 0.1), middle, 0.8, 0.0, False),
        (last, tuple(own + np.array([0.02, 0.03, -0.12])), middle + np.array([2.3, -1.6]), -0.6, 2.5, False),
        (min(1, last), (-0.1, 0.2, 0.35), np.array([4.2, 7.7]), 0.5, 2.5, False),
        (0, (1.45, -0.2, 0.3), middle, 1.2, 0.0, True),
    )
    steps: list[Step] = []
    for index, (patch_scale, angles, place, modes, weight, harsh) in enumerate(scenes):
        params = _params(model, scale, angles, place, modes)
        steps += _scene(model, functions, image, index, patch_scale, params, weight, harsh)
    first = steps[0]
    initial = initial_from_params(model, first.params)
    whole = (Step(Phase.INITIAL, first.params, first.landmarks), *steps)
    return Trace(image, model.name, initial, options, whole)


def _scene(
    model: Model, functions: Functions, image: Array, index: int, patch_scale: int, params: Floats, weight: float,
    harsh: bool,
) -> Iterator[Step]:  # fmt: skip
    """The maps of a stage and an iteration of both phases; `harsh` with values that no fit should meet."""
    scale = model.scales[patch_scale]
    sigma, reg, _ = functions.adapted(scale.patch_scaling, model.scales[0].patch_scaling)
    window = functions.schedule(len(model.scales)).stages[patch_scale][1]
    view = scale.nearest_view(params[1:4])
    stage = Stage(index, scale.patch_scaling, window, view, sigma, reg, weight, "", patch_scale, True)
    points = landmarks(model.pdm, params)
    maps = response_maps(image, model, functions, stage, params)
    # Landmarks have moved since the maps were made, as in a later iteration.
    away = np.array([math.cos(1), math.sin(1)]) * np.cos(np.arange(len(points)))[:, None] * (40 if harsh else 2)
    if harsh:
        final = maps.final.copy()
        final[np.flatnonzero(maps.visible)[:1]] = 0.0
        size = np.abs(maps.after_sigma).max()
        offset = size * np.cos(2.1 * np.arange(len(points)))[:, None, None]
        maps = replace(maps, after_sigma=maps.after_sigma + offset, final=final)
    before = Step(Phase.RESPONSES, params, points, stage=stage, responses=maps)
    yield before
    for phase in (Phase.RIGID, Phase.NONRIGID):
        moved = replace(before, landmarks=points + away, responses=maps)
        step = iterate(model, functions, stage, maps, moved, phase, 1)
        yield replace(step, delta=_far(model, len(step.delta)) if harsh else step.delta)  # type: ignore[arg-type]


def _far(model: Model, size: int) -> Floats:
    """A step that takes angles and modes beyond their bounds, (p,)."""
    modes = 7 * np.sqrt(model.pdm.variances) * np.cos(2.5 * np.arange(model.pdm.n_modes))
    return np.concatenate([[0.02, 0.35, 0.15, -0.2, 3.5, -2.25], modes])[:size]


# --- rows -------------------------------------------------------------------------------------------


def _rows(moment: Moment, reference: Reference) -> Iterator[Row]:
    names: Sequence[str] = ()
    if moment.iterates:
        names = (*EQUATIONS, "update", "clamp", "likelihood")
    elif moment.stage is not None:
        names = MAPS
    for name in names:
        try:
            right = moment.compute(name, reference)
        except UNFITTING:
            continue
        if right is not None:
            yield Row(name, OPERATIONS[name].gives, moment, np.asarray(right), (name,))


def _outline(moments: Sequence[Moment], reference: Reference) -> Iterator[Row]:
    model, anywhere = reference.model, moments[0]
    pdm, scales = model.pdm, model.scales

    def row(operation: str, *values: Any) -> OutlineRow:
        given = tuple(zip(OPERATIONS[operation].reads, values, strict=True))
        right = OPERATIONS[operation].function(*values)
        recorded = schedule_rows(right) if isinstance(right, Schedule) else np.asarray(right)
        return OutlineRow(operation, OPERATIONS[operation].gives, anywhere, recorded, (operation,), given=given)

    for box, angles in (
        ((30.5, 40.25, 80.0, 95.5), (0.0, 0.0, 0.0)),
        ((12.0, 7.5, 120.0, 60.0), (0.2, -0.35, 0.15)),
        ((-20.0, 100.0, 64.0, 200.0), (-0.3, 0.5, -0.6)),
    ):
        yield row("init", box, np.array(angles), pdm)
    for moment in moments:
        if moment.iterates:
            yield row("project", moment.recorded["params"], pdm)
    for windows in ((11, 9, 7, 5), (7,), (0, 9, 7)):
        yield row("schedule", windows, len(scales))
    for scale in scales:
        for reg in (25.0, 3.0):
            yield row("stage", scale.patch_scaling, scales[0].patch_scaling, 1.5, reg, 2.5, True)
    for centre in scales[-1].view_centres:
        params = _params(model, 1.0, centre + np.array([0.03, -0.05, 0.04]), np.zeros(2), 0.3)
        yield row("view", params, scales[-1].view_centres, scales[-1])


def schedule_rows(schedule: Schedule) -> Array:
    """The stages of a schedule as rows (patch scale, window), (k, 2)."""
    return np.array([[scale, window] for scale, window, _ in schedule.stages])


def _inputs(row: Row, reference: Reference) -> dict[str, Any]:
    if isinstance(row, OutlineRow):
        return dict(row.given)
    return {name: row.moment.value(name, reference) for name in OPERATIONS[row.operation].reads}


# --- corners ----------------------------------------------------------------------------------------

Met = Callable[[Mapping[str, Any], Any], bool]


def _turned(name: str = "params_before") -> dict[str, Met]:
    return {"a turned head": lambda v, _: bool(np.abs(v[name][1:4]).min() > 0.01)}


def _with_modes(name: str = "params_before") -> dict[str, Met]:
    return {"modes": lambda v, _: bool(np.abs(v[name][RIGID:]).max(initial=0.0) > 0.01)}


_UNSEEN: dict[str, Met] = {"a landmark that is not visible": lambda v, _: not v["visible"].all()}
_PHASES: dict[str, Met] = {"rigid": lambda v, _: bool(v["rigid"]), "non-rigid": lambda v, _: not v["rigid"]}
_SIZES: dict[str, Met] = {
    "rigid": lambda v, _: len(v["delta" if "delta" in v else "gradient"]) == RIGID,
    "non-rigid": lambda v, _: len(v["delta" if "delta" in v else "gradient"]) > RIGID,
}
_EMPTY: dict[str, Met] = {"an empty kernel": lambda v, _: bool((v["final"] == 0).all(axis=(1, 2)).any())}
_BETWEEN: dict[str, Met] = {
    "a position between steps of the kernel table": lambda v, _: bool(
        (np.abs(np.remainder(v["position"] / TABLE_STEP + 0.5, 1) - 0.5) > 0.2).any()
    )
}
_TILTED: dict[str, Met] = {"a turned map": lambda v, _: bool(abs(v["reference_to_image"][0, 1]) > 0.01)}
_WEIGHTED: dict[str, Met] = {"weights that are not 1": lambda v, _: bool((v["weights"] != 1).any())}


def _beyond_image(v: Mapping[str, Any], _: Any) -> bool:
    height, width = v["image"].shape
    points = v["base_shape"][v["visible"]]
    return bool((points < 0).any() or (points > (width - 1, height - 1)).any())


def _free(v: Mapping[str, Any]) -> Array:
    window = v["final"].shape[-1] if "final" in v else v["window"]
    free = free_positions(v["landmarks_before"], v["base_shape"], v["image_to_reference"], window, np.float64)
    return np.asarray(free)


def _bounds(v: Mapping[str, Any]) -> Floats:
    return np.asarray(v["moved"][RIGID:] / (v["clamp_sigmas"] * np.sqrt(v["pdm"].variances)))


CORNERS: dict[str, dict[str, Met]] = {
    "init": {
        "a turned head": lambda v, _: bool(np.any(v["rotation"])),
        "a box wider than high": lambda v, _: v["box"][2] > v["box"][3],
        "a box higher than wide": lambda v, _: v["box"][2] < v["box"][3],
    },
    "project": _turned("params") | _with_modes("params"),
    "schedule": {
        "more windows than scales": lambda v, _: len(v["windows"]) > v["n_scales"],
        "a scale left out": lambda _, out: bool((out[:, 1] == 0).any()),
    },
    "stage": {
        "a finer scale than the first": lambda v, _: v["patch_scaling"] > v["first_scaling"],
        "regularisation at its lower bound": lambda _, out: bool(out[1] == MIN_REG_FACTOR),
    },
    "view": {"another view than the first": lambda _, out: int(out) > 0},
    "base_shape": _turned() | _with_modes(),
    "reference_shape": _with_modes(),
    "similarity": {"scale and turn": lambda _, out: bool(abs(out[0, 1]) > 0.01 and abs(np.linalg.det(out) - 1) > 0.01)},
    "similarity_inverse": {"scale and turn": lambda _, out: bool(abs(out[0, 1]) > 0.01)},
    "area": {"the border of the image": _beyond_image} | _UNSEEN | _TILTED,
    "ncc": {"landmarks of few and of many neurons": lambda v, _: len(set(v["experts"].neurons.tolist())) > 1},
    "neuron": {"a silent neuron": lambda v, _: bool((v["experts"].alpha <= MIN_ALPHA).any())},
    "raw": {"several neurons": lambda v, _: v["neuron_output"].shape[1] > 1},
    "sigma": {
        "components": lambda v, _: v["raw"].shape[-1] in v["scale"].sigma_components,
    },
    "shift": {
        "a negative minimum": lambda v, _: bool((v["after_sigma"].min(axis=(1, 2)) < 0).any()),
        "a positive minimum": lambda v, _: bool((v["after_sigma"].min(axis=(1, 2)) > 0).any()),
    },
    "normalise": {"maps of different peaks": lambda v, _: bool(np.ptp(v["shifted"].max(axis=(1, 2))) > 0)},
    "position": {
        "the upper edge of the window": lambda v, out: bool((out == v["window"] - TABLE_STEP).any()),
        "the lower edge of the window": lambda _, out: bool((out == 0).any()),
        "within the window": lambda v, out: bool(((out > 0) & (out < v["window"] - TABLE_STEP)).all(axis=1).any()),
    },
    "kernel_sum": _EMPTY | _BETWEEN,
    "mean_shift": _EMPTY | _BETWEEN | _UNSEEN,
    "mean_shift_image": _TILTED,
    "weights": {
        "no weights": lambda v, _: v["weight_factor"] == 0,
        "weights": lambda v, _: v["weight_factor"] > 0,
    },
    "jacobian": _PHASES | _turned() | _with_modes() | _UNSEEN,
    "hessian": _PHASES | _WEIGHTED,
    "gradient": _PHASES | _WEIGHTED | _with_modes(),
    "delta": _SIZES,
    "update": _SIZES | _turned(),
    "clamp": {
        "a mode above its bound": lambda v, _: bool((_bounds(v) > 1).any()),
        "a mode below its bound": lambda v, _: bool((_bounds(v) < -1).any()),
        "an angle beyond its bound": lambda v, _: bool((np.abs(v["moved"][1:4]) > math.pi / 2).any()),
        "nothing to hold": lambda v, out: bool((v["moved"] == out).all()),
    },
    "likelihood": _UNSEEN | {
        "a landmark outside its map": lambda v, _: bool(
            (np.abs(_free(v) - (v["final"].shape[-1] - 1) / 2) > v["final"].shape[-1] / 2).any()
        )
    },
}  # fmt: skip
"""Of every operation what its cases must hold, by name: a condition on what it reads and gives."""
