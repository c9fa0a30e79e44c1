"""A sentence over a view that has nothing to paint, or less than one would expect."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QLabel, QWidget

from clnf_engine import Phase, Step

_MARGIN_PX = 12


class Hint(QLabel):
    """Words over the middle of a view, or over its lower edge; the mouse goes through them."""

    def __init__(self, view: QWidget) -> None:
        super().__init__(view)
        self._view, self._low = view, False
        self.setObjectName("hint")
        self.setStyleSheet("#hint { color: #f0f0f0; background: rgba(20, 20, 20, 190); border-radius: 4px; }")
        self.setWordWrap(True)
        self.setMargin(6)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()
        view.installEventFilter(self)

    def show_text(self, text: str, low: bool = False) -> None:
        """Say something, at the lower edge if `low`; "" says nothing."""
        self._low = low
        self.setText(text)
        self.setVisible(bool(text))
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the middle of the view."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self._place()
        return False

    def _place(self) -> None:
        view = self._view
        room = max(view.width() - 2 * _MARGIN_PX, 1)
        words = self.fontMetrics().horizontalAdvance(self.text()) + 2 * self.margin() + 4
        width = min(words, room)
        height = self.heightForWidth(width)
        top = view.height() - height - _MARGIN_PX if self._low else (view.height() - height) // 2
        self.setGeometry((view.width() - width) // 2, max(top, 0), width, height)


def without_maps(step: Step | None) -> str:
    """Why a Step has no response maps, and what to do about it."""
    if step is None:
        return "There is no fit yet"
    if step.phase is Phase.INITIAL:
        return "The start has no response maps; press → for those of the first stage"
    if step.phase is Phase.END:
        return "The end has no response maps of its own; press ← for those of the last iteration"
    if step.phase in (Phase.MERGE, Phase.REFIT):
        return f"A {step.phase} has no response maps: it moves landmarks to what the parts have found"
    if step.phase is Phase.SKIPPED:
        return f"This stage was skipped ({step.message}), so it has no response maps; press → to go on"
    return "The response maps of this step were not recorded"
