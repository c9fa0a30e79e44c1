"""Pinned inspectors: a tab beside "Landmark" for every landmark that is to stay in sight."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDockWidget, QMainWindow

from clnf_gui.session import Session
from clnf_gui.views.inspector import InspectorView


class _Pin(QDockWidget):
    """A dock that tells when a person closes it."""

    closed = Signal()

    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        self.closed.emit()


class Pins(QObject):
    """Keeps the docks of a window as the Session's look has them."""

    unpinned = Signal(int)
    """Landmark whose dock a person has closed; it goes when the look no longer has it."""

    def __init__(self, window: QMainWindow, beside: str = "Landmark") -> None:
        """`beside` names the dock that pins are tabs of."""
        super().__init__(window)
        self._window, self._beside = window, beside
        self.docks: dict[int, QDockWidget] = {}

    def paint(self, session: Session) -> None:
        """Show a dock for every pinned landmark, and for no other."""
        for landmark in [landmark for landmark in self.docks if landmark not in session.look.pinned]:
            dock = self.docks.pop(landmark)
            self._window.removeDockWidget(dock)
            dock.deleteLater()
        for landmark in session.look.pinned:
            view = self._dock(landmark).widget()
            n = 0 if session.step is None else len(session.step.landmarks)
            if isinstance(view, InspectorView):
                shown = landmark if landmark < n else None
                view.show_landmark(session.step, shown, session.model_of(), session.engine_options())

    def _dock(self, landmark: int) -> QDockWidget:
        if landmark not in self.docks:
            docks = [dock for dock in self._window.findChildren(QDockWidget) if dock.objectName() == self._beside]
            last = [*docks, *self.docks.values()][-1:]
            dock = self.docks[landmark] = _Pin(f"Landmark {landmark}")
            dock.setObjectName(f"pin {landmark}")
            dock.setFeatures(
                QDockWidget.DockWidgetFeature.DockWidgetMovable
                | QDockWidget.DockWidgetFeature.DockWidgetFloatable
                | QDockWidget.DockWidgetFeature.DockWidgetClosable
            )
            dock.setWidget(InspectorView())
            dock.closed.connect(partial(self.unpinned.emit, landmark))
            self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
            for other in last:
                self._window.tabifyDockWidget(other, dock)
        return self.docks[landmark]
