"""Cumulative error curves of the variants of a study, A and B in the colours of the lanes."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from clnf_engine.studies.summary import Summary
from clnf_gui.theme import LANE_COLOURS
from clnf_gui.views.axes import follow_palette
from clnf_gui.views.pens import Pens

_OTHERS = "#808080"
_STYLES = {"A": Qt.PenStyle.SolidLine, "B": Qt.PenStyle.DashLine}


class ErrorCurves(QWidget):
    """Paints which share of the fits has an error below x, of every variant.

    Attributes
    ----------
    curves : dict of str to PlotCurveItem
        By the name of the variant.
    """

    def __init__(self) -> None:
        super().__init__()
        self.legend = QLabel()
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.legend.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setAccessibleName("Cumulative error")
        self.plot.plotItem.hideButtons()
        self.plot.plotItem.setContentsMargins(0, 4, 8, 0)
        self.plot.plotItem.showGrid(x=True, y=True, alpha=0.2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot, 1)
        self.pens = Pens(self)
        self.pens.changed.connect(self._write_legend)
        self._names: dict[str, str] = {}
        self.curves: dict[str, pg.PlotCurveItem] = {}
        for side in ("left", "bottom"):
            self.plot.plotItem.getAxis(side).enableAutoSIPrefix(False)
        self.plot.plotItem.setLabel("left", "fits, %")
        follow_palette(self.plot, self.palette())

    def show_summary(self, summary: Summary | None, b: int) -> None:
        """Paint the variants of a study, B beside the baseline."""
        self.plot.plotItem.clear()
        self.curves = {}
        self.pens.forget()
        self._names = {}
        if summary is not None and summary.has_truth:
            x, shares = summary.curves()
            lanes = {summary.names[b]: "B", summary.names[summary.baseline]: "A"}
            self._names = {lane: name for name, lane in lanes.items()}
            for name in sorted(shares, key=lambda name: lanes.get(name, "")):  # A and B on top
                item = self.curves[name] = pg.PlotCurveItem(x, shares[name])
                lane = lanes.get(name)
                width, style = (2.0, _STYLES[lane]) if lane else (1.0, Qt.PenStyle.SolidLine)
                self.pens.give(item.setPen, LANE_COLOURS[lane] if lane else _OTHERS, width, style)
                self.plot.plotItem.addItem(item)
            self.plot.plotItem.setLabel("bottom", summary.error_title)
        self._write_legend()

    def _write_legend(self) -> None:
        marks = {"A": "——", "B": "– –"}
        entries = []
        for lane in sorted(self._names):
            colour = self.pens.colour(LANE_COLOURS[lane])
            entries.append(f'<span style="color:{colour}">{marks[lane]}</span> {lane}: {self._names[lane]}')
        others = len(self.curves) - len(entries)
        if others > 0:
            entries.append(f'<span style="color:{_OTHERS}">——</span> {others} other variant{"s" if others > 1 else ""}')
        self.legend.setText(" &nbsp; ".join(entries))
