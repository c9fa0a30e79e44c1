"""A figure of a finding: curves, or bars; upright where their names are short, else lying."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QPalette
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Plot, Style
from clnf_gui.theme import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from clnf_gui.views.axes import NameAxis, SparseDecadeAxis, decade_lines, follow_palette
from clnf_gui.views.pens import Pens

_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
_MARKS = ("——", "– –", "· · ·", "– · –")
_SHORT_NAME = 6
_LONG_NAME = 20
"""Longer names are cut, characters; the table has them whole."""
_FULL = 0.8
"""Part of the room between two names that their bars take."""


class FindingPlot(QWidget):
    """Paints a `Plot` under its legend.

    Attributes
    ----------
    legend : QLabel
    plot : PlotWidget
    items : dict of str to item
        The curve or bars of every series.
    """

    def __init__(self, figure: Plot, palette: QPalette) -> None:
        super().__init__()
        self._lying = figure.style is Style.BARS and any(len(name) > _SHORT_NAME for name in figure.ticks)
        side = "bottom" if self._lying else "left"
        self.legend = QLabel(wordWrap=True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.legend.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        axes: dict[str, pg.AxisItem] = {side: SparseDecadeAxis(side)} if figure.log_y else {}
        if figure.ticks and not self._lying:
            axes["bottom"] = NameAxis("bottom", figure.x, figure.ticks)
        self.plot = pg.PlotWidget(enableMenu=False, axisItems=axes)
        self.plot.setAccessibleName(figure.title)
        self.plot.plotItem.setMouseEnabled(x=False, y=False)
        self.plot.plotItem.hideButtons()
        self.plot.plotItem.setContentsMargins(0, 4, 10, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot, 1)
        self.pens = Pens(self)
        if figure.log_y:
            self.plot.addItem(decade_lines(self.pens, across=not self._lying), ignoreBounds=True)
        values = {name: _heights(series, figure.log_y) for name, series in figure.series.items()}
        finite = np.concatenate([heights[np.isfinite(heights)] for heights in values.values()])
        self.items = {}
        if figure.style is Style.LINES:
            for k, (name, heights) in enumerate(values.items()):
                self.items[name] = _curve(k, figure.x, heights, self.pens)
        else:
            floor = float(np.floor(finite.min() - 0.1)) if figure.log_y and finite.size else 0.0
            for k, (name, heights) in enumerate(values.items()):
                lengths = np.where(np.isfinite(heights), heights - floor, 0.0)
                self.items[name] = _bars(k, figure.x, lengths, floor, len(values), self._lying, self.pens)
        for item in self.items.values():
            self.plot.addItem(item)
        self._name_axes(figure)
        self._names = list(values) if finite.size else []
        self._marks = _MARKS if figure.style is Style.LINES else ("■",)
        self.pens.changed.connect(self._write_legend)
        self._write_legend()
        follow_palette(self.plot, palette)

    def _name_axes(self, figure: Plot) -> None:
        item = self.plot.plotItem
        for axis in ("left", "bottom"):
            item.getAxis(axis).enableAutoSIPrefix(False)  # "(x0.001)" after a unit that has a name
        if self._lying:
            item.invertY(True)
            item.setLabel("bottom", figure.y_label)
            names = [name if len(name) <= _LONG_NAME else f"{name[: _LONG_NAME - 1]}…" for name in figure.ticks]
            font = QFont(self.font())
            font.setPointSizeF(0.8 * font.pointSizeF())
            item.getAxis("left").setStyle(tickFont=font)
            item.getAxis("left").setTicks([list(zip(figure.x, names, strict=True))])
            item.setYRange(figure.x[0] - 0.5, figure.x[-1] + 0.5, padding=0)
            return
        item.setLabel("bottom", figure.x_label)
        item.setLabel("left", figure.y_label)

    def _write_legend(self) -> None:
        names, marks = self._names, self._marks
        entries = (
            f'<span style="color:{self.pens.colour(_COLOURS[k % len(_COLOURS)])}">{marks[k % len(marks)]}</span> {name}'
            for k, name in enumerate(names)
        )
        unbroken = [entry.replace(" ", "&nbsp;").replace("<span&nbsp;", "<span ") for entry in entries]
        self.legend.setText(" &nbsp; ".join(unbroken) if names else "nothing to show: no value is above 0")
        self.legend.setVisible(len(names) != 1)


def _curve(k: int, x: Floats, heights: Floats, pens: Pens) -> pg.PlotDataItem:
    """The points of a series that have a value, neighbours joined."""
    shown = np.isfinite(heights)
    item = pg.PlotDataItem(
        x[shown],
        heights[shown],
        connect=np.append(np.diff(np.flatnonzero(shown)) == 1, False)[: shown.sum()],
        symbol="o",
        symbolSize=4,
        symbolPen=None,
    )
    pens.give(item.setPen, _COLOURS[k % len(_COLOURS)], 1.5, _STYLES[k % len(_STYLES)])
    pens.fill(item.setSymbolBrush, _COLOURS[k % len(_COLOURS)])
    return item


def _bars(k: int, x: Floats, lengths: Floats, floor: float, count: int, lying: bool, pens: Pens) -> pg.BarGraphItem:
    """The bars of one series of `count`, side by side around their names."""
    width = _FULL / count
    start, base = x - _FULL / 2 + k * width, np.full(len(x), floor)
    across = {"y0": start, "height": width, "x0": base, "width": lengths}
    upright = {"x0": start, "width": width, "y0": base, "height": lengths}
    bars = pg.BarGraphItem(**(across if lying else upright), pen=None)
    pens.fill(lambda colour: bars.setOpts(brush=colour), _COLOURS[k % len(_COLOURS)])
    return bars


def _heights(series: Floats, log: bool) -> Floats:
    """What is painted of a series: itself, or its logarithm where it has one; NaN elsewhere."""
    values = np.asarray(series, dtype=np.float64)
    if not log:
        return values
    return np.log10(values, out=np.full(len(values), np.nan), where=np.isfinite(values) & (values > 0))
