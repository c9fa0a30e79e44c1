"""The process in which a file of a user's runs: it makes one fit, and tells its parent of every step.

The parent sends a job to standard input, and keeps that open: where it ends, the parent has, and this process with it.
Messages go to what was standard output; what the file prints goes to standard error, and so do the stacks of a crash
and of a step that takes too long. `faulthandler` writes those, which needs neither the interpreter nor its lock.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.errors import ClnfError
from clnf_engine.fitting import fit_steps
from clnf_engine.kernels.ready import OF_A_FIT, OF_ROWS, make_ready
from clnf_engine.plugins.file import FIT_SECONDS, STEP_SECONDS, own_functions, told
from clnf_engine.steps import ResponseMaps

_STDIN, _STDOUT, _STDERR = 0, 1, 2

_NICE = 10
"""By how much the process stands back, so that a window over it stays alive."""


class _Watch:
    """Ends the process, with its stacks on standard error, when what it computes takes too long."""

    def __init__(self) -> None:
        self._step, self._left = STEP_SECONDS, FIT_SECONDS

    def allow(self, step: float, fit: float) -> None:
        """Set how long a step, and everything from now on, may take, s."""
        self._step, self._left = step, fit

    def start(self) -> None:
        """Begin to watch a step."""
        self._began = time.monotonic()
        faulthandler.dump_traceback_later(max(min(self._step, self._left), 1e-3), exit=True, file=_STDERR)

    def stop(self) -> None:
        """The step is done: waiting for the parent is none of it."""
        faulthandler.cancel_dump_traceback_later()
        self._left -= time.monotonic() - self._began


def main() -> None:
    """Make the fit that the parent asks for."""
    messages = os.fdopen(os.dup(_STDOUT), "wb")
    os.dup2(_STDERR, _STDOUT)
    for words in (sys.stdout, sys.stderr):
        words.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    job = pickle.load(sys.stdin.buffer)
    _end_with_parent()
    _stand_back()
    faulthandler.enable(file=_STDERR)

    def send(*message: Any) -> None:
        pickle.dump(message, messages, pickle.HIGHEST_PROTOCOL)
        messages.flush()

    _fit(send, *job)
    send("end")


def _fit(send: Callable[..., None], path: Path, image: Any, model: Any, initial: Any, options: Any) -> None:
    make_ready(np.dtype(options.precision), (*OF_A_FIT, *OF_ROWS))  # which no clock runs for
    watch, functions = _Watch(), {}
    send("limits", STEP_SECONDS, FIT_SECONDS)
    try:
        watch.start()
        own = own_functions(path)
        watch.stop()
        functions = own.functions
        watch.allow(own.step_seconds, own.fit_seconds)
        send("limits", own.step_seconds, own.fit_seconds)
        maps: ResponseMaps | None = None
        watch.start()
        for step in fit_steps(image, model, initial, options, functions):
            watch.stop()
            known = step.responses is not None and step.responses is maps
            maps = step.responses
            send("step", replace(step, responses=None) if known else step, known)
            watch.start()
        watch.stop()
    except BaseException as error:  # whatever a stranger's function raises, sys.exit() included
        faulthandler.cancel_dump_traceback_later()
        ours = isinstance(error, ClnfError) and not getattr(error, "operation", "")
        send("failed", str(error if ours else told(error, path, functions)))


def _end_with_parent() -> None:
    """End as soon as standard input does; the file itself finds it empty."""
    lifeline = os.dup(_STDIN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), _STDIN)

    def wait() -> None:
        with suppress(OSError):
            os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _stand_back() -> None:
    """Let the parent have what it needs: its interruption, its turn, and the memory when there is not enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
