"""Magnitudes, update parts and kernels against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Phase, Step, Trace, fit
from clnf_engine.diagnostics.fixed_point import update_parts
from clnf_engine.diagnostics.magnitudes import (
    MAP_KINDS,
    PERCENTILES,
    WEAK_FRACTION,
    magnitudes,
    percentiles,
    run_magnitudes,
)
from clnf_engine.mean_shift import kernel_maps

from ..tiny_model import INVISIBLE, start, tiny_image, tiny_model, with_experts


@pytest.fixture(scope="module")
def trace() -> Trace:
    return fit(tiny_image(), tiny_model(), start(), FitOptions())


def responses_step(trace: Trace, stage: int = 0) -> Step:
    return next(step for step in trace.steps if step.place == (stage, Phase.RESPONSES, None))


def test_magnitudes_are_those_of_the_maps(trace: Trace) -> None:
    step = responses_step(trace)
    found, maps = magnitudes(step, tiny_model()), step.responses
    for landmark in (0, 30, 67):
        assert found.raw_max[landmark] == max(maps.raw[landmark].ravel())
        assert found.after_sigma_max[landmark] == max(maps.after_sigma[landmark].ravel())
        assert found.attenuation[landmark] == pytest.approx(found.raw_max[landmark] / found.after_sigma_max[landmark])
        row, column = np.argwhere(maps.final[landmark] == maps.final[landmark].max())[0]
        assert found.peak_offset[landmark] == pytest.approx(np.hypot(row - 5, column - 5))
    limit = WEAK_FRACTION * np.median(found.after_sigma_max)
    assert np.array_equal(found.weak, found.after_sigma_max < limit)


def test_the_diagonal_is_sigmas(trace: Trace) -> None:
    """Sigma = inv(2(Σα·I + Σβ_k·Q_k)), inverted here for one landmark."""
    found = magnitudes(responses_step(trace), tiny_model())
    experts, components = tiny_model().scales[0].views[0], tiny_model().scales[0].sigma_components[11]
    precision = 2 * (experts.alpha[7].sum() * np.eye(121) + np.tensordot(experts.betas[7], components, axes=1))
    assert found.sigma_diagonal_mean[7] == pytest.approx(np.linalg.inv(precision).diagonal().mean(), rel=1e-9)
    without = fit(tiny_image(), tiny_model(), start(), FitOptions(sigma_off=True))
    assert np.isnan(magnitudes(responses_step(without), tiny_model()).sigma_diagonal_mean).all()


def test_a_window_without_components_has_a_plain_diagonal() -> None:
    run = fit(tiny_image(), tiny_model(), start(), FitOptions(windows=(5,)))
    found = magnitudes(responses_step(run), tiny_model())
    assert np.allclose(found.sigma_diagonal_mean, 1 / (2 * tiny_model().scales[0].views[0].alpha.sum(axis=1)))


def test_invisible_landmarks_have_no_magnitude() -> None:
    turned = fit(tiny_image(), tiny_model(), start(rotation=(0.0, 0.5, 0.0)), FitOptions())
    found = magnitudes(responses_step(turned), tiny_model())
    assert np.isnan(found.raw_max[list(INVISIBLE)]).all()
    assert not found.weak[list(INVISIBLE)].any()
    assert np.isfinite(np.delete(found.raw_max, INVISIBLE)).all()


def test_steps_without_maps_have_none(trace: Trace) -> None:
    assert magnitudes(trace.steps[0], tiny_model()) is None
    assert update_parts(trace.steps[0]) is None


def test_percentiles_are_ordered_and_of_all_cells(trace: Trace) -> None:
    maps = responses_step(trace).responses
    found = percentiles(maps)
    assert list(found) == list(MAP_KINDS)
    for kind in MAP_KINDS:
        cells = np.sort(getattr(maps, kind).ravel())
        low, *middle, high, mean, std = found[kind]
        assert (low, high) == (cells[0], cells[-1])
        assert mean == pytest.approx(cells.mean())
        assert std == pytest.approx(np.sqrt(((cells - cells.mean()) ** 2).mean()))
        for percentile, value in zip(PERCENTILES, middle, strict=True):
            assert (cells < value).mean() <= percentile / 100 <= (cells <= value).mean() + 1 / cells.size


def test_the_parts_of_an_update_make_up_its_norm(trace: Trace) -> None:
    for step in trace.steps:
        parts = update_parts(step)
        if parts is not None:
            squares = parts.scale**2 + parts.rotation**2 + parts.translation**2 + parts.shape**2
            assert np.sqrt(squares) == pytest.approx(step.update_norm, rel=1e-12)
            assert parts.gradient == pytest.approx(np.linalg.norm(step.hessian @ step.delta), rel=1e-6)
            assert (parts.shape == 0) is (step.phase is Phase.RIGID)


@pytest.mark.parametrize("kernel", ["table", "exact"])
def test_kernel_maps_are_the_mean_shifts_own(kernel: str) -> None:
    """Weighted by them, the maps give the recorded sums and shifts."""
    options = FitOptions(kernel=kernel)
    for step in fit(tiny_image(), tiny_model(), start(), options).steps:
        if step.mean_shift is None:
            continue
        shift, maps = step.mean_shift, step.responses
        weighted = maps.final * kernel_maps(shift.position, maps.window, step.stage.sigma, options.kernel)
        assert np.allclose(weighted.sum(axis=(1, 2)), shift.kernel_sum, rtol=1e-12)
        cells = np.arange(maps.window)
        mean_x = (weighted.sum(axis=1) * cells).sum(axis=1) / weighted.sum(axis=(1, 2))
        assert np.allclose(mean_x - shift.position[:, 0], shift.reference[:, 0], atol=1e-12)


def test_openface_magnitudes_are_what_the_cpp_recorded(openface_model: Model, shared: object) -> None:
    """Sigma's diagonal and the patch confidences of a golden trace."""
    golden = np.load(shared / "golden" / "sample2.npz")
    from clnf_engine import initial_from_box

    run = fit(golden["gray"], openface_model, initial_from_box(openface_model, tuple(golden["bbox"])), FitOptions())
    found = magnitudes(responses_step(run), openface_model)
    assert np.allclose(found.sigma_diagonal_mean, golden["s0/Sigma_diag_mean"], rtol=1e-5)
    assert np.array_equal(found.patch_confidence, golden["s0/patch_confidence"])
    assert np.allclose(found.raw_max, golden["s0/resp_raw"].max(axis=(1, 2)), rtol=1e-5)


def test_the_magnitudes_of_a_run() -> None:
    run = fit(tiny_image(), tiny_model(), start())
    found = run_magnitudes(run, tiny_model())
    assert found.answer is False and found.verdict.startswith("No: at the last stage")
    assert [stage.window for stage in found.stages] == [11, 9]
    last = next(step for step in reversed(run.steps) if step.responses is not None).responses
    overall = found.distributions[-1]
    peaked = (last.shifted / last.shifted.max(axis=(1, 2), keepdims=True))[last.visible]
    rows = found.tables()[0].rows
    assert [row[0] for row in rows] == ["raw", "after Sigma", "shifted", "final", "each map ÷ its peak"]
    assert rows[2][-1] == "after Sigma, less a negative minimum"
    assert overall["each map ÷ its peak"][[0, 6, 7]] == pytest.approx([peaked.min(), 1, peaked.mean()])
    rows = found.tables()[-1].rows
    assert len(rows) == 68 and rows[30][1] == last.raw[30].max() and found.tables()[-1].links == tuple(range(68))


def test_a_weak_landmark_is_named() -> None:
    """The neurons of landmark 30 stay silent. (Smaller alphas would not do: Sigma grows as they shrink.)"""
    bias = tiny_model().scales[0].views[0].bias.copy()
    bias[30] -= 12
    weak = with_experts(tiny_model(), bias=bias)
    found = run_magnitudes(fit(tiny_image(), weak, start()), weak)
    assert found.answer is True and "(landmarks 30)" in found.verdict
