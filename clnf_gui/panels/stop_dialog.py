"""The dialog in which a person writes down when to stop."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QTextEdit, QVBoxLayout, QWidget

from clnf_engine import ClnfError
from clnf_engine.stops import EXAMPLES, Stop, parse_stop

_WRONG = "#d0452f"


class StopDialog(QDialog):
    """One condition a line; lines that cannot be understood are marked and named below, and nothing is lost."""

    stops_chosen = Signal(object)
    """Tuple of Stop."""

    def __init__(self, stops: tuple[Stop, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Stop when")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(440, 420)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Run and play stop at the first step at which any of these holds:"))
        self.text = QPlainTextEdit("\n".join(stop.text for stop in stops))
        self.text.setAccessibleName("Stop conditions, one a line")
        self.text.setTabChangesFocus(True)
        layout.addWidget(self.text, 1)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet(f"color: {_WRONG}")
        layout.addWidget(self.problem)
        layout.addWidget(QLabel("Click an example to add it:"))
        self.examples = QLabel()
        self.examples.setText("<br>".join(f'<a href="{k}">{escape(text)}</a>' for k, text in enumerate(EXAMPLES)))
        self.examples.setMargin(4)
        self.examples.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse)
        self.examples.linkActivated.connect(lambda link: self.add_line(EXAMPLES[int(link)]))
        layout.addWidget(self.examples)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self.text.textChanged.connect(lambda: self._mark(typing=True))
        self.text.cursorPositionChanged.connect(lambda: self._mark(typing=True))

    def add_line(self, condition: str) -> None:
        """Add a condition as a line of its own, and go on writing there."""
        written = self.text.toPlainText().rstrip()
        self.text.setPlainText(f"{written}\n{condition}" if written else condition)
        self.text.moveCursor(QTextCursor.MoveOperation.End)
        self.text.setFocus()

    def _mark(self, typing: bool) -> list[int]:
        """Mark the lines that are no conditions, but not the one that is being written; their indices."""
        at = self.text.textCursor().blockNumber() if typing else -1
        lines = self.text.toPlainText().splitlines()
        wrong = [k for k, line in enumerate(lines) if line.strip() and k != at and _parsed(line) is None]
        self.text.setExtraSelections([self._underlined(k) for k in wrong])
        sentences = [f"Line {k + 1}: “{lines[k].strip()}” is not a condition of a form shown below." for k in wrong]
        self.problem.setText("\n".join(sentences))
        return wrong

    def _underlined(self, line: int) -> QTextEdit.ExtraSelection:
        mark = QTextEdit.ExtraSelection()
        wave = QTextCharFormat()
        wave.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
        wave.setUnderlineColor(QColor(_WRONG))
        wave.setBackground(QColor(208, 69, 47, 70))
        cursor = QTextCursor(self.text.document().findBlockByNumber(line))
        cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
        mark.cursor, mark.format = cursor, wave
        return mark

    def accept(self) -> None:
        if self._mark(typing=False):
            return
        stops = [_parsed(line) for line in self.text.toPlainText().splitlines() if line.strip()]
        self.stops_chosen.emit(tuple(stop for stop in stops if stop is not None))
        super().accept()


def _parsed(line: str) -> Stop | None:
    """The condition of a line; None where it is none."""
    try:
        return parse_stop(line)
    except ClnfError:
        return None
