"""The shipped model: it loads, is small, fits real photographs, and behaves like a CLNF model under the debugger."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from clnf_engine import Phase, Trace, fit, initials_from_detector, load_model, preset
from clnf_engine.ibug68 import MIRROR, mirrored
from clnf_engine.model import Model
from clnf_engine.moments import response_maps
from clnf_engine.operations import Functions
from clnf_engine.sigma import sigma_matrices
from clnf_engine.training.annotations import read_annotations, select
from clnf_engine.training.evaluate import Start, evaluate

from .portrait import grace_hopper

PHOTOS = ("grace_hopper", "astronaut")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def photo(name: str) -> np.ndarray:
    if name == "grace_hopper":
        return grace_hopper()
    data = pytest.importorskip("skimage.data", reason="scikit-image is in the test extra")
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module", params=PHOTOS)
def trace(request: pytest.FixtureRequest, model: Model) -> Trace:
    image = photo(request.param)
    return fit(image, model, initials_from_detector(model, image)[0])


def test_it_is_the_default_and_has_a_name(model: Model) -> None:
    assert model.name == "main_portrait68"
    assert load_model("portrait68").path == model.path
    assert [scale.patch_scaling for scale in model.scales] == [0.18, 0.35, 0.5]
    assert all(set(scale.sigma_components) == {7, 9, 11, 15} for scale in model.scales)
    assert model.n_landmarks == 68


def test_it_has_a_frontal_view_and_four_others_that_mirror_each_other(model: Model) -> None:
    for scale in model.scales:
        assert scale.view_centres_degrees.tolist() == [[0, 0, 0], [0, 20, 0], [0, -20, 0], [15, 0, 0], [-15, 0, 0]]
        front, left, right, down, up = scale.views
        assert all(view.visible.all() for view in (front, down, up))
        assert not left.visible[:5].any() and left.visible[7:].all()  # the far side of the jaw
        assert np.array_equal(right.visible, left.visible[MIRROR])
        assert np.array_equal(right.weights, left.weights[MIRROR][..., ::-1])


def test_it_is_small_and_has_a_card(root: Path) -> None:
    folder = root / "models" / "portrait68"
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 4_000_000
    card = " ".join((folder / "MODEL_CARD.md").read_text("utf-8").lower().split())
    told = ("public domain", "mediapipe", "licence", "seed 0", "make train", "haar", "yaw", "occlusion")
    assert [words for words in told if words not in card] == []


def test_its_pdm_is_a_face(model: Model) -> None:
    mean = model.pdm.mean.reshape(3, -1).T
    assert np.ptp(mean, axis=0)[:2] == pytest.approx([148, 144], abs=5)
    assert mirrored(mean) == pytest.approx(mean, abs=1e-6)
    assert model.pdm.modes.T @ model.pdm.modes == pytest.approx(np.eye(model.pdm.n_modes), abs=1e-9)


def test_it_fits_real_photographs(trace: Trace) -> None:
    x, y, width, height = trace.initial.box
    points = trace.landmarks
    assert trace.success
    assert (points > np.array([x, y]) - 0.15 * np.array([width, height])).all()
    assert (points < np.array([x + width, y + height]) + 0.15 * np.array([width, height])).all()
    brows, eyes, nose, mouth, chin = (points[r, 1].mean() for r in (slice(17, 27), slice(36, 48), 33, slice(48, 68), 8))
    assert brows < eyes < nose < mouth < chin
    left, right = points[36:42, 0].mean(), points[42:48, 0].mean()
    assert left < points[30, 0] < right


EYES = {"grace_hopper": ((222.0, 190.0), (306.0, 187.0)), "astronaut": ((203.0, 101.0), (247.0, 103.0))}
"""Centres of the eyes in px, by eye."""


@pytest.mark.parametrize("name", PHOTOS)
def test_eyes_are_where_a_person_sees_them(name: str, model: Model) -> None:
    image = photo(name)
    points = fit(image, model, initials_from_detector(model, image)[0]).landmarks
    found = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    for eye, truth in zip(found, EYES[name], strict=True):
        assert np.linalg.norm(eye - truth) < 0.1 * np.linalg.norm(found[1] - found[0])


def test_responses_have_the_magnitudes_of_a_clnf_model(trace: Trace, model: Model) -> None:
    for step in (step for step in trace.steps if step.phase is Phase.RESPONSES):
        assert step.responses is not None
        assert step.stage is not None
        raw, smooth = (r.max(axis=(1, 2)).mean() for r in (step.responses.raw, step.responses.after_sigma))
        assert 1 < raw < 100
        assert 20 < raw / smooth < 200
        sigma = sigma_matrices(model.scales[step.stage.patch_scale], 0, step.stage.window)
        assert sigma is not None
        assert 0.003 < np.median(np.diagonal(sigma, axis1=1, axis2=2)) < 0.03


def test_responses_are_weak_on_badly_initialised_landmarks(trace: Trace, model: Model) -> None:
    """0.3 eye distances too high, many landmarks answer far below their usual maximum."""
    fitted = trace.steps[-1].params
    shifted = fitted.copy()
    shifted[5] -= 0.3 * np.linalg.norm(trace.landmarks[45] - trace.landmarks[36])
    stage = trace.stages[1].stage
    there, away = (
        response_maps(trace.image, model, Functions(trace.options), stage, params).raw.max(axis=(1, 2))
        for params in (fitted, shifted)
    )
    assert away.mean() < 0.6 * there.mean()
    assert (away < 0.3 * there).mean() > 0.2


def test_neurons_are_not_copies_of_each_other(model: Model) -> None:
    for scale in model.scales:
        for view in scale.views:
            weights = view.weights[view.visible].reshape(-1, 5, 121)
            cosines = weights @ weights.swapaxes(1, 2)
            assert np.abs(cosines[:, *np.triu_indices(5, 1)]).mean() < 0.6


def test_the_wild_preset_works_too(model: Model) -> None:
    image = photo("grace_hopper")
    assert fit(image, model, initials_from_detector(model, image)[0], preset("openface-wild")).success


def test_training_faces_are_fitted(shared: Path, model: Model, root: Path) -> None:
    """A smoke test of the whole chain; what counts is the accuracy on unseen faces, in the model card."""
    names = (root / "models" / "portrait68" / "held_out.txt").read_text().split()[:20]
    faces = select(read_annotations(shared / "faces").faces, names)
    row = evaluate(faces, model, start=Start.DETECTOR).rows()["all"]
    assert row.mean < 2.6
    assert row.below[0] >= 95


def test_an_installed_package_finds_it(root: Path, tmp_path: Path) -> None:
    """A wheel has the models inside `clnf_engine`; so laid out, `load_model` finds its own."""
    shutil.copytree(root / "clnf_engine", tmp_path / "clnf_engine", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "models", tmp_path / "clnf_engine" / "models", ignore=shutil.ignore_patterns("*.work"))
    code = "import clnf_engine; print(clnf_engine.load_model().path)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip()).is_relative_to(tmp_path / "clnf_engine" / "models" / "portrait68")
