"""A sortable table of numbers that tells which row was clicked."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

_DISPLAY, _TOOL_TIP = Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole
_ALIGNMENT = Qt.ItemDataRole.TextAlignmentRole
_ROLES = frozenset((_DISPLAY, _TOOL_TIP, _ALIGNMENT))
"""Qt asks for twice as many of every cell that it paints."""
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_MEASURED = 16
"""So many of the longest texts of a column are measured."""
_Index = QModelIndex | QPersistentModelIndex


class _Columns(QAbstractTableModel):
    """Columns of equal length; numbers are shown with four digits and sorted by value.

    It sorts itself: Qt's own model between this and the view asks for everything many times over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []
        self.columns: list[Sequence[Any]] = []
        self.order: list[int] = []
        """Of the rows, by their indices in the columns as they were given."""
        self._by: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def show(self, titles: list[str], columns: list[Sequence[Any]]) -> None:
        """Other columns, or other rows."""
        self.beginResetModel()
        self.titles, self.columns = titles, columns
        self.order = self._sorted()
        self.endResetModel()

    def change(self, columns: list[Sequence[Any]]) -> None:
        """Other values in the same rows and columns."""
        before, self.columns = self.columns, columns
        pairs = enumerate(zip(before, columns, strict=True))
        changed = [k for k, (old, new) in pairs if len(new) and list(old) != list(new)]
        if not changed:
            return
        self.dataChanged.emit(self.index(0, changed[0]), self.index(len(self.order) - 1, changed[-1]))
        if self._by[0] in changed:
            self.sort(*self._by)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the rows by a column, or as they were given (−1); what is selected stays selected."""
        self._by = (column, order)
        self.layoutAboutToBeChanged.emit()
        before, self.order = self.order, self._sorted()
        place = {row: k for k, row in enumerate(self.order)}
        kept = self.persistentIndexList()
        self.changePersistentIndexList(kept, [self.index(place[before[at.row()]], at.column()) for at in kept])
        self.layoutChanged.emit()

    def _sorted(self) -> list[int]:
        rows = list(range(len(self.columns[0]) if self.columns else 0))
        column, order = self._by
        if not 0 <= column < len(self.columns):
            return rows
        values = self.columns[column]
        return sorted(rows, key=lambda row: _key(values[row]), reverse=order == Qt.SortOrder.DescendingOrder)

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008  Qt's own signature
        return 0 if parent.isValid() or not self.columns else len(self.columns[0])

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008  Qt's own signature
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        horizontal = orientation == Qt.Orientation.Horizontal
        return self.titles[section] if horizontal and role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role not in _ROLES:
            return None
        value = self.columns[index.column()][self.order[index.row()]]
        if role == _DISPLAY or (role == _TOOL_TIP and isinstance(value, str)):
            return _text(value)
        return _RIGHT if role == _ALIGNMENT and not isinstance(value, str) else None


def _key(value: Any) -> tuple[bool, Any]:
    """What a value is sorted by: what is missing comes before the numbers, and these before the texts."""
    if isinstance(value, str):
        return True, value
    return False, -math.inf if value is None or math.isnan(value) else float(value)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.4g}"


def _exact(value: Any) -> str:
    """A value as another program reads it: every digit of a number, no tab or line break in a text."""
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else ""
    return " ".join(_text(value).split())


class NumberTable(QTableView):
    """Paints columns of numbers; a click on a header sorts, Ctrl+C copies."""

    row_clicked = Signal(int)
    """Index of the row that was clicked, or chosen by Enter, in the columns as they were given."""

    def __init__(self, name: str, widest_text: int | None = None) -> None:
        """`widest_text` is the width, in px, beyond which texts are cut; their tooltips have them whole."""
        super().__init__()
        self.setAccessibleName(name)
        self._widest_text = widest_text
        self._model = _Columns()
        self.setModel(self._model)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setAlternatingRowColors(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().lineSpacing() + 6)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        copy = QAction("Copy", self)
        copy.setShortcut(QKeySequence(QKeySequence.StandardKey.Copy))
        copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        copy.setToolTip("Copy the selected rows, or the whole table")
        copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(self.tsv()))
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        for signal in (self.clicked, self.activated):
            signal.connect(lambda index: self.row_clicked.emit(self._model.order[index.row()]))

    def show_columns(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Show columns by title; the sorting and the widths a person chose stay."""
        titles, values = list(columns), list(columns.values())
        fresh = titles != self._model.titles
        rows = len(values[0]) if values else 0
        if not fresh and rows == self._model.rowCount():
            self._model.change(values)
            return
        self._model.show(titles, values)
        if fresh:
            self._fit_widths()

    def _fit_widths(self) -> None:
        """Wide enough for any number, or for the texts there are now."""
        metrics, header = self.fontMetrics(), self.horizontalHeader()
        for k, (title, values) in enumerate(zip(self._model.titles, self._model.columns, strict=True)):
            texts = [value for value in values if isinstance(value, str)]
            longest = heapq.nlargest(_MEASURED, texts, key=len)  # to measure thousands would hold the window up
            widest = max((metrics.horizontalAdvance(text) for text in longest), default=0)
            widest = widest if self._widest_text is None else min(widest, self._widest_text)
            number = metrics.horizontalAdvance("-1.234e-05") if len(texts) < len(values) else 0
            if all(value is None or isinstance(value, int) for value in values):
                number = metrics.horizontalAdvance("000")
            self.setColumnWidth(k, max(widest, number, header.fontMetrics().horizontalAdvance(title) + 14) + 14)

    def show_row(self, row: int | None) -> None:
        """Select a row by its index in the columns as they were given."""
        if row is None or row >= self._model.rowCount():
            self.clearSelection()
            return
        index = self._model.index(self._model.order.index(row), 0)
        self.setCurrentIndex(index)
        self.scrollTo(index)

    def tsv(self) -> str:
        """The selected rows, or all where none is, as they are sorted; titles first, values unrounded, tabs between."""
        selected = {self._model.order[index.row()] for index in self.selectionModel().selectedRows()}
        rows = [row for row in self.shown_rows() if row in selected or not selected]
        lines = [self._model.titles, *([_exact(column[row]) for column in self._model.columns] for row in rows)]
        return "\n".join("\t".join(line) for line in lines)

    def shown_rows(self) -> list[int]:
        """Indices of the rows in the order they are painted."""
        return list(self._model.order)

    def cell(self, row: int, title: str) -> str:
        """The text painted for a row, by its index in the columns as they were given."""
        return _text(self._model.columns[self._model.titles.index(title)][row])
