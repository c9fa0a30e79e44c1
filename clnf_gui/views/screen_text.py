"""Texts of a fixed size on the screen, painted at places of a picture that can be zoomed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QStaticText


class ScreenText(pg.GraphicsObject):
    """Base of items that paint texts beside places.

    The scene repaints what lies in an item's bounding rectangle, so the rectangle has to hold the texts, whose size in
    the picture depends on the zoom: it is the places and `_room_px` screen px around them.
    """

    def __init__(self, room_px: float) -> None:
        super().__init__()
        self._room_px = room_px

    def places(self) -> QRectF:
        """The rectangle of all places, in the picture; empty when nothing is painted, as before there is anything."""
        return QRectF()

    def boundingRect(self) -> QRectF:
        places, box = self.places(), self.getViewBox()
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
    """Draw texts in white with a dark edge, to be read on any photo or map."""
    rise = QPointF(0.0, -painter.fontMetrics().ascent())  # static texts are placed by their top
    known = [(at + rise, _static(text, painter.font().pixelSize())) for at, text in texts]
    for colour, aside in ((Qt.GlobalColor.black, QPointF(0.8, 0.8)), (Qt.GlobalColor.white, QPointF())):
        painter.setPen(colour)
        for at, text in known:
            painter.drawStaticText(at + aside, text)


@lru_cache(maxsize=1024)
def _static(text: str, _: int) -> QStaticText:
    """A text whose layout is kept, of which there is one for every size of the font."""
    static = QStaticText(text)
    static.setTextFormat(Qt.TextFormat.PlainText)
    return static
