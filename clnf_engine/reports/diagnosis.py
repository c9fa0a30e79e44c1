"""An investigation as one HTML file, for a reader who was not there: the question, the evidence, the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from clnf_engine.deviations import DEVIATIONS
from clnf_engine.diagnostics.finding import Finding, Table, cell_text
from clnf_engine.diagnostics.investigation import Investigation, versions
from clnf_engine.diagnostics.tools import Tool
from clnf_engine.reports.figures import FINAL_MARKS, INITIAL_MARK, photo_png, plot_svg
from clnf_engine.trace import Trace

_LONG = 20
"""Tables of more rows are folded."""

_CSS = """
:root { color-scheme: light dark; --soft: #667; --line: #d5d8de; --mark: #eef2f8; --link: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --soft: #9aa2ae; --line: #363b44; --mark: #20252d; --link: #7db4ff; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
a { color: var(--link); }
.question { font-style: italic; }
.verdict { background: var(--mark); border-left: 4px solid var(--link); padding: .6rem .9rem; }
.source, figcaption, footer { color: var(--soft); }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; }
th.number, td.number { text-align: right; white-space: nowrap; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--link); }
figure { margin: 1rem 0; }
figure svg { width: 100%; height: auto; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure img { max-width: 100%; max-height: 40rem; }
figcaption b { font-size: 1.2em; }
pre { background: var(--mark); padding: .6rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def report_html(investigation: Investigation) -> str:
    """The report as the text of an HTML file that needs no other."""
    title = escape(investigation.title)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>",
            *_summary(investigation),
            *_runs(investigation),
            *(line for tool, finding in investigation.findings for line in _section(tool, finding)),
            *_origin(investigation),
            "</body>\n</html>\n",
        ]
    )


def _summary(investigation: Investigation) -> Iterator[str]:
    yield (
        "<p>A CLNF fit moves a shape model, from a rough start, uphill on response maps that tell where each landmark "
        "is likely to be. Every tool asks one question of such a fit; its numbers come from the fit's own path."
        "</p>"
    )
    if investigation.note:
        yield f"<p>{escape(investigation.note)}</p>"
    yield '<div class="table"><table>\n<tr><th>Tool</th><th>Question</th><th>Verdict</th></tr>'
    for tool, finding in investigation.findings:
        link = f'<a href="#{escape(tool.name)}">{escape(tool.title)}</a>'
        yield f"<tr><td>{link}</td><td>{escape(finding.question)}</td><td>{escape(finding.verdict)}</td></tr>"
    yield "</table></div>"


def _runs(investigation: Investigation) -> Iterator[str]:
    table = investigation.run_table()
    yield f"<h2>{escape(table.title)}</h2>"
    runs = investigation.runs
    first = next(iter(runs.values()))
    same = all(np.array_equal(trace.image, first.image) for trace in runs.values())
    for shown in [runs] if same else [{name: trace} for name, trace in runs.items()]:
        yield _photo(dict(shown))
    yield _table(table)
    on = [d for d in DEVIATIONS.values() if any(d.on(trace.options) for trace in runs.values())]
    if on:
        rows = tuple((deviation.name, deviation.breaks, deviation.shows) for deviation in on)
        yield "<h3>The deviations from OpenFace that are on</h3>"
        yield _table(Table("", ("deviation", "what it breaks", "how that shows"), rows))


def _photo(runs: dict[str, Trace]) -> str:
    labels = [("start", INITIAL_MARK), *((f"{name}, end", mark) for name, mark in zip(runs, FINAL_MARKS, strict=False))]
    legend = " &emsp; ".join(f'<b style="color:{mark[2]}">{mark[0]}</b> {escape(label)}' for label, mark in labels)
    picture = f'<img alt="The face with its landmarks at the start and at the end" src="{photo_png(runs)}">'
    return f"<figure>{picture}<figcaption>{legend}</figcaption></figure>"


def _section(tool: Tool, finding: Finding) -> Iterator[str]:
    name = escape(tool.name)
    yield f'<h2 id="{name}">{escape(tool.title)}</h2>\n<p class="question">{escape(finding.question)}</p>'
    yield f'<p class="verdict">{escape(finding.verdict)}</p>'
    for number, plot in enumerate(finding.plots()):
        caption = f"<figcaption>{escape(plot.title)}</figcaption>"
        yield f"<figure>{caption}\n{plot_svg(plot, f'{name}-{number}')}</figure>"
    for table in finding.tables():
        if len(table.rows) > _LONG:
            yield f"<details><summary>{escape(table.title)} ({len(table.rows)} rows)</summary>{_table(table)}</details>"
        else:
            yield f"<h3>{escape(table.title)}</h3>{_table(table)}"
    yield f'<p class="source">{escape(finding.provenance)}</p>'


def _table(table: Table) -> str:
    columns = range(len(table.columns))
    kinds = ["" if any(isinstance(row[k], str) for row in table.rows) else ' class="number"' for k in columns]
    heading = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, table.columns, strict=True))
    rows = (
        "".join(f"<td{kind}>{escape(cell_text(cell))}</td>" for kind, cell in zip(kinds, row, strict=True))
        for row in table.rows
    )
    body = "\n".join(f"<tr>{row}</tr>" for row in (heading, *rows))
    return f'<div class="table"><table>\n{body}\n</table></div>'


def _origin(investigation: Investigation) -> Iterator[str]:
    yield f"<h2>To make this report again</h2>\n<pre>{escape(investigation.command)}</pre>"
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield f"<footer><p>Made with {escape(made)}.</p></footer>"
