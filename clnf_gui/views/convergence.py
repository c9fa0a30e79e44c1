"""How the fits converge: update norm and shape change of every iteration, on a log axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import zip_longest

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtWidgets import QGraphicsItem

from clnf_engine import Phase, Step
from clnf_engine.accuracy import accuracy
from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.fixed_point import update_parts
from clnf_engine.steps import Place, Stage
from clnf_gui.look import Curves, Look
from clnf_gui.theme import GREEN, LANE_COLOURS, step_brush
from clnf_gui.views.axes import DecadeAxis, decade_lines
from clnf_gui.views.items import fit_y
from clnf_gui.views.pens import Pens

_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
_MARKS = ("——", "– –", "· · ·", "– · –")
_Value = Callable[[Step], float]


def _part(name: str) -> _Value:
    """A part of a Step's update; 0 where it has none."""

    def value(step: Step) -> float:
        return 0.0 if (parts := update_parts(step)) is None else float(getattr(parts, name) or 0.0)

    return value


_VALUES: dict[Curves, dict[str, _Value]] = {
    Curves.NORM: {
        "‖Δp‖, mixed units": lambda step: step.update_norm or 0.0,
        "shape change, px": lambda step: step.shape_change or 0.0,
    },
    Curves.PARTS: {
        "Δ shape coefficients": _part("shape"),
        "Δ translation, px": _part("translation"),
        "Δ rotation, rad": _part("rotation"),
        "Δ scale": _part("scale"),
    },
    Curves.GRADIENT: {"‖JᵀWv − reg·Λ⁻¹q‖": _part("gradient")},
}
"""What each choice of curves shows; the first one carries the points."""


def _errors(truth: Floats | None) -> dict[str, _Value]:
    """The curve of the mean error; without ground truth of as many landmarks it is empty, and its name says so."""

    def error(step: Step) -> float:
        if truth is None or truth.shape != step.landmarks.shape:
            return 0.0
        return accuracy(step.landmarks, truth).mean

    return {"mean error, px" if truth is not None else "mean error, px (no ground truth: Ctrl+T)": error}


_SMOOTH_STEPS = 1500
"""Curves of more steps are drawn thin and without antialiasing, which would take a second and not be seen."""


def _scale_text(stage: Stage) -> str:
    """The patch scale of a stage, or its number where a recording does not tell it."""
    return f"stage {stage.index + 1}" if math.isnan(stage.scale) else f"{stage.scale:g}"


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
        self.pens = Pens(self)
        self.addItem(decade_lines(self.pens), ignoreBounds=True)
        # The items get log10 values; the axis writes them as numbers.
        self.curve_items: dict[str, list[pg.PlotCurveItem]] = {}
        self.point_items = {}
        for name in LANE_COLOURS:
            self.curve_items[name] = [pg.PlotCurveItem() for _ in _STYLES]
            self.point_items[name] = pg.ScatterPlotItem(symbol="o" if name == "A" else "s")
        label = {"position": 0.1, "color": "#808080", "anchors": [(0, 1), (0, 1)]}
        self.rule = pg.InfiniteLine(angle=0, label="", labelOpts=label)
        self.cursor = pg.InfiniteLine(angle=90)
        label = {"position": 0.9, "color": GREEN, "anchors": [(1, 1), (1, 1)]}
        self.target = pg.InfiniteLine(angle=0, label="target {value}", labelOpts=label)
        self.pens.changed.connect(self._write_legend)
        self.pens.give(self.rule.setPen, "#808080", 1.0, Qt.PenStyle.DotLine)
        self.pens.give(self.cursor.setPen, "#808080", 2.0)
        self.pens.give(self.target.setPen, GREEN, 1.5)
        self._drawn: tuple[bool, bool] | None = None
        self._set_widths(False, True)
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
        self._titles: tuple[list[tuple[str, str]], list[str]] = ([], [])
        self._named = ""

    def show_runs(
        self,
        runs: Mapping[str, Sequence[Step]],
        places: list[Place],
        convergence_px: float,
        look: Look,
        labels: Mapping[str, str] | None = None,
        truth: Floats | None = None,
    ) -> None:
        """Paint all iterations of the named runs.

        Parameters
        ----------
        runs : dict of str to sequence of Step
            By lane.
        places : list of Place
            The columns they share.
        convergence_px : float
            The shape change below which a phase stops.
        look : Look
        labels : dict of str to str, optional
            What the legend calls a lane, such as "B · normalization peak"; the name of the lane by default.
        truth : (n, 2) float64, optional
            True landmarks, image px.
        """
        values = _errors(truth) if look.curves is Curves.ERROR else _VALUES[look.curves]
        self._places = places
        columns = {place: k for k, place in enumerate(places)}
        smooth = len(places) <= _SMOOTH_STEPS
        self._set_widths(len(runs) > 1, smooth)
        for name in LANE_COLOURS:
            steps = [step for step in runs.get(name, ()) if step.iteration is not None and step.place in columns]
            x = np.array([columns[step.place] for step in steps], dtype=int)
            for item, value in zip_longest(self.curve_items[name], values.values()):
                y = np.array([value(step) for step in steps]) if value else np.zeros(len(x))
                shown = y > 0  # zero has no logarithm; the rigid phase leaves the shape alone
                joined = np.append(np.diff(x[shown]) == 1, False)[: shown.sum()]
                item.setData(x[shown], np.log10(y[shown]), connect=joined, antialias=smooth)
            first = next(iter(values.values()))
            brushes = [step_brush(step) for step in steps if first(step) > 0]
            self.point_items[name].setData(*self.curve_items[name][0].getData(), brush=brushes)
        self._titles = ([(name, (labels or {}).get(name, name)) for name in runs], list(values))
        self._write_legend()
        self.target.setVisible(look.target > 0)
        if look.target > 0:
            self.target.setValue(np.log10(look.target))
            self.target.label.setFormat(f"target {look.target:g}")
        self.rule.setVisible(convergence_px > 0 and look.curves is Curves.NORM)
        if convergence_px > 0:
            self.rule.setValue(np.log10(convergence_px))
            self.rule.label.setFormat(f"OpenFace's stop rule: {convergence_px:g} px")
        marks = {
            columns[step.place]: "end" if step.stage is None else _scale_text(step.stage)
            for steps in runs.values()
            for step in steps
            if step.iteration is None and step.phase is not Phase.INITIAL
        }
        self.plotItem.getAxis("bottom").setTicks([sorted(marks.items())])
        self.plotItem.setXRange(-0.5, max(len(places) - 0.5, 1), padding=0.01)
        fit_y(self.plotItem)

    def _set_widths(self, compared: bool, smooth: bool) -> None:
        """Of two lanes, A is a band under B's line: where both are the same, both are seen."""
        if (compared, smooth) == self._drawn:
            return
        self._drawn = (compared, smooth)
        line = 1.5 if smooth else 1.0
        for name, colour in LANE_COLOURS.items():
            below = compared and name == "A"
            for item, style in zip(self.curve_items[name], _STYLES, strict=True):
                item.setSegmentedLineMode("on" if below and not smooth else "auto")
                self.pens.give(item.setPen, colour, 4.0 if below else line, style, Qt.PenCapStyle.FlatCap)
            self.pens.give(self.point_items[name].setPen, colour, 2.0 if below else 1.0)
            self.point_items[name].setSize(11 if below else 5 if compared else 7)

    def _write_legend(self) -> None:
        names, values = self._titles
        dots = "".join(
            f'<span style="color:{self.pens.colour(LANE_COLOURS[name])}">{"●" if name == "A" else "■"}</span> '
            + (f"{escape(label)} &nbsp; " if len(names) > 1 else "")
            for name, label in names
        )
        entries = " &nbsp; ".join(f"{mark} {title}" for mark, title in zip(_MARKS, values, strict=False))
        if (title := f"{dots} {entries}") != self._named:
            self._named = title
            self.plotItem.setTitle(title, size="9pt")

    def show_cursor(self, place: Place) -> None:
        """Mark the place of the cursor."""
        if place in self._places:
            self.cursor.setValue(self._places.index(place))

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._places:
            point: QPointF = self.plotItem.vb.mapSceneToView(event.scenePos())
            self.place_clicked.emit(self._places[min(max(round(point.x()), 0), len(self._places) - 1)])
