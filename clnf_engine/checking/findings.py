"""What a check found: a line per operation, the conventions of the file, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from clnf_engine.operations import OPERATIONS
from clnf_engine.steps import Place, place_text

if TYPE_CHECKING:
    from clnf_engine.checking.conventions import Convention
    from clnf_engine.checking.evidence import Hypothesis

VERSION = 1
"""Of the document."""

_SHOWN = 8
"""Operations that a verdict tells of at most."""


class Status(StrEnum):
    """What a trace says of an operation."""

    CONFORMS = "conforms"
    FAILS = "fails"
    NOT_RECORDED = "not recorded"
    NOT_EXERCISED = "not exercised"


@dataclass(frozen=True)
class NamedMistake:
    """A mistake that reproduces every row.

    Attributes
    ----------
    name, text : str
    error : float
        The largest that it leaves, in the unit of the operation.
    function : callable of Inputs or None
        What it puts in the place of the operation.
    """

    name: str
    text: str
    error: float
    function: Hypothesis | None = None


@dataclass(frozen=True, eq=False)
class Worst:
    """The row of an operation that is furthest off, for whoever wants to look at it.

    Attributes
    ----------
    place : Place
    recorded, recomputed : array or number
    landmark : int or None
        The one that is worst, where the value has a row for each.
    """

    place: Place
    recorded: Any
    recomputed: Any
    landmark: int | None


@dataclass(frozen=True, eq=False)
class OperationFinding:
    """What was found of one operation.

    Attributes
    ----------
    name : str
    status : Status
    reason : str
        Why it is not exercised or not recorded, or what its chain was judged with; "" when there is nothing to say.
    first : Place or None
        Where it first fails.
    rows, wrong : int
        How many evaluations there are, and how many of them fail.
    error : float or None
        The largest, in the operation's unit.
    float32 : float or None
        What rounding the inputs of the worst row to float32 makes.
    effect_px : float or None
        How far the wrong value of the worst row moves a landmark in the rest of one right iteration.
    mistakes : tuple of NamedMistake
        All that reproduce every row.
    best_factor : float or None
        When no mistake fits: the constant that comes nearest, and
    factor_left : float or None
        what it leaves, as a fraction.
    steps : tuple of (Place, float)
        Error of every row, for a strip.
    worst : Worst or None
    giver : str
        The operation whose recorded value was compared: this one, or a later one that its chain leads to; "" for none.
    """

    name: str
    status: Status
    reason: str = ""
    first: Place | None = None
    rows: int = 0
    wrong: int = 0
    error: float | None = None
    float32: float | None = None
    effect_px: float | None = None
    mistakes: tuple[NamedMistake, ...] = ()
    best_factor: float | None = None
    factor_left: float | None = None
    steps: tuple[tuple[Place, float], ...] = ()
    worst: Worst | None = None
    giver: str = ""

    @property
    def unit(self) -> str:
        """Of the error."""
        return OPERATIONS[self.name].unit

    def document(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "name": self.name,
            "status": str(self.status),
            "reason": self.reason,
            "first": None if self.first is None else place_document(self.first),
            "rows": self.rows,
            "wrong": self.wrong,
            "error": self.error,
            "unit": self.unit,
            "float32": self.float32,
            "effect_px": self.effect_px,
            "mistakes": [{"name": m.name, "text": m.text, "error": m.error} for m in self.mistakes],
            "best_factor": self.best_factor,
        }


@dataclass(frozen=True, eq=False)
class CheckFinding:
    """What a check of a trace found.

    Attributes
    ----------
    model_name : str
    tolerance : float
    operations : tuple of OperationFinding
        All of the table, in its order.
    conventions : tuple of Convention
        Of the file; the rest was checked in the right ones.
    model_differs : str
        What says that the trace was made with another model; "" when nothing does.
    repair : tuple of (name, float)
        How far a repaired reference ends from the trace's own landmarks, px; empty when it was not asked for.
    told_by : str
        What was checked, and what it does: "the trace records".
    """

    model_name: str
    tolerance: float
    operations: tuple[OperationFinding, ...]
    conventions: tuple[Convention, ...] = ()
    model_differs: str = ""
    repair: tuple[tuple[str, float], ...] = ()
    told_by: str = "the trace records"

    def __getitem__(self, name: str) -> OperationFinding:
        """What was found of an operation."""
        return next(operation for operation in self.operations if operation.name == name)

    @property
    def failing(self) -> tuple[OperationFinding, ...]:
        """The operations that fail, in the order of the table."""
        return tuple(operation for operation in self.operations if operation.status is Status.FAILS)

    @property
    def checked(self) -> tuple[OperationFinding, ...]:
        """The operations that something can be said of."""
        known = (Status.CONFORMS, Status.FAILS)
        return tuple(operation for operation in self.operations if operation.status in known)

    @property
    def conforms(self) -> bool:
        """Whether nothing fails and something was checked."""
        return not self.failing and bool(self.checked)

    @property
    def verdict(self) -> str:
        """What was found, in a few sentences: the model, the conventions, the mistakes, then what is right."""
        return " ".join(sentence for sentence in self._sentences() if sentence)

    def _sentences(self) -> Iterator[str]:
        yield self.model_differs
        for convention in self.conventions:
            yield _sentence(convention.text)
        if not self.checked:
            yield f"Nothing could be checked: {self.told_by} no operation with its inputs."
            return
        causes = list(self._causes())
        yield from causes[:_SHOWN]
        if len(causes) > _SHOWN:
            yield f"{len(causes) - _SHOWN} more are wrong."
        right = len(self.checked) - len(self.failing)
        if causes:
            yield "Everything else conforms." if right else ""
        else:
            rows = sum(operation.rows for operation in self.checked)
            yield f"All {right} operations that {self.told_by} conform, in {rows} evaluations."
        untested = [o.name for o in self.operations if o.status is Status.NOT_EXERCISED]
        if untested:
            yield f"Not exercised: {', '.join(untested)}."

    def _causes(self) -> Iterator[str]:
        """A sentence per cause; operations at which the same mistake shows are told of together."""
        told: set[str] = set()
        for operation in self.failing:
            if operation.name in told:
                continue
            names = {mistake.name for mistake in operation.mistakes}
            alike = [o for o in self.failing if o is operation or names & {m.name for m in o.mistakes}]
            told |= {o.name for o in alike}
            where = ", ".join(o.name for o in alike)
            counts = f"{operation.wrong} of {operation.rows}"
            first = "" if operation.first is None else f", from {place_text(operation.first)}"
            about = f"({where}{first}, {counts})"
            if operation.mistakes:
                yield f"{_sentence(operation.mistakes[0].text)[:-1]} {about}."
            else:
                error = f"{operation.error:.3g} {operation.unit}"
                yield f"{operation.name} is wrong by {error}; no known mistake fits {about}."

    def document(self, trace: str, model: str) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "version": VERSION,
            "trace": trace,
            "model": model,
            "conforms": self.conforms,
            "verdict": self.verdict,
            "tolerance": self.tolerance,
            "conventions": [{"name": c.name, "text": c.text} for c in self.conventions],
            "operations": [operation.document() for operation in self.operations],
            "repair": [{"with": name, "landmarks_px": distance} for name, distance in self.repair],
        }


def place_document(place: Place) -> dict[str, Any]:
    """A place as plain values; stages count from 1, as on the screen."""
    stage, phase, iteration = place
    return {"stage": None if stage is None else stage + 1, "phase": str(phase), "iteration": iteration}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
