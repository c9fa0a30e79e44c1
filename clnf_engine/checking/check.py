"""The check of a trace: which operation is wrong, from where on, by how much, and by which mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from clnf_engine.checking.catalogue import CATALOGUE
from clnf_engine.checking.conventions import Convention, conventions_of
from clnf_engine.checking.coverage import not_exercised
from clnf_engine.checking.evidence import Moment, Reference, moments_of, reference_of
from clnf_engine.checking.findings import CheckFinding, NamedMistake, OperationFinding, Status, Worst
from clnf_engine.checking.mistakes import Mistake, fitted_factor
from clnf_engine.checking.naming import Named, effect_px, float32_level, named, worst_landmark
from clnf_engine.checking.other_model import other_model, other_sizes
from clnf_engine.checking.outline import Departure, outline_rows, schedule_departures
from clnf_engine.checking.repair import repair
from clnf_engine.checking.rows import Row, rows_of
from clnf_engine.model import Model
from clnf_engine.operations import OPERATIONS
from clnf_engine.trace import Trace

TOLERANCE = 1e-4
"""Float32 ports stay below 1e-5; the smallest real fault that was seen is 2e-3."""

Progress = Callable[[int, int], None]


def check_trace(
    trace: Trace,
    model: Model,
    tolerance: float = TOLERANCE,
    mistakes: Iterable[Mistake] = (),
    progress: Progress = lambda done, total: None,
) -> CheckFinding:
    """Recompute every operation of a run from its own inputs, and compare with what it recorded.

    Parameters
    ----------
    trace : Trace
        Of any program; any part of a run.
    model : Model
        That it was made with.
    tolerance : float
        Largest error that counts as right, in the units of the operations.
    mistakes : iterable of Mistake
        To try before those of the catalogue.
    progress : callable
        Told how many operations of how many have been explained; an exception it raises ends the check.

    Returns
    -------
    CheckFinding
    """
    # A trace of another program may hold anything. Its matrices are small: threads of BLAS only wait for each other.
    with np.errstate(all="ignore"), threadpool_limits(1, "blas"):
        return _checked(trace, model, tolerance, (*mistakes, *CATALOGUE), progress)


def _checked(
    trace: Trace, model: Model, tolerance: float, known: Sequence[Mistake], progress: Progress
) -> CheckFinding:
    if differs := other_sizes(trace, model):
        nothing = tuple(OperationFinding(name, Status.NOT_RECORDED) for name in OPERATIONS)
        return CheckFinding(model.name, tolerance, nothing, model_differs=differs)

    def judge(other: Trace) -> Evidence:
        progress(0, len(OPERATIONS))
        return Evidence.of(other, model, tolerance)

    evidence, conventions = conventions_of(_with_landmarks(trace, model.n_landmarks), judge)
    trace = evidence.trace
    causes = {}
    for done, name in enumerate(OPERATIONS):
        progress(done, len(OPERATIONS))
        if evidence.wrong(name):
            causes[name] = _causes(name, evidence, known)
    operations = (_operation(name, evidence, causes) for name in OPERATIONS)
    found = tuple(_with_conventions(operation, conventions) for operation in operations)
    repaired = repair(trace, evidence.reference, found)
    return CheckFinding(model.name, tolerance, found, conventions, other_model(trace, model), repaired)


def _with_landmarks(trace: Trace, count: int) -> Trace:
    """A trace that records no landmark has this many that are not known."""
    if len(trace.landmarks):
        return trace
    unknown = np.full((count, 2), np.nan)
    return replace(trace, steps=tuple(replace(step, landmarks=unknown) for step in trace.steps))


def _with_conventions(operation: OperationFinding, conventions: Sequence[Convention]) -> OperationFinding:
    """What was found of an operation, and the conventions of the file that show there."""
    here = tuple(NamedMistake(c.name, c.text, 0.0) for c in conventions if c.operation == operation.name)
    return replace(operation, mistakes=(*here, *operation.mistakes)) if here else operation


@dataclass(frozen=True, eq=False)
class Evidence:
    """A trace, taken apart: its rows by operation, and the errors of all of them."""

    trace: Trace
    reference: Reference
    tolerance: float
    moments: list[Moment]
    rows: Mapping[str, Sequence[Row]]
    errors: Mapping[str, Sequence[float]]
    departures: tuple[Departure, ...]
    schedules: int

    @classmethod
    def of(cls, trace: Trace, model: Model, tolerance: float) -> Evidence:
        """Take a trace apart."""
        reference = reference_of(trace, model)
        moments = moments_of(trace, reference)
        rows = rows_of(moments, reference) | outline_rows(trace, moments, reference)
        errors = {name: [row.error_beyond_slack(reference) for row in found] for name, found in rows.items()}
        departures, schedules = schedule_departures(trace, moments, reference)
        return cls(trace, reference, tolerance, moments, rows, errors, tuple(departures), schedules)

    def wrong(self, name: str) -> list[int]:
        """Which rows of an operation fail."""
        return [k for k, error in enumerate(self.errors.get(name, ())) if not error <= self.tolerance]

    @property
    def failing(self) -> set[str]:
        """Operations with a row that fails."""
        return {name for name in self.rows if self.wrong(name)} | ({"schedule"} if self.departures else set())


def _causes(name: str, evidence: Evidence, known: Sequence[Mistake]) -> Named:
    """The operations at which a wrong value is explained, each with its mistakes; itself with none when none fits."""
    rows, errors = evidence.rows[name], evidence.errors[name]
    found = named(rows, errors, evidence.reference, evidence.tolerance, known)
    if found:
        return found
    return {_likeliest(name, evidence): []}


def _likeliest(name: str, evidence: Evidence) -> str:
    """Of the update and the clamp, which share what they give, the one that is wrong."""
    if name != "clamp":
        return name
    for k in evidence.wrong(name):
        row = evidence.rows[name][k]
        moved = row.moment.computed("moved", evidence.reference)
        held = moved != row.right(evidence.reference)
        if (np.abs(row.recorded - moved)[~held] > 1e-9 * np.maximum(1, np.abs(moved[~held]))).any():
            return "update"
    return name


def _operation(name: str, evidence: Evidence, causes: Mapping[str, Named]) -> OperationFinding:
    """What is found of one operation: a failure of its own value, or of a later one that is explained here."""
    if name == "schedule":
        return _schedule(evidence)
    givers = [giver for giver, found in causes.items() if name in found and _primary(found) == name]
    if givers:
        return _failure(name, givers[0], evidence, tuple(m for giver in givers for m in causes[giver][name]))
    source = "clamp" if name == "update" else name
    rows, errors = evidence.rows.get(source, ()), evidence.errors.get(source, ())
    if not rows:
        return OperationFinding(name, Status.NOT_RECORDED, reason=_judged_with(name, evidence))
    reason = not_exercised(name, rows, evidence.reference)
    status = Status.NOT_EXERCISED if reason else Status.CONFORMS
    steps = tuple((row.place, error) for row, error in zip(rows, errors, strict=True))
    right = [error for error in errors if error <= evidence.tolerance]
    error = max(right, default=None)
    return OperationFinding(name, status, reason, rows=len(rows), error=error, steps=steps, giver=source)


def _primary(found: Named) -> str:
    """The operation that a failure is blamed on, of those at which a mistake explains it."""
    return next(iter(found))


def _judged_with(name: str, evidence: Evidence) -> str:
    """With what later value an operation was judged that a trace does not record."""
    for later, rows in evidence.rows.items():
        if rows and name in rows[0].chain:
            return f"judged with what follows, as far as {later}"
    return ""


def _failure(name: str, giver: str, evidence: Evidence, mistakes: tuple[NamedMistake, ...]) -> OperationFinding:
    rows, errors, wrong = evidence.rows[giver], evidence.errors[giver], evidence.wrong(giver)
    return failure(name, rows, errors, wrong, evidence.reference, mistakes)


def failure(
    name: str,
    rows: Sequence[Row],
    errors: Sequence[float],
    wrong: Sequence[int],
    reference: Reference,
    mistakes: tuple[NamedMistake, ...],
) -> OperationFinding:
    """What is told of an operation that fails.

    Parameters
    ----------
    name : str
        Of the operation.
    rows : sequence of Row
        Of its own value, or of a later one in which the failure is seen.
    errors : sequence of float
    wrong : sequence of int
        The rows that fail.
    reference : Reference
    mistakes : tuple of NamedMistake
        That reproduce the rows.
    """
    giver = rows[0].operation
    k = max(wrong, key=lambda k: errors[k])
    worst = rows[k]
    right = worst.right(reference)
    chain = worst.chain if len(worst.chain) > 1 and giver != "clamp" else ()
    fitted = None if mistakes else fitted_factor([rows[k] for k in wrong], reference)
    return OperationFinding(
        name,
        Status.FAILS,
        reason=f"seen in {giver}, judged from {chain[0]} on" if chain else "",
        first=rows[wrong[0]].place,
        rows=len(rows),
        wrong=len(wrong),
        error=float(errors[k]),
        float32=float32_level(worst, reference),
        effect_px=effect_px(worst, reference),
        mistakes=mistakes,
        best_factor=None if fitted is None else fitted[0],
        factor_left=None if fitted is None else fitted[1],
        steps=tuple((row.place, error) for row, error in zip(rows, errors, strict=True)),
        worst=Worst(
            worst.place, worst.recorded, right, worst_landmark(worst.recorded, right, reference.model.n_landmarks)
        ),
        giver=giver,
    )


def _schedule(evidence: Evidence) -> OperationFinding:
    departures = evidence.departures
    if not evidence.schedules:
        return OperationFinding("schedule", Status.NOT_RECORDED, reason="the trace is no whole run")
    if not departures:
        return OperationFinding("schedule", Status.CONFORMS, rows=evidence.schedules, error=0.0)
    return OperationFinding(
        "schedule",
        Status.FAILS,
        first=departures[0].step.place,
        rows=evidence.schedules,
        wrong=min(sum(d.count for d in departures), evidence.schedules),
        error=float(len(departures)),
        mistakes=tuple(NamedMistake(d.name, d.text, 0.0) for d in departures),
    )
