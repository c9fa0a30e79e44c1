"""Lab: the diagnostics of the runs that are shown, run in the background, and what each has found."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import FitOptions, Initial, Model, Trace
from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Finding, Plot, Strip, Table
from clnf_engine.diagnostics.tools import TOOLS, Tool, diagnose
from clnf_engine.io.files import write_file
from clnf_gui.session.aspect import Aspect
from clnf_gui.worker import Job, Worker

_FILE = "file"
"""Kind of the jobs that write files; no tool has this name."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What tools look at.

    Attributes
    ----------
    runs : mapping of str to Trace
        Of the lanes that are shown, by name.
    active : str
        The lane that questions about one run are asked of.
    model : Model
    truth : (n, 2) float64 or None
        True landmarks, image px.
    recorded : frozenset of str
        The lanes whose runs were read from files.
    own : mapping of str to int
        Of the lanes whose runs were made with functions of a file the numbers of these runs: no two need be alike.
    """

    runs: Mapping[str, Trace]
    active: str
    model: Model
    truth: Floats | None = None
    recorded: frozenset[str] = frozenset()
    own: Mapping[str, int] = field(default_factory=dict)

    def lanes(self, tool: Tool) -> tuple[str, ...]:
        """Names of the lanes that a tool looks at."""
        return tuple(self.runs) if tool.compares else (self.active,)

    def traces(self, tool: Tool) -> tuple[Trace, Trace | None]:
        """The run a tool looks at, and the other one where it compares two that are shown."""
        first, *others = (self.runs[name] for name in self.lanes(tool))
        return first, others[0] if others else None

    def basis(self, tool: Tool) -> Basis:
        """What a tool's finding rests on."""
        return Basis(weakref.ref(self.model), {name: self.made(name) for name in self.lanes(tool)})

    def made(self, name: str) -> _Made:
        """What the run of a lane was made from."""
        trace = self.runs[name]
        file = weakref.ref(trace) if name in self.recorded else None
        return _Made(weakref.ref(trace.image), trace.initial, trace.options, file, self.own.get(name))


@dataclass(frozen=True)
class _Made:
    """What a run was made from; a fit has no other source of difference, and a recorded run is what was recorded."""

    image: weakref.ref
    initial: Initial
    options: FitOptions
    recorded: weakref.ref | None
    own: int | None

    def is_as(self, other: _Made) -> bool:
        """Whether a run was made from the same."""
        same = self.initial is other.initial and self.options == other.options
        same = same and (self.recorded, self.own) == (other.recorded, other.own)
        return same and self.image() is not None and self.image() is other.image()


@dataclass(frozen=True)
class Basis:
    """What a finding rests on, told without keeping the runs in memory.

    Attributes
    ----------
    model : weak reference to Model
    runs : mapping of str to _Made
        What the run of each lane was made from.
    """

    model: weakref.ref
    runs: Mapping[str, _Made]

    def holds_for(self, tool: Tool, now: Subject) -> bool:
        """Whether a tool would find the same in what is shown now."""
        if self.model() is not now.model or (tool.compares and self.runs.keys() != now.runs.keys()):
            return False
        return all(name in now.runs and made.is_as(now.made(name)) for name, made in self.runs.items())


@dataclass(frozen=True, eq=False)
class Result:
    """A finding, laid out.

    Attributes
    ----------
    basis : Basis
        What it was found in.
    finding : Finding
    tables : tuple of Table
    plots : tuple of Plot
    strips : tuple of Strip
    """

    basis: Basis
    finding: Finding
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]
    strips: tuple[Strip, ...]

    @property
    def lanes(self) -> tuple[str, ...]:
        """Names of the lanes it is about."""
        return tuple(self.basis.runs)

    def verdict(self, comparing: bool) -> str:
        """The finding's answer in one sentence, which names the lane it is about where two are shown."""
        if not comparing:
            return self.finding.verdict
        lanes = "Lane" if len(self.lanes) == 1 else "Lanes"
        return f"{lanes} {' and '.join(self.lanes)}: {self.finding.verdict}"


class Activity(StrEnum):
    """What a tool is doing."""

    NONE = "none"
    WAITING = "waiting"
    RUNNING = "running"


@dataclass(eq=False)
class Record:
    """A tool and its last result.

    Attributes
    ----------
    tool : Tool
    activity : Activity
    done, total : int
        Parts of the work, while it runs; 0 of 0 before the first is told of.
    result : Result or None
        Of the last time it ended well.
    problem : str
        Why it failed the last time; "" when it did not.
    """

    tool: Tool
    activity: Activity = Activity.NONE
    done: int = 0
    total: int = 0
    result: Result | None = None
    problem: str = ""

    def wait(self) -> None:
        """The tool is to run."""
        self.activity, self.done, self.total = Activity.WAITING, 0, 0

    def go_on(self, done: int, total: int) -> None:
        """The tool runs, and has come so far."""
        self.activity, self.done, self.total = Activity.RUNNING, done, total

    def take(self, result: Result) -> None:
        """The tool has found something."""
        self.result, self.problem = result, ""

    def rest(self, problem: str | None = None) -> None:
        """The tool has ended, or was ended; with a problem, it failed."""
        self.activity = Activity.NONE
        self.problem = self.problem if problem is None else problem

    def is_stale(self, now: Subject | None) -> bool:
        """Whether the result is about other runs than those of now."""
        return self.result is not None and (now is None or not self.result.basis.holds_for(self.tool, now))


class Lab(QObject):
    """Runs tools one after another, in a thread of their own: a long one keeps no fit waiting."""

    changed = Signal(Aspect)
    told = Signal(str)
    failed = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.records = {name: Record(tool) for name, tool in TOOLS.items()}
        self.chosen = next(iter(self.records))
        self._comparing = False
        """Whether two lanes were shown when tools were run last."""
        self._worker = Worker("clnf-lab")
        self._worker.started.connect(self._on_started)
        self._worker.progressed.connect(self._on_progressed)
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """Whether any tool runs or waits for its turn."""
        return any(record.activity is not Activity.NONE for record in self.records.values())

    def choose(self, name: str) -> None:
        """Choose the tool whose finding is shown."""
        if name != self.chosen:
            self.chosen = name
            self.changed.emit(Aspect.LAB)

    def run(self, names: Iterable[str], subject: Subject) -> None:
        """Run tools, in this order; one that runs or waits already begins anew."""
        self._comparing = len(subject.runs) > 1
        for name in names:
            record = self.records[name]
            record.wait()
            self._worker.submit(name, self._job(record.tool, subject))
        self.changed.emit(Aspect.LAB)

    def _job(self, tool: Tool, subject: Subject) -> Job:
        def job() -> Iterator[Result]:
            trace, other = subject.traces(tool)
            for _, finding in diagnose(trace, subject.model, other, [tool], self._worker.report):
                yield Result(subject.basis(tool), finding, finding.tables(), finding.plots(), finding.strips())

        return job

    def results(self, now: Subject) -> tuple[tuple[Tool, Result], ...]:
        """What has been found in the runs of now; nothing that is out of date."""
        records = [record for record in self.records.values() if not record.is_stale(now)]
        return tuple((record.tool, record.result) for record in records if record.result is not None)

    def write(self, path: Path, make: Callable[[], bytes]) -> None:
        """Write what `make` returns to a file, after the tools that run."""

        def job() -> Iterator[str]:
            write_file(path, make())
            yield f"saved {path}"

        self._worker.submit(_FILE, job)

    def cancel(self) -> None:
        """End what runs and forget what waits; earlier results stay."""
        for name, record in self.records.items():
            if record.activity is not Activity.NONE:
                self._worker.cancel(name)
                record.rest()
        self.changed.emit(Aspect.LAB)

    def shut_down(self) -> None:
        """End the thread; the Lab cannot be used afterwards."""
        self._worker.shut_down()

    # --- answers ------------------------------------------------------------------------------

    def _record(self, name: str, epoch: int) -> Record | None:
        """The record an answer is for; None when it comes too late, or is about a file."""
        return self.records.get(name) if self._worker.is_current(name, epoch) else None

    @Slot(str, int)
    def _on_started(self, name: str, epoch: int) -> None:
        if (record := self._record(name, epoch)) is not None:
            record.go_on(0, 0)
            self.changed.emit(Aspect.LAB)

    @Slot(str, int, int, int)
    def _on_progressed(self, name: str, epoch: int, done: int, total: int) -> None:
        if (record := self._record(name, epoch)) is not None:
            record.go_on(done, total)
            self.changed.emit(Aspect.LAB)

    @Slot(str, int, object)
    def _on_produced(self, name: str, epoch: int, item: Any) -> None:
        if name == _FILE:
            self.told.emit(item)
        elif (record := self._record(name, epoch)) is not None:
            record.take(item)

    @Slot(str, int, float)
    def _on_finished(self, name: str, epoch: int, _: float) -> None:
        if (record := self._record(name, epoch)) is not None and record.result is not None:
            record.rest()
            self.changed.emit(Aspect.LAB)
            self.told.emit(f"{record.tool.title}: {record.result.verdict(self._comparing)}")

    @Slot(str, int, str, str)
    def _on_failed(self, name: str, epoch: int, message: str, details: str) -> None:
        if name == _FILE:
            self.failed.emit(message, details)
        elif (record := self._record(name, epoch)) is not None:
            record.rest(message)
            self.changed.emit(Aspect.LAB)
            self.failed.emit(f"{record.tool.title}: {message}", details)
