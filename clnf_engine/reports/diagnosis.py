"""An investigation as a report, for a reader who was not there: the question, the evidence, the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from clnf_engine.calibration import HAS_IT_WORKED
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.diagnostics.finding import Finding, Table
from clnf_engine.diagnostics.investigation import Investigation
from clnf_engine.reports.figures import FINAL_MARKS, INITIAL_MARK, photo_png, plot_svg, strip_svg
from clnf_engine.reports.page import Figure, Section, page_html
from clnf_engine.trace import Trace

_INTRODUCTION = (
    "A CLNF fit moves a shape model, from a rough start, uphill on response maps that tell where each landmark "
    "is likely to be. Every tool asks one question of such a fit; its numbers come from the fit's own path."
)


def report_html(investigation: Investigation) -> str:
    """The report as the text of an HTML file that needs no other."""
    paragraphs = [_INTRODUCTION, *filter(None, [investigation.note])]
    verdicts = (
        Section(title, title.replace(" ", "-").lower(), HAS_IT_WORKED, verdict.sentence, source=verdict.basis)
        for title, verdict in investigation.fit_verdicts()
    )
    findings = (finding_section(tool.title, tool.name, finding) for tool, finding in investigation.findings)
    origin = Section("To make this report again", code=investigation.command)
    return page_html(investigation.title, paragraphs, [_runs(investigation), *verdicts, *findings, origin])


def _runs(investigation: Investigation) -> Section:
    table = investigation.run_table()
    error = investigation.error_table()
    tables = (replace(table, title=""), *([] if error is None else [error]), *_deviations(investigation))
    return Section(table.title, figures=tuple(_photos(investigation)), tables=tables)


def _deviations(investigation: Investigation) -> Iterator[Table]:
    traces = investigation.runs.values()
    on = (d for d in DEVIATIONS.values() if any(d.on(trace.options) for trace in traces))
    rows = tuple((d.title, d.name, d.breaks, d.shows) for d in on)
    if rows:
        columns = ("deviation", "option", "what it breaks", "how that shows")
        yield Table("The deviations from OpenFace that are on", columns, rows)


def _photos(investigation: Investigation) -> Iterator[Figure]:
    """One of all runs on the same image, or one of each."""
    runs = investigation.runs
    first = next(iter(runs.values()))
    same = all(np.array_equal(trace.image, first.image) for trace in runs.values())
    for shown in [runs] if same else [{name: trace} for name, trace in runs.items()]:
        yield _photo(dict(shown))


def _photo(runs: dict[str, Trace]) -> Figure:
    ends = ((sign, colour, f"{name}, end") for name, (sign, _, colour) in zip(runs, FINAL_MARKS, strict=False))
    start = (INITIAL_MARK[0], INITIAL_MARK[2], "start")
    return Figure("The face with its landmarks", photo_png(runs), marks=(start, *ends))


def finding_section(title: str, name: str, finding: Finding) -> Section:
    """A finding as a section of a report."""
    drawn = [(strip.title, partial(strip_svg, strip)) for strip in finding.strips()]
    drawn += [(plot.title, partial(plot_svg, plot)) for plot in finding.plots()]
    return Section(
        title,
        name,
        finding.question,
        finding.verdict,
        tuple(Figure(caption, svg=draw(f"{name}-{number}")) for number, (caption, draw) in enumerate(drawn)),
        finding.tables(),
        finding.provenance,
    )
