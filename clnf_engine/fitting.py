"""`fit_steps`, the only fitting loop; `fit`, which runs it to a Trace; `fit_many`, which keeps no Steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, brief, read_only
from clnf_engine.deviations import Function, untransformed
from clnf_engine.errors import InitialError, OperationError
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.moments import moment
from clnf_engine.operations import Functions, functions_of
from clnf_engine.options import FitOptions, Source
from clnf_engine.recording import DEFAULT_BUDGET, Recording
from clnf_engine.schedule import Schedule, skip_reason
from clnf_engine.steps import Phase, Stage, Step
from clnf_engine.trace import Trace

MIN_FACE_SCALE = 0.25
"""The fit gives up on a face smaller than this, image px per model unit."""


def unchecked() -> None:
    """A check that lets the work go on."""


def fit(
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions | None = None,
    budget: int = DEFAULT_BUDGET,
    replace: Mapping[str, Function] | None = None,
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
    replace : mapping of operation to callable, optional
        Functions in the place of operations, by their names in `operations.OPERATIONS`: ``{"update": mine}``. Each gets
        what its operation reads, in that order, and may leave out the last values; arrays are copies. What it gives
        must be finite and of the operation's shape. All Steps of such a fit are kept, whatever the budget.

    Returns
    -------
    Trace
        Every Step of the fit, and its result. The Steps are a tuple when all fit into the budget, else a Recording.

    Raises
    ------
    InitialError
        When `initial` does not suit the model or is not finite.
    OperationError
        When `replace` names no operation, or a function in it does not fit in its place.
    TypeError, ValueError
        When `image` is not a two-dimensional uint8 array with at least one pixel.

    See Also
    --------
    fit_steps : The same fit as a stream.
    fit_many : Many fits without their Steps.

    Examples
    --------
    >>> from clnf_engine import fit, initials_from_detector, load_model, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> trace = fit(gray, model, start)
    >>> trace.success, trace.landmarks.shape, round(trace.likelihood, 2)
    (True, (68, 2), 0.55)

    What a step computed is kept, such as the response maps that the last iteration saw:

    >>> trace.steps[-2].responses.final.shape
    (68, 7, 7)
    """
    options = options or FitOptions()
    if replace:
        steps = tuple(fit_steps(image, model, initial, options, replace))
        return Trace(image, model.name, initial, options, steps)
    *_, trace = fit_and_trace(image, model, initial, options, budget)
    assert isinstance(trace, Trace)
    return trace


def fit_and_trace(
    image: NDArray[np.uint8], model: Model, initial: Initial, options: FitOptions, budget: int
) -> Iterator[Step | Trace]:
    """`fit` as a stream; parameters and errors as there.

    Yields
    ------
    Step
        As `fit_steps`.
    Trace
        At last.
    """
    recording = Recording(image, model, initial, options, budget)
    for step in fit_steps(image, model, initial, options):
        recording.append(step)
        yield step
    trace = recording.trace()
    yield dataclasses.replace(trace, steps=tuple(trace.steps)) if recording.n_dropped == 0 else trace


def fit_steps(
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions | None = None,
    replace: Mapping[str, Function] | None = None,
) -> Iterator[Step]:
    """The fit as a stream of immutable Steps.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels; they must not change as long as the Steps are read.
    model : Model
    initial : Initial
        Where to start.
    options : FitOptions, optional
        OpenFace's by default.
    replace : mapping of operation to callable, optional
        Functions in the place of operations, as for `fit`.

    Yields
    ------
    Step
        INITIAL; per stage either SKIPPED or RESPONSES, then RIGID and NONRIGID iterations; END.

    Raises
    ------
    InitialError
        When `initial` does not suit the model or is not finite.
    OperationError
        When `replace` names no operation, or a function in it does not fit in its place.
    TypeError, ValueError
        When `image` is not a two-dimensional uint8 array with at least one pixel.

    Examples
    --------
    >>> from clnf_engine import fit_steps, initials_from_detector, load_model, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> for step in fit_steps(gray, model, start):
    ...     if step.phase == "nonrigid" and step.likelihood is not None:  # the last of its phase
    ...         print(step.stage, round(step.likelihood, 2))
    stage 1 (0.18, window 11) 0.32
    stage 2 (0.35, window 9) 0.58
    stage 3 (0.5, window 7) 0.55
    """
    _check(image, model, initial)
    options = options or FitOptions()
    return _stages(image, model, initial, Functions(options, replace) if replace else functions_of(options))


@dataclass(frozen=True, eq=False)
class FitRow:
    """What `fit_many` tells of one fit.

    Attributes
    ----------
    path : (k, n, 2) float64
        Landmarks after every iteration and at the end, image px.
    params : (6 + m,) float64
        At the end.
    update_norm, shape_change : float
        Of the last iteration, as a Step's; NaN when there was none, or no update in it.
    likelihood : float or None
        Of the last phase; None when no stage was run.
    stage : Stage or None
        The one that the likelihood is of.
    success : bool
    message : str
        How the fit ended.
    """

    path: Floats
    params: Floats
    update_norm: float
    shape_change: float
    likelihood: float | None
    stage: Stage | None
    success: bool
    message: str

    __repr__ = brief

    @property
    def landmarks(self) -> Floats:
        """Final landmarks, (n, 2) float64, image px."""
        final: Floats = self.path[-1]
        return final

    @property
    def iterations(self) -> int:
        """How many there were in all."""
        return len(self.path) - 1

    @property
    def failure(self) -> str:
        """Why the fit failed; "" when it did not."""
        return "" if self.success else self.message


def fit_many(
    images: Iterable[NDArray[np.uint8]],
    model: Model,
    initials: Iterable[Initial],
    options: FitOptions | Iterable[FitOptions] | None = None,
    check: Callable[[], None] = unchecked,
) -> Iterator[FitRow]:
    """Many fits without their Steps: the results of `fit` bit for bit, sooner.

    Parameters
    ----------
    images : iterable of (H, W) uint8
        Grey levels; ``itertools.repeat(image)`` for fits to the same one.
    model : Model
    initials : iterable of Initial
        As many as there are fits to make.
    options : FitOptions or iterable of FitOptions, optional
        Of all fits, or of each; OpenFace's by default.
    check : callable, optional
        Called after every phase of a fit; what it raises ends the fit.

    Yields
    ------
    FitRow
        One after the other, in this order; each is computed when it is asked for.

    Raises
    ------
    InitialError, TypeError, ValueError
        As `fit`, when it comes to the image or the start that is wrong.

    Examples
    --------
    How far from one another do fits end whose starts are a little off?

    >>> from itertools import repeat
    >>> import numpy as np
    >>> from clnf_engine import fit_many, initials_from_detector, load_model, perturbed, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> starts = [perturbed(model, start, seed) for seed in range(8)]
    >>> ends = np.array([row.landmarks for row in fit_many(repeat(gray), model, starts)])
    >>> ends.shape, round(float(np.median(ends.std(axis=0))), 1)  # px
    ((8, 68, 2), 0.4)
    """
    each = repeat(options or FitOptions()) if options is None or isinstance(options, FitOptions) else options
    for initial, image, chosen in zip(initials, images, each, strict=False):
        _check(image, model, initial)
        path: list[Floats] = []
        steps = _stages(image, model, initial, functions_of(chosen), path)
        yield row_of(_checked(steps, check), path)


def _checked(steps: Iterable[Step], check: Callable[[], None]) -> Iterator[Step]:
    for step in steps:
        check()
        yield step


def row_of(steps: Iterable[Step], path: list[Floats] | None = None) -> FitRow:
    """What `fit_many` would tell of a fit with these Steps; `path` are the landmarks after its iterations, if known."""
    last: Step | None = None
    landmarks: list[Floats] = []
    for step in steps:
        if step.iteration is not None:
            last = step
            landmarks.append(step.landmarks)
    return FitRow(
        path=np.array([*(landmarks if path is None else path), step.landmarks]),
        params=step.params,
        update_norm=math.nan if last is None or last.update_norm is None else last.update_norm,
        shape_change=math.nan if last is None or last.shape_change is None else last.shape_change,
        likelihood=step.likelihood,
        stage=None if last is None else last.stage,
        success=bool(step.success),
        message=step.message,
    )


def _check(image: NDArray[np.uint8], model: Model, initial: Initial) -> None:
    if image.dtype != np.uint8:
        raise TypeError(f"image is {image.dtype}; expected uint8 grey levels")
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image has shape {image.shape}; expected (H, W) with at least one pixel")
    expected = (6 + model.pdm.n_modes,)
    if initial.params.shape != expected:
        raise InitialError(f"initial parameters have shape {initial.params.shape}; this model expects {expected}")


def _stages(
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    functions: Functions,
    path: list[Floats] | None = None,
) -> Iterator[Step]:
    """The Steps of a fit.

    A list for `path` is given the landmarks after every iteration; then only the last Step of a phase is yielded.
    """
    params = _start(model, initial, functions)
    step = Step(Phase.INITIAL, params, read_only(functions["project"](params, model.pdm)))
    yield step
    likelihood: float | None = None
    failure = ""
    first_scaling: float | None = None
    schedule = functions.schedule(len(model.scales))
    for index in range(len(schedule.stages)):
        stage = _stage(model, schedule, index, step, functions, first_scaling)
        if stage.skipped:
            yield Step(Phase.SKIPPED, step.params, step.landmarks, stage=stage, message=stage.skipped)
            continue
        first_scaling = first_scaling or stage.scale
        step = moment(image, model, functions, stage, step, Phase.RESPONSES)
        yield step
        for phase in schedule.phases:
            done = 0
            while done < functions.options.max_iterations:
                step = moment(image, model, functions, stage, step, phase, done + 1, schedule.fresh_maps, path)
                yield step
                if step.converged or step.delta is None:
                    break
                done = step.iteration or 0
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


def _start(model: Model, initial: Initial, functions: Functions) -> Floats:
    """The parameters a fit begins with: those of its start, unless a caller's function makes them from the box."""
    if "init" not in functions.replaced:
        return initial.params
    if initial.source not in (Source.BOX, Source.DETECTOR):
        raise OperationError(f"this fit starts from {initial.source}; expected a start from a box", "init")
    return read_only(functions["init"](initial.box, initial.params[1:4], model.pdm))


def _stage(
    model: Model, schedule: Schedule, index: int, step: Step, functions: Functions, first_scaling: float | None
) -> Stage:
    """A stage of the schedule, adapted to its scale; skipped when its window is 0 or the face is too small."""
    patch_scale, window, transform = schedule.stages[index]
    scale = model.scales[patch_scale]
    scaling = scale.patch_scaling
    sigma, reg_factor, weight_factor = functions.adapted(scaling, first_scaling or scaling)
    skipped = skip_reason(window, scaling, float(step.params[0]))
    return Stage(
        index=index,
        scale=scaling,
        window=window,
        view=None if skipped else functions["view"](step.params, scale.view_centres, scale),
        sigma=sigma,
        reg_factor=reg_factor,
        weight_factor=weight_factor,
        skipped=skipped,
        patch_scale=patch_scale,
        sigma_transform=transform and functions["sigma"] is not untransformed,
    )
