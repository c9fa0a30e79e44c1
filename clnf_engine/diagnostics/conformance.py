"""Conformance: what the check of a trace found, as a finding that a terminal, a report and a window can show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from clnf_engine.checking.conventions import in_format
from clnf_engine.checking.findings import CheckFinding, OperationFinding, Status
from clnf_engine.diagnostics.finding import Cell, Finding, Link, Progress, State, Strip, Table, no_progress
from clnf_engine.model import Model
from clnf_engine.steps import Place, place_order, place_text
from clnf_engine.trace import Trace

if TYPE_CHECKING:
    from clnf_engine.checking.evaluation import Evaluation

_ANSWERS = {True: "Yes", False: "No", None: "It cannot be told"}


@dataclass(frozen=True, eq=False)
class ConformanceFinding(Finding):
    """What a check found.

    Attributes
    ----------
    check : CheckFinding
    places : mapping of Place to Place
        Of every step of the run: its place in the conventions of the format, in which it was checked, and its own.
    """

    question: ClassVar[str] = "Is every operation of this run OpenFace's?"
    wanted: ClassVar[bool | None] = True
    provenance: ClassVar[str] = (
        "Every operation of the run, computed again from the run's own inputs at that step, against what it recorded."
    )

    check: CheckFinding
    places: Mapping[Place, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, trace: Trace, check: CheckFinding) -> ConformanceFinding:
        """What a check found in a trace, of which no array is kept."""
        operations = tuple(
            replace(found, worst=None, mistakes=tuple(replace(mistake, function=None) for mistake in found.mistakes))
            for found in check.operations
        )
        pairs = zip(in_format(trace, check.conventions).numbers, trace.numbers, strict=True)
        places = {checked.place: own.place for checked, own in pairs}
        return cls(replace(check, operations=operations), places)

    @property
    def answer(self) -> bool | None:
        """Whether nothing fails; None when nothing could be checked."""
        return self.check.conforms if self.check.checked else None

    @property
    def verdict(self) -> str:
        """The mistakes, and what is right."""
        return f"{_ANSWERS[self.answer]}. {self.check.verdict}"

    def tables(self) -> tuple[Table, ...]:
        """A row per operation; the mistakes of those that fail; the repair matrix."""
        columns = ("operation", "status", "first", "wrong", "of", "error", "unit", "float32", "effect, px", "remark")
        rows = tuple(_row(operation) for operation in self.check.operations)
        links: tuple[Link | None, ...] = tuple(self._own(operation.first) for operation in self.check.operations)
        tables = [Table("Operations", columns, rows, links)]
        mistakes = tuple(
            (operation.name, mistake.name, mistake.text, mistake.error)
            for operation in self.check.operations
            for mistake in operation.mistakes
        )
        if mistakes:
            title = "Mistakes that reproduce every value"
            tables.append(Table(title, ("operation", "mistake", "what is wrong", "error left"), mistakes))
        if self.check.repair:
            heads = ("mistakes that are on", "distance to the run's landmarks, px")
            tables.append(Table("The reference with these mistakes", heads, self.check.repair))
        return tuple(tables)

    def strips(self) -> tuple[Strip, ...]:
        """Every operation at every step."""
        states: dict[tuple[str, Place], State] = {}
        words: dict[tuple[str, Place], str] = {}
        worst: dict[tuple[str, Place], float] = {}
        for operation in self.check.operations:
            for place, error in self._errors(operation):
                cell = operation.name, place
                if cell not in worst or not error <= worst[cell]:  # NaN is worst of all
                    worst[cell] = error
                    states[cell] = self._state(operation, error)
                    told = f"error {error:.3g} {operation.unit}, of {self.check.tolerance:g} that count as right"
                    words[cell] = "\n".join(filter(None, (told, operation.reason)))
        known = dict.fromkeys((*self.places.values(), *(place for _, place in states)))
        rows = tuple(operation.name for operation in self.check.operations)
        places = tuple(sorted(known, key=place_order))
        return (Strip("Operations × steps", rows, places, states, words),) if places else ()

    def _errors(self, operation: OperationFinding) -> list[tuple[Place, float]]:
        """The errors of an operation, at the run's own places; the schedule as a whole is wrong from its first on."""
        if operation.steps or not operation.rows:
            return [(self.places.get(place, place), error) for place, error in operation.steps]
        first = (math.inf, 0, 0) if operation.first is None else place_order(operation.first)
        order = {own: place_order(place) for place, own in self.places.items()}
        return [(own, operation.error or 0.0 if order[own] >= first else 0.0) for own in order]

    def _state(self, operation: OperationFinding, error: float) -> State:
        wrong = not error <= self.check.tolerance
        if operation.status is Status.FAILS:
            return State.FAILS if wrong else State.CONFORMS
        if wrong:
            return State.FOLLOWS
        return State.UNTESTED if operation.status is Status.NOT_EXERCISED else State.CONFORMS

    def _own(self, place: Place | None) -> Place | None:
        return None if place is None else self.places.get(place, place)

    def evaluation(self, trace: Trace, model: Model, operation: str, place: Place) -> Evaluation | None:
        """What the run recorded of an operation at a step of its own, beside what was recomputed.

        Parameters
        ----------
        trace : Trace
        model : Model
            Those that were checked.
        operation : str
        place : Place
            Of a cell of the strip.

        Returns
        -------
        Evaluation or None
            None where there is nothing to compare, as of the schedule.
        """
        from clnf_engine.checking.evaluation import evaluation

        check, giver = self.check, self.check[operation].giver
        there = next((checked for checked, own in self.places.items() if own == place), place)
        found = evaluation(trace, model, giver, there, check.tolerance, check.conventions) if giver else None
        return None if found is None else replace(found, place=place)


def _row(operation: OperationFinding) -> tuple[Cell, ...]:
    remark = operation.reason
    if operation.best_factor is not None and operation.factor_left is not None:
        remark = f"best factor {operation.best_factor:.6g}, which leaves {100 * operation.factor_left:.3g} %"
    return (
        operation.name,
        str(operation.status),
        "" if operation.first is None else place_text(operation.first),
        operation.wrong if operation.rows else None,
        operation.rows or None,
        operation.error,
        operation.unit,
        operation.float32,
        operation.effect_px,
        remark,
    )


def conformance(trace: Trace, model: Model, progress: Progress = no_progress) -> ConformanceFinding:
    """Check every operation of a run.

    Parameters
    ----------
    trace : Trace
        Of any program.
    model : Model
    progress : Progress

    Returns
    -------
    ConformanceFinding
    """
    # With all the mistakes it knows, which the table of tools, read early, does without.
    from clnf_engine.checking.check import check_trace

    return ConformanceFinding.of(trace, check_trace(trace, model, progress=progress))
