"""What some tests need of the system that they run on; where it is missing they are skipped, and say why."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_WINDOWS = sys.platform == "win32"

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
needs_fork_server = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="Windows cannot fork"
)
needs_links = pytest.mark.skipif(_WINDOWS, reason="Windows lets only some people make links")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="there is no /proc")
needs_shell = pytest.mark.skipif(_WINDOWS, reason="Windows has no sh")
needs_signals = pytest.mark.skipif(_WINDOWS, reason="Windows ends what is sent a signal, and asks nobody")


@contextmanager
def heard_ctrl_c() -> Iterator[None]:
    """Let processes that are started hear Ctrl-C, also where it is ignored here, as by nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
