"""A frame around the part of the window to look at, which follows it and lets the mouse through."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QColor, QPalette, QRegion
from PySide6.QtWidgets import QWidget

from clnf_gui.theme import SELECTION

_LINE_PX = 3
_MOVES = (QEvent.Type.Resize, QEvent.Type.Move, QEvent.Type.Show, QEvent.Type.Hide, QEvent.Type.LayoutRequest)


class Highlight(QWidget):
    """Lies over the window; all of it but the frame is cut out, so that nothing below is painted twice.

    Parameters
    ----------
    window : QWidget
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAutoFillBackground(True)
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Window, QColor(SELECTION))
        self.setPalette(palette)
        self._around: tuple[QWidget, ...] = ()
        self._watched: list[QWidget] = []
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.place)
        self.hide()

    def look_at(self, *widgets: QWidget) -> None:
        """Frame these widgets, which are beside one another; none, and the frame goes."""
        for widget in self._watched:
            widget.removeEventFilter(self)
        self._around, self._watched = widgets, []
        for widget in widgets:
            here: QWidget | None = widget
            while here is not None and here not in self._watched:
                here.installEventFilter(self)
                self._watched.append(here)
                here = here.parentWidget()
        self.place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in _MOVES and watched is not self:
            self._timer.start(0)  # when the layout has come to rest
        return False

    def place(self) -> None:
        """Go to where the widgets are now."""
        window, area = self.window(), QRect()
        for widget in self._around:
            if widget.isVisible() and widget.window() is window:
                area |= QRect(widget.mapTo(window, QPoint()), widget.size())
        area &= window.rect()
        self.setVisible(not area.isEmpty())
        if not area.isEmpty():
            self.setGeometry(area)
            inner = self.rect().adjusted(_LINE_PX, _LINE_PX, -_LINE_PX, -_LINE_PX)
            self.setMask(QRegion(self.rect()) - QRegion(inner))
            self.raise_()
