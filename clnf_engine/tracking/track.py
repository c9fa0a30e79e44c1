"""Follow one face through a video: `track`, a fit per frame, each started where the last good one ended.

By OpenFace's rules (`Rules.OPENFACE`) a fit starts where the last one ended, be it good or not, with fewer windows
after a good one. In the frame of a failure, and `redetect_interval` failures later again, the detector is asked: a fit
from where it sees a face takes the place of the failed one if it succeeds. Before the first face the detector is asked
in every frame, and the first fit from it is kept whatever it is. After more than a hundred failures nothing is tracked,
and the detector is asked six times more seldom. Baltrušaitis, Robinson, Morency, WACV 2016, §3.1.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, brief
from clnf_engine.detection.detect import Detection, detect, eye_landmarks
from clnf_engine.detection.search import initials_from_detector
from clnf_engine.errors import InitialError
from clnf_engine.fitting import fit, fit_many, fit_steps, row_of, unchecked
from clnf_engine.initial import Initial, initial_from_params
from clnf_engine.io.frames import Frame
from clnf_engine.io.video import VideoSource
from clnf_engine.model import Model
from clnf_engine.options import DetectionOptions, FitOptions, Rules, SearchOptions, Source, TrackOptions
from clnf_engine.recording import DEFAULT_BUDGET
from clnf_engine.schedule import SKIP_RATIO
from clnf_engine.steps import Step
from clnf_engine.trace import Trace
from clnf_engine.tracking.past import SELDOM, Past, State

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
    certainty : float or None
        From −1, surely a face, to 1, of the validator or by the rules of OpenFace; None where neither is asked.
    eyes : (n, 2) float64 or None
        Landmarks of the left, then of the right eye, image px, where those parts are fitted.
    good : bool
        Whether the fit itself succeeded.
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
    certainty: float | None = None
    eyes: Floats | None = None
    good: bool = True

    __repr__ = brief

    @property
    def success(self) -> bool:
        """Whether the frame has a face."""
        return self.state.found


_NOTHING = Past()

_NUMBERS_ONLY = 1
"""Bytes of maps to keep: none."""


def track(
    source: VideoSource,
    model: Model,
    options: FitOptions | None = None,
    tracking: TrackOptions | None = None,
    first: Initial | None = None,
    past: Past = _NOTHING,
    detection: DetectionOptions | None = None,
    search: SearchOptions | None = None,
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
    detection : DetectionOptions, optional
        What is done around every fit; nothing by default. Hypotheses are tried where no frame before tells the face.
    search : SearchOptions, optional
        How the detector looks for faces.

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

    Examples
    --------
    >>> from pathlib import Path
    >>> from shutil import copy
    >>> from clnf_engine import load_model, open_video, sample, track
    >>> folder = Path("clip")
    >>> folder.mkdir()
    >>> for k in range(3):
    ...     _ = copy(sample("portrait").path, folder / f"{k}.jpg")
    >>> with open_video(folder) as source:
    ...     [result.state.value for result in track(source, load_model())]
    ['detected', 'tracked', 'tracked']
    """
    options, tracking = options or FitOptions(), tracking or TrackOptions()
    check_first(model, tracking, first)
    return _results(source, model, options, tracking, first, past, detection, search)


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
    detection: DetectionOptions | None,
    search: SearchOptions | None,
) -> Iterator[FrameResult]:
    for frame in source.frames(past.frame):
        result = track_frame(frame, model, options, tracking, first, past, None, detection, search)
        past = past.after(result.index, result.state, result.params, result.good, tracking.rules)
        yield result


def track_frame(
    frame: Frame,
    model: Model,
    options: FitOptions,
    tracking: TrackOptions,
    first: Initial | None,
    past: Past,
    steps: list[Step] | None = None,
    detection: DetectionOptions | None = None,
    search: SearchOptions | None = None,
    check: Callable[[], None] = unchecked,
) -> FrameResult:
    """One frame of `track`; the same arguments give the same bits. A list for `steps` is given those of the fit.

    `check` is called again and again within a fit that nothing else is done around; what it raises ends it.
    """
    if tracking.rules is Rules.OPENFACE:
        return _openface_frame(frame, model, options, tracking, first, past, steps, detection, search, check)
    initial = _start(frame.gray, model, tracking, first, past, search)
    if initial is None:
        return _no_face(frame, options)
    if initial.source is Source.PREVIOUS and not past.failures:
        options = replace(options, windows=tracked_windows(model, options, tracking, float(initial.params[0])))
    result = _fitted(frame, model, initial, options, steps, detection, check)
    if detection is None or not detection.validate or model.validator is None:
        result = replace(result, certainty=None)
    reason = _why_lost(model, result, tracking)
    return replace(result, state=State.LOST, message=reason) if reason else result


def _openface_frame(
    frame: Frame,
    model: Model,
    options: FitOptions,
    tracking: TrackOptions,
    first: Initial | None,
    past: Past,
    steps: list[Step] | None,
    detection: DetectionOptions | None,
    search: SearchOptions | None,
    check: Callable[[], None],
) -> FrameResult:
    """One frame by OpenFace's rules."""
    detection = detection or DetectionOptions(parts=False, validate=False)
    tracked: FrameResult | None = None
    previous = _previous(model, past)
    if previous is not None:
        small = tracked_windows(model, options, tracking, float(previous.params[0]))
        windows = small if past.good else options.windows
        tracked = _fitted(frame, model, previous, replace(options, windows=windows), steps, detection, check)
        if tracked.good:
            return tracked
    every = tracking.redetect_interval * (1 if tracked is not None else SELDOM)
    start_anew: Initial | None = None
    if every and past.failures % every == 0:
        untouched = tracked is None and not past.failures and first is not None
        found = [first] if untouched else initials_from_detector(model, frame.gray, search)
        start_anew = next(iter(found), None)
    if start_anew is None:
        return _no_face(frame, options) if tracked is None else tracked
    mine: list[Step] = []
    anew = _fitted(frame, model, start_anew, options, None if steps is None else mine, detection, check)
    if not anew.good and tracked is not None:
        return tracked
    if steps is not None:
        steps[:] = mine
    return replace(anew, state=_SUCCESS[start_anew.source])


def _previous(model: Model, past: Past) -> Initial | None:
    """The end of the last fit as a start; None without one, or when it is none."""
    try:
        return None if past.params is None else initial_from_params(model, past.params)
    except InitialError:  # that fit has failed, and its numbers may be anything
        return None


def _no_face(frame: Frame, options: FitOptions) -> FrameResult:
    size = (frame.gray.shape[1], frame.gray.shape[0])
    return FrameResult(frame.index, frame.timestamp, size, State.NO_FACE, None, options)


def _fitted(
    frame: Frame,
    model: Model,
    initial: Initial,
    options: FitOptions,
    steps: list[Step] | None,
    detection: DetectionOptions | None,
    check: Callable[[], None],
) -> FrameResult:
    """A frame with its fit and what is around that: found if the fit succeeded, else lost."""
    found: Detection | None = None
    if detection is not None:
        around = replace(detection, hypotheses=detection.hypotheses and initial.source is not Source.PREVIOUS)
        budget = _NUMBERS_ONLY if steps is None else DEFAULT_BUDGET
        found = detect(frame.gray, model, initial, options, around, budget)
    if steps is None:
        fits = fit_many([frame.gray], model, [initial], options, check)
        row = next(fits) if found is None else row_of(found.trace.numbers)
    else:
        for step in fit_steps(frame.gray, model, initial, options) if found is None else found.trace.steps:
            check()
            steps.append(step)
        row = row_of(steps)
    good = row.success if found is None else found.success
    return FrameResult(
        index=frame.index,
        timestamp=frame.timestamp,
        size=(frame.gray.shape[1], frame.gray.shape[0]),
        state=_SUCCESS[initial.source] if good else State.LOST,
        initial=initial if found is None else found.trace.initial,
        options=options,
        params=row.params if found is None else found.params,
        landmarks=row.landmarks if found is None else found.landmarks,
        likelihood=row.likelihood,
        iterations=row.iterations,
        update_norm=None if math.isnan(row.update_norm) else row.update_norm,
        shape_change=None if math.isnan(row.shape_change) else row.shape_change,
        message=row.message if found is None else found.message,
        certainty=None if found is None else found.certainty,
        eyes=None if found is None else eye_landmarks(found),
        good=good,
    )


def frame_trace(source: VideoSource, model: Model, result: FrameResult) -> Trace:
    """The whole fit of a frame, the same that was tracked.

    Parameters
    ----------
    source : VideoSource
    model : Model
        Both as they were given to `track`.
    result : FrameResult

    Returns
    -------
    Trace

    Raises
    ------
    InitialError
        When the frame had no fit.
    VideoFileError
        When the frame cannot be decoded any more.

    Examples
    --------
    >>> from pathlib import Path
    >>> from shutil import copy
    >>> from clnf_engine import frame_trace, load_model, open_video, sample, track
    >>> folder, model = Path("clip"), load_model()
    >>> folder.mkdir()
    >>> for k in range(2):
    ...     _ = copy(sample("portrait").path, folder / f"{k}.jpg")
    >>> with open_video(folder) as source:
    ...     first, second = track(source, model)
    ...     trace = frame_trace(source, model, second)
    >>> bool((trace.landmarks == second.landmarks).all()), trace.options.windows
    (True, (0, 9, 7, 5))
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
    gray: NDArray[np.uint8],
    model: Model,
    tracking: TrackOptions,
    first: Initial | None,
    past: Past,
    search: SearchOptions | None,
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
    return next(iter(initials_from_detector(model, gray, search)), previous)


def _detection_due(tracking: TrackOptions, past: Past) -> bool:
    """Whether the detector looks for a face that is lost, or was never there."""
    if not past.failures:
        return past.params is None
    return tracking.redetect_interval > 0 and past.failures % tracking.redetect_interval == 0


def _why_lost(model: Model, result: FrameResult, tracking: TrackOptions) -> str:
    """What is wrong with a fit; "" when nothing is."""
    if not result.good:
        return result.message
    likelihood = -math.inf if result.likelihood is None else result.likelihood  # None: no landmark is visible
    if likelihood < tracking.min_likelihood:
        return f"the likelihood {likelihood:.3g} is below {tracking.min_likelihood:g}"
    try:
        initial_from_params(model, np.asarray(result.params))
    except InitialError as error:
        return str(error)
    return ""
