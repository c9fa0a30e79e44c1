"""Which frames are listed as the worst."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox

from clnf_gui.look import Look, Worst

_TEXTS = {
    Worst.JUMP: "Largest jump",
    Worst.LIKELIHOOD: "Lowest log-likelihood",
    Worst.UNSETTLED: "Least converged",
    Worst.LOST: "Lost or without a face",
    Worst.APART: "A and B differ most",
}


class WorstChoice(QComboBox):
    """The kinds of worst frames; the last one while two lanes are compared."""

    look_chosen = Signal(object)
    """Look."""

    def __init__(self) -> None:
        super().__init__()
        self._look = Look()
        self.setAccessibleName("Worst frames")
        for kind, text in _TEXTS.items():
            self.addItem(text, str(kind))
        self.activated.connect(lambda: self.look_chosen.emit(replace(self._look, worst=Worst(self.currentData()))))

    def show_look(self, look: Look) -> None:
        """Mirror the Session's look."""
        self._look = look
        self.setCurrentIndex(self.findData(str(look.worst)))
