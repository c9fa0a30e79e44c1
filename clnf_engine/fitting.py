"""`fit_steps`, the only fitting loop, and `fit`, which runs it to a Trace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only
from clnf_engine.deviations import EXTRA_WINDOW
from clnf_engine.errors import InitialError
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.moments import moment
from clnf_engine.options import FitOptions
from clnf_engine.pdm import landmarks
from clnf_engine.recording import DEFAULT_BUDGET, Recording
from clnf_engine.steps import Phase, Stage, Step
from clnf_engine.trace import Trace

MIN_FACE_SCALE = 0.25
"""The fit gives up on a face smaller than this, image px per model unit."""

MIN_SIGMA = 1e-3
"""Lower bound on the bandwidth after its adaptation to very small patch scales, reference px."""

SKIP_RATIO = 0.9
"""A stage is skipped when the face is smaller than this fraction of its patch scaling."""


def fit(
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Trace:
    """Fit landmarks to a face.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels; they must not change as long as the Trace is read.
    model : Model
    initial : Initial
        Where to start, from `clnf_engine.initial`.
    options : FitOptions, optional
        OpenFace's by default.
    budget : int
        Bytes of maps, Jacobians and Hessians to keep; a long fit computes the others again when they are read. See
        `Recording`.

    Returns
    -------
    Trace
        Every Step of the fit, and its result. The Steps are a tuple when all fit into the budget, else a Recording.

    Raises
    ------
    InitialError
        When `initial` does not suit the model or is not finite.
    TypeError, ValueError
        When `image` is not a two-dimensional uint8 array with at least one pixel.
    """
    options = options or FitOptions()
    recording = Recording(image, model, initial, options, budget)
    for step in fit_steps(image, model, initial, options):
        recording.append(step)
    trace = recording.trace()
    return replace(trace, steps=tuple(trace.steps)) if recording.n_dropped == 0 else trace


def fit_steps(
    image: NDArray[np.uint8], model: Model, initial: Initial, options: FitOptions | None = None
) -> Iterator[Step]:
    """The fit as a stream of immutable Steps; parameters and errors as for `fit`.

    Yields
    ------
    Step
        INITIAL; per stage either SKIPPED or RESPONSES, then RIGID and NONRIGID iterations; END.
    """
    options = options or FitOptions()
    _check(image, model, initial)
    return _stages(image, model, initial, options)


def _check(image: NDArray[np.uint8], model: Model, initial: Initial) -> None:
    if image.dtype != np.uint8:
        raise TypeError(f"image is {image.dtype}; expected uint8 grey levels")
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image has shape {image.shape}; expected (H, W) with at least one pixel")
    expected = (6 + model.pdm.n_modes,)
    if initial.params.shape != expected:
        raise InitialError(f"initial parameters have shape {initial.params.shape}; this model expects {expected}")


def _stages(image: NDArray[np.uint8], model: Model, initial: Initial, options: FitOptions) -> Iterator[Step]:
    step = Step(phase=Phase.INITIAL, params=initial.params, landmarks=read_only(landmarks(model.pdm, initial.params)))
    yield step
    likelihood: float | None = None
    failure = ""
    first_sigma: float | None = None
    for index, (patch_scale, window) in enumerate(_schedule(model, options)):
        stage = _stage(model, index, patch_scale, window, step, options, first_sigma)
        if stage.skipped:
            yield Step(Phase.SKIPPED, step.params, step.landmarks, stage=stage, message=stage.skipped)
            continue
        first_sigma = first_sigma or stage.sigma
        step = moment(image, model, options, stage, step, Phase.RESPONSES)
        yield step
        for phase in (Phase.NONRIGID,) if options.single_phase else (Phase.RIGID, Phase.NONRIGID):
            for iteration in range(1, options.max_iterations + 1):
                step = moment(image, model, options, stage, step, phase, iteration)
                yield step
                if step.converged or step.delta is None:
                    break
        likelihood, failure = step.likelihood, step.message
        if not failure and step.params[0] < MIN_FACE_SCALE:
            failure = f"the face became too small (scale {step.params[0]:.3g}, at least {MIN_FACE_SCALE} needed)"
        if failure:
            break
    if likelihood is None and not failure:
        failure = "no stage was run: the face is too small or every window is 0"
    yield Step(
        Phase.END, step.params, step.landmarks, likelihood=likelihood, success=not failure, message=failure or "done"
    )


def _schedule(model: Model, options: FitOptions) -> list[tuple[int, int]]:
    """Index of the patch scale and window of every stage; a window of 0 where a scale is left out."""
    windows = list(options.windows) + [0] * len(model.scales)
    schedule = list(enumerate(windows[: len(model.scales)]))
    if options.window5_without_sigma:
        schedule.append((len(model.scales) - 1, EXTRA_WINDOW))
    return schedule


def _stage(
    model: Model, index: int, patch_scale: int, window: int, step: Step, options: FitOptions, first_sigma: float | None
) -> Stage:
    """The schedule's next stage, adapted to its scale; skipped when its window is 0 or the face is too small."""
    scale = model.scales[patch_scale].patch_scaling
    octaves = _octaves(options, scale)
    reg_factor = options.reg_factor - 15 * octaves
    if options.adapt_per_scale and reg_factor <= 0:
        reg_factor = 0.001
    sigma = first_sigma if options.kernel_table_stale and first_sigma else adapted_sigma(options, scale)
    face = float(step.params[0])
    skipped = ""
    if window == 0:
        skipped = "no window for this scale"
    elif SKIP_RATIO * scale > face:
        skipped = f"the face is too small for this scale ({face:.3g}, at least {SKIP_RATIO * scale:.3g} needed)"
    return Stage(
        index=index,
        scale=scale,
        window=window,
        view=None if skipped else model.scales[patch_scale].nearest_view(step.params[1:4]),
        sigma=sigma,
        reg_factor=reg_factor,
        weight_factor=options.weight_factor * (1 + 2 * octaves),
        skipped=skipped,
        patch_scale=patch_scale,
        sigma_transform=not options.sigma_off and index < len(model.scales),
    )


def adapted_sigma(options: FitOptions, scale: float) -> float:
    """The bandwidth of the mean-shift kernel at a patch scaling, reference px."""
    return max(options.sigma + 0.25 * _octaves(options, scale), MIN_SIGMA)


def _octaves(options: FitOptions, scale: float) -> float:
    """How far a patch scaling is above 0.25, in octaves; 0 when nothing is adapted to it."""
    return math.log2(scale / 0.25) if options.adapt_per_scale else 0.0
