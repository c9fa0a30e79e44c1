"""Evaluation: what a run recorded of one operation at one step, beside what a check makes of the step's own inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from clnf_engine.arrays import Array
from clnf_engine.checking.conventions import Convention, in_format
from clnf_engine.checking.evidence import moments_of, reference_of
from clnf_engine.checking.naming import worst_landmark
from clnf_engine.checking.outline import outline_rows
from clnf_engine.checking.rows import rows_of
from clnf_engine.model import Model
from clnf_engine.steps import Place
from clnf_engine.trace import Trace


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One operation at one step.

    Attributes
    ----------
    operation : str
        That gives the value.
    name : str
        Of the value.
    place : Place
    recorded, recomputed : array
        Of one shape, unless the run recorded another; in the frame and unit of the value.
    error : float
        How far they are apart, in the unit of the operation.
    conforms : bool
        Whether that is within the tolerance of the check.
    landmark : int or None
        Where they differ most, of values that have a row for each.
    """

    operation: str
    name: str
    place: Place
    recorded: Array
    recomputed: Array
    error: float
    conforms: bool
    landmark: int | None

    @property
    def difference(self) -> Array | None:
        """Recorded less recomputed; None where their shapes differ."""
        if self.recorded.shape != self.recomputed.shape:
            return None
        with np.errstate(all="ignore"):  # a trace of another program may hold anything
            return np.asarray(self.recorded - self.recomputed)


def evaluation(
    trace: Trace, model: Model, operation: str, place: Place, tolerance: float, conventions: Iterable[Convention] = ()
) -> Evaluation | None:
    """Recompute an operation at a step, as a check of the trace does; of several evaluations there, the worst.

    Parameters
    ----------
    trace : Trace
    model : Model
    operation : str
        Whose value is compared: the `giver` of what a check found.
    place : Place
        In the conventions of the format.
    tolerance : float
        That of the check.
    conventions : iterable of Convention
        That the check found the trace to follow.

    Returns
    -------
    Evaluation or None
        None where the trace has no such value there, or nothing to compute it from.
    """
    with np.errstate(all="ignore"), threadpool_limits(1, "blas"):  # as in the check
        trace = in_format(trace, conventions)
        reference = reference_of(trace, model)
        moments = moments_of(trace, reference)
        here = [moment for moment in moments if moment.step.place == place]
        rows = rows_of(here, reference) | outline_rows(trace, moments, reference)
        found = [row for row in rows.get(operation, ()) if row.place == place]
        if not found:
            return None
        errors = [row.error_beyond_slack(reference) for row in found]
        worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
        row, error = found[worst], errors[worst]
        recorded, recomputed = (np.asarray(value, dtype=np.float64) for value in (row.recorded, row.right(reference)))
        landmark = worst_landmark(recorded, recomputed, model.n_landmarks)
        return Evaluation(operation, row.name, place, recorded, recomputed, error, error <= tolerance, landmark)
