"""Work on a video that threads do: a frame with its fits, to be shown, and the tracking of all frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from clnf_engine import (
    FitOptions,
    FrameResult,
    Initial,
    Model,
    Step,
    TrackOptions,
    VideoSource,
    initials_from_detector,
)
from clnf_engine.errors import FileError, VideoFileError
from clnf_engine.fitting import fit_and_trace
from clnf_engine.io.images import Image
from clnf_engine.options import Source
from clnf_engine.recording import DEFAULT_BUDGET
from clnf_engine.trace import Trace
from clnf_engine.tracking.past import Past
from clnf_engine.tracking.results import Results
from clnf_engine.tracking.track import check_first, track_frame, tracked_windows
from clnf_gui.session.choices import LaneChoices
from clnf_gui.session.lanes import Lane, Origin

_BATCH_SECONDS = 0.015
_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True, eq=False)
class LaneFit:
    """A lane's fit of a frame.

    Attributes
    ----------
    track : Results or None
        Those of the lane when the fit was wished for; with other ones the fit is out of date.
    initial : Initial or None
        None when there is nothing to start from.
    options : FitOptions
    origin : Origin
    steps : sequence of Step
    seconds : float
        What the fit took.
    """

    track: Results | None
    initial: Initial | None
    options: FitOptions
    origin: Origin
    steps: Sequence[Step]
    seconds: float


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame as it is shown.

    Attributes
    ----------
    index : int
        Of the frame, from 0.
    image : Image or None
    fits : dict of str to LaneFit
        By lane.
    faces : tuple of Initial
        Those detected, when the detector was asked.
    problem : str
        Why there is no image; "" when there is.
    """

    index: int
    image: Image | None
    fits: dict[str, LaneFit]
    faces: tuple[Initial, ...] = ()
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Wish:
    """How a lane is to fit a frame: like its tracked result, if there is one."""

    track: Results | None
    result: FrameResult | None
    options: FitOptions
    tracking: TrackOptions
    first: Initial | None

    @staticmethod
    def of(lane: Lane, index: int) -> Wish:
        """What a lane wants of a frame."""
        result = None if lane.results is None else lane.results[index]
        return Wish(lane.results, result, lane.options, lane.tracking, lane.chosen.first)


def options_from(model: Model, chosen: LaneChoices, initial: Initial) -> FitOptions:
    """What a frame is to be fitted with: the windows of a tracked one where it starts from the one before."""
    if initial.source is not Source.PREVIOUS:
        return chosen.options
    windows = tracked_windows(model, chosen.options, chosen.tracking, float(initial.params[0]))
    return replace(chosen.options, windows=windows)


def take_shot(
    source: VideoSource, index: int, model: Model | None, wishes: Mapping[str, Wish], check: Callable[[], None]
) -> Iterator[Shot]:
    """A frame and its fits; `check` is called before every step of a fit and may end the work."""
    try:
        frame = source.frame(index)
    except FileError as error:
        yield Shot(index, None, {}, problem=str(error))
        return
    check()
    faces: tuple[Initial, ...] = ()

    @cache
    def detected(model: Model) -> tuple[Initial, ...]:
        nonlocal faces
        faces = tuple(initials_from_detector(model, frame.gray))
        return faces

    def start(model: Model, wish: Wish) -> Initial | None:
        if wish.result is not None:
            return wish.result.initial
        if wish.tracking.initialization in (Source.BOX, Source.LANDMARKS):
            return wish.first
        return next(iter(detected(model)), None)

    fits = {}
    if model is not None:
        for name, wish in wishes.items():
            initial = start(model, wish)
            check()
            options, origin = wish.options, Origin.ALONE
            if wish.result is not None:
                options, origin = wish.result.options, Origin.TRACKED
            began = time.perf_counter()
            steps: Sequence[Step] = ()
            if initial is not None:
                for item in fit_and_trace(frame.gray, model, initial, options, DEFAULT_BUDGET):
                    check()
                    if isinstance(item, Trace):
                        steps = item.steps
            fits[name] = LaneFit(wish.track, initial, options, origin, steps, time.perf_counter() - began)
            check()
    yield Shot(index, Image(source.path, frame.rgb, frame.gray), fits, faces)


class Gate:
    """Lets the tracking wait, for a moment, while something is on its way to the screen.

    Attributes
    ----------
    watched : bool
        Whether every frame is to be shown as it is tracked.
    """

    def __init__(self) -> None:
        self.watched = False
        self._open = threading.Event()
        self._open.set()

    def watch(self, on: bool) -> None:
        """Let every frame be shown as it is tracked, or not."""
        self.watched = on

    def close(self) -> None:
        """Let the tracking wait."""
        self._open.clear()

    def open(self) -> None:
        """Let it go on."""
        self._open.set()

    def wait(self) -> None:
        """Wait until the gate is open, but not for long."""
        self._open.wait(_PATIENCE_SECONDS)


@dataclass(frozen=True, eq=False)
class Task:
    """What is left of a lane's tracking."""

    track: Results
    options: FitOptions
    tracking: TrackOptions
    first: Initial | None
    past: Past


Batch = list[tuple[str, FrameResult]]
"""Results with the names of their lanes."""


def track_lanes(
    source: VideoSource, model: Model, tasks: Mapping[str, Task], gate: Gate, check: Callable[[], None]
) -> Iterator[Batch | Shot | VideoFileError]:
    """Track in every lane; a frame is decoded once for all of them. `check` may end the work within a frame.

    Yields
    ------
    list of (str, FrameResult)
        What has come together in a few milliseconds.
    Shot
        Of the frame tracked last, while that is watched.
    VideoFileError
        At last, when some frames could not be decoded.
    """
    for task in tasks.values():
        check_first(model, task.tracking, task.first)
    pasts = {name: task.past for name, task in tasks.items()}
    batch: Batch = []
    told = time.monotonic()
    try:
        for frame in source.frames(min(past.frame for past in pasts.values())):
            gate.wait()
            watched, fits = gate.watched, {}
            for name, task in tasks.items():
                past = pasts[name]
                if past.frame <= frame.index:
                    began = time.perf_counter()
                    steps: list[Step] = []
                    kept = steps if watched else None
                    result = track_frame(frame, model, task.options, task.tracking, task.first, past, kept, check=check)
                    pasts[name] = past.after(
                        result.index, result.state, result.params, result.good, task.tracking.rules
                    )
                    batch.append((name, result))
                    seconds = time.perf_counter() - began
                    fits[name] = LaneFit(task.track, result.initial, result.options, Origin.TRACKED, steps, seconds)
            if watched or time.monotonic() - told > _BATCH_SECONDS:
                yield batch
                batch, told = [], time.monotonic()
            if watched and len(fits) == len(tasks):
                gate.close()
                yield Shot(frame.index, Image(source.path, frame.rgb, frame.gray), fits)
    except VideoFileError as error:
        yield batch
        yield error
    else:
        yield batch
