"""Whether float32 matters, and where it breaks."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine.diagnostics.precision import PEAKS, SHIFT_LIMIT, precision

from ..tiny_model import tiny_model
from .lab_tools import PORT, no_stage, run


@pytest.mark.parametrize("kernel", ["table", "exact"])
def test_float32_is_enough_down_to_denormal_numbers(kernel: str) -> None:
    found = precision(run(kernel=kernel), tiny_model())
    assert found.answer is False and "denormal" in found.verdict
    assert PEAKS[0] == 1 and PEAKS[30] == pytest.approx(1e-30)
    assert found.errors[:31].max() <= SHIFT_LIMIT == 5e-6
    assert found.breaks_below is not None and 1e-42 < found.breaks_below < np.finfo(np.float32).tiny
    a, b = (run(kernel=kernel, precision=kind).landmarks for kind in ("float32", "float64"))
    assert found.final_distance == np.linalg.norm(a - b, axis=1).max()


def test_a_chaotic_fit_makes_float32_matter() -> None:
    found = precision(run(PORT), tiny_model())
    assert found.answer is True and "not through underflow" in found.verdict
    assert found.errors[:31].max() <= SHIFT_LIMIT


def test_without_iterations_it_cannot_be_told() -> None:
    assert precision(no_stage(), tiny_model()).answer is None
