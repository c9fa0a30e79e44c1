"""Response magnitudes before and after Sigma: paired bars on a log axis, and every number in a table."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtWidgets import QSplitter

from clnf_engine.diagnostics.magnitudes import Magnitudes
from clnf_gui.theme import BLUE, ORANGE, SELECTION, VERMILION
from clnf_gui.views.axes import DecadeAxis, decade_lines
from clnf_gui.views.hint import Hint
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.pens import Pens

_BAR = 0.42


class MagnitudesView(QSplitter):
    """Paints `Magnitudes`; weak landmarks are marked by a triangle, not by colour alone."""

    landmark_clicked = Signal(object)

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.plot = pg.PlotWidget(enableMenu=False, axisItems={"left": DecadeAxis("left")})
        self.plot.setAccessibleName("Peak of every landmark's map before and after Sigma")
        self.plot.plotItem.setMouseEnabled(x=False, y=False)
        self.plot.plotItem.hideButtons()
        self.plot.plotItem.setLabel("bottom", "landmark")
        self.pens = Pens(self)
        self.plot.addItem(decade_lines(self.pens), ignoreBounds=True)
        self.raw_bars, self.sigma_bars = (pg.BarGraphItem(x=[], height=[], width=_BAR, pen=None) for _ in range(2))
        self.weak_item = pg.ScatterPlotItem(size=9, symbol="t", brush=pg.mkBrush(VERMILION), pen=None)
        self.selected_item = pg.InfiniteLine(angle=90)
        self.pens.give(self.selected_item.setPen, SELECTION, 2.0)
        self.pens.fill(lambda colour: self.raw_bars.setOpts(brush=colour), BLUE)
        self.pens.fill(lambda colour: self.sigma_bars.setOpts(brush=colour), ORANGE)
        self.pens.changed.connect(self._write_legend)
        self._write_legend()
        self.hint = Hint(self.plot)
        for item in (self.selected_item, self.raw_bars, self.sigma_bars, self.weak_item):
            self.plot.addItem(item)
        self.table = NumberTable("Magnitudes of every landmark")
        self.addWidget(self.plot)
        self.addWidget(self.table)
        self.setStretchFactor(0, 3)
        self.setStretchFactor(1, 2)
        self.table.row_clicked.connect(self.landmark_clicked.emit)
        self.plot.scene().sigMouseClicked.connect(self._on_clicked)
        self._count = 0

    def _write_legend(self) -> None:
        marks = ((BLUE, "■", "raw peak"), (ORANGE, "■", "peak after Sigma"), (VERMILION, "▼", "weak"))
        entries = (f'<span style="color:{self.pens.colour(c)}">{mark}</span> {text}' for c, mark, text in marks)
        self.plot.plotItem.setTitle(" &nbsp; ".join(entries), size="9pt")

    def show_magnitudes(self, found: Magnitudes | None) -> None:
        """Paint the magnitudes of a Step's maps; a hint where it has none."""
        self.hint.show_text("" if found else "This step has no response maps, so there are no magnitudes")
        if found is None:
            self._count = 0
            self.table.show_columns({})
            for item in (self.raw_bars, self.sigma_bars):
                item.setOpts(x=[], height=[], y0=[])
            self.weak_item.setData(pos=np.zeros((0, 2)))
            return
        n = self._count = len(found.raw_max)
        peaks = [np.log10(np.where(p > 0, p, np.nan)) for p in (found.raw_max, found.after_sigma_max)]
        finite = np.concatenate(peaks)[np.isfinite(np.concatenate(peaks))]
        floor = float(np.floor(finite.min())) if finite.size else 0.0
        top = float(finite.max()) if finite.size else 1.0
        for bars, heights, side in ((self.raw_bars, peaks[0], -0.5), (self.sigma_bars, peaks[1], 0.5)):
            bars.setOpts(x=np.arange(n) + side * _BAR, y0=floor, height=np.nan_to_num(heights - floor), width=_BAR)
        weak = np.flatnonzero(found.weak)
        self.weak_item.setData(pos=np.stack([weak.astype(float), np.full(len(weak), top + 0.15)], axis=1))
        self.plot.setXRange(-0.8, n - 0.2, padding=0.01)
        self.plot.setYRange(floor, top + 0.3, padding=0)
        self.table.show_columns(
            {
                "landmark": list(range(n)),
                "raw max": found.raw_max.tolist(),
                "raw mean": found.raw_mean.tolist(),
                "Sigma max": found.after_sigma_max.tolist(),
                "Sigma mean": found.after_sigma_mean.tolist(),
                "attenuation": found.attenuation.tolist(),
                "final max": found.final_max.tolist(),
                "Sigma diagonal": found.sigma_diagonal_mean.tolist(),
                "peak offset": found.peak_offset.tolist(),
                "sharpness": found.sharpness.tolist(),
                "confidence": found.patch_confidence.tolist(),
                "weak": ["weak" if w else "" for w in found.weak],
            }
        )

    def show_selection(self, landmark: int | None) -> None:
        """Mark the selected landmark in the plot and the table."""
        self.selected_item.setVisible(landmark is not None)
        if landmark is not None:
            self.selected_item.setValue(landmark)
        self.table.show_row(landmark)

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._count:
            point: QPointF = self.plot.plotItem.vb.mapSceneToView(event.scenePos())
            self.landmark_clicked.emit(min(max(round(point.x()), 0), self._count - 1))
