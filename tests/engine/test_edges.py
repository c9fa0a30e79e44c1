"""Inputs at the edge of sense: they end in a finite result or in one sentence, never in a crash or NaN."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import cbook

from clnf_engine import (
    FitOptions,
    Initial,
    InitialError,
    Kernel,
    Model,
    Normalization,
    OptionsError,
    Phase,
    Precision,
    Trace,
    detect_faces,
    fit,
    fit_steps,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    initials_from_detector,
    perturbed,
)
from clnf_engine.initial import Source, box_around
from clnf_engine.pdm import landmarks
from clnf_engine.sigma import sigma_matrices
from clnf_engine.steps import MeanShift, ResponseMaps, Stage, Step, describe

from .tiny_model import INVISIBLE, start, tiny_image, tiny_model, true_landmarks, true_params, with_experts

ITERATIONS = (Phase.RIGID, Phase.NONRIGID)


def arrays_in(record: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Every array a Step holds, nested ones included, by dotted name."""
    found = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            found[prefix + field.name] = value
        elif isinstance(value, (ResponseMaps, MeanShift)):
            found |= arrays_in(value, f"{prefix}{field.name}.")
    return found


def assert_finite(trace: Trace) -> None:
    for step in trace.steps:
        for name, array in arrays_in(step).items():
            assert np.isfinite(array).all(), f"{describe(step)}: {name}"
        for value in (step.update_norm, step.shape_change, step.likelihood):
            assert value is None or math.isfinite(value)


def run(
    image: np.ndarray | None = None, initial: Initial | None = None, model: Model | None = None, **options: Any
) -> Trace:
    return fit(
        tiny_image() if image is None else image, model or tiny_model(), initial or start(), FitOptions(**options)
    )


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
@pytest.mark.parametrize("sigma_transform", [True, False])
def test_image_of_a_few_pixels(shape: tuple[int, int], sigma_transform: bool) -> None:
    image = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    trace = run(image, sigma_transform=sigma_transform)
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
    trace = run(sigma_transform=False)
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
        sigma_transform=data.draw(st.booleans()),
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


# --- starts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        (0, 0, 0, 10),
        (0, 0, 10, 0),
        (0, 0, -5, 10),
        (math.nan, 0, 10, 10),
        (0, 0, math.inf, 10),
        (0, 0, 1e308, 1e308),
        (1e300, 0, 10, 10),
        (0, 0, 10),
        (0, 0, 10, 10, 10),
        (),
    ],
    ids=str,
)
def test_impossible_boxes(bad: Any) -> None:
    with pytest.raises(InitialError) as error:
        initial_from_box(tiny_model(), bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "rotation", [(math.nan, 0, 0), (0, math.inf, 0), (0, 0, -math.inf), (0, 0), (0, 0, 0, 0)], ids=str
)
def test_impossible_rotations(rotation: Any) -> None:
    with pytest.raises(InitialError):
        initial_from_box(tiny_model(), (0, 0, 10, 10), rotation)


def test_impossible_landmarks() -> None:
    good = true_landmarks()
    broken, far = good.copy(), good.copy()
    broken[3, 1], far[3, 1] = math.nan, 1e300
    for bad in (good[:67], good.T, np.zeros((68, 3)), broken, far, np.zeros((0, 2)), np.full((68, 2), 7.0)):
        with pytest.raises(InitialError):
            initial_from_landmarks(tiny_model(), bad)


@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1), (2, -1), (1, 1e-9)], ids=str)
def test_landmarks_on_a_line(direction: tuple[float, float]) -> None:
    """They span no area, whatever the direction of the line."""
    points = np.linspace(-50, 60, 68)[:, None] * np.array(direction) + [300, 200]
    with pytest.raises(InitialError):
        initial_from_landmarks(tiny_model(), points)


def test_impossible_params() -> None:
    good = true_params()
    for bad in (good[:-1], good[:6], good[None], np.concatenate([good, [0]])):
        with pytest.raises(InitialError):
            initial_from_params(tiny_model(), bad)
    for index, value in ((0, math.nan), (0, 0.0), (0, -1.0), (0, 1e9), (4, math.inf), (5, 1e9), (7, -1e9)):
        bad = good.copy()
        bad[index] = value
        with pytest.raises(InitialError):
            initial_from_params(tiny_model(), bad)


def test_a_start_of_another_model() -> None:
    with pytest.raises(InitialError, match="this model expects"):
        fit_steps(tiny_image(), tiny_model(), Initial(np.array([1.0, 0, 0, 0, 50, 50]), Source.PREVIOUS, (0, 0, 1, 1)))


def test_starts_are_their_own_copy() -> None:
    params = true_params()
    initial = initial_from_params(tiny_model(), params)
    params[0] = 99
    assert initial.params[0] == true_params()[0]
    with pytest.raises(ValueError, match="read-only"):
        initial.params[0] = 1


def test_start_from_landmarks_meets_them() -> None:
    initial = initial_from_landmarks(tiny_model(), true_landmarks())
    assert initial.source is Source.LANDMARKS
    np.testing.assert_allclose(landmarks(tiny_model().pdm, initial.params), true_landmarks(), rtol=0, atol=0.05)
    assert initial.box == box_around(true_landmarks())


@given(st.integers(0, 2**63), st.floats(0, 0.5), st.floats(0, 0.5))
def test_perturbation_is_decided_by_its_seed(seed: int, amount: float, rotation: float) -> None:
    first = perturbed(tiny_model(), start(), seed, amount, rotation)
    again = perturbed(tiny_model(), start(), seed, amount, rotation)
    np.testing.assert_array_equal(first.params, again.params)
    assert (first.box, first.seed) == (again.box, seed)
    before, after = start().params, first.params
    assert abs(after[0] / before[0] - 1) <= amount + 1e-12
    assert np.abs(after[1:4] - before[1:4]).max() <= rotation
    np.testing.assert_array_equal(after[6:], before[6:])
    if rotation == 0:
        old, new = np.array(start().box), np.array(first.box)
        moved = np.abs((new[:2] + new[2:] / 2) - (old[:2] + old[2:] / 2))
        shape = landmarks(tiny_model().pdm, before)
        assert (moved <= amount * np.ptp(shape, axis=0) + 1e-9).all()


def test_perturbations_differ_by_seed() -> None:
    assert not np.array_equal(perturbed(tiny_model(), start(), 1).params, perturbed(tiny_model(), start(), 2).params)
    unmoved = perturbed(tiny_model(), start(), 1, amount=0.0)
    np.testing.assert_allclose(unmoved.params, start().params, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": 1, "amount": math.nan},
        {"seed": 1, "amount": -0.1},
        {"seed": 1, "amount": 1.0},
        {"seed": 1, "rotation": math.nan},
        {"seed": 1, "rotation": math.inf},
        {"seed": 1, "rotation": -0.1},
        {"seed": -1},
    ],
    ids=str,
)
def test_impossible_perturbations(arguments: dict[str, Any]) -> None:
    with pytest.raises(InitialError):
        perturbed(tiny_model(), start(), **arguments)


@pytest.mark.parametrize("shape", [(200, 300), (50, 50), (10, 10), (1, 1)])
def test_detector_on_a_blank_image(shape: tuple[int, int]) -> None:
    blank = np.full(shape, 128, dtype=np.uint8)
    assert detect_faces(blank) == []
    assert initials_from_detector(tiny_model(), blank) == []


def test_detected_boxes_are_corrected_and_largest_first() -> None:
    """OpenFace's correction of the box that OpenCV's cascade finds on the portrait that matplotlib ships."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    image = np.full((portrait.shape[0], portrait.shape[1] * 2), 128, dtype=np.uint8)
    image[:, : portrait.shape[1]] = portrait
    small = cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    image[: small.shape[0], portrait.shape[1] : portrait.shape[1] + small.shape[1]] = small
    haar = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt.xml"
    raw = cv2.CascadeClassifier(str(haar)).detectMultiScale(image, 1.2, 2, 0, (50, 50))
    assert len(raw) >= 2
    boxes = detect_faces(image)
    assert len(boxes) == len(raw)
    for x, y, width, height in raw.tolist():
        expected = (x + 0.0578 * width, y + 0.2166 * height, 0.8924 * width, 0.8676 * height)
        assert any(np.allclose(box, expected, rtol=0, atol=1e-9) for box in boxes)
    areas = [width * height for _, _, width, height in boxes]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1]
    starts = initials_from_detector(tiny_model(), image)
    assert [(initial.source, initial.box) for initial in starts] == [(Source.DETECTOR, box) for box in boxes]


# --- the stream of Steps --------------------------------------------------------------------------


def test_steps_are_read_only() -> None:
    """Every array of every Step refuses to be written to; nobody can change what the fit saw."""
    for options in ({}, {"precision": "float32", "weight_factor": 1.0, "normalization": "peak", "windows": (5, 9)}):
        trace = run(initial=start(rotation=(0.0, 0.4, 0.0)), **options)
        for step in trace.steps:
            for name, array in arrays_in(step).items():
                assert not array.flags.writeable, f"{describe(step)}: {name}"
                if array.size:
                    with pytest.raises(ValueError, match="read-only"):
                        array[...] = 0
            with pytest.raises(AttributeError):
                step.phase = Phase.END  # type: ignore[misc]


def test_steps_have_what_their_phase_produces() -> None:
    trace = run()
    every_iteration = {
        *("stage", "responses", "iteration", "landmarks_before", "mean_shift", "weights", "jacobian", "hessian"),
        *("gradient", "delta", "update_norm", "shape_change", "clamped", "converged"),
    }
    present = {
        Phase.INITIAL: set(),
        Phase.RESPONSES: {"stage", "responses"},
        Phase.RIGID: every_iteration,
        Phase.NONRIGID: every_iteration,
        Phase.END: {"likelihood", "success"},
    }
    always = {"phase", "params", "landmarks", "message"}
    for step, after in pairwise((*trace.steps, Step(Phase.INITIAL, trace.params_global, trace.landmarks))):
        last_of_phase = step.phase in ITERATIONS and after.phase is not step.phase
        found = {field.name for field in fields(step) if getattr(step, field.name) is not None}
        more = {"likelihoods", "likelihood"} if last_of_phase else set()
        assert found == present[step.phase] | always | more, describe(step)


def test_steps_carry_their_own_place_in_order() -> None:
    trace = run(windows=(11, 9))
    phases = [step.phase for step in trace.steps]
    assert (phases[0], phases[-1]) == (Phase.INITIAL, Phase.END)
    inner = [(step.stage.index, step.phase, step.iteration) for step in trace.steps[1:-1]]
    expected = []
    for summary in trace.stages:
        index = summary.stage.index
        expected.append((index, Phase.RESPONSES, None))
        expected += [(index, Phase.RIGID, k + 1) for k in range(summary.rigid_iterations)]
        expected += [(index, Phase.NONRIGID, k + 1) for k in range(summary.nonrigid_iterations)]
    assert inner == expected
    assert [s.stage.index for s in trace.stages] == [0, 1]
    assert [s.stage.window for s in trace.stages] == [11, 9]
    assert [s.stage.scale for s in trace.stages] == [0.25, 0.35]


def test_steps_of_a_stage_share_its_maps() -> None:
    trace = run()
    for index in (0, 1):
        maps = {id(s.responses) for s in trace.steps if s.stage and s.stage.index == index and s.responses is not None}
        assert len(maps) == 1


def test_every_step_is_consistent_with_itself() -> None:
    """Landmarks are those of the params; changes and norms are those of the neighbours."""
    trace = run(weight_factor=1.5)
    before = trace.steps[0]
    for step in trace.steps:
        np.testing.assert_array_equal(step.landmarks, landmarks(tiny_model().pdm, step.params))
        np.testing.assert_array_equal(step.params_global, step.params[:6])
        np.testing.assert_array_equal(step.params_local, step.params[6:])
        if step.phase in ITERATIONS:
            np.testing.assert_array_equal(step.landmarks_before, before.landmarks)
            assert step.shape_change == pytest.approx(np.linalg.norm(step.landmarks - before.landmarks))
            assert step.update_norm == pytest.approx(np.linalg.norm(step.delta))
            np.testing.assert_allclose(
                step.hessian @ step.delta, step.gradient, rtol=0, atol=1e-8 * np.abs(step.gradient).max()
            )
            assert (len(step.delta) == 6) is (step.phase is Phase.RIGID)
            if step.phase is Phase.RIGID:
                np.testing.assert_array_equal(step.params_local, before.params_local)
        else:
            np.testing.assert_array_equal(step.params, before.params)
        before = step
    nonrigid = [s for s in trace.steps if s.phase is Phase.NONRIGID]
    assert trace.likelihood == nonrigid[-1].likelihood
    np.testing.assert_array_equal(trace.landmarks, nonrigid[-1].landmarks)


def test_the_stream_is_lazy_and_can_be_left() -> None:
    stream = fit_steps(tiny_image(), tiny_model(), start())
    assert next(stream).phase is Phase.INITIAL
    assert next(stream).phase is Phase.RESPONSES
    stream.close()
    assert next(stream, None) is None


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_a_fit_is_deterministic(seed: int) -> None:
    initial = perturbed(tiny_model(), start(), seed, 0.15, 0.3)
    first, second = run(initial=initial), run(initial=initial)
    for a, b in zip(first.steps, second.steps, strict=True):
        for name, array in arrays_in(a).items():
            np.testing.assert_array_equal(array, arrays_in(b)[name])


def test_convergence_ends_a_phase_early() -> None:
    trace = run(convergence_px=2.0, max_iterations=50)
    for summary in trace.stages:
        mine = [s for s in trace.steps if s.stage == summary.stage and s.phase in ITERATIONS]
        for phase in ITERATIONS:
            changes = [s.shape_change for s in mine if s.phase is phase]
            assert changes[-1] < 2.0 and all(change >= 2.0 for change in changes[:-1])
            assert [s.converged for s in mine if s.phase is phase] == [False] * (len(changes) - 1) + [True]


def test_convergence_is_strictly_below_the_threshold() -> None:
    """A change of exactly the threshold goes on; one bit more of threshold stops."""
    *earlier, change = [s.shape_change for s in run().steps if s.stage and s.shape_change is not None][:8]
    assert min(earlier) > change, "the third non-rigid iteration is the first to move so little"
    assert run(convergence_px=change).stages[0].nonrigid_iterations > 3
    assert run(convergence_px=np.nextafter(change, 1e9)).stages[0].nonrigid_iterations == 3


def test_places_in_words() -> None:
    stage = Stage(1, 0.35, 9, 0, 1.5, 25.0, 0.0)
    step = replace(next(fit_steps(tiny_image(), tiny_model(), start())), stage=stage, phase=Phase.NONRIGID, iteration=3)
    assert describe(step) == "stage 2 (0.35, window 9), non-rigid 3"
    assert describe(Step(Phase.END, step.params, step.landmarks)) == "end"
