"""The timeline: one cell per Step, coloured by stage and phase; click or drag to scrub."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from clnf_engine import Step
from clnf_engine.steps import describe
from clnf_gui.theme import step_colour

_MARGIN = 8


class Timeline(QWidget):
    """A strip of cells that emits the index of the Step a person points at."""

    scrubbed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Timeline of the fit's steps")
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._steps: list[Step] = []
        self._index = 0

    def show_steps(self, steps: list[Step], index: int) -> None:
        """Show the Steps of a run and which one the cursor is on."""
        self._steps, self._index = steps, index
        self.update()

    def cell(self, index: int) -> QRectF:
        """Where the cell of a Step is painted."""
        width = (self.width() - 2 * _MARGIN) / max(len(self._steps), 1)
        return QRectF(_MARGIN + index * width, 6, width, self.height() - 12)

    def sizeHint(self) -> QSize:
        return QSize(400, 34)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        for k, step in enumerate(self._steps):
            painter.setBrush(step_colour(step))
            painter.drawRoundedRect(self.cell(k).adjusted(0.75, 0, -0.75, 0), 2, 2)
        if self._steps:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.WindowText), 2.5))
            painter.drawRoundedRect(self.cell(self._index).adjusted(-0.5, -3, 0.5, 3), 3, 3)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._scrub(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._scrub(event)
        elif self._steps:
            step = self._steps[self._at(event.position().toPoint())]
            QToolTip.showText(event.globalPosition().toPoint(), describe(step), self)

    def _scrub(self, event: QMouseEvent) -> None:
        if self._steps:
            self.scrubbed.emit(self._at(event.position().toPoint()))

    def _at(self, position: QPoint) -> int:
        width = self.cell(0).width()
        return min(max(int((position.x() - _MARGIN) / width), 0), len(self._steps) - 1)
