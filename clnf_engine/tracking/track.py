"""Follow one face through a video: `track`, a fit per frame, each started where the last good one ended.

The default of `TrackOptions.min_likelihood`, −0.5, lies between the likelihoods of faces and of everything else. It was
measured with OpenFace's options on every sixth portrait of the shared data (most of which `portrait68` was trained on),
44 frames of its videos and its photos, each at up to five sizes from 45 to 330 px: fits that start within 6 % of a
face, and fits that start beside all faces. Below it were 9 of 401 faces with `portrait68`, 8 of them at the smallest
scale, and 2 of 401 with OpenFace's general model; above it were 1 of 688 and none of 707 fits to something else. With
−0.75 `portrait68` drifts off the face in one of the videos and goes unnoticed. The likelihood depends on the magnitude
of the response maps: another normalization, gain, `sigma` or `sigma_off` needs another threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats
from clnf_engine.errors import InitialError
from clnf_engine.fitting import FitRow, fit, fit_many, fit_steps, row_of
from clnf_engine.initial import Initial, initial_from_params, initials_from_detector
from clnf_engine.io.frames import Frame
from clnf_engine.io.video import VideoSource
from clnf_engine.model import Model
from clnf_engine.options import FitOptions, Source, TrackOptions
from clnf_engine.schedule import SKIP_RATIO
from clnf_engine.steps import Step
from clnf_engine.trace import Trace


class State(StrEnum):
    """What became of a frame."""

    TRACKED = "tracked"
    """The face was found where the frame before had it."""
    DETECTED = "detected"
    """The face was found where the detector saw it."""
    PLACED = "placed"
    """The face was found where the box or the landmarks given had it."""
    LOST = "lost"
    """The fit failed, or its likelihood is too low."""
    NO_FACE = "no_face"
    """There was nothing to start a fit from."""

    @property
    def found(self) -> bool:
        """Whether the frame has a face."""
        return self not in (State.LOST, State.NO_FACE)


_SUCCESS = {
    Source.PREVIOUS: State.TRACKED,
    Source.DETECTOR: State.DETECTED,
    Source.BOX: State.PLACED,
    Source.LANDMARKS: State.PLACED,
}


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The summary of a frame; `frame_trace` gives the whole fit.

    Attributes
    ----------
    index : int
        Of the frame, from 0.
    timestamp : float
        Seconds from the first frame.
    size : (width, height)
        Of the frame, px.
    state : State
    initial : Initial or None
        Where the fit started; the fields from here to `shape_change` are None or 0 when there was no fit.
    options : FitOptions
        Of the fit, with the windows it was run with.
    params : (6 + m,) float64 or None
        Read-only; ``[scale, rx, ry, rz, tx, ty, q…]``.
    landmarks : (n, 2) float64 or None
        Read-only; image px.
    likelihood : float or None
        Mean log likelihood of the last phase.
    iterations : int
        Of all phases of all stages.
    update_norm, shape_change : float or None
        Of the last iteration, as in `Step`.
    message : str
        Why the face is lost; "done" when it is not.
    """

    index: int
    timestamp: float
    size: tuple[int, int]
    state: State
    initial: Initial | None
    options: FitOptions
    params: Floats | None = None
    landmarks: Floats | None = None
    likelihood: float | None = None
    iterations: int = 0
    update_norm: float | None = None
    shape_change: float | None = None
    message: str = "no face found"

    @property
    def success(self) -> bool:
        """Whether the frame has a face."""
        return self.state.found


@dataclass(frozen=True, eq=False)
class Past:
    """All that tracking carries from one frame to the next.

    Attributes
    ----------
    frame : int
        Number of the next frame, from 0.
    params : (6 + m,) float64 or None
        Of the last fit that succeeded.
    failures : int
        Frames since then, or since the beginning.
    """

    frame: int = 0
    params: Floats | None = None
    failures: int = 0

    def after(self, index: int, params: Floats | None) -> Past:
        """The past once frame `index` is done, too; `params` are those of its fit, None unless it succeeded."""
        if params is not None:
            return Past(index + 1, params)
        return Past(index + 1, self.params, self.failures + 1)


_NOTHING = Past()


def track(
    source: VideoSource,
    model: Model,
    options: FitOptions | None = None,
    tracking: TrackOptions | None = None,
    first: Initial | None = None,
    past: Past = _NOTHING,
) -> Iterator[FrameResult]:
    """Follow a face through a video.

    Parameters
    ----------
    source : VideoSource
    model : Model
    options : FitOptions, optional
        Of every fit; OpenFace's by default. Fits that start from the frame before use `tracked_windows`.
    tracking : TrackOptions, optional
        OpenFace's behaviour by default.
    first : Initial, optional
        From a box or landmarks: where the first frame starts, or every frame when `tracking.initialization` is
        ``box`` or ``landmarks``.
    past : Past
        To go on after a frame: what `Past.after` made of all results up to it.

    Yields
    ------
    FrameResult
        Of every frame that decodes.

    Raises
    ------
    InitialError
        When `first` is missing, is not of the kind that `tracking` says, or does not suit the model.
    VideoFileError
        After the last frame, when some could not be decoded.
    """
    options, tracking = options or FitOptions(), tracking or TrackOptions()
    check_first(model, tracking, first)
    return _results(source, model, options, tracking, first, past)


def check_first(model: Model, tracking: TrackOptions, first: Initial | None) -> None:
    """Find out whether `track` can begin with `first`.

    Raises
    ------
    InitialError
        As `track`.
    """
    given = tracking.initialization in (Source.BOX, Source.LANDMARKS)
    if given and (first is None or first.source is not tracking.initialization):
        raise InitialError(f"initialization is {tracking.initialization}; expected a start of that kind")
    if first is not None:
        initial_from_params(model, first.params)


def _results(
    source: VideoSource,
    model: Model,
    options: FitOptions,
    tracking: TrackOptions,
    first: Initial | None,
    past: Past,
) -> Iterator[FrameResult]:
    for frame in source.frames(past.frame):
        result = track_frame(frame, model, options, tracking, first, past)
        past = past.after(result.index, result.params if result.success else None)
        yield result


def track_frame(
    frame: Frame,
    model: Model,
    options: FitOptions,
    tracking: TrackOptions,
    first: Initial | None,
    past: Past,
    steps: list[Step] | None = None,
) -> FrameResult:
    """One frame of `track`; the same arguments give the same bits. A list for `steps` is given those of the fit."""
    size = (frame.gray.shape[1], frame.gray.shape[0])
    initial = _start(frame.gray, model, tracking, first, past)
    if initial is None:
        return FrameResult(frame.index, frame.timestamp, size, State.NO_FACE, None, options)
    if initial.source is Source.PREVIOUS and not past.failures:
        options = replace(options, windows=tracked_windows(model, options, tracking, float(initial.params[0])))
    if steps is None:
        row = next(fit_many([frame.gray], model, [initial], options))
    else:
        steps += fit_steps(frame.gray, model, initial, options)
        row = row_of(steps)
    reason = _why_lost(model, row, tracking)
    return FrameResult(
        index=frame.index,
        timestamp=frame.timestamp,
        size=size,
        state=State.LOST if reason else _SUCCESS[initial.source],
        initial=initial,
        options=options,
        params=row.params,
        landmarks=row.landmarks,
        likelihood=row.likelihood,
        iterations=row.iterations,
        update_norm=None if math.isnan(row.update_norm) else row.update_norm,
        shape_change=None if math.isnan(row.shape_change) else row.shape_change,
        message=reason or row.message,
    )


def frame_trace(source: VideoSource, model: Model, result: FrameResult) -> Trace:
    """The whole fit of a frame, the same that was tracked.

    Raises
    ------
    InitialError
        When the frame had no fit.
    """
    if result.initial is None:
        raise InitialError(f"frame {result.index + 1} has no fit: {result.message}")
    return fit(source.frame(result.index).gray, model, result.initial, result.options)


def tracked_windows(model: Model, options: FitOptions, tracking: TrackOptions, scale: float) -> tuple[int, ...]:
    """The windows of a fit that starts from the frame before, as `TrackOptions.tracked_windows` says.

    Parameters
    ----------
    model : Model
    options : FitOptions
    tracking : TrackOptions
    scale : float
        Of the face, px per model unit.
    """
    if tracking.tracked_windows:
        return tracking.tracked_windows
    later = zip(options.windows[1:], model.scales[1:], strict=False)
    if any(window and SKIP_RATIO * stage.patch_scaling <= scale for window, stage in later):
        return 0, *options.windows[1:]
    return options.windows


def _start(
    gray: NDArray[np.uint8], model: Model, tracking: TrackOptions, first: Initial | None, past: Past
) -> Initial | None:
    if tracking.initialization in (Source.BOX, Source.LANDMARKS):
        return first
    previous = None
    if tracking.initialization is Source.PREVIOUS:
        if past.params is not None:
            previous = initial_from_params(model, past.params)
        elif not past.failures and first is not None:
            return first
        if not _detection_due(tracking, past):
            return previous
    return next(iter(initials_from_detector(model, gray)), previous)


def _detection_due(tracking: TrackOptions, past: Past) -> bool:
    """Whether the detector looks for a face that is lost, or was never there."""
    if not past.failures:
        return past.params is None
    return tracking.redetect_interval > 0 and past.failures % tracking.redetect_interval == 0


def _why_lost(model: Model, row: FitRow, tracking: TrackOptions) -> str:
    """What is wrong with the end of a fit; "" when nothing is."""
    if not row.success:
        return row.message
    likelihood = -math.inf if row.likelihood is None else row.likelihood  # None: no landmark is visible
    if likelihood < tracking.min_likelihood:
        return f"the likelihood {likelihood:.3g} is below {tracking.min_likelihood:g}"
    try:
        initial_from_params(model, row.params)
    except InitialError as error:
        return str(error)
    return ""
