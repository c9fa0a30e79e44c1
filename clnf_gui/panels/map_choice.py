"""Which response maps the atlas shows, and what its colours span."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QWidget

from clnf_gui.look import Look, MapKind, MapRange, MapSource
from clnf_gui.theme import CHECKED_STYLE

_KINDS = {MapKind.RAW: "Raw", MapKind.AFTER_SIGMA: "After Sigma", MapKind.FINAL: "Final"}
_RANGES = {
    MapRange.EACH: "each map",
    MapRange.STEP: "this step",
    MapRange.RUN: "the whole run",
    MapRange.MANUAL: "from … to",
}


class MapChoice(QWidget):
    """A row of buttons and a colour-range choice."""

    look_chosen = Signal(object)
    """Look."""

    def __init__(self) -> None:
        super().__init__()
        self._look = Look()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        self._group = QButtonGroup(self)
        self.buttons = {}
        for kind, text in _KINDS.items():
            button = QPushButton(text)
            button.setCheckable(True)
            button.setStyleSheet(CHECKED_STYLE)
            button.clicked.connect(lambda _, kind=kind: self.look_chosen.emit(replace(self._look, map_kind=kind)))
            self._group.addButton(button)
            self.buttons[kind] = button
            layout.addWidget(button)
        self.source = QComboBox()
        self.source.setAccessibleName("Whose maps")
        for source in MapSource:
            self.source.addItem(str(source), str(source))
        self.source.activated.connect(
            lambda: self.look_chosen.emit(replace(self._look, map_source=MapSource(self.source.currentData())))
        )
        layout.addWidget(self.source)
        layout.addStretch(1)
        layout.addWidget(QLabel("Colours span"))
        self.range = QComboBox()
        self.range.setAccessibleName("Colour range")
        for value, text in _RANGES.items():
            self.range.addItem(text, str(value))
        self.range.activated.connect(
            lambda: self.look_chosen.emit(replace(self._look, map_range=MapRange(self.range.currentData())))
        )
        layout.addWidget(self.range)
        self.bounds = [QDoubleSpinBox(decimals=4, minimum=-1e9, maximum=1e9, singleStep=0.1) for _ in range(2)]
        for spin, name in zip(self.bounds, ("Lowest", "Highest"), strict=True):
            spin.setAccessibleName(f"{name} value of the colour range")
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(self._emit_bounds)
            layout.addWidget(spin)
            spin.hide()

    def _emit_bounds(self) -> None:
        low, high = (spin.value() for spin in self.bounds)
        self.look_chosen.emit(replace(self._look, manual_range=(low, high)))

    def show_look(self, look: Look, comparing: bool) -> None:
        """Mirror the Session's look."""
        self._look = look
        self.source.setVisible(comparing)
        self.source.setCurrentIndex(self.source.findData(str(look.map_source)))
        self.buttons[look.map_kind].setChecked(True)
        self.range.setCurrentIndex(self.range.findData(str(look.map_range)))
        for spin, value in zip(self.bounds, look.manual_range, strict=True):
            blocked = spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(blocked)
            spin.setVisible(look.map_range is MapRange.MANUAL)
