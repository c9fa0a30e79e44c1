"""Where two runs part, and how fast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clnf_engine import first_divergence, fit
from clnf_engine.diagnostics.divergence import divergence, growth

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
