"""Whether a difference is noise: measured by what a billionth of a pixel becomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clnf_engine import Normalization
from clnf_engine.diagnostics.jitter import JITTER_PX, Spread, jitter

from ..tiny_model import tiny_model
from .lab_tools import PORT, no_stage, run


def test_normalization_is_noise() -> None:
    found = jitter(run(), run(normalization="peak"), tiny_model())
    assert found.answer is True and found.verdict.startswith("Yes")
    assert found.landmarks.within <= 2 * np.sqrt(2) * JITTER_PX * (1 + 1e-3), "the fit hands the jitter on as it is"
    assert "become" not in found.verdict


def test_another_bandwidth_is_not_noise() -> None:
    a, b = run(), run(sigma=2)
    found = jitter(a, b, tiny_model(), runs=4)
    assert found.answer is False and found.verdict.startswith("No")
    distance = np.linalg.norm(a.landmarks - b.landmarks, axis=1).max()
    assert found.landmarks.between == pytest.approx(distance, abs=1e-7) and distance > 0.01
    assert found.updates_a == pytest.approx(np.full(4, a.steps[-2].update_norm), abs=1e-7)


def test_a_chaotic_fit_makes_pixels_of_it() -> None:
    a, b = run(PORT), run(replace(PORT, normalization=Normalization.PEAK))
    found = jitter(a, b, tiny_model(), runs=8)
    assert found.answer is True
    assert found.landmarks.within > 0.1 > 1e6 * JITTER_PX
    assert f"{JITTER_PX:g} px become" in found.verdict
    assert found.distance_a[0] < 1e-6 and found.distance_a.max() > 0.1


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = run(PORT), run(replace(PORT, normalization=Normalization.PEAK))
    first, again, other = (jitter(a, b, tiny_model(), runs=3, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.updates_a, again.updates_a) and np.array_equal(first.updates_b, again.updates_b)
    assert not np.array_equal(first.updates_a, other.updates_a)


def test_differences_below_the_jitter_are_noise() -> None:
    """Outside the image every map is flat: the fit forgets the jitter, but not its own rounding."""
    assert Spread(within=1e-17, between=1e-15).noise
    assert not Spread(within=1e-17, between=1e-8).noise


def test_without_iterations_it_cannot_be_told() -> None:
    found = jitter(no_stage(), no_stage(), tiny_model(), runs=2)
    assert found.answer is None and "cannot be told" in found.verdict
