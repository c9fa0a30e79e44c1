"""Conformance: what the check of a trace found, as a finding that a terminal, a report and a window can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clnf_engine.checking.check import check_trace
from clnf_engine.checking.findings import CheckFinding, OperationFinding, place_text
from clnf_engine.diagnostics.finding import Cell, Finding, Link, Table
from clnf_engine.model import Model
from clnf_engine.trace import Trace


@dataclass(frozen=True, eq=False)
class ConformanceFinding(Finding):
    """What a check found.

    Attributes
    ----------
    check : CheckFinding
    """

    question: ClassVar[str] = "Is every operation of this run OpenFace's?"
    wanted: ClassVar[bool | None] = True
    provenance: ClassVar[str] = (
        "Every operation of the run, computed again from the run's own inputs at that step, against what it recorded."
    )

    check: CheckFinding

    @property
    def answer(self) -> bool | None:
        """Whether nothing fails; None when nothing could be checked."""
        return self.check.conforms if self.check.checked else None

    @property
    def verdict(self) -> str:
        """The mistakes, and what is right."""
        return self.check.verdict

    def tables(self) -> tuple[Table, ...]:
        """A row per operation; the mistakes of those that fail; the repair matrix."""
        columns = ("operation", "status", "first", "wrong", "of", "error", "unit", "float32", "effect, px", "remark")
        rows = tuple(_row(operation) for operation in self.check.operations)
        links: tuple[Link | None, ...] = tuple(operation.first for operation in self.check.operations)
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


def conformance(trace: Trace, model: Model) -> ConformanceFinding:
    """Check every operation of a run.

    Parameters
    ----------
    trace : Trace
        Of any program.
    model : Model

    Returns
    -------
    ConformanceFinding
    """
    return ConformanceFinding(check_trace(trace, model))
