"""Mistakes: small functions in the place of an operation that must reproduce a trace.

`catalogue` has those that are known by name, `general` makes those that any operation can have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import Hypothesis, Reference
from clnf_engine.checking.rows import UNFITTING, OfTheMean, Row

FIT = 3.0
"""A mistake must reproduce every value within this many tolerances."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """Something that ports get wrong.

    Attributes
    ----------
    name : str
        One word; the same at all operations where one cause shows.
    operation : str
        In whose place it is.
    text : str
        For people, a clause: "the Euler angles are read from the transposed matrix".
    function : callable of Inputs
        What the port computes there: ``v.delta`` and the like are the values that the operation reads, ``v.out`` is
        what is right.
    """

    name: str
    operation: str
    text: str
    function: Hypothesis


# --- fitting ----------------------------------------------------------------------------------------


def misfit(mistake: Mistake, rows: Sequence[Row], reference: Reference, tolerance: float) -> float | None:
    """The largest error that a mistake leaves; None as soon as it does not reproduce a row.

    Parameters
    ----------
    mistake : Mistake
    rows : sequence of Row
        The worst first, so that what does not fit is found out soon.
    reference : Reference
    tolerance : float
    """
    under, most = reference.under(mistake.operation, mistake.function), 0.0
    for row in rows:
        try:
            error = row.error(under)
        except Exception:  # whatever a hypothesis stumbles over, it does not reproduce this trace
            return None
        if not error <= FIT * tolerance + row.slack:
            return None
        most = max(most, error)
    return most


def times_a_constant(mistake: Mistake, rows: Sequence[Row], reference: Reference) -> Mistake | None:
    """A mistake and a constant factor on top of it, which is fitted to the worst row; None where there is none."""
    if isinstance(mistake.function, OfTheMean):
        return None
    try:
        pair = row_pair(rows[0], reference.under(mistake.operation, mistake.function))
    except Exception:  # as in `misfit`
        return None
    if pair is None or not np.isfinite(pair[0]).all() or not np.isfinite(pair[1]).all() or not pair[0].any():
        return None
    right, recorded = pair
    factor = float(recorded @ right / (right @ right))
    if np.linalg.norm(recorded - factor * right) > 1e-2 * np.linalg.norm(recorded) or factor == 0:
        return None
    text = f"{mistake.text}, times {factor_text(factor)}"
    return Mistake(mistake.name, mistake.operation, text, lambda v: np.multiply(mistake.function(v), factor))


def fitted_factor(rows: Sequence[Row], reference: Reference) -> tuple[float, float] | None:
    """The constant that turns right values into the recorded ones best, and what it leaves of them; over all rows."""
    alike = [row for row in rows if row.name == rows[0].name]
    both = [pair for row in alike if (pair := row_pair(row, reference)) is not None]
    if not both:
        return None
    right, recorded = (np.concatenate(values) for values in zip(*both, strict=True))
    known = np.isfinite(right) & np.isfinite(recorded)
    right, recorded = right[known], recorded[known]
    power = right @ right
    if not power:
        return None
    factor = float(recorded @ right / power)
    left = float(np.linalg.norm(recorded - factor * right) / (np.linalg.norm(recorded) or 1.0))
    return factor, left


def row_pair(row: Row, reference: Reference) -> tuple[Array, Array] | None:
    """The right value of a row and the recorded one, flat; None where they cannot be compared."""
    try:
        right = np.asarray(row.right(reference), dtype=np.float64)
    except UNFITTING:
        return None
    recorded = np.asarray(row.recorded, dtype=np.float64)
    return (right.ravel(), recorded.ravel()) if right.shape == recorded.shape else None


_KNOWN = {
    2.0: "2", 0.5: "½", 0.75: "0.75", 0.25: "¼", 4.0: "4", 255.0: "255", 1 / 255: "1/255", math.pi / 180: "π/180",
    180 / math.pi: "180/π", math.sqrt(2): "√2", 1 / math.sqrt(2): "1/√2", 10.0: "10", 0.1: "0.1", 3.0: "3", 1 / 3: "⅓",
    math.e: "e", math.pi: "π", 0.9: "0.9", 1000.0: "1000", 1e-3: "1/1000",
}  # fmt: skip


def factor_text(factor: float) -> str:
    """A constant in words: a well-known one by its sign, another with six digits."""
    for known, text in _KNOWN.items():
        if math.isclose(abs(factor), known, rel_tol=1e-5):
            return text if factor > 0 else f"−{text}"
    if 0 < abs(factor) < 0.5 and math.isclose(abs(1 / factor), round(abs(1 / factor)), rel_tol=1e-6):
        return f"{'' if factor > 0 else '−'}1/{round(abs(1 / factor))}"
    return f"{factor:.6g}"
