"""The docks of the window: where the options and the panes are, and how they come to the front and back."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QTabWidget, QWidget

from clnf_gui.pane import Pane, Room, in_sight
from clnf_gui.panels.options import OptionsPanel

_FRONT = ("Response maps", "Convergence")
_RIGHT_SHARE, _BOTTOM_SHARE = 0.29, 0.30
"""Of the window: what the photo, which people look at, does not need."""

_ROOMY_PX = 1600
"""Width of a window from which on there is room for what is behind a tab in smaller ones."""
_BESIDE = (
    ("Landmark", Qt.DockWidgetArea.RightDockWidgetArea, Qt.Orientation.Vertical),
    ("Lab", Qt.DockWidgetArea.BottomDockWidgetArea, Qt.Orientation.Horizontal),
)

_BELOW_SHARES = 0.38, 0.46
"""Of a large window: the curves and the Lab, which has words, a table and a figure."""


class Docks:
    """Lays the options and the panes out around the photo.

    Parameters
    ----------
    window : QMainWindow
        Its size is that for which the layout is made.
    options : OptionsPanel
    panes : tuple of Pane
    watcher : QObject
        Filters the docks' events.
    """

    def __init__(self, window: QMainWindow, options: OptionsPanel, panes: tuple[Pane, ...], watcher: QObject) -> None:
        self._window, self._watcher = window, watcher
        self._by_name: dict[str, QDockWidget] = {}
        window.setDockNestingEnabled(True)
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.BottomDockWidgetArea)
        window.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self._add("Options", _scrolling(options), Qt.DockWidgetArea.LeftDockWidgetArea)
        last: dict[Qt.DockWidgetArea, QDockWidget] = {}
        for pane in panes:
            dock = self._add(pane.title, pane.widget, pane.area)
            if pane.area in last:  # at once: side by side, even for a moment, docks make the window wider
                window.tabifyDockWidget(last[pane.area], dock)
            last[pane.area] = dock
        for title in _FRONT:
            self._by_name[title].raise_()
        self._made = window.saveState()
        self.share_out()

    def __getitem__(self, name: str) -> QDockWidget:
        return self._by_name[name]

    def _add(self, title: str, widget: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        dock = self._by_name[title] = QDockWidget(title)
        dock.setObjectName(title)
        dock.setWidget(widget)
        dock.installEventFilter(self._watcher)
        self._window.addDockWidget(area, dock)
        return dock

    def share_out(self) -> None:
        """Give the photo most of the window, and the docks the rest; in a large window, more of them in sight."""
        width, height = self._window.width(), self._window.height()
        self._roomy = width >= _ROOMY_PX
        if self._roomy:
            for name, area, side in _BESIDE:
                self._window.addDockWidget(area, self._by_name[name], side)
            pair = [self._by_name[name] for name in (_FRONT[1], "Lab")]
            self._window.resizeDocks(pair, [round(width * share) for share in _BELOW_SHARES], Qt.Orientation.Horizontal)
        options = self._by_name["Options"]
        sides, widths = [options, self._by_name[_FRONT[0]]], [options.minimumSizeHint().width(), width * _RIGHT_SHARE]
        self._window.resizeDocks(sides, [round(size) for size in widths], Qt.Orientation.Horizontal)
        self._window.resizeDocks([self._by_name[_FRONT[1]]], [round(height * _BOTTOM_SHARE)], Qt.Orientation.Vertical)
        self._own = self._arrangement()

    def follow_size(self) -> None:
        """Have more docks in sight in a window that has become large, fewer in one that has become small.

        Docks that a person has moved, torn off or closed stay as they are.
        """
        if (self._window.width() >= _ROOMY_PX) is not self._roomy and self._arrangement() == self._own:
            seen = [name for name, dock in self._by_name.items() if in_sight(dock)]
            self.reset()
            for name in sorted(seen, key=lambda name: name in _FRONT):
                self._by_name[name].raise_()

    def _arrangement(self) -> dict[str, tuple[object, ...]]:
        """Where every dock is, and which share its place as tabs."""
        return {
            name: (
                self._window.dockWidgetArea(dock),
                dock.isFloating(),
                dock.isHidden(),
                frozenset(other.objectName() for other in self._window.tabifiedDockWidgets(dock)),
            )
            for name, dock in self._by_name.items()
        }

    def raise_(self, name: str) -> None:
        """Bring a dock to the front."""
        dock = self._by_name[name]
        if isinstance(room := dock.widget(), Room):
            room.fill()
        dock.show()
        dock.raise_()

    def heighten(self, name: str, share: float) -> None:
        """Give a dock at least a share of the window's height."""
        dock = self._by_name[name]
        wanted = max(dock.height(), round(self._window.height() * share))
        self._window.resizeDocks([dock], [wanted], Qt.Orientation.Vertical)

    def reset(self) -> None:
        """Put the docks back as they were made, and all of them in sight."""
        self._window.restoreState(self._made)
        for dock in self._by_name.values():
            dock.show()
        self.share_out()


def _scrolling(options: OptionsPanel) -> QScrollArea:
    scroll = QScrollArea()
    scroll.setWidget(options)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QScrollArea.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setMinimumWidth(options.minimumSizeHint().width() + scroll.verticalScrollBar().sizeHint().width())
    return scroll
