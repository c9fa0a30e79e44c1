"""The general mistakes, made for any operation.

Its result or one of the values it reads is changed, left out, bounded, or taken from another moment or another value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from clnf_engine.checking.changes import Change, changes_of, words
from clnf_engine.checking.evidence import Hypothesis, Inputs, Moment, Reference
from clnf_engine.checking.fitted import fitted
from clnf_engine.checking.mistakes import Mistake, factor_text, fitted_factor, row_pair
from clnf_engine.checking.rows import UNFITTING, Row
from clnf_engine.operations import OPERATIONS

_FIRST = 6
"""Rows that a number is fitted to at most."""


def general(operation: str, rows: Sequence[Row], reference: Reference) -> Iterator[Mistake]:
    """The general mistakes at an operation, its result first; rows are those that are to be reproduced."""
    row = OPERATIONS[operation]
    own = rows[0].operation == operation
    sample = _sample(operation, rows[0], reference)
    if sample is None:
        return
    out, arguments = sample
    what = words(row.gives)
    for name, (text, change) in changes_of(_array(out), what).items():
        yield Mistake(name, operation, text, _changed_result(change))
    if own:
        yield from _fitted(operation, rows, reference, what)
        yield from _kept(operation, row.gives, what)
        yield from _limited(operation, rows, reference)
    if own or (operation, rows[0].operation) == ("update", "clamp"):
        samples = [found for row in rows[:_FIRST] if (found := _sample(operation, row, reference)) is not None]
        yield from fitted(operation, rows, reference, samples, what)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and np.shape(value) == np.shape(out):
            yield Mistake(
                "left_out", operation, f"{words(name)} is passed on as it is", lambda v, name=name: getattr(v, name)
            )
    for name, value in arguments.items():
        for change_name, (text, change) in changes_of(value, words(name)).items():
            yield Mistake(f"{name}_{change_name}", operation, text, _changed_input(operation, name, change))
        if name in _REMEMBERED:
            yield from _remembered(operation, name)
    yield from _other_inputs(operation, rows[0], arguments, reference)


def _array(value: Any) -> Any:
    return np.asarray(value, dtype=np.float64) if isinstance(value, tuple) else value


def _sample(operation: str, row: Row, reference: Reference) -> tuple[Any, dict[str, Any]] | None:
    """What an operation reads and gives where a row was made."""
    caught: dict[str, Any] = {}

    def catch(v: Inputs) -> Any:
        caught["arguments"] = {name: getattr(v, name) for name in OPERATIONS[operation].reads}
        caught["out"] = v.out
        return v.out

    try:
        row.right(reference.under(operation, catch))
    except UNFITTING:
        return None
    return (caught["out"], caught["arguments"]) if caught.get("out") is not None else None


def _changed_result(change: Change) -> Hypothesis:
    return lambda v: change(_array(v.out))


def _changed_input(operation: str, name: str, change: Change) -> Hypothesis:
    return lambda v: _with_input(v, operation, name, change(getattr(v, name)))


def _with_input(v: Inputs, operation: str, name: str, value: Any) -> Any:
    arguments = [value if read == name else getattr(v, read) for read in OPERATIONS[operation].reads]
    return v.reference.functions[operation](*arguments)


def _fitted(operation: str, rows: Sequence[Row], reference: Reference, what: str) -> Iterator[Mistake]:
    """A constant factor, and a constant summand."""
    found = fitted_factor(rows, reference)
    if found is not None and found[1] < 1e-2 and abs(found[0] - 1) > 1e-6:
        factor = found[0]
        yield Mistake("scaled", operation, f"{what} times {factor_text(factor)}", lambda v: np.multiply(v.out, factor))
    pair = row_pair(rows[0], reference)
    if pair is not None and pair[0].size > 2 and np.isfinite(pair).all(axis=0).any():
        summand = float(np.nanmedian(pair[1] - pair[0]))
        if summand:
            yield Mistake("offset", operation, f"{what} plus {summand:.6g}", lambda v: np.add(v.out, summand))


def _kept(operation: str, gives: str, what: str) -> Iterator[Mistake]:
    """The value of another moment in the place of this one's."""

    def of_before(v: Inputs) -> Any:
        moments = v.moments
        same = [m for m in moments[: moments.index(v.moment)] if gives in m.recorded]
        return same[-1].recorded[gives] if same else v.out

    def of_first(v: Inputs) -> Any:
        first = next(m for m in v.moments if gives in m.recorded)
        return v.out if first is v.moment else first.recorded[gives]

    def of_first_of_stage(v: Inputs) -> Any:
        index = v.moment.step.stage.index
        first = next(m for m in v.moments if gives in m.recorded and m.step.stage.index == index)
        return v.out if first is v.moment else first.recorded[gives]

    yield Mistake("of_the_step_before", operation, f"{what} is that of the step before", of_before)
    yield Mistake(
        "of_the_first_step", operation, f"{what} is never made anew: it stays that of the first step", of_first
    )
    yield Mistake(
        "of_the_stages_start", operation, f"{what} stays that of the first step of the stage", of_first_of_stage
    )


_REMEMBERED = ("params_before", "landmarks_before", "base_shape", "weights", "final")
"""Values of an earlier moment that a port may go on to use."""


def _remembered(operation: str, name: str) -> Iterator[Mistake]:
    """What an operation reads is that of an earlier moment."""

    def of(pick: Callable[[Sequence[Moment], Moment], Moment]) -> Hypothesis:
        def earlier(v: Inputs) -> Any:
            known = [m for m in v.moments if m is v.moment or (m.iterates and name in m.recorded)]
            return _with_input(v, operation, name, pick(known, v.moment).value(name, v.reference))

        return earlier

    def before(known: Sequence[Moment], now: Moment) -> Moment:
        return known[max(known.index(now) - 1, 0)]

    def of_stage(known: Sequence[Moment], now: Moment) -> Moment:
        return next(m for m in known if m.step.place[0] == now.step.place[0])

    what = words(name)
    for called, text, picked in (
        ("start", "the start of the fit", of(lambda known, _: known[0])),
        ("stages_start", "the start of the stage", of(of_stage)),
        ("step_before", "the step before", of(before)),
    ):
        yield Mistake(f"{name}_of_the_{called}", operation, f"for {what}, what was there at {text} is taken", picked)


def _limited(operation: str, rows: Sequence[Row], reference: Reference) -> Iterator[Mistake]:
    """Bounds that the recorded values themselves tell: the largest there are."""
    values = [np.asarray(row.recorded, dtype=np.float64) for row in rows]
    if operation == "clamp":
        deviations = np.sqrt(reference.model.pdm.variances)
        sigmas = max(float(np.nanmax(np.abs(value[6:]) / deviations, initial=0.0)) for value in values)
        angle = max(float(np.nanmax(np.abs(value[1:4]))) for value in values)
        yield Mistake(
            "clamp_at_another_multiple",
            operation,
            f"the modes are held within {factor_text(sigmas)} standard deviations",
            lambda v: _with_input(v, operation, "clamp_sigmas", sigmas),
        )
        yield Mistake(
            "clamp_at_another_multiple",
            operation,
            f"the modes are held within {factor_text(sigmas)} standard deviations, the angles not at all",
            lambda v: np.r_[v.out[:1], v.moved[1:4], _with_input(v, operation, "clamp_sigmas", sigmas)[4:]],
        )
        yield Mistake(
            "clamp_of_angles_elsewhere",
            operation,
            f"the angles are held within {factor_text(angle)}",
            lambda v: np.r_[v.out[:1], np.clip(v.moved[1:4], -angle, angle), v.out[4:]],
        )
    if operation == "delta":
        length = max(float(np.linalg.norm(value)) for value in values)
        most = max(float(np.nanmax(np.abs(value))) for value in values)
        yield Mistake(
            "limited",
            operation,
            f"the update is held to a length of {factor_text(length)}",
            lambda v: v.out * min(1.0, length / float(np.linalg.norm(v.out))),
        )
        yield Mistake(
            "limited",
            operation,
            f"the update is held within ±{factor_text(most)}",
            lambda v: np.clip(v.out, -most, most),
        )


_ELSEWHERE = (
    "base_shape", "reference_shape", "landmarks_before", "position", "mean_shift", "mean_shift_image", "raw",
    "after_sigma",
    "shifted", "final", "image_to_reference", "reference_to_image", "params_before", "params", "moved", "landmarks",
    "sigma", "reg_factor", "weight_factor", "patch_scaling", "window", "weights", "gradient", "delta",
    "chosen_sigma", "chosen_reg_factor", "chosen_weight_factor",
)  # fmt: skip


def _other_inputs(operation: str, row: Row, arguments: dict[str, Any], reference: Reference) -> Iterator[Mistake]:
    """Another value of the same kind in the place of one that an operation reads."""
    order = list(OPERATIONS)
    given_later = {row.gives for row in OPERATIONS.values() if order.index(row.name) >= order.index(operation)}
    for name, value in arguments.items():
        for other in _ELSEWHERE:
            later = other in given_later or (other == "landmarks" and operation != "likelihood")
            if other == name or later or isinstance(value, (bool, str)):
                continue
            try:
                found = _elsewhere(row, other, reference)
            except UNFITTING:
                continue
            if type(found) is type(value) and np.shape(found) == np.shape(value):
                yield Mistake(
                    f"{name}_from_{other}",
                    operation,
                    f"{words(other)} is taken for {words(name)}",
                    lambda v, name=name, other=other: _with_input(v, operation, name, read_elsewhere(v, other)),
                )


def _elsewhere(row: Row, name: str, reference: Reference) -> Any:
    if name.startswith("chosen_"):
        return getattr(reference.options, name.removeprefix("chosen_"))
    if name == "landmarks":
        return row.moment.step.landmarks
    return row.moment.value(name, reference)


def read_elsewhere(v: Inputs, name: str) -> Any:
    """A value by name, also one that the moment gives later or that was chosen before any adaptation."""
    if name.startswith("chosen_"):
        return getattr(v.reference_options, name.removeprefix("chosen_"))
    return v.moment.step.landmarks if name == "landmarks" else getattr(v, name)
