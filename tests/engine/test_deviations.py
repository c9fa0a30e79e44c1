"""Every deviation does what its name says, and nothing when it is off (parity and the reference fit show that)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Phase, Trace, fit, preset
from clnf_engine.deviations import DEVIATIONS, active, forward_difference_columns, without_deviations
from clnf_engine.experts import neuron_outputs
from clnf_engine.moments import response_maps
from clnf_engine.operations import Functions
from clnf_engine.pdm import jacobian, rotation_matrix

from . import reference
from .tiny_model import start, tiny_image, tiny_model, true_landmarks

POSE = (0.10, -0.20, 0.05)


def run(rotation: tuple[float, float, float] = (0.0, 0.0, 0.0), **options: Any) -> Trace:
    return fit(tiny_image(), tiny_model(), start(rotation=rotation), FitOptions(**options))


def params(rotation: tuple[float, float, float] = POSE) -> np.ndarray:
    modes = (3.0, -2.0, 1.0, 0.5)
    return np.array([0.8, *rotation, 60.0, 70.0, *modes])


def frames(base: np.ndarray, upright: np.ndarray, options: FitOptions) -> tuple[np.ndarray, np.ndarray]:
    functions = Functions(options)
    there = functions["similarity"](base, upright)
    return there, functions["similarity_inverse"](there)


def test_all_are_off_by_default_and_on_in_the_preset_of_the_port() -> None:
    assert active(FitOptions()) == active(preset("openface-wild")) == []
    assert active(preset("pyclnf-2025-11")) == list(DEVIATIONS)[:9]
    assert active(without_deviations(preset("pyclnf-2025-11"))) == []
    for name, deviation in DEVIATIONS.items():
        assert active(replace(FitOptions(), **{name: deviation.value})) == [name]


def test_every_deviation_has_a_title_of_its_own() -> None:
    assert len({deviation.title for deviation in DEVIATIONS.values()}) == len(DEVIATIONS)
    assert DEVIATIONS["single_phase"].label == "no rigid phase (single_phase)"


def test_transposed_euler_angles_turn_the_head_the_other_way() -> None:
    """R = Rx·Ry·Rz; its transpose has the angles of the inverse rotation."""
    options = FitOptions(euler_transposed=True)
    moved = Functions(options)["update"](params(), np.zeros(6))
    assert np.allclose(moved[1:4], (-0.09, 0.20, -0.03), atol=0.005)
    assert np.allclose(rotation_matrix(moved[1:4]), rotation_matrix(np.array(POSE)).T, atol=1e-15)
    assert np.array_equal(np.delete(moved, [1, 2, 3]), np.delete(params(), [1, 2, 3]))
    assert np.allclose(Functions(FitOptions())["update"](params(), np.zeros(6)), params(), rtol=0, atol=1e-15)


def test_the_kernel_is_centred_by_the_pixel_fraction() -> None:
    trace = run(kernel_centre_pixel_fraction=True)
    for step in trace.steps:
        if step.mean_shift is not None:
            assert step.stage is not None and step.landmarks_before is not None
            expected = (step.stage.window - 1) / 2 + step.landmarks_before % 1
            assert np.array_equal(step.mean_shift.position, expected)


def test_responses_of_every_iteration_lie_on_the_moved_landmarks() -> None:
    trace = run(responses_every_iteration=True)
    for before, step in zip(trace.steps, trace.steps[1:], strict=False):
        if step.mean_shift is not None:
            assert step.responses is not None and step.stage is not None
            assert np.array_equal(step.responses.base_shape, step.landmarks_before)
            assert np.all(step.mean_shift.position == (step.stage.window - 1) / 2)
            assert (step.responses is before.responses) == (before.phase is Phase.RESPONSES)
    shared = {id(step.responses) for step in run().steps if step.responses is not None}
    assert len(shared) == 2, "without the deviation, one set of maps per stage"


def test_forward_differences_are_right_at_the_frontal_pose_only() -> None:
    pdm = tiny_model().pdm
    frontal = params((0.0, 0.0, 0.0))
    exact = jacobian(pdm, frontal, rigid=True)[:, 1:4]
    assert np.abs(forward_difference_columns(pdm, frontal) - exact).max() < 1e-6 * np.abs(exact).max()
    turned = params((0.3, 0.4, -0.2))
    exact = jacobian(pdm, turned, rigid=True)[:, 1:4]
    assert np.abs(forward_difference_columns(pdm, turned) - exact).max() > 0.1 * np.abs(exact).max()
    used = next(s for s in run(rotation_jacobian_forward_difference=True).steps if s.jacobian is not None)
    assert used.jacobian is not None
    assert np.array_equal(used.jacobian[:, 1:4], forward_difference_columns(pdm, start().params))


def test_the_flipped_map_turns_twice_the_angle() -> None:
    """Back and forth is a rotation by twice the angle between the frames: 0.24 rad for this face."""
    base, upright = true_landmarks(), tiny_model().pdm.mean.reshape(3, -1)[:2].T
    there, back = frames(base, upright, FitOptions(image_rotation_sign_flipped=True))
    both = there @ back
    assert np.arctan2(both[1, 0], both[0, 0]) == pytest.approx(-0.24, abs=1e-6)
    assert np.linalg.det(both) == pytest.approx(1, abs=1e-6)
    there, back = frames(base, upright, FitOptions())
    assert np.allclose(there @ back, np.eye(2), atol=1e-6)


def test_the_least_squares_similarity() -> None:
    """Against the normal equations of min ‖[[a, −b], [b, a]]·source − target‖."""
    rng = np.random.default_rng(4)
    source, target = rng.normal(size=(2, 20, 2))
    found, _ = frames(source, target, FitOptions(alignment_least_squares=True))
    s, t = source - source.mean(axis=0), target - target.mean(axis=0)
    design = np.concatenate([np.stack([s[:, 0], -s[:, 1]], 1), np.stack([s[:, 1], s[:, 0]], 1)])
    a, b = np.linalg.lstsq(design, np.concatenate([t[:, 0], t[:, 1]]), rcond=None)[0]
    assert np.allclose(found, [[a, -b], [b, a]], rtol=1e-12)


def test_damping_takes_a_part_of_every_step() -> None:
    trace = run(step_damping=0.75)
    before, step = next((a, b) for a, b in zip(trace.steps, trace.steps[1:], strict=False) if b.delta is not None)
    assert step.delta is not None
    assert np.allclose(step.params[4:6] - before.params[4:6], 0.75 * step.delta[4:6], rtol=1e-12)
    assert step.update_norm == pytest.approx(np.linalg.norm(step.delta))


def test_a_single_phase_has_no_rigid_steps() -> None:
    phases = {step.phase for step in run(single_phase=True).steps}
    assert Phase.RIGID not in phases and Phase.NONRIGID in phases


def test_the_extra_stage_has_window_5_and_raw_maps() -> None:
    trace = run(window5_without_sigma=True)
    *stages, last = [summary.stage for summary in trace.stages]
    assert [(s.index, s.patch_scale, s.window, s.sigma_transform) for s in stages] == [
        (0, 0, 11, True),
        (1, 1, 9, True),
    ]
    assert (last.index, last.patch_scale, last.window, last.sigma_transform) == (2, 1, 5, False)
    maps = next(step.responses for step in trace.steps if step.stage is last)
    assert maps is not None and np.array_equal(maps.after_sigma, maps.raw)
    shared = [step for step in trace.steps if step.stage is not last and step.phase is not Phase.END]
    assert all(np.array_equal(a.params, b.params) for a, b in zip(shared, run().steps, strict=False))


def test_the_guard_stops_small_maps_only() -> None:
    plain, guarded = run(), run(sum_guard=True)
    assert np.array_equal(plain.landmarks, guarded.landmarks)
    small = run(sum_guard=True, response_gain=2.0**-50)
    assert np.array_equal(run(response_gain=2.0**-50).landmarks, plain.landmarks)
    shifts = [step.mean_shift for step in small.steps if step.mean_shift is not None]
    assert all(shift.empty.all() and not shift.image.any() for shift in shifts)


@pytest.mark.parametrize(("total", "kept"), [(0.9e-10, 0.0), (1.1e-10, 1.1e-10), (0.0, 0.0)])
def test_the_guard_is_where_the_port_has_it(total: float, kept: float) -> None:
    (make,) = DEVIATIONS["sum_guard"].replaces.values()
    guarded = make(lambda: np.array([total]), True)
    assert guarded().tolist() == [kept]


def test_forward_differences_have_the_port_s_step_and_precision() -> None:
    """Of 1e-7 rad in float32, whose steps near 1 are 6e-8: what it gives away from 0 is mostly rounding."""
    turned, step = params((0.3, 0.4, -0.2)), 1e-7
    here = np.float32(reference.rotation(turned[1:4]))
    shape = np.array(reference.shape_3d(tiny_model().pdm, turned[6:])).T
    for k, column in enumerate(forward_difference_columns(tiny_model().pdm, turned).T):
        beyond = turned[1:4] + step * np.eye(3)[k]
        change = np.float64(np.float32(reference.rotation(beyond)) - here)[:2] / step
        np.testing.assert_allclose(column, (turned[0] * change @ shape).ravel(), rtol=1e-9, atol=1e-9)


def test_neurons_are_silent_from_openface_s_bound_down() -> None:
    experts = tiny_model().scales[0].views[0]
    n = len(experts.alpha)
    alpha = np.tile([0.99e-4, 1e-4, 1.01e-4], (n, 1))
    outputs = neuron_outputs(np.zeros((n, 3, 3, 3)), replace(experts, alpha=alpha, bias=np.zeros((n, 3))))
    assert not outputs[:, :2].any()
    np.testing.assert_allclose(outputs[:, 2], 1.01e-4, rtol=1e-12)


def test_sigma_off_leaves_the_raw_maps() -> None:
    maps = [step.responses for step in run(sigma_off=True).steps if step.responses is not None]
    assert maps and all(np.array_equal(m.after_sigma, m.raw) for m in maps)


def test_a_stale_kernel_keeps_the_first_bandwidth() -> None:
    """0.25 → 0.35 is log2(1.4) octaves: σ 1.5 → 1.6214 when made anew."""
    fresh, stale = ([s.stage.sigma for s in run(kernel_table_stale=on).stages] for on in (False, True))
    assert fresh == pytest.approx([1.5, 1.5 + 0.25 * np.log2(1.4)]) and stale == [1.5, 1.5]
    assert [s.stage.sigma for s in run(kernel_table_stale=True, windows=(0, 9)).stages][1] == pytest.approx(fresh[1])


def test_maps_are_sampled_at_unrounded_landmarks_when_recomputed() -> None:
    options = FitOptions(responses_every_iteration=True)
    stage = next(s.stage for s in run().steps if s.stage is not None)
    where = params((0.0, 0.0, 0.0))
    areas = [
        response_maps(tiny_image(), tiny_model(), Functions(options), stage, p).area
        for p in (where, where + np.eye(len(where))[4] * 1e-7)
    ]
    assert np.abs(areas[0] - areas[1]).max() > 0, "1e-7 px is lost when landmarks are rounded to float32"
