"""Look: how the Session's data is shown; nothing of it changes a number."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


class MapRange(StrEnum):
    """What the atlas' colours span."""

    EACH = "each"
    STEP = "step"


@dataclass(frozen=True)
class Look:
    """What is shown, and how.

    Attributes
    ----------
    map_kind : MapKind
    map_source : MapSource
        Counts only while two lanes are compared.
    map_range : MapRange
        Every map on its own, or all maps of the step (of both lanes) together.
    show_ghost, show_shifts, show_contours : bool
        Initial shape, mean-shifts and face contours over the image.
    """

    map_kind: MapKind = MapKind.FINAL
    map_source: MapSource = MapSource.A
    map_range: MapRange = MapRange.EACH
    show_ghost: bool = True
    show_shifts: bool = True
    show_contours: bool = True
