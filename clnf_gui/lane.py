"""Lane: one run, what it is made from, and where the cursor stands in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum

from clnf_engine import FitOptions, Initial, Phase, Step, TrackOptions
from clnf_engine.steps import Place, place_order
from clnf_engine.tracking.results import Results


class Origin(StrEnum):
    """What kind of fit of its frame a lane shows; the values are fit to be read."""

    IMAGE = ""
    """The only one there is."""
    TRACKED = "tracked"
    ALONE = "not tracked yet: fitted as if tracking began here"
    CHANGED = "not tracked yet with these options: fitted from the same start"
    BY_HAND = "started by hand: not the tracked fit"


Way = tuple[TrackOptions, int, Initial | None]
"""`Lane.tracking`, `Lane.begin` and `Lane.first`."""


@dataclass(eq=False)
class Lane:
    """A run: its options, its start and the Steps it has produced so far.

    Attributes
    ----------
    options : FitOptions
    base_initial, initial : Initial or None
        The start that was chosen, and what a perturbation made of it.
    steps : list of Step
    complete : bool
        Whether the run has ended.
    seconds : float
        How long it took.
    cursor : int
        Index of the Step that is shown.
    fit_options : FitOptions
        What the Steps were made with: `options`, but for the windows of a tracked frame.
    origin : Origin
    tracking : TrackOptions
        How the lane follows a face through a video.
    begin : int
        Number of the frame that tracking begins with.
    first : Initial or None
        A start that tracking is given there.
    results : Results or None
        Of the frames that were tracked with these options; None without a video.
    followed : bool
        Whether tracking has come to the end of the video.
    """

    options: FitOptions = field(default_factory=FitOptions)
    base_initial: Initial | None = None
    initial: Initial | None = None
    steps: list[Step] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0
    cursor: int = 0
    fit_options: FitOptions = field(default_factory=FitOptions)
    origin: Origin = Origin.IMAGE
    tracking: TrackOptions = field(default_factory=TrackOptions)
    begin: int = 0
    first: Initial | None = None
    results: Results | None = None
    followed: bool = False

    @property
    def way(self) -> Way:
        """How it tracks, and from where."""
        return self.tracking, self.begin, self.first

    @property
    def step(self) -> Step | None:
        """The Step that is shown."""
        return self.steps[self.cursor] if self.steps else None

    def clear(self) -> None:
        """Forget the run, its start and the tracking."""
        self.base_initial = self.initial = self.first = self.results = None
        self.steps, self.complete, self.cursor = [], False, 0
        self.begin, self.followed, self.origin = 0, False, Origin.IMAGE

    def show(self, place: Place) -> None:
        """Move the cursor to a place, or to the nearest moment before it, of no skipped stage, if there is no such."""
        after = bisect_right(self.steps, place_order(place), key=lambda step: place_order(step.place))
        self.cursor = max(after - 1, 0)
        while self.cursor and self.steps[self.cursor].phase is Phase.SKIPPED and self.steps[self.cursor].place != place:
            self.cursor -= 1
