"""A study: its verdict and variants, every face of two of them as a figure, and the faces that are listed."""

from __future__ import annotations

from html import escape
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QSplitter, QTextEdit, QVBoxLayout, QWidget

from clnf_engine.studies.faces import Beside, Filter
from clnf_engine.studies.statistics import Indices
from clnf_engine.studies.summary import Summary
from clnf_gui.theme import VERMILION
from clnf_gui.views.error_curves import ErrorCurves
from clnf_gui.views.face_scatter import FaceScatter
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.pages import Pages

_LISTED = 2000
"""More faces are not looked through by hand; an export has them all."""
_WIDEST_TEXT_PX = 190
_SHARES = (38, 29, 33)
_NONE = (
    "No study is open. <i>Open…</i> or a folder of results dropped here shows one; <i>Run…</i> fits a folder of photos "
    "in many ways, as <tt>clnf study run FACES -o RESULTS -G sigma=1,1.5,2</tt> does."
)


class StudyView(QSplitter):
    """Paints a study; a click on a variant compares it with A, a click on a face opens it."""

    variant_clicked = Signal(int)
    pair_clicked = Signal(int)
    pair_hovered = Signal(object)
    """Number of a pair, or None."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.words = QTextEdit(readOnly=True)
        self.words.setAccessibleName("Verdict of the study")
        self.words.setFrameShape(QFrame.Shape.NoFrame)
        self.words.viewport().setAutoFillBackground(False)
        self.variants = NumberTable("Variants of the study", _WIDEST_TEXT_PX)
        self.variants.row_clicked.connect(self.variant_clicked)
        left = QSplitter(Qt.Orientation.Vertical)
        left.addWidget(self.words)
        left.addWidget(self.variants)
        left.setSizes([80, 160])
        self.scatter, self.curves, self.figures = FaceScatter(), ErrorCurves(), Pages("Figure of the study")
        self.scatter.pair_clicked.connect(self.pair_clicked)
        self.scatter.pair_hovered.connect(self.pair_hovered)
        self.figures.show_pages([("Every face", self.scatter, "click: open it"), ("Cumulative error", self.curves, "")])
        self.faces = NumberTable("Faces of the study", _WIDEST_TEXT_PX)
        self.faces.row_clicked.connect(lambda row: self.pair_clicked.emit(self._listed[row]))
        self.faces.viewport().setCursor(Qt.CursorShape.PointingHandCursor)
        self.note = QLabel(wordWrap=True)
        self.note.setContentsMargins(4, 2, 4, 2)
        right = QWidget()
        layout = QVBoxLayout(right)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.note)
        layout.addWidget(self.faces, 1)
        for k, (part, share) in enumerate(zip((left, self.figures, right), _SHARES, strict=True)):
            part.setMinimumWidth(150)
            self.addWidget(part)
            self.setStretchFactor(k, share)
            self.setCollapsible(k, False)
        self.setSizes([10 * share for share in _SHARES])
        self._listed: list[int] = []
        self.show_summary(None, 0)

    def show_summary(self, summary: Summary | None, b: int) -> None:
        """Paint the verdict and the variants."""
        if summary is None:
            self.words.setHtml(f"<p>{_NONE}</p>")
            self.variants.show_columns({})
            self.curves.show_summary(None, 0)
            return
        note = summary.columns.note
        words = f'<p style="font-weight: bold">{escape(summary.verdict)}</p>'
        words += f'<p style="color: {VERMILION}">{escape(note)}</p>' if note else ""
        self.words.setHtml(words)
        table = summary.variant_table()
        self.words.setToolTip(summary.provenance)
        self.variants.show_columns({title: [row[k] for row in table.rows] for k, title in enumerate(table.columns)})
        self.variants.show_row(b)
        self.curves.show_summary(summary, b)

    def show_faces(self, faces: Beside | None, listed: Indices, wanted: Filter, what: str) -> None:
        """Paint the faces of two variants, and those that are listed."""
        self.scatter.show_faces(faces, what)
        self.list_faces(faces, listed, wanted)

    def list_faces(self, faces: Beside | None, listed: Indices, wanted: Filter) -> None:
        """Paint the faces that are listed."""
        self._listed = [] if faces is None else listed[:_LISTED].tolist()
        self.faces.show_columns({} if faces is None else _columns(faces, self._listed, wanted))
        self.faces.scrollToTop()

    def show_pair(self, pair: int | None, note: str) -> None:
        """Mark the face that the lanes show, of whose fits there is a note."""
        self.note.setText(note)
        self.note.setVisible(bool(note))
        self.scatter.show_pair(pair)
        self.faces.show_row(self._listed.index(pair) if pair in self._listed else None)


def _columns(faces: Beside, listed: list[int], wanted: Filter) -> dict[str, list[Any]]:
    """Where each listed face is, its values in A and B, and what failed where that is what is asked for."""
    unit = faces.unit or "log-likelihood"
    texts = {"face": [faces.face_text(pair) for pair in listed]}
    columns: dict[str, list[Any]] = dict(texts)
    columns[f"B − A, {unit}" if faces.has_truth else "apart, px"] = faces.change[listed].tolist()
    for k, lane in enumerate("AB"):
        columns[f"{lane}, {unit}"] = faces.values[k, listed].tolist()
    if wanted is Filter.FAILED:
        for k, lane in enumerate("AB"):
            columns[f"{lane} failed"] = [faces.failures(pair)[k] for pair in listed]
    return columns
