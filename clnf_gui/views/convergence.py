"""How the fits converge: update norm and shape change of every iteration, on a log axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, Qt, Signal

from clnf_engine import Phase, Step
from clnf_engine.steps import Place
from clnf_gui.theme import LANE_COLOURS, step_colour
from clnf_gui.views.axes import DecadeAxis, decade_lines

_SMALLEST = 1e-12
"""Shown in place of an exact zero, which has no logarithm."""


class ConvergenceView(pg.PlotWidget):
    """Paints ``‖Δp‖`` and the shape change in px of one or two runs, with OpenFace's stop rule."""

    place_clicked = Signal(object)
    """Place nearest to a click."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False, axisItems={"left": DecadeAxis("left")})
        self.setAccessibleName("Convergence of the fit")
        self.plotItem.hideButtons()
        self.plotItem.setLabel("bottom", "steps, by patch scale")
        self.plotItem.setMouseEnabled(x=False, y=False)
        self.addItem(decade_lines(), ignoreBounds=True)
        # The items get log10 values; the axis writes them as numbers.
        self.norm_items, self.change_items, self.point_items = {}, {}, {}
        for name, colour in LANE_COLOURS.items():
            self.norm_items[name] = pg.PlotCurveItem(pen=pg.mkPen(colour, width=1.6))
            self.change_items[name] = pg.PlotCurveItem(pen=pg.mkPen(colour, width=1.4, style=Qt.PenStyle.DashLine))
            self.point_items[name] = pg.ScatterPlotItem(
                size=7, symbol="o" if name == "A" else "s", pen=pg.mkPen(colour, width=1)
            )
        self.rule = pg.InfiniteLine(
            angle=0,
            pen=pg.mkPen("#808080", width=1, style=Qt.PenStyle.DotLine),
            label="",
            labelOpts={"position": 0.1, "color": "#808080", "anchors": [(0, 1), (0, 1)]},
        )
        self.cursor = pg.InfiniteLine(angle=90, pen=pg.mkPen("#808080", width=2))
        for items in (self.change_items, self.norm_items, self.point_items):
            for item in items.values():
                self.addItem(item)
        self.addItem(self.rule)
        self.addItem(self.cursor)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._places: list[Place] = []
        self._named: list[str] = []

    def show_runs(self, runs: Mapping[str, Sequence[Step]], places: list[Place], convergence_px: float) -> None:
        """Paint all iterations of the named runs.

        `places` are the columns they share, `convergence_px` the shape change below which a phase stops.
        """
        self._places = places
        columns = {place: k for k, place in enumerate(places)}
        for name in LANE_COLOURS:
            steps = [step for step in runs.get(name, ()) if step.update_norm is not None]
            x = np.array([columns[step.place] for step in steps], dtype=int)
            joined = np.append(np.diff(x) == 1, False)[: len(x)]
            for item, value in ((self.norm_items[name], "update_norm"), (self.change_items[name], "shape_change")):
                y = np.array([max(getattr(step, value), _SMALLEST) for step in steps])
                item.setData(x, np.log10(y), connect=joined)
            brushes = [pg.mkBrush(step_colour(step)) for step in steps]
            self.point_items[name].setData(*self.norm_items[name].getData(), brush=brushes)
        self._write_legend(list(runs))
        self.rule.setVisible(convergence_px > 0)
        if convergence_px > 0:
            self.rule.setValue(np.log10(convergence_px))
            self.rule.label.setFormat(f"OpenFace's stop rule: {convergence_px:g} px")
        marks = {
            columns[step.place]: "end" if step.stage is None else f"{step.stage.scale:g}"
            for steps in runs.values()
            for step in steps
            if step.iteration is None and step.phase is not Phase.INITIAL
        }
        self.plotItem.getAxis("bottom").setTicks([sorted(marks.items())])
        self.plotItem.setXRange(-0.5, max(len(places) - 0.5, 1), padding=0.01)

    def _write_legend(self, names: list[str]) -> None:
        if names == self._named:
            return
        self._named = names
        dots = "".join(
            f'<span style="color:{LANE_COLOURS[name]}">{"●" if name == "A" else "■"}</span> '
            + (f"{name} &nbsp;" if len(names) > 1 else "")
            for name in names
        )
        self.plotItem.setTitle(f"{dots} ‖Δp‖, mixed units &nbsp;&nbsp; – – shape change, px", size="9pt")

    def show_cursor(self, place: Place) -> None:
        """Mark the place of the cursor."""
        if place in self._places:
            self.cursor.setValue(self._places.index(place))

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._places:
            point: QPointF = self.plotItem.vb.mapSceneToView(event.scenePos())
            self.place_clicked.emit(self._places[min(max(round(point.x()), 0), len(self._places) - 1)])
