"""What of a study is looked at: two variants, a region of the face, and which faces are listed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from clnf_engine.ibug68 import REGIONS
from clnf_engine.studies.faces import Filter
from clnf_gui.commands import command
from clnf_gui.session.studies import Studies

_FILTERS = {
    Filter.CHANGED: "changed most",
    Filter.WORSE: "got worse from A to B",
    Filter.BETTER: "got better from A to B",
    Filter.WORST_A: "worst in A",
    Filter.WORST_B: "worst in B",
    Filter.FAILED: "failed",
    Filter.ALL: "all faces",
}
_NAME_CHARACTERS = 14


class StudyBar(QWidget):
    """A row of choices; it mirrors the Session and emits intents."""

    a_chosen, b_chosen = Signal(int), Signal(int)
    region_chosen = Signal(str)
    filter_chosen = Signal(object)
    """Filter."""
    command_wanted = Signal(str)
    """Id of a command."""

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.setSpacing(4)
        self.a, self.b = self._variant("A"), self._variant("B")
        self.a.activated.connect(self.a_chosen)
        self.b.activated.connect(self.b_chosen)
        self.region = _combo("Region whose errors are compared")
        for name in ("", *REGIONS):
            self.region.addItem(name or "all landmarks", name)
        self.region.activated.connect(lambda: self.region_chosen.emit(self.region.currentData()))
        self.filter = _combo("Faces that are listed")
        self.filter.addItems(list(_FILTERS.values()))
        self.filter.activated.connect(lambda index: self.filter_chosen.emit(list(_FILTERS)[index]))
        self.note = QLabel()
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open, self.export = self._button("open_study", "Open…"), self._button("export_faces", "Export…")
        self.run, self.stop = self._button("run_study", "Run…"), self._button("stop_study", "Stop")
        for label, widget in (("A", self.a), ("B", self.b), ("Errors of", self.region), ("Faces", self.filter)):
            row.addWidget(QLabel(label))
            row.addWidget(widget)
        row.addWidget(self.note, 1)
        for button in (self.export, self.open, self.run, self.stop):
            row.addWidget(button)

    def _variant(self, lane: str) -> QComboBox:
        combo = _combo(f"Variant of lane {lane}")
        combo.setMinimumContentsLength(_NAME_CHARACTERS)
        return combo

    def _button(self, name: str, text: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(command(name).tip)
        button.clicked.connect(lambda: self.command_wanted.emit(name))
        return button

    def show_studies(self, studies: Studies) -> None:
        """Mirror what is looked at."""
        names: Sequence[str] = () if studies.summary is None else studies.summary.names
        for combo, index in ((self.a, studies.a), (self.b, studies.b)):
            if [combo.itemText(k) for k in range(combo.count())] != list(names):
                combo.clear()
                combo.addItems(names)
                combo.view().setMinimumWidth(combo.view().sizeHintForColumn(0) + 30)
            combo.setCurrentIndex(index if names else -1)
            combo.setToolTip(f"{combo.accessibleName()}: {combo.currentText()}")
        self.region.setCurrentIndex(self.region.findData(studies.region))
        self.filter.setCurrentIndex(list(_FILTERS).index(studies.filter))
        for widget in (self.a, self.b, self.region, self.filter, self.export):
            widget.setEnabled(bool(names))
        running = studies.run.results is not None
        self.run.setVisible(not running)
        self.stop.setVisible(running)
        count = "" if studies.faces is None else f"{len(studies.listed)} of {len(studies.faces)}"
        doing = f"{studies.reading}…" if studies.reading else studies.run.progress
        self.note.setText(doing or count)


def _combo(name: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(name)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(max(len(name) // 3, 8))
    return combo
