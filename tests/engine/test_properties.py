"""What must hold for any input: identities, closed forms and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clnf_engine import FitOptions, Kernel, Normalization, Phase, ResponseMaps, Step, Trace, fit, initial_from_box
from clnf_engine.experts import correlate, neuron_outputs, sample_areas
from clnf_engine.initial import box_around
from clnf_engine.mean_shift import LIKELIHOOD_FLOOR, kernel_1d, landmark_likelihoods, mean_shift
from clnf_engine.options import Precision
from clnf_engine.pdm import (
    clamp,
    euler_angles,
    jacobian,
    landmarks,
    params_from_box,
    params_from_landmarks,
    rotation_matrix,
    update,
)
from clnf_engine.response import normalize, shift_to_positive, similarity

from .tiny_model import start, tiny_image, tiny_model

PDM = tiny_model().pdm
QUARTER = math.pi / 2


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, width=64)


def poses(angle: float = 1.4, sigmas: float = 2.5) -> st.SearchStrategy[np.ndarray]:
    """Parameters with a face of any size, place, non-neutral shape, and Euler angles up to ±angle."""
    return st.builds(
        lambda scale, euler, place, q: np.array([scale, *euler, *place, *(np.sqrt(PDM.variances) * q)]),
        numbers(0.2, 8),
        st.tuples(*[numbers(-angle, angle)] * 3),
        st.tuples(*[numbers(-500, 2000)] * 2),
        st.tuples(*[numbers(-sigmas, sigmas)] * PDM.n_modes),
    )


def points(count: int = 12) -> st.SearchStrategy[np.ndarray]:
    """Planar points that are not nearly on one line."""
    spread = arrays(np.float64, (count, 2), elements=numbers(-100, 100))
    return spread.filter(lambda p: np.linalg.svd(p - p.mean(axis=0), compute_uv=False)[1] > 5)


# --- shape ----------------------------------------------------------------------------------------


def elementary(axis: int, angle: float) -> np.ndarray:
    """Right-handed rotation about one axis."""
    result = np.eye(3)
    a, b = [k for k in range(3) if k != axis]
    sign = -1 if axis == 1 else 1
    result[a, a] = result[b, b] = math.cos(angle)
    result[a, b], result[b, a] = -sign * math.sin(angle), sign * math.sin(angle)
    return result


@given(st.tuples(*[numbers(-7, 7)] * 3))
def test_rotation_is_the_product_of_three(euler: tuple[float, float, float]) -> None:
    expected = elementary(0, euler[0]) @ elementary(1, euler[1]) @ elementary(2, euler[2])
    ours = rotation_matrix(np.array(euler))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ours @ ours.T, np.eye(3), rtol=0, atol=1e-14)


@given(numbers(-3.1, 3.1), numbers(-1.5, 1.5), numbers(-3.1, 3.1))
def test_euler_angles_round_trip(rx: float, ry: float, rz: float) -> None:
    euler = np.array([rx, ry, rz])
    np.testing.assert_allclose(euler_angles(rotation_matrix(euler)), euler, rtol=0, atol=1e-12)


@given(st.tuples(*[numbers(-7, 7)] * 3))
@example((0.3, QUARTER, -0.2))
@example((0.3, -QUARTER, -0.2))
def test_matrix_round_trip(euler: tuple[float, float, float]) -> None:
    """Other angles may name the same rotation; near ry = ±π/2 the arcsine knows them to 1e-8 only."""
    matrix = rotation_matrix(np.array(euler))
    np.testing.assert_allclose(rotation_matrix(euler_angles(matrix)), matrix, rtol=0, atol=5e-8)


@given(poses(angle=1.5))
def test_zero_update_is_the_identity(params: np.ndarray) -> None:
    for size in (6, len(params)):
        np.testing.assert_allclose(update(params, np.zeros(size)), params, rtol=0, atol=1e-12)


@given(poses(), st.sampled_from([-QUARTER, -QUARTER + 1e-12, QUARTER - 1e-9, QUARTER]), st.integers(1, 3))
def test_zero_update_is_the_identity_at_the_clamp(params: np.ndarray, angle: float, index: int) -> None:
    """The clamp can leave an Euler angle at exactly ±π/2, where the others are hard to tell."""
    params[index] = angle
    same = update(params, np.zeros(6))
    np.testing.assert_array_equal(same[[0, *range(4, len(params))]], params[[0, *range(4, len(params))]])
    np.testing.assert_allclose(rotation_matrix(same[1:4]), rotation_matrix(params[1:4]), rtol=0, atol=5e-8)


@given(poses(), st.tuples(*[numbers(-3, 3)] * 3), numbers(-0.1, 0.1))
def test_update_rotates_by_the_orthogonal_factor(
    params: np.ndarray, w: tuple[float, float, float], change: float
) -> None:
    """R ← R·U·Vᵀ with U·S·Vᵀ = I + [w]×, however large w; everything else is a sum."""
    wx, wy, wz = w
    u, _, vt = np.linalg.svd(np.array([[1, -wz, wy], [wz, 1, -wx], [-wy, wx, 1]]))
    expected = rotation_matrix(params[1:4]) @ u @ vt
    assume(abs(expected[0, 2]) < 0.9999)
    delta = np.full(len(params), change)
    delta[1:4] = w
    moved = update(params, delta)
    np.testing.assert_allclose(rotation_matrix(moved[1:4]), expected, rtol=0, atol=1e-12)
    for k in (0, *range(4, len(params))):
        assert moved[k] == params[k] + change
    rigid_only = update(params, delta[:6])
    np.testing.assert_array_equal(rigid_only[:6], moved[:6])
    np.testing.assert_array_equal(rigid_only[6:], params[6:])


def test_landmarks_of_whole_numbers() -> None:
    """Parameters of another dtype, or every other element of a longer vector, mean the same numbers."""
    params = np.array([2.0, 0, 1, 0, 50, 60, 3, -2, 1, 0])
    expected = landmarks(PDM, params)
    for same in (params.astype(int), params.astype(np.float32), np.repeat(params, 2)[::2]):
        np.testing.assert_allclose(landmarks(PDM, same), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(jacobian(PDM, same, rigid=False), jacobian(PDM, params, rigid=False), rtol=1e-12)


@given(poses())
def test_update_leaves_its_input_alone(params: np.ndarray) -> None:
    before = params.copy()
    update(params, np.full(len(params), 0.1))
    np.testing.assert_array_equal(params, before)


@given(poses())
def test_jacobian_is_the_derivative_through_the_update(params: np.ndarray) -> None:
    """Central differences of landmarks(update(params, ±h)); not of landmarks(params ± h)."""
    analytic = jacobian(PDM, params, rigid=False)
    numeric = np.empty_like(analytic)
    for k in range(len(params)):
        h = np.zeros(len(params))
        h[k] = 1e-4
        difference = landmarks(PDM, update(params, h)) - landmarks(PDM, update(params, -h))
        numeric[:, k] = difference.T.ravel() / 2e-4
    columns = np.abs(numeric).max(axis=0)
    assert (np.abs(analytic - numeric).max(axis=0) <= 1e-6 * columns).all()
    np.testing.assert_array_equal(jacobian(PDM, params, rigid=True), analytic[:, :6])


@given(poses(), numbers(0.5, 4))
def test_clamp(params: np.ndarray, sigmas: float) -> None:
    params[1:4] *= 2
    params[6:] *= 3
    bound = np.concatenate([[np.inf], [QUARTER] * 3, [np.inf] * 2, sigmas * np.sqrt(PDM.variances)])
    clamped = clamp(PDM, params, sigmas)
    np.testing.assert_array_equal(clamped, np.clip(params, -bound, bound))
    np.testing.assert_array_equal(clamp(PDM, clamped, sigmas), clamped)


@given(st.tuples(*[numbers(-0.9, 0.9)] * 3), numbers(0.05, 20), st.tuples(*[numbers(-1e4, 1e4)] * 2))
def test_box_of_the_right_shape_is_filled(
    rotation: tuple[float, float, float], scale: float, corner: tuple[float, float]
) -> None:
    """A box with the aspect of the turned mean shape comes back as the box around the landmarks."""
    upright = np.concatenate([[1.0], rotation, np.zeros(2 + PDM.n_modes)])
    _, _, width, height = box_around(landmarks(PDM, upright))
    box = (*corner, width * scale, height * scale)
    params = params_from_box(PDM, box, rotation)
    assert params[0] == pytest.approx(scale, rel=1e-12)
    np.testing.assert_allclose(box_around(landmarks(PDM, params)), box, rtol=1e-9, atol=1e-8)


@given(st.tuples(*[numbers(-0.9, 0.9)] * 3), st.tuples(*[numbers(1, 3000)] * 4))
def test_box_of_any_shape_keeps_its_centre(
    rotation: tuple[float, float, float], box: tuple[float, float, float, float]
) -> None:
    """Scale is the mean of what width and height ask for; rotation and mode coefficients are as given."""
    x, y, width, height = box
    params = params_from_box(PDM, box, rotation)
    fx, fy, fitted_width, fitted_height = box_around(landmarks(PDM, params))
    np.testing.assert_allclose([fx + fitted_width / 2, fy + fitted_height / 2], [x + width / 2, y + height / 2])
    assert width / fitted_width + height / fitted_height == pytest.approx(2)
    np.testing.assert_array_equal(params[1:4], rotation)
    assert not params[6:].any()


@settings(max_examples=25)
@given(poses(angle=0.5, sigmas=1.5))
def test_landmarks_to_params_and_back(params: np.ndarray) -> None:
    """Without the prior the landmarks are met; with it, the objective at the truth bounds the residual."""
    shape = landmarks(PDM, params)
    found = params_from_landmarks(PDM, shape, reg_factor=0.0)
    assert np.abs(landmarks(PDM, found) - shape).max() <= 1e-3 * params[0]
    found = params_from_landmarks(PDM, shape)
    penalty = float((params[6:] ** 2 / PDM.variances).sum())
    assert np.linalg.norm(landmarks(PDM, found) - shape) <= math.sqrt(penalty) + 1e-3 * params[0]


@settings(max_examples=25)
@given(poses(angle=0.5, sigmas=0.0))
def test_params_of_the_mean_shape(params: np.ndarray) -> None:
    """With no deformation to explain, the pose is found exactly: two views of it never look alike."""
    found = params_from_landmarks(PDM, landmarks(PDM, params))
    np.testing.assert_allclose(found[[0, 1, 2, 3]], params[[0, 1, 2, 3]], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found[4:6], params[4:6], rtol=0, atol=0.02 * params[0])
    np.testing.assert_allclose(found[6:], 0, rtol=0, atol=0.05)


@given(arrays(np.float64, (6, 3), elements=numbers(-90, 90)), arrays(np.float64, 3, elements=numbers(-2, 2)))
def test_nearest_view(centres_degrees: np.ndarray, rotation: np.ndarray) -> None:
    """By Euclidean distance of the three Euler angles; the first of equals."""
    scale = replace(tiny_model().scales[0], view_centres_degrees=centres_degrees)
    distances = [math.dist(np.radians(centre), rotation) for centre in centres_degrees]
    assert distances[scale.nearest_view(rotation)] == pytest.approx(min(distances), abs=1e-12)
    same = replace(scale, view_centres_degrees=np.repeat(centres_degrees[:1], 4, axis=0))
    assert same.nearest_view(rotation) == 0


# --- similarity -----------------------------------------------------------------------------------


@given(points(), numbers(0.05, 20), numbers(-3.14, 3.14), st.tuples(*[numbers(-1e3, 1e3)] * 2))
def test_similarity_finds_a_known_one(
    source: np.ndarray, scale: float, angle: float, shift: tuple[float, float]
) -> None:
    known = scale * elementary(2, angle)[:2, :2]
    found = similarity(source, source @ known.T + shift)
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-9 * scale)


@given(points(), points())
def test_similarity_is_optimal_and_proper(source: np.ndarray, target: np.ndarray) -> None:
    """Its rotation beats nearby ones, its scale is the ratio of RMS sizes, and it never reflects."""
    found = similarity(source, target)
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    ratio = math.sqrt((target**2).sum() / (source**2).sum())
    np.testing.assert_allclose(found @ found.T, ratio**2 * np.eye(2), rtol=1e-9, atol=1e-9 * ratio**2)
    assert np.linalg.det(found) > 0
    # In the plane the best rotation is known in closed form: the angle of Σ conj(source)·target.
    a, b = source @ [1, 1j], target @ [1, 1j]
    best = np.vdot(a, b)
    assume(abs(best) > 1e-3 * np.linalg.norm(a) * np.linalg.norm(b))
    rotation = best / abs(best)
    expected = ratio * np.array([[rotation.real, -rotation.imag], [rotation.imag, rotation.real]])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * ratio)


@given(points(), points())
def test_similarity_round_trip(source: np.ndarray, target: np.ndarray) -> None:
    a, b = (p - p.mean(axis=0) for p in (source, target))
    assume(abs(np.vdot(a @ [1, 1j], b @ [1, 1j])) > 1e-3 * np.linalg.norm(a) * np.linalg.norm(b))
    there, back = similarity(source, target), similarity(target, source)
    np.testing.assert_allclose(back @ there, np.eye(2), rtol=0, atol=1e-8)


# --- sampling and correlation ---------------------------------------------------------------------


@given(st.tuples(*[numbers(-1.5, 1.5)] * 4), st.tuples(*[numbers(8, 30)] * 2), st.tuples(*[numbers(-0.5, 0.5)] * 2))
def test_sampling_a_ramp(matrix: tuple[float, ...], centre: tuple[float, float], slope: tuple[float, float]) -> None:
    """Bilinear interpolation is exact on a plane, and outside the image its border continues."""
    rows, cols = 40, 36
    y, x = np.mgrid[0:rows, 0:cols]
    step = np.rint(np.array(slope) * 4)
    image = (128 + step[0] * (x - 18) + step[1] * (y - 20)).astype(np.uint8)
    to_image = np.array(matrix).reshape(2, 2)
    (area,) = sample_areas(image, np.array([centre]), to_image, (9, 7))
    dv, du = np.mgrid[0:9, 0:7] - np.array([4, 3])[:, None, None]
    px = np.clip(to_image[0, 0] * du + to_image[0, 1] * dv + centre[0], 0, cols - 1)
    py = np.clip(to_image[1, 0] * du + to_image[1, 1] * dv + centre[1], 0, rows - 1)
    expected = 128 + step[0] * (px - 18) + step[1] * (py - 20)
    np.testing.assert_allclose(area, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_nowhere_is_not_sampled(value: float) -> None:
    """Rows of a broken run: nothing outside of the image is read, and landmarks that are somewhere are as ever."""
    image, there = np.full((40, 36), 128, np.uint8), np.array([[9.0, 9.0], [value, 9.0]])
    areas = sample_areas(image, there, np.eye(2), (9, 7))
    assert (areas[0] == 128).all()
    assert np.isnan(areas[1]).all()
    assert np.isnan(sample_areas(image, there[:1], np.full((2, 2), value), (9, 7))).all()


EXPERTS = tiny_model().scales[0].views[0]


@given(st.integers(0, 2**31), numbers(0.01, 20), numbers(-50, 50))
def test_correlation_ignores_gain_and_offset(seed: int, gain: float, offset: float) -> None:
    areas = np.random.default_rng(seed).uniform(0, 255, (68, 13, 13)).astype(np.float32)
    ncc = correlate(areas, EXPERTS)
    assert np.abs(ncc).max() <= 1 + 1e-12
    np.testing.assert_allclose(correlate((areas * gain + offset).astype(np.float32), EXPERTS), ncc, rtol=0, atol=1e-3)


def test_correlation_with_itself_is_one() -> None:
    own = EXPERTS.weights[:, 0]
    np.testing.assert_allclose(correlate(own, EXPERTS)[:, 0], 1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(correlate(-own, EXPERTS)[:, 0], -1, rtol=0, atol=1e-6)


def test_flat_patches_correlate_with_nothing() -> None:
    """Constant areas, and areas that vary by less than the stated threshold."""
    areas = np.full((68, 13, 13), 200, dtype=np.float32)
    assert not correlate(areas, EXPERTS).any()
    areas += np.random.default_rng(1).normal(0, 1e-4, areas.shape).astype(np.float32)
    assert not correlate(areas, EXPERTS).any()
    quiet = neuron_outputs(correlate(areas, EXPERTS), EXPERTS)[:, 0, 0, 0]
    np.testing.assert_allclose(quiet, 2 * EXPERTS.alpha[:, 0] / (1 + np.exp(-EXPERTS.bias[:, 0])))


# --- maps -----------------------------------------------------------------------------------------


def small_maps(low: float = -1.0) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (5, 7, 7), elements=numbers(low, 1.0))


@given(small_maps())
def test_shift_to_positive(maps: np.ndarray) -> None:
    shifted = shift_to_positive(maps)
    for before, after in zip(maps, shifted, strict=True):
        if before.min() < 0:
            assert after.min() == 0
            np.testing.assert_array_equal(after, before - before.min())
        else:
            np.testing.assert_array_equal(after, before)


@given(small_maps(low=0.0))
def test_normalizations(maps: np.ndarray) -> None:
    maps[0] = 0
    maps[maps < 1e-6] = 0
    assert normalize(maps, Normalization.NONE) is maps
    peak, minmax, total, together = (
        normalize(maps, Normalization(name)) for name in ("peak", "minmax", "sum", "global_peak")
    )
    for k, before in enumerate(maps):
        if before.any():
            assert peak[k].max() == 1
            np.testing.assert_allclose(peak[k] * before.max(), before, rtol=1e-12)
            assert total[k].sum() == pytest.approx(1)
            np.testing.assert_allclose(total[k] * before.sum(), before, rtol=1e-12)
            np.testing.assert_allclose(together[k] * maps.max(), before, rtol=1e-12)
        else:
            assert not peak[k].any() and not total[k].any() and not together[k].any()
        if np.ptp(before) > 0:
            assert (minmax[k].min(), minmax[k].max()) == (0, 1)
        else:
            assert not minmax[k].any()


# --- mean-shift -----------------------------------------------------------------------------------

STILL = np.zeros((5, 2))


def maps_of(final: np.ndarray, to_image: np.ndarray | None = None, visible: np.ndarray | None = None) -> ResponseMaps:
    """Response maps of which only the final ones matter."""
    n = len(final)
    return ResponseMaps(
        base_shape=np.zeros((n, 2)),
        reference_shape=np.zeros((n, 2)),
        image_to_reference=np.eye(2),
        reference_to_image=np.eye(2) if to_image is None else to_image,
        visible=np.ones(n, dtype=bool) if visible is None else visible,
        area=np.zeros((n, 1, 1), dtype=np.float32),
        neuron_ncc=np.zeros((n, 0, 1, 1)),
        neuron_output=np.zeros((n, 0, 1, 1)),
        raw=final,
        after_sigma=final,
        shifted=final,
        final=final,
    )


positions_in = st.tuples(numbers(0, 6.9), numbers(0, 6.9))


@given(positions_in, st.integers(0, 6), st.integers(0, 6), numbers(0.8, 4), st.sampled_from(Kernel))
def test_shift_to_a_single_peak(
    position: tuple[float, float], row: int, col: int, sigma: float, kernel: Kernel
) -> None:
    """A map with one cell above zero pulls straight to that cell, whatever its height."""
    final = np.zeros((1, 7, 7))
    final[0, row, col] = 0.003
    shift = mean_shift(np.array([position]), maps_of(final), sigma, kernel)
    np.testing.assert_allclose(shift.reference[0], [col - position[0], row - position[1]], rtol=0, atol=1e-9)
    squared = (position[0] - col) ** 2 + (position[1] - row) ** 2
    exact = 0.003 * math.exp(-squared / (2 * sigma**2))
    likelihoods = landmark_likelihoods(np.array([position]), maps_of(final), sigma)
    assert likelihoods[0] == pytest.approx(exact + LIKELIHOOD_FLOOR, rel=1e-9)
    if kernel is Kernel.EXACT:
        assert shift.kernel_sum[0] == pytest.approx(exact, rel=1e-9)
    assert not shift.empty.any()


@given(positions_in, numbers(0.3, 4), numbers(1e-6, 10))
def test_shift_on_a_constant_map(position: tuple[float, float], sigma: float, height: float) -> None:
    """Each coordinate moves to the mean of the truncated one-dimensional Gaussian."""
    shift = mean_shift(np.array([position]), maps_of(np.full((1, 7, 7), height)), sigma, Kernel.EXACT)
    for at, moved in zip(position, shift.reference[0], strict=True):
        weights = [math.exp(-((at - j) ** 2) / (2 * sigma**2)) for j in range(7)]
        expected = sum(w * j for j, w in enumerate(weights)) / sum(weights) - at
        assert moved == pytest.approx(expected, abs=1e-9)


@given(small_maps(low=0.0), numbers(0.5, 4), st.sampled_from(Kernel))
def test_no_shift_at_the_centre_of_symmetry(maps: np.ndarray, sigma: float, kernel: Kernel) -> None:
    symmetric = maps + maps[:, ::-1, ::-1] + 1e-3
    shift = mean_shift(np.full((5, 2), 3.0), maps_of(symmetric), sigma, kernel)
    np.testing.assert_allclose(shift.reference, 0, rtol=0, atol=1e-12)


@given(small_maps(low=0.0), arrays(np.float64, (5, 2), elements=numbers(0, 6.89)), numbers(0.5, 4))
def test_table_kernel_is_the_exact_one_at_tenths(maps: np.ndarray, positions: np.ndarray, sigma: float) -> None:
    """The table looks from the position rounded to 0.1; the target it finds is the exact kernel's from there."""
    assume(np.abs(positions * 10 % 1 - 0.5).min() > 1e-6)
    rounded = np.rint(positions * 10) / 10
    responses = maps_of(maps + 1e-3)
    table = mean_shift(positions, responses, sigma, Kernel.TABLE)
    exact = mean_shift(rounded, responses, sigma, Kernel.EXACT)
    np.testing.assert_allclose(table.kernel_sum, exact.kernel_sum, rtol=1e-9)
    np.testing.assert_allclose(table.reference + positions, exact.reference + rounded, rtol=0, atol=1e-9)


@given(small_maps(low=0.0), arrays(np.float64, (5, 2), elements=numbers(-30, 40)), st.sampled_from(Kernel))
def test_positions_are_clamped_for_the_shift_only(maps: np.ndarray, positions: np.ndarray, kernel: Kernel) -> None:
    responses = maps_of(maps + 1e-3)
    shift = mean_shift(positions, responses, 1.5, kernel)
    held = np.clip(positions, 0, 6.9)
    np.testing.assert_array_equal(shift.position, held)
    np.testing.assert_array_equal(shift.reference, mean_shift(held, responses, 1.5, kernel).reference)
    likelihoods = landmark_likelihoods(positions, responses, 1.5)
    y, x = np.mgrid[0:7, 0:7]
    for k, (dx, dy) in enumerate(positions):
        weights = np.exp(-((dx - x) ** 2 + (dy - y) ** 2) / (2 * 1.5**2))
        assert likelihoods[k] == pytest.approx((weights * responses.final[k]).sum() + LIKELIHOOD_FLOOR, rel=1e-9)


@given(small_maps(low=0.0), st.integers(-60, 60), arrays(np.float64, (5, 2), elements=numbers(0, 6.9)))
def test_shift_ignores_the_height_of_a_map(maps: np.ndarray, power: int, positions: np.ndarray) -> None:
    """By powers of two bit by bit; by any other factor up to rounding."""
    maps += 1e-3
    plain = mean_shift(positions, maps_of(maps), 1.5, Kernel.TABLE)
    scaled = mean_shift(positions, maps_of(maps * 2.0**power), 1.5, Kernel.TABLE)
    np.testing.assert_array_equal(scaled.reference, plain.reference)
    factors = np.array([3.0, 0.1, 7e5, 1.0, 1e-9])[:, None, None]
    uneven = mean_shift(positions, maps_of(maps * factors), 1.5, Kernel.TABLE)
    np.testing.assert_allclose(uneven.reference, plain.reference, rtol=0, atol=1e-12)


@given(numbers(0.2, 5), numbers(-3, 3))
def test_shift_in_image_px_is_the_rotated_one(scale: float, angle: float) -> None:
    to_image = scale * elementary(2, angle)[:2, :2]
    rng = np.random.default_rng(2)
    visible = np.array([True, False, True, True, False])
    responses = maps_of(rng.uniform(0, 1, (5, 7, 7)), to_image, visible)
    shift = mean_shift(rng.uniform(0, 6.9, (5, 2)), responses, 1.5, Kernel.TABLE)
    expected = np.array([to_image @ step for step in shift.reference])
    np.testing.assert_allclose(shift.image, expected, rtol=0, atol=1e-12)
    assert shift.reference[visible].all()
    assert not shift.reference[~visible].any() and not shift.image[~visible].any()


def test_a_map_without_mass_gives_no_shift_and_says_so() -> None:
    """Zero everywhere, or nonzero only where the kernel underflows; an invisible landmark is not "empty"."""
    final = np.zeros((4, 7, 7))
    final[1, 6, 6] = 1.0
    final[2] = 1.0
    visible = np.array([True, True, True, False])
    positions = np.array([[3.0, 3], [0, 0], [0, 0], [3, 3]])
    shift = mean_shift(positions, maps_of(final, visible=visible), 0.1, Kernel.EXACT)
    np.testing.assert_array_equal(shift.empty, [True, True, False, False])
    assert not shift.reference[[0, 1, 3]].any() and shift.reference[2].all()
    assert np.isfinite(shift.image).all()
    likelihoods = landmark_likelihoods(positions, maps_of(final, visible=visible), 0.1)
    np.testing.assert_allclose(likelihoods[:2], LIKELIHOOD_FLOOR)
    assert likelihoods[3] == 0


@given(numbers(-5, 20), st.integers(3, 31), numbers(0.1, 10))
def test_kernel_closed_form(position: float, window: int, sigma: float) -> None:
    expected = [math.exp(-((position - j) ** 2) / (2 * sigma**2)) for j in range(window)]
    np.testing.assert_allclose(kernel_1d(np.array(position), window, sigma), expected, rtol=1e-12, atol=1e-300)


# --- whole fits -----------------------------------------------------------------------------------


def run(place: tuple[float, float, float, float], **changes: Any) -> Trace:
    dx, dy, stretch, yaw = place
    return fit(tiny_image(), tiny_model(), start(dx, dy, stretch, (0.0, yaw, 0.0)), FitOptions(**changes))


places = st.tuples(numbers(-10, 10), numbers(-10, 10), numbers(0.85, 1.2), numbers(-0.4, 0.6))


@settings(max_examples=10)
@given(places, st.integers(-96, 96), st.sampled_from(Precision), numbers(0, 3))
def test_gain_of_a_power_of_two_changes_no_bit(
    place: tuple[float, float, float, float], power: int, precision: Precision, weight_factor: float
) -> None:
    if precision is Precision.FLOAT32:
        power //= 4
    changes = {"precision": precision, "weight_factor": weight_factor}
    plain = run(place, **changes)
    scaled = run(place, response_gain=2.0**power, **changes)
    assert len(plain.steps) == len(scaled.steps)
    for a, b in zip(plain.steps, scaled.steps, strict=True):
        np.testing.assert_array_equal(a.params, b.params)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
        assert (a.update_norm, a.shape_change, a.converged) == (b.update_norm, b.shape_change, b.converged)
        if a.mean_shift is not None:
            for name in ("delta", "gradient", "hessian", "jacobian"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            np.testing.assert_array_equal(a.mean_shift.image, b.mean_shift.image)
            np.testing.assert_array_equal(
                a.mean_shift.kernel_sum * a.mean_shift.kernel_sum.dtype.type(2.0**power), b.mean_shift.kernel_sum
            )


@settings(max_examples=10)
@given(places)
def test_any_gain_and_scaling_normalization_fit_alike(place: tuple[float, float, float, float]) -> None:
    plain = run(place)
    for changes in (
        {"response_gain": 3.0},
        {"response_gain": 1e-5},
        {"normalization": "peak"},
        {"normalization": "sum"},
        {"normalization": "global_peak"},
    ):
        other = run(place, **changes)
        np.testing.assert_allclose(other.landmarks, plain.landmarks, rtol=0, atol=1e-6, err_msg=str(changes))


def test_minmax_fits_differently() -> None:
    """It adds a constant to every map, which a mean-shift does see."""
    plain, other = run((4, -3, 1.05, 0)), run((4, -3, 1.05, 0), normalization="minmax")
    assert np.abs(other.landmarks - plain.landmarks).max() > 1e-3


def table_entries(step: Step) -> np.ndarray:
    return (step.mean_shift.position * 10 + 0.5).astype(int)  # in the precision of the run


@settings(max_examples=20)
@given(places, st.sampled_from(Kernel))
@example((0.85, 0.85, 0.85, -1 / 3), Kernel.TABLE)
def test_float32_is_near_float64(place: tuple[float, float, float, float], kernel: Kernel) -> None:
    """Within 0.05 px; with the table kernel until a position rounds to another tenth, which is a jump of the method."""
    double, single = run(place, kernel=kernel), run(place, kernel=kernel, precision="float32")
    jumped = False
    for a, b in zip(double.steps, single.steps, strict=False):
        if a.place != b.place:
            jumped = True
        if a.mean_shift is not None and kernel is Kernel.TABLE and not jumped:
            jumped = bool((table_entries(a) != table_entries(b)).any())
        assert jumped or np.abs(a.landmarks - b.landmarks).max() <= 1e-3
    assert np.abs(double.landmarks - single.landmarks).max() <= (0.5 if jumped else 0.05)
    if not jumped:
        assert single.likelihood == pytest.approx(double.likelihood, abs=1e-3)
    for step in single.steps:
        if step.phase in (Phase.RIGID, Phase.NONRIGID):
            assert step.delta.dtype == step.hessian.dtype == step.mean_shift.image.dtype == np.float32
            assert step.params.dtype == step.landmarks.dtype == np.float64


@settings(max_examples=10)
@given(places, st.integers(-30, 30), st.integers(-30, 30))
def test_a_fit_moves_with_the_image(place: tuple[float, float, float, float], dx: int, dy: int) -> None:
    """Shifting photo and start by whole pixels shifts the result; float32 centres are all that differs."""
    image = np.pad(tiny_image(), 120, mode="edge")
    x, y, width, height = start(*place[:3]).box
    traces = [
        fit(
            np.roll(image, (ry, rx), (0, 1)),
            tiny_model(),
            initial_from_box(tiny_model(), (x + 120 + rx, y + 120 + ry, width, height)),
        )
        for rx, ry in ((0, 0), (dx, dy))
    ]
    np.testing.assert_allclose(traces[1].landmarks - [dx, dy], traces[0].landmarks, rtol=0, atol=1e-3)
