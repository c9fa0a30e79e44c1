"""Texts of a fixed size on the screen, painted at places of a picture that can be zoomed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QImage, QPainter

_EDGE_PX = 0.8


class ScreenText(pg.GraphicsObject):
    """Base of items that paint texts beside places.

    The scene repaints what lies in an item's bounding rectangle, so the rectangle has to hold the texts, whose size in
    the picture depends on the zoom: it is the places and `_room_px` screen px around them.
    """

    def __init__(self, room_px: float) -> None:
        super().__init__()
        self._room_px = room_px
        self._places = QRectF()

    def show_places(self, places: QRectF) -> None:
        """Paint anew, at other places."""
        self.prepareGeometryChange()
        self._places = places
        self.update()

    def places(self) -> QRectF:
        """The rectangle of all places, in the picture; empty when nothing is painted, as before there is anything."""
        return self._places

    def boundingRect(self) -> QRectF:
        places, box = self._places, self.getViewBox()
        if places.isNull() or box is None:
            return places
        view = box.viewRect()  # pyqtgraph's own viewPixelSize is kept from before while the range is being set
        width = self._room_px * view.width() / max(box.width(), 1.0)
        height = self._room_px * view.height() / max(box.height(), 1.0)
        return places.adjusted(-width, -height, width, height)

    def viewTransformChanged(self) -> None:
        super().viewTransformChanged()
        self.prepareGeometryChange()


def draw_outlined(painter: QPainter, texts: Sequence[tuple[QPointF, str]]) -> None:
    """Draw texts in white with a dark edge, to be read on any photo or map; a place is where the line begins."""
    font, device = painter.font().toString(), painter.device()
    ratio, rise = device.devicePixelRatio(), QPointF(0.0, painter.fontMetrics().ascent())
    for at, text in texts:
        painter.drawImage(at - rise, _outlined(text, font, ratio))


@lru_cache(maxsize=1024)
def _outlined(text: str, font: str, ratio: float) -> QImage:
    """The picture of a text; the views draw hundreds with every step, and the same ones."""
    described = QFont()
    described.fromString(font)
    metrics = QFontMetricsF(described)
    width, height = metrics.horizontalAdvance(text) + 2 * _EDGE_PX, metrics.height() + _EDGE_PX
    picture = QImage(ceil(width * ratio), ceil(height * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setFont(described)
    for colour, aside in ((Qt.GlobalColor.black, _EDGE_PX), (Qt.GlobalColor.white, 0.0)):
        painter.setPen(colour)
        painter.drawText(QPointF(aside, painter.fontMetrics().ascent() + aside), text)
    painter.end()
    return picture
