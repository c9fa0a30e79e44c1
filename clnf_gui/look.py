"""Look: how the Session's data is shown; nothing of it changes a number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class MapKind(StrEnum):
    """Which of a landmark's maps the response atlas shows; the values name `ResponseMaps`' fields."""

    RAW = "raw"
    AFTER_SIGMA = "after_sigma"
    FINAL = "final"


class MapSource(StrEnum):
    """Whose maps the atlas shows."""

    A = "A"
    B = "B"
    DIFFERENCE = "A−B"


class Moment(StrEnum):
    """What of an iteration is shown: the shift of every landmark, the solution for all of them, or its result."""

    MEAN_SHIFT = "mean-shift"
    SOLVE = "solve"
    UPDATE = "update"


class MapRange(StrEnum):
    """What the atlas' colours span."""

    EACH = "each"
    STEP = "step"
    RUN = "run"
    MANUAL = "manual"


class Curves(StrEnum):
    """What the convergence pane shows of every iteration."""

    NORM = "norm"
    PARTS = "parts"
    GRADIENT = "gradient"
    ERROR = "error"


class FrameCurves(StrEnum):
    """What the frames pane shows of every frame of a video."""

    ALL = "all"
    LIKELIHOOD = "likelihood"
    UPDATE_NORM = "update_norm"
    JUMP = "jump"
    APART = "apart"


class Worst(StrEnum):
    """Which frames of a video are listed as the worst."""

    JUMP = "jump"
    LIKELIHOOD = "likelihood"
    UNSETTLED = "unsettled"
    LOST = "lost"
    APART = "apart"


@dataclass(frozen=True)
class Look:
    """What is shown, and how.

    Attributes
    ----------
    map_kind : MapKind
    map_source : MapSource
        Counts only while two lanes are compared.
    map_range : MapRange
        Every map on its own, all maps of the step or of the whole run (of both lanes) together, or `manual_range`.
    manual_range : (low, high)
    curves : Curves
    target : float
        A line of the person's own in the convergence pane; 0 for none.
    frame_curves : FrameCurves
    worst : Worst
    shift_scale : float
        Factor on the length of the mean-shifts over the image.
    pinned : tuple of int
        Landmarks whose inspectors stay open.
    show_ghost, show_shifts, show_contours, show_windows, show_trail, show_numbers, show_truth : bool
        Over the image: initial shape, mean-shifts, face contours, search windows, the shapes of the last iterations,
        landmark numbers (when zoomed in), ground truth.
    show_map : bool
        The response map of the selected landmark over the image, where it looks.
    windows_all : bool
        The search windows of all landmarks, also while one is selected; else that of the selected one alone.
    show_box : bool
        The starting box, to be dragged.
    """

    map_kind: MapKind = MapKind.FINAL
    map_source: MapSource = MapSource.A
    map_range: MapRange = MapRange.EACH
    manual_range: tuple[float, float] = (0.0, 1.0)
    curves: Curves = Curves.NORM
    target: float = 0.0
    frame_curves: FrameCurves = FrameCurves.ALL
    worst: Worst = Worst.JUMP
    shift_scale: float = 1.0
    pinned: tuple[int, ...] = ()
    show_ghost: bool = True
    show_shifts: bool = True
    show_contours: bool = True
    show_windows: bool = False
    windows_all: bool = False
    show_map: bool = False
    show_trail: bool = False
    show_numbers: bool = True
    show_truth: bool = True
    show_apart: bool = True
    show_box: bool = False

    def with_pin(self, landmark: int) -> Look:
        """A copy with a landmark's inspector pinned, or no longer so."""
        if landmark in self.pinned:
            return replace(self, pinned=tuple(k for k in self.pinned if k != landmark))
        return replace(self, pinned=(*self.pinned, landmark))

    def toggled(self, name: str) -> Look:
        """A copy with one of the switches turned."""
        change: dict[str, Any] = {name: not getattr(self, name)}
        return replace(self, **change)
