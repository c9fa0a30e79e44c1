"""The card of a guided case: what is to be seen on this page, and the way on. Below all panes, it covers none."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

_STYLE = "#guideCard { background: palette(base); border: 1px solid palette(highlight); border-radius: 6px; }"
_LINES = 3
_TITLE_STYLE = "font-weight: bold; font-size: 115%"


class GuideCard(QFrame):
    """Says what is to be seen, and asks for the next page, the one before, another case, or the end."""

    case_chosen = Signal(int)
    turned = Signal(int)
    """By a page: on, +1, or back, −1."""
    leave_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("guideCard")
        self.setAccessibleName("Guided case")
        self.setStyleSheet(_STYLE)
        self.title, self.where, self.text = QLabel(), QLabel(), QLabel()
        self.title.setStyleSheet(_TITLE_STYLE)
        self.where.setEnabled(False)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.back = _button("Back", self._turn_back)
        self.next = _button("Next", self._turn_on)
        self.leave = _button("Leave", self.leave_wanted)
        self.cases = QWidget()
        self._case_layout = QVBoxLayout(self.cases)
        self._case_layout.setContentsMargins(0, 0, 0, 0)
        head, buttons = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.where)
        for label in (self.title, self.where):
            label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addLayout(head)
        words.addWidget(self.text)
        words.addWidget(self.cases)
        words.addStretch(1)
        for button in (self.back, self.next, self.leave):
            buttons.addWidget(button)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 10, 6)
        layout.setSpacing(18)
        layout.addLayout(words, 1)
        layout.addLayout(buttons)
        self.hide()

    @Slot()
    def _turn_back(self) -> None:
        self.turned.emit(-1)

    @Slot()
    def _turn_on(self) -> None:
        self.turned.emit(+1)

    @Slot()
    def _choose(self) -> None:
        self.case_chosen.emit([button is self.sender() for button in self._buttons].index(True))

    def show_cases(self, text: str, cases: Sequence[tuple[str, str]]) -> None:
        """Let the person choose one of several cases, each with a title and what it is about."""
        if not self._case_layout.count():
            self._buttons = [_button(title, self._choose) for title, _ in cases]
            for button, (_, about) in zip(self._buttons, cases, strict=True):
                line, words = QHBoxLayout(), QLabel(about)
                words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                line.addWidget(button)
                line.addWidget(words, 1)
                self._case_layout.addLayout(line)
            widest = max(button.sizeHint().width() for button in self._buttons)
            for button in self._buttons:
                button.setFixedWidth(widest)
        self._show("Guided cases", "", text, choosing=True)

    def show_page(self, title: str, where: str, text: str, can_go_on: bool, is_last: bool) -> None:
        """Show a page of a case."""
        self.next.setText("Done" if is_last else "Next")
        self.next.setEnabled(can_go_on)
        self._show(title, where, text, choosing=False)

    def _show(self, title: str, where: str, text: str, choosing: bool) -> None:
        self.title.setText(title)
        self.where.setText(where)
        self.text.setText(text)
        self.cases.setVisible(choosing)
        for button in (self.back, self.next):
            button.setVisible(not choosing)
        self.show()
        self._make_room()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """For the text, and for as many lines as most texts have, so that panes keep their place from page to page."""
        least = 0 if not self.cases.isHidden() else _LINES * self.text.fontMetrics().lineSpacing()
        self.text.setFixedHeight(max(least, self.text.heightForWidth(self.text.width())))


def _button(text: str, clicked: object) -> QPushButton:
    button = QPushButton(text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # after a click the keys stay with the fit
    button.clicked.connect(clicked)
    return button
