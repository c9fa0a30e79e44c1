"""Inputs at the edge of sense: they end in a finite result or in one sentence, never in a crash or NaN."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clnf_engine import (
    FitOptions,
    Initial,
    Kernel,
    Normalization,
    OptionsError,
    Phase,
    Precision,
    fit,
    fit_many,
    fit_steps,
    initial_from_box,
    initial_from_params,
)
from clnf_engine.sigma import sigma_matrices

from .edge_tools import ITERATIONS, assert_finite, run
from .tiny_model import INVISIBLE, start, tiny_image, tiny_model, true_params, with_experts


def box(x: float, y: float, width: float = 85, height: float = 90, rotation: tuple[float, ...] = (0, 0, 0)) -> Initial:
    return initial_from_box(tiny_model(), (x, y, width, height), rotation)


# --- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", [(1000, 40), (-1000, 40), (30, 5000), (-400, -400), (9e5, -9e5)])
def test_box_outside_the_image(corner: tuple[float, float]) -> None:
    """All that is seen is the border repeated: no crash, finite, and the face stays where it was put."""
    trace = run(initial=box(*corner))
    assert_finite(trace)
    assert trace.complete
    assert np.linalg.norm(trace.landmarks.mean(axis=0) - trace.steps[0].landmarks.mean(axis=0)) < 50


@pytest.mark.parametrize("corner", [(-40, 30), (100, 30), (30, -45), (30, 110), (-42, -45)])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_box_partly_outside(corner: tuple[float, float], precision: str) -> None:
    trace = run(initial=box(*corner), precision=precision)
    assert_finite(trace)
    assert trace.success


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2)])
@pytest.mark.parametrize("sigma_off", [False, True])
def test_image_of_a_few_pixels(shape: tuple[int, int], sigma_off: bool) -> None:
    image = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    trace = run(image, sigma_off=sigma_off)
    assert_finite(trace)
    assert trace.complete
    first = next(step.responses for step in trace.steps if step.responses is not None)
    assert first.area.min() >= image.min() and first.area.max() <= image.max()


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("normalization", ["none", "peak", "minmax", "sum", "global_peak"])
def test_constant_image(level: int, precision: str, normalization: str) -> None:
    """Nothing correlates with a flat patch, so every neuron answers its bias alone."""
    image = np.full((100, 120), level, dtype=np.uint8)
    trace = run(image, precision=precision, normalization=normalization)
    assert_finite(trace)
    for step in trace.steps:
        if step.phase is Phase.RESPONSES:
            experts = tiny_model().scales[step.stage.index].views[step.stage.view]
            assert (step.responses.area == level).all()
            assert not step.responses.neuron_ncc.any()
            gain = np.where(experts.alpha > 1e-4, 2 * experts.alpha, 0)
            quiet = (gain / (1 + np.exp(-experts.bias))).sum(axis=1)
            raw = np.broadcast_to(quiet[:, None, None], step.responses.raw.shape)
            np.testing.assert_allclose(step.responses.raw, raw, rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((40, 40), dtype=np.float64), TypeError),
        (np.zeros((40, 40), dtype=np.uint16), TypeError),
        (np.zeros((40, 40), dtype=bool), TypeError),
        (np.zeros((40, 40), dtype=np.int8), TypeError),
        (np.zeros((40, 40, 3), dtype=np.uint8), ValueError),
        (np.zeros((40, 40, 1), dtype=np.uint8), ValueError),
        (np.zeros(40, dtype=np.uint8), ValueError),
        (np.zeros((0, 40), dtype=np.uint8), ValueError),
        (np.zeros((40, 0), dtype=np.uint8), ValueError),
        (np.uint8(7), ValueError),
    ],
    ids=str,
)
def test_impossible_images_are_refused_at_the_call(image: Any, error: type[Exception]) -> None:
    """At the call, not when the first Step is pulled."""
    with pytest.raises(error, match="image"):
        fit_steps(np.asarray(image), tiny_model(), start())
    with pytest.raises(error, match="image"):
        next(fit_many([np.asarray(image)], tiny_model(), [start()]))


def test_images_in_any_memory_layout() -> None:
    expected = run().landmarks
    wide = np.zeros((150, 288), dtype=np.uint8)
    wide[:, ::2] = tiny_image()
    for image in (np.asfortranarray(tiny_image()), wide[:, ::2], tiny_image()[::-1][::-1]):
        np.testing.assert_array_equal(run(image).landmarks, expected)


def test_the_image_is_not_changed() -> None:
    image = tiny_image().copy()
    run(image)
    np.testing.assert_array_equal(image, tiny_image())
    assert image.flags.writeable


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["sigma", "reg_factor", "weight_factor", "convergence_px", "clamp_sigmas", "response_gain", "max_iterations"],
)
def test_nan_options(name: str) -> None:
    with pytest.raises(OptionsError, match=name):
        FitOptions(**{name: math.nan})


@pytest.mark.parametrize("windows", [(5, 5), (13, 13), (3, 31)])
def test_window_without_components(windows: tuple[int, int]) -> None:
    """β = 0 there: Sigma is 1/(2·Σα) on the diagonal."""
    trace = run(windows=windows)
    assert_finite(trace)
    assert trace.success
    for step in trace.steps:
        if step.phase is Phase.RESPONSES:
            scale = tiny_model().scales[step.stage.index]
            assert sigma_matrices(scale, step.stage.view, step.stage.window) is None
            total = scale.views[step.stage.view].sum_alphas
            expected = step.responses.raw / (2 * total[:, None, None])
            np.testing.assert_allclose(step.responses.after_sigma, expected, rtol=1e-12)
            assert step.responses.raw.shape[1:] == (step.stage.window, step.stage.window)


def test_sigma_without_the_transform() -> None:
    trace = run(sigma_off=True)
    for step in trace.steps:
        if step.phase is Phase.RESPONSES:
            np.testing.assert_array_equal(step.responses.after_sigma, step.responses.raw)
    assert trace.success


@pytest.mark.parametrize("gain", [1e-300, 1e-30, 1e15, 1e30])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_extreme_gains_stay_finite(gain: float, precision: str) -> None:
    """Maps may underflow to nothing or be too large for the precision; either is finite or said in a sentence."""
    trace = run(response_gain=gain, precision=precision)
    for step in trace.steps:
        assert np.isfinite(step.params).all() and np.isfinite(step.landmarks).all()
    assert trace.complete


@pytest.mark.parametrize(
    "changes",
    [
        {"sigma": 1e-3},
        {"sigma": 1e3},
        {"reg_factor": 0.0},
        {"reg_factor": 1e9},
        {"weight_factor": 1e9},
        {"weight_factor": 1e-9},
        {"clamp_sigmas": 1e-9},
        {"convergence_px": 0.0, "max_iterations": 30},
        {"convergence_px": 1e9},
        {"windows": (31, 31)},
        {"windows": (3, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_extreme_options_stay_finite(changes: dict[str, Any], precision: str) -> None:
    trace = run(precision=precision, **changes)
    assert_finite(trace)
    assert trace.complete
    assert trace.success or trace.message


def test_adaptation_can_be_switched_off() -> None:
    adapted, plain = run(), run(adapt_per_scale=False)
    octave = math.log2(0.35 / 0.25)
    assert [s.stage.reg_factor for s in plain.stages] == [25, 25]
    assert [s.stage.sigma for s in plain.stages] == [1.5, 1.5]
    assert [s.stage.reg_factor for s in adapted.stages] == pytest.approx([25, 25 - 15 * octave])
    assert [s.stage.sigma for s in adapted.stages] == pytest.approx([1.5, 1.5 + 0.25 * octave])
    weighted = run(weight_factor=2.0)
    assert [s.stage.weight_factor for s in weighted.stages] == pytest.approx([2, 2 * (1 + 2 * octave)])
    assert run(reg_factor=5.0).stages[1].stage.reg_factor == 0.001


def test_fewer_windows_than_scales_skips_the_rest() -> None:
    trace = run(windows=(9,))
    assert [bool(s.stage.skipped) for s in trace.stages] == [False, True]
    assert trace.success


def test_no_window_at_all() -> None:
    trace = run(windows=(0, 0))
    assert [step.phase for step in trace.steps] == [Phase.INITIAL, Phase.SKIPPED, Phase.SKIPPED, Phase.END]
    assert not trace.success
    assert "no stage was run" in trace.message
    assert trace.likelihood is None
    np.testing.assert_array_equal(trace.landmarks, trace.steps[0].landmarks)


# --- faces ----------------------------------------------------------------------------------------


def sized(scale: float) -> Initial:
    params = true_params()
    params[0] = scale
    return initial_from_params(tiny_model(), params)


def test_face_too_small_for_every_scale() -> None:
    trace = run(initial=sized(0.22))
    assert [step.phase for step in trace.steps] == [Phase.INITIAL, Phase.SKIPPED, Phase.SKIPPED, Phase.END]
    for step in trace.steps[1:3]:
        assert "too small" in step.message and step.message == step.stage.skipped
        assert step.stage.view is None and step.responses is None
    assert not trace.success and "too small" in trace.message


@pytest.mark.parametrize(("scale", "ran"), [(0.2249, 0), (0.2251, 1), (0.3149, 1), (0.3151, 2)])
def test_scales_are_skipped_below_nine_tenths(scale: float, ran: int) -> None:
    """0.9·0.25 = 0.225 and 0.9·0.35 = 0.315, with a fit that moves as good as nothing."""
    trace = run(initial=sized(scale), weight_factor=1e-12, reg_factor=1e9, max_iterations=1)
    stages = [s for s in trace.stages if not s.stage.skipped]
    first = next(s for s in trace.stages)
    assert bool(first.stage.skipped) is (ran == 0)
    if ran == 2:
        assert len(stages) >= 1


@pytest.mark.parametrize(("scale", "success"), [(0.23, False), (0.2499, False), (0.2501, True), (0.3, True)])
def test_a_face_below_a_quarter_ends_the_fit(scale: float, success: bool) -> None:
    """On a photo of a constant, whose symmetric maps leave the scale as it is."""
    trace = run(np.full((150, 144), 90, dtype=np.uint8), sized(scale))
    assert trace.params_global[0] == pytest.approx(scale, abs=1e-6)
    assert trace.success is success
    assert ("too small" in trace.message) is not success
    assert len(trace.stages) == (2 if success else 1), "no further stage is tried"


def test_invisible_landmarks_neither_pull_nor_count() -> None:
    trace = run(initial=start(rotation=(0.0, 0.5, 0.0)), windows=(9, 0))
    assert trace.stages[0].stage.view == 1
    hidden = np.zeros(68, dtype=bool)
    hidden[list(INVISIBLE)] = True
    for step in trace.steps:
        if step.responses is not None:
            np.testing.assert_array_equal(step.responses.visible, ~hidden)
            for name in ("area", "raw", "after_sigma", "shifted", "final", "neuron_output"):
                assert not getattr(step.responses, name)[hidden].any(), name
        if step.phase in ITERATIONS:
            rows = np.concatenate([hidden, hidden])
            assert not step.jacobian[rows].any()
            assert (np.abs(step.jacobian[~rows]).max(axis=1) > 0).all()
            assert not step.mean_shift.reference[hidden].any() and not step.mean_shift.image[hidden].any()
            assert not step.mean_shift.empty.any()
            if step.likelihoods is not None:
                assert not step.likelihoods[hidden].any()
                assert step.likelihood == pytest.approx(np.log(step.likelihoods[~hidden]).mean())
    assert_finite(trace)


def test_a_view_that_sees_nothing() -> None:
    """No landmark has an expert: no normal equations, said in a sentence."""
    blind = {
        "visible": np.zeros(68, dtype=bool),
        "neurons": np.zeros(68, dtype=np.int64),
        "weights": np.zeros((68, 3, 11, 11), dtype=np.float32),
        "alpha": np.zeros((68, 3)),
    }
    trace = run(model=with_experts(tiny_model(), **blind))
    assert_finite(trace)
    assert not trace.success
    assert "no unique solution" in trace.message
    np.testing.assert_array_equal(trace.landmarks, trace.steps[0].landmarks)


def test_maps_without_mass() -> None:
    """All neurons far below zero: Σv = 0 for every landmark. The C++ would spread NaN; here shifts are zero."""
    silent = with_experts(tiny_model(), bias=np.full((68, 3), -1e4))
    trace = run(model=silent)
    assert_finite(trace)
    for step in trace.steps:
        if step.phase in ITERATIONS:
            assert step.mean_shift.empty.all()
            assert not step.mean_shift.image.any()
    assert np.abs(trace.landmarks - trace.steps[0].landmarks).max() < 1e-9
    assert trace.likelihood == pytest.approx(math.log(1e-8))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_weights_all_zero(precision: str) -> None:
    """JᵀWJ = 0 without a prior on the global parameters: singular, reported, nothing moves."""
    trace = run(model=with_experts(tiny_model(), patch_confidence=np.zeros(68)), weight_factor=2.0, precision=precision)
    assert not trace.success
    assert "no unique solution" in trace.message
    step = next(s for s in trace.steps if s.phase is Phase.RIGID)
    assert step.delta is None and step.update_norm is None and step.converged is False
    assert [(s.rigid_iterations, s.nonrigid_iterations) for s in trace.stages] == [(1, 1)], "it is not tried again"
    assert not step.hessian.any()
    np.testing.assert_array_equal(trace.landmarks, trace.steps[0].landmarks)
    assert_finite(trace)


def test_nearly_singular_equations_in_float32() -> None:
    """Two noisy pixels seen from the side without a prior: a solution too large to square is no solution."""
    image = np.random.default_rng(0).integers(0, 256, (1, 2)).astype(np.uint8)
    options = FitOptions(
        windows=(9, 0), max_iterations=1, sigma=4.0, reg_factor=0.0, weight_factor=1.0, adapt_per_scale=False,
        precision="float32", clamp_sigmas=1.0,
    )  # fmt: skip
    initial = initial_from_box(tiny_model(), (0, 0, 5, 55), (3.0, 1.625, 3.0))
    assert_finite(fit(image, tiny_model(), initial, options))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_variance_of_next_to_nothing_holds_its_mode(precision: str) -> None:
    """Its inverse is no number; such a mode stays at the mean, and the others move."""
    model = tiny_model()
    variances = model.pdm.variances.copy()
    variances[-1] = 1e-320
    trace = fit(
        tiny_image(),
        replace(model, pdm=replace(model.pdm, variances=variances)),
        start(),
        FitOptions(precision=Precision(precision), max_iterations=3),
    )
    assert trace.success and abs(trace.params_local[-1]) < 1e-100
    assert np.abs(trace.params_local[:-1]).max() > 0


def test_a_singular_stage_ends_the_fit_without_a_crash() -> None:
    steps = list(
        fit_steps(
            tiny_image(),
            with_experts(tiny_model(), patch_confidence=np.zeros(68)),
            start(),
            FitOptions(weight_factor=1.0),
        )
    )
    assert steps[-1].phase is Phase.END
    assert sum(step.phase is Phase.RESPONSES for step in steps) == 1
    model, options = with_experts(tiny_model(), patch_confidence=np.zeros(68)), FitOptions(weight_factor=1.0)
    (row,) = fit_many([tiny_image()], model, [start()], options)
    iterations = [step for step in steps if step.iteration is not None]
    assert np.array_equal(row.path, [*(step.landmarks for step in iterations), steps[-1].landmarks])
    assert np.array_equal(row.params, steps[-1].params)


@settings(max_examples=60)
@given(st.data())
def test_any_photo_start_and_options_end_finite(data: st.DataObject) -> None:
    """Noise, gradients and steps; boxes anywhere; any options: no crash, no NaN, and an END."""
    seed = data.draw(st.integers(0, 2**32))
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    kind = data.draw(st.sampled_from(["noise", "steps", "gradient", "dots"]))
    noise = np.random.default_rng(seed).integers(0, 256, shape)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    image = {"noise": noise, "steps": (noise > 200) * 255, "gradient": x + 2 * y, "dots": (noise > 250) * noise}[kind]
    size = st.floats(5, 400)
    place = (*data.draw(st.tuples(*[st.floats(-300, 300)] * 2)), *data.draw(st.tuples(size, size)))
    rotation = data.draw(st.tuples(*[st.floats(-3.2, 3.2)] * 3))
    options = FitOptions(
        windows=data.draw(st.tuples(*[st.sampled_from([0, 3, 5, 7, 9, 13])] * 2)),
        max_iterations=data.draw(st.integers(1, 12)),
        sigma=data.draw(st.floats(0.05, 20)),
        reg_factor=data.draw(st.floats(0, 1e6)),
        weight_factor=data.draw(st.floats(0, 100)),
        adapt_per_scale=data.draw(st.booleans()),
        normalization=data.draw(st.sampled_from(Normalization)),
        sigma_off=data.draw(st.booleans()),
        kernel=data.draw(st.sampled_from(Kernel)),
        precision=data.draw(st.sampled_from(Precision)),
        clamp_sigmas=data.draw(st.floats(0.01, 10)),
        response_gain=data.draw(st.floats(1e-6, 1e6)),
    )
    trace = fit(image.astype(np.uint8), tiny_model(), initial_from_box(tiny_model(), place, rotation), options)
    assert_finite(trace)
    assert trace.complete and bool(trace.message)
    bound = options.clamp_sigmas * np.sqrt(tiny_model().pdm.variances)
    for step in trace.steps:
        if step.phase in ITERATIONS and step.delta is not None:
            assert (np.abs(step.params_local) <= bound).all()
            assert (np.abs(step.params[1:4]) <= math.pi / 2).all()
            window = step.responses.window
            assert step.mean_shift.position.min() >= 0 and step.mean_shift.position.max() <= window - 0.099
            target = step.mean_shift.position + step.mean_shift.reference
            assert target.min() >= -1e-3 and target.max() <= window - 1 + 0.9 + 1e-3
