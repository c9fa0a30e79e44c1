"""Whether a fit has converged, and what its update is made of."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine.diagnostics.fixed_point import fixed_point, update_parts

from .lab_tools import no_stage, run


def test_the_parts_add_up() -> None:
    for step in run().steps:
        parts = update_parts(step)
        assert (parts is None) == (step.delta is None)
        if parts is not None and step.update_norm is not None:
            squares = parts.scale**2 + parts.rotation**2 + parts.translation**2 + parts.shape**2
            assert np.sqrt(squares) == pytest.approx(step.update_norm)
            assert step.gradient is not None and parts.gradient == pytest.approx(np.linalg.norm(step.gradient))


def test_openfaces_iterations_run_out() -> None:
    found = fixed_point(run())
    assert found.answer is False and found.verdict.startswith("No, the iterations ran out")
    last = found.steps[-1]
    assert f"moves {last.shape_change:.3g} px" in found.verdict and f"‖Δp‖ is {last.update_norm:.3g}" in found.verdict


def test_with_enough_iterations_it_converges() -> None:
    """The gradient vanishes with the update; the mean-shifts do not."""
    found = fixed_point(run(max_iterations=1000, kernel="exact", convergence_px=1e-6))
    assert found.answer is True and found.verdict.startswith("Yes")
    last = found.steps[-1]
    parts = update_parts(last)
    assert parts is not None and last.mean_shift is not None
    assert parts.gradient < 1e-3 and last.update_norm is not None and last.update_norm < 1e-5
    assert np.linalg.norm(last.mean_shift.image) > 0.1


def test_stop_on_the_update_norm() -> None:
    found = fixed_point(run(max_iterations=1000, convergence_px=0, convergence_update=0.05))
    assert found.answer is True
    last, before = found.steps[-1], found.steps[-2]
    assert last.update_norm is not None and before.update_norm is not None
    assert last.update_norm < 0.05 <= before.update_norm


def test_without_iterations_it_cannot_be_told() -> None:
    assert fixed_point(no_stage()).answer is None
