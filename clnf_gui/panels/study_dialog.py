"""The dialog that starts a study: photos, ways to fit them, and where the results go."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

_STARTS = {
    "detector": "the face that the detector finds",
    "box": "the box around the true landmarks",
    "box:0.1": "that box, moved and scaled at random by up to a tenth",
    "landmarks": "the true landmarks",
}
_INTRODUCTION = (
    "Every photo of a folder is fitted in every combination of these options. A <tt>.pts</tt> file beside a photo is "
    "its truth. What is done is kept: the same study goes on from where it was stopped, and another one adds to it."
)


class StudyDialog(QDialog):
    """Asks what is to be fitted in which ways, and shows the command that does it.

    Attributes
    ----------
    data, results : QLineEdit
    axes : QPlainTextEdit
        An option and its values a line.
    start : QComboBox
    command : QLineEdit
        To be copied.
    """

    wanted = Signal(object, object)
    """Words after ``clnf``, and the folder of the results."""

    def __init__(self, folder: str, model: Path | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Run a study")
        self.resize(760, 0)
        self._model = model
        beside = Path(folder).with_name(f"{Path(folder).name}-study") if Path(folder).name else ""
        self.data, self.results = QLineEdit(folder), QLineEdit(str(beside))
        self.axes = QPlainTextEdit("sigma=1,1.5,2\nnormalization=none,peak")
        self.axes.setFixedHeight(4 * self.fontMetrics().lineSpacing() + 12)
        self.axes.setTabChangesFocus(True)
        self.start = QComboBox()
        for name, text in _STARTS.items():
            self.start.addItem(text, name)
        self.command = QLineEdit(readOnly=True)
        self.command.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        form = QFormLayout(self)
        introduction = QLabel(_INTRODUCTION)
        introduction.setWordWrap(True)
        form.addRow(introduction)
        form.addRow("Photos", self._with_button(self.data, "Photos of the study"))
        form.addRow("Options and their values", self.axes)
        form.addRow("Starts", self.start)
        form.addRow("Results", self._with_button(self.results, "Results of the study"))
        form.addRow("The same by", self.command)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setText("Run")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form.addRow(self.buttons)
        named = {"Photos": self.data, "Options": self.axes, "Starts": self.start, "Results": self.results}
        for name, widget in named.items():
            widget.setAccessibleName(name)
        self.command.setAccessibleName("Command")
        for signal in (self.data.textChanged, self.results.textChanged, self.axes.textChanged, self.start.activated):
            signal.connect(self._show_command)
        self._show_command()

    def _with_button(self, field: QLineEdit, title: str) -> QWidget:
        """A field for a folder, and a button that asks for one."""
        both, button = QWidget(), QPushButton("Choose…")
        row = QHBoxLayout(both)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(field, 1)
        row.addWidget(button)
        button.setAutoDefault(False)
        button.setAccessibleName(f"Choose: {title}")
        button.clicked.connect(self._asking(field, title))
        return both

    def _asking(self, field: QLineEdit, title: str) -> Callable[[], None]:
        def ask() -> None:
            path = QFileDialog.getExistingDirectory(self, title, field.text())
            if path:
                field.setText(path)

        return ask

    @property
    def words(self) -> list[str]:
        """What follows ``clnf``."""
        axes = [line.strip() for line in self.axes.toPlainText().splitlines() if line.strip()]
        model = [] if self._model is None else ["--model", str(self._model)]
        start = str(self.start.currentData())
        starts = [] if start == "detector" else ["--start", start]
        grid = [word for axis in axes for word in ("-G", axis)]
        return ["study", "run", self.data.text(), "-o", self.results.text(), *model, *starts, *grid]

    @Slot()
    def _show_command(self) -> None:
        self.command.setText(shlex.join(["clnf", *self.words]))
        self.command.setCursorPosition(0)
        can = bool(self.data.text().strip() and self.results.text().strip())
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(can)

    def accept(self) -> None:
        """Run the study."""
        self.wanted.emit(self.words, Path(self.results.text()))
        super().accept()
