"""What tracking carries from one frame to the next, and how a frame changes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clnf_engine.arrays import Floats
from clnf_engine.options import Rules


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


GIVE_UP = 101
"""Failures in a row after which OpenFace tracks no more, but looks for a face anew…"""
SELDOM = 6
"""…so many times more seldom than while it tracks."""


@dataclass(frozen=True, eq=False)
class Past:
    """All that tracking carries from one frame to the next.

    Attributes
    ----------
    frame : int
        Number of the next frame, from 0.
    params : (6 + m,) float64 or None
        Of the last fit that succeeded; by OpenFace's rules of the last fit, None while nothing is tracked.
    failures : int
        Frames since the last face, or since the beginning; by OpenFace's rules none are counted before the first face.
    good : bool
        By OpenFace's rules: whether the last fit itself succeeded. It keeps a first one even if it did not.
    """

    frame: int = 0
    params: Floats | None = None
    failures: int = 0
    good: bool = True

    def after(
        self, index: int, state: State, params: Floats | None, good: bool = True, rules: Rules = Rules.OWN
    ) -> Past:
        """The past once frame `index` is done, too.

        Parameters
        ----------
        index : int
        state : State
            What became of it.
        params : (6 + m,) float64 or None
            Those of its fit.
        good : bool
            Whether its fit itself succeeded.
        rules : Rules
        """
        if state.found:
            return Past(index + 1, params, 0, good)
        if rules is Rules.OWN:
            return Past(index + 1, self.params, self.failures + 1)
        if state is State.NO_FACE:
            return Past(index + 1, None, self.failures and self.failures + 1)
        given_up = self.failures + 1 > GIVE_UP
        return Past(index + 1, None if given_up else params, self.failures + 1, False)
