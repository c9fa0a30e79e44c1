"""Finding: a diagnostic's answer, in a form that a terminal, a report and a window can all show."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from clnf_engine.arrays import Floats
from clnf_engine.initial import Initial
from clnf_engine.steps import Place, place_order

Link = int | str | Place | Initial
"""What a row of a table is about: a landmark, an option (by name), a place in the run, or another start."""

Cell = str | float | int | bool | None
"""A value of a table; None where there is none."""

Progress = Callable[[int, int], None]
"""Told how many parts of how many are done. An exception it raises ends the work: that is how to cancel."""


def cell_text(cell: Cell) -> str:
    """A value for a person: four digits of a number, "-" where there is none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Table:
    """A table of a finding.

    Attributes
    ----------
    title : str
    columns : tuple of str
        Headings, with units.
    rows : tuple of tuple of Cell
    links : tuple of Link or None
        What each row is about; empty when no row is about anything one could go to.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    links: tuple[Link | None, ...] = ()


class Style(StrEnum):
    """How a plot shows its series: curves over numbers, or bars over names."""

    LINES = "lines"
    BARS = "bars"


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure of a finding.

    Attributes
    ----------
    title, x_label, y_label : str
    series : mapping of name to (k,) float64
        NaN where a series has no value.
    x : (k,) float64
        Where the values stand; 0, 1, … for bars.
    ticks : tuple of str
        Names of the x values; empty when they are numbers.
    log_y : bool
    style : Style
    """

    title: str
    x_label: str
    y_label: str
    x: Floats
    series: Mapping[str, Floats]
    ticks: tuple[str, ...] = ()
    log_y: bool = False
    style: Style = Style.LINES


class State(StrEnum):
    """What a step says of a row of a `Strip`; the values are fit to be read."""

    CONFORMS = "conforms"
    FAILS = "fails"
    FOLLOWS = "explained elsewhere"
    UNTESTED = "not exercised"


@dataclass(frozen=True, eq=False)
class Strip:
    """A figure of a finding: what every step says of each of several things.

    Attributes
    ----------
    title : str
    rows : tuple of str
        Names of the things.
    places : tuple of Place
        Of the steps, in order.
    states : mapping of (row, place) to State
        What is missing was not recorded.
    words : mapping of (row, place) to str
        More about a cell, such as its error.
    """

    title: str
    rows: tuple[str, ...]
    places: tuple[Place, ...]
    states: Mapping[tuple[str, Place], State]
    words: Mapping[tuple[str, Place], str]

    def place_at(self, row: str, place: Place) -> Place | None:
        """The place nearest before another, or at it, of the same stage, at which a row has a cell; None without."""
        order = place_order(place)
        found = (p for p in reversed(self.places) if place_order(p) <= order and (row, p) in self.states)
        return next((p for p in found if p[0] == place[0]), None)


class Finding(ABC):
    """What a diagnostic found: its numbers are the fields of the subclasses, all computed on the optimizer's own path.

    Attributes
    ----------
    question : str
        That it answers, with yes or no.
    wanted : bool or None
        The answer of a fit that is as it should be; None where neither is better.
    provenance : str
        Where its numbers come from, one sentence.
    """

    question: ClassVar[str]
    wanted: ClassVar[bool | None] = None
    provenance: ClassVar[str]

    @property
    @abstractmethod
    def answer(self) -> bool | None:
        """Yes or no to the question; None when it cannot be told, for which the verdict gives the reason."""

    @property
    def as_wanted(self) -> bool | None:
        """Whether all is as it should be; None where the question has no better answer, or none could be told."""
        return None if self.wanted is None or self.answer is None else self.answer is self.wanted

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The answer in one plain sentence, with the numbers it rests on."""

    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """The evidence as tables."""

    def plots(self) -> tuple[Plot, ...]:
        """The evidence as figures."""
        return ()

    def strips(self) -> tuple[Strip, ...]:
        """The evidence step by step."""
        return ()


def finding_document(name: str, finding: Finding) -> dict[str, Any]:
    """A finding as plain values for JSON.

    Parameters
    ----------
    name : str
        Of its tool.
    finding : Finding

    Returns
    -------
    dict
    """
    return {
        "tool": name,
        "question": finding.question,
        "answer": finding.answer,
        "verdict": finding.verdict,
        "provenance": finding.provenance,
        "tables": [
            {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
            for table in finding.tables()
        ],
    }
