"""A choice of one of the fields of the look that are enumerations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QComboBox

from clnf_gui.look import Look


class LookChoice(QComboBox):
    """Mirrors a field of the look and emits a look in which it is another.

    Parameters
    ----------
    field : str
        Of `Look`.
    texts : mapping of StrEnum to str
        What each value is called, in the order of the list.
    name : str
        What is chosen, for those who cannot see the list; also its tool tip.
    """

    look_chosen = Signal(object)
    """Look."""

    def __init__(self, field: str, texts: Mapping[Any, str], name: str) -> None:
        super().__init__()
        self._field, self._values, self._look = field, list(texts), Look()
        self.setAccessibleName(name)
        self.setToolTip(name)
        for value, text in texts.items():
            self.addItem(text, str(value))
        self.activated.connect(self._emit)

    @Slot(int)
    def _emit(self, index: int) -> None:
        change: dict[str, StrEnum] = {self._field: self._values[index]}
        self.look_chosen.emit(replace(self._look, **change))  # type: ignore[arg-type]

    def show_look(self, look: Look) -> None:
        """Mirror the Session's look."""
        self._look = look
        self.setCurrentIndex(self._values.index(getattr(look, self._field)))
