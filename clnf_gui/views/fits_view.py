"""The fits of a detection as a tree, one of every lane: what each is, how it ended, and how far it moved landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QKeyCombination, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from clnf_engine.arrays import Floats
from clnf_engine.detection.tree import Node, Row, error
from clnf_engine.steps import Place
from clnf_gui.views.hint import Hint

TITLES = ("fit", "log-likelihood", "iterations", "moved px: mean, most", "error px", "error %", "certainty", "")
_TIPS = (
    "A click shows a fit; then step through it like any other",
    "Of the last phase; a part's cannot be compared with that of the whole",
    "Of all phases of all stages",
    "How far landmarks of the face went from where they were before",
    "Mean distance from the true landmarks; of a part from those that it shares with the face",
    "The same, of the distance of the outer eye corners",
    "Of the validator: −1 is surely a face, 1 surely none",
    "",
)
_TURNS = tuple(QKeyCombination(key) for key in (Qt.Key.Key_Up, Qt.Key.Key_Down))
_CHOSEN = "● "
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class FitsView(QTreeWidget):
    """Paints the tree of every lane; a click, or the arrow keys, choose a fit."""

    node_chosen = Signal(str, object, object)
    """Lane, Node, and Place or None."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Fits of the detection")
        self.setColumnCount(len(TITLES))
        self.setHeaderLabels(TITLES)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setUniformRowHeights(True)
        head = self.headerItem()
        for column, tip in enumerate(_TIPS):
            head.setToolTip(column, tip)
            if column:
                head.setTextAlignment(column, _RIGHT)
        self.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.header().setStretchLastSection(True)
        self.hint = Hint(self)
        self._items: dict[tuple[str, Node, Place | None], QTreeWidgetItem] = {}
        self._mirroring = False
        self.currentItemChanged.connect(self._choose)
        self.itemClicked.connect(self._choose)

    def show_trees(self, trees: Mapping[str, Sequence[Row]], truth: Floats | None, hint: str) -> None:
        """Paint the rows of the lanes, a tree each; where there are none, a hint.

        Parameters
        ----------
        trees : mapping of str to sequence of Row
            By lane.
        truth : (n, 2) float64 or None
            True landmarks of the face, image px.
        hint : str
        """
        self._mirroring = True
        self.clear()
        self._items = {}
        for lane, rows in trees.items():
            above: list[QTreeWidgetItem] = []
            if len(trees) > 1:
                above = [QTreeWidgetItem(self, [f"Lane {lane}"])]
                above[0].setFlags(Qt.ItemFlag.ItemIsEnabled)
            for row in rows:
                del above[row.depth + (len(trees) > 1) :]
                item = QTreeWidgetItem(above[-1] if above else self, _texts(row, truth))
                item.setData(0, Qt.ItemDataRole.UserRole, (lane, row.node, row.place))
                self._decorate(item, row)
                self._items[lane, row.node, row.place] = item
                above.append(item)
            self._unfold(rows, lane)
        for column, shown in ((4, truth is not None), (5, truth is not None), (6, self._any(6))):
            self.setColumnHidden(column, not shown)
        self.hint.show_text("" if trees else hint)
        self._mirroring = False

    def _unfold(self, rows: Sequence[Row], lane: str) -> None:
        """Show what the result is made of; what other hypotheses are made of is there for who asks."""
        for row in rows:
            item = self._items[lane, row.node, row.place]
            item.setExpanded(row.chosen)
            if (above := item.parent()) is not None and row.depth == 0:
                above.setExpanded(True)

    def _any(self, column: int) -> bool:
        return any(item.text(column) for item in self._items.values())

    def _decorate(self, item: QTreeWidgetItem, row: Row) -> None:
        for column in range(1, len(TITLES) - 1):
            item.setTextAlignment(column, _RIGHT)
        for column in (0, len(TITLES) - 1):
            item.setToolTip(column, row.note)
        font = QFont(self.font())
        if row.depth == 0:
            font.setBold(True)
        for column in range(len(TITLES)):
            item.setFont(column, font)
        if not row.chosen:
            for column in range(len(TITLES)):
                item.setForeground(column, self.palette().brush(self.palette().ColorRole.PlaceholderText))

    def show_node(self, lane: str, node: Node, place: Place, at_end: bool) -> None:
        """Mark the fit that is shown, or the moment after it at which the cursor stands; it may be the run's end."""
        whole = self._items.get((lane, node, None))
        shown = self._items.get((lane, node, place)) or whole
        if at_end and whole is not None and whole is self.currentItem():
            shown = whole  # which ends where its last row does
        self._mirroring = True
        if shown is None:
            self.clearSelection()
        else:
            self.setCurrentItem(shown)
            self.scrollToItem(shown)
        self._mirroring = False

    def event(self, event: QEvent) -> bool:
        """The keys up and down go from row to row here, and not from phase to phase."""
        override = event.type() == QEvent.Type.ShortcutOverride
        if override and isinstance(event, QKeyEvent) and event.keyCombination() in _TURNS:
            event.accept()
            return True
        return bool(super().event(event))

    def rows_shown(self) -> list[list[str]]:
        """The texts of all rows from above, for those who read them."""
        return [[item.text(column) for column in range(len(TITLES))] for item in self._items.values()]

    def _choose(self, item: QTreeWidgetItem | None, _: object = None) -> None:
        key = None if item is None else item.data(0, Qt.ItemDataRole.UserRole)
        if key is not None and not self._mirroring:
            self.node_chosen.emit(*key)


def _texts(row: Row, truth: Floats | None) -> list[str]:
    several = row.title.startswith("Hypothesis")
    found = error(row, truth)
    return [
        f"{_CHOSEN}{row.title}" if several and row.chosen else row.title,
        _number(row.likelihood, 3),
        "" if row.iterations is None else str(row.iterations),
        "" if row.moves is None else f"{row.moves.mean():.2f}, {row.moves.max():.2f}",
        "" if found is None else _number(found.mean, 2),
        "" if found is None else _number(found.mean_percent, 2),
        _number(row.certainty, 3),
        ("chosen" if several and row.chosen else "") + ("; " if several and row.chosen and row.note else "") + row.note,
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}".replace("-", "−")
