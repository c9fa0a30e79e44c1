"""The dialog in which a person writes down when to stop."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from clnf_engine import ClnfError
from clnf_engine.stops import EXAMPLES, Stop, parse_stop


class StopDialog(QDialog):
    """One condition a line; what cannot be understood is said below, and nothing is lost."""

    stops_chosen = Signal(object)
    """Tuple of Stop."""

    def __init__(self, stops: tuple[Stop, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Stop when")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(420, 360)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Run and play stop at the first step at which any of these holds:"))
        self.text = QPlainTextEdit("\n".join(stop.text for stop in stops))
        self.text.setAccessibleName("Stop conditions, one a line")
        layout.addWidget(self.text)
        examples = QLabel("For example:\n    " + "\n    ".join(EXAMPLES))
        examples.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout.addWidget(examples)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet("color: #c62828")
        layout.addWidget(self.problem)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)

    def accept(self) -> None:
        lines = [line for line in self.text.toPlainText().splitlines() if line.strip()]
        try:
            stops = tuple(parse_stop(line) for line in lines)
        except ClnfError as error:
            self.problem.setText(str(error).split(": expected")[0] + " is not a condition of a form shown above")
            return
        self.stops_chosen.emit(stops)
        super().accept()
