"""Repair: the reference with the named mistakes on, measured to where the port itself ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clnf_engine.checking.evidence import Hypothesis, Inputs, Reference
from clnf_engine.checking.findings import NamedMistake, OperationFinding, Status
from clnf_engine.deviations import DEVIATIONS, Function
from clnf_engine.fitting import fit
from clnf_engine.operations import OPERATIONS
from clnf_engine.trace import Trace, landmark_distance

MOST = 6
"""Causes of which every one is left out and put in alone."""

Cause = dict[str, Hypothesis]
"""What takes the place of operations; nothing where the cause is an option of the fit."""


def repair(trace: Trace, reference: Reference, operations: Sequence[OperationFinding]) -> tuple[tuple[str, float], ...]:
    """How far the reference ends from a trace with none, all, each and all but each of the named mistakes.

    Parameters
    ----------
    trace : Trace
        Complete.
    reference : Reference
    operations : sequence of OperationFinding

    Returns
    -------
    tuple of (what is on, largest distance of a landmark in px)
        What cannot be run again, because a mistake needs more than a fit has at that place, is left out.
    """
    causes = _causes(operations)
    ends_known = trace.complete and np.isfinite(trace.landmarks).all() and np.isfinite(trace.initial.params).all()
    if not causes or not ends_known:
        return ()
    names = list(causes)
    sets = {"no mistake": [], "all": names}
    if 1 < len(names) <= MOST:
        sets |= {f"only {name}": [name] for name in names}
        sets |= {f"all but {name}": [other for other in names if other != name] for name in names}
    found = ((label, _distance(trace, reference, causes, on)) for label, on in sets.items())
    return tuple((label, distance) for label, distance in found if distance is not None)


def _causes(operations: Sequence[OperationFinding]) -> dict[str, Cause]:
    """The first mistake of every operation that fails, those of one name together."""
    found: dict[str, Cause] = {}
    for operation in operations:
        if operation.status is Status.FAILS and operation.mistakes:
            for mistake in _first(operation, found):
                cause = found.setdefault(mistake.name, {})
                if mistake.function is not None:
                    cause[operation.name] = mistake.function
    return found


def _first(operation: OperationFinding, found: Mapping[str, Cause]) -> Sequence[NamedMistake]:
    if operation.name == "schedule":
        return operation.mistakes
    known = [mistake for mistake in operation.mistakes if mistake.name in found]
    return (known or [m for m in operation.mistakes if m.function is not None])[:1]


def _distance(trace: Trace, reference: Reference, causes: Mapping[str, Cause], on: Sequence[str]) -> float | None:
    options = {name: DEVIATIONS[name].value for name in on if not causes[name] and name in DEVIATIONS}
    if any(not causes[name] and name not in DEVIATIONS for name in on):
        return None
    hypotheses = {operation: function for name in on for operation, function in causes[name].items()}
    instead = {name: _replayed(name, function, trace, reference) for name, function in hypotheses.items()}
    try:
        again = fit(trace.image, reference.model, trace.initial, replace(reference.options, **options), replace=instead)
    except Exception:  # a mistake that reads more than a fit has at that place
        return None
    distance = landmark_distance(again.landmarks, trace.landmarks)
    return distance if np.isfinite(distance) else None


def _replayed(operation: str, hypothesis: Hypothesis, trace: Trace, reference: Reference) -> Function:
    """A mistake as a function in the place of its operation."""
    row = OPERATIONS[operation]
    more = {"reference": reference, "reference_options": reference.options, "operation": operation, "trace": trace}

    def replayed(*arguments: Any) -> Any:
        given = dict(zip(row.reads, arguments, strict=True))
        with np.errstate(all="ignore"):
            return hypothesis(Inputs(given.__getitem__, lambda: row.function(*arguments), more))

    return replayed
