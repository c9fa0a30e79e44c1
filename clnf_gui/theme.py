"""Colours that the views share."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtGui import QBrush, QColor, QPalette

from clnf_engine import Phase, Step

# Okabe and Ito's palette, distinguishable with the common colour-vision deficiencies.
ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"

SELECTION = "#ff2e88"
"""What is selected, everywhere."""

BACKDROP = "#2a2d31"
"""Behind photos and maps in every theme, so that their colours read the same."""

LANE_COLOURS = {"A": BLUE, "B": VERMILION}

_ON_LIGHT = {ORANGE: "#b87800", SKY: "#3596cc"}
_ON_DARK = {BLUE: "#4a90e2"}
_DARK = 128


def is_dark(palette: QPalette) -> bool:
    """Whether a palette's plots are light on dark."""
    return palette.color(QPalette.ColorRole.Base).lightness() < _DARK


def readable(colour: str, dark: bool) -> str:
    """A colour of the palette above as lines and words in a plot have it: its contrast to the ground is 3:1 or more.

    3:1 is what WCAG 2.2, success criterion 1.4.11, asks of graphical objects.
    """
    return (_ON_DARK if dark else _ON_LIGHT).get(colour, colour)


_STAGES = (SKY, ORANGE, GREEN, PURPLE)


def step_colour(step: Step) -> QColor:
    """Hue by stage; pale for response maps, light for rigid, full for non-rigid, vermilion for a merge, grey else."""
    return _colour(None if step.stage is None else step.stage.index, step.phase)


def step_brush(step: Step) -> QBrush:
    """`step_colour` to fill points with, one object a colour: pyqtgraph draws a symbol anew for every object."""
    return _brush(None if step.stage is None else step.stage.index, step.phase)


@lru_cache(maxsize=256)
def _brush(stage: int | None, phase: Phase) -> QBrush:
    return QBrush(_colour(stage, phase))


@lru_cache(maxsize=256)
def _colour(stage: int | None, phase: Phase) -> QColor:
    if stage is None or phase is Phase.SKIPPED:
        return QColor(VERMILION if phase in (Phase.MERGE, Phase.REFIT) else "#9a9a9a")
    colour = QColor(_STAGES[stage % len(_STAGES)])
    white = {Phase.RESPONSES: 0.65, Phase.RIGID: 0.3}.get(phase, 0.0)
    mixed = (round(c + (255 - c) * white) for c in (colour.red(), colour.green(), colour.blue()))
    return QColor(*mixed)


CHECKED_STYLE = (
    "QPushButton:checked { background-color: palette(highlight); color: palette(highlighted-text); font-weight: bold; "
    "border: 1px solid palette(mid); border-radius: 2px; padding: 4px; }"
)
"""For buttons of which one is chosen: visible in light and dark."""
