"""The command palette: type a few letters of what you want, press Enter."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget


class Palette(QDialog):
    """Lists the actions whose text holds every word that was typed."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Commands")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(440, 420)
        layout = QVBoxLayout(self)
        self.text = QLineEdit(placeholderText="What do you want to do?")
        self.text.setAccessibleName("Command to look for")
        self.list = QListWidget()
        self.list.setAccessibleName("Commands found")
        layout.addWidget(self.text)
        layout.addWidget(self.list)
        self._actions = actions
        self.text.textChanged.connect(self._find)
        self.text.returnPressed.connect(self._run)
        self.text.installEventFilter(self)
        self.list.itemActivated.connect(self._run)
        self._find("")

    def _find(self, text: str) -> None:
        self.list.clear()
        words = text.lower().split()
        for action in self._actions.values():
            if action.isEnabled() and all(word in action.text().lower() for word in words):
                keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
                item = QListWidgetItem(f"{action.text()}    {keys}" if keys else action.text())
                item.setData(Qt.ItemDataRole.UserRole, action)
                self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _run(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            action: QAction = item.data(Qt.ItemDataRole.UserRole)
            self.accept()
            action.trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and down move through the list while the text keeps the focus."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
            if step is not None:
                row = self.list.currentRow() + step
                self.list.setCurrentRow(min(max(row, 0), self.list.count() - 1))
                return True
        return super().eventFilter(watched, event)
