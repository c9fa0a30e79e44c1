"""The dialog that shows how a port connects to the window."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

_INTRODUCTION = (
    "This window listens. Let your port record with clnf_recorder, as <i>docs/recorders.md</i> tells, and give the "
    "recorder this address in one of these ways. Its steps appear here while it computes them."
)
_NOTE = (
    "Only programs of this machine that know the part behind the # can connect; the address holds until you stop "
    "following. Without <i>hold</i> the port starts running, and you can hold it at any step."
)


def ways(address: str) -> dict[str, str]:
    """How the address is given to a recorder, by what it is written in."""
    return {
        "Address": address,
        "Python": f'rec = Recorder("run", stream="{address}", hold=True)',
        "C++": f'rec.stream("{address}", true);',
        "Shell": f"CLNF_RECORD=run CLNF_STREAM={address} ./port",
    }


class FollowDialog(QDialog):
    """The address and the lines that connect, each to be copied; the window remains usable.

    Attributes
    ----------
    lines : dict of str to QLineEdit
    copy_buttons : dict of str to QPushButton
    """

    def __init__(self, address: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Follow a port")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(900, 0)
        layout = QVBoxLayout(self)
        layout.addWidget(_text(_INTRODUCTION))
        grid = QGridLayout()
        self.lines: dict[str, QLineEdit] = {}
        self.copy_buttons: dict[str, QPushButton] = {}
        for row, (name, line) in enumerate(ways(address).items()):
            self.lines[name] = field = QLineEdit(line)
            field.setReadOnly(True)
            field.setAccessibleName(name)
            field.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
            field.setCursorPosition(0)
            self.copy_buttons[name] = copy = QPushButton("Copy")
            copy.setAccessibleName(f"Copy: {name}")
            copy.setAutoDefault(False)
            copy.clicked.connect(partial(_copy, line))
            for column, widget in enumerate((QLabel(name), field, copy)):
                grid.addWidget(widget, row, column)
        layout.addLayout(grid)
        layout.addWidget(_text(_NOTE))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    @Slot(object)
    def leave(self, _: object) -> None:
        """A port has connected: there is nothing more to show."""
        self.accept()


def _text(words: str) -> QLabel:
    label = QLabel(words)
    label.setWordWrap(True)
    return label


def _copy(line: str) -> None:
    QGuiApplication.clipboard().setText(line)
