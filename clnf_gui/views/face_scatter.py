"""The faces of a study: a dot each, as far right as variant A fits it badly, as high as B does."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtWidgets import QGraphicsItem

from clnf_engine.arrays import Floats
from clnf_engine.studies.faces import Beside
from clnf_engine.studies.statistics import Indices
from clnf_gui.theme import BLUE, SELECTION
from clnf_gui.views.axes import follow_palette
from clnf_gui.views.hint import Hint
from clnf_gui.views.pens import Pens

_MOST_DOTS = 100_000
"""More are counted in cells."""
_CELLS = 160
_REACH_PX = 14.0
"""A face this close to the mouse is meant."""
_DOT_PX, _RING_PX = 5, 13


class FaceScatter(pg.PlotWidget):
    """Paints two variants face by face; the wheel zooms, a double click shows all, a click chooses a face.

    Attributes
    ----------
    dots : ScatterPlotItem
    cells : ImageItem
        In the place of the dots where there are too many.
    """

    pair_clicked = Signal(int)
    pair_hovered = Signal(object)
    """Number of a pair, or None."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setAccessibleName("Every face of the study")
        self.plotItem.hideButtons()
        self.plotItem.setContentsMargins(0, 4, 8, 0)
        self.pens = Pens(self)
        self._faces: Beside | None = None
        self._known: Indices = np.zeros(0, dtype=np.intp)
        self._points: Floats = np.zeros((0, 2))
        self._hovered: int | None = None
        self.diagonal = pg.InfiniteLine(pos=(0, 0), angle=45)
        self.pens.give(self.diagonal.setPen, "#808080", 1.0, Qt.PenStyle.DashLine)
        self.cells = pg.ImageItem(axisOrder="row-major")
        self.cells.setColorMap(pg.colormap.get("viridis"))
        self.dots = pg.ScatterPlotItem(size=_DOT_PX, pen=None)
        # A mark on one of them moves; kept as a picture the others need not be drawn again.
        self.dots.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.pens.fill(self._fill, BLUE)
        self.ring = pg.ScatterPlotItem(size=_RING_PX, brush=None)
        self.pens.give(self.ring.setPen, SELECTION, 2.0)
        for item in (self.cells, self.dots, self.ring):
            self.plotItem.addItem(item)
        self.plotItem.addItem(self.diagonal, ignoreBounds=True)
        self.hint = Hint(self)
        for side in ("left", "bottom"):
            self.plotItem.getAxis(side).enableAutoSIPrefix(False)
        self.scene().sigMouseMoved.connect(self._point_at)
        self.scene().sigMouseClicked.connect(self._click)
        follow_palette(self, self.palette())

    def _fill(self, colour: str) -> None:
        shown = pg.mkColor(colour)
        shown.setAlpha(150)
        self.dots.setBrush(shown)

    def show_faces(self, faces: Beside | None, what: str) -> None:
        """Paint the faces of two variants, of which `what` tells the values."""
        self._faces, self._hovered = faces, None
        values = np.zeros((2, 0)) if faces is None else faces.values
        self._known = np.flatnonzero(np.isfinite(values).all(axis=0))
        self._points = values[:, self._known].T
        many = len(self._known) > _MOST_DOTS
        self.dots.setVisible(not many)
        self.cells.setVisible(many)
        dots = self._points[:0] if many else self._points
        self.dots.setData(dots[:, 0], dots[:, 1])
        if many:
            self._count()
        if faces is not None:
            for side, lane, name in zip(("bottom", "left"), "AB", faces.names, strict=True):
                self.plotItem.setLabel(side, f"{lane}: {name}")
        self.setToolTip(f"{what}. Below the line B is better. Click: open the face in lanes A and B. Wheel: zoom.")
        self.hint.show_text("" if len(self._known) or faces is None else "No face has a value in both variants")
        self.show_all()

    def _count(self) -> None:
        low, high = self._points.min(axis=0), np.quantile(self._points, 0.9995, axis=0)
        span = [(low[k], max(high[k], low[k] + 1e-9)) for k in (0, 1)]
        counts, x, y = np.histogram2d(self._points[:, 0], self._points[:, 1], _CELLS, span)
        shown = np.log1p(counts.T)
        self.cells.setImage(np.where(shown > 0, shown, np.nan), autoLevels=False, levels=(0.0, float(shown.max())))
        self.cells.setRect(x[0], y[0], x[-1] - x[0], y[-1] - y[0])

    def show_all(self) -> None:
        """Show all faces, with the same range of errors in both directions."""
        if len(self._points) and self._faces is not None:
            low, high = float(self._points.min()), float(self._points.max())
            low = 0.0 if self._faces.has_truth else low
            self.plotItem.vb.setRange(xRange=(low, high), yRange=(low, high), padding=0.04)

    def show_pair(self, pair: int | None) -> None:
        """Mark the face that the lanes show."""
        at = np.flatnonzero(self._known == (-1 if pair is None else pair))
        self.ring.setData(self._points[at, 0], self._points[at, 1])

    def _nearest(self, where: QPointF) -> int | None:
        """The pair under the mouse, by a place in the scene."""
        box = self.plotItem.vb
        if not len(self._points) or not box.sceneBoundingRect().contains(where):
            return None
        point, (width, height) = box.mapSceneToView(where), box.viewPixelSize()
        off = np.hypot((self._points[:, 0] - point.x()) / width, (self._points[:, 1] - point.y()) / height)
        best = int(off.argmin())
        return int(self._known[best]) if off[best] <= _REACH_PX else None

    def _point_at(self, where: QPointF) -> None:
        found = self._nearest(where)
        if found != self._hovered:
            self._hovered = found
            self.viewport().setCursor(
                Qt.CursorShape.ArrowCursor if found is None else Qt.CursorShape.PointingHandCursor
            )
            self.pair_hovered.emit(found)

    def _click(self, event: MouseClickEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if event.double():
            self.show_all()
        elif (found := self._nearest(event.scenePos())) is not None:
            self.pair_clicked.emit(found)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is pointed at any more."""
        super().leaveEvent(event)
        if self._hovered is not None:
            self._hovered = None
            self.pair_hovered.emit(None)
