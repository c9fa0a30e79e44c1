"""What goes wrong while a window is used: exceptions, Qt's warnings, faults of threads, blocks, memory and leaks."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from PySide6.QtCore import QMessageLogContext, QObject, QThread, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

_HEARTBEAT_MS = 10
_STUCK_SECONDS = 0.3
"""After so long, a menu that waits for its person is closed."""
_REMEMBERED = 12
_HEAPS = -8  # M_ARENA_MAX of malloc.h
HARMLESS = ("propagateSizeHints", "does not support raise()", "does not support grabbing")
"""What platforms without a screen say to no use."""


@dataclass
class Problems:
    """What went wrong, each with the actions before it; the same once."""

    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    found: dict[str, str] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Write down what went wrong, by the line that says it."""
        head = text.strip().splitlines()[-1]
        actions = "\n".join(f"    {action}" for action in self.recent)
        self.found.setdefault(head, f"{text.strip()}\n  after:\n{actions}")

    def add_error(self, error: BaseException | None) -> None:
        """Write down an exception."""
        self.add("".join(traceback.format_exception(error)))

    def add_failure(self, message: str, details: str) -> None:
        """Write down what a window was told, if it is a fault of the program; for `Session.failed`."""
        if "internal error" in message:
            self.add(f"{details}\n{message}")


@contextlib.contextmanager
def watching(problems: Problems) -> Iterator[None]:
    """Send everything that goes wrong to `problems`, warnings included."""

    def on_exception(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        problems.add_error(error)

    def on_message(kind: QtMsgType, _: QMessageLogContext, text: str) -> None:
        if kind is not QtMsgType.QtDebugMsg and not any(part in text for part in HARMLESS):
            problems.add(f"Qt says: {text}")

    hooks: tuple[tuple[Any, str, Any], ...] = (
        (sys, "excepthook", on_exception),
        (sys, "unraisablehook", lambda args: problems.add_error(args.exc_value)),
        (threading, "excepthook", lambda args: problems.add_error(args.exc_value)),
    )
    before = [getattr(module, name) for module, name, _ in hooks]
    handler = qInstallMessageHandler(on_message)
    try:
        for module, name, hook in hooks:
            setattr(module, name, hook)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        qInstallMessageHandler(handler)
        for (module, name, _), hook in zip(hooks, before, strict=True):
            setattr(module, name, hook)


class Heart(QObject):
    """Beats as long as the window's thread does, and ends what waits for a person.

    Attributes
    ----------
    doing : str
        What is under way.
    longest : float
        Between two beats, seconds.
    culprit : str
        What was under way then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.doing, self.culprit = "the start", ""
        self.longest = 0.0
        self._beat_at = self._popup_since = time.monotonic()
        self._timer = QTimer(self, interval=_HEARTBEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def skip(self) -> None:
        """Do not count the time since the last beat."""
        self._beat_at = time.monotonic()

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beat_at > self.longest:
            self.longest, self.culprit = now - self._beat_at, self.doing
        self._beat_at = now
        popup = QApplication.activePopupWidget()
        if popup is None:
            self._popup_since = now
        elif now - self._popup_since > _STUCK_SECONDS:
            popup.close()


def share_heaps() -> None:
    """Let threads share two heaps: glibc would give every one its own, and little of that back to anyone."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # musl has one for all
            ctypes.CDLL(None).mallopt(_HEAPS, 2)


def memory_mb() -> float:
    """Memory of this process, without what the allocator keeps for later; the peak where that cannot be told."""
    gc.collect()
    if sys.platform != "linux":
        return peak_mb()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def peak_mb() -> float:
    """The most memory this process has had; 0 where that cannot be told."""
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def running_threads() -> list[str]:
    """Names of Qt's threads that run."""
    threads = [thing for thing in gc.get_objects() if isinstance(thing, QThread)]
    return [thread.objectName() or "thread" for thread in threads if thread.isRunning()]
