"""The command palette: type a few letters of what you want, press Enter."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QPainter, QPalette
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from clnf_gui.commands import COMMANDS, Command

_ACTION, _MENU, _KEYS = (Qt.ItemDataRole.UserRole + k for k in range(3))
_GAP_PX = 8
_SHORTEST = 3
"""Letters of a word from which on they may be scattered over the text."""


_NEEDS = {
    "export_lab_report": "a tool of the Lab that was run",
    "export_track": "a tracked video",
    "undo": "something to take back",
    "redo": "something that was taken back",
    "track": "a video that is not tracked to its end",
    "parting": "a video tracked in two lanes",
    "cancel_tools": "a tool that is running",
    "cancel_opening": "a file that is being opened",
    "swap": "two lanes that are compared",
    "next_file": "an image",
    "previous_file": "an image",
    "pin": "a selected landmark",
}
"""What commands lack that cannot be run, where it is not a fit or a video."""


class Palette(QDialog):
    """Lists the commands that hold every word that was typed, the best first; those that cannot be run now are grey."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        """`actions` are those of `COMMANDS`, by id."""
        super().__init__(parent)
        self.setWindowTitle("Commands")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(480, 420)
        layout = QVBoxLayout(self)
        self.text = QLineEdit(placeholderText="What do you want to do?")
        self.text.setAccessibleName("Command to look for")
        self.list = QListWidget()
        self.list.setAccessibleName("Commands found")
        self.list.setItemDelegate(_Row(self.list))
        self.list.setUniformItemSizes(True)
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
        ranks = {command.id: rank(text, f"{command.menu} {command.text}") for command in COMMANDS}
        found = [command for command in COMMANDS if ranks[command.id] is not None and command.id in self._actions]
        for command in sorted(found, key=lambda command: ranks[command.id] or 0):
            self.list.addItem(self._item(command))
        first = (k for k in range(self.list.count()) if self.list.item(k).flags() & Qt.ItemFlag.ItemIsEnabled)
        self.list.setCurrentRow(next(first, 0))

    def _item(self, command: Command) -> QListWidgetItem:
        action = self._actions[command.id]
        item = QListWidgetItem(action.text())
        item.setData(_ACTION, action)
        item.setData(_MENU, command.menu)
        item.setData(_KEYS, action.shortcut().toString(QKeySequence.SequenceFormat.NativeText))
        if action.isEnabled():
            item.setToolTip(command.about)
        else:
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
            item.setToolTip(missing(command))
        return item

    def _run(self) -> None:
        item = self.list.currentItem()
        if item is not None and item.flags() & Qt.ItemFlag.ItemIsEnabled:
            action: QAction = item.data(_ACTION)
            self.accept()
            action.trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and down move through what can be run while the text keeps the focus."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
            if step is not None:
                row = self.list.currentRow() + step
                while 0 <= row < self.list.count():
                    if self.list.item(row).flags() & Qt.ItemFlag.ItemIsEnabled:
                        self.list.setCurrentRow(row)
                        break
                    row += step
                return True
        return super().eventFilter(watched, event)


def rank(typed: str, text: str) -> int | None:
    """How well a text answers to what was typed, 0 best; None where it does not.

    Every word that was typed has to begin a word of the text (0), stand inside of one (1), or at least have its letters
    there in their order (5), in whatever order the words are.
    """
    text, total = text.lower(), 0
    for word in typed.lower().split():
        if any(part.startswith(word) for part in text.replace(",", " ").split()):
            continue
        if word in text:
            total += 1
        elif len(word) >= _SHORTEST and _scattered(word, text):
            total += 5
        else:
            return None
    return total


def missing(command: Command) -> str:
    """Why a command cannot be run, for one that cannot; "" where that is not known."""
    need = _NEEDS.get(command.id, "a video" if command.menu == "Video" else "a fit" if command.needs_steps else "")
    return f"Needs {need}" if need else ""


def _scattered(word: str, text: str) -> bool:
    letters = iter(text)
    return all(letter in letters for letter in word)


class _Row(QStyledItemDelegate):
    """A command: its menu, faint; its text; its shortcut at the right."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        style = option.widget.style() if option.widget is not None else QApplication.style()
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        enabled = bool(option.state & QStyle.StateFlag.State_Enabled)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        group = QPalette.ColorGroup.Active if enabled else QPalette.ColorGroup.Disabled
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.Text
        colour = option.palette.color(group, role)
        faint = option.palette.color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Text)
        area = option.rect.adjusted(_GAP_PX, 0, -_GAP_PX, 0)
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.save()
        painter.setPen(colour if selected else faint)
        painter.drawText(area, int(middle), str(index.data(_MENU)))
        painter.setPen(colour)
        painter.drawText(area.adjusted(self._menu_width(option), 0, 0, 0), int(middle), str(index.data()))
        painter.drawText(area, int(middle | Qt.AlignmentFlag.AlignRight), str(index.data(_KEYS)))
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(320, option.fontMetrics.lineSpacing() + 6)

    @staticmethod
    def _menu_width(option: QStyleOptionViewItem) -> int:
        """Room for the longest name of a menu."""
        widest = max(option.fontMetrics.horizontalAdvance(menu) for menu in {command.menu for command in COMMANDS})
        return widest + 2 * _GAP_PX
