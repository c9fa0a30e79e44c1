"""One moment of a stage, made from the moment before: a fit makes its Steps by it, and a Recording makes them again."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only_fields, remembering_last
from clnf_engine.model import Model
from clnf_engine.operations import Functions, Values, run
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step


def moment(
    image: NDArray[np.uint8],
    model: Model,
    functions: Functions,
    stage: Stage,
    before: Step,
    phase: Phase,
    iteration: int | None = None,
    fresh_maps: bool = False,
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
    return iterate(model, functions, stage, responses, before, phase, iteration)


def computes_maps(fresh_maps: bool, before: Step, phase: Phase) -> bool:
    """Whether a moment of a phase computes maps of its own; if not, it has those of the moment before."""
    return phase is Phase.RESPONSES or (fresh_maps and before.phase is not Phase.RESPONSES)


@remembering_last
def stage_values(model: Model, functions: Functions, stage: Stage) -> Values:
    """What the operations of a stage read that no operation gives: options, numbers, parts of the model."""
    options, scale = functions.options, model.scales[stage.patch_scale]
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
    values = stage_values(model, functions, stage) | {"image": image, "params_before": params}
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

    Returns
    -------
    Step
        When the normal equations have no unique solution: `delta` None, parameters as they were, and a message.
    """
    options = functions.options
    values = stage_values(model, functions, stage) | vars(responses)
    values["rigid"], values["dtype"] = phase is Phase.RIGID, responses.final.dtype
    values["params_before"], values["landmarks_before"] = before.params, before.landmarks
    run(functions.equations, values)
    delta: Array | None = values["delta"]
    params, shape, message = before.params, before.landmarks, "the normal equations have no unique solution"
    if delta is None:
        clamped = np.zeros(params.shape, dtype=bool)
    else:
        run(functions.move, values)
        params, shape, message = values["params"], values["landmarks"], ""
        clamped = params != values["moved"]
    change = (shape - before.landmarks).ravel()
    shape_change = math.sqrt(change @ change)
    update_norm = None if delta is None else math.sqrt(delta @ delta)
    converged = update_norm is not None and (
        shape_change < options.convergence_px or update_norm < options.convergence_update
    )
    likelihoods = likelihood = None
    if converged or delta is None or iteration == options.max_iterations:
        visible = responses.visible
        likelihoods = functions.apply("likelihood", values)
        likelihood = float(np.log(likelihoods[visible]).mean()) if visible.any() else None
    return read_only_fields(
        Step(
            phase=phase,
            params=params,
            landmarks=shape,
            stage=stage,
            iteration=iteration,
            responses=responses,
            landmarks_before=before.landmarks,
            mean_shift=_mean_shift(values),
            weights=values["weights"],
            jacobian=values["jacobian"],
            hessian=values["hessian"],
            gradient=values["gradient"],
            delta=delta,
            update_norm=update_norm,
            shape_change=shape_change,
            clamped=clamped,
            likelihoods=likelihoods,
            likelihood=likelihood,
            converged=converged,
            message=message,
        )
    )


def _mean_shift(values: Values) -> MeanShift:
    total = values["kernel_sum"]
    return read_only_fields(
        MeanShift(
            position=values["position"],
            kernel_sum=total,
            reference=values["mean_shift"],
            image=values["mean_shift_image"],
            empty=values["visible"] & ~(total > 0),
        )
    )
