"""Investigation: the runs that were looked at and what was found, for a terminal, a program or a reader to show."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from clnf_engine import __version__
from clnf_engine.accuracy import accuracy
from clnf_engine.arrays import Floats
from clnf_engine.calibration import Verdict
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.diagnostics.finding import Cell, Finding, Table, finding_document
from clnf_engine.diagnostics.tools import Tool
from clnf_engine.documents import VERSION, error_document, run_document
from clnf_engine.options import option_defaults
from clnf_engine.trace import StageSummary, Trace

Row = tuple[Cell, ...]

_GLOBAL = ("scale, px per model unit", "rx, radians", "ry, radians", "rz, radians", "tx, px", "ty, px")


@dataclass(frozen=True, eq=False)
class Investigation:
    """What a report shows.

    Attributes
    ----------
    title : str
    command : str
        That makes this report again.
    runs : mapping of name to Trace
        At least one.
    findings : tuple of (Tool, Finding)
    note : str
        What a reader must know to understand the verdicts; "" when there is nothing.
    verdicts : mapping of name to Verdict
        Whether the runs have worked, of those whose model is known.
    truth : (n, 2) float64 or None
        True landmarks, image px.
    """

    title: str
    command: str
    runs: Mapping[str, Trace]
    findings: tuple[tuple[Tool, Finding], ...]
    note: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    truth: Floats | None = None

    def run_table(self) -> Table:
        """What was fitted and how it ended, a column per run."""
        traces = tuple(self.runs.values())
        rows = [*_subject_rows(traces), *_option_rows(traces), *_result_rows(traces)]
        return Table("Runs" if len(traces) > 1 else "Run", ("", *self.runs), tuple(rows))

    def error_table(self) -> Table | None:
        """How far every run was from the truth; None where that is not known."""
        return None if self.truth is None else error_table(self.runs, self.truth)

    def fit_verdicts(self) -> Iterator[tuple[str, Verdict]]:
        """A title for every run whose model is known, and whether it has worked."""
        for name, verdict in self.verdicts.items():
            yield "The fit" if len(self.runs) == 1 else f"The fit {name}", verdict

    def document(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return {
            "version": VERSION,
            "title": self.title,
            "command": self.command,
            "versions": versions(),
            "runs": [self._run_document(name, trace) for name, trace in self.runs.items()],
            "findings": [finding_document(tool.name, finding) for tool, finding in self.findings],
            "note": self.note,
        }

    def _run_document(self, name: str, trace: Trace) -> dict[str, Any]:
        truth, first = self.truth, trace.steps[0].landmarks
        return {
            "name": name,
            "model": trace.model_name,
            "image_size": _size(trace),
            "options": trace.options.to_json(),
            **run_document(trace, self.verdicts.get(name), truth),
            **({} if truth is None else {"error_at_start": error_document(accuracy(first, truth))}),
            "update_norm": _final(trace, "update_norm"),
            "shape_change": _final(trace, "shape_change"),
        }


def error_table(runs: Mapping[str, Trace], truth: Floats) -> Table:
    """How far runs were from the truth when they started and when they ended.

    Parameters
    ----------
    runs : mapping of name to Trace
    truth : (n, 2) float64
        Image px.
    """
    columns = tuple(f"{name} {moment}".strip() for name in runs for moment in ("start", "end"))
    ends = (step.landmarks for trace in runs.values() for step in (trace.steps[0], trace.steps[-1]))
    errors = [accuracy(landmarks, truth) for landmarks in ends]
    rows: list[Row] = [("all, px", *(error.mean for error in errors))]
    if errors[0].regions:
        rows.append(("all, %", *(error.mean_percent for error in errors)))
        rows += [(f"{name}, %", *(error.regions[name] for error in errors)) for name in errors[0].regions]
    return Table("Mean distance from the truth (%: of the outer-eye distance)", ("landmarks", *columns), tuple(rows))


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "clnf": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
    }


def _size(trace: Trace) -> tuple[int, int]:
    return trace.image.shape[1], trace.image.shape[0]


def _final(trace: Trace, name: str) -> float | None:
    """A number of the last iteration that has it."""
    return next((value for step in reversed(trace.steps) if (value := getattr(step, name)) is not None), None)


def _subject_rows(traces: tuple[Trace, ...]) -> Iterator[Row]:
    yield "image, px", *("{} x {}".format(*_size(trace)) for trace in traces)
    yield "model", *(trace.model_name for trace in traces)
    yield "landmarks", *(len(trace.landmarks) for trace in traces)
    yield "start", *(str(trace.initial.source) for trace in traces)
    yield "box x, y, width, height, px", *(", ".join(f"{v:g}" for v in trace.initial.box) for trace in traces)


def _option_rows(traces: tuple[Trace, ...]) -> Iterator[Row]:
    """The options in which any run differs from OpenFace."""
    changed = 0
    for name, default in option_defaults().items():
        values = [getattr(trace.options, name) for trace in traces]
        if any(value != default for value in values):
            changed += 1
            yield (
                f"deviation {DEVIATIONS[name].label}" if name in DEVIATIONS else f"option {name}",
                *map(option_cell, values),
            )
    if not changed:
        yield "options", *("OpenFace's" for _ in traces)


def option_cell(value: Any) -> Cell:
    """The value of an option as a table shows it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if isinstance(value, (bool, int, float)) else str(value)


def _result_rows(traces: tuple[Trace, ...]) -> Iterator[Row]:
    yield "result", *(trace.message or "not complete" for trace in traces)
    stages = [{summary.stage.index: summary for summary in trace.stages} for trace in traces]
    for index in sorted(set().union(*stages)):
        yield f"stage {index + 1}", *(_stage_cell(of_run.get(index)) for of_run in stages)
    yield "likelihood", *(trace.likelihood for trace in traces)
    yield "final update ‖Δp‖", *(_final(trace, "update_norm") for trace in traces)
    yield "final shape change, px", *(_final(trace, "shape_change") for trace in traces)
    for k, name in enumerate(_GLOBAL):
        yield name, *(float(trace.params_global[k]) for trace in traces)


def _stage_cell(summary: StageSummary | None) -> Cell:
    if summary is None:
        return None
    if summary.stage.skipped:
        return f"skipped: {summary.stage.skipped}"
    where = f"scale {summary.stage.scale:g}, window {summary.stage.window}"
    return f"{where}: {summary.rigid_iterations} rigid, {summary.nonrigid_iterations} non-rigid"
