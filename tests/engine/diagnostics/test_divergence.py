"""Where two runs part, and how fast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clnf_engine import Phase, first_divergence, fit
from clnf_engine.diagnostics.differences import Difference
from clnf_engine.diagnostics.divergence import DivergenceFinding, divergence, growth
from clnf_engine.trace import COMPARED

from ..tiny_model import micro_model, start, tiny_image, tiny_model
from .lab_tools import run


def test_the_same_run_does_not_part() -> None:
    found = divergence(run(), run())
    assert found.answer is False and "bit for bit" in found.verdict
    assert not found.growth.distance.any() and np.isnan(found.growth.factor)


def test_runs_part_where_an_option_first_acts() -> None:
    found = divergence(run(), run(sigma=2))
    assert found.answer is True
    assert "at stage 1 (0.25, window 11), rigid 1: mean_shift.kernel_sum differs" in found.verdict
    assert found.final_distance == np.linalg.norm(run().landmarks - run(sigma=2).landmarks, axis=1).max()
    assert "the landmarks part by more than 1e-06 px at stage 1 (0.25, window 11), rigid 1 and end" in found.verdict
    tolerant = divergence(run(), run(sigma=2), tolerance=1e9)
    assert tolerant.answer is False and "equal within 1e+09" in tolerant.verdict


def test_the_growth_is_that_of_the_landmarks() -> None:
    """A run moved further apart by a known factor in every iteration."""
    a = run()
    factors = iter(2.0 ** np.arange(100))
    steps = tuple(
        s if s.iteration is None else replace(s, landmarks=s.landmarks + np.array([1e-9 * next(factors), 0]))
        for s in a.steps
    )
    found = growth(a, replace(a, steps=steps))
    count = sum(s.iteration is not None for s in a.steps)
    assert len(found.distance) == count
    assert found.distance == pytest.approx(1e-9 * 2.0 ** np.arange(count), rel=1e-3)
    assert found.factor == pytest.approx(2, rel=1e-3)


def test_other_landmarks_cannot_be_compared() -> None:
    from clnf_engine import initial_from_box

    small = fit(tiny_image(), micro_model(), initial_from_box(micro_model(), (10, 10, 60, 60)))
    with pytest.raises(ValueError, match="68 and 3 landmarks"):
        divergence(fit(tiny_image(), tiny_model(), start()), small)


def test_traces_with_numbers_that_are_none() -> None:
    """Another program's trace may hold NaN and infinity: equal to themselves, and no warning."""
    a = run()
    strange = np.full(a.landmarks.shape, np.nan)
    strange[0] = np.inf
    odd = replace(a, steps=(*a.steps[:-1], replace(a.steps[-1], landmarks=strange)))
    assert first_divergence(odd, odd) is None
    found = divergence(a, odd)
    assert found.answer is True and "end: landmarks differs" in found.verdict


# --- in units ---------------------------------------------------------------------------------------


def of(finding: DivergenceFinding, name: str) -> Difference:
    return next(value for value in finding.differences.values if value.name == name)


def test_a_run_in_another_order_of_summation_is_equal_within_float64_rounding() -> None:
    a = run()
    steps = tuple(s if s.hessian is None else replace(s, hessian=s.hessian * (1 + 1e-15)) for s in a.steps)
    found = divergence(replace(a, steps=steps), a)
    assert found.answer is False and "equal within float64 rounding: hessian differs most" in found.verdict
    assert "the first bit that differs is at stage 1 (0.25, window 11), rigid 1: hessian" in found.verdict
    assert found.first_bit is not None and found.first_bit.array == "hessian"
    strict = divergence(replace(a, steps=steps), a, tolerance=0)
    assert strict.answer is True and strict.divergence is not None and strict.divergence.array == "hessian"


def test_float32_is_equal_within_float32_rounding() -> None:
    found = divergence(run(precision="float32"), run(), model=tiny_model())
    assert found.answer is False and "equal within float32 rounding" in found.verdict
    assert found.parting is not None, "the landmarks part by more than a millionth of a pixel all the same"


def test_every_value_is_compared_in_its_unit() -> None:
    a = run()
    step = a.steps[4]
    steps = list(a.steps)
    steps[4] = replace(step, delta=step.delta + np.array([0, 0, 0, 0, 0.3, 0.4]), gradient=step.gradient * 1.5)
    steps[6] = replace(steps[6], shape_change=steps[6].shape_change + 2.0)
    found = divergence(replace(a, steps=tuple(steps)), a, model=tiny_model())
    assert of(found, "delta").largest == pytest.approx(0.5)
    assert of(found, "delta").worst.place == of(found, "delta").first.place == step.place
    assert (
        of(found, "shape_change").largest == pytest.approx(2) and of(found, "shape_change").first.place[2] is not None
    )
    assert of(found, "jacobian").largest == 0 and of(found, "jacobian").first is None
    assert found.divergence.array == "gradient", "the first of a moment, in the order of the fit"
    assert {value.name for value in found.differences.values} == set(COMPARED)
    rows = {row[0]: row for row in found.tables()[0].rows}
    assert rows["delta"][2] == "px a landmark is moved" and rows["delta"][1] == pytest.approx(0.5)


def test_settings_of_stages_are_compared() -> None:
    found = divergence(run(sigma=2, reg_factor=30), run())
    named = {(setting.stage.index, setting.name) for setting in found.differences.settings}
    assert named == {(0, "sigma"), (1, "sigma"), (0, "reg_factor"), (1, "reg_factor")}
    assert "The stages differ in sigma of stage 1, 2 and 1.5" in found.verdict
    assert divergence(run(), run()).differences.settings == ()


def test_a_partial_run_is_compared_in_what_it_has() -> None:
    a = run()
    steps = tuple(
        replace(s, responses=None, mean_shift=None, jacobian=None, gradient=None)
        for s in a.steps
        if s.phase not in (Phase.INITIAL, Phase.RESPONSES, Phase.END)
    )
    found = divergence(replace(a, steps=steps), a)
    assert found.answer is False and "Only one run has" in found.verdict and "gradient" in found.verdict
    assert "delta" in {value.name for value in found.differences.values}
    assert "identical, bit for bit" in found.verdict, "in what both have"
    gaps = divergence(replace(a, steps=tuple(s for s in steps if s.iteration != 1)), a)
    assert gaps.answer is False and gaps.first_bit is None, "a later iteration tells that it was only not recorded"
    part = divergence(replace(a, steps=steps[:-1]), a)
    assert part.answer is True and "one run has no such step" in part.verdict
    nowhere = tuple(replace(s, landmarks=np.full_like(s.landmarks, np.nan)) for s in a.steps)
    found = divergence(replace(a, steps=nowhere), a)
    assert found.answer is False and np.isnan(found.final_distance) and "landmarks" in found.differences.one_sided
    few = tuple(replace(s, landmarks=np.where(np.arange(68)[:, None] < 9, np.nan, s.landmarks)) for s in a.steps)
    found = divergence(replace(a, steps=few), a)
    assert found.answer is False and found.first_bit is None and found.final_distance == 0
