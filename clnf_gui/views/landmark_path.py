"""Where a fit takes one landmark, over all steps: as curves, of one run or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGraphicsItem

from clnf_engine import Phase, Step
from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.path import LandmarkPath, landmark_path
from clnf_engine.steps import Place, place_order
from clnf_gui.theme import LANE_COLOURS
from clnf_gui.views.axes import SparseDecadeAxis, decade_lines
from clnf_gui.views.hint import Hint
from clnf_gui.views.items import fit_y
from clnf_gui.views.pens import Pens

_AXIS_PX = 52
_SMOOTH_STEPS = 1500
"""Curves of more steps are drawn thin and without antialiasing."""
_STYLES = {
    "x": Qt.PenStyle.SolidLine,
    "y": Qt.PenStyle.DashLine,
    "to_end": Qt.PenStyle.SolidLine,
    "mean_shift": Qt.PenStyle.DashLine,
    "moved": Qt.PenStyle.DotLine,
    "to_truth": Qt.PenStyle.DashDotLine,
}
_UPPER = ("x", "y")
_HEADINGS = {
    "upper": "from its start, px: —— x, – – y",
    "lower": "px: —— from its end, – – mean-shift, · · · moved",
    "truth": ", – · – from its true place",
}


class LandmarkPathView(pg.GraphicsLayoutWidget):
    """Paints the `LandmarkPath` of a landmark: x and y above, distances on a log axis below, under one cursor.

    Attributes
    ----------
    curves : dict of (lane, quantity) to PlotCurveItem
        Quantities: x, y, to_end, mean_shift, moved, to_truth. All but x and y are log10 values.
    """

    place_clicked = Signal(object)
    """Place nearest to a click."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Path of the selected landmark")
        self.setToolTip("Click: go to the step")
        self.ci.layout.setContentsMargins(0, 2, 8, 0)
        self.ci.layout.setSpacing(0)
        self.pens = Pens(self)
        self.upper = self._plot(0, {})
        self.lower = self._plot(1, {"left": SparseDecadeAxis("left")})
        self.lower.setXLink(self.upper)
        self.lower.addItem(decade_lines(self.pens), ignoreBounds=True)
        self.upper.hideAxis("bottom")
        self.curves: dict[tuple[str, str], pg.PlotCurveItem] = {}
        self.cursors = []
        for plot, names in ((self.upper, _UPPER), (self.lower, [name for name in _STYLES if name not in _UPPER])):
            for lane in LANE_COLOURS:
                for name in names:
                    item = self.curves[lane, name] = pg.PlotCurveItem()
                    # The cursor moves over them at every step; kept as pictures they need not be drawn again.
                    item.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
                    plot.addItem(item)
            cursor = pg.InfiniteLine(angle=90)
            self.pens.give(cursor.setPen, "#808080", 2.0)
            plot.addItem(cursor, ignoreBounds=True)
            self.cursors.append(cursor)
        self.headings = [self._heading(plot) for plot in (self.upper, self.lower)]
        self.hint = Hint(self)
        self._places: dict[Place, int] = {}
        self._truth = False
        self.pens.changed.connect(self._follow_palette)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._follow_palette()
        self.show_paths({}, None)

    def _plot(self, row: int, axes: dict[str, pg.AxisItem]) -> pg.PlotItem:
        plot = self.addPlot(row=row, col=0, axisItems=axes, enableMenu=False)
        plot.hideButtons()
        plot.setMouseEnabled(x=False, y=False)
        plot.getAxis("left").setWidth(_AXIS_PX)
        return plot

    def _heading(self, plot: pg.PlotItem) -> pg.LabelItem:
        heading = pg.LabelItem("", size="8pt", justify="left")
        heading.setParentItem(plot.vb)
        heading.anchor(itemPos=(0, 0), parentPos=(0, 0), offset=(2, -5))
        return heading

    def _follow_palette(self) -> None:
        base, text = (self.palette().color(role) for role in (QPalette.ColorRole.Base, QPalette.ColorRole.Text))
        self.setBackground(base)
        for plot in (self.upper, self.lower):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(text)
                plot.getAxis(side).setTextPen(text)
        titles = (_HEADINGS["upper"], _HEADINGS["lower"] + (_HEADINGS["truth"] if self._truth else ""))
        for heading, title in zip(self.headings, titles, strict=True):
            shown = f'<span style="background-color:{base.name()}">&nbsp;{title}&nbsp;</span>'
            heading.setText(shown, color=text.name())

    def show_paths(self, runs: Mapping[str, Sequence[Step]], landmark: int | None, truth: Floats | None = None) -> None:
        """Paint the path of a landmark.

        Parameters
        ----------
        runs : dict of str to sequence of Step
            By lane; lane A is painted as a band under lane B.
        landmark : int or None
            Without one, or where no run has it, a hint.
        truth : (n, 2) float64, optional
            True landmarks, image px.
        """
        known = {
            lane: steps
            for lane, steps in runs.items()
            if landmark is not None and steps and landmark < len(steps[0].landmarks)
        }
        truth = truth if truth is not None and landmark is not None and landmark < len(truth) else None
        places = sorted({step.place for steps in known.values() for step in steps}, key=place_order)
        self._places = {place: k for k, place in enumerate(places)}
        smooth = len(places) <= _SMOOTH_STEPS
        for lane in LANE_COLOURS:
            steps = known.get(lane, ())
            path = landmark_path(steps, landmark, truth) if steps and landmark is not None else None
            x = np.array([self._places[step.place] for step in steps], dtype=float)
            for name, values in _values(path).items():
                self._set_curve(lane, name, x, values, smooth, band=lane == "A" and len(known) > 1)
        marks = {
            self._places[step.place]: "end" if step.stage is None else f"{step.stage.scale:g}"
            for steps in known.values()
            for step in steps
            if step.iteration is None and step.phase is not Phase.INITIAL
        }
        self.lower.getAxis("bottom").setTicks([sorted(marks.items())])
        if self._truth is not (truth is not None):
            self._truth = truth is not None
            self._follow_palette()
        self.upper.setXRange(-0.5, max(len(places) - 0.5, 1), padding=0.01)
        for plot in (self.upper, self.lower):
            fit_y(plot)
        self.hint.show_text("" if known else "Select a landmark to see its path: click one in the image, or press N")

    def _set_curve(self, lane: str, name: str, x: Floats, values: Floats, smooth: bool, band: bool) -> None:
        """Give a curve its values, those without one left out, and neighbours joined."""
        item, shown = self.curves[lane, name], np.isfinite(values)
        joined = np.append(np.diff(x[shown]) == 1, False)[: shown.sum()]
        item.setSegmentedLineMode("on" if band and not smooth else "auto")
        width = 3.0 if band else 1.5 if smooth else 1.0
        self.pens.give(item.setPen, LANE_COLOURS[lane], width, _STYLES[name], Qt.PenCapStyle.FlatCap)
        item.setData(x[shown], values[shown], connect=joined, antialias=smooth)

    def show_cursor(self, place: Place) -> None:
        """Mark the place of the cursor."""
        if place in self._places:
            for cursor in self.cursors:
                cursor.setValue(self._places[place])

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._places:
            column = round(self.upper.vb.mapSceneToView(event.scenePos()).x())
            self.place_clicked.emit(list(self._places)[min(max(column, 0), len(self._places) - 1)])


def _values(path: LandmarkPath | None) -> dict[str, Floats]:
    """What the curves show of a path; distances as logarithms, NaN where there is none."""
    if path is None:
        return dict.fromkeys(_STYLES, np.zeros(0))
    found = {"x": path.displacement[:, 0], "y": path.displacement[:, 1]}
    distances = {"to_end": path.to_end, "mean_shift": path.mean_shift, "moved": path.moved}
    distances["to_truth"] = np.full(len(path.to_end), np.nan) if path.to_truth is None else path.to_truth
    for name, distance in distances.items():
        found[name] = np.log10(distance, out=np.full(len(distance), np.nan), where=distance > 0)
    return found
