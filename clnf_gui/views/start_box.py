"""The starting box on the photo: to be moved, sized and turned by the mouse."""

from __future__ import annotations

import math

import pyqtgraph as pg
from pyqtgraph.graphicsItems.ROI import Handle
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPainterPath
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from clnf_engine.initial import Box
from clnf_gui.theme import YELLOW

_DARK = "#10243a"
_GRIP_PX = 11
"""Radius within which the mouse takes hold of the round handle; it looks smaller."""
_DISC, _RIM = 0.52, 0.68
"""Radii of the handle as it is seen and of its dark rim, as shares of that."""
_ABOVE = 0.085
"""How far the handle is from the top edge, as a share of the box's height."""
_SNAP_DEGREES = 5.0


def corner(box: Box, angle: float) -> tuple[float, float]:
    """Where the top left corner of a box comes to lie when the box is turned about its centre.

    Parameters
    ----------
    box : (x, y, width, height)
        Upright.
    angle : float
        Radians, clockwise on the screen.
    """
    x, y, width, height = box
    dx, dy = _shift(width, height, angle)
    return x + dx, y + dy


def upright(corner: tuple[float, float], size: tuple[float, float], angle: float) -> Box:
    """The upright box about the same centre; the inverse of `corner`."""
    dx, dy = _shift(*size, angle)
    return corner[0] - dx, corner[1] - dy, *size


def _shift(width: float, height: float, angle: float) -> tuple[float, float]:
    """How far the top left corner moves; exactly nothing at an angle of 0."""
    x, y, c, s = width / 2, height / 2, math.cos(angle), math.sin(angle)
    return x - (c * x - s * y), y - (s * x + c * y)


class _Knob(Handle):
    """A filled disc that is seen on skin and on any background."""

    def __init__(self, parent: pg.ROI) -> None:
        super().__init__(_GRIP_PX, typ="r", pen=pg.mkPen(YELLOW), hoverPen=pg.mkPen("#ffffff"), parent=parent)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Drag to turn the start; with Shift in steps of 5°")

    def buildPath(self) -> None:
        """A circle, of which pyqtgraph makes what has this size on the screen."""
        self.path = QPainterPath()
        self.path.addEllipse(QPointF(0, 0), self.radius, self.radius)

    def paint(self, painter: QPainter, _: QStyleOptionGraphicsItem, __: QWidget | None = None) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(pg.mkPen(None))
        for share, colour in ((_RIM, _DARK), (_DISC / _RIM, self.currentPen.color())):
            painter.scale(share, share)
            painter.setBrush(pg.mkBrush(colour))
            painter.drawPath(self.shape())


class StartBox(pg.ROI):
    """A box with a handle at every corner to size it, and a round one above it to turn it about its centre."""

    dragged = Signal(object)
    """(x, y, width, height) of the upright box about the same centre, image px, while it is moved or sized."""
    turned = Signal(float)
    """The angle, radians, clockwise on the screen, above -π and at most π, while it is turned."""
    grabbed = Signal()
    released = Signal()

    def __init__(self) -> None:
        super().__init__((0, 0), (1, 1), pen=pg.mkPen(YELLOW, width=2), rotatable=False)
        self._shown: tuple[Box, float] = ((0.0, 0.0, 1.0, 1.0), 0.0)
        for x, y in ((1, 1), (0, 0), (1, 0), (0, 1)):
            self.addScaleHandle((x, y), (1 - x, 1 - y))
        self.knob = self.addRotateHandle((0.5, -_ABOVE), (0.5, 0.5), item=_Knob(self))
        self.sigRegionChanged.connect(self._on_moved)
        self.sigRegionChangeStarted.connect(lambda _: self.grabbed.emit())
        self.sigRegionChangeFinished.connect(lambda _: self.released.emit())

    def show_box(self, box: Box, angle: float) -> None:
        """Show a box, given upright, turned about its centre by an angle in radians; nothing is emitted."""
        if (box, angle) == self._shown:
            return
        self._shown = (box, angle)
        blocked = self.blockSignals(True)
        self._place()
        self.blockSignals(blocked)

    def _place(self, finish: bool = True) -> None:
        box, angle = self._shown
        self.setPos(corner(box, angle), update=False)
        self.setSize(box[2:], update=False)
        self.setAngle(math.degrees(angle), update=False)
        self.stateChanged(finish=finish)

    def _on_moved(self) -> None:
        """The mouse has moved or sized the box; the angle stays."""
        (x, y), (width, height), angle = self.pos(), self.size(), self._shown[1]
        box = upright((float(x), float(y)), (float(width), float(height)), angle)
        self._shown = (box, angle)
        if width >= 1 and height >= 1:
            self.dragged.emit(box)

    def movePoint(
        self,
        handle: Handle,
        pos: QPointF,
        modifiers: Qt.KeyboardModifier | None = None,
        finish: bool = True,
        coords: str = "parent",
    ) -> None:
        """Follow a handle that is dragged; pyqtgraph's own way to turn knows no Shift, and lets the centre drift."""
        if handle is not self.knob:
            super().movePoint(handle, pos, modifiers, finish, coords)
            return
        box = self._shown[0]
        point = self.mapSceneToParent(pos) if coords == "scene" else pos
        x, y = point.x() - (box[0] + box[2] / 2), point.y() - (box[1] + box[3] / 2)
        degrees = math.degrees(math.atan2(x, -y))
        if modifiers is not None and modifiers & Qt.KeyboardModifier.ShiftModifier:
            degrees = round(degrees / _SNAP_DEGREES) * _SNAP_DEGREES
        angle = math.radians(degrees)
        if angle != self._shown[1]:
            self._shown = (box, angle)
            blocked = self.blockSignals(True)
            self._place(finish=False)
            self.blockSignals(blocked)
            self.turned.emit(angle)

    def boundingRect(self) -> QRectF:
        """The box and the line to the round handle."""
        width, height = self.size()
        return QRectF(0, -_ABOVE * height, width, (1 + _ABOVE) * height)

    def shape(self) -> QPainterPath:
        """Where the mouse takes hold of the box: inside it."""
        path = QPainterPath()
        path.addRect(QRectF(0, 0, *self.size()))
        return path

    def paint(self, painter: QPainter, _: QStyleOptionGraphicsItem, __: QWidget | None = None) -> None:
        width, height = self.size()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(self.currentPen)
        painter.drawRect(QRectF(0, 0, width, height))
        painter.drawLine(QPointF(width / 2, 0), QPointF(width / 2, -_ABOVE * height))
