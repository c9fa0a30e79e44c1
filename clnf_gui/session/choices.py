"""Choices: what a person chose of the lanes and the look, as plain values, and what follows when they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clnf_engine import DetectionOptions, FitOptions, Initial, Normalization, Step, Trace, TrackOptions
from clnf_engine.deviations import DEVIATIONS, without_deviations
from clnf_gui.look import Look
from clnf_gui.session.aspect import Aspect

LANES = ("A", "B")
"""Names of the lanes."""

Way = tuple[TrackOptions, int, Initial | None]
"""How a lane tracks: `LaneChoices.tracking`, `.begin` and `.first`."""


@dataclass(frozen=True, eq=False)
class Start:
    """A start that a person gave a lane.

    Attributes
    ----------
    base, initial : Initial
        The start that was chosen, and what a perturbation made of it.
    frame : int or None
        Number of the frame of a video it is for; None for an image.
    """

    base: Initial
    initial: Initial
    frame: int | None = None


@dataclass(frozen=True, eq=False)
class Recorded:
    """A run that was read from a file, as it looks with a model.

    Attributes
    ----------
    path : Path
    trace : Trace
        As it was read.
    steps : sequence of Step
        Those of the trace, completed with what follows from them.
    foreign : str
        Why the engine does not reproduce it from its start, a clause; "" when it does, or no model is open.
    other_model : str
        What says that it is of none that is open, a sentence; "" when nothing does.
    live : bool
        Whether its program is still computing it.
    """

    path: Path
    trace: Trace
    steps: Sequence[Step]
    foreign: str = ""
    other_model: str = ""
    live: bool = False


@dataclass(frozen=True)
class LaneChoices:
    """What a person chose of a lane.

    Attributes
    ----------
    options : FitOptions
    start : Start or None
        None starts where the scene offers: at the likeliest face, like lane A, or as a tracking does.
    tracking : TrackOptions
        How the lane follows a face through a video.
    begin : int
        Number of the frame that tracking begins with.
    first : Initial or None
        A start that tracking is given there.
    recorded : Recorded or None
        A run that the lane shows in the place of a fit of its own.
    functions : Path or None
        A Python file whose functions take the place of operations of the fit.
    detection : DetectionOptions or None
        What is done around the fit of a photo, unless functions of a file make it; None for nothing.
    """

    options: FitOptions = field(default_factory=FitOptions)
    start: Start | None = None
    tracking: TrackOptions = field(default_factory=TrackOptions)
    begin: int = 0
    first: Initial | None = None
    recorded: Recorded | None = None
    functions: Path | None = None
    detection: DetectionOptions | None = None

    @property
    def way(self) -> Way:
        """How it tracks, and from where."""
        return self.tracking, self.begin, self.first


@dataclass(frozen=True)
class Choices:
    """Everything that can be undone.

    Attributes
    ----------
    a, b : LaneChoices
        Of lanes A and B.
    comparing : bool
        Whether lane B is shown beside lane A.
    active : str
        Name of the lane that options and starts apply to, and whose numbers are read out.
    look : Look
    """

    a: LaneChoices = field(default_factory=LaneChoices)
    b: LaneChoices = field(default_factory=lambda: LaneChoices(FitOptions(normalization=Normalization.PEAK)))
    comparing: bool = False
    active: str = "A"
    look: Look = field(default_factory=Look)

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the lanes that are shown."""
        return LANES if self.comparing else LANES[:1]

    def __getitem__(self, name: str) -> LaneChoices:
        return {"A": self.a, "B": self.b}[name]

    def with_lane(self, name: str, **changes: Any) -> Choices:
        """A copy in which a lane's choices differ."""
        lane = replace(self[name], **changes)
        return replace(self, a=lane) if name == "A" else replace(self, b=lane)

    def with_recorded(self, old: Recorded, new: Recorded) -> Choices:
        """A copy in which a recorded run has taken the place of another."""
        holding = [name for name in LANES if self[name].recorded is old]
        choices = self
        for name in holding:
            choices = choices.with_lane(name, recorded=new)
        return choices

    def swapped(self) -> Choices:
        """A copy in which each lane is what the other was; where both start alike they go on to do so."""
        if self.b.start is None and self.a.recorded is None:
            return replace(self, a=replace(self.b, start=self.a.start), b=replace(self.a, start=None))
        return replace(self, a=self.b, b=self.a)

    def start(self, name: str, frame: int | None) -> Start | None:
        """The given start that applies to a lane now; lane B of an image starts where A does unless it has its own.

        Parameters
        ----------
        name : str
        frame : int or None
            Number of the frame that is shown; None for an image.
        """
        own = self[name].start
        if own is not None and own.frame == frame:
            return own
        return self.start("A", frame) if name != "A" and frame is None else None

    def with_fits_alone(self) -> Choices:
        """A copy for a video, which is tracked by the engine's fits alone."""
        alone = {"functions": None, "detection": None}
        return self.with_lane("A", **alone).with_lane("B", **alone)

    def without_starts(self) -> Choices:
        """A copy for another scene: options and look stay, what belongs to a picture goes."""
        forgotten = {"start": None, "begin": 0, "first": None, "recorded": None}
        return replace(self.with_lane("A", **forgotten).with_lane("B", **forgotten), active="A")


def beside_recorded(old: Choices, new: Choices) -> tuple[Choices, str]:
    """Choices as they are to be taken, so that no recorded run is overwritten, and what there is to say about that.

    Other options or another start for a lane that holds a recorded run begin a run in the other lane.

    Parameters
    ----------
    old, new : Choices
        As they are, and as a person wants them.

    Returns
    -------
    (Choices, str)
        The words are "" where there is nothing to say.
    """
    for name, other in zip(LANES, reversed(LANES), strict=True):
        kept, wanted = old[name], new[name]
        if kept.recorded is None or wanted.recorded not in (kept.recorded, None):
            continue
        if wanted.recorded and _made_from(wanted) == _made_from(kept):
            continue
        if new[other].recorded is kept.recorded:  # the lanes were swapped
            continue
        if old[other].recorded is not None:
            return old, "both lanes hold recorded runs, which are kept: open one of them alone to try other options"
        run = replace(wanted, recorded=None)
        lanes = (kept, run) if name == "A" else (run, kept)
        taken = replace(new, a=lanes[0], b=lanes[1], comparing=True, active=other)
        return taken, f"lane {name} keeps the recorded run; lane {other} runs with what you have changed"
    return new, ""


def with_deviation(choices: Choices, name: str, lane_name: str, start: Start | None) -> Choices:
    """Choices by which a lane is like another, but with exactly one deviation, and the two are compared.

    Parameters
    ----------
    choices : Choices
    name : str
        Of the deviation.
    lane_name : str
        Of the lane to be like; the one that changes is B, or A where B holds a recorded run. It is the active one.
    start : Start or None
        Where the frame of a video starts; None for an image.
    """
    deviation, lane = DEVIATIONS[name], choices[lane_name]
    value = getattr(lane.options, name) if deviation.on(lane.options) else deviation.value
    options = replace(without_deviations(lane.options), **{name: value})
    if start is not None:
        lane = replace(lane, start=start)
    elif lane_name == "A" and lane.recorded is None:
        lane = replace(lane, start=None)
    target = "B" if choices.b.recorded is None else "A"
    changed = replace(lane, options=options, recorded=None, functions=None)
    return replace(choices, comparing=True, active=target).with_lane(target, **vars(changed))


def _made_from(lane: LaneChoices) -> tuple[FitOptions, Start | None, Path | None, DetectionOptions | None]:
    return lane.options, lane.start, lane.functions, lane.detection


def detection_or_none(detection: DetectionOptions) -> DetectionOptions | None:
    """What is to be done around a fit; None when these options ask for nothing."""
    return detection if detection.parts or detection.hypotheses or detection.validate else None


@dataclass(frozen=True)
class Consequences:
    """What is to be done when choices change.

    Attributes
    ----------
    refit : frozenset of str
        Lanes to be fitted anew from where they start.
    show : frozenset of str
        Lanes of a video whose frame is to be fitted as a tracking does.
    retrack : frozenset of str
        Lanes whose tracking is out of date.
    aspects : Aspect
        What has changed for those who look.
    """

    refit: frozenset[str]
    show: frozenset[str]
    retrack: frozenset[str]
    aspects: Aspect


def consequences(old: Choices, new: Choices, frame: int | None) -> Consequences:
    """What follows from a change, by hand, by undo or by opening a file alike.

    Parameters
    ----------
    old, new : Choices
    frame : int or None
        Number of the frame of a video that is shown; None for an image.

    Returns
    -------
    Consequences
    """
    refit, show, retrack = set(), set(), set()
    aspects = Aspect(0)
    for name in LANES:
        before, after = old[name], new[name]
        appeared = name in new.shown and name not in old.shown
        options = (before.options, before.functions) != (after.options, after.functions)
        way = before.way != after.way
        around = before.detection != after.detection
        start = new.start(name, frame)
        started = start is not old.start(name, frame)
        aspects |= Aspect.OPTIONS if options or way or around else Aspect(0)
        aspects |= Aspect.START if started else Aspect(0)
        if frame is not None and (options or way):
            retrack.add(name)
        if name not in new.shown:
            continue
        if frame is None or start is not None:
            if options or (around and frame is None) or started or appeared or before.recorded is not after.recorded:
                refit.add(name)
        elif started or appeared:
            show.add(name)
        elif options:
            refit.add(name)
    if (old.comparing, old.active) != (new.comparing, new.active):
        aspects |= Aspect.LANES | Aspect.START | Aspect.OPTIONS | Aspect.CURSOR
    if old.comparing != new.comparing:
        aspects |= Aspect.STEPS
    if old.look != new.look:
        aspects |= Aspect.LOOK
    return Consequences(frozenset(refit), frozenset(show), frozenset(retrack), aspects)
