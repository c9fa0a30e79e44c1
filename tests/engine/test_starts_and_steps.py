"""Starts, possible and impossible ones, and what holds for every stream of Steps."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import cbook

from clnf_engine import (
    Initial,
    InitialError,
    Phase,
    detect_faces,
    fit_steps,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    initials_from_detector,
    perturbed,
    turned,
)
from clnf_engine.detection.haar import _cascade_file
from clnf_engine.initial import box_around, moved, upright_box
from clnf_engine.options import Source
from clnf_engine.pdm import landmarks
from clnf_engine.steps import Stage, Step, describe

from .edge_tools import ITERATIONS, arrays_in, run
from .tiny_model import start, tiny_image, tiny_model, true_landmarks, true_params

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
    with pytest.raises(InitialError):
        turned(tiny_model(), start(), rotation)


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
    foreign = Initial(np.array([1.0, 0, 0, 0, 50, 50]), Source.PREVIOUS, (0, 0, 1, 1))
    with pytest.raises(InitialError, match="this model expects"):
        fit_steps(tiny_image(), tiny_model(), foreign)
    with pytest.raises(InitialError, match="this model expects"):
        turned(tiny_model(), foreign, (0.0, 0.0, 1.0))


def test_a_start_moved_in_the_image_moves_its_landmarks_about_the_middle_of_their_box() -> None:
    model, initial = tiny_model(), initial_from_params(tiny_model(), true_params())
    before = landmarks(model.pdm, initial.params)
    x, y, w, h = box_around(before)
    quarter = landmarks(model.pdm, moved(model, initial, roll=math.pi / 2).params)  # clockwise: x to y, y to -x
    offsets = before - (x + w / 2, y + h / 2)
    turned = np.stack([-offsets[:, 1], offsets[:, 0]], axis=1)
    assert quarter - (x + w / 2, y + h / 2) == pytest.approx(turned)
    larger = landmarks(model.pdm, moved(model, initial, scale=1.25, shift=(0.5, -0.25)).params)
    assert larger == pytest.approx(1.25 * offsets + (x + w, y + h / 4))
    assert box_around(landmarks(model.pdm, moved(model, initial).params)) == pytest.approx((x, y, w, h))
    assert moved(model, initial, roll=1.0).box == box_around(
        landmarks(model.pdm, moved(model, initial, roll=1.0).params)
    )


def test_a_start_is_yawed_about_the_axis_of_its_head() -> None:
    """However the head is rolled, its yaw turns the same points towards the viewer."""
    model, initial = tiny_model(), initial_from_params(tiny_model(), true_params())
    one, two = (
        moved(model, moved(model, initial, roll=0.7), yaw=0.4),
        moved(model, moved(model, initial, yaw=0.4), roll=0.7),
    )
    assert one.params[:4] == pytest.approx(two.params[:4])
    assert moved(model, initial_from_box(model, (0, 0, 90, 90)), yaw=0.4).params[1:4] == pytest.approx([0, 0.4, 0])


@pytest.mark.parametrize("change", [{"roll": math.inf}, {"yaw": math.nan}, {"scale": 0.0}, {"shift": (math.inf, 0)}])
def test_impossible_moves(change: dict[str, Any]) -> None:
    with pytest.raises(InitialError):
        moved(tiny_model(), start(), **change)


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


ANGLE = st.floats(-math.pi, math.pi)
ROTATION = st.tuples(ANGLE, ANGLE, ANGLE)


@given(ANGLE, ANGLE)
def test_a_roll_turns_the_landmarks_in_the_image(old: float, new: float) -> None:
    """About the centre of the box that was given, by the angle, clockwise on the screen (y is down)."""
    x, y, width, height = box = start().box
    upright = landmarks(tiny_model().pdm, start().params)
    initial = turned(tiny_model(), turned(tiny_model(), start(), (0.0, 0.0, old)), (0.0, 0.0, new))
    middle, c, s = np.array([x + width / 2, y + height / 2]), math.cos(new), math.sin(new)
    expected = middle + (upright - middle) @ np.array([[c, s], [-s, c]])
    np.testing.assert_allclose(landmarks(tiny_model().pdm, initial.params), expected, rtol=0, atol=1e-9)
    assert (initial.source, initial.box, initial.seed) == (Source.BOX, box, None)


def _crooked() -> Initial:
    """A start with a shape and a rotation of its own, as of the previous frame."""
    params = true_params()
    params[1:4], params[6:] = (0.3, -0.4, 0.5), (9.0, -6.0, 4.0, 3.0)
    return initial_from_params(tiny_model(), params)


@given(ROTATION)
def test_the_centre_of_a_turned_face_keeps_its_place(rotation: tuple[float, float, float]) -> None:
    pdm, initial = tiny_model().pdm, _crooked()

    def centre_in_image(params: np.ndarray) -> np.ndarray:
        """Of the box around the 3D shape; R = Rx·Ry·Rz written out."""
        rx, ry, rz = params[1:4]
        about_x = np.array([[1, 0, 0], [0, math.cos(rx), -math.sin(rx)], [0, math.sin(rx), math.cos(rx)]])
        about_y = np.array([[math.cos(ry), 0, math.sin(ry)], [0, 1, 0], [-math.sin(ry), 0, math.cos(ry)]])
        about_z = np.array([[math.cos(rz), -math.sin(rz), 0], [math.sin(rz), math.cos(rz), 0], [0, 0, 1]])
        shape = (pdm.mean + pdm.modes @ params[6:]).reshape(3, -1)
        centre = (shape.min(axis=1) + shape.max(axis=1)) / 2
        return params[0] * (about_x @ about_y @ about_z @ centre)[:2] + params[4:6]

    there = turned(tiny_model(), initial, rotation)
    assert there.rotation == rotation
    np.testing.assert_array_equal(there.params[[0, *range(6, 10)]], initial.params[[0, *range(6, 10)]])
    np.testing.assert_allclose(centre_in_image(there.params), centre_in_image(initial.params), rtol=0, atol=1e-9)
    back = turned(tiny_model(), there, initial.rotation)
    np.testing.assert_allclose(back.params, initial.params, rtol=0, atol=1e-9)


def test_turning_keeps_the_seed() -> None:
    initial = perturbed(tiny_model(), start(), 7)
    there = turned(tiny_model(), initial, (0.0, 0.0, 1.0))
    assert (there.seed, there.box, there.source) == (7, initial.box, Source.BOX)


@given(ROTATION)
def test_the_upright_box_of_a_turned_box_is_that_box(rotation: tuple[float, float, float]) -> None:
    assert upright_box(tiny_model(), turned(tiny_model(), start(stretch=1.3), rotation)) == start(stretch=1.3).box


@given(ROTATION)
def test_the_upright_box_of_other_starts_is_around_the_upright_landmarks(rotation: tuple[float, float, float]) -> None:
    upright = turned(tiny_model(), _crooked(), (0.0, 0.0, 0.0))
    box = upright_box(tiny_model(), turned(tiny_model(), _crooked(), rotation))
    np.testing.assert_allclose(box, box_around(landmarks(tiny_model().pdm, upright.params)), rtol=0, atol=1e-9)


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
    raw = cv2.CascadeClassifier(str(_cascade_file())).detectMultiScale(image, 1.2, 2, 0, (50, 50))
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
    stage = Stage(1, 0.35, 9, 0, 1.5, 25.0, 0.0, skipped="", patch_scale=1, sigma_transform=True)
    step = replace(next(fit_steps(tiny_image(), tiny_model(), start())), stage=stage, phase=Phase.NONRIGID, iteration=3)
    assert describe(step) == "stage 2 (0.35, window 9), non-rigid 3"
    assert describe(Step(Phase.END, step.params, step.landmarks)) == "end"


def test_what_a_person_prints_tells_shapes_and_no_numbers_by_the_thousand() -> None:
    model = tiny_model()
    trace = run()
    step = next(step for step in trace.steps if step.phase is Phase.NONRIGID)
    n, m = model.n_landmarks, len(step.params)
    told = repr(step)
    assert told.startswith(f"Step(phase=<Phase.NONRIGID: 'nonrigid'>, params=float64[{m}], landmarks=float64[{n}, 2], ")
    assert f"jacobian=float64[{2 * n}, {m}]" in told and "success" not in told  # which an iteration does not have
    assert f"steps=<{len(trace.steps)} of Step>" in repr(trace)
    for thing in (trace, step, model):
        assert len(repr(thing)) < 10_000 and "\n" not in repr(thing)
