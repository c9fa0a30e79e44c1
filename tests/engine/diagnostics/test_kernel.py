"""The kernel's table and bandwidth."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine import Kernel
from clnf_engine.diagnostics.kernel import kernel_check, map_grid, mean_shift_field

from ..tiny_model import tiny_model
from .lab_tools import no_stage, run


def test_the_table_does_not_matter() -> None:
    found = kernel_check(run(), tiny_model())
    assert found.answer is False and "every bandwidth is that of its scale" in found.verdict
    a, b = run().landmarks, run(kernel="exact").landmarks
    assert found.final_distance == np.linalg.norm(a - b, axis=1).max()
    assert 0 < found.shift_difference.max() < 0.1, "positions are rounded by up to 0.05 cells per axis"
    assert [b.asked for b in found.bandwidths] == pytest.approx([1.5, 1.5 + 0.25 * np.log2(1.4)])


def test_the_section_goes_through_the_landmark() -> None:
    """There, the shift is that of the last iteration; the table follows the exact kernel in steps."""
    trace = run()
    found = kernel_check(trace, tiny_model())
    section, step = found.section, trace.steps[-2]
    assert section is not None and step.mean_shift is not None
    assert section.landmark == found.shift_difference.argmax() and section.x[-1] == 8
    x = step.mean_shift.position[section.landmark, 0]
    assert np.interp(x, section.x, section.table) == pytest.approx(
        step.mean_shift.reference[section.landmark, 0], abs=0.05
    )
    assert 0 < np.abs(section.table - section.exact).max() < 0.1


def test_a_stale_bandwidth_is_found() -> None:
    found = kernel_check(run(kernel_table_stale=True), tiny_model())
    assert found.answer is True
    assert "stage 2 (0.35, window 9) uses σ 1.5 where its scale asks for 1.621" in found.verdict


def test_without_stages_it_cannot_be_told() -> None:
    assert kernel_check(no_stage(), tiny_model()).answer is None


def test_the_field_is_the_mean_shift() -> None:
    """Against the definition, cell by cell, for the exact kernel."""
    step = next(step for step in run().steps if step.responses is not None)
    assert step.responses is not None
    maps = step.responses.final
    positions = map_grid(11, 1)
    shifts = mean_shift_field(step.responses, 30, positions, 1.5, Kernel.EXACT)
    assert positions.shape == shifts.shape == (11, 11, 2)
    i, j = np.mgrid[0:11, 0:11]
    for row, column in ((0, 0), (5, 5), (10, 3)):
        assert tuple(positions[row, column]) == (column, row)
        v = maps[30] * np.exp(-((row - i) ** 2 + (column - j) ** 2) / (2 * 1.5**2))
        expected = ((v * j).sum() / v.sum() - column, (v * i).sum() / v.sum() - row)
        assert shifts[row, column] == pytest.approx(expected, abs=1e-12)
