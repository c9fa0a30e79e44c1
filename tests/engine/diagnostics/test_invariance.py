"""Whether scaling the maps changes the fit: it must not, unless the fit is chaotic or a guard reads magnitudes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Normalization, fit, initial_from_box, preset
from clnf_engine.diagnostics.invariance import GAINS, ROUNDING_PX, invariance

from ..tiny_model import tiny_model
from .lab_tools import no_stage, run


@pytest.mark.parametrize("normalization", list(Normalization))
def test_no_scaling_matters(normalization: Normalization) -> None:
    found = invariance(run(normalization=normalization), tiny_model())
    assert found.answer is False and found.verdict.startswith("No: × 2^10 and × 2^-40 are bit-identical")
    names = [s.name for s in found.scalings]
    others = {f"normalization {n}" for n in Normalization} - {f"normalization {normalization}", "normalization minmax"}
    if normalization is Normalization.MINMAX:  # which also subtracts
        others = set()
    assert set(names) == {"× 2^10", "× 2^-40", "× 3", "× 1e-06"} | others and len(GAINS) == 2
    assert all(s.identical for s in found.scalings if s.exact)
    assert max(s.landmarks for s in found.scalings) < ROUNDING_PX


def test_float32_differs_by_its_rounding() -> None:
    found = invariance(run(precision="float32"), tiny_model())
    assert found.answer is False
    assert 0 < max(s.landmarks for s in found.scalings) < ROUNDING_PX


def test_a_guard_on_the_kernel_sum_is_found() -> None:
    found = invariance(run(sum_guard=True), tiny_model())
    assert found.answer is True
    assert "× 2^-40 changes the first mean-shifts" in found.verdict and "magnitude" in found.verdict
    small = next(s for s in found.scalings if s.name == "× 2^-40")
    direct = run(sum_guard=True, response_gain=2.0**-40).landmarks - run(sum_guard=True).landmarks
    assert small.landmarks == np.linalg.norm(direct, axis=1).max()
    assert next(s for s in found.scalings if s.name == "× 2^10").identical


def test_chaos_is_told_from_dependence_on_magnitude(shared: Path, openface_model: Model) -> None:
    """The port on a photo: the first mean-shifts agree, the ends do not."""
    with np.load(shared / "golden" / "sample2.npz") as golden:
        start = initial_from_box(openface_model, tuple(golden["bbox"].tolist()))
        trace = fit(golden["gray"], openface_model, start, preset("pyclnf-2025-11"))
    found = invariance(trace, openface_model)
    assert found.answer is True and "the maps are not to blame" in found.verdict
    assert all(s.identical for s in found.scalings if s.exact)
    assert max(s.first_shift for s in found.scalings) < 1e-12
    assert max(s.landmarks for s in found.scalings) > 0.5


def test_without_mean_shifts_it_cannot_be_told() -> None:
    assert invariance(no_stage(), tiny_model()).answer is None


def test_progress_and_cancel() -> None:
    told: list[tuple[int, int]] = []
    found = invariance(run(), tiny_model(), lambda done, total: told.append((done, total)))
    count = len(found.scalings)
    assert told == [(k, count) for k in range(count + 1)]

    def cancel(done: int, _: int) -> None:
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        invariance(run(FitOptions()), tiny_model(), cancel)
