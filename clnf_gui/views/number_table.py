"""A sortable table of numbers that tells which row was clicked."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

_DISPLAY, _SORT = Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.UserRole
_TOOL_TIP, _ALIGNMENT = Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.TextAlignmentRole
_ROLES = frozenset((_DISPLAY, _SORT, _TOOL_TIP, _ALIGNMENT))
"""Qt asks for twice as many of every cell that it paints."""
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_MEASURED = 16
"""So many of the longest texts of a column are measured."""
_Index = QModelIndex | QPersistentModelIndex


class _Columns(QAbstractTableModel):
    """Columns of equal length; numbers are shown with four digits and sorted by value."""

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []
        self.columns: list[Sequence[Any]] = []

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
        value = self.columns[index.column()][index.row()]
        if role == _DISPLAY or (role == _TOOL_TIP and isinstance(value, str)):
            return _text(value)
        if role == _SORT:
            missing = value is None or (not isinstance(value, str) and math.isnan(value))
            return -math.inf if missing else value if isinstance(value, str) else float(value)
        return _RIGHT if role == _ALIGNMENT and not isinstance(value, str) else None


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
        self._sorted = QSortFilterProxyModel()
        self._sorted.setSourceModel(self._model)
        self._sorted.setSortRole(_SORT)
        self.setModel(self._sorted)
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
            signal.connect(lambda index: self.row_clicked.emit(self._sorted.mapToSource(index).row()))

    def show_columns(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Show columns by title; the sorting and the widths a person chose stay."""
        titles, values = list(columns), list(columns.values())
        fresh = titles != self._model.titles
        rows = len(values[0]) if values else 0
        if not fresh and rows == self._model.rowCount():
            before, self._model.columns = self._model.columns, values
            pairs = enumerate(zip(before, values, strict=True))
            if changed := [k for k, (old, new) in pairs if rows and list(old) != list(new)]:
                last = self._model.index(rows - 1, changed[-1])
                self._model.dataChanged.emit(self._model.index(0, changed[0]), last)
            return
        self._model.beginResetModel()
        self._model.titles, self._model.columns = titles, values
        self._model.endResetModel()
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
        index = self._sorted.mapFromSource(self._model.index(row, 0))
        self.setCurrentIndex(index)
        self.scrollTo(index)

    def tsv(self) -> str:
        """The selected rows, or all where none is, as they are sorted; titles first, values unrounded, tabs between."""
        selected = {self._sorted.mapToSource(index).row() for index in self.selectionModel().selectedRows()}
        rows = [row for row in self.shown_rows() if row in selected or not selected]
        lines = [self._model.titles, *([_exact(column[row]) for column in self._model.columns] for row in rows)]
        return "\n".join("\t".join(line) for line in lines)

    def shown_rows(self) -> list[int]:
        """Indices of the rows in the order they are painted."""
        count = self._sorted.rowCount()
        return [self._sorted.mapToSource(self._sorted.index(k, 0)).row() for k in range(count)]

    def cell(self, row: int, title: str) -> str:
        """The text painted for a row, by its index in the columns as they were given."""
        return str(self._model.data(self._model.index(row, self._model.titles.index(title))))
