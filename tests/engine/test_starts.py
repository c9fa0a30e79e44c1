"""Starts pinned to numbers from elsewhere: those from landmarks, perturbed ones, and what the detector is set to."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy import optimize, stats

from clnf_engine import detect_faces, initial_from_params, perturbed
from clnf_engine.detection.haar import _cascade_file
from clnf_engine.initial import box_around
from clnf_engine.pdm import landmarks, params_from_landmarks

from . import reference
from .portrait import grace_hopper
from .tiny_model import tiny_model, true_params

PDM = tiny_model().pdm


def faces() -> list[np.ndarray]:
    """Landmarks of turned faces with shapes of their own, one beyond the clamp, with what no shape can explain."""
    rng = np.random.default_rng(4)
    found = []
    for turn, shape in (
        ((0, 0, 0), (5, -4, 3, 2)),
        ((0.3, -0.5, 0.4), (-20, 9, -8, 6)),
        ((0, 0.2, -0.7), (60, 2, 2, 1)),
    ):
        params = np.array([0.8, *turn, 60.0, 70.0, *shape])
        found.append(reference.project(PDM, params) + rng.normal(0, 1.5, (PDM.n_landmarks, 2)))
    return found


def nearest(points: np.ndarray, reg_factor: float, iterations: int) -> np.ndarray:
    """Damped Gauss-Newton on |points − x(p)|² + r·qᵀΛ⁻¹q, of the pieces of the independent implementation."""
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    params = reference.params_from_box(PDM, (*low, *size))
    prior = np.concatenate([np.zeros(6), reg_factor / PDM.variances])
    best, error = params, math.inf
    for _ in range(iterations):
        residual = points - reference.project(PDM, params)
        now = math.sqrt((residual**2).sum())
        if now >= error * (1 - 1e-6):
            break
        best, error = params, now
        jac = reference.jacobian(PDM, params, rigid=False)
        right = jac.T @ np.concatenate([residual[:, 0], residual[:, 1]]) - prior * params
        params = reference.update(params, np.linalg.solve(jac.T @ jac + np.diag(prior), right) / 2)
        params = reference.clamp(PDM, params, 3.0)
    return best


@pytest.mark.parametrize("face", range(3))
@pytest.mark.parametrize("reg_factor", [1.0, 25.0])
@pytest.mark.parametrize("iterations", [1, 2, 5, 1000])
def test_landmarks_are_met_by_half_steps_of_gauss_newton(face: int, reg_factor: float, iterations: int) -> None:
    points = faces()[face]
    found = params_from_landmarks(PDM, points, reg_factor=reg_factor, max_iterations=iterations)
    np.testing.assert_allclose(found, nearest(points, reg_factor, iterations), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("reg_factor", [1.0, 25.0])
def test_a_start_from_landmarks_is_near_the_likeliest_shape(reg_factor: float) -> None:
    """SciPy finds the minimum of the same sum of squares, from derivatives of its own."""
    points = faces()[1]

    def misfit(params: np.ndarray) -> np.ndarray:
        there = (points - reference.project(PDM, params)).ravel()
        return np.concatenate([there, params[6:] * np.sqrt(reg_factor / PDM.variances)])

    found = params_from_landmarks(PDM, points, reg_factor=reg_factor)
    best = optimize.least_squares(misfit, true_params(), x_scale=np.array([1, 1, 1, 1, 100, 100, 10, 10, 10, 10.0]))
    assert (misfit(found) ** 2).sum() <= 2 * best.cost * (1 + 2e-4)


def test_the_clamp_of_a_start_from_landmarks_can_be_chosen() -> None:
    points = faces()[2]
    for sigmas in (1.0, 3.0):
        found = params_from_landmarks(PDM, points, clamp_sigmas=sigmas)
        assert found[6] == pytest.approx(sigmas * math.sqrt(PDM.variances[0]))


def test_a_perturbation_shifts_and_resizes_the_face_about_the_middle_of_its_box() -> None:
    initial = initial_from_params(tiny_model(), true_params())
    old = landmarks(PDM, initial.params)
    x, y, width, height = box_around(old)
    middle = np.array([x + width / 2, y + height / 2])
    found = []
    for seed in range(400):
        there = perturbed(tiny_model(), initial, seed, amount=0.2)
        stretch = there.params[0] / initial.params[0] - 1
        new_x, new_y, new_width, new_height = there.box
        shift = np.array([new_x + new_width / 2, new_y + new_height / 2]) - middle
        expected = middle + shift + (old - middle) * (1 + stretch)
        np.testing.assert_allclose(landmarks(PDM, there.params), expected, rtol=0, atol=1e-9)
        found.append((*(shift / (width, height) / 0.2), stretch / 0.2))
    for drawn in np.array(found).T:
        assert stats.kstest(drawn, "uniform", args=(-1, 2)).pvalue > 0.01
    assert np.abs(np.corrcoef(np.array(found).T) - np.eye(3)).max() < 0.15, "each is drawn by itself"


def test_a_perturbation_of_the_rotation_is_even_to_both_sides() -> None:
    initial = initial_from_params(tiny_model(), true_params())
    drawn = [perturbed(tiny_model(), initial, seed, 0.0, 0.3).params[1:4] - initial.params[1:4] for seed in range(400)]
    for angles in np.array(drawn).T:
        assert stats.kstest(angles / 0.3, "uniform", args=(-1, 2)).pvalue > 0.01
    assert np.abs(np.corrcoef(np.array(drawn).T) - np.eye(3)).max() < 0.15


def test_the_detector_is_set_as_openface_sets_it() -> None:
    """Steps of 1.2, two answers at least, faces of 50 px at least: in small copies of a portrait each decides."""
    cascade = cv2.CascadeClassifier(str(_cascade_file()))
    counts = dict.fromkeys(("as it is", "finer steps", "more answers", "fewer answers", "only large", "even small"), 0)
    for width in range(70, 170, 2):
        portrait = grace_hopper()
        small = cv2.resize(
            portrait, (width, width * portrait.shape[0] // portrait.shape[1]), interpolation=cv2.INTER_AREA
        )
        small = cv2.GaussianBlur(small, (0, 0), 1.2)
        found = detect_faces(small)
        settings = ((1.2, 2, 50), (1.1, 2, 50), (1.2, 3, 50), (1.2, 1, 50), (1.2, 2, 60), (1.2, 2, 40))
        raw = [cascade.detectMultiScale(small, step, answers, 0, (size, size)) for step, answers, size in settings]
        expected = sorted((x + 0.0578 * w, y + 0.2166 * h, 0.8924 * w, 0.8676 * h) for x, y, w, h in map(tuple, raw[0]))
        np.testing.assert_allclose(np.array(sorted(found)).reshape(-1, 4), np.array(expected).reshape(-1, 4), atol=1e-9)
        for name, boxes in zip(counts, raw, strict=True):
            counts[name] += len(boxes)
    assert all(counts[name] != counts["as it is"] for name in list(counts)[1:]), counts
