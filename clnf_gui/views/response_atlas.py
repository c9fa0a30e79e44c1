"""The response maps of all landmarks as one image: an atlas with gaps between the maps."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from clnf_engine import Step
from clnf_gui.look import Look, MapRange
from clnf_gui.theme import BACKDROP, SELECTION

_GAP = 2


class ResponseAtlas(pg.GraphicsLayoutWidget):
    """Paints `ResponseMaps`; a map's value is that of the Step, only its colour may be scaled."""

    landmark_clicked = Signal(object)
    """Index of the landmark whose map was clicked, or None."""
    hovered = Signal(object)
    """(landmark, row, column) of the cell under the mouse, or None."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Response maps of all landmarks")
        self.setBackground(BACKDROP)
        self.box = self.addViewBox(lockAspect=True, invertY=True, enableMenu=False)
        self.image_item = pg.ImageItem()
        self.image_item.setColorMap(pg.colormap.get("viridis"))
        self.peak_item = pg.ScatterPlotItem(size=5, symbol="+", pen=pg.mkPen("#ff3b30", width=1.2))
        self.position_item = pg.ScatterPlotItem(size=5, symbol="o", pen=pg.mkPen("#ffffff", width=1.4), brush=None)
        self.labels = _MapNumbers()
        self.frame = pg.PlotCurveItem(pen=pg.mkPen(SELECTION, width=2.5))
        for item in (self.image_item, self.labels, self.peak_item, self.position_item, self.frame):
            self.box.addItem(item)
        self.colour_bar = pg.ColorBarItem(colorMap=pg.colormap.get("viridis"), interactive=False, width=12)
        self.addItem(self.colour_bar)
        for axis in ("left", "right"):
            self.colour_bar.getAxis(axis).setPen("#d0d0d0")
            self.colour_bar.getAxis(axis).setTextPen("#d0d0d0")
        self._step: Step | None = None
        self._look = Look()
        self._selection: int | None = None
        self._maps: NDArray[np.floating] | None = None
        self._columns = 1
        self._tile = 1
        self.box.sigResized.connect(self._refill)
        self.scene().sigMouseMoved.connect(self._on_mouse_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)

    def show_step(self, step: Step | None, look: Look) -> None:
        """Paint the maps of a Step's stage; nothing for a Step without maps."""
        self._step, self._look = step, look
        responses = None if step is None else step.responses
        if step is None or responses is None:
            self._maps = None
            self.image_item.clear()
            self.labels.show_numbers([], 0)
            for item in (self.peak_item, self.position_item):
                item.setData(pos=np.zeros((0, 2)))
            self.frame.setData([], [])
            return
        maps: NDArray[np.floating] = getattr(responses, look.map_kind)
        n, window = maps.shape[0], maps.shape[1]
        columns = self._best_columns(n)
        reshaped = self._maps is None or self._maps.shape != maps.shape or columns != self._columns
        self._maps, self._tile, self._columns = maps, window + _GAP, columns
        peaks = maps.max(axis=(1, 2))
        each = look.map_range is MapRange.EACH
        divisor = peaks[:, None, None]
        shown = np.divide(maps, divisor, out=np.zeros_like(maps), where=divisor > 0) if each else maps
        levels = (0.0, 1.0) if each else (float(maps.min()), max(float(maps.max()), 1e-30))
        self.image_item.setImage(self._atlas(shown), autoLevels=False, levels=levels)
        self.colour_bar.setLevels(levels)
        self.colour_bar.setLabel("right", "of each map's peak" if each else "response")
        corners = np.array([self._corner(k) for k in range(n)], dtype=float)
        cells = maps.reshape(n, -1).argmax(axis=1)
        peak_cells = np.stack([cells % window, cells // window], axis=1)
        self.peak_item.setData(pos=corners + peak_cells + 0.5)
        positions = np.zeros((0, 2)) if step.mean_shift is None else corners + step.mean_shift.position + 0.5
        self.position_item.setData(pos=positions)
        if reshaped:
            self.labels.show_numbers([(k, *self._corner(k)) for k in range(n)], self._tile)
            self.box.setRange(self.image_item.boundingRect(), padding=0.02)

    def show_selection(self, landmark: int | None) -> None:
        """Frame the selected landmark's map."""
        self._selection = landmark
        if landmark is None or self._maps is None or landmark >= len(self._maps):
            self.frame.setData([], [])
            return
        x, y = self._corner(landmark)
        x0, y0, x1, y1 = x - 0.5, y - 0.5, x + self._tile - 1.5, y + self._tile - 1.5
        self.frame.setData([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0])

    def _best_columns(self, n: int) -> int:
        """The number of columns at which n square maps fill the view best."""
        width, height = max(self.box.width(), 1.0), max(self.box.height(), 1.0)
        return max(range(1, n + 1), key=lambda columns: min(width / columns, height / math.ceil(n / columns)))

    def _refill(self) -> None:
        """Arrange the maps anew when the view's shape asks for it."""
        if self._maps is not None and self._best_columns(len(self._maps)) != self._columns:
            self.show_step(self._step, self._look)
            self.show_selection(self._selection)

    def _corner(self, landmark: int) -> tuple[int, int]:
        """Atlas x and y of the first cell of a map."""
        row, column = divmod(landmark, self._columns)
        return column * self._tile, row * self._tile

    def _atlas(self, maps: NDArray[np.floating]) -> NDArray[np.float32]:
        n, window, _ = maps.shape
        rows = math.ceil(n / self._columns)
        tiles = np.full((rows * self._columns, self._tile, self._tile), np.nan, dtype=np.float32)
        tiles[:n, :window, :window] = maps
        grid = tiles.reshape(rows, self._columns, self._tile, self._tile).swapaxes(1, 2)
        return np.ascontiguousarray(grid.reshape(rows * self._tile, self._columns * self._tile)[:-_GAP, :-_GAP])

    def _cell(self, scene_position: QPointF) -> tuple[int, int, int] | None:
        """(landmark, row, column) at a place of the scene."""
        if self._maps is None or not self.box.sceneBoundingRect().contains(scene_position):
            return None
        point = self.box.mapSceneToView(scene_position)
        map_column, column = divmod(math.floor(point.x()), self._tile)
        map_row, row = divmod(math.floor(point.y()), self._tile)
        landmark = map_row * self._columns + map_column
        n, window = self._maps.shape[:2]
        inside = 0 <= map_column < self._columns and 0 <= landmark < n and row < window and column < window
        return (landmark, row, column) if inside else None

    def _on_mouse_moved(self, position: QPointF) -> None:
        self.hovered.emit(self._cell(position))

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            cell = self._cell(event.scenePos())
            self.landmark_clicked.emit(None if cell is None else cell[0])


class _MapNumbers(pg.GraphicsObject):
    """The landmark numbers beside their maps, all in one item."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: list[tuple[int, int, int]] = []
        self._tile = 0

    def show_numbers(self, numbers: list[tuple[int, int, int]], tile: int) -> None:
        """Paint (landmark, x, y) for maps of a tile's size."""
        self.prepareGeometryChange()
        self._numbers, self._tile = numbers, tile
        self.update()

    def boundingRect(self) -> QRectF:
        if not self._numbers:
            return QRectF()
        right, bottom = (max(entry[k] for entry in self._numbers) + self._tile for k in (1, 2))
        return QRectF(0, 0, right, bottom)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        transform = painter.transform()
        size = transform.m11() * self._tile
        if size < 22:  # too small to read
            return
        painter.resetTransform()
        font = QFont(painter.font())
        font.setPixelSize(int(min(11, max(8, size * 0.22))))
        painter.setFont(font)
        for number, x, y in self._numbers:
            corner = transform.map(QPointF(x, y)) + QPointF(2, font.pixelSize())
            painter.setPen(Qt.GlobalColor.black)
            painter.drawText(corner + QPointF(0.8, 0.8), str(number))
            painter.setPen(Qt.GlobalColor.white)
            painter.drawText(corner, str(number))
        painter.setTransform(transform)
