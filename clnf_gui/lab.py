"""Lab: the diagnostics of the runs that are shown, run in the background, and what each has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import Model, Trace
from clnf_engine.diagnostics.finding import Finding, Plot, Table
from clnf_engine.diagnostics.tools import TOOLS, Tool, diagnose
from clnf_engine.io.files import write_file
from clnf_gui.worker import Job, Worker

_FILE = "file"
"""Kind of the jobs that write files; no tool has this name."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What tools look at.

    Attributes
    ----------
    trace : Trace
        Of lane A.
    model : Model
    other : Trace or None
        Of lane B, while two lanes are compared.
    """

    trace: Trace
    model: Model
    other: Trace | None

    def same_for(self, tool: Tool, subject: Subject) -> bool:
        """Whether a tool would find the same in another subject."""
        return (
            self.model is subject.model
            and _same_run(self.trace, subject.trace)
            and (not tool.compares or _same_run(self.other, subject.other))
        )


def _same_run(a: Trace | None, b: Trace | None) -> bool:
    """Whether two runs are made from the same; a fit has no other source of difference."""
    if a is None or b is None:
        return a is b
    return a.image is b.image and a.initial is b.initial and a.options == b.options


@dataclass(frozen=True, eq=False)
class Result:
    """A finding, laid out, and what it was found in."""

    subject: Subject
    finding: Finding
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


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

    def is_stale(self, now: Subject | None) -> bool:
        """Whether the result is about other runs than those of now."""
        return self.result is not None and (now is None or not self.result.subject.same_for(self.tool, now))


class Lab(QObject):
    """Runs tools one after another, in a thread of their own: a long one keeps no fit waiting."""

    changed = Signal()
    told = Signal(str)
    failed = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.records = {name: Record(tool) for name, tool in TOOLS.items()}
        self.chosen = next(iter(self.records))
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
            self.changed.emit()

    def run(self, names: Iterable[str], subject: Subject) -> None:
        """Run tools, in this order; one that runs or waits already begins anew."""
        for name in names:
            record = self.records[name]
            record.activity, record.done, record.total = Activity.WAITING, 0, 0
            self._worker.submit(name, self._job(record.tool, subject))
        self.changed.emit()

    def _job(self, tool: Tool, subject: Subject) -> Job:
        def job() -> Iterator[Result]:
            found = diagnose(subject.trace, subject.model, subject.other, [tool], self._worker.report)
            for _, finding in found:
                yield Result(subject, finding, finding.tables(), finding.plots())

        return job

    def findings(self, now: Subject) -> tuple[tuple[Tool, Finding], ...]:
        """What has been found in the runs of now; nothing that is out of date."""
        records = [record for record in self.records.values() if not record.is_stale(now)]
        return tuple((record.tool, record.result.finding) for record in records if record.result is not None)

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
                record.activity = Activity.NONE
        self.changed.emit()

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
            record.activity = Activity.RUNNING
            self.changed.emit()

    @Slot(str, int, int, int)
    def _on_progressed(self, name: str, epoch: int, done: int, total: int) -> None:
        if (record := self._record(name, epoch)) is not None:
            record.done, record.total = done, total
            self.changed.emit()

    @Slot(str, int, object)
    def _on_produced(self, name: str, epoch: int, item: Any) -> None:
        if name == _FILE:
            self.told.emit(item)
        elif (record := self._record(name, epoch)) is not None:
            record.result = item

    @Slot(str, int, float)
    def _on_finished(self, name: str, epoch: int, _: float) -> None:
        if (record := self._record(name, epoch)) is not None and record.result is not None:
            record.activity, record.problem = Activity.NONE, ""
            self.changed.emit()
            self.told.emit(f"{record.tool.title}: {record.result.finding.verdict}")

    @Slot(str, int, str, str)
    def _on_failed(self, name: str, epoch: int, message: str, details: str) -> None:
        if name == _FILE:
            self.failed.emit(message, details)
        elif (record := self._record(name, epoch)) is not None:
            record.activity, record.problem = Activity.NONE, message
            self.changed.emit()
            self.failed.emit(f"{record.tool.title}: {message}", details)
