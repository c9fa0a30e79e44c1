"""Which response maps the atlas shows, and what its colours span."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QDoubleSpinBox, QHBoxLayout, QPushButton, QWidget

from clnf_gui.look import Look, MapKind, MapRange, MapSource
from clnf_gui.panels.look_choice import LookChoice
from clnf_gui.theme import CHECKED_STYLE

_KINDS = {MapKind.RAW: "Raw", MapKind.AFTER_SIGMA: "After Sigma", MapKind.FINAL: "Final"}
_RANGES = {
    MapRange.EACH: "each map",
    MapRange.STEP: "this step",
    MapRange.RUN: "the whole run",
    MapRange.MANUAL: "from … to",
}

_PADDING_PX = 18
"""Around the word on a button: less than Qt's own, for the photo to have more."""


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
            button.setMinimumWidth(self.fontMetrics().horizontalAdvance(text) + _PADDING_PX)
            button.clicked.connect(lambda _, kind=kind: self.look_chosen.emit(replace(self._look, map_kind=kind)))
            self._group.addButton(button)
            self.buttons[kind] = button
            layout.addWidget(button)
        self.source = LookChoice("map_source", {source: str(source) for source in MapSource}, "Whose maps")
        self.range = LookChoice("map_range", _RANGES, "Colour range")
        layout.addWidget(self.source)
        layout.addStretch(1)
        for choice in (self.source, self.range):
            choice.look_chosen.connect(self.look_chosen)
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
        self.source.show_look(look)
        self.buttons[look.map_kind].setChecked(True)
        self.range.show_look(look)
        for spin, value in zip(self.bounds, look.manual_range, strict=True):
            blocked = spin.blockSignals(True)
            spin.setValue(value)
            spin.blockSignals(blocked)
            spin.setVisible(look.map_range is MapRange.MANUAL)
