"""CCNF training: the gradient, the likelihood itself, targets, Laplacian, and one expert that learns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from clnf_engine.training.ccnf import (
    Expert,
    confidence,
    grid_laplacian,
    negative_log_likelihood,
    predicted,
    train_expert,
)
from clnf_engine.training.crops import patches, targets
from clnf_engine.training.recipe import Recipe

SMALL = Recipe(neurons=3, support=3, training_window=5, weight_decay=1e-3, likeness=0.5)


@pytest.fixture
def problem() -> tuple[Expert, np.ndarray, np.ndarray, np.ndarray]:
    """An expert of three neurons, patches of 120 windows of 5×5, targets, and two components."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((120 * 25, 9))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expert = Expert(3 * rng.standard_normal((3, 9)), np.array([-1.0, 0.3, 0.8]), 1.7, np.array([2.0, 0.4]))
    components = np.stack([grid_laplacian(5), np.diag(np.arange(25.0))])
    return expert, rows, rng.random((120, 25)), components


def test_gradient_agrees_with_finite_differences(problem: tuple[Expert, np.ndarray, np.ndarray, np.ndarray]) -> None:
    expert, rows, wanted, components = problem
    vector = expert.vector()
    _, gradient = negative_log_likelihood(vector, rows, wanted, components, SMALL)
    step = 1e-6
    numeric = np.empty_like(vector)
    for i in range(len(vector)):
        ends = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[i] += sign * step
            ends.append(negative_log_likelihood(moved, rows, wanted, components, SMALL)[0])
        numeric[i] = (ends[0] - ends[1]) / (2 * step)
    assert np.abs(gradient).min() > 1e-6
    assert gradient == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_value_is_the_gaussian_likelihood(problem: tuple[Expert, np.ndarray, np.ndarray, np.ndarray]) -> None:
    expert, rows, wanted, components = problem
    free = Recipe(neurons=3, support=3, training_window=5, weight_decay=0, likeness=0)
    value, _ = negative_log_likelihood(expert.vector(), rows, wanted, components, free)
    precision = 2 * (3 * expert.alpha * np.eye(25) + np.tensordot(expert.betas, components, axes=1))
    means = predicted(expert, rows, 25, components)
    logs = [multivariate_normal.logpdf(y, m, np.linalg.inv(precision)) for y, m in zip(wanted, means, strict=True)]
    assert value * wanted.size == pytest.approx(-np.sum(logs) - wanted.size * np.log(2 * np.pi) / 2)


def test_vector_and_expert_are_inverse(problem: tuple[Expert, np.ndarray, np.ndarray, np.ndarray]) -> None:
    expert = problem[0]
    again = Expert.from_vector(expert.vector(), 3, 2)
    assert np.array_equal(again.theta, expert.theta)
    assert np.array_equal(again.bias, expert.bias)
    assert [again.alpha, *again.betas] == pytest.approx([expert.alpha, *expert.betas])


@pytest.mark.parametrize("window", [3, 7])
def test_laplacian_sums_squared_differences_of_neighbours(window: int) -> None:
    response = np.random.default_rng(0).normal(size=(window, window))
    wanted = np.sum(np.diff(response, axis=0) ** 2) + np.sum(np.diff(response, axis=1) ** 2)
    assert response.ravel() @ grid_laplacian(window) @ response.ravel() == pytest.approx(wanted)


def test_target_is_a_bump_at_the_landmark() -> None:
    bump = targets(np.array([[2.0, -1.0], [0.0, 30.0]]), 9, 1.0).reshape(2, 9, 9)
    assert np.unravel_index(bump[0].argmax(), (9, 9)) == (3, 6)  # row 4 − 1, column 4 + 2
    assert bump[0].max() == 1
    assert bump[1].max() < 1e-100  # far outside


def test_patches_have_zero_mean_and_unit_norm_or_are_flat() -> None:
    crops = np.random.default_rng(0).uniform(0, 255, (4, 13, 13)).astype(np.float32)
    crops[3] = 77
    rows = patches(crops, 11).reshape(4, 9, 121)
    assert rows.mean(axis=2) == pytest.approx(np.zeros((4, 9)), abs=1e-6)
    assert np.linalg.norm(rows, axis=2)[:3] == pytest.approx(np.ones((3, 9)), abs=1e-5)
    assert not rows[3].any()


def blobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy crops with a dark blob at the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-3, 3, (count, 2))
    grid = np.arange(19) - 9.0
    distance = (grid - truth[:, 1:])[:, :, None] ** 2 + (grid - truth[:, :1])[:, None, :] ** 2
    crops = 150 - 100 * np.exp(-distance / 8) + rng.normal(0, 8, (count, 19, 19))
    return crops.astype(np.float32), truth


def test_an_expert_learns_to_find_a_blob() -> None:
    recipe = Recipe(neurons=2, iterations=30, refinements=3)
    crops, truth = blobs(60, seed=0)
    expert = train_expert(crops, truth, recipe, seed=0)
    unseen = blobs(30, seed=1)
    assert confidence(expert, *unseen, recipe) > 0.9
    assert np.abs(expert.theta.mean(axis=1)).max() < 1e-12
    refined = train_expert(crops, truth, recipe, seed=0, start=expert)
    assert confidence(refined, *unseen, recipe) > 0.9


def test_confidence_is_never_zero() -> None:
    silent = Expert(np.zeros((2, 121)), np.full(2, -50.0), 1.0, np.array([1.0]))
    assert confidence(silent, *blobs(3, seed=0), Recipe(neurons=2)) == 0.01


def test_training_begins_even_without_a_positive_patch() -> None:
    crops, truth = blobs(4, seed=0)
    expert = train_expert(crops, truth + 40, Recipe(neurons=2, iterations=3), seed=0)
    assert np.isfinite(expert.vector()).all()
