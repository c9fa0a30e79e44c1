"""An investigation as text for a terminal: the evidence first, the verdicts last, where they can be seen."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from clnf_engine.diagnostics.finding import Cell, Table
from clnf_engine.diagnostics.investigation import Investigation

_WIDTH = 140
"""The headings of a table wider than this are broken into lines of `_HEADING`, characters."""

_HEADING = 12


def investigation_text(investigation: Investigation) -> str:
    """The runs, the tables of every tool, and the verdicts."""
    blocks = [investigation.title, table_text(investigation.run_table())]
    for tool, finding in investigation.findings:
        blocks.append(f"{tool.title}: {finding.question}\n{finding.provenance}")
        blocks += [textwrap.indent(table_text(table), "  ") for table in finding.tables()]
    blocks.append("\n".join(_verdict_lines(investigation)))
    return "\n\n".join(blocks) + "\n"


def _verdict_lines(investigation: Investigation) -> Iterator[str]:
    yield "Verdicts"
    if investigation.note:
        yield f"  {investigation.note}"
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


def cell_text(cell: Cell) -> str:
    """A value for a person: four digits of a number, "-" where there is none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
