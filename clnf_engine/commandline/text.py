"""Investigations and models as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clnf_engine.calibration import HAS_IT_WORKED
from clnf_engine.diagnostics.finding import Cell, Table, cell_text
from clnf_engine.diagnostics.investigation import Investigation

_WIDTH = 140
"""The headings of a table wider than this are broken into lines of `_HEADING`, characters."""

_HEADING = 12


def investigation_text(investigation: Investigation) -> str:
    """The runs, the tables of every tool, and the verdicts: these last, where they can be seen."""
    tables = (investigation.run_table(), investigation.error_table())
    blocks = [investigation.title, *(table_text(table) for table in tables if table is not None)]
    for tool, finding in investigation.findings:
        blocks.append(f"{tool.title}: {finding.question}\n{finding.provenance}")
        blocks += [textwrap.indent(table_text(table), "  ") for table in finding.tables()]
    blocks.append("\n".join(_verdict_lines(investigation)))
    return "\n\n".join(blocks) + "\n"


def _verdict_lines(investigation: Investigation) -> Iterator[str]:
    yield "Verdicts"
    if investigation.note:
        yield f"  {investigation.note}"
    for title, verdict in investigation.fit_verdicts():
        yield f"  {title}: {HAS_IT_WORKED}"
        yield f"    {verdict.sentence}"
        yield f"    {verdict.basis}"
    for tool, finding in investigation.findings:
        yield f"  {tool.title}: {finding.question}"
        yield f"    {finding.verdict}"


def table_text(table: Table) -> str:
    """A table with its title: columns of text to the left, of numbers to the right; the headings of a wide one wrap."""
    cells = [[row[k] for row in table.rows] for k in range(len(table.columns))]
    columns = [_column([heading], column) for heading, column in zip(table.columns, cells, strict=True)]
    if sum(2 + len(column[0]) for column in columns) > _WIDTH:
        columns = [_column(textwrap.wrap(h, _HEADING), column) for h, column in zip(table.columns, cells, strict=True)]
    height = max(map(len, columns))
    padded = [[" " * len(column[0])] * (height - len(column)) + column for column in columns]
    return "\n".join([table.title, *("  ".join(("", *line)).rstrip() for line in zip(*padded, strict=True))])


def _column(heading: list[str], cells: list[Cell]) -> list[str]:
    """The lines of a column, all of one width."""
    lines = heading + [cell_text(cell) for cell in cells]
    width = max(map(len, lines))
    left = any(isinstance(cell, str) for cell in cells)
    return [line.ljust(width) if left else line.rjust(width) for line in lines]


# --- models -----------------------------------------------------------------------------------------


def model_text(document: Mapping[str, Any]) -> str:
    """A `documents.model_document` for people."""
    lines = [f"model {document['name']}", *_model_lines(document)]
    for part in document["parts"]:
        pairs = len(part["landmark_pairs"])
        lines += [f"part {part['part']}: refines {pairs} landmarks, model {part['name']}"]
        lines += [f"  {line}" for line in _model_lines(part)]
    return "\n".join(lines) + "\n"


def _model_lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"  path            {document['path'] or '-'}"
    yield f"  fingerprint     {document['fingerprint']}"
    yield f"  landmarks       {document['landmarks']}"
    yield f"  modes           {document['modes']}"
    yield f"  triangulations  {_triangulations(document['triangulations'])}"
    yield f"  validator       {_validator(document['validator'])}"
    yield f"  unsupported     {', '.join(document['unsupported']) or 'none'}"
    yield from (f"  cannot be used  {problem}" for problem in document["problems"])
    for scale in document["scales"]:
        sigma = ", ".join(f"window {s['window']} x {s['components']}" for s in scale["sigma_components"])
        yield f"  scale {scale['patch_scaling']:g}: Sigma components: {sigma or 'none'}"
        yield "    view       centre (degrees)  visible  support  neurons  patch confidence"
        yield from (_view_line(k, view) for k, view in enumerate(scale["views"]))


def _triangulations(counts: Sequence[int]) -> str:
    return f"{len(counts)} of {' '.join(map(str, counts))} triangles" if counts else "none"


def _validator(centres: Sequence[Sequence[float]] | None) -> str:
    if centres is None:
        return "none"
    listed = ", ".join("({:g}, {:g}, {:g})".format(*(angle + 0.0 for angle in centre)) for centre in centres)
    return f"{len(centres)} views at {listed} degrees"


def _view_line(index: int, view: Mapping[str, Any]) -> str:
    centre = "({:g}, {:g}, {:g})".format(*view["centre_degrees"])
    support = "{} x {}".format(*view["support"])
    neurons = _range_text(view["neurons"])
    confidence = _range_text(view["patch_confidence"])
    return f"    {index:4d}  {centre:>21}  {view['visible_landmarks']:7d}  {support:>7}  {neurons:>7}  {confidence:>16}"


def _range_text(ends: Sequence[float] | None) -> str:
    if ends is None:
        return "-"
    low, high = (f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} to {high}"
