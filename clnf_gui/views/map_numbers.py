"""The landmark numbers in the corners of their response maps, all in one item."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from clnf_gui.views.screen_text import ScreenText, draw_outlined

_READABLE_PX = 22.0
"""Side of a map on the screen from which on its number is painted."""
_ROOM_PX = 4.0


class MapNumbers(ScreenText):
    """Paints the number of every map in its upper left corner, or in the corner of what is seen of the map."""

    def __init__(self) -> None:
        super().__init__(_ROOM_PX)
        self._numbers: list[tuple[int, int, int]] = []
        self._tile = 0

    def show_numbers(self, numbers: list[tuple[int, int, int]], tile: int) -> None:
        """Paint (landmark, x, y) for maps of a tile's size."""
        self.prepareGeometryChange()
        self._numbers, self._tile = numbers, tile
        self.update()

    def places(self) -> QRectF:
        if not self._numbers:
            return QRectF()
        right, bottom = (max(entry[k] for entry in self._numbers) + self._tile for k in (1, 2))
        return QRectF(0, 0, right, bottom)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        transform = painter.transform()
        size = transform.m11() * self._tile
        if size < _READABLE_PX:
            return
        seen = transform.mapRect(self.viewRect())
        painter.resetTransform()
        font = QFont(painter.font())
        font.setPixelSize(int(min(11, max(8, size * 0.22))))
        painter.setFont(font)
        metrics = painter.fontMetrics()
        for number, x, y in self._numbers:
            tile = transform.mapRect(QRectF(x, y, self._tile, self._tile)) & seen
            text = str(number)
            if tile.width() > metrics.horizontalAdvance(text) + 2 and tile.height() > font.pixelSize():
                draw_outlined(painter, tile.topLeft() + QPointF(2, font.pixelSize()), text)
        painter.setTransform(transform)
