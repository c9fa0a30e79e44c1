"""All frames of a video: what was tracked, where the face was lost, and curves over the frame number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent, MouseDragEvent
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QGraphicsItem

from clnf_engine import State
from clnf_engine.arrays import Floats
from clnf_engine.tracking.results import Apart, Results
from clnf_gui.look import FrameCurves
from clnf_gui.theme import LANE_COLOURS, PURPLE
from clnf_gui.views.axes import SparseDecadeAxis, decade_lines
from clnf_gui.views.pens import Pens

_LANE_PX = 13
_AXIS_PX = 46
_LOST_COLOUR, _NO_FACE_COLOUR = "#e5302a", "#8a8f94"
_SMOOTH_FRAMES = 2000
"""Curves of more points are drawn without antialiasing, which would take too long and not be seen."""
_TITLES = {
    FrameCurves.LIKELIHOOD: "log-likelihood",
    FrameCurves.UPDATE_NORM: "update norm ‖Δp‖",
    FrameCurves.JUMP: "jump since the frame before, px",
    FrameCurves.APART: "A − B, px",
}
_LOG = (FrameCurves.UPDATE_NORM, FrameCurves.JUMP, FrameCurves.APART)
_VALUES: dict[FrameCurves, Callable[[Results], Floats]] = {
    FrameCurves.LIKELIHOOD: lambda results: results.likelihood,
    FrameCurves.UPDATE_NORM: lambda results: results.update_norm,
    FrameCurves.JUMP: lambda results: results.jump,
}


class _FrameBox(pg.ViewBox):
    """Frames from left to right: clicks and drags with the left button scrub, the wheel zooms, the middle pans."""

    scrubbed = Signal(float)
    unzoomed = Signal()

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setMouseEnabled(x=True, y=False)

    def mouseDragEvent(self, ev: MouseDragEvent, axis: int | None = None) -> None:
        if ev.button() == Qt.MouseButton.LeftButton:
            ev.accept()
            self.scrubbed.emit(self.mapToView(ev.pos()).x())
        else:
            super().mouseDragEvent(ev, axis)

    def mouseClickEvent(self, ev: MouseClickEvent) -> None:
        if ev.button() == Qt.MouseButton.LeftButton:
            ev.accept()
            if ev.double():
                self.unzoomed.emit()
            else:
                self.scrubbed.emit(self.mapToView(ev.pos()).x())


class FramesView(pg.GraphicsLayoutWidget):
    """Paints the tracked range and the lost frames of one or two lanes, above curves that share its frames.

    Attributes
    ----------
    strip : PlotItem
        A bar per lane, with marks where the face is lost.
    plots : dict of FrameCurves to PlotItem
    curves : dict of (FrameCurves, lane) to PlotDataItem
    """

    frame_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Frames of the video")
        self.setToolTip("Click or drag: go to a frame. Wheel: zoom. Middle button: pan. Double click: all frames.")
        self.ci.layout.setContentsMargins(0, 2, 8, 0)
        self.ci.layout.setSpacing(0)
        self._count, self._lanes = 0, 0
        self._range: tuple[int, int] = (0, 0)
        self._failed: dict[tuple[str, State], NDArray[np.intp]] = {}
        self.pens = Pens(self)
        self.cursors: list[pg.InfiniteLine] = []
        self.headings: list[pg.LabelItem] = []
        self.strip = self._plot(0, {})
        self.strip.hideAxis("bottom")
        self.strip.getAxis("left").setStyle(tickLength=0)
        self.bars, self.marks = {}, {}
        for name, colour in LANE_COLOURS.items():
            self.bars[name] = pg.PlotCurveItem()
            self.pens.give(self.bars[name].setPen, colour, 5.0, cap=Qt.PenCapStyle.FlatCap)
            self.strip.addItem(self.bars[name])
        for name in LANE_COLOURS:
            for state, symbol, colour in (
                (State.LOST, "x", _LOST_COLOUR),
                (State.NO_FACE, "o", _NO_FACE_COLOUR),
            ):
                brush = colour if state is State.LOST else None
                item = pg.ScatterPlotItem(symbol=symbol, size=8, brush=brush)
                self.pens.give(item.setPen, colour, 1.5)
                self.marks[name, state] = item
                self.strip.addItem(item)
        self.plots: dict[FrameCurves, pg.PlotItem] = {}
        self.curves: dict[tuple[FrameCurves, str], pg.PlotDataItem] = {}
        self.limits: dict[str, pg.InfiniteLine] = {}
        for row, kind in enumerate(_TITLES, start=1):
            self._add_curves(row, kind)
        self.strip.vb.sigXRangeChanged.connect(self._paint_marks)
        self.follow_palette(self.palette())

    def _plot(self, row: int, axes: dict[str, pg.AxisItem]) -> pg.PlotItem:
        box = _FrameBox()
        box.scrubbed.connect(lambda x: self.frame_wanted.emit(round(x) - 1))
        box.unzoomed.connect(self.show_all)
        plot = self.addPlot(row=row, col=0, viewBox=box, axisItems=axes)
        plot.hideButtons()
        plot.getAxis("left").setWidth(_AXIS_PX)
        cursor = pg.InfiniteLine(angle=90)
        self.pens.give(cursor.setPen, "#808080", 2.0)
        cursor.setZValue(10)
        plot.addItem(cursor, ignoreBounds=True)
        self.cursors.append(cursor)
        if row:
            plot.setXLink(self.strip)
        return plot

    def _add_curves(self, row: int, kind: FrameCurves) -> None:
        plot = self._plot(row, {"left": SparseDecadeAxis("left")} if kind in _LOG else {})
        self.plots[kind] = plot
        if kind in _LOG:
            plot.addItem(decade_lines(self.pens), ignoreBounds=True)
        names = ("A",) if kind is FrameCurves.APART else tuple(LANE_COLOURS)
        for name in names:
            item = pg.PlotDataItem(connect="finite")
            self.pens.give(item.setPen, PURPLE if kind is FrameCurves.APART else LANE_COLOURS[name])
            item.setDownsampling(auto=True, method="peak")
            item.setClipToView(True)
            # The cursor moves over it with every frame; kept as a picture it need not be drawn again.
            item.curve.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
            plot.addItem(item)
            self.curves[kind, name] = item
        if kind is FrameCurves.LIKELIHOOD:
            plot.getAxis("left").setStyle(maxTickLevel=0)
            for name, colour in LANE_COLOURS.items():
                self.limits[name] = pg.InfiniteLine(angle=0)
                self.pens.give(self.limits[name].setPen, colour, 1.0, Qt.PenStyle.DotLine)
                plot.addItem(self.limits[name], ignoreBounds=True)
        plot.vb.setAutoVisible(y=True)
        plot.enableAutoRange(axis="y")
        heading = pg.LabelItem(_TITLES[kind], size="8pt", justify="left")
        heading.setParentItem(plot.vb)
        heading.anchor(itemPos=(0, 0), parentPos=(0, 0), offset=(2, -5))
        heading.item.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.headings.append(heading)

    def follow_palette(self, palette: QPalette) -> None:
        """Take the colours of a palette."""
        self.setBackground(palette.color(QPalette.ColorRole.Base))
        text = palette.color(QPalette.ColorRole.Text)
        for plot in (self.strip, *self.plots.values()):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(text)
                plot.getAxis(side).setTextPen(text)
        for heading, title in zip(self.headings, _TITLES.values(), strict=True):
            base = palette.color(QPalette.ColorRole.Base).name()
            heading.setText(f'<span style="background-color:{base}">&nbsp;{title}&nbsp;</span>', color=text.name())

    def show_tracks(
        self,
        count: int,
        tracks: Mapping[str, Results],
        apart: Apart | None,
        limits: Mapping[str, float],
        chosen: FrameCurves,
    ) -> None:
        """Paint what is known of a video's frames.

        Parameters
        ----------
        count : int
            Frames of the video.
        tracks : dict of str to Results
            By lane.
        apart : Apart or None
            Of two lanes.
        limits : dict of str to float
            Likelihood below which a lane has lost the face.
        chosen : FrameCurves
        """
        self._lay_out(count, len(tracks), chosen, apart is not None)
        frames = np.arange(1, count + 1)
        for row, name in enumerate(LANE_COLOURS):
            results = tracks.get(name)
            known = results is not None and results.end > results.begin
            ends = [results.begin + 0.5, results.end + 0.5] if results is not None and known else []
            self.bars[name].setData(ends, [-row] * len(ends))
            for state in (State.LOST, State.NO_FACE):
                self._failed[name, state] = np.zeros(0, np.intp) if results is None else results.frames_in(state) + 1
            for kind, values in _VALUES.items():
                y = np.full(0, np.nan) if results is None else values(results)
                self._set_curve(kind, name, frames, y)
            self.limits[name].setVisible(name in limits)
            self.limits[name].setValue(limits.get(name, 0.0))
        self._set_curve(FrameCurves.APART, "A", frames, np.full(0, np.nan) if apart is None else apart.distance)
        for kind, plot in self.plots.items():
            known = any(item.xData is not None and len(item.xData) for (k, _), item in self.curves.items() if k is kind)
            plot.getAxis("left").setStyle(showValues=known)
        self._paint_marks()

    def _set_curve(self, kind: FrameCurves, name: str, frames: NDArray[np.intp], y: Floats) -> None:
        """Give a curve its values; those that are not shown wait until they are."""
        if not self.plots[kind].isVisible() or not np.isfinite(y).any():
            self.curves[kind, name].setData([], [])
            return
        finite = np.isfinite(y)
        if kind in _LOG:
            finite &= y > 0
            y = np.log10(y, out=np.full(len(y), np.nan), where=finite)
        smooth = len(y) <= _SMOOTH_FRAMES
        self.curves[kind, name].setData(frames[: len(y)], np.where(finite, y, np.nan), antialias=smooth)

    def _lay_out(self, count: int, lanes: int, chosen: FrameCurves, comparing: bool) -> None:
        """Show the plots that are chosen, the lowest with the numbers of the frames."""
        if lanes != self._lanes:
            self._lanes = lanes
            self.strip.setFixedHeight(_LANE_PX * max(lanes, 1) + 4)
            self.strip.setYRange(0.5 - max(lanes, 1), 0.5, padding=0)
            self.strip.getAxis("left").setTicks([[(-k, name) for k, name in enumerate(LANE_COLOURS)][:lanes]])
        shown = [kind for kind in self.plots if chosen in (kind, FrameCurves.ALL)]
        if not comparing and FrameCurves.APART in shown:
            shown = [kind for kind in shown if kind is not FrameCurves.APART] or [FrameCurves.JUMP]
        for kind, plot in self.plots.items():
            plot.setVisible(kind in shown)
            plot.setMaximumHeight(16777215 if kind in shown else 0)
            plot.showAxis("bottom", kind is shown[-1])
        if count != self._count:
            self._count = count
            for plot in (self.strip, *self.plots.values()):
                plot.setLimits(xMin=0.5, xMax=max(count, 1) + 0.5, minXRange=min(8, max(count, 1)))
            self.show_all()

    def show_all(self) -> None:
        """Show all frames."""
        self.strip.setXRange(0.5, max(self._count, 1) + 0.5, padding=0)

    def _paint_marks(self) -> None:
        """Paint the frames without a face, at most one mark a pixel."""
        (low, high), _ = self.strip.vb.viewRange()
        pixels = max(self.strip.vb.width(), 1.0)
        for (name, state), frames in self._failed.items():
            inside = frames[(frames >= low) & (frames <= high)]
            columns = ((inside - low) / max(high - low, 1e-9) * pixels).astype(int)
            _, first = np.unique(columns, return_index=True)
            row = -list(LANE_COLOURS).index(name)
            self.marks[name, state].setData(x=inside[first], y=np.full(len(first), row))

    def show_frame(self, index: int) -> None:
        """Mark the frame that is shown, and keep it in sight."""
        for cursor in self.cursors:
            cursor.setValue(index + 1)
        (low, high), _ = self.strip.vb.viewRange()
        if not low <= index + 1 <= high:
            self.strip.vb.translateBy(x=index + 1 - (low + high) / 2)
