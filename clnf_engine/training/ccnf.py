"""CCNF patch expert training by exact conditional likelihood.

Baltrušaitis, Robinson, Morency, "Continuous conditional neural fields for structured regression", ECCV 2014, §3;
ICCVW 2013, eq. 3–8. The response map y of a window given its patches x is Gaussian,

    log p(y|x) = −½·yᵀP·y + yᵀb − ½·bᵀP⁻¹b + ½·log|P| − …   with   P = 2(Kα·I + Σ_j β_j·L_j),   b = 2α·Σ_k h_k,

where h_k is the logistic answer of neuron k. All K neurons share one α: the mean P⁻¹b weighs neurons by α, and free
alphas end with all but one of them at zero. P is common to all windows, so nothing needs to be approximated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from clnf_engine.arrays import Floats, read_only
from clnf_engine.training.crops import patches, targets
from clnf_engine.training.recipe import Recipe

_START_NORM, _START_BIAS, _START_SUM_ALPHA, _START_BETA = 15.0, -5.0, 20.0, 2.0
"""Where the optimiser starts; random neurons of large norm never answer, of small norm they stall."""

_LOG_BOUNDS = (-9.0, 6.0)
"""Of log α and log β, which would overflow on their way; below −9.2, a fit takes a neuron for silent."""

_KMEANS_ROUNDS = 10

_CHUNK = 96
"""Windows taken at a time, so that their patches are still in the cache when the gradient needs them again."""


@dataclass(frozen=True, eq=False)
class Expert:
    """A trained patch expert.

    Attributes
    ----------
    theta : (K, support²) float64
        Neurons, each with zero mean; their norms are the slopes of their answers to the NCC.
    bias : (K,) float64
    alpha : float
        Of every neuron.
    betas : (C,) float64
        Of every Sigma component.
    """

    theta: Floats
    bias: Floats
    alpha: float
    betas: Floats

    def vector(self) -> Floats:
        """As the optimiser sees it: θ, bias, log α, log β."""
        logs = np.log(np.concatenate([[self.alpha], self.betas]))
        return np.concatenate([self.theta.ravel(), self.bias, logs])

    def mirrored(self) -> Expert:
        """The expert of the landmark on the other side."""
        side = math.isqrt(self.theta.shape[1])
        theta = self.theta.reshape(-1, side, side)[:, :, ::-1].reshape(self.theta.shape)
        return Expert(read_only(theta), self.bias, self.alpha, self.betas)

    @staticmethod
    def from_vector(vector: Floats, neurons: int, betas: int) -> Expert:
        """The inverse of `vector`."""
        theta, bias, logs = np.split(vector, [len(vector) - neurons - 1 - betas, len(vector) - 1 - betas])
        alpha, *rest = np.exp(logs)
        return Expert(theta.reshape(neurons, -1), bias, float(alpha), np.array(rest))


def grid_laplacian(window: int) -> Floats:
    """Laplacian of the grid of a response map's cells, each joined to its four neighbours.

    It is the sum of squared differences of neighbouring responses written as a quadratic form: the only similarity
    term that does not train to zero.

    Parameters
    ----------
    window : int

    Returns
    -------
    (window², window²) float64
    """
    path = 2 * np.eye(window) - np.eye(window, k=1) - np.eye(window, k=-1)
    path[0, 0] = path[-1, -1] = 1
    result: Floats = np.kron(path, np.eye(window)) + np.kron(np.eye(window), path)
    return result


def negative_log_likelihood(
    vector: Floats, rows: NDArray[np.float32], wanted: Floats, components: Floats, recipe: Recipe
) -> tuple[float, Floats]:
    """Penalised mean negative log likelihood per response cell, and its gradient.

    Parameters
    ----------
    vector : (p,) float64
        From `Expert.vector`.
    rows : (N·c, d) float32 or float64
        Patches of N windows of c cells, from `patches`.
    wanted : (N, c) float64
        Target responses.
    components : (C, c, c) float64
        The L_j.
    recipe : Recipe
        Its number of neurons and penalties.

    Returns
    -------
    value : float
    gradient : (p,) float64
    """
    count, cells = wanted.shape
    expert = Expert.from_vector(vector, recipe.neurons, len(components))
    precision = 2 * np.tensordot(expert.betas, components, axes=1)
    precision[np.diag_indices(cells)] += 2 * recipe.neurons * expert.alpha
    sigma = np.linalg.inv(precision)
    neurons, bias = expert.theta.T.astype(rows.dtype), expert.bias.astype(rows.dtype)
    gradient = np.zeros(len(vector))
    by_theta, by_bias = gradient[: expert.theta.size].reshape(expert.theta.shape), gradient[expert.theta.size :]
    value, by_alpha = -0.5 * count * float(np.linalg.slogdet(precision)[1]), 0.0
    by_precision = -0.5 * count * sigma
    for first in range(0, count, _CHUNK):
        here = slice(first * cells, (first + _CHUNK) * cells)
        target = wanted[first : first + _CHUNK]
        answers = rows[here] @ neurons
        answers += bias
        expit(answers, out=answers)
        heard = answers.sum(axis=1, dtype=np.float64).reshape(-1, cells)
        mean = 2 * expert.alpha * heard @ sigma
        error = target - mean
        value += 0.5 * float(np.vdot(target @ precision, target))
        value += 2 * expert.alpha * float(np.vdot(heard, 0.5 * mean - target))
        by_precision += 0.5 * (target.T @ target - mean.T @ mean)
        by_alpha -= 2 * float(np.vdot(error, heard))
        answers *= 1 - answers
        answers *= (-2 * expert.alpha * error).astype(rows.dtype).reshape(-1, 1)
        by_theta += answers.T @ rows[here]
        by_bias[: recipe.neurons] += answers.sum(axis=0, dtype=np.float64)
    by_alpha += 2 * recipe.neurons * float(np.trace(by_precision))
    by_betas = 2 * np.tensordot(components, by_precision, axes=2)
    gradient[expert.theta.size + recipe.neurons :] = expert.alpha * by_alpha, *(expert.betas * by_betas)
    gradient /= wanted.size
    penalty, decay = _penalty(expert.theta, recipe)
    by_theta += decay
    return value / wanted.size + penalty, gradient


def _penalty(theta: Floats, recipe: Recipe) -> tuple[float, Floats]:
    """Weight decay, and the mean squared cosine between neurons, which else become copies of each other."""
    value = recipe.weight_decay * float(np.vdot(theta, theta))
    gradient = 2 * recipe.weight_decay * theta
    pairs = len(theta) * (len(theta) - 1)
    if pairs:
        norms = np.linalg.norm(theta, axis=1, keepdims=True)
        unit = theta / norms
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, 0)
        value += recipe.likeness * float(np.sum(cosines**2)) / pairs
        by_unit = 4 * recipe.likeness / pairs * (cosines @ unit)
        gradient += (by_unit - unit * np.sum(by_unit * unit, axis=1, keepdims=True)) / norms
    return value, gradient


def train_expert(
    crops: NDArray[np.float32], truth: Floats, recipe: Recipe, seed: int, start: Expert | None = None
) -> Expert:
    """Train a patch expert.

    Parameters
    ----------
    crops : (N, side, side) float32
        Around the landmark, from `sample_crops`.
    truth : (N, 2) float64
        The landmark from each crop's centre, reference px.
    recipe : Recipe
    seed : int
        Of the start.
    start : Expert, optional
        Refine this one; else begin with k-means of the patches at the landmark.

    Returns
    -------
    Expert
    """
    rows = patches(crops, recipe.support)
    wanted = targets(truth, recipe.training_window, recipe.bump)
    components = grid_laplacian(recipe.training_window)[None]
    steps = recipe.iterations if start is None else recipe.refinements
    first = start or _start(rows, wanted, recipe, seed)
    free = recipe.neurons * (recipe.support**2 + 1)
    result = minimize(
        negative_log_likelihood,
        first.vector(),
        args=(rows, wanted, components, recipe),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None)] * free + [_LOG_BOUNDS] * (1 + len(components)),
        options={"maxiter": steps},
    )
    return _zero_mean(Expert.from_vector(result.x, recipe.neurons, len(components)))


def _zero_mean(expert: Expert) -> Expert:
    """The same expert; its patches have zero mean, so that of a neuron means nothing."""
    theta = expert.theta - expert.theta.mean(axis=1, keepdims=True)
    return Expert(read_only(theta), read_only(expert.bias.copy()), expert.alpha, read_only(expert.betas))


def _start(rows: NDArray[np.float32], wanted: Floats, recipe: Recipe, seed: int) -> Expert:
    """Neurons that are the k-means centres of the patches nearest to the landmark."""
    near = rows[np.flatnonzero(wanted.ravel() > 0.75)].astype(np.float64)
    rng = np.random.default_rng(seed)
    if len(near) < recipe.neurons:
        near = rng.standard_normal((recipe.neurons, rows.shape[1]))
    centres = near[rng.choice(len(near), recipe.neurons, replace=False)]
    for _ in range(_KMEANS_ROUNDS):
        nearest = np.argmax(near @ centres.T, axis=1)
        for k in range(recipe.neurons):
            if (nearest == k).any():
                centres[k] = near[nearest == k].mean(axis=0)
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return Expert(
        _START_NORM * centres,
        np.full(recipe.neurons, _START_BIAS),
        _START_SUM_ALPHA / recipe.neurons,
        np.array([_START_BETA]),
    )


def predicted(expert: Expert, rows: NDArray[np.float32], cells: int, components: Floats) -> Floats:
    """Response maps μ = P⁻¹b, (N, cells), of windows of patches."""
    answers = expit(rows @ expert.theta.T.astype(rows.dtype) + expert.bias.astype(rows.dtype))
    heard = answers.sum(axis=1, dtype=np.float64).reshape(-1, cells)
    precision = np.tensordot(expert.betas, components, axes=1)
    precision[np.diag_indices(cells)] += len(expert.bias) * expert.alpha
    result: Floats = expert.alpha * np.linalg.solve(precision, heard.T).T
    return result


def confidence(expert: Expert, crops: NDArray[np.float32], truth: Floats, recipe: Recipe) -> float:
    """Correlation of an expert's responses with the targets, on faces it was not trained on.

    Parameters
    ----------
    expert : Expert
    crops, truth
        As for `train_expert`.
    recipe : Recipe

    Returns
    -------
    float
        From `MIN_CONFIDENCE` to 1.
    """
    window = recipe.training_window
    wanted = targets(truth, window, recipe.bump)
    answer = predicted(expert, patches(crops, recipe.support), window**2, grid_laplacian(window)[None])
    a, b = answer.ravel() - answer.mean(), wanted.ravel() - wanted.mean()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(float(a @ b) / length, MIN_CONFIDENCE) if length > 0 else MIN_CONFIDENCE


MIN_CONFIDENCE = 0.01
"""Of an expert that has learnt nothing; zero would take the landmark out of weighted fits."""
