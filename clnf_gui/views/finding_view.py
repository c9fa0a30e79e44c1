"""A finding: the question and its verdict, then the evidence as tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import (
    QFrame,
    QSplitter,
    QTextEdit,
)

from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Finding, Link, Plot, Strip, Table
from clnf_engine.initial import Initial
from clnf_engine.steps import Place
from clnf_gui.theme import VERMILION
from clnf_gui.views.evaluation_view import EvaluationView
from clnf_gui.views.finding_plot import FindingPlot
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.pages import Pages
from clnf_gui.views.strip_view import StripView

if TYPE_CHECKING:
    from clnf_engine.checking.evaluation import Evaluation

_WIDEST_TEXT_PX = 175
_SHARES, _SHARES_OF_STRIPS = (26, 44, 30), (19, 40, 41)
"""Of words, tables and figures, in percent; the values of a cell of a strip are three figures."""
_CELL_HINT = "click: its values"
_HINTS = {
    int: "click: select the landmark",
    str: "click: lane B with it alone",
    tuple: "click: go to the step",
    Initial: "click: start from there",
}


class FindingView(QSplitter):
    """Paints a finding; a click on a row of its tables, or on a cell of its strips, tells what that is about."""

    link_clicked = Signal(object)
    """Link."""
    cell_clicked = Signal(str, object)
    """Row of a strip, and place."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.words = QTextEdit(readOnly=True)
        self.words.setAccessibleName("Verdict")
        self.words.setFrameShape(QFrame.Shape.NoFrame)
        self.words.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.words.viewport().setAutoFillBackground(False)
        self.tables, self.plots = Pages("Table"), Pages("Figure")
        for k, (part, share) in enumerate(zip((self.words, self.tables, self.plots), _SHARES, strict=True)):
            part.setMinimumWidth(150)
            self.addWidget(part)
            self.setStretchFactor(k, share)
            self.setCollapsible(k, False)
        self.setSizes([10 * share for share in _SHARES])
        self._words = ""
        self._finding: Finding | None = None
        self._links: list[tuple[NumberTable, tuple[Link | None, ...]]] = []
        self._strips: list[StripView] = []
        self.evaluation: EvaluationView | None = None
        self.tables.show_pages([])
        self.plots.show_pages([])

    def show_finding(
        self,
        question: str,
        verdict: str,
        finding: Finding | None,
        tables: Sequence[Table],
        plots: Sequence[Plot],
        strips: Sequence[Strip],
        note: str,
    ) -> None:
        """Paint a finding and its verdict, or that there is none yet; `note` is said about either."""
        words = f"<p>{escape(question)}</p>"
        if note:
            words += f'<p style="color: {VERMILION}">{escape(note)}</p>' if finding else f"<p>{escape(note)}</p>"
        if finding is not None:
            words += f'<p style="font-weight: bold">{escape(verdict)}</p>'
            words += f'<p style="font-size: small">{escape(finding.provenance)}</p>'
        if words != self._words:
            self._words = words
            self.words.setHtml(words)
        if finding is self._finding:
            return
        self._finding = finding
        self._links = []
        if bool(strips) != bool(self._strips):
            self.setSizes([self.width() * share // 100 for share in (_SHARES_OF_STRIPS if strips else _SHARES)])
        self._strips = [self._strip(strip) for strip in strips]
        self.evaluation = EvaluationView() if strips else None
        beside = [("Recorded, recomputed, difference", self.evaluation, "")] if self.evaluation is not None else []
        pages = [(strip.title, view, _CELL_HINT) for strip, view in zip(strips, self._strips, strict=True)]
        self.tables.show_pages([*pages, *((table.title, self._table(table), _hint(table)) for table in tables)])
        self.plots.show_pages([*beside, *((plot.title, FindingPlot(plot, self.palette()), "") for plot in plots)])

    def _strip(self, strip: Strip) -> StripView:
        view = StripView(strip)
        view.cell_clicked.connect(self.cell_clicked)
        return view

    def _table(self, table: Table) -> NumberTable:
        view = NumberTable(table.title, _WIDEST_TEXT_PX)
        columns = {title: [row[k] for row in table.rows] for k, title in enumerate(table.columns)}
        view.show_columns(columns)
        if table.links:
            self._links.append((view, table.links))
            view.row_clicked.connect(partial(self._follow, table.links))
            view.viewport().setCursor(Qt.CursorShape.PointingHandCursor)
        return view

    def _follow(self, links: tuple[Link | None, ...], row: int) -> None:
        if links[row] is not None:
            self.link_clicked.emit(links[row])

    def show_evaluation(
        self, operation: str, found: Evaluation | None, note: str, landmark: int | None, points: Floats | None
    ) -> None:
        """Paint the values of a cell of a strip, beside it."""
        if self.evaluation is not None:
            self.evaluation.show_evaluation(operation, found, note, landmark, points)

    def show_cursor(self, landmark: int | None, place: Place, row: str) -> None:
        """Mark the rows about the selected landmark and about the place of the cursor, and a row of strips."""
        for strip in self._strips:
            strip.show_cursor(row, place)
        for view, links in self._links:
            for wanted in (landmark, place):
                if wanted in links and wanted is not None:
                    view.show_row(links.index(wanted))


def _hint(table: Table) -> str:
    """What a click on a row does."""
    return next((_HINTS[type(link)] for link in table.links if link is not None), "")
