"""A study that is being made: ``clnf study run`` in a process of its own, which goes on from where it was stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QProcess, QTimer, Signal, Slot

from clnf_engine.studies.parts import PARTS

_LOOK_MS = 1000
_STOP_MS = 10_000
"""So long a run may take to end that was asked to; it keeps what is done."""


class StudyRun(QObject):
    """Runs one study at a time.

    Attributes
    ----------
    results : Path or None
        Of the study that is being made; None when none is.
    """

    changed = Signal()
    told = Signal(str)
    failed = Signal(str, str)
    ended = Signal(object)
    """Results: the Path of those that are complete, or as far as they came."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.results: Path | None = None
        self._stopped = False
        self._process = QProcess(self)
        self._process.finished.connect(self._end)
        self._process.errorOccurred.connect(self._fail)
        self._timer = QTimer(self, interval=_LOOK_MS)
        self._timer.timeout.connect(self.changed)

    @property
    def progress(self) -> str:
        """How far it is, in words; "" when nothing runs."""
        if self.results is None:
            return ""
        try:
            parts = sum(name.endswith(".parquet") for name in os.listdir(self.results / PARTS))
        except OSError:  # not begun yet
            parts = 0
        return f"studying, {parts} parts"

    def start(self, words: Sequence[str], results: Path) -> None:
        """Run ``clnf`` with these words, which make a study."""
        if self.results is not None:
            self.failed.emit(f"a study is being made in {self.results}; stop it first", "")
            return
        self.results, self._stopped = results, False
        self._process.start(sys.executable, ["-m", "clnf_engine", *words])
        self._timer.start()
        self.changed.emit()

    def stop(self) -> None:
        """Let it end where it is; the same study goes on from there."""
        self._stopped = True
        if self._process.state() is QProcess.ProcessState.NotRunning:
            return
        if sys.platform == "win32":
            self._process.kill()
        else:
            os.kill(self._process.processId(), signal.SIGINT)

    def shut_down(self) -> None:
        """End the process, and wait for that."""
        self._timer.stop()
        self._process.blockSignals(True)  # nobody is told any more
        self.stop()
        if not self._process.waitForFinished(_STOP_MS):
            self._process.kill()
            self._process.waitForFinished(_STOP_MS)

    @Slot(int, QProcess.ExitStatus)
    def _end(self, code: int, _: QProcess.ExitStatus) -> None:
        said = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace").strip()
        results, self.results = self.results, None
        self._timer.stop()
        if code and not self._stopped:
            last = said.splitlines()[-1].removeprefix("clnf: ") if said else f"the study ended with exit code {code}"
            self.failed.emit(last, said)
        else:
            ending = (
                "stopped; what is done is kept, and the same study goes on from there" if self._stopped else "complete"
            )
            self.told.emit(f"{results}: {ending}")
        self.changed.emit()
        if results is not None and (not code or self._stopped) and (results / PARTS).is_dir():
            self.ended.emit(results)

    @Slot(QProcess.ProcessError)
    def _fail(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart:
            self.results = None
            self._timer.stop()
            self.failed.emit(f"{sys.executable}: cannot be started ({self._process.errorString()})", "")
            self.changed.emit()
