"""The engine against `reference`, a second implementation that shares no code with it, on a tiny made-up model.

Given the same sampled areas the two agree to rounding in float64. Areas themselves are float32 grey levels, which two
orders of interpolation round differently; with areas of its own the reference agrees to a few 1e-8 px.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Phase, Trace, fit
from clnf_engine.pdm import landmarks

from . import reference
from .tiny_model import INVISIBLE, start, tiny_image, tiny_model, true_landmarks

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "second-view-weights": (
        {"rotation": (0.05, 0.4, -0.1)},
        {"windows": (9, 7), "weight_factor": 2.5, "sigma": 1.25, "reg_factor": 35.0, "max_iterations": 8},
    ),
    "partly-outside-no-components": ({"dx": 45.0, "dy": -50.0}, {"windows": (7, 5), "reg_factor": 3.0}),
    "exact-kernel-tight-clamp": (
        {"stretch": 0.9},
        {"windows": (0, 9), "kernel": "exact", "clamp_sigmas": 0.02, "convergence_px": 0.8},
    ),
}


class Pair:
    """One fit by the engine, and by the reference from areas of its own and from the engine's areas."""

    def __init__(self, place: dict[str, Any], changes: dict[str, Any]) -> None:
        initial = start(**place)
        self.trace: Trace = fit(tiny_image(), tiny_model(), initial, FitOptions(**changes))
        self.responses = [step for step in self.trace.steps if step.phase is Phase.RESPONSES]
        areas = {step.stage.index: step.responses.area for step in self.responses}
        changes = changes | {"table": changes.get("kernel") != "exact"}
        changes.pop("kernel", None)
        params = reference.params_from_box(tiny_model().pdm, initial.box, place.get("rotation", (0, 0, 0)))
        np.testing.assert_allclose(initial.params, params, rtol=0, atol=1e-12)
        self.alone = reference.fit(tiny_image(), tiny_model(), params, **changes)
        self.given = reference.fit(tiny_image(), tiny_model(), params, areas, **changes)


@cache
def pair_of(name: str) -> Pair:
    return Pair(*CASES[name])


@pytest.fixture(params=CASES)
def pair(request: pytest.FixtureRequest) -> Pair:
    return pair_of(request.param)


def test_whole_fit(pair: Pair) -> None:
    for theirs, tolerance in ((pair.alone, 1e-6), (pair.given, 1e-9)):
        np.testing.assert_allclose(pair.trace.landmarks, theirs["landmarks"], rtol=0, atol=tolerance)
        np.testing.assert_allclose(pair.trace.steps[-1].params, theirs["params"], rtol=0, atol=tolerance)
        assert pair.trace.likelihood == pytest.approx(theirs["likelihood"], abs=tolerance)
        assert pair.trace.success is theirs["success"] is True


def test_stages(pair: Pair) -> None:
    assert len(pair.trace.stages) == len(pair.given["stages"])
    for ours, theirs in zip(pair.trace.stages, pair.given["stages"], strict=True):
        assert bool(ours.stage.skipped) is theirs["skipped"]
        if theirs["skipped"]:
            continue
        for name in ("view", "window"):
            assert getattr(ours.stage, name) == theirs[name]
        for name in ("sigma", "reg_factor", "weight_factor"):
            assert getattr(ours.stage, name) == pytest.approx(theirs[name], rel=1e-12)
        phases = [done["phase"] for done in theirs["iterations"]]
        assert (ours.rigid_iterations, ours.nonrigid_iterations) == (phases.count("rigid"), phases.count("nonrigid"))


def test_responses(pair: Pair) -> None:
    ran = [stage for stage in pair.given["stages"] if not stage["skipped"]]
    own = [stage for stage in pair.alone["stages"] if not stage["skipped"]]
    for step, stage, stage_alone in zip(pair.responses, ran, own, strict=True):
        ours, theirs = step.responses, stage["maps"]
        np.testing.assert_array_equal(ours.visible, theirs["visible"])
        for values, name in (
            (ours.base_shape, "base"),
            (ours.reference_shape, "upright"),
            (ours.image_to_reference, "to_reference"),
            (ours.raw, "raw"),
            (ours.after_sigma, "after_sigma"),
            (ours.shifted, "final"),
            (ours.final, "final"),
        ):
            np.testing.assert_allclose(values, theirs[name], rtol=0, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(ours.reference_to_image, theirs["to_image"], rtol=2e-7, atol=1e-12)
        np.testing.assert_allclose(ours.area, stage_alone["maps"]["area"], rtol=0, atol=1e-4)


def test_iterations(pair: Pair) -> None:
    ours = [step for step in pair.trace.steps if step.phase in (Phase.RIGID, Phase.NONRIGID)]
    theirs = [done for stage in pair.given["stages"] if not stage["skipped"] for done in stage["iterations"]]
    for step, done in zip(ours, theirs, strict=True):
        assert (step.phase, step.iteration) == (done["phase"], done["iteration"])
        for name in ("weights", "params", "landmarks", "delta"):
            np.testing.assert_allclose(getattr(step, name), done[name], rtol=0, atol=1e-9, err_msg=name)
        for name in ("jacobian", "hessian", "gradient"):
            largest = np.abs(done[name]).max()
            np.testing.assert_allclose(getattr(step, name), done[name], rtol=0, atol=1e-9 * largest, err_msg=name)
        visible = step.responses.visible
        for name in ("position", "kernel_sum", "reference", "image"):
            values, expected = getattr(step.mean_shift, name), done["mean_shift"][name]
            np.testing.assert_allclose(values[visible], expected[visible], rtol=0, atol=1e-9, err_msg=name)
        assert not step.mean_shift.reference[~visible].any() and not step.mean_shift.image[~visible].any()
        assert step.update_norm == pytest.approx(np.linalg.norm(done["delta"]), abs=1e-9)
        assert step.shape_change == pytest.approx(done["shape_change"], abs=1e-9)
        if step.likelihoods is not None:
            expected = done["mean_shift"]["likelihoods"]
            np.testing.assert_allclose(step.likelihoods, expected, rtol=0, atol=1e-9)
            assert step.likelihood == pytest.approx(done["likelihood"], abs=1e-9)
        assert step.converged is (done["shape_change"] < pair.trace.options.convergence_px)


def test_the_cases_reach_what_they_are_for() -> None:
    """Else the comparisons above could pass without ever meeting the branches that matter."""
    pairs = {name: pair_of(name) for name in CASES}
    views = {name: [s.stage.view for s in p.trace.stages] for name, p in pairs.items()}
    assert views["default"] == [0, 0]
    assert views["second-view-weights"][0] == 1
    hidden = ~pairs["second-view-weights"].responses[0].responses.visible
    assert np.flatnonzero(hidden).tolist() == sorted(INVISIBLE)
    for p in pairs.values():
        lowest = np.concatenate([s.responses.after_sigma.min(axis=(1, 2)) for s in p.responses])
        assert (lowest < 0).any() and (lowest > 0).any()
    positions = np.concatenate(
        [s.mean_shift.position.ravel() for s in pairs["partly-outside-no-components"].trace.steps if s.mean_shift]
    )
    assert (positions == 0).any() or (positions > 6.89).any()
    clamped = [s.clamped for s in pairs["exact-kernel-tight-clamp"].trace.steps if s.clamped is not None]
    assert np.any(clamped)
    assert any(s.converged for p in pairs.values() for s in p.trace.steps)


def test_the_fit_finds_the_face() -> None:
    """Sanity of model, photo and algorithm together: the face is where the photo was drawn."""
    trace = fit(tiny_image(), tiny_model(), start(), FitOptions(max_iterations=40))
    before = np.linalg.norm(trace.steps[0].landmarks - true_landmarks(), axis=1).mean()
    after = np.linalg.norm(trace.landmarks - true_landmarks(), axis=1).mean()
    assert before > 5
    assert after < min(1.5, before / 5)
    np.testing.assert_array_equal(landmarks(tiny_model().pdm, trace.steps[-1].params), trace.landmarks)
