"""A background thread that pulls jobs: loading files, running fits, running diagnostics."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from PySide6.QtCore import QObject, QSemaphore, QThread, Signal, Slot

from clnf_engine import ClnfError

Job = Callable[[], Iterator[Any]]

_MOST_WAITING = 256
"""Items that may wait for a thread of the window that is busy; the job waits with the next."""

_PATIENCE_MS = 20
"""How long that takes before the job looks whether anybody waits for it."""


class Stale(Exception):
    """Raised inside a job that nobody waits for any more."""


class _Room(QObject):
    """Places for items on their way from one thread to another, where this object lives."""

    def __init__(self) -> None:
        super().__init__()
        self._places = QSemaphore(_MOST_WAITING)

    def taken(self) -> bool:
        """Take a place for an item; False when there was none for a while."""
        return self._places.tryAcquire(1, _PATIENCE_MS)

    @Slot()
    def give_back(self) -> None:
        """An item has arrived."""
        self._places.release()


class Worker(QObject):
    """Runs jobs one after another; a newer job of the same kind makes the older ones of that kind stale.

    Every answer carries the kind and epoch of its job, so that the receiver can drop stale ones.
    """

    started = Signal(str, int)
    """kind, epoch."""
    progressed = Signal(str, int, int, int)
    """kind, epoch, parts done, parts in all."""
    produced = Signal(str, int, object)
    """kind, epoch, one item of the job."""
    finished = Signal(str, int, float)
    """kind, epoch, seconds."""
    failed = Signal(str, int, str, str)
    """kind, epoch, one-sentence message, details."""
    _submitted = Signal(str, int)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._epochs: dict[str, int] = {}
        # Not sent with the signal: what Qt still holds for a thread that has ended, Python's collector never sees.
        self._waiting: dict[tuple[str, int], Job] = {}
        self._running = ("", 0)
        self._room = _Room()
        self.produced.connect(self._room.give_back)
        self._thread = QThread()
        self._thread.setObjectName(name)
        self.moveToThread(self._thread)
        self._submitted.connect(self._run)
        self._thread.start()

    def submit(self, kind: str, job: Job) -> int:
        """Queue a job; returns its epoch."""
        epoch = self._epochs.get(kind, 0) + 1
        self._epochs[kind] = epoch
        self._waiting[kind, epoch] = job
        self._submitted.emit(kind, epoch)
        return epoch

    def is_current(self, kind: str, epoch: int) -> bool:
        """Whether no newer job of this kind has been submitted."""
        return self._epochs.get(kind) == epoch

    def cancel(self, kind: str) -> None:
        """Make every job of a kind stale."""
        self._epochs[kind] = self._epochs.get(kind, 0) + 1

    def shut_down(self) -> None:
        """Make every job stale and wait for the thread to end."""
        self.retire()
        self._thread.wait()

    def retire(self) -> None:
        """Make every job stale and let the thread end by itself, which `shut_down` waits for."""
        self._epochs.clear()
        self._waiting.clear()
        self._thread.quit()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return self._thread.isFinished()

    def report(self, done: int, total: int) -> None:
        """Tell how far the running job is; for the job itself to call.

        Raises
        ------
        Stale
            When the job is to end.
        """
        self.check()
        self.progressed.emit(*self._running, done, total)

    def check(self) -> None:
        """For the running job itself to call before it does more work.

        Raises
        ------
        Stale
            When the job is to end.
        """
        if not self.is_current(*self._running):
            raise Stale

    @Slot(str, int)
    def _run(self, kind: str, epoch: int) -> None:
        job = self._waiting.pop((kind, epoch), None)
        if job is None or not self.is_current(kind, epoch):
            return
        self._running = (kind, epoch)
        self.started.emit(kind, epoch)
        start = time.perf_counter()
        try:
            for item in job():
                while self.is_current(kind, epoch) and not self._room.taken():
                    pass
                if not self.is_current(kind, epoch):
                    return
                self.produced.emit(kind, epoch, item)
        except Stale:
            return
        except ClnfError as error:
            self.failed.emit(kind, epoch, str(error), "")
        except Exception as error:  # a job's fault must reach the person, not end the thread
            self.failed.emit(kind, epoch, f"internal error: {error!r}", traceback.format_exc())
        else:
            self.finished.emit(kind, epoch, time.perf_counter() - start)
