"""The card of a guided case: what is to be seen on this page, and the way on."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from clnf_gui.theme import SELECTION

_STYLE = f"#guideCard {{ background: palette(base); border: 2px solid {SELECTION}; border-radius: 6px; }}"
_TITLE_STYLE = "font-weight: bold; font-size: 115%"


class GuideCard(QFrame):
    """Above the photo, where it covers nothing."""

    case_chosen = Signal(int)
    back_wanted = Signal()
    next_wanted = Signal()
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
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.back = _button("Back", self.back_wanted.emit)
        self.next = _button("Next", self.next_wanted.emit)
        self.leave = _button("Leave", self.leave_wanted.emit)
        self.cases = QWidget()
        self._case_layout = QVBoxLayout(self.cases)
        self._case_layout.setContentsMargins(0, 0, 0, 0)
        head, buttons = QHBoxLayout(), QVBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.where)
        words = QVBoxLayout()
        words.addLayout(head)
        words.addWidget(self.text, 1)
        words.addWidget(self.cases)
        for button in (self.next, self.back, self.leave):
            buttons.addWidget(button)
        buttons.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 10, 8)
        layout.setSpacing(14)
        layout.addLayout(words, 1)
        layout.addLayout(buttons)
        self.hide()

    def show_cases(self, text: str, cases: Sequence[tuple[str, str]]) -> None:
        """Let the person choose one of several cases, each with a title and what it is about."""
        if not self._case_layout.count():
            for index, (title, about) in enumerate(cases):
                button = _button(title, lambda _=False, index=index: self.case_chosen.emit(index))
                line, words = QHBoxLayout(), QLabel(about)
                words.setWordWrap(True)
                line.addWidget(button)
                line.addWidget(words, 1)
                self._case_layout.addLayout(line)
            widest = max(button.sizeHint().width() for button in self.cases.findChildren(QPushButton))
            for button in self.cases.findChildren(QPushButton):
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


def _button(text: str, clicked: object) -> QPushButton:
    button = QPushButton(text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # after a click the keys stay with the fit
    button.clicked.connect(clicked)
    return button
