"""What the convergence pane shows, and a target line of the person's own."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from clnf_gui.look import Curves, Look
from clnf_gui.panels.look_choice import LookChoice

_TEXTS = {
    Curves.NORM: "update norm and shape change",
    Curves.PARTS: "the four parts of the update",
    Curves.GRADIENT: "the gradient, which vanishes at the optimum",
    Curves.ERROR: "the error, where there is ground truth",
}


class CurveChoice(QWidget):
    """A choice of curves and a target; 0 means none."""

    look_chosen = Signal(object)
    """Look."""

    def __init__(self) -> None:
        super().__init__()
        self._look = Look()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        self.curves = LookChoice("curves", _TEXTS, "Curves")
        self.curves.look_chosen.connect(self.look_chosen)
        self.target = QDoubleSpinBox(decimals=4, maximum=1e6, singleStep=0.005)
        self.target.setSpecialValueText("none")
        self.target.setAccessibleName("Target line")
        self.target.setKeyboardTracking(False)
        self.target.valueChanged.connect(self._emit_target)
        layout.addWidget(self.curves)
        layout.addStretch(1)
        layout.addWidget(QLabel("Target"))
        layout.addWidget(self.target)

    @Slot(float)
    def _emit_target(self, target: float) -> None:
        self.look_chosen.emit(replace(self._look, target=target))

    def show_look(self, look: Look) -> None:
        """Mirror the Session's look."""
        self._look = look
        self.curves.show_look(look)
        if self.target.value() != look.target:  # the same value would be painted again
            blocked = self.target.blockSignals(True)
            self.target.setValue(look.target)
            self.target.blockSignals(blocked)
