"""Playback: lets something go on by itself at a speed."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, QTimer, Signal


class Playback(QObject):
    """Says when the next move is due; only one of several that exclude each other runs."""

    due = Signal()
    switched = Signal()
    """It has been started or stopped."""

    def __init__(self, interval_ms: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._others: tuple[Playback, ...] = ()
        self._timer = QTimer(self, interval=interval_ms, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.due)

    @property
    def on(self) -> bool:
        """Whether it goes on by itself."""
        return self._timer.isActive()

    @property
    def interval_ms(self) -> int:
        """Time between two moves."""
        return self._timer.interval()

    def set_interval(self, milliseconds: int) -> None:
        """How long it waits between two moves."""
        self._timer.setInterval(milliseconds)

    def exclude(self, *others: Playback) -> None:
        """Stop others whenever this one starts."""
        self._others = others

    def start(self) -> None:
        """Let it go on by itself."""
        if not self.on:
            for other in self._others:
                other.stop()
            self._timer.start()
            self.switched.emit()

    def stop(self) -> None:
        """Let it rest."""
        if self.on:
            self._timer.stop()
            self.switched.emit()
