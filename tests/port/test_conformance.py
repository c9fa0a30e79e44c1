"""Conformance, step by step, and what every tool of the Lab says of the traces of a faulty port."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from clnf_engine import Trace
from clnf_engine.diagnostics.conformance import ConformanceFinding, conformance
from clnf_engine.diagnostics.finding import State
from clnf_engine.diagnostics.foreign import OfRerun, foreign, rerun
from clnf_engine.diagnostics.tools import TOOLS, diagnose
from clnf_engine.operations import OPERATIONS
from clnf_engine.pdm import clamp, update
from clnf_engine.sigma import sigma_transform
from clnf_engine.steps import Phase

from .faces import FACES
from .traces import (
    CONVENTIONS,
    iterations_from_0,
    last_iterations,
    only_final_maps,
    only_landmarks,
    recorded,
)

EULER = "update_reads_the_transposed_matrix"
FAULTY = (
    EULER,
    "sigma_left_out",
    "image_shift_negated",
    "pdm_interleaved",
    "ncc_without_subtracting_the_mean",
    "jacobian_with_wx_negated",
    "rigid_phase_left_out",
    "likelihood_in_bits",
    "sigma_left_out hessian_without_prior",
)
PARTS: dict[str, Callable[[Trace], Trace]] = {
    "all": lambda trace: trace,
    "landmarks": only_landmarks,
    "final maps": only_final_maps,
    "last iterations": last_iterations,
}


@cache
def found(name: str, part: str = "all") -> tuple[Trace, ConformanceFinding]:
    trace = PARTS[part](recorded(name))
    return trace, conformance(trace, FACES["tiny"].model())


# --- step by step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTY)
def test_a_cell_shows_the_values_that_the_check_compared(name: str) -> None:
    """Of every operation that fails, at its first and last cell, and of one that conforms."""
    trace, finding = found(name)
    (strip,) = finding.strips()
    assert set(strip.places) == {step.place for step in trace.steps}
    for operation in finding.check.operations:
        errors: dict = {}
        for place, error in operation.steps:
            errors[place] = max(error, errors.get(place, 0.0))
        failing = [place for place, error in errors.items() if error > finding.check.tolerance]
        for place in {*failing[:1], *failing[-1:], *list(errors)[:1]}:
            shown = finding.evaluation(trace, FACES["tiny"].model(), operation.name, place)
            assert shown is not None and shown.error == errors[place], (operation.name, place)
            wrong = strip.states[operation.name, place] in (State.FAILS, State.FOLLOWS)
            assert wrong is (shown.error > finding.check.tolerance)
            if shown.difference is not None:
                assert bool(np.nan_to_num(shown.difference).any()) or not wrong


def test_what_is_recorded_and_what_is_recomputed_of_the_parameters() -> None:
    trace, finding = found(EULER)
    model = FACES["tiny"].model()
    before, step = next((a, b) for a, b in zip(trace.steps, trace.steps[1:], strict=False) if b.iteration == 2)
    shown = finding.evaluation(trace, model, "update", step.place)
    np.testing.assert_array_equal(shown.recorded, step.params)
    right = clamp(model.pdm, update(before.params, step.delta), trace.options.clamp_sigmas)
    np.testing.assert_allclose(shown.recomputed, right, atol=1e-12)
    assert (finding.strips()[0].states["update", step.place]) is State.FAILS
    assert finding.strips()[0].states["clamp", step.place] is State.FOLLOWS


def test_what_is_recorded_and_what_is_recomputed_of_maps() -> None:
    trace, finding = found("sigma_left_out")
    model = FACES["tiny"].model()
    step = next(step for step in trace.steps if step.phase is Phase.RESPONSES)
    shown = finding.evaluation(trace, model, "sigma", step.place)
    np.testing.assert_array_equal(shown.recorded, step.responses.raw)
    right = sigma_transform(step.responses.raw, model.scales[step.stage.patch_scale], step.stage.view)
    np.testing.assert_allclose(shown.recomputed, right, rtol=1e-9, atol=1e-12)
    apart = np.abs(right - step.responses.raw).reshape(len(right), -1).max(axis=1)
    assert shown.landmark == int(np.argmax(apart))


@pytest.mark.parametrize("name", ["iterations_from_0", "degrees", "jacobian_interleaved"])
def test_places_are_those_of_the_file_whatever_its_conventions(name: str) -> None:
    trace = CONVENTIONS[name](recorded(EULER))
    finding = conformance(trace, FACES["tiny"].model())
    (strip,) = finding.strips()
    assert set(strip.places) == {step.place for step in trace.steps}
    first = next(step for step in trace.steps if step.phase is Phase.RIGID)
    shown = finding.evaluation(trace, FACES["tiny"].model(), "update", first.place)
    assert shown.error > 1e-2 and strip.states["update", first.place] is State.FAILS
    rows = dict(zip((row[0] for row in finding.tables()[0].rows), finding.tables()[0].links, strict=True))
    assert rows["update"] == first.place


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_run_has_cells_for_what_it_holds(part: str) -> None:
    finding = found(EULER, part)[1]
    (strip,) = finding.strips()
    for row in strip.rows:
        for place in strip.places:
            near = strip.place_at(row, place)
            assert near is None or (row, near) in strip.states
    cells = {row for row, _ in strip.states}
    told = {operation.name for operation in finding.check.operations if operation.rows}
    assert cells == told
    if part == "landmarks":
        assert "jacobian" not in cells and "project" in cells


def test_a_schedule_is_judged_as_a_whole() -> None:
    trace, finding = found("rigid_phase_left_out")
    states = {state for (row, _), state in finding.strips()[0].states.items() if row == "schedule"}
    assert State.FAILS in states
    assert finding.evaluation(trace, FACES["tiny"].model(), "schedule", trace.steps[3].place) is None
    clean = found("")[1].strips()[0]
    assert all(clean.states["schedule", place] is State.CONFORMS for place in clean.places)


def test_a_check_can_be_ended_while_it_names_mistakes() -> None:
    class EndedError(Exception):
        pass

    def end(done: int, total: int) -> None:
        assert total == len(OPERATIONS)
        if done > 2:
            raise EndedError

    with pytest.raises(EndedError):
        conformance(recorded(EULER), FACES["tiny"].model(), end)


# --- every tool -------------------------------------------------------------------------------------

READ = ("conformance", "magnitudes", "fixed_point", "divergence")
"""Tools that read what was recorded; the others run fits."""


@cache
def own() -> dict[str, str]:
    """What the tools say of the engine's own run."""
    trace, model = recorded(EULER), FACES["tiny"].model()
    return {tool.name: found.verdict for tool, found in diagnose(rerun(trace, model), model) if not tool.compares}


@pytest.mark.parametrize(
    ("name", "part"),
    [(EULER, "all"), (EULER, "landmarks"), ("sigma_left_out", "final maps"), ("jacobian_with_wx_negated", "all")],
)
def test_every_tool_says_what_is_true_of_a_foreign_trace_or_declines(name: str, part: str) -> None:
    trace, model = PARTS[part](recorded(name)), FACES["tiny"].model()
    assert foreign(trace, model)
    said = dict(diagnose(trace, model))
    assert [tool.name for tool in said] == list(TOOLS)
    by_name = {tool.name: finding for tool, finding in said.items()}
    for tool_name, finding in by_name.items():
        if tool_name not in READ:
            assert isinstance(finding, OfRerun) and "not about the recorded run" in finding.verdict
            assert TOOLS[tool_name].compares or finding.finding.verdict == own()[tool_name]
    # What tools say that read the run is what the run holds.
    assert by_name["conformance"].answer is False
    last = [step for step in trace.steps if step.iteration is not None][-1]
    converged = by_name["fixed_point"]
    assert converged.answer is None if part == "landmarks" else converged.answer is bool(last.converged)
    apart = by_name["divergence"]
    assert apart.answer is True and apart.divergence is not None
    assert by_name["magnitudes"].answer is None or part == "all", "maps that were not recorded are not judged"


def test_conversions_of_places_end_where_they_began() -> None:
    trace = iterations_from_0(recorded(""))
    finding = conformance(trace, FACES["tiny"].model())
    assert finding.answer is True and finding.verdict.startswith("Yes. The iterations in this file are counted from 0.")
