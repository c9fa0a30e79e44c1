"""A report as one HTML file that needs no other: a title, paragraphs, and sections of figures and tables.

Every text is escaped, whoever wrote it. Layout and style are those of ``report.html.j2``, for all reports.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from clnf_engine.diagnostics.finding import Link, Table, cell_text
from clnf_engine.diagnostics.investigation import versions

_LONG = 20
"""Tables of more rows are folded, if they have a title to unfold them by."""

_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What no HTML file may hold: control characters, halves of pairs (from names that are not UTF-8), no characters."""


@dataclass(frozen=True)
class Figure:
    """A picture with a caption.

    Attributes
    ----------
    caption : str
    png : bytes
        Of a PNG file; or else
    svg : str
        The element of `figures.plot_svg`, which goes into the page as it is.
    marks : tuple of (sign, colour, meaning)
        What is drawn, for the caption.
    """

    caption: str
    png: bytes = b""
    svg: str = ""
    marks: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a report, in the order in which it is shown.

    Attributes
    ----------
    title : str
    name : str
        Of letters, digits, ``_`` and ``-``; unlike that of any other section. Needed with a verdict.
    question, verdict : str
        Listed at the top of the report, too.
    figures : tuple of Figure
    tables : tuple of Table
        Long ones with a title are folded.
    source : str
        Where the numbers come from.
    code : str
        Shown as it was typed.
    """

    title: str
    name: str = ""
    question: str = ""
    verdict: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    source: str = ""
    code: str = ""


def page_html(title: str, paragraphs: Sequence[str], sections: Sequence[Section], here: Link | None = None) -> str:
    """The text of an HTML file.

    Parameters
    ----------
    title : str
    paragraphs : sequence of str
        Below the title.
    sections : sequence of Section
    here : Link, optional
        Rows of tables that are about this are highlighted, and their table is not folded.

    Returns
    -------
    str
        Of characters that UTF-8 can hold; control characters are written as Python writes them.
    """
    page = _template().render(title=title, paragraphs=paragraphs, sections=sections, here=here, versions=versions())
    return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), page) + "\n"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": _base64, "cell_text": cell_text, "number_columns": _number_columns}
    environment.globals |= {"marked": _marked, "long_table": _LONG}
    return environment.get_template("report.html.j2")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _number_columns(table: Table) -> list[bool]:
    """Which columns stand to the right."""
    return [not any(isinstance(row[k], str) for row in table.rows) for k in range(len(table.columns))]


def _marked(table: Table, here: Link | None) -> list[bool]:
    """Which rows are highlighted."""
    return [here is not None and link == here for link in table.links or [None] * len(table.rows)]
