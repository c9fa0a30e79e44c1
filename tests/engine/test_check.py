"""The check: silent about right runs, of the C++ too, and right about where and what is wrong in others.

Where a mistake sits is known because it was put there: a deviation, or a function in the place of an operation.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Step, Trace, fit
from clnf_engine.checking.catalogue import CATALOGUE, mistakes_of
from clnf_engine.checking.check import check_trace
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.findings import Status
from clnf_engine.checking.mistakes import Mistake
from clnf_engine.deviations import DEVIATIONS
from clnf_engine.errors import FileError
from clnf_engine.initial import turned
from clnf_engine.operations import OPERATIONS
from clnf_engine.pdm import update
from clnf_engine.response import similarity
from clnf_engine.steps import Phase

from .checking_tools import golden_trace
from .tiny_model import micro_model, start, tiny_image, tiny_model

SHARED = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")
TURNED = (0.1, 0.35, -0.1)


def run(replaced: Any = None, rotation: tuple[float, float, float] = TURNED, **options: Any) -> Trace:
    return fit(tiny_image(), tiny_model(), start(rotation=rotation), FitOptions(**options), replace=replaced)


def failing(trace: Trace) -> dict[str, set[str]]:
    """The operations that fail, and the names of what is wrong there."""
    return {o.name: {mistake.name for mistake in o.mistakes} for o in check_trace(trace, tiny_model()).failing}


def bare(trace: Trace) -> Trace:
    """Nothing but parameters and landmarks."""
    names = ("phase", "params", "landmarks", "stage", "iteration", "success", "message")
    return replace(trace, steps=tuple(Step(**{name: getattr(step, name) for name in names}) for step in trace.steps))


# --- nothing false ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [(0.0, 0.0, 0.0), TURNED])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "float32"},
        {"weight_factor": 2.5},
        {"kernel": "exact"},
        {"normalization": "sum"},
        {"clamp_sigmas": 0.01},
    ],
    ids=str,
)
def test_nothing_is_said_of_a_right_run(rotation: tuple[float, float, float], options: dict[str, Any]) -> None:
    trace = run(rotation=rotation, **options)
    for seen in (trace, bare(trace)):
        found = check_trace(seen, tiny_model())
        assert found.conforms and not found.failing, found.verdict
        assert not any(operation.mistakes for operation in found.operations)
        assert [operation.name for operation in found.operations] == list(OPERATIONS)
    assert check_trace(trace, tiny_model()).repair == ()


@pytest.mark.parametrize("path", sorted((SHARED / "golden").glob("*.npz")), ids=lambda path: path.stem)
def test_nothing_is_said_of_the_cpp_program(path: Path, openface_model: Model) -> None:
    found = check_trace(golden_trace(path, openface_model), openface_model)
    assert found.conforms, found.verdict
    assert max(operation.error or 0.0 for operation in found.operations) < 1e-5, "as float32 is known to be"


def test_what_a_run_does_not_exercise_is_not_said_to_conform() -> None:
    found = check_trace(run(), tiny_model())
    assert found["clamp"].status is Status.NOT_EXERCISED and "bound" in found["clamp"].reason
    assert check_trace(run(clamp_sigmas=0.01), tiny_model())["clamp"].status is Status.CONFORMS
    assert check_trace(bare(run()), tiny_model())["area"].status is Status.NOT_RECORDED


# --- where and what ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in DEVIATIONS if name != "sum_guard"])
def test_every_deviation_is_found_where_it_is_and_named(name: str) -> None:
    found = failing(run(**{name: DEVIATIONS[name].value}))
    where = {"kernel_table_stale": {"stage"}, "responses_every_iteration": {"schedule"}}
    also = {"window5_without_sigma": {"schedule", "sigma"}}
    assert set(found) == also.get(name, where.get(name, set(DEVIATIONS[name].replaces)))
    assert any(name in names for names in found.values())


def test_a_guard_is_seen_where_it_acts() -> None:
    """The maps are so small that no shift is left."""
    trace = run(sum_guard=True, response_gain=2.0**-50)
    assert failing(trace)["kernel_sum"] >= {"sum_guard"}


MISTAKES: dict[str, tuple[str, Any, str]] = {
    "backwards": (
        "update",
        lambda params, delta: update(params, delta * np.r_[1, -1, -1, -1, np.ones(len(delta) - 4)]),
        "rotation_backwards",
    ),
    "turned back": ("mean_shift_image", lambda shift, back: shift @ back, "shift_turned_the_other_way"),
    "half a cell": (
        "position",
        lambda now, base, s, w: np.clip((now - base) @ s.T + w / 2, 0, w - 0.1),
        "position_from_half_the_window",
    ),
    "absolute": ("shift", np.abs, "shift_absolute"),
    "mean": ("raw", lambda outputs: outputs.mean(axis=1), "mean_of_neurons"),
    "three times": ("likelihood", lambda *v: 3 * OPERATIONS["likelihood"].function(*v), "scaled"),
    "transposed": (
        "ncc",
        lambda area, experts, dtype: OPERATIONS["ncc"].function(area.swapaxes(1, 2), experts, dtype),
        "area_transposed",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_function_in_the_place_of_an_operation_is_found_and_named(case: str) -> None:
    operation, function, name = MISTAKES[case]
    found = failing(run({operation: function}))
    assert set(found) == {operation}
    assert name in found[operation]


def test_two_mistakes_come_apart_and_their_repair_leaves_nothing() -> None:
    trace = run(euler_transposed=True, alignment_least_squares=True)
    found = check_trace(trace, tiny_model())
    assert {o.name: o.mistakes[0].name for o in found.failing} == {
        "similarity": "alignment_least_squares",
        "update": "euler_transposed",
    }
    repair = dict(found.repair)
    assert repair["all"] < 1e-9 < min(value for name, value in repair.items() if name != "all")
    assert repair["no mistake"] == pytest.approx(np.linalg.norm(run().landmarks - trace.landmarks, axis=1).max())
    assert found.verdict.count("(similarity") == found.verdict.count("(update") == 1


def test_one_cause_at_several_operations_is_told_once() -> None:
    trace = run(kernel="exact")
    found = check_trace(replace(trace, options=FitOptions()), tiny_model())
    assert [o.name for o in found.failing] == ["kernel_sum", "mean_shift"]
    assert found.verdict.count("The kernel is evaluated where it stands") == 1


def test_a_start_that_was_turned_by_hand_is_not_called_wrong() -> None:
    by_hand = turned(tiny_model(), start(), (0.1, 0.0, 0.3))
    found = check_trace(fit(tiny_image(), tiny_model(), by_hand), tiny_model())
    assert found.conforms and found["init"].status is Status.NOT_RECORDED


def shifts_of_another_sigma(
    by: float, final: Any, position: Any, _: Any, visible: Any, sigma: float, kernel: Any
) -> Any:
    total = OPERATIONS["kernel_sum"].function(final, position, by * sigma, kernel)
    return OPERATIONS["mean_shift"].function(final, position, total, visible, by * sigma, kernel)


@pytest.mark.parametrize(
    ("operation", "function", "said"),
    [
        ("delta", lambda h, g: np.linalg.solve(h + 7.25 * np.eye(len(h)), g), "7.25 is added to the diagonal"),
        ("area", lambda *v: 1.7 * OPERATIONS["area"].function(*v) - 12.5, "the area times 1.7 plus -12.5"),
        ("mean_shift", lambda *v: shifts_of_another_sigma(0.6, *v), "σ times 0.6"),
        ("gradient", lambda *v: OPERATIONS["gradient"].function(*v[:5], v[5] / 68, v[6]), "the prior times 1/68"),
    ],
)
def test_a_number_that_is_wrong_is_told(operation: str, function: Any, said: str) -> None:
    trace = fit(tiny_image(), tiny_model(), start(), replace={operation: function})
    assert any(said in mistake.text for mistake in check_trace(trace, tiny_model())[operation].mistakes)


def test_a_mistake_that_nobody_knows_is_told_with_the_best_constant() -> None:
    wave = 1 + 0.1 * np.sin(np.arange(68))[:, None]
    found = check_trace(run({"mean_shift": lambda *v: wave * OPERATIONS["mean_shift"].function(*v)}), tiny_model())
    (operation,) = found.failing
    assert (operation.name, operation.mistakes) == ("mean_shift", ())
    assert operation.best_factor == pytest.approx(1.0, abs=0.1) and operation.factor_left > 0.01
    assert "no known mistake fits" in found.verdict


def test_the_effect_is_what_the_wrong_value_does_in_one_iteration() -> None:
    """A shift of every landmark by one px in x moves a rigid fit by one px."""
    right = OPERATIONS["mean_shift_image"].function
    found = check_trace(run({"mean_shift_image": lambda s, m: right(s, m) + np.array([1.0, 0.0])}), tiny_model())
    operation = found["mean_shift_image"]
    assert operation.error == pytest.approx(1.0) and operation.effect_px == pytest.approx(1.0, abs=0.2)


# --- less than everything ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("euler_transposed", (0, Phase.RIGID, 1)),
        ("step_damping", (0, Phase.RIGID, 1)),
        ("alignment_least_squares", (0, Phase.RIGID, 1)),
    ],
)
def test_parameters_and_landmarks_tell_the_first_wrong_iteration(name: str, place: Any) -> None:
    found = check_trace(bare(run(**{name: DEVIATIONS[name].value})), tiny_model())
    assert place in [operation.first for operation in found.failing]


def test_a_chain_between_two_recorded_arrays_is_one_operation() -> None:
    trace = run(sigma_off=True)
    steps = [
        s
        if s.responses is None
        else replace(s, responses=replace(s.responses, **dict.fromkeys(("raw", "after_sigma", "shifted"))))
        for s in trace.steps
    ]
    found = check_trace(replace(trace, steps=tuple(steps)), tiny_model())
    assert [o.name for o in found.failing] == ["sigma"] and found["sigma"].mistakes[0].name == "sigma_off"


def test_what_is_nan_is_left_out() -> None:
    trace = run()
    steps = []
    for step in trace.steps:
        own: dict[str, Any] = {}
        if step.jacobian is not None:
            own = {"jacobian": step.jacobian.copy(), "delta": step.delta.copy()}
            own["jacobian"][[3, 71]] = own["delta"][2] = np.nan
        steps.append(replace(step, **own))
    assert check_trace(replace(trace, steps=tuple(steps)), tiny_model()).conforms


def test_arrays_that_hold_anything_fail_and_raise_nothing() -> None:
    trace = run()
    place = next(k for k, step in enumerate(trace.steps) if step.delta is not None)
    step = trace.steps[place]
    params = step.params.copy()
    params[4] = np.inf
    odd = replace(step, params=params, jacobian=step.jacobian[:-1], delta=step.delta * 1e300)
    found = check_trace(replace(trace, steps=(*trace.steps[:place], odd, *trace.steps[place + 1 :])), tiny_model())
    assert {"jacobian", "delta"} <= {o.name for o in found.failing}


def test_another_model_is_said_first() -> None:
    found = check_trace(run(), micro_model())
    assert not found.checked and found.verdict.startswith("The trace was made with another model: it has 68 landmarks")
    other = check_trace(replace(run(), fingerprint="0" * 16), tiny_model())
    assert other.verdict.startswith("The trace was made with another model")


# --- conventions ------------------------------------------------------------------------------------


def _params(trace: Trace, change: Any) -> Trace:
    steps = tuple(replace(step, params=change(step.params)) for step in trace.steps)
    return replace(trace, steps=steps, initial=replace(trace.initial, params=change(trace.initial.params)))


def _steps(trace: Trace, change: Any) -> Trace:
    return replace(trace, steps=tuple(change(step) for step in trace.steps))


def _interleaved(step: Step) -> Step:
    if step.jacobian is None:
        return step
    return replace(step, jacobian=step.jacobian.reshape(2, 68, -1).swapaxes(0, 1).reshape(step.jacobian.shape))


def _by_column(step: Step) -> Step:
    maps = step.responses
    names = ("area", "neuron_ncc", "neuron_output", "raw", "after_sigma", "shifted", "final")
    return step if maps is None else replace(
        step, responses=replace(maps, **{name: getattr(maps, name).swapaxes(-1, -2) for name in names})
    )  # fmt: skip


def _reference_px(step: Step) -> Step:
    shift = step.mean_shift
    return step if shift is None else replace(step, mean_shift=replace(shift, image=shift.reference))


CONVENTIONS: dict[str, Any] = {
    "degrees": lambda t: _params(t, lambda p: np.r_[p[:1], np.degrees(p[1:4]), p[4:]]),
    "params_order": lambda t: _params(t, lambda p: p[[0, 4, 5, 1, 2, 3, *range(6, len(p))]]),
    "jacobian_interleaved": lambda t: _steps(t, _interleaved),
    "maps_column_major": lambda t: _steps(t, _by_column),
    "shifts_in_reference_pixels": lambda t: _steps(t, _reference_px),
    "iterations_from_0": lambda t: _steps(t, lambda s: replace(s, iteration=s.iteration and s.iteration - 1)),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_of_the_file_is_recognised_also_beside_a_mistake(name: str) -> None:
    found = check_trace(CONVENTIONS[name](run()), tiny_model())
    assert [convention.name for convention in found.conventions] == [name]
    assert found.conforms and "in this file" in found.verdict
    found = check_trace(CONVENTIONS[name](run(alignment_least_squares=True)), tiny_model())
    assert [convention.name for convention in found.conventions] == [name]
    assert [o.name for o in found.failing] == ["similarity"]


# --- mistakes ---------------------------------------------------------------------------------------


def test_names_and_texts_of_the_catalogue() -> None:
    assert {mistake.operation for mistake in CATALOGUE} <= OPERATIONS.keys()
    assert all(mistake.name.isidentifier() or "." in mistake.name or "-" in mistake.name for mistake in CATALOGUE)
    assert not any(mistake.text.endswith(".") for mistake in CATALOGUE)
    assert {"euler_transposed", "kernel_exact", "sigma_off"} <= {mistake.name for mistake in CATALOGUE}


def test_mistakes_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from clnf_engine.checking.mistakes import Mistake\n"
        "MISTAKES = [Mistake('mine', 'similarity', 'it is 3 % too large', lambda v: 1.03 * v.out)]\n"
    )
    (mine,) = mistakes_of(file)
    trace = run({"similarity": lambda a, b: 1.03 * similarity(a, b)})
    (operation,) = check_trace(trace, tiny_model(), mistakes=[mine]).failing
    assert operation.mistakes[0].name == "mine"

    def stumbles(v: Inputs) -> Any:
        raise RuntimeError(str(v.nothing_of_this_name))

    bad = Mistake("bad", "similarity", "it stumbles", stumbles)
    assert check_trace(trace, tiny_model(), mistakes=[bad]).failing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MISTAKES = 3", "expected a list MISTAKES"),
        ("1 / 0", r"fails when it is run \(ZeroDivisionError"),
        ("def", r"fails when it is run \(SyntaxError"),
        (
            "from clnf_engine.checking.mistakes import Mistake\nMISTAKES = [Mistake('a', 'final', 'b', abs)]",
            "there is no operation 'final'",
        ),
    ],
)
def test_a_bad_file_of_mistakes_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(FileError, match=message):
        mistakes_of(file)
    with pytest.raises(FileError, match="cannot be read"):
        mistakes_of(tmp_path / "none.py")
