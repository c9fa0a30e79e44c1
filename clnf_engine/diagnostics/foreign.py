"""Foreign traces: recordings of runs that the engine does not reproduce from their start, such as another program's.

What is found by running a fit again holds for the engine's fit. Of a foreign trace it would be said of another run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, ref

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.differences import differences
from clnf_engine.diagnostics.finding import Finding, Plot, Table
from clnf_engine.errors import ClnfError, InitialError
from clnf_engine.fitting import fit
from clnf_engine.model import Model
from clnf_engine.pdm import landmarks
from clnf_engine.steps import MeanShift, Phase, Place, ResponseMaps, Step, Steps, describe
from clnf_engine.trace import Trace, landmark_distance
from clnf_engine.units import unit

SAME_PX = 1e-6
"""Landmarks that are nearer to the engine's, image px, are the same but for rounding."""

FLOAT32_PX = 1e-4
"""Likewise where a run was computed in float32, and for parameters, by the landmarks that they project to."""

FLOAT32_SPACINGS = 8
"""Landmarks that were stored as float32 are the same within so many spacings of float32 at their size."""


@dataclass(frozen=True)
class _Comparison:
    """A trace and the engine's run from its start: why it is foreign, or "", and whether they are the same bits."""

    why: str
    same: bool


_known: WeakKeyDictionary[Trace, tuple[ref[Model], _Comparison]] = WeakKeyDictionary()


def rerun(trace: Trace, model: Model) -> Trace:
    """The engine's fit from the image, the start and the options of a trace.

    Raises
    ------
    InitialError
        When the trace does not tell its start, or it is one of another model.
    """
    problem = _obstacle(trace, model)
    if problem:
        raise InitialError(f"the fit cannot be run again: {problem}")
    return fit(trace.image, model, trace.initial, trace.options)


def own_run(trace: Trace, model: Model) -> Trace:
    """The engine's run from the start of a trace: the trace itself where it is that, bit for bit and whole.

    Raises
    ------
    InitialError
        As `rerun`.
    """
    return trace if _comparison(trace, model).same else rerun(trace, model)


def foreign(trace: Trace, model: Model) -> str:
    """Why a trace is foreign to the engine with a model; "" when the engine reproduces it but for rounding.

    All that it holds counts.

    Parameters
    ----------
    trace : Trace
        Runs of this program, whose Steps it computes again itself, are never foreign.
    model : Model

    Returns
    -------
    str
        A clause, such as "at stage 1, rigid 1 a landmark is 3.2 px from the engine's".
    """
    return _comparison(trace, model).why


def _comparison(trace: Trace, model: Model) -> _Comparison:
    if isinstance(trace.steps, Steps):
        return _Comparison("", same=True)
    found = _known.get(trace)
    if found is None or found[0]() is not model:
        found = (ref(model), _compared(trace, model))
        _known[trace] = found
    return found[1]


def _compared(trace: Trace, model: Model) -> _Comparison:
    problem = _obstacle(trace, model)
    if problem:
        return _Comparison(problem, same=False)
    try:
        run = rerun(trace, model)
    except ClnfError as error:
        return _Comparison(str(error), same=False)
    own = {step.place: step for step in run.steps}
    problem = _departure(trace, own, model) or _other_value(trace, run, model)
    if problem and trace.fingerprint and trace.fingerprint != model.fingerprint:
        problem = f"it was made with another model (fingerprint {trace.fingerprint}), and {problem}"
    return _Comparison(problem, not problem and _is_same(trace, own))


def _obstacle(trace: Trace, model: Model) -> str:
    """Why a trace cannot be run again at all; "" when it can."""
    if not trace.initial.known:
        return "its start is not recorded"
    size = 6 + model.pdm.n_modes
    if len(trace.initial.params) != size:
        return f"it has {len(trace.initial.params)} parameters, and the model {model.name} {size}"
    return ""


def _departure(trace: Trace, own: dict[Place, Step], model: Model) -> str:
    """Where a trace first is not as the engine's Steps by place; "" when it is everywhere."""
    single = _is_single(trace)
    for step in trace.numbers:
        shape, projected = _shape(step, model), _projected(step, model)
        if shape is None:
            continue
        if step.place not in own:
            return f"the engine's fit has no {describe(step)}"
        right = own[step.place].landmarks
        if shape.shape != right.shape:
            return f"it has {len(shape)} landmarks, and the model {model.name} {model.n_landmarks}"
        distance = landmark_distance(shape, right)
        if not distance <= (FLOAT32_PX if single else _level(shape)):
            return f"at {describe(step)} a landmark is {distance:.3g} px from the engine's"
        distance = 0.0 if projected is None else landmark_distance(projected, right)
        if not distance <= FLOAT32_PX:
            return f"at {describe(step)} the parameters are {distance:.3g} px from the engine's"
    return ""


def _other_value(trace: Trace, own: Trace, model: Model) -> str:
    """Which of the other values that a trace holds is first not the engine's; "" when all are."""
    found = differences(trace, own, model).first
    if found is None or found.step_a is None or not found.array:
        return ""
    return f"at {describe(found.step_a)} {found.array} differs by {found.difference:.3g} {unit(found.array)}".rstrip()


def _is_same(trace: Trace, own: dict[Place, Step]) -> bool:
    """Whether a trace has all of the engine's Steps with all values, their landmarks and parameters bit for bit."""
    steps = trace.numbers
    if [step.place for step in steps] != list(own) or not is_whole(trace):
        return False
    pairs = [(step, own[step.place]) for step in steps]
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for a, b in pairs for n in ("landmarks", "params"))


def _is_single(trace: Trace) -> bool:
    """Whether a run was computed in float32, as its updates or Jacobians tell."""
    values = (value for step in trace.numbers for value in (step.delta, step.gradient, step.jacobian))
    return any(value is not None and value.dtype == np.float32 for value in values)


def _shape(step: Step, model: Model) -> Floats | None:
    """The landmarks of a Step, else those of its parameters; None when neither is recorded."""
    if not np.isnan(step.landmarks).all() and step.landmarks.size:
        return step.landmarks
    return _projected(step, model)


def _projected(step: Step, model: Model) -> Floats | None:
    """The landmarks of the parameters of a Step; None when these are not recorded."""
    if step.params.shape == (6 + model.pdm.n_modes,) and np.isfinite(step.params).all():
        return landmarks(model.pdm, step.params)
    return None


def _level(shape: Floats) -> float:
    """How far landmarks may be from the engine's: by rounding, which is larger where they are float32 numbers."""
    known = shape[np.isfinite(shape)]
    if (known == known.astype(np.float32)).all():
        return max(SAME_PX, FLOAT32_SPACINGS * float(np.spacing(np.float32(np.abs(known).max(initial=0)))))
    return SAME_PX


def is_whole(trace: Trace) -> bool:
    """Whether a run is complete, and every iteration has all that one of the engine has."""
    if isinstance(trace.steps, Steps):
        return True
    if not trace.complete or trace.numbers[0].phase is not Phase.INITIAL:
        return False
    return all(not _lacks(step) for step in trace.numbers)


_OF_ITERATIONS = ("landmarks_before", "weights", "jacobian", "hessian", "gradient", "update_norm", "shape_change")


def _lacks(step: Step) -> bool:
    """Whether a Step lacks what the engine's has; a delta may be missing, where there was no solution."""
    if np.isnan(step.params).any() or np.isnan(step.landmarks).any():
        return True
    if step.responses is not None and not step.responses.has(*ResponseMaps.__dataclass_fields__):
        return True
    if step.phase is Phase.RESPONSES:
        return step.responses is None
    if step.phase not in (Phase.RIGID, Phase.NONRIGID):
        return False
    if step.responses is None or step.mean_shift is None or step.stage is None or np.isnan(step.stage.sigma):
        return True
    if not step.mean_shift.has(*MeanShift.__dataclass_fields__):
        return True
    return any(
        getattr(step, name) is None for name in _OF_ITERATIONS if step.delta is not None or name != "update_norm"
    )


# --- findings ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class OfRerun(Finding):
    """A finding about the engine's own fit in the place of a foreign trace, which says so.

    Attributes
    ----------
    finding : Finding
    reason : str
        Why the trace is foreign.
    """

    question: ClassVar[str] = ""
    provenance: ClassVar[str] = ""

    finding: Finding
    reason: str

    def __post_init__(self) -> None:
        _take_over(self, self.finding)

    @property
    def answer(self) -> bool | None:
        """That of the finding."""
        return self.finding.answer

    @property
    def verdict(self) -> str:
        """That of the finding, and what it is about."""
        return (
            f"{self.finding.verdict} This is about the engine's own fit from the same start with the same options, "
            f"not about the recorded run, which is foreign: {self.reason}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Those of the finding."""
        return self.finding.tables()

    def plots(self) -> tuple[Plot, ...]:
        """Those of the finding."""
        return self.finding.plots()


@dataclass(frozen=True, eq=False)
class Declined(Finding):
    """No finding: the question cannot be put to this trace.

    Attributes
    ----------
    kind : type of Finding
        That it would have been.
    reason : str
        A clause.
    """

    question: ClassVar[str] = ""
    provenance: ClassVar[str] = ""

    kind: type[Finding]
    reason: str

    def __post_init__(self) -> None:
        _take_over(self, self.kind)

    @property
    def answer(self) -> bool | None:
        """It cannot be told."""
        return None

    @property
    def verdict(self) -> str:
        """Why."""
        return f"It cannot be told: {self.reason}."

    def tables(self) -> tuple[Table, ...]:
        """None."""
        return ()


def _take_over(finding: Finding, other: Any) -> None:
    """Give a finding the question of another."""
    for name in ("question", "wanted", "provenance"):
        object.__setattr__(finding, name, getattr(other, name))
