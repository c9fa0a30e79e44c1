"""Axes and colours that the plots share."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtGui import QFontMetrics, QPalette
from PySide6.QtWidgets import QApplication

from clnf_gui.views.pens import Pens

_DECADES = np.arange(-40, 41)
_FAR = 1e5
_TICK_PX = {"left": 18, "right": 18, "bottom": 54, "top": 54}
"""Room that a number takes along an axis."""
_NAME_GAP_PX = 10


class DecadeAxis(pg.AxisItem):
    """A log axis with plain numbers, for items that hold log10 values."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self.setLogMode(orientation == "bottom", orientation == "left")

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{10.0**value * scale:.3g}" for value in values]


class SparseDecadeAxis(DecadeAxis):
    """A log axis for little room: of 1, 3, 10, 30, … as many as can be read."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, NDArray[np.float64]]]:
        for every in (1, 2, 4, 8, 16):
            steps = np.arange(np.ceil(2 * minVal), np.floor(2 * maxVal) + 1)
            steps = steps[steps % every == 0]
            if len(steps) * _TICK_PX[self.orientation] <= size or len(steps) <= 1:
                break
        if not len(steps):
            return [(1.0, np.array([(minVal + maxVal) / 2]))]
        return [(1.0, np.where(steps % 2 == 0, steps / 2, np.floor(steps / 2) + np.log10(3)))]


class NameAxis(pg.AxisItem):
    """An axis whose places have names; it writes every first, fifth, tenth, … of them, as there is room."""

    def __init__(self, orientation: str, x: NDArray[np.float64], names: tuple[str, ...]) -> None:
        super().__init__(orientation)
        self._x, self._names = x, names

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, NDArray[np.float64]]]:
        room = max((QFontMetrics(QApplication.font()).horizontalAdvance(name) for name in self._names), default=0)
        fitting = max(int(size / (room + _NAME_GAP_PX)), 1)
        every = next(
            k for k in (1, 2, 5, 10, 20, 50, 100, len(self._names)) if len(self._names) / k <= fitting or k >= 100
        )
        return [(float(every), self._x[::every])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [self._names[int(np.abs(self._x - value).argmin())] for value in values]


def decade_lines(pens: Pens, across: bool = True) -> pg.PlotCurveItem:
    """A line at every decade, across or upright; an axis' own grid costs 12 ms a repaint, this costs nothing."""
    far, decades = np.tile([-_FAR, _FAR], len(_DECADES)), np.repeat(_DECADES, 2)
    x, y = (far, decades) if across else (decades, far)
    lines = pg.PlotCurveItem(x, y, connect="pairs", antialias=False)
    pens.give(lines.setPen, (128, 128, 128, 80))
    return lines


def follow_palette(plot: pg.PlotWidget, palette: QPalette) -> None:
    """Give a plot the colours of a palette, which may have changed since it was made."""
    base, text = palette.color(QPalette.ColorRole.Base), palette.color(QPalette.ColorRole.Text)
    plot.setBackground(base)
    plot.plotItem.titleLabel.setText(plot.plotItem.titleLabel.text, color=text)
    for side in ("left", "bottom"):
        plot.plotItem.getAxis(side).setPen(text)
        plot.plotItem.getAxis(side).setTextPen(text)
