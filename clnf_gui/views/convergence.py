"""How the fit converges: update norm and shape change of every iteration, on a log axis."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, Qt, Signal

from clnf_engine import Phase, Step
from clnf_gui.theme import BLUE, VERMILION, step_colour

_SMALLEST = 1e-12
"""Shown in place of an exact zero, which has no logarithm."""


class ConvergenceView(pg.PlotWidget):
    """Paints ``‖Δp‖`` and the shape change in px against the Steps of a run, with OpenFace's stop rule."""

    step_clicked = Signal(int)
    """Index of the Step nearest to a click."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False, axisItems={"left": _DecadeAxis("left")})
        self.setAccessibleName("Convergence of the fit")
        self.plotItem.getAxis("left").setLogMode(False, True)
        self.plotItem.hideButtons()
        self.plotItem.setLabel("bottom", "steps, by patch scale")
        self.plotItem.setMouseEnabled(x=False, y=False)
        self.plotItem.showGrid(y=True, alpha=0.25)
        self.plotItem.setTitle(
            f'<span style="color:{BLUE}">●</span> ‖Δp‖, mixed units &nbsp;&nbsp; '
            f'<span style="color:{VERMILION}">– –</span> shape change, px',
            size="9pt",
        )
        # The items get log10 values; the axis writes them as numbers.
        self.norm_item = pg.PlotCurveItem(pen=pg.mkPen(BLUE, width=1.5))
        self.change_item = pg.PlotCurveItem(pen=pg.mkPen(VERMILION, width=1.5, style=Qt.PenStyle.DashLine))
        self.point_item = pg.ScatterPlotItem(size=7, pen=pg.mkPen(BLUE, width=1))
        self.rule = pg.InfiniteLine(
            angle=0,
            pen=pg.mkPen("#808080", width=1, style=Qt.PenStyle.DotLine),
            label="stop rule {value} px",
            labelOpts={"position": 0.1, "color": "#808080", "anchors": [(0, 1), (0, 1)]},
        )
        self.rule.label.setFormat("stop rule")
        self.cursor = pg.InfiniteLine(angle=90, pen=pg.mkPen("#808080", width=2))
        for item in (self.change_item, self.norm_item, self.point_item, self.rule, self.cursor):
            self.addItem(item)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._count = 0

    def show_steps(self, steps: list[Step], convergence_px: float) -> None:
        """Paint all iterations of a run; `convergence_px` is the shape change below which a phase stops."""
        self._count = len(steps)
        indices = np.array([k for k, step in enumerate(steps) if step.update_norm is not None], dtype=int)
        joined = np.append(np.diff(indices) == 1, False)[: len(indices)]
        for item, name in ((self.norm_item, "update_norm"), (self.change_item, "shape_change")):
            values = np.array([max(getattr(steps[k], name), _SMALLEST) for k in indices])
            item.setData(indices, np.log10(values), connect=joined)
        brushes = [pg.mkBrush(step_colour(steps[k])) for k in indices]
        self.point_item.setData(*self.norm_item.getData(), brush=brushes)
        self.rule.setVisible(convergence_px > 0)
        if convergence_px > 0:
            self.rule.setValue(np.log10(convergence_px))
            self.rule.label.setFormat(f"OpenFace's stop rule: {convergence_px:g} px")
        ticks = [(k, _tick(step)) for k, step in enumerate(steps) if step.iteration is None]
        self.plotItem.getAxis("bottom").setTicks([ticks])
        self.plotItem.setXRange(-0.5, max(len(steps) - 0.5, 1), padding=0.01)

    def show_cursor(self, index: int) -> None:
        """Mark the Step under the cursor."""
        self.cursor.setValue(index)

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._count:
            point: QPointF = self.plotItem.vb.mapSceneToView(event.scenePos())
            self.step_clicked.emit(min(max(round(point.x()), 0), self._count - 1))


def _tick(step: Step) -> str:
    """What stands under a Step that begins or ends something."""
    if step.stage is not None:
        return f"{step.stage.scale:g}"
    return "start" if step.phase is Phase.INITIAL else "end"


class _DecadeAxis(pg.AxisItem):
    """A log axis with plain numbers."""

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{10.0**value * scale:.3g}" for value in values]
