"""The Lab's list of tools: what each is doing or has answered, and the buttons that run them."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QBrush, QColor, QPalette
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QSizePolicy,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from clnf_gui.commands import command
from clnf_gui.session.lab import Activity, Record, Subject
from clnf_gui.theme import GREEN, VERMILION, is_dark

_MARGINS = 36
_ANSWERS = {True: "yes", False: "no", None: "cannot be told"}
_NEWS = {True: "✓ as it should be", False: "! look here", None: "–"}
_NEWS_COLOURS = {True: (GREEN, "#19b88a"), False: (VERMILION, "#f0793a")}
"""Of words on light and on dark."""


class LabTools(QWidget):
    """A row per tool: its title, whether its answer is good news, and the answer, or how far it is."""

    tool_chosen = Signal(str)
    """Name of the tool whose finding is to be shown."""
    run_wanted = Signal(object)
    """Names of tools."""
    cancel_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, QTreeWidgetItem] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.list = QTreeWidget()
        self.list.setAccessibleName("Tools of the Lab")
        self.list.setColumnCount(3)
        self.list.header().moveSection(2, 1)  # the answer stays column 1, and comes last
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.header().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.list.header().setStretchLastSection(False)
        widest = f"First divergence {_NEWS[True]} yes"
        bar = self.list.verticalScrollBar().sizeHint().width()
        self.list.setMinimumWidth(self.fontMetrics().horizontalAdvance(widest) + _MARGINS + bar)
        self.list.currentItemChanged.connect(self._emit_chosen)
        self.list.itemActivated.connect(lambda item: self.run_wanted.emit((self._name(item),)))
        layout.addWidget(self.list, 1)
        self.progress = QProgressBar(textVisible=False)
        self.progress.setAccessibleName("Progress of the running tool")
        self.progress.setFixedHeight(4)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        layout.addWidget(self.progress)
        self.run, self.run_all, self.cancel = (QToolButton() for _ in range(3))
        row = QHBoxLayout()
        row.setSpacing(4)
        for button, text, name in (
            (self.run, "Run", "run_tool"),
            (self.run_all, "Run all", "run_all_tools"),
            (self.cancel, "Cancel", "cancel_tools"),
        ):
            button.setText(text)
            button.setToolTip(command(name).tip)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            row.addWidget(button)
        layout.addLayout(row)
        self.run.clicked.connect(lambda: self.run_wanted.emit(tuple(map(self._name, self.list.selectedItems()))))
        self.run_all.clicked.connect(lambda: self.run_wanted.emit(tuple(self._rows)))
        self.cancel.clicked.connect(self.cancel_wanted)

    def show_records(self, records: Iterable[Record], chosen: str, now: Subject | None, can_run: bool) -> None:
        """Mirror the Lab; `now` is what its tools would look at."""
        blocked = self.list.blockSignals(True)
        running = None
        for record in records:
            name = record.tool.name
            if name not in self._rows:
                self._rows[name] = item = QTreeWidgetItem(self.list, [record.tool.title, "", ""])
                item.setData(0, Qt.ItemDataRole.UserRole, name)
                for column in (0, 2):
                    item.setToolTip(column, record.tool.question)
                item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight)
            self._show_state(self._rows[name], record, record.is_stale(now))
            if record.activity is Activity.RUNNING:
                running = record
        self.list.setCurrentItem(self._rows[chosen])
        self.list.blockSignals(blocked)
        busy = any(record.activity is not Activity.NONE for record in records)
        self.progress.setVisible(running is not None)
        if running is not None:
            self.progress.setRange(0, running.total)
            self.progress.setValue(running.done)
        self.run.setEnabled(can_run)
        self.run_all.setEnabled(can_run)
        self.cancel.setEnabled(busy)

    def _show_state(self, item: QTreeWidgetItem, record: Record, stale: bool) -> None:
        item.setText(1, state_text(record, stale))
        item.setToolTip(1, record.problem or record.tool.question)
        self._show_news(item, record, stale)
        faint = stale or (record.result is None and not record.problem)
        group = QPalette.ColorGroup.Disabled if faint else QPalette.ColorGroup.Active
        item.setForeground(1, QBrush(self.palette().color(group, QPalette.ColorRole.Text)))
        font = self.list.font()
        font.setItalic(stale)
        font.setBold(record.activity is Activity.RUNNING)
        item.setFont(1, font)

    def _show_news(self, item: QTreeWidgetItem, record: Record, stale: bool) -> None:
        """Say whether the answer is as it should be; nothing while there is none, or one of something else."""
        known = record.activity is Activity.NONE and record.result is not None and not record.problem and not stale
        news = record.result.finding.as_wanted if record.result is not None and known else None
        item.setText(2, _NEWS[news] if known else "")
        text = self.palette().color(QPalette.ColorRole.Text)
        colours = None if news is None else _NEWS_COLOURS[news]
        item.setForeground(2, QBrush(text if colours is None else QColor(colours[is_dark(self.palette())])))

    @staticmethod
    def _name(item: QTreeWidgetItem) -> str:
        return str(item.data(0, Qt.ItemDataRole.UserRole))

    def _emit_chosen(self, item: QTreeWidgetItem) -> None:
        self.tool_chosen.emit(self._name(item))


def state_text(record: Record, stale: bool) -> str:
    """What a tool is doing, or else what it has answered."""
    if record.activity is Activity.RUNNING:
        return f"running {record.done} of {record.total}" if record.total else "running"
    if record.activity is Activity.WAITING:
        return "waiting"
    if record.problem:
        return "failed"
    if record.result is None:
        return "not run"
    answer = _ANSWERS[record.result.finding.answer]
    return f"{answer}, out of date" if stale else answer
