"""PDM training: scale, symmetry, orthonormal modes, and how much of the training shapes they keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clnf_engine import load_model
from clnf_engine.errors import ClnfError
from clnf_engine.ibug68 import LEFT_EYE, MIRROR, RIGHT_EYE, mirrored
from clnf_engine.pdm import PDM, rotation_matrix
from clnf_engine.training.annotations import Face
from clnf_engine.training.pdm import PUPIL_DISTANCE, pdm_from_shapes, train_pdm

N = 40


@pytest.fixture(scope="module")
def shapes() -> np.ndarray:
    """Random faces in random poses and sizes."""
    pdm, rng = load_model().pdm, np.random.default_rng(1)
    result = []
    for _ in range(N):
        q = np.sqrt(pdm.variances) * rng.standard_normal(pdm.n_modes)
        upright = (pdm.mean + pdm.modes @ q).reshape(3, -1)
        turned = rng.uniform(0.5, 3) * rotation_matrix(rng.uniform(-0.4, 0.4, 3)) @ upright
        result.append(turned.T + rng.uniform(-50, 50, 3))
    return np.stack(result)


@pytest.fixture(scope="module")
def pdm(shapes: np.ndarray) -> PDM:
    return pdm_from_shapes(shapes)


def mirrored_vector(vector: np.ndarray) -> np.ndarray:
    return mirrored(vector.reshape(3, -1).T).T.ravel()


def test_mean_has_its_size_place_and_symmetry(pdm: PDM) -> None:
    mean = pdm.mean.reshape(3, -1).T
    pupils = mean[RIGHT_EYE].mean(axis=0) - mean[LEFT_EYE].mean(axis=0)
    assert pupils == pytest.approx([PUPIL_DISTANCE, 0, 0], abs=1e-9)
    assert mean.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-9)
    assert mirrored_vector(pdm.mean) == pytest.approx(pdm.mean, abs=1e-9)
    assert mean[8, 1] > mean[30, 1] > mean[27, 1]  # y down
    assert mean[30, 2] < mean[0, 2]  # smaller z nearer


def test_modes_are_orthonormal_and_each_symmetric_or_antisymmetric(pdm: PDM) -> None:
    assert pdm.modes.T @ pdm.modes == pytest.approx(np.eye(pdm.n_modes), abs=1e-9)
    assert (np.diff(pdm.variances) <= 0).all()
    assert (pdm.variances > 0).all()
    for mode in pdm.modes.T[:10]:
        x, y, z = mode.reshape(3, -1)
        reflected = np.concatenate([-x[MIRROR], y[MIRROR], z[MIRROR]])
        assert abs(reflected @ mode) == pytest.approx(1, abs=1e-6)


def test_modes_keep_the_share_of_variance_asked_for(shapes: np.ndarray) -> None:
    """Shapes come back from the modes with the residual that the dropped variance predicts."""
    full = pdm_from_shapes(shapes, 1.0)
    for share in (0.8, 0.98):
        pdm = pdm_from_shapes(shapes, share)
        assert share <= pdm.variances.sum() / full.variances.sum() < share + 0.1
        residuals = []
        for shape in shapes:
            aligned = align(shape, full.mean.reshape(3, -1).T).T.ravel() - full.mean
            residuals.append(np.sum((aligned - pdm.modes @ (pdm.modes.T @ aligned)) ** 2))
        dropped = full.variances.sum() - pdm.variances.sum()
        assert np.mean(residuals) == pytest.approx(dropped, rel=0.1)


def align(shape: np.ndarray, mean: np.ndarray) -> np.ndarray:
    centred = shape - shape.mean(axis=0)
    u, _, vt = np.linalg.svd(centred.T @ mean)
    turned = centred @ u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return turned * np.vdot(mean, mean) / np.vdot(turned, mean)


def test_pose_and_size_of_the_training_shapes_do_not_matter(shapes: np.ndarray, pdm: PDM) -> None:
    rng = np.random.default_rng(2)
    moved = np.stack([3 * s @ rotation_matrix(rng.uniform(-0.2, 0.2, 3)).T + 7 for s in shapes])
    other = pdm_from_shapes(moved)
    assert other.variances == pytest.approx(pdm.variances, rel=1e-3)
    assert np.abs(other.mean - pdm.mean).max() < 3  # the mean's pitch is the average pitch


def test_too_few_faces_with_depth() -> None:
    faces = [Face("a", Path("a.png"), np.zeros((68, 2)))] * 5
    with pytest.raises(ClnfError, match=r"0 of 5 faces have depth \(\.xyz\); a PDM needs at least 3"):
        train_pdm(faces)
