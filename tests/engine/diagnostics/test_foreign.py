"""Foreign and partial traces: every tool says something true of them, or why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from clnf_engine import FitOptions, InitialError, Phase, Trace, fit
from clnf_engine.diagnostics.fixed_point import fixed_point
from clnf_engine.diagnostics.foreign import Declined, OfRerun, foreign, is_whole, own_run, rerun
from clnf_engine.diagnostics.magnitudes import run_magnitudes
from clnf_engine.diagnostics.tools import TOOLS, counterpart, diagnose
from clnf_engine.initial import Initial
from clnf_engine.options import FitOptions as Options
from clnf_engine.steps import Step

from ..tiny_model import micro_model, start, tiny_image, tiny_model
from .lab_tools import run

READ = ("conformance", "magnitudes", "fixed_point", "divergence")
"""Tools that read what was recorded, and run no fit."""


def port(**changes: object) -> Trace:
    """A run with deviations that its options do not tell: what a port with a bug records."""
    return replace(run(**changes), options=Options())


def stripped(trace: Trace, *kept: str) -> Trace:
    """A run of which only some values were recorded."""
    gone = {name: None for name in Step.__dataclass_fields__ if name not in ("phase", "stage", "iteration", *kept)}
    del gone["params"], gone["landmarks"]
    return replace(trace, steps=tuple(replace(step, **(gone | {"message": ""})) for step in trace.steps))


FOREIGN: dict[str, Callable[[], Trace]] = {
    "euler": lambda: port(euler_transposed=True),
    "alignment": lambda: port(image_rotation_sign_flipped=True),
    "pixel fraction": lambda: port(kernel_centre_pixel_fraction=True),
    "no Sigma": lambda: port(sigma_off=True),
    "five arrays": lambda: stripped(port(euler_transposed=True)),
    "delta without gradient": lambda: stripped(port(euler_transposed=True), "delta", "update_norm", "converged"),
    "maps alone": lambda: stripped(port(sigma_off=True), "responses"),
    "iterations alone": lambda: replace(port(sigma_off=True), steps=port(sigma_off=True).steps[2:-1]),
}
UNABLE: dict[str, Callable[[], Trace]] = {
    "no start": lambda: replace(run(), initial=Initial.unknown(10)),
    "another model": lambda: fit(
        tiny_image(), micro_model(), Initial(np.array([0.6, 0, 0, 0, 70, 70, 0.0, 0.0]), start().source, start().box)
    ),
}


@pytest.fixture(scope="module")
def own() -> dict[str, str]:
    """What the tools say of the engine's own fit."""
    return {tool.name: found.verdict for tool, found in diagnose(run(), tiny_model()) if not tool.compares}


@pytest.mark.parametrize("name", FOREIGN)
def test_every_tool_speaks_of_a_foreign_trace_as_one(name: str, own: dict[str, str]) -> None:
    trace, model = FOREIGN[name](), tiny_model()
    assert foreign(trace, model)
    for tool, found in diagnose(trace, model):
        assert isinstance(found, tool.finding if tool.name in READ else OfRerun), tool.name
        assert found.question == tool.question and found.provenance.endswith(".")
        assert found.verdict.startswith({True: "Yes", False: "No", None: "It cannot be told"}[found.answer])
        if tool.name not in READ:
            assert "the engine's own fit" in found.verdict and "is foreign: at stage" in found.verdict
            assert tool.name == "jitter" or found.finding.verdict == own[tool.name], "what is true of our own fit"
        assert all(len(row) == len(table.columns) for table in found.tables() for row in table.rows)
        assert all(values.shape == plot.x.shape for plot in found.plots() for values in plot.series.values())


@pytest.mark.parametrize("name", UNABLE)
def test_a_trace_that_cannot_be_run_is_declined_with_the_reason(name: str) -> None:
    trace, model = UNABLE[name](), tiny_model()
    reason = {"no start": "its start is not recorded", "another model": "8 parameters, and the model tiny 10"}[name]
    assert reason in foreign(trace, model)
    with pytest.raises(InitialError, match=reason):
        rerun(trace, model)
    for tool, found in diagnose(trace, model):
        if tool.name in READ and not tool.compares:
            assert isinstance(found, tool.finding)
        else:
            assert isinstance(found, Declined) and reason in found.verdict and found.answer is None
            assert found.tables() == () and found.question == tool.question


def test_divergence_compares_a_foreign_trace_with_our_own_run() -> None:
    trace, model = port(euler_transposed=True), tiny_model()
    assert counterpart(trace, model).options == trace.options
    found = {tool.name: finding for tool, finding in diagnose(trace, model, tools=[TOOLS["divergence"]])}
    # With the angles read from the transposed matrix, the first update is the first value that is another.
    assert found["divergence"].divergence.array == "params"
    assert found["divergence"].divergence.step_a.place == (0, Phase.RIGID, 1)


# --- what is ours -----------------------------------------------------------------------------------


def test_our_own_runs_are_not_foreign() -> None:
    for trace in (run(), run(precision="float32"), run(euler_transposed=True), run(windows=(0, 0))):
        assert foreign(trace, tiny_model()) == ""
        assert is_whole(trace)
        assert own_run(trace, tiny_model()) is trace
    bare = stripped(run())
    assert foreign(bare, tiny_model()) == "" and not is_whole(bare) and is_whole(own_run(bare, tiny_model()))


@pytest.mark.parametrize("amount", [0.0, 1e-9])
def test_what_is_ours_but_not_all_of_it_is_run_again(amount: float) -> None:
    """Tools that compare bits with the recorded run, or look at its first iteration, look at the engine's own."""
    model, trace = tiny_model(), run()
    steps = tuple(replace(s, landmarks=s.landmarks + amount) for s in trace.steps if amount or s.iteration != 1)
    near = replace(trace, steps=steps)
    assert foreign(near, model) == "" and own_run(near, model) is not near
    ((_, found),) = diagnose(near, model, tools=[TOOLS["invariance"]])
    assert found.answer is False and found.scalings[0].identical


def test_parameters_in_degrees_are_foreign() -> None:
    """Their landmarks are ours, but what is projected from them is not."""
    degrees = np.array([1, *[180 / np.pi] * 3, 1, 1, 1, 1, 1, 1])
    steps = tuple(replace(s, params=s.params * degrees) for s in run().steps)
    assert "the parameters are" in foreign(replace(run(), steps=steps), tiny_model())


@pytest.mark.parametrize("name", ["jacobian", "hessian", "likelihoods"])
def test_a_value_that_moves_no_landmark_is_foreign_all_the_same(name: str) -> None:
    """Tools that speak of the engine's Jacobian do not speak of a recorded one that is another."""
    steps = tuple(s if getattr(s, name) is None else replace(s, **{name: 1.5 * getattr(s, name)}) for s in run().steps)
    trace = replace(run(), steps=steps)
    assert f" {name} differs by 0.5" in foreign(trace, tiny_model())
    ((_, found),) = diagnose(trace, tiny_model(), tools=[TOOLS["jacobian"]])
    assert isinstance(found, OfRerun) and f"{name} differs by 0.5" in found.verdict


def test_float32_arithmetic_is_not_foreign() -> None:
    """A run of our float32 arithmetic whose options say float64."""
    trace = replace(run(precision="float32"), options=FitOptions())
    apart = np.abs(trace.landmarks - run().landmarks).max()
    assert 1e-7 < apart < 1e-4 and foreign(trace, tiny_model()) == ""


def test_rounding_to_float32_is_not_foreign_and_a_hair_more_is() -> None:
    model, trace = tiny_model(), run()
    single = tuple(replace(s, landmarks=s.landmarks.astype(np.float32).astype(np.float64)) for s in trace.steps)
    assert foreign(replace(trace, steps=single), model) == ""
    for amount, expected in ((5e-7, False), (2e-6, True)):
        last = trace.steps[-1]
        moved = replace(last, landmarks=last.landmarks + np.array([amount, 0]))
        assert bool(foreign(replace(trace, steps=(*trace.steps[:-1], moved)), model)) is expected


def test_parameters_alone_and_iterations_that_we_do_not_have() -> None:
    model, trace = tiny_model(), run()
    alone = tuple(replace(s, landmarks=np.full((0, 2), np.nan)) for s in trace.steps)
    assert foreign(replace(trace, steps=alone), model) == ""
    more = replace(run(max_iterations=6, convergence_px=0.0), options=FitOptions(convergence_px=0.0))
    assert "rigid 6" in foreign(more, model)


def test_another_model_is_named_by_its_fingerprint() -> None:
    trace = replace(port(euler_transposed=True), fingerprint="0123456789abcdef")
    assert foreign(trace, tiny_model()).startswith("it was made with another model (fingerprint 0123456789abcdef)")


# --- tools that read what was recorded --------------------------------------------------------------


def test_a_fixed_point_with_delta_and_without_gradient() -> None:
    found = fixed_point(stripped(run(), "delta", "update_norm", "converged"))
    last = run().steps[-2]
    assert found.answer is False and f"‖Δp‖ is {last.update_norm:.3g}" in found.verdict
    assert "gradient" not in found.verdict and "JᵀWv" not in found.verdict and "mean-shift" not in found.verdict
    assert len(found.tables()[0].rows) == sum(step.delta is not None for step in run().steps)
    unsaid = fixed_point(stripped(run(), "delta"))
    assert unsaid.answer is None and "was not recorded" in unsaid.verdict
    assert fixed_point(stripped(run())).answer is None
    moved = fixed_point(stripped(run(), "shape_change", "converged"))
    assert moved.answer is False and f"moves {last.shape_change:.3g} px" in moved.verdict


@pytest.mark.parametrize("name", ["raw", "after_sigma", "shifted", "final", "visible"])
def test_magnitudes_of_maps_that_were_not_all_recorded(name: str) -> None:
    steps = tuple(
        s if s.responses is None else replace(s, responses=replace(s.responses, **{name: None})) for s in run().steps
    )
    found = run_magnitudes(replace(run(), steps=steps), tiny_model())
    assert found.answer is None and found.verdict.startswith("It cannot be told")
