"""Things to take out of the window: pictures, tables, a report of a step, a program that repeats the run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, Qt
from PySide6.QtGui import QImage, QImageWriter
from PySide6.QtWidgets import QWidget

from clnf_engine import Detection, DetectionOptions, FitOptions, Initial, Model, Trace, VideoSource
from clnf_engine.arrays import Floats
from clnf_engine.calibration import Verdict, judge
from clnf_engine.detection.tree import Node
from clnf_engine.diagnostics.finding import Table
from clnf_engine.diagnostics.investigation import error_table, option_cell
from clnf_engine.diagnostics.tools import Tool
from clnf_engine.steps import Place, Step, describe
from clnf_engine.tracking.journal import Row, columns, run_name
from clnf_engine.tracking.results import Results
from clnf_gui.session.lab import Result, Subject
from clnf_gui.session.lanes import Lane
from clnf_gui.views.tables import statistics_columns, step_columns, step_values

_SCALE = 2
_HEAD = (
    "import numpy as np",
    "",
    "from clnf_engine import FitOptions, Trace, fit, initial_from_params, load_model, open_video",
    "from clnf_engine.io.images import read_image",
    "from clnf_engine.plugins.process import fit_with",
)


def picture(widget: QWidget) -> QImage:
    """A widget as a picture at twice its size."""
    image = QImage(widget.size() * _SCALE, QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(_SCALE)
    image.fill(Qt.GlobalColor.transparent)
    QWidget.render(widget, image)  # QGraphicsView has a render of its own
    return image


def png_bytes(image: QImage) -> bytes:
    """A picture as the bytes of a PNG file; any thread may ask for them."""
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    QImageWriter(buffer, QByteArray(b"png")).write(image)
    return bytes(data.data())


def steps_csv(trace: Trace, truth: Floats | None = None) -> str:
    """The step table as CSV, every number in full, under plain names; with true landmarks, image px, the errors too."""
    columns = step_values(trace.numbers, truth)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    return buffer.getvalue()


def tracking_csv(results: Results, source: VideoSource, model: Model, lane: Lane) -> Callable[[], bytes]:
    """Makes the file that ``clnf track`` writes, of what a lane has tracked."""
    options, tracking, first = lane.options, lane.tracking, lane.chosen.first

    def make() -> bytes:
        run = run_name(source, model, options, tracking, first)
        rows = (Row.of(result, model, tracking, run).text() for result in results)
        return "".join([",".join(columns(model)) + "\n", *rows]).encode("ascii")

    return make


def python_source(
    trace: Trace, name: str, image: Path, model: Path, place: Place, frame: int | None, recorded: Mapping[str, Path]
) -> str:
    """A program that repeats a run, bit for bit, or reads a recorded one, and finds the Step at a place.

    Parameters
    ----------
    trace : Trace
    name : str
        Of its lane.
    image, model : Path
    place : Place
    frame : int or None
        That of a video.
    recorded : mapping of str to Path
        The files of lanes with recorded runs, the first of which holds the image.
    """
    stage, phase, iteration = place
    return "\n".join(
        [
            *_HEAD,
            "",
            *_sources(image, model, frame, recorded),
            f"trace = {_run(trace, recorded.get(name))}",
            f"step = next(s for s in trace.steps if s.place == ({stage!r}, {str(phase)!r}, {iteration!r}))",
            "print(trace.message, trace.landmarks, step.update_norm)",
            "",
        ]
    )


def detection_source(detection: Detection, node: Node, image: Path, model: Path, place: Place) -> str:
    """A program that repeats a detection, bit for bit, and finds the Step at a place of one of its runs."""
    first, options = detection.hypotheses[0].trace, detection.options
    params, box = _params(first.initial), first.initial.box
    initial = f"Initial(np.array({params}), Source({str(first.initial.source)!r}), {box!r})"
    around = _changes(options, DetectionOptions())
    stage, phase, iteration = place
    return "\n".join(
        [
            "import numpy as np",
            "",
            "from clnf_engine import DetectionOptions, FitOptions, Initial, detect, load_model",
            "from clnf_engine.detection.tree import Node, node_run",
            "from clnf_engine.io.images import read_image",
            "from clnf_engine.options import Source",
            "",
            *_sources(image, model, None, {}),
            f"initial = {initial}",
            f"options = FitOptions({_changes(first.options, FitOptions())}), DetectionOptions({around})",
            "found = detect(image, model, initial, *options)",
            f"run = node_run(found, {node!r})",
            f"step = next(s for s in run.steps if s.place == ({stage!r}, {str(phase)!r}, {iteration!r}))",
            "print(found.message, found.landmarks, step.landmarks)",
            "",
        ]
    )


def lab_source(
    subject: Subject, image: Path, model: Path, names: Iterable[str], frame: int | None, recorded: Mapping[str, Path]
) -> str:
    """A program that repeats the runs the Lab looks at, and what its tools of these names found."""
    runs = ", ".join(_run(trace, recorded.get(name)) for name, trace in subject.runs.items())
    return "\n".join(
        [
            *_HEAD,
            "from clnf_engine.diagnostics.tools import diagnose, tools_named",
            "",
            *_sources(image, model, frame, recorded),
            f"runs = dict(zip({list(subject.runs)!r}, [{runs}]))",
            'if __name__ == "__main__":  # some tools use several processes',
            f"    for tool in tools_named({list(names)!r}):",
            f"        first, *others = runs.values() if tool.compares else [runs[{subject.active!r}]]",
            "        for _, finding in diagnose(first, model, *others, tools=[tool]):",
            "            print(tool.title, finding.verdict)",
            "",
        ]
    )


def _sources(image: Path, model: Path, frame: int | None, recorded: Mapping[str, Path]) -> tuple[str, str]:
    gray = f"read_image({str(image)!r}).gray" if frame is None else f"open_video({str(image)!r}).frame({frame}).gray"
    if recorded:
        gray = f"Trace.load({str(next(iter(recorded.values())))!r}).image"
    return f"model = load_model({str(model)!r})", f"image = {gray}"


def _run(trace: Trace, file: Path | None) -> str:
    """The call that makes a run, or reads it from its file."""
    if file is not None:
        return f"Trace.load({str(file)!r})"
    changes = _changes(trace.options, FitOptions())
    initial = f"initial_from_params(model, np.array({_params(trace.initial)}))"
    fit = "fit("
    if (own := dict(trace.notes).get("functions")) is not None:
        fit = f"fit_with({json.loads(own)!r}, "
    return f"{fit}image, model, {initial}, FitOptions({changes}))"


def _changes(options: FitOptions | DetectionOptions, default: FitOptions | DetectionOptions) -> str:
    """The options that are not the default, as a call has them."""
    return ", ".join(
        f"{field.name}={_literal(getattr(options, field.name))}"
        for field in fields(options)
        if getattr(options, field.name) != getattr(default, field.name)
    )


def lab_report(
    subject: Subject,
    results: Sequence[tuple[Tool, Result]],
    image: Path,
    model: Path,
    frame: int | None,
    recorded: Mapping[str, Path],
) -> bytes:
    """One self-contained HTML page with what the Lab found."""
    from clnf_engine.diagnostics.foreign import foreign
    from clnf_engine.diagnostics.investigation import Investigation
    from clnf_engine.reports.diagnosis import report_html

    note = ""
    strange = {name for name in subject.recorded if foreign(subject.runs[name], subject.model)} | subject.own.keys()
    if len(subject.runs) > 1:
        asked = {name: [tool.title for tool, found in results if found.lanes == (name,)] for name in subject.runs}
        note = " ".join(f"Asked of lane {name}: {', '.join(titles)}." for name, titles in asked.items() if titles)
    elif any(tool.compares for tool, _ in results):
        own = "the engine's own run from the same start" if strange else "the same fit with another normalization"
        note = f"Where two runs are compared, B is {own}."
    source = lab_source(subject, image, model, [tool.name for tool, _ in results], frame, recorded)
    findings = tuple((tool, result.finding) for tool, result in results)
    own_runs = {name: trace for name, trace in subject.runs.items() if name not in strange}
    verdicts = {name: judge(trace.steps, subject.model, trace.options) for name, trace in own_runs.items()}
    title = f"Diagnosis of {image.name}"
    found = Investigation(title, source, subject.runs, findings, note, verdicts, subject.truth)
    return report_html(found).encode()


def _params(initial: Initial) -> str:
    return repr(initial.params.tolist())


def _literal(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str) else repr(value)


def step_report(
    trace: Trace,
    step: Step,
    title: str,
    pictures: Mapping[str, QImage],
    verdict: Verdict,
    truth: Floats | None = None,
) -> str:
    """One self-contained HTML page about a Step: where it is, the pictures by name, and the tables."""
    from clnf_engine.reports.page import Figure, Section, page_html

    outcome = trace.message if trace.complete else "still running"
    where = f"Model {trace.model_name}; the fit: {outcome}. This page shows {describe(step)}."
    options = {field.name: option_cell(getattr(trace.options, field.name)) for field in fields(FitOptions)}
    tables = (
        *([] if truth is None or truth.shape != step.landmarks.shape else [error_table({"": trace}, truth)]),
        _table("Steps", step_columns(trace.numbers, truth), tuple(each.place for each in trace.numbers)),
        _table("Response maps of every stage", statistics_columns(trace)),
        _table("Options", {"option": list(options), "value": list(options.values())}),
    )
    figures = tuple(Figure(name, png_bytes(image)) for name, image in pictures.items())
    sections = [Section("Pictures", figures=figures), Section("Numbers", tables=tables)]
    return page_html(title, [where, f"{verdict.sentence} {verdict.basis}"], sections, here=step.place)


def _table(title: str, columns: Mapping[str, Sequence[Any]], links: tuple[Place, ...] = ()) -> Table:
    return Table(title, tuple(columns), tuple(zip(*columns.values(), strict=True)), links)
