"""A message that stays in the window until it is closed; the window remains usable."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton

from clnf_gui.commands import command

_STYLE = "#messageBar {{ background: {}; border-radius: 4px; }} #messageBar QLabel {{ color: white; }}"


class MessageBar(QFrame):
    """One sentence, a way to copy its details, and a way to close it."""

    command_wanted = Signal(str)
    """Id of a command."""

    def __init__(self) -> None:
        super().__init__()
        self._message, self._details, self._alarm, self._command = "", "", False, ""
        self.setObjectName("messageBar")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 5, 6, 5)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout.addWidget(self.text, 1)
        self.help_button = QPushButton()
        self.help_button.clicked.connect(self._ask_for_help)
        layout.addWidget(self.help_button)
        self.copy_button = QPushButton("Copy details")
        self.copy_button.clicked.connect(self._copy)
        layout.addWidget(self.copy_button)
        self.close_button = QToolButton()
        self.close_button.setText("✕")
        self.close_button.setToolTip("Close this message")
        self.close_button.clicked.connect(self.hide)
        layout.addWidget(self.close_button)
        self._noted = ""
        self.hide()

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._details)

    @Slot()
    def _ask_for_help(self) -> None:
        self.command_wanted.emit(self._command)

    def show_note(self, note: str, help_command: str) -> None:
        """Show a sentence that is no alarm, once, and the command that helps; "" takes it away."""
        if note == self._noted:
            return
        self._noted = note
        if note:
            self._command = help_command
            self.help_button.setText(command(help_command).text)
            self._show(note, "", alarm=False)
        elif not self._alarm:
            self.hide()

    def show_message(self, message: str, details: str) -> None:
        """Show a sentence; `details` is what "Copy details" copies."""
        self._show(message, details, alarm=True)

    def take_back(self, message: str) -> None:
        """Hide a sentence that is true no more, if it is the one that is shown."""
        if self._alarm and self._message == message:
            self.hide()

    def _show(self, message: str, details: str, alarm: bool) -> None:
        self._alarm, self._message, self._details = alarm, message, f"{message}\n\n{details}".strip()
        self.setStyleSheet(_STYLE.format("#8a2a1d" if alarm else "#2f5d8a"))
        self.text.setText(message[:1].upper() + message[1:] if message.islower() else message)
        self.copy_button.setVisible(alarm)
        self.help_button.setVisible(not alarm)
        self.show()
