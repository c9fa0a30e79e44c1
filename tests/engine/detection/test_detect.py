"""Parts, hypotheses and the validator against the C++ (the README of shared ``golden_detector`` names the arrays)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import DetectionOptions, FitOptions, Model, detect, initial_from_box, load_model
from clnf_engine.detection.detect import Detection, hypothesis_start
from clnf_engine.initial import turned
from clnf_engine.pdm import landmarks, rotation_matrix

SHARED = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[3].parent / "shared")
GOLDENS = SHARED / "golden_detector"
PARTS = sorted(GOLDENS.glob("*_parts_*.npz"))
MULTIVIEW = sorted(GOLDENS.glob("*_multiview_*.npz"))
if not PARTS:
    pytest.skip(f"{GOLDENS} holds no results", allow_module_level=True)

PX, LIKELIHOOD = 1e-3, 1e-5
"""What is asked for; float32 of the C++ makes up to 5e-5 px and 1e-6."""


@cache
def golden(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


@cache
def openface(name: str) -> Model:
    return load_model(SHARED / "openface" / name)


def detected(g: dict[str, Any], **changes: Any) -> Detection:
    model = openface(str(g["model"]))
    options = FitOptions(
        windows=tuple(map(int, g["windows"])),
        max_iterations=int(g["max_iterations"]),
        sigma=float(g["sigma"]),
        reg_factor=float(g["reg_factor"]),
        weight_factor=float(g["weight_factor"]),
        adapt_per_scale=bool(g["adapt_per_scale"]),
    )
    choices = {
        "parts": bool(g["hierarchical_parts"]),
        "eye_parts": bool(g["eye_parts"]),
        "hypotheses": bool(g["multi_view"]),
        "validate": False,
    }
    initial = initial_from_box(model, tuple(g["box"].tolist()), tuple(g["init_rotation"].tolist()))
    return detect(g["gray"], model, initial, options, DetectionOptions(**{**choices, **changes}))


def assert_final(result: Detection, g: dict[str, Any]) -> None:
    np.testing.assert_allclose(result.landmarks, g["final_landmarks"], rtol=0, atol=PX)
    np.testing.assert_allclose(result.params_global, g["final_global"], rtol=0, atol=PX)
    np.testing.assert_allclose(result.params_local, g["final_local"], rtol=0, atol=PX)
    assert result.likelihood == pytest.approx(float(g["final_likelihood"]), abs=LIKELIHOOD)
    assert result.success == bool(g["final_success"])
    assert result.certainty == (-1 if result.success else 1)


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.stem)
def test_parts_are_those_of_the_cpp(path: Path) -> None:
    g = golden(path)
    result = detected(g)
    assert_final(result, g)
    np.testing.assert_allclose(result.trace.landmarks, g["main_landmarks"], rtol=0, atol=PX)
    for name in ("inner", "left_eye_28", "right_eye_28"):
        if not g.get(f"{name}/considered", False):
            assert name not in result.parts
            continue
        part = result.parts[name]
        pdm = part.part.model.pdm
        start = landmarks(pdm, part.start.params)
        np.testing.assert_allclose(start, g[f"{name}/start_landmarks"], rtol=0, atol=PX)
        np.testing.assert_allclose(part.start.params[:6], g[f"{name}/start_global"], rtol=0, atol=PX)
        assert (part.trace is not None) == bool(g[f"{name}/fitted"])
        if part.trace is None:
            np.testing.assert_array_equal(part.landmarks, start)
            continue
        np.testing.assert_allclose(part.landmarks, g[f"{name}/end_landmarks"], rtol=0, atol=PX)
        np.testing.assert_allclose(part.params[:6], g[f"{name}/end_global"], rtol=0, atol=PX)
        likelihood = np.nan if part.likelihood is None else part.likelihood  # the C++ has none either, then
        np.testing.assert_allclose(likelihood, g[f"{name}/end_likelihood"], rtol=0, atol=LIKELIHOOD)
    assert (result.merged is not None) == bool(g["parts_used"])
    if result.merged is not None:
        np.testing.assert_allclose(result.merged, g["merged_landmarks"], rtol=0, atol=PX)


@pytest.mark.parametrize("path", MULTIVIEW, ids=lambda path: path.stem)
def test_hypotheses_are_those_of_the_cpp(path: Path) -> None:
    g = golden(path)
    result = detected(g)
    assert_final(result, g)
    assert result.chosen == int(g["chosen"])
    for k, hypothesis in enumerate(result.hypotheses):
        np.testing.assert_allclose(hypothesis.rotation, g["hypothesis_rotations"][k], rtol=0, atol=1e-6)
        start = hypothesis.trace.initial.params[:6]
        np.testing.assert_allclose(start, g["hypothesis_start_global"][k], rtol=0, atol=1e-6)
        assert hypothesis.likelihood == pytest.approx(float(g["hypothesis_likelihood"][k]), abs=LIKELIHOOD)
        if g["hypothesis_sensitivity_px"][k] < PX:
            np.testing.assert_allclose(hypothesis.landmarks, g["hypothesis_landmarks"][k], rtol=0, atol=PX)
    for name, part in result.parts.items():
        np.testing.assert_allclose(part.landmarks, g[f"{name}/final_landmarks"], rtol=0, atol=PX)
        theirs = g[f"{name}/hypothesis_likelihood"]
        for k, hypothesis in enumerate(result.hypotheses):
            if (likelihood := hypothesis.parts[name].likelihood) is not None:
                assert likelihood == pytest.approx(float(theirs[k]), abs=LIKELIHOOD)


def test_the_validator_is_that_of_the_cpp(openface_model: Model) -> None:
    assert openface_model.validator is not None
    for path in sorted(GOLDENS.glob("*_validator.npz")):
        g = golden(path)
        for name, rotation, points, view, certainty in zip(
            g["name"], g["rotation"], g["landmarks"], g["view"], g["certainty"], strict=True
        ):
            assert openface_model.validator.nearest_view(rotation) == view
            ours = openface_model.validator.certainty(golden(GOLDENS / str(name))["gray"], rotation, points)
            assert ours == pytest.approx(float(certainty), abs=1e-4)


@pytest.mark.parametrize("row", [0, 1])
def test_the_validator_decides_on_success(row: int) -> None:
    (path,) = GOLDENS.glob("dev_validator.npz")
    g = golden(path)
    case = golden(GOLDENS / str(g["name"][row]))
    result = detected({**case, "box": g["box"][row]}, validate=True)
    assert result.validated
    assert result.success == bool(g["success"][row])
    assert ("no face" in result.message) == (not result.success)


# --- beyond OpenFace ------------------------------------------------------------------------------


CASE = GOLDENS / "dev_multiview_sample2.npz"


def test_an_upright_start_has_openface_s_hypotheses_and_a_tilted_one_turns_with_them() -> None:
    model = openface("main_clnf_general.txt")
    initial = initial_from_box(model, tuple(golden(CASE)["box"].tolist()))
    tilt = np.radians(30)
    tilted = turned(model, initial, (0.0, 0.0, tilt))
    about = rotation_matrix(np.array([0.0, 0.0, tilt]))
    x, y, width, height = initial.box
    middle = np.array([x + width / 2, y + height / 2])
    for rotation in ((0.0, 0.5236, 0.0), (-0.5236, 0.0, 0.0)):
        upright, both = (hypothesis_start(model, start, rotation) for start in (initial, tilted))
        assert both.params[0] == pytest.approx(upright.params[0], rel=1e-12)
        np.testing.assert_allclose(
            rotation_matrix(both.params[1:4]), about @ rotation_matrix(upright.params[1:4]), rtol=0, atol=1e-12
        )
        shapes = [landmarks(model.pdm, start.params) - middle for start in (upright, both)]
        np.testing.assert_allclose(shapes[1], shapes[0] @ about[:2, :2].T, rtol=0, atol=1e-9)
        assert both.box == pytest.approx(initial.box, abs=1e-9)


def test_mended_slips_change_starts_of_eyes_little_and_the_parts_handed_out() -> None:
    (path,) = GOLDENS.glob("dev_multiview_H000874_x1.6_parts.npz")
    g = golden(path)
    as_openface, mended = detected(g), detected(g, mend_slips=True)
    assert mended.chosen == as_openface.chosen
    assert all(mended.parts[name] is part for name, part in mended.hypothesis.parts.items())
    for name, part in mended.parts.items():
        same = as_openface.hypothesis.parts[name]
        difference = np.abs(part.start.params - same.start.params).max()
        assert (difference > 1e-9) == (name != "inner")  # all of the inner landmarks are known
        assert np.abs(part.landmarks - same.landmarks).max() < 0.5


def test_without_parts_a_detection_is_the_fit() -> None:
    g = golden(CASE)
    result = detected(g, hypotheses=False, parts=False, eye_parts=True)
    assert result.parts == {}
    assert result.merged is None
    np.testing.assert_array_equal(result.landmarks, result.trace.landmarks)
