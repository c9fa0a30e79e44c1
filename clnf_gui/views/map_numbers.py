"""The landmark numbers in the corners of their response maps, all in one item."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QTransform
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from clnf_gui.views.screen_text import ScreenText, draw_outlined

_READABLE_PX = 22.0
"""Side of a map on the screen from which on its number is painted."""
_ROOM_PX = 4.0
_LEAST_PX = 16.0
"""What has to be seen of a map for its number to be painted."""


class MapNumbers(ScreenText):
    """Paints the number of every map in its upper left corner, or in the corner of what is seen of the map."""

    def __init__(self) -> None:
        super().__init__(_ROOM_PX)
        self._numbers: list[tuple[int, int, int]] = []
        self._side = 0
        self._laid: tuple[object, list[tuple[QPointF, str]]] = (None, [])
        """What the texts were placed for, and where they are: a step moves none."""

    def show_numbers(self, numbers: list[tuple[int, int, int]], side: int) -> None:
        """Paint (landmark, x, y) for maps of `side` cells whose first cell is at x, y."""
        self._numbers, self._side, self._laid = numbers, side, (None, [])
        right, bottom = (max((entry[k] + side for entry in numbers), default=0) for k in (1, 2))
        self.show_places(QRectF(0, 0, right, bottom))

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        transform = painter.transform()
        size = transform.m11() * self._side
        if size < _READABLE_PX:
            return
        seen = transform.mapRect(self.viewRect())
        painter.resetTransform()
        font = QFont(painter.font())
        font.setPixelSize(int(min(11, max(8, size * 0.22))))
        painter.setFont(font)
        if self._laid[0] != (transform, seen):
            self._laid = (transform, seen), self._lay_out(transform, seen, font)
        draw_outlined(painter, self._laid[1])
        painter.setTransform(transform)

    def _lay_out(self, transform: QTransform, seen: QRectF, font: QFont) -> list[tuple[QPointF, str]]:
        """Where the numbers begin, of the maps of which enough is seen."""
        texts, metrics = [], QFontMetrics(font)
        for number, x, y in self._numbers:
            part = transform.mapRect(QRectF(x, y, self._side, self._side)) & seen
            text = str(number)
            if part.width() >= max(metrics.horizontalAdvance(text) + 2, _LEAST_PX) and part.height() >= _LEAST_PX:
                texts.append((part.topLeft() + QPointF(2, font.pixelSize()), text))
        return texts
