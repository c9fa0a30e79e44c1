"""The pens of a view: as wide on every screen, and in colours that can be seen on its ground."""

from __future__ import annotations

from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QPen
from PySide6.QtWidgets import QWidget

from clnf_gui.theme import is_dark, readable

Colour = str | tuple[int, int, int, int]


class Pens(QObject):
    """Gives items their pens, and gives them anew when the view comes to another screen or palette.

    The width of a cosmetic pen is in pixels of the device: a line of one such pixel is a hair on a fine screen.
    """

    changed = Signal()
    """Colours are others now: legends have to be written anew."""

    def __init__(self, view: QWidget, on_photo: bool = False) -> None:
        """`on_photo` is for views whose ground is the same in every theme: their colours are taken as they are."""
        super().__init__(view)
        self._view, self._on_photo = view, on_photo
        self._rows: dict[Callable[[QPen], object], tuple[Colour, float, Qt.PenStyle, Qt.PenCapStyle]] = {}
        self._fills: list[tuple[Callable[[str], object], str]] = []
        self._state = self._now()
        view.installEventFilter(self)

    def give(
        self,
        set_pen: Callable[[QPen], object],
        colour: Colour,
        width: float = 1.0,
        style: Qt.PenStyle = Qt.PenStyle.SolidLine,
        cap: Qt.PenCapStyle = Qt.PenCapStyle.SquareCap,
    ) -> None:
        """Give `set_pen` a pen, now and whenever it has to be another; `width` is in logical px."""
        self._rows[set_pen] = (colour, width, style, cap)
        set_pen(self._pen(*self._rows[set_pen]))

    def fill(self, set_colour: Callable[[str], object], colour: str) -> None:
        """Give `set_colour` a colour to fill with, now and whenever it has to be another."""
        self._fills.append((set_colour, colour))
        set_colour(self.colour(colour))

    def colour(self, colour: str) -> str:
        """A colour as this view shows it."""
        return colour if self._on_photo else readable(colour, is_dark(self._view.palette()))

    def forget(self) -> None:
        """Give nothing anew: the items are others."""
        self._rows, self._fills = {}, []

    def _pen(self, colour: Colour, width: float, style: Qt.PenStyle, cap: Qt.PenCapStyle) -> QPen:
        shown = self.colour(colour) if isinstance(colour, str) else colour
        pen = pg.mkPen(shown, width=width * self._view.devicePixelRatioF(), style=style)
        pen.setCapStyle(cap)
        return pen

    def _now(self) -> tuple[float, bool]:
        return self._view.devicePixelRatioF(), is_dark(self._view.palette())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Another screen, or another palette."""
        changes = (QEvent.Type.Show, QEvent.Type.DevicePixelRatioChange, QEvent.Type.PaletteChange)
        if event.type() in changes and (now := self._now()) != self._state:
            self._state = now
            for set_pen, row in self._rows.items():
                set_pen(self._pen(*row))
            for set_colour, colour in self._fills:
                set_colour(self.colour(colour))
            self.changed.emit()
        return False
