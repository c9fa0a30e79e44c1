"""One moment of a stage, made from the moment before: a fit makes its Steps by it, and a Recording makes them again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, DType, Floats, read_only, read_only_fields
from clnf_engine.caches import cached_with_owner
from clnf_engine.kernels import iteration as kernels
from clnf_engine.kernels.iteration import shape_change, update_norm
from clnf_engine.mean_shift import TABLE_STEP, kernel_table
from clnf_engine.model import Model
from clnf_engine.nu_rlms import prior
from clnf_engine.operations import Functions, Values, functions_of, run
from clnf_engine.options import FitOptions
from clnf_engine.pdm import RIGID, mode_bounds, transposed_modes
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step

UNSOLVED = "the normal equations have no unique solution"
"""The message of an iteration without an update."""


def moment(
    image: NDArray[np.uint8],
    model: Model,
    functions: Functions,
    stage: Stage,
    before: Step,
    phase: Phase,
    iteration: int | None = None,
    fresh_maps: bool = False,
    path: list[Floats] | None = None,
) -> Step:
    """The moment of a stage that follows another; the same arguments give the same bits.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    functions : Functions
        Of the fit.
    stage : Stage
        One that is not skipped.
    before : Step
        Its parameters, its landmarks and, unless `computes_maps`, its maps are read.
    phase : Phase
        RESPONSES, RIGID or NONRIGID.
    iteration : int, optional
        Within the phase, from 1 (rigid, nonrigid).
    fresh_maps : bool
        Of the schedule.
    path : list, optional
        Is given the landmarks after the iteration, and after those that follow in its phase: then the last one is what
        is returned.

    Returns
    -------
    Step
    """
    responses = before.responses
    if computes_maps(fresh_maps, before, phase):
        responses = response_maps(image, model, functions, stage, before.params)
    assert responses is not None
    if phase is Phase.RESPONSES:
        return Step(phase, before.params, before.landmarks, stage=stage, responses=responses)
    assert iteration is not None
    return iterate(model, functions, stage, responses, before, phase, iteration, path, fresh_maps)


def computes_maps(fresh_maps: bool, before: Step, phase: Phase) -> bool:
    """Whether a moment of a phase computes maps of its own; if not, it has those of the moment before."""
    return phase is Phase.RESPONSES or (fresh_maps and before.phase is not Phase.RESPONSES)


@cached_with_owner(maxsize=8)
def stage_values(model: Model, options: FitOptions, stage: Stage) -> Values:
    """What the operations of a stage read that no operation gives: options, numbers, parts of the model.

    The cache would keep a caller's functions, and what they know: the model, perhaps, which keeps the cache.
    """
    scale = model.scales[stage.patch_scale]
    experts = scale.views[stage.view or 0]
    return {
        "pdm": model.pdm,
        "scale": scale,
        "experts": experts,
        "visible": experts.visible,
        "support": experts.support,
        "view": stage.view,
        "view_centres": scale.view_centres,
        "window": stage.window,
        "patch_scaling": scale.patch_scaling,
        "sigma_transform": stage.sigma_transform,
        "sigma": stage.sigma,
        "reg_factor": stage.reg_factor,
        "weight_factor": stage.weight_factor,
        "dtype": np.dtype(options.precision),
        "kernel": options.kernel,
        "normalization": options.normalization,
        "response_gain": options.response_gain,
        "clamp_sigmas": options.clamp_sigmas,
    }


def response_maps(
    image: NDArray[np.uint8], model: Model, functions: Functions, stage: Stage, params: Floats
) -> ResponseMaps:
    """Response maps around the landmarks that `params` describe.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    functions : Functions
    stage : Stage
        One that is not skipped: it names the experts and the window, and whether Sigma is applied.
    params : (6 + m,) float64

    Returns
    -------
    ResponseMaps
    """
    values = stage_values(model, functions.options, stage) | {"image": image, "params_before": params}
    run(functions.maps, values)
    return read_only_fields(ResponseMaps(**{name: values[name] for name in ResponseMaps.__dataclass_fields__}))


def iterate(
    model: Model,
    functions: Functions,
    stage: Stage,
    responses: ResponseMaps,
    before: Step,
    phase: Phase,
    iteration: int,
    path: list[Floats] | None = None,
    fresh_maps: bool = False,
) -> Step:
    """One iteration: mean-shift, weights, normal equations, update, clamp.

    Parameters
    ----------
    model : Model
    functions : Functions
    stage : Stage
    responses : ResponseMaps
    before : Step
        The moment to start from.
    phase : Phase
        RIGID moves the six global parameters, NONRIGID all.
    iteration : int
        To record.
    path : list, optional
    fresh_maps : bool
        As for `moment`.

    Returns
    -------
    Step
        When the normal equations have no unique solution: `delta` None, parameters as they were, and a message.
    """
    options = functions.options
    if functions.own_steps:
        together = 1 if path is None or fresh_maps else options.max_iterations - iteration + 1
        given, ends, change, norm = run_iterations(model, functions, stage, responses, before, phase, together)
        iteration += len(ends) - 1
    else:
        given, change, norm = _row_by_row(model, functions, stage, responses, before, phase)
        ends = given["landmarks"][None]
    if path is not None:
        path.extend(ends)
    delta = given["delta"]
    failed = delta is None
    converged = not failed and (change < options.convergence_px or norm < options.convergence_update)
    likelihoods = likelihood = None
    if converged or failed or iteration == options.max_iterations:
        values = stage_values(model, functions.options, stage) | vars(responses) | given
        likelihoods = read_only(functions.apply("likelihood", values))
        likelihood = mean_log(likelihoods, responses.visible)
    kernel_sum = given["kernel_sum"]
    return Step(
        phase=phase,
        params=given["params"],
        landmarks=given["landmarks"],
        stage=stage,
        iteration=iteration,
        responses=responses,
        landmarks_before=given["landmarks_before"],
        mean_shift=MeanShift(
            position=given["position"],
            kernel_sum=kernel_sum,
            reference=given["mean_shift"],
            image=given["mean_shift_image"],
            empty=read_only(responses.visible & ~(kernel_sum > 0)),
        ),
        weights=given["weights"],
        jacobian=given["jacobian"],
        hessian=given["hessian"],
        gradient=given["gradient"],
        delta=delta,
        update_norm=None if failed else norm,
        shape_change=change,
        clamped=read_only(given["params"] != given["moved"]),
        likelihoods=likelihoods,
        likelihood=likelihood,
        converged=converged,
        message=UNSOLVED if failed else "",
    )


def mean_log(likelihoods: Array, visible: NDArray[np.bool_]) -> float | None:
    """Mean of the logarithms over the visible landmarks; None when there are none."""
    return float(np.log(likelihoods[visible]).mean()) if visible.any() else None


def _row_by_row(
    model: Model, functions: Functions, stage: Stage, responses: ResponseMaps, before: Step, phase: Phase
) -> tuple[Values, float, float]:
    """An iteration by the rows of the table; what they give, the change of the landmarks and the norm of the update."""
    values = stage_values(model, functions.options, stage) | vars(responses)
    values["rigid"], values["dtype"] = phase is Phase.RIGID, responses.final.dtype
    values["params_before"], values["landmarks_before"] = before.params, before.landmarks
    run(functions.equations, values)
    change, norm = 0.0, math.nan
    if values["delta"] is None:
        values["params"] = values["moved"] = before.params
        values["landmarks"] = before.landmarks
    else:
        run(functions.move, values)
        change, norm = shape_change(values["landmarks"], before.landmarks), float(update_norm(values["delta"]))
    given = {name: values[name] for name in (*_FILLED, "weights")}
    for value in given.values():
        if value is not None:
            read_only(value)
    return given, change, norm


_FILLED = (
    "position",
    "kernel_sum",
    "mean_shift",
    "mean_shift_image",
    "jacobian",
    "hessian",
    "gradient",
    "delta",
    "params_before",
    "moved",
    "landmarks_before",
    "params",
    "landmarks",
)
"""What an iteration gives, in the order in which `kernels.iterate` fills it."""


def run_iterations(
    model: Model,
    functions: Functions,
    stage: Stage,
    responses: ResponseMaps,
    before: Step,
    phase: Phase,
    most: int,
) -> tuple[Values, Floats, float, float]:
    """The same by the one kernel that calls those of all rows, at most so many times.

    Parameters
    ----------
    model : Model
    functions : Functions
        With `own_steps`.
    stage : Stage
    responses : ResponseMaps
    before : Step
        Where to start.
    phase : Phase
    most : int
        Iterations at most; fewer when the options find it converged.

    Returns
    -------
    (given, ends, shape_change, update_norm) : (dict, (k, n, 2) float64, float, float)
        What the operations give in the last iteration, the landmarks after each, and of the last what
        `kernels.iteration.iterate` returns; `delta` is None when the equations have no solution.
    """
    dtype, (n, _), size = responses.final.dtype, before.landmarks.shape, before.params.shape[0]
    p = RIGID if phase is Phase.RIGID else size
    filled = (
        np.empty((n, 2), dtype),
        np.empty(n, dtype),
        np.empty((n, 2), dtype),
        np.empty((n, 2), dtype),
        np.empty((2 * n, p), dtype),
        np.empty((p, p), dtype),
        np.empty(p, dtype),
        np.empty(p, dtype),
        np.empty(size),
        np.empty(size),
        np.empty((n, 2)),
        before.params.copy(),
        before.landmarks.copy(),
    )
    ends = np.empty((most, n, 2))
    maps = (responses.final, responses.base_shape, responses.image_to_reference, responses.reference_to_image)
    constants = _constants(model, functions.options, stage, phase, dtype)
    count, change, norm = kernels.iterate.compiled(dtype)(
        *kernels.iterate.suited(maps, dtype), *constants, *filled, ends
    )
    for array in filled:
        read_only(array)
    given: Values = dict(zip(_FILLED, filled, strict=True))
    given["weights"] = constants[0]
    if math.isnan(norm):
        given["delta"] = None
    return given, ends[:count], change, norm


@cached_with_owner(maxsize=16)
def _constants(model: Model, options: FitOptions, stage: Stage, phase: Phase, dtype: DType) -> tuple[Any, ...]:
    """What `kernels.iterate` reads beside the maps, the weights first: the same for all iterations of a phase."""
    values, pdm = stage_values(model, options, stage), model.pdm
    constants = (
        functions_of(options).apply("weights", values | {"dtype": dtype}),
        prior(pdm, stage.reg_factor, phase is Phase.RIGID, dtype),
        kernel_table(stage.window, stage.sigma, options.kernel, dtype),
        values["visible"],
        stage.sigma,
        stage.window - TABLE_STEP,
        pdm.mean,
        pdm.modes,
        transposed_modes(pdm),
        mode_bounds(pdm, options.clamp_sigmas),
        options.convergence_px,
        options.convergence_update,
    )
    return kernels.iterate.suited(constants, dtype, first=4)
