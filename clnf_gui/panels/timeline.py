"""The timeline: a strip per lane, one cell per Step, coloured by stage and phase; click or drag to scrub."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from clnf_engine import Step
from clnf_engine.steps import Place, describe
from clnf_gui.session.lanes import Lane
from clnf_gui.theme import step_colour

_MARGIN = 8
_NAME_WIDTH = 16
_STRIP_HEIGHT = 28
_GAP = 0.75
_NARROW_PX = 3.0
"""Cells of less width have no gaps between them."""
_SPARK_DECADES = 5.0
"""Height of a strip in decades of the update norm, below the run's largest."""


class Timeline(QWidget):
    """Strips of cells under a common cursor; emits the place of the Step a person points at."""

    scrubbed = Signal(object)
    """Place."""
    stop_toggled = Signal(object)
    """Place at which to stop from now on, or no more."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Timeline of the fit's steps")
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._lanes: list[tuple[str, Lane]] = []
        self._places: list[Place] = []
        self._marks: set[Place] = set()
        self._columns: dict[Place, int] = {}
        self._shown: object = None
        self._strips = QPixmap()
        """Everything but the cursor; null when it has to be painted anew."""

    def show_lanes(self, lanes: dict[str, Lane], places: list[Place], marks: set[Place]) -> None:
        """Show the lanes of these names; `places` are the columns they share, `marks` those at which they stop."""
        if len(lanes) != len(self._lanes):
            self.updateGeometry()
        shown = [(name, lane.run, len(lane.steps)) for name, lane in lanes.items()], places, marks
        if shown != self._shown:
            self._shown, self._strips = shown, QPixmap()
            self._columns = {place: k for k, place in enumerate(places)}
        self._lanes, self._places, self._marks = list(lanes.items()), places, marks
        self.update()

    def repaint_strips(self) -> None:
        """Paint everything anew, as after a change of colours."""
        self._strips = QPixmap()
        self.update()

    def cell(self, column: int, row: int = 0) -> QRectF:
        """Where the cell of a place in a lane is painted."""
        left = _MARGIN + (_NAME_WIDTH if len(self._lanes) > 1 else 0)
        width = (self.width() - left - _MARGIN) / max(len(self._places), 1)
        return QRectF(left + column * width, 4 + row * _STRIP_HEIGHT, width, _STRIP_HEIGHT - 6)

    def sizeHint(self) -> QSize:
        return QSize(400, 4 + _STRIP_HEIGHT * max(len(self._lanes), 1))

    def paintEvent(self, event: QPaintEvent) -> None:
        ratio = self.devicePixelRatioF()
        if self._strips.size() != self.size() * ratio:
            self._strips = QPixmap(self.size() * ratio)
            self._strips.setDevicePixelRatio(ratio)
            self._strips.fill(Qt.GlobalColor.transparent)
            self._paint_strips()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._strips)
        painter.setPen(QPen(self.palette().color(QPalette.ColorRole.WindowText), 2.5))
        for row, (_, lane) in enumerate(self._lanes):
            if lane.place in self._columns:
                painter.drawRect(self.cell(self._columns[lane.place], row).adjusted(0.5, -1, -0.5, 1))

    def _paint_strips(self) -> None:
        painter = QPainter(self._strips)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for row, (name, lane) in enumerate(self._lanes):
            if len(self._lanes) > 1:
                painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
                name_box = QRectF(_MARGIN - 4, self.cell(0, row).top(), _NAME_WIDTH, _STRIP_HEIGHT - 6)
                painter.drawText(name_box, Qt.AlignmentFlag.AlignCenter, name)
            steps = [(step, self._columns[step.place]) for step in lane.numbers if step.place in self._columns]
            self._paint_cells(painter, steps, row)
            self._paint_norms(painter, steps, row)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor("#c62828"))
        for place in self._marks & self._columns.keys():
            top = self.cell(self._columns[place]).center()
            painter.drawPolygon(QPolygonF([QPointF(top.x() - 4, 0), QPointF(top.x() + 4, 0), QPointF(top.x(), 6)]))

    def _paint_cells(self, painter: QPainter, steps: Sequence[tuple[Step, int]], row: int) -> None:
        """A cell per Step, with gaps between them; where they are too narrow for that, one for all of a colour."""
        first = self.cell(0, row)
        gap = _GAP if first.width() >= _NARROW_PX else 0.0
        colours = [step_colour(step) for step, _ in steps]
        begin = 0
        for k in range(1, len(steps) + 1):
            if gap or k == len(steps) or colours[k] is not colours[begin] or steps[k][1] != steps[k - 1][1] + 1:
                left, right = (
                    first.left() + column * first.width() for column in (steps[begin][1], steps[k - 1][1] + 1)
                )
                cell = QRectF(left + gap, first.top(), right - left - 2 * gap, first.height())
                painter.fillRect(cell, colours[begin])
                begin = k

    def _paint_norms(self, painter: QPainter, steps: Sequence[tuple[Step, int]], row: int) -> None:
        """The update norm as a line inside the strip, on a log scale; of several Steps in one pixel, the largest."""
        first = self.cell(0, row)
        largest = max((step.update_norm for step, _ in steps if step.update_norm), default=0.0)
        painter.setPen(QPen(QColor(0, 0, 0, 150), 1.3))
        heights: dict[int, tuple[float, float]] = {}
        for step, column in [*steps, (None, 0)]:
            if step is not None and step.update_norm:
                x = first.left() + (column + 0.5) * first.width()
                y = min(math.log10(largest / step.update_norm) / _SPARK_DECADES, 1.0)
                pixel = int(x)
                if pixel not in heights or y < heights[pixel][1]:
                    heights[pixel] = (x, y)
            elif heights:
                room = first.height() - 6
                painter.drawPolyline([QPointF(x, first.top() + 3 + y * room) for x, y in heights.values()])
                heights = {}

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._scrub(event)
        elif event.button() == Qt.MouseButton.RightButton and self._places:
            self.stop_toggled.emit(self._places[self._column(event.position().toPoint())])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._scrub(event)
        elif self._places:
            place = self._places[self._column(event.position().toPoint())]
            texts = [
                f"{name}: {describe(step)}" if len(self._lanes) > 1 else describe(step)
                for name, lane in self._lanes
                for step in lane.numbers
                if step.place == place
            ]
            texts.append("Click: go there. Right click: stop there, or no more.")
            QToolTip.showText(event.globalPosition().toPoint(), "\n".join(texts), self)

    def _scrub(self, event: QMouseEvent) -> None:
        if self._places:
            self.scrubbed.emit(self._places[self._column(event.position().toPoint())])

    def _column(self, position: QPoint) -> int:
        first = self.cell(0)
        return min(max(int((position.x() - first.left()) / first.width()), 0), len(self._places) - 1)
