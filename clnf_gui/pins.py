"""Pinned inspectors: a dock for every landmark that is to stay in sight."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QMainWindow

from clnf_gui.session import Session
from clnf_gui.views.inspector import InspectorView


class Pins:
    """Keeps the docks of a window as the Session's look has them."""

    def __init__(self, window: QMainWindow) -> None:
        self._window = window
        self.docks: dict[int, QDockWidget] = {}

    def paint(self, session: Session) -> None:
        """Show a dock for every pinned landmark, and for no other."""
        for landmark in [landmark for landmark in self.docks if landmark not in session.look.pinned]:
            dock = self.docks.pop(landmark)
            self._window.removeDockWidget(dock)
            dock.deleteLater()
        for landmark in session.look.pinned:
            view = self._dock(landmark).widget()
            n = 0 if session.model is None else session.model.n_landmarks
            if isinstance(view, InspectorView):
                shown = landmark if landmark < n else None
                view.show_landmark(session.step, shown, session.model, session.lane.options)

    def _dock(self, landmark: int) -> QDockWidget:
        if landmark not in self.docks:
            dock = QDockWidget(f"Landmark {landmark}, pinned")
            dock.setObjectName(f"pin {landmark}")
            dock.setFeatures(QDockWidget.DockWidgetFeature.DockWidgetMovable)
            dock.setWidget(InspectorView())
            self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
            self.docks[landmark] = dock
        return self.docks[landmark]
