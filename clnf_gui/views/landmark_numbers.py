"""The numbers of all landmarks as one item, painted only when they are far enough apart to be read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from clnf_gui.views.contours import IBUG_LANDMARKS
from clnf_gui.views.screen_text import ScreenText, draw_outlined

_READABLE_PX = 24.0
"""Median distance of neighbours on the screen from which on numbers are painted."""
_FONT_PX = 10
_GAP_PX = 5.0
"""Between a point and its number."""
_ROOM_PX = 30.0
"""Farthest that a number of three digits reaches from its point."""
_GROUPS_68 = ((0, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68))
"""First landmark of jaw and brows, nose, nostrils, eyes, outer and inner lips, and that after the last."""


class LandmarkNumbers(ScreenText):
    """Paints the index of every point beside it, away from the shape it belongs to, and none over another."""

    def __init__(self) -> None:
        super().__init__(_ROOM_PX)
        self._points: NDArray[np.float64] = np.zeros((0, 2))
        self._outwards: NDArray[np.float64] | None = None
        self._spacing = 0.0
        self._without: int | None = None

    def leave_out(self, landmark: int | None) -> None:
        """Leave out the number of a landmark that is named in another way."""
        if landmark != self._without:
            self._without = landmark
            self.update()

    def show_points(self, points: NDArray[np.float64]) -> None:
        """Number these points, (n, 2)."""
        self._points, self._outwards = points, None
        known = points[np.isfinite(points).all(axis=1)]
        steps = np.linalg.norm(np.diff(known, axis=0), axis=1)
        self._spacing = float(np.median(steps)) if len(steps) else 0.0
        low, high = (known.min(axis=0), known.max(axis=0)) if len(known) else (np.zeros(2), np.zeros(2))
        self.show_places(QRectF(QPointF(*low), QPointF(*high)))

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        transform = painter.transform()
        if self._spacing * transform.m11() < _READABLE_PX:
            return
        painter.resetTransform()
        font = QFont(painter.font())
        font.setPixelSize(_FONT_PX)
        painter.setFont(font)
        if self._outwards is None:
            self._outwards = outwards(self._points)
        metrics, count = painter.fontMetrics(), len(self._points)
        digits = 1 + np.searchsorted([10, 100, 1000], np.arange(count), side="right")
        sizes = np.stack([digits * metrics.horizontalAdvance("0") + 1, np.full(count, metrics.capHeight() + 2)], 1)
        scale = np.array([transform.m11(), transform.m22()])
        points = self._points * scale
        boxes = text_boxes(points, self._outwards, sizes)
        origin = QPointF(transform.dx(), transform.dy())
        shown = [k for k in apart(boxes, points) if k != self._without]
        begins = boxes[:, [0, 3]].tolist()
        draw_outlined(painter, [(origin + QPointF(begins[k][0], begins[k][1] - 1), str(k)) for k in shown])
        painter.setTransform(transform)


def outwards(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions, (n, 2), away from the middle of the part of the face that a point belongs to.

    The numbers of the inner lips stand inside the mouth, those of the bridge of the nose beside it.
    """
    if not len(points):
        return points
    groups = _GROUPS_68 if len(points) == IBUG_LANDMARKS else ((0, len(points)),)
    result = np.zeros_like(points)
    for begin, end in groups:
        part = points[begin:end]
        known = part[np.isfinite(part).all(axis=1)]
        result[begin:end] = part - (known.mean(axis=0) if len(known) else 0.0)
    if len(points) == IBUG_LANDMARKS:
        result[27:31] = (1.0, 0.0)
        result[31:36] = (0.0, 1.0)
        result[60:68] *= -1
    lengths = np.linalg.norm(result, axis=1, keepdims=True)
    return np.divide(result, lengths, out=np.tile([1.0, 0.0], (len(points), 1)), where=lengths > 0)


def text_boxes(
    points: NDArray[np.float64], directions: NDArray[np.float64], sizes: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Left, top, right and bottom, (n, 4), of texts of these sizes that stand beside their points."""
    reach = _GAP_PX + (np.abs(directions) * sizes / 2).sum(axis=1, keepdims=True)
    centres = points + directions * reach
    return np.hstack([centres - sizes / 2, centres + sizes / 2])


def apart(boxes: NDArray[np.float64], points: NDArray[np.float64]) -> list[int]:
    """Which of the boxes, (n, 4), can be painted with none over another or over a point; the first come first.

    Boxes and points that are not known, NaN, are nowhere.
    """
    overlap = np.ones((len(boxes), len(boxes)), dtype=bool)
    covers = np.ones((len(boxes), len(points)), dtype=bool)
    for axis in (0, 1):
        low, high = boxes[:, axis], boxes[:, axis + 2]
        overlap &= (low[:, None] < high[None]) & (low[None] < high[:, None])
        covers &= (low[:, None] < points[None, :, axis]) & (points[None, :, axis] < high[:, None])
    free = np.logical_and(np.isfinite(boxes).all(axis=1), ~covers.any(axis=1))
    chosen = []
    for k in range(len(boxes)):
        if free[k]:
            chosen.append(k)
            free &= ~overlap[k]
    return chosen
