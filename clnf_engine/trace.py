"""Trace: the ordered Steps of one run, its result, its file, and where two runs part.

The file format is public: ``docs/trace-format.md``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, brief
from clnf_engine.initial import Initial
from clnf_engine.io.trace_file import read_trace, write_trace
from clnf_engine.io.trace_parts import TraceContent
from clnf_engine.options import FitOptions
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step, numbers_of, place_order


@dataclass(frozen=True, eq=False)
class Trace:
    """The Steps of one run, in order, with what the run was made from.

    Attributes
    ----------
    image : (H, W) uint8
        Grey levels.
    model_name : str
    initial : Initial
    options : FitOptions
    steps : sequence of Step
        From INITIAL to, when the run is complete, END. A tuple, or a `Recording`, which computes dropped maps again.
        Those of another program may be any part of a run.
    fingerprint : str
        `Model.fingerprint` of the model; "" when it is not known.
    conventions : tuple of str
        Names of conventions that the file's author says it follows.
    notes : tuple of (name, JSON)
        What the file holds that has no place here, such as options of another program.
    converted : tuple of str
        What was converted or left out when the file was read.
    """

    image: NDArray[np.uint8]
    model_name: str
    initial: Initial
    options: FitOptions
    steps: Sequence[Step]
    fingerprint: str = ""
    conventions: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    converted: tuple[str, ...] = ()

    __repr__ = brief

    @property
    def numbers(self) -> Sequence[Step]:
        """The Steps for readers of numbers: their maps, Jacobians and Hessians may be left out. See `numbers_of`."""
        return numbers_of(self.steps)

    def select(self, test: Callable[[Step], bool]) -> Iterator[Step]:
        """The whole Steps whose `numbers` pass a test, one after the other.

        Parameters
        ----------
        test : callable of Step to bool
            It is given numbers only: see `numbers`.

        Yields
        ------
        Step
        """
        for index, step in enumerate(self.numbers):
            if test(step):
                yield self.steps[index]

    @property
    def complete(self) -> bool:
        """Whether the run has ended."""
        return self.numbers[-1].phase is Phase.END

    @property
    def landmarks(self) -> Floats:
        """Fitted landmarks, (n, 2) float64, image px."""
        return self.numbers[-1].landmarks

    @property
    def params_global(self) -> Floats:
        """Fitted ``[scale, rx, ry, rz, tx, ty]``, (6,) float64."""
        return self.numbers[-1].params_global

    @property
    def params_local(self) -> Floats:
        """Fitted shape coefficients, (m,) float64."""
        return self.numbers[-1].params_local

    @property
    def likelihood(self) -> float | None:
        """Mean log likelihood of the last non-rigid phase; None when no stage was run."""
        return self.numbers[-1].likelihood

    @property
    def success(self) -> bool:
        """Whether the fit ended as it should."""
        return bool(self.numbers[-1].success)

    @property
    def message(self) -> str:
        """How the fit ended."""
        return self.numbers[-1].message

    @property
    def stages(self) -> tuple[StageSummary, ...]:
        """The stages of the schedule, skipped ones included, with their iteration counts."""
        counts: dict[int, list[int]] = {}
        stages: dict[int, Stage] = {}
        for step in self.numbers:
            if step.stage is not None:
                stages[step.stage.index] = step.stage
                count = counts.setdefault(step.stage.index, [0, 0])
                count[0] += step.phase is Phase.RIGID
                count[1] += step.phase is Phase.NONRIGID
        return tuple(StageSummary(stages[i], *counts[i]) for i in stages)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as ``.npz``, whole or not at all.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        TraceFileError
            When the file cannot be written.
        """
        known = (self.image, self.model_name, self.initial, self.options)
        write_trace(path, TraceContent(*known, (), self.fingerprint, self.conventions, self.notes), self.steps)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Trace:
        """Read a trace, from its file or its folder; nothing in it is executed.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Trace

        Raises
        ------
        TraceFileError
            When it is missing, truncated, foreign, of another version, or its arrays do not fit together.
        """
        return Trace(**vars(read_trace(path)))


@dataclass(frozen=True)
class StageSummary:
    """A Stage and how many iterations each of its phases took."""

    stage: Stage
    rigid_iterations: int
    nonrigid_iterations: int


# --- the first difference between two runs --------------------------------------------------------

COMPARED: tuple[str, ...] = (
    *(f"responses.{field.name}" for field in fields(ResponseMaps)),
    "landmarks_before",
    *(f"mean_shift.{field.name}" for field in fields(MeanShift)),
    *("weights", "jacobian", "hessian", "gradient", "delta", "update_norm", "params", "clamped", "landmarks"),
    *("shape_change", "likelihoods", "likelihood", "converged", "success"),
)
"""Every value of a Step in the order the fit computes them."""


_OF_THE_LAST = ("likelihoods", "likelihood")
"""Values of the last iteration of a phase only: that one run ends there is told by the moments that it lacks."""


@dataclass(frozen=True)
class Divergence:
    """The first value in which two runs differ.

    Attributes
    ----------
    step_a, step_b : Step or None
        The moment in each run; None when the run has no such moment.
    array : str
        The value that differs, such as "mean_shift.image"; "" when a moment is missing.
    difference : float
        Its largest absolute difference; inf when shapes differ or a value exists in one run only.
    """

    step_a: Step | None
    step_b: Step | None
    array: str
    difference: float


def first_divergence(a: Trace, b: Trace, tolerance: float = 0.0) -> Divergence | None:
    """Where two runs first part.

    Moments are paired by (stage, phase, iteration), and the values of a moment are compared in the order the
    fit computes them.

    Parameters
    ----------
    a, b : Trace
    tolerance : float
        Largest absolute difference that still counts as equal.

    Returns
    -------
    Divergence or None
        None where the runs have the same moments, and all their values are equal.

    Examples
    --------
    >>> from clnf_engine import FitOptions, first_divergence, fit
    >>> from clnf_engine import initials_from_detector, load_model, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> a = fit(gray, model, start)
    >>> b = fit(gray, model, start, FitOptions(normalization="peak"))
    >>> parting = first_divergence(a, b, tolerance=1e-9)
    >>> parting.array, parting.step_a.stage.index, parting.step_a.phase.text
    ('responses.final', 0, 'responses')
    """
    for step_a, step_b, values in compared(a, b):
        if step_a is None or step_b is None:
            return Divergence(step_a, step_b, "", np.inf)
        for name, value_a, value_b in values:
            difference = absolute_difference(value_a, value_b)
            if not difference <= tolerance:
                return Divergence(step_a, step_b, name, difference)
    return None


def compared(a: Trace, b: Trace) -> Iterator[tuple[Step | None, Step | None, Iterator[tuple[str, Any, Any]]]]:
    """The moments of two runs in order, None where a run lacks one, with their values by name; maps only once.

    Yields
    ------
    (Step or None, Step or None, iterator of (name, value of a, value of b))
        Names are those of `COMPARED`; values are None where a Step lacks them.
    """
    maps: tuple[object, object] = (None, None)
    for step_a, step_b in paired(a.steps, b.steps):
        if step_a is None or step_b is None:
            yield step_a, step_b, iter(())
            continue
        shared = (step_a.responses, step_b.responses) == maps  # as in the moment before: compared already
        maps = (step_a.responses, step_b.responses)
        yield step_a, step_b, _values(step_a, step_b, shared)


def paired(a: Sequence[Step], b: Sequence[Step]) -> Iterator[tuple[Step | None, Step | None]]:
    """The moments of two runs in the order a fit comes by them, None where a run lacks one."""
    places_a, places_b = ({step.place: k for k, step in enumerate(numbers_of(steps))} for steps in (a, b))
    for place in sorted(places_a.keys() | places_b.keys(), key=place_order):
        yield a[places_a[place]] if place in places_a else None, b[places_b[place]] if place in places_b else None


def _values(a: Step, b: Step, maps_shared: bool) -> Iterator[tuple[str, Any, Any]]:
    for name in COMPARED:
        group, _, attribute = name.rpartition(".")
        if group != "responses" or not maps_shared:
            holders = [getattr(step, group) if group else step for step in (a, b)]
            value_a, value_b = (getattr(holder, attribute, None) for holder in holders)
            if name not in _OF_THE_LAST or (value_a is not None and value_b is not None):
                yield name, value_a, value_b


def absolute_difference(a: Any, b: Any) -> float:
    """Largest absolute difference of two arrays or numbers; inf where shapes differ or one is None alone."""
    if a is None or b is None:
        return 0.0 if a is b else np.inf
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return np.inf
    with np.errstate(invalid="ignore", over="ignore"):  # a trace of another program may hold anything
        difference = np.abs(a.astype(np.float64) - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.where(same, 0.0, difference).max(initial=0.0))


def landmark_distance(a: Floats, b: Floats) -> float:
    """Largest distance between a landmark and itself in another shape, both (n, 2) float64; px.

    Landmarks that either shape does not have, rows of NaN, are left out; NaN when none is left, or one has none.
    """
    if len(a) == 0 or len(b) == 0:
        return float("nan")
    both = ~(np.isnan(a).all(axis=1) | np.isnan(b).all(axis=1))
    with np.errstate(invalid="ignore", over="ignore"):  # a trace of another program may hold anything
        return float(np.linalg.norm(a[both] - b[both], axis=1).max()) if both.any() else float("nan")
