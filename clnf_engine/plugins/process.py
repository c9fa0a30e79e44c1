"""A fit with the functions of a user's file, in a process of its own: whatever the file does, only that one ends."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only_fields
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.options import FitOptions
from clnf_engine.plugins.file import place
from clnf_engine.steps import ResponseMaps, Step, describe
from clnf_engine.trace import Trace

_TRIES = 20
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 10.0
"""A process that does not end itself when its time is over is ended so much later."""

_MOST_LINES, _LINE_BYTES = 200, 1000
"""Of what a file prints in a run; the rest is left out."""

_STACK_BYTES = 1 << 16
_STACK = re.compile(rb'File "(.*)", line (\d+) in (\S+)')
_DYING = (b"Timeout (", b"Fatal Python error: ", b"Windows fatal exception: ")
"""How the stacks of a process that is ended, or has crashed, begin."""

Tell = Callable[[str], None]


def fit_steps_with(
    path: str | os.PathLike[str],
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions | None = None,
    tell: Tell = lambda line: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Step]:
    """`fit_steps` with the functions of a Python file in the place of the operations they are named after.

    The file runs in a process of its own, which ends with this generator, and with this program however that ends. It
    has limits of time, for a step and in all: see `file.own_functions`, which reads it.

    Parameters
    ----------
    path : path-like
    image, model, initial, options
        As for `fitting.fit_steps`.
    tell : callable
        Gets every line that the file prints, from a thread of its own.
    check : callable
        Called several times a second; what it raises ends the process, too.

    Yields
    ------
    Step
        The same, bit for bit, as those of ``fit_steps(…, replace=own_functions(path).functions)``.

    Raises
    ------
    ClnfError
        When the fit cannot begin, or the file fails, crashes or takes too long: one sentence that names the line.
    """
    file = Path(path).absolute()
    process = _Process(file, _pickled((file, image, model, initial, options or FitOptions())), tell)
    try:
        yield from process.steps(check)
    finally:
        process.end()


def fit_with(
    path: str | os.PathLike[str],
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions | None = None,
    tell: Tell = lambda line: None,
) -> Trace:
    """`fit` with the functions of a Python file; parameters and errors as for `fit_steps_with`."""
    steps = tuple(fit_steps_with(path, image, model, initial, options, tell))
    return traced(path, Trace(image, model.name, initial, options or FitOptions(), steps, model.fingerprint))


def traced(path: str | os.PathLike[str], trace: Trace) -> Trace:
    """A run that was made with the functions of a file, with a note of that: its options do not tell."""
    return replace(trace, notes=(*trace.notes, ("functions", json.dumps(os.fspath(path)))))


def _pickled(job: tuple[Any, ...]) -> bytes:
    """A job as bytes, at once: another thread may use the model, and what it remembers of itself then grows."""
    for _ in range(_TRIES):
        with suppress(RuntimeError):  # a dictionary has grown while it was read
            return pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
    return pickle.dumps(job, pickle.HIGHEST_PROTOCOL)


class _Process:
    """The process, and what it has said."""

    def __init__(self, file: Path, job: bytes, tell: Tell) -> None:
        self._file, self._tell = file, tell
        self._inbox: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._stacks = b""
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "clnf_engine.plugins.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        orders, messages, words = self._popen.stdin, self._popen.stdout, self._popen.stderr
        assert orders is not None and messages is not None and words is not None
        self._pipes: tuple[IO[bytes], ...] = (orders, messages, words)
        self._threads = (
            threading.Thread(target=self._converse, args=(job, orders, messages), daemon=True),
            threading.Thread(target=self._hear, args=(words,), daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def steps(self, check: Callable[[], None]) -> Iterator[Step]:
        """What it computes, until it has ended."""
        limits: tuple[float, float] | None = None
        since, waited = time.monotonic(), 0.0
        last: Step | None = None
        while True:
            check()
            try:
                message = self._inbox.get(timeout=_POLL_SECONDS)
            except Empty:
                if limits is not None and time.monotonic() - since > limits[0] + _GRACE_SECONDS:
                    raise FileError(self._file, "", f"gave no answer for {limits[0]:g} s") from None
                continue
            waited += time.monotonic() - since
            match message:
                case ("limits", step_seconds, fit_seconds):
                    limits, waited = (step_seconds, fit_seconds), 0.0
                case ("step", step, known):
                    last = _received(step, last.responses if known and last is not None else None)
                    yield last
                case ("failed", sentence):
                    raise ClnfError(sentence)
                case ("end",):
                    return
                case _:
                    raise self._death(last, limits or (math.inf, math.inf), waited)
            since = time.monotonic()

    def _death(self, last: Step | None, limits: tuple[float, float], waited: float) -> FileError:
        """Why it has ended without a word, after so many seconds of work."""
        step_seconds, fit_seconds = limits
        try:
            code = self._popen.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # it lives, but what it says cannot be read
            return FileError(self._file, "", "the process of its functions cannot be understood")
        self._threads[1].join(1.0)
        own = str(self._file).encode("ascii", "backslashreplace")
        frames = [(int(line), of.decode()) for file, line, of in _STACK.findall(self._stacks) if file == own]
        where = place(*frames[0]) if frames else ""
        if self._stacks.startswith(_DYING[0]):
            what, name, limit = "a step", "STEP_SECONDS", step_seconds
            if waited >= fit_seconds:
                what, name, limit = "the fit", "FIT_SECONDS", fit_seconds
            took = f"{what} took longer than {limit:g} s (to allow more: {name} = {3 * limit:g})"
            return FileError(self._file, where, took)
        after = "before the first step" if last is None else f"after {describe(last)}"
        what = self._stacks.split(b"\n")[0].partition(b": ")[2].decode("utf-8", "replace") or f"exit code {code}"
        return FileError(self._file, where, f"the process of its functions ended {after}: {what}")

    def end(self) -> None:
        """End it, wherever it is."""
        self._popen.kill()
        self._popen.wait()
        for thread in self._threads:
            thread.join(1.0)
        for pipe, thread in zip(self._pipes, (self._threads[0], *self._threads), strict=True):
            if not thread.is_alive():  # a process that the file has begun may hold the other end
                with suppress(OSError):  # what could not be flushed was for a process that has ended
                    pipe.close()

    # --- in threads of their own --------------------------------------------------------------

    def _converse(self, job: bytes, orders: IO[bytes], messages: IO[bytes]) -> None:
        try:
            orders.write(job)
            orders.flush()
            while True:
                self._inbox.put(pickle.load(messages))
        except Exception:  # it has ended, perhaps amid a message
            self._inbox.put(None)

    def _hear(self, words: IO[bytes]) -> None:
        lines = 0
        while line := words.readline(_LINE_BYTES):
            if self._stacks or line.startswith(_DYING):
                self._stacks = (self._stacks + line)[:_STACK_BYTES]
                continue
            lines += 1
            if lines <= _MOST_LINES:
                self._tell(line.decode("utf-8", "replace").rstrip())
            elif lines == _MOST_LINES + 1:
                self._tell(f"{self._file.name}: what else it prints is left out")


def _received(step: Step, maps: ResponseMaps | None) -> Step:
    """A Step as the engine makes it: its arrays cannot be changed, and its maps are those of its stage."""
    for record in (step, step.responses, step.mean_shift):
        if record is not None:
            read_only_fields(record)
    return step if maps is None else replace(step, responses=maps)
