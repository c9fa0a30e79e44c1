"""The fits of a detection as a tree, one of every lane: what each is, how it ended, and how far it moved landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QKeyCombination, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPalette
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
        self._pale: list[QTreeWidgetItem] = []
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
        opened = {key for key, item in self._items.items() if item.isExpanded()}
        marked = next((key for key, item in self._items.items() if item is self.currentItem()), None)
        self.clear()
        self._items, self._pale = {}, []
        for lane, rows in trees.items():
            above: list[QTreeWidgetItem] = []
            if len(trees) > 1:
                above = [QTreeWidgetItem(self, [f"Lane {lane}"])]
                above[0].setFlags(Qt.ItemFlag.ItemIsEnabled)
            for row in rows:
                del above[row.depth + (len(trees) > 1) :]
                item = QTreeWidgetItem(above[-1] if above else self, _texts(row, truth))
                key = lane, row.node, row.place
                item.setData(0, Qt.ItemDataRole.UserRole, key)
                self._decorate(item, row)
                self._items[key] = item
                above.append(item)
                # What other hypotheses are made of is there for who asks.
                item.setExpanded(row.chosen or key in opened)
            if len(trees) > 1:
                above[0].setExpanded(True)
        self._follow_palette()
        if marked in self._items:
            self.setCurrentItem(self._items[marked])
        for column in range(1, len(TITLES) - 1):
            self.setColumnHidden(column, not self._any(column))
        self.hint.show_text("" if trees else hint)
        self._mirroring = False

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
            self._pale.append(item)

    def _follow_palette(self) -> None:
        """Pale is what is not, and not part of, the result."""
        brush = self.palette().brush(QPalette.ColorRole.PlaceholderText)
        for item in self._pale:
            for column in range(len(TITLES)):
                item.setForeground(column, brush)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._follow_palette()

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
    is_chosen = row.chosen and row.depth == 1 and row.node.hypothesis is not None
    found = error(row, truth)
    return [
        f"{_CHOSEN}{row.title}" if is_chosen else row.title,
        _number(row.likelihood, 3),
        "" if row.iterations is None else str(row.iterations),
        "" if row.moves is None else f"{row.moves.mean():.2f}, {row.moves.max():.2f}",
        "" if found is None else _number(found.mean, 2),
        "" if found is None else _number(found.mean_percent, 2),
        _number(row.certainty, 3),
        "; ".join(filter(None, ("chosen" if is_chosen else "", row.note))),
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}".replace("-", "−")
