"""The shortcuts, by menu, in a dialog that fits any screen."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from clnf_gui.commands import Command

_SHARE = 0.8
"""Part of the screen that the dialog takes at most."""
_GAP_PX = 10


class ShortcutsDialog(QDialog):
    """A group for every menu, in two columns where they fit; it scrolls, and Close is always in sight.

    Attributes
    ----------
    groups : list of QGroupBox
        One for every menu that has shortcuts.
    """

    def __init__(
        self, commands: Iterable[Command], parent: QWidget | None = None, available: QRect | None = None
    ) -> None:
        """`available` is the part of the screen that windows may take; by default, that of the parent's screen."""
        super().__init__(parent)
        self.setWindowTitle("Shortcuts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        by_menu: dict[str, list[Command]] = {}
        for command in commands:
            if command.shortcut:
                by_menu.setdefault(command.menu, []).append(command)
        self.groups = [_group(menu, rows) for menu, rows in by_menu.items()]
        self._page = QWidget()
        self._row = QHBoxLayout(self._page)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(_GAP_PX)
        self._columns = 0
        self.area = QScrollArea()
        self.area.setWidget(self._page)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setAccessibleName("Shortcuts by menu")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.buttons.rejected.connect(self.reject)
        self._layout = QVBoxLayout(self)
        self._layout.addWidget(self.area, 1)
        self._layout.addWidget(self.buttons)
        self.area.setFocus()
        self._fit(available if available is not None else (parent or self).screen().availableGeometry())

    def _fit(self, available: QRect) -> None:
        """Begin with the size that shows everything, if the screen has it."""
        margins = self._layout.contentsMargins()
        self._sides = margins.left() + margins.right() + self.area.verticalScrollBar().sizeHint().width() + 2
        self._widest = max(group.sizeHint().width() for group in self.groups)
        width, height = (int(_SHARE * side) for side in (available.width(), available.height()))
        self.setMaximumHeight(height)
        columns = self._columns_in(width)
        self._arrange(columns)
        rest = margins.top() + margins.bottom() + self._layout.spacing() + self.buttons.sizeHint().height()
        needed = columns * self._widest + (columns - 1) * _GAP_PX + self._sides
        self.resize(min(needed, width), min(self._page.sizeHint().height() + rest, height))

    def _columns_in(self, width: int) -> int:
        """How many columns a dialog of this width has."""
        return 2 if width >= 2 * self._widest + _GAP_PX + self._sides else 1

    def _arrange(self, columns: int) -> None:
        """Share the groups out so that the columns are about equally high."""
        if columns == self._columns:
            return
        self._columns = columns
        while (item := self._row.takeAt(0)) is not None:
            if (old := item.layout()) is not None:
                while old.takeAt(0) is not None:
                    pass
                old.deleteLater()
        heights = [group.sizeHint().height() for group in self.groups]
        column, filled = QVBoxLayout(), 0
        self._row.addLayout(column, 1)
        for group, height in zip(self.groups, heights, strict=True):
            if self._row.count() < columns and filled + height / 2 > sum(heights) / columns:
                column.addStretch(1)
                column, filled = QVBoxLayout(), 0
                self._row.addLayout(column, 1)
            column.addWidget(group)
            group.show()
            filled += height
        column.addStretch(1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(self._columns_in(self.width()))


def _group(menu: str, commands: Iterable[Command]) -> QGroupBox:
    """A table of keys and what they do."""
    group = QGroupBox(menu)
    grid = QGridLayout(group)
    grid.setVerticalSpacing(1)
    grid.setColumnStretch(1, 1)
    for row, command in enumerate(commands):
        keys, text = QLabel(command.keys), QLabel(command.text.rstrip("…"))
        keys.setStyleSheet("font-weight: bold")
        text.setToolTip(command.about)
        grid.addWidget(keys, row, 0)
        grid.addWidget(text, row, 1)
    return group
