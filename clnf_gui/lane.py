"""Lane: one run, what it is made from, and where the cursor stands in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from clnf_engine import FitOptions, Initial, Step
from clnf_engine.steps import Place, place_order


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
    """

    options: FitOptions = field(default_factory=FitOptions)
    base_initial: Initial | None = None
    initial: Initial | None = None
    steps: list[Step] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0
    cursor: int = 0

    @property
    def step(self) -> Step | None:
        """The Step that is shown."""
        return self.steps[self.cursor] if self.steps else None

    def clear(self) -> None:
        """Forget the run and its start."""
        self.base_initial = self.initial = None
        self.steps, self.complete, self.cursor = [], False, 0

    def show(self, place: Place) -> None:
        """Move the cursor to a place, or to the nearest moment before it where the run does not come by it."""
        after = bisect_right(self.steps, place_order(place), key=lambda step: place_order(step.place))
        self.cursor = max(after - 1, 0)
