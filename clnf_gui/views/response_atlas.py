"""The response maps of all landmarks as one image: an atlas with gaps between the maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from clnf_engine import Step
from clnf_gui.look import Look, MapRange, MapSource
from clnf_gui.theme import BACKDROP, SELECTION

_GAP = 2
_TINY = 1e-30
"""Half-width of a colour range that would otherwise be empty."""


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
        self._sequential, self._diverging = pg.colormap.get("viridis"), pg.colormap.get("CET-D1A")
        self.peak_item = pg.ScatterPlotItem(size=5, symbol="+", pen=pg.mkPen("#ff3b30", width=1.2))
        self.position_item = pg.ScatterPlotItem(size=5, symbol="o", pen=pg.mkPen("#ffffff", width=1.4), brush=None)
        self.labels = _MapNumbers()
        self.frame = pg.PlotCurveItem(pen=pg.mkPen(SELECTION, width=2.5))
        for item in (self.image_item, self.labels, self.peak_item, self.position_item, self.frame):
            self.box.addItem(item)
        self.colour_bar = pg.ColorBarItem(colorMap=self._sequential, interactive=False, width=12)
        self.addItem(self.colour_bar)
        for axis in ("left", "right"):
            self.colour_bar.getAxis(axis).setPen("#d0d0d0")
            self.colour_bar.getAxis(axis).setTextPen("#d0d0d0")
            self.colour_bar.getAxis(axis).enableAutoSIPrefix(False)
        self._steps: tuple[Step | None, Step | None] = (None, None)
        self._look = Look()
        self._runs: Sequence[Sequence[Step]] = ()
        self._selection: int | None = None
        self._label = ""
        self._colours: pg.ColorMap | None = None
        self._maps: NDArray[np.floating] | None = None
        self._columns = 1
        self._tile = 1
        self.box.sigResized.connect(self._refill)
        self.scene().sigMouseMoved.connect(self._on_mouse_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)

    def show_steps(self, a: Step | None, b: Step | None, look: Look, runs: Sequence[Sequence[Step]] = ()) -> None:
        """Paint the maps of the Steps of lanes A and B as `look` asks; nothing where there are none.

        Without a second lane `b` is None. `runs` are the runs that a colour range may span.
        """
        self._steps, self._look, self._runs = (a, b), look, runs
        step = b if look.map_source is MapSource.B and b is not None else a
        difference = look.map_source is MapSource.DIFFERENCE and b is not None
        maps = _difference(a, b, look) if difference else _maps(step, look)
        if step is None or maps is None:
            self._clear()
            return
        n, window = maps.shape[0], maps.shape[1]
        columns = self._best_columns(n)
        reshaped = self._maps is None or self._maps.shape != maps.shape or columns != self._columns
        self._maps, self._tile, self._columns = maps, window + _GAP, columns
        peaks = np.abs(maps).max(axis=(1, 2))
        shown, levels = maps, self._levels(look)
        if difference:
            levels = (-max(peaks.max(), _TINY), max(peaks.max(), _TINY))
        elif look.map_range is MapRange.EACH:
            divisor = peaks[:, None, None]
            shown, levels = np.divide(maps, divisor, out=np.zeros_like(maps), where=divisor > 0), (0.0, 1.0)
        colours = self._diverging if difference else self._sequential
        if colours is not self._colours:
            self._colours = colours
            self.image_item.setColorMap(colours)
        self.image_item.setImage(self._atlas(shown), autoLevels=False, levels=levels)
        each = look.map_range is MapRange.EACH and not difference
        label = "A − B" if difference else "of each map's peak" if each else "response"
        if label != self._label:
            self._label = label
            self.colour_bar.setColorMap(colours)
            self.colour_bar.setLabel("right", label)
        if self.colour_bar.levels() != levels:
            self.colour_bar.setLevels(levels)
        corners = np.array([self._corner(k) for k in range(n)], dtype=float)
        cells = np.abs(maps).reshape(n, -1).argmax(axis=1)
        self.peak_item.setData(pos=corners + np.stack([cells % window, cells // window], axis=1) + 0.5)
        positions = np.zeros((0, 2)) if step.mean_shift is None else corners + step.mean_shift.position + 0.5
        self.position_item.setData(pos=positions)
        if reshaped:
            self.labels.show_numbers([(k, *self._corner(k)) for k in range(n)], self._tile)
            self.box.setRange(self.image_item.boundingRect(), padding=0.02)

    def _levels(self, look: Look) -> tuple[float, float]:
        """The values that the colours span: of this step, of the whole run, or as given."""
        if look.map_range is MapRange.MANUAL:
            low, high = look.manual_range
            return low, max(high, low + _TINY)
        steps = [step for run in self._runs for step in run] if look.map_range is MapRange.RUN else self._steps
        arrays = {id(m): m for step in steps if (m := _maps(step, look)) is not None}.values()
        low = min((float(m.min()) for m in arrays), default=0.0)
        return low, max(max((float(m.max()) for m in arrays), default=0.0), low + _TINY)

    def _clear(self) -> None:
        self._maps = None
        self.image_item.clear()
        self.labels.show_numbers([], 0)
        for item in (self.peak_item, self.position_item):
            item.setData(pos=np.zeros((0, 2)))
        self.frame.setData([], [])

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
            self.show_steps(*self._steps, self._look, self._runs)
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


def _maps(step: Step | None, look: Look) -> NDArray[np.floating] | None:
    """The maps of a Step that `look` chooses."""
    return None if step is None or step.responses is None else getattr(step.responses, look.map_kind)


def _difference(a: Step | None, b: Step | None, look: Look) -> NDArray[np.floating] | None:
    """Maps of A minus maps of B; None where one has none or their sizes differ."""
    maps_a, maps_b = _maps(a, look), _maps(b, look)
    if maps_a is None or maps_b is None or maps_a.shape != maps_b.shape:
        return None
    return maps_a - maps_b


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
