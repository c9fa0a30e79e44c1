"""Axes that the plots share."""

from __future__ import annotations

import pyqtgraph as pg


class DecadeAxis(pg.AxisItem):
    """A log axis with plain numbers, for items that hold log10 values."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self.setLogMode(False, True)

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{10.0**value * scale:.3g}" for value in values]
