"""The numbers of all landmarks as one item, painted only when they are far enough apart to be read."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

_READABLE_PX = 24.0
"""Median distance of neighbours on the screen from which on numbers are painted."""


class LandmarkNumbers(pg.GraphicsObject):
    """Paints the index of every point beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._points: NDArray[np.float64] = np.zeros((0, 2))
        self._spacing = 0.0

    def show_points(self, points: NDArray[np.float64]) -> None:
        """Number these points, (n, 2)."""
        self.prepareGeometryChange()
        self._points = points
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        self._spacing = float(np.median(steps)) if len(steps) else 0.0
        self.update()

    def boundingRect(self) -> QRectF:
        if not len(self._points):
            return QRectF()
        low, high = self._points.min(axis=0), self._points.max(axis=0)
        return QRectF(QPointF(*low), QPointF(*high)).adjusted(-1, -1, 1, 1)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        transform = painter.transform()
        if self._spacing * transform.m11() < _READABLE_PX:
            return
        painter.resetTransform()
        font = QFont(painter.font())
        font.setPixelSize(10)
        painter.setFont(font)
        for number, (x, y) in enumerate(self._points.tolist()):
            at = transform.map(QPointF(x, y)) + QPointF(5, -4)
            painter.setPen(Qt.GlobalColor.black)
            painter.drawText(at + QPointF(0.8, 0.8), str(number))
            painter.setPen(Qt.GlobalColor.white)
            painter.drawText(at, str(number))
        painter.setTransform(transform)
