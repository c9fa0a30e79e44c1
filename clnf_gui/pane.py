"""A docked pane: a view, made when it is first seen, and after which changes it is painted anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from clnf_gui.session import Session
from clnf_gui.session.aspect import Aspect


class Room(QWidget):
    """Where a view is from when it is first seen; making those that are behind tabs would take as long as a fit.

    Parameters
    ----------
    make : callable
        The view.
    """

    filled = Signal(QWidget)

    def __init__(self, make: Callable[[], QWidget]) -> None:
        super().__init__()
        self._make: Callable[[], QWidget] | None = make
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)

    def fill(self) -> None:
        """Make the view, unless it is there."""
        if self._make is not None:
            make, self._make = self._make, None
            view, layout = make(), self.layout()
            assert layout is not None
            layout.addWidget(view)
            if self.size().isEmpty():
                self.resize(self.sizeHint())  # behind other tabs it is laid out when it is raised
            self.filled.emit(view)


@dataclass(frozen=True, eq=False)
class Pane:
    """A docked view.

    Attributes
    ----------
    title : str
    widget : QWidget
    area : Qt.DockWidgetArea
        Panes of one area share it as tabs, but for those that begin a new row.
    aspects : Aspect
        Changes after which it is painted anew.
    paint : callable
        Of the Session.
    forget : callable or None
        Lets go of the run that is painted, when another is shown while the pane is out of sight.
    """

    title: str
    widget: QWidget
    area: Qt.DockWidgetArea
    aspects: Aspect
    paint: Callable[[Session], None]
    forget: Callable[[], None] | None = None

    def show(self, session: Session) -> None:
        """Paint it, whether it has been seen before or not."""
        if isinstance(self.widget, Room):
            self.widget.fill()
        self.paint(session)


def in_sight(widget: QWidget) -> bool:
    """Whether anything of a widget can be seen: Qt moves docks behind others out of sight, and calls them visible."""
    window = widget.window()
    place = QRect(widget.mapTo(window, QPoint()), widget.size())
    return widget.isVisible() and window.rect().intersects(place)
