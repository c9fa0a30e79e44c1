"""Widgets of which one is seen, under a heading that chooses among them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget


class Pages(QWidget):
    """Widgets of which one is seen, under a heading that chooses among them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        row = QHBoxLayout()
        row.setContentsMargins(2, 0, 2, 0)
        self.title, self.choice, self.hint = QLabel(), QComboBox(), QLabel()
        self.choice.setAccessibleName(name)
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.hint.setEnabled(False)
        self.hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row.addWidget(self.title, 3)
        row.addWidget(self.choice, 5)
        row.addWidget(self.hint, 2)
        layout.addLayout(row)
        self.stack = QStackedWidget()
        layout.addWidget(self.stack, 1)
        self.choice.currentIndexChanged.connect(self._turn)
        self._hints: list[str] = []

    def show_pages(self, pages: Sequence[tuple[str, QWidget, str]]) -> None:
        """Show other widgets, given with their titles and hints; the page that was chosen stays, if there is one."""
        chosen = self.choice.currentText()
        blocked = self.choice.blockSignals(True)
        self.choice.clear()
        while (old := self.stack.widget(0)) is not None:
            self.stack.removeWidget(old)
            old.deleteLater()
        self._hints = [hint for _, _, hint in pages]
        for title, widget, _ in pages:
            self.choice.addItem(title)
            self.stack.addWidget(widget)
        self.choice.setCurrentIndex(max(self.choice.findText(chosen), 0) if pages else -1)
        self.choice.blockSignals(blocked)
        self.choice.setVisible(len(pages) > 1)
        self.title.setVisible(len(pages) == 1)
        self.setVisible(bool(pages))
        self._turn(self.choice.currentIndex())

    def _turn(self, index: int) -> None:
        if index >= 0:
            self.stack.setCurrentIndex(index)
            self.title.setText(self.choice.itemText(index))
            self.title.setToolTip(self.choice.itemText(index))
            self.hint.setText(self._hints[index])
            self.hint.setVisible(bool(self._hints[index]))
