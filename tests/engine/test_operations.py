"""The table of operations: the loop is the table, and a function at a row takes the place of one piece of the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Phase, Trace, fit, fit_steps, initial_from_landmarks
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.errors import OperationError
from clnf_engine.operations import OPERATIONS, Functions
from clnf_engine.pdm import params_from_box, update

from .tiny_model import start, tiny_image, tiny_model, true_landmarks


def run(replace: Any = None, **options: Any) -> Trace:
    return fit(tiny_image(), tiny_model(), start(), FitOptions(**options), replace=replace)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_every_row_is_what_the_loop_does_there(name: str) -> None:
    """The table's own function, put in its own place, is called and changes nothing."""
    calls = []

    def spy(*values: Any) -> Any:
        assert len(values) == len(OPERATIONS[name].reads)
        calls.append(name)
        return OPERATIONS[name].function(*values)

    trace = run({name: spy}, weight_factor=2.0)
    assert calls
    assert trace.landmarks.tobytes() == run(weight_factor=2.0).landmarks.tobytes()


def test_a_function_takes_the_place_of_the_update() -> None:
    """A damped update in the place of the update is the deviation of that name."""
    replaced = run({"update": lambda params, delta: update(params, 0.75 * delta)})
    assert np.array_equal(replaced.landmarks, run(step_damping=0.75).landmarks)
    assert not np.array_equal(replaced.landmarks, run().landmarks)
    steps = fit_steps(tiny_image(), tiny_model(), start(), replace={"update": lambda params, delta: params})
    assert all(np.array_equal(step.params, start().params) for step in steps)


def test_a_function_may_leave_out_the_last_values_and_change_its_copies() -> None:
    def mine(params: np.ndarray, delta: np.ndarray) -> np.ndarray:
        params[:] = update(params.copy(), delta)
        delta[:] = np.nan
        return params

    def held(moved: np.ndarray) -> np.ndarray:
        return moved

    assert np.array_equal(run({"update": mine, "clamp": held}).landmarks, run(clamp_sigmas=1e9).landmarks)


def test_the_start_can_be_replaced_where_it_is_made_from_a_box() -> None:
    trace = run({"init": lambda box, rotation, pdm: params_from_box(pdm, box, rotation)})
    assert np.array_equal(trace.landmarks, run().landmarks)
    initial = initial_from_landmarks(tiny_model(), true_landmarks())
    with pytest.raises(OperationError, match="operation init: this fit starts from landmarks; expected a start from"):
        fit(tiny_image(), tiny_model(), initial, replace={"init": lambda box: initial.params})


def test_the_schedule_can_be_rows_of_scale_and_window() -> None:
    trace = run({"schedule": lambda windows, n_scales: [(1, 9), (0, 7)]})
    assert [(s.stage.patch_scale, s.stage.window) for s in trace.stages] == [(1, 9), (0, 7)]
    with pytest.raises(OperationError, match=r"operation schedule: .* rows of a patch scale, from 0, and a window"):
        run({"schedule": lambda *_: [(5, 9)]})


def test_no_solution_of_a_callers_solver_ends_the_fit_as_ever() -> None:
    trace = run({"delta": lambda hessian, gradient: None})
    assert not trace.success and trace.message == "the normal equations have no unique solution"


def test_all_steps_of_a_replaced_fit_are_kept() -> None:
    count = iter(range(10**6))
    trace = fit(
        tiny_image(), tiny_model(), start(), budget=0,
        replace={"update": lambda params, delta: update(params, delta / (1 + next(count)))},
    )  # fmt: skip
    assert isinstance(trace.steps, tuple)
    assert all(step.responses is not None for step in trace.steps if step.phase is Phase.RIGID)


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("updates", lambda a: a, "there is no operation 'updates'; expected one of init, "),
        ("update", 3, "operation update: found 3; expected a function"),
        ("update", lambda a, b, c: a, "requires 3 values; expected at most 2: params_before, delta"),
        ("update", lambda a, b: a[:5], r"gave an array of float64 \(5,\); expected numbers of shape \(10,\)"),
        ("update", lambda a, b: a * np.nan, "operation update: .* not finite"),
        ("update", lambda a, b: "text", r"gave str; expected numbers of shape \(10,\)"),
        ("update", lambda a, b: [[1], [1, 2]], r"gave list; expected numbers"),
        ("final", lambda a, b: a, "there is no operation 'final'"),
        ("stage", lambda scale: (1.5, 25.0), r"operation stage: .* expected numbers of shape \(3,\)"),
        ("shift", lambda maps: maps.astype(complex), "operation shift: .* complex128"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(name: str, function: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        run({name: function})


def test_deviations_are_functions_at_rows() -> None:
    for name, deviation in DEVIATIONS.items():
        functions, plain = Functions(FitOptions(**{name: deviation.value})), Functions(FitOptions())
        changed = {row for row in OPERATIONS if functions[row] is not plain[row]}
        assert changed == set(deviation.replaces), name
