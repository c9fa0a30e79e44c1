"""How the fits converge: update norm and shape change of every iteration, on a log axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtWidgets import QGraphicsItem

from clnf_engine import Phase, Step
from clnf_engine.diagnostics.fixed_point import UpdateParts, update_parts
from clnf_engine.steps import Place
from clnf_gui.look import Curves, Look
from clnf_gui.theme import GREEN, LANE_COLOURS, step_colour
from clnf_gui.views.axes import DecadeAxis, decade_lines

_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
_MARKS = ("——", "– –", "· · ·", "– · –")
_Value = Callable[[Step, UpdateParts], float]
_VALUES: dict[Curves, dict[str, _Value]] = {
    Curves.NORM: {
        "‖Δp‖, mixed units": lambda step, _: step.update_norm or 0.0,
        "shape change, px": lambda step, _: step.shape_change or 0.0,
    },
    Curves.PARTS: {
        "Δ shape coefficients": lambda _, parts: parts.shape,
        "Δ translation, px": lambda _, parts: parts.translation,
        "Δ rotation, rad": lambda _, parts: parts.rotation,
        "Δ scale": lambda _, parts: parts.scale,
    },
    Curves.GRADIENT: {"‖JᵀWv − reg·Λ⁻¹q‖": lambda _, parts: parts.gradient},
}
"""What each choice of curves shows; the first one carries the points."""


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
        self.curve_items: dict[str, list[pg.PlotCurveItem]] = {}
        self.point_items = {}
        for name, colour in LANE_COLOURS.items():
            self.curve_items[name] = [pg.PlotCurveItem(pen=pg.mkPen(colour, width=1.5, style=s)) for s in _STYLES]
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
        self.target = pg.InfiniteLine(
            angle=0,
            pen=pg.mkPen(GREEN, width=1.5),
            label="target {value}",
            labelOpts={"position": 0.9, "color": GREEN, "anchors": [(1, 1), (1, 1)]},
        )
        for name in LANE_COLOURS:
            for item in (*reversed(self.curve_items[name]), self.point_items[name]):
                # The cursor moves over them at every step; kept as pictures they need not be drawn again.
                item.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
                self.addItem(item)
        self.addItem(self.rule)
        self.addItem(self.target)
        self.addItem(self.cursor)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._places: list[Place] = []
        self._named: tuple[object, ...] = ()

    def show_runs(
        self, runs: Mapping[str, Sequence[Step]], places: list[Place], convergence_px: float, look: Look
    ) -> None:
        """Paint all iterations of the named runs.

        `places` are the columns they share, `convergence_px` the shape change below which a phase stops.
        """
        values = _VALUES[look.curves]
        self._places = places
        columns = {place: k for k, place in enumerate(places)}
        for name in LANE_COLOURS:
            steps = [step for step in runs.get(name, ()) if step.update_norm is not None]
            x = np.array([columns[step.place] for step in steps], dtype=int)
            parts = [(step, part) for step in steps if (part := update_parts(step)) is not None]
            for item, value in zip_longest(self.curve_items[name], values.values()):
                y = np.array([value(step, part) for step, part in parts]) if value else np.zeros(len(x))
                shown = y > 0  # zero has no logarithm; the rigid phase leaves the shape alone
                joined = np.append(np.diff(x[shown]) == 1, False)[: shown.sum()]
                item.setData(x[shown], np.log10(y[shown]), connect=joined)
            columns_shown, heights = self.curve_items[name][0].getData()
            colours = {columns[step.place]: step_colour(step) for step in steps}
            brushes = [pg.mkBrush(colours[k]) for k in columns_shown]
            self.point_items[name].setData(columns_shown, heights, brush=brushes)
        self._write_legend(list(runs), list(values))
        self.target.setVisible(look.target > 0)
        if look.target > 0:
            self.target.setValue(np.log10(look.target))
            self.target.label.setFormat(f"target {look.target:g}")
        self.rule.setVisible(convergence_px > 0 and look.curves is Curves.NORM)
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

    def _write_legend(self, names: list[str], values: list[str]) -> None:
        if (names, values) == self._named:
            return
        self._named = (names, values)
        dots = "".join(
            f'<span style="color:{LANE_COLOURS[name]}">{"●" if name == "A" else "■"}</span> '
            + (f"{name} &nbsp;" if len(names) > 1 else "")
            for name in names
        )
        entries = " &nbsp; ".join(f"{mark} {title}" for mark, title in zip(_MARKS, values, strict=False))
        self.plotItem.setTitle(f"{dots} {entries}", size="9pt")

    def show_cursor(self, place: Place) -> None:
        """Mark the place of the cursor."""
        if place in self._places:
            self.cursor.setValue(self._places.index(place))

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._places:
            point: QPointF = self.plotItem.vb.mapSceneToView(event.scenePos())
            self.place_clicked.emit(self._places[min(max(round(point.x()), 0), len(self._places) - 1)])
