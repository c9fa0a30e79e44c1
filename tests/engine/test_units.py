"""Differences in units: each measure against a number known in closed form."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from clnf_engine import FitOptions, Phase, Step, fit
from clnf_engine.pdm import landmarks, update
from clnf_engine.steps import MeanShift, ResponseMaps, Stage
from clnf_engine.units import FLOAT64_LEVEL, MEASURES, TOLERANCE, error, unit

from .tiny_model import start, tiny_image, tiny_model


@pytest.fixture(scope="module")
def step() -> Step:
    trace = fit(tiny_image(), tiny_model(), start(), FitOptions())
    return next(step for step in trace.steps if step.phase is Phase.NONRIGID)


def test_every_recorded_value_has_a_measure_and_is_equal_to_itself(step: Step) -> None:
    values = {f.name: getattr(step, f.name) for f in fields(Step)}
    for name in ("phase", "stage", "iteration", "responses", "mean_shift", "left_out"):
        del values[name]
    for group in (ResponseMaps, MeanShift):
        holder = step.responses if group is ResponseMaps else step.mean_shift
        values |= {f"x.{f.name}": getattr(holder, f.name) for f in fields(group)}
    values |= {f.name: getattr(step.stage, f.name) for f in fields(Stage)}
    for name, value in values.items():
        if value is not None:
            assert error(name, value, value, step, tiny_model()) == 0, name
            assert error(name, value, value, step) == 0, name
    assert MEASURES.keys() == {name.rpartition(".")[2] for name in values}


def test_parameters_are_measured_by_the_landmarks_they_move(step: Step) -> None:
    pdm = tiny_model().pdm
    moved = step.params + np.array([0, 0, 0, 0, 3.0, 4.0, 0, 0, 0, 0])
    assert error("params", moved, step.params, step, tiny_model()) == pytest.approx(5, abs=1e-12)
    assert error("params", moved, step.params, step) == pytest.approx(5, abs=1e-12)
    turned = step.params + np.array([0, 0, 0.01, 0, 0, 0, 0, 0, 0, 0])
    expected = np.linalg.norm(landmarks(pdm, turned) - landmarks(pdm, step.params), axis=1).max()
    assert error("params", turned, step.params, step, tiny_model()) == pytest.approx(expected)
    bound = error("params", turned, step.params, step)
    assert expected < bound < 20 * expected


def test_updates_are_measured_by_the_landmarks_they_move(step: Step) -> None:
    model, delta = tiny_model(), step.delta
    before = replace(step, jacobian=None)
    for k in range(len(delta)):
        other = delta.copy()
        other[k] += 1e-6
        shapes = [landmarks(model.pdm, update(step.params, d - delta)) for d in (delta, other)]
        expected = np.linalg.norm(shapes[0] - shapes[1], axis=1).max()
        assert error("delta", other, delta, before, model) == pytest.approx(expected, rel=1e-4)


def test_maps_are_measured_by_their_peak(step: Step) -> None:
    final = step.responses.final
    other = final.copy()
    other[5, 1, 2] += 0.01 * final[5].max()
    assert error("responses.final", other, final, step) == pytest.approx(0.01)
    assert error("responses/raw", 1e-6 * other, 1e-6 * final, step) == pytest.approx(0.01), "at any magnitude"


def test_other_measures(step: Step) -> None:
    area = step.responses.area
    assert error("area", area + np.float32(2.55), area, step) == pytest.approx(0.01, rel=1e-4)
    ncc = step.responses.neuron_ncc
    assert error("neuron_ncc", ncc + 0.5, ncc, step) == pytest.approx(0.5)
    position = step.mean_shift.position
    assert error("position", position + np.array([0.3, 0.4]), position, step) == pytest.approx(0.5)
    jac = step.jacobian.copy()
    jac[:, 1] *= 1.25
    assert error("jacobian", jac, step.jacobian, step) == pytest.approx(0.25)
    hessian = step.hessian.copy()
    hessian[0, 4] += 0.125 * np.sqrt(hessian[0, 0] * hessian[4, 4])
    assert error("hessian", hessian, step.hessian, step) == pytest.approx(0.125)
    gradient = step.gradient.copy()
    gradient[4] += 0.5 * np.abs(step.mean_shift.image[:, 0]).sum()  # the Jacobian's column of tx is 1 for x, 0 for y
    assert error("gradient", gradient, step.gradient, step) == pytest.approx(0.5)
    assert error("kernel_sum", 1.5 * step.mean_shift.kernel_sum, step.mean_shift.kernel_sum, step) == pytest.approx(0.5)
    assert error("update_norm", 3.0, 2.0, step) == 0.5
    assert error("reg_factor", 35.0, 25.0, step) == pytest.approx(0.4)
    assert error("window", 9, 11, step) == 1 and error("skipped", "", "too small", step) == 1
    assert error("clamped", ~step.clamped, step.clamped, step) == 1


def test_landmarks_that_were_not_recorded_are_left_out(step: Step) -> None:
    gone = step.landmarks.copy()
    gone[7:20] = np.nan
    assert error("landmarks", gone, step.landmarks, step) == 0
    gone[3] += (0.0, 2.0)
    assert error("landmarks", gone, step.landmarks, step) == pytest.approx(2)
    half = step.landmarks.copy()
    half[3, 0] = np.nan
    assert error("landmarks", half, step.landmarks, step) == np.inf, "half a point is no point"
    maps = step.responses.final.copy()
    maps[3] = np.nan
    assert error("final", maps, step.responses.final, step) == 0
    maps[4, 1, 1] = np.nan
    assert error("final", maps, step.responses.final, step) == np.inf


def test_shapes_and_numbers_that_cannot_be_compared(step: Step) -> None:
    assert error("delta", step.delta[:6], step.delta, step) == np.inf
    assert error("params", np.full_like(step.params, np.nan), step.params, step, tiny_model()) == np.inf
    assert error("hessian", np.full_like(step.hessian, np.inf), step.hessian, step) == np.inf
    with pytest.raises(KeyError):
        error("jaw", 1, 2, step)


def test_float32_storage_is_below_the_tolerance(step: Step) -> None:
    for name in ("params", "landmarks", "delta", "jacobian", "hessian", "gradient"):
        value = getattr(step, name)
        found = error(name, value.astype(np.float32), value, step, tiny_model())
        assert FLOAT64_LEVEL < found < TOLERANCE, name


def test_units_have_names() -> None:
    assert unit("responses.final") == "of the peak" and unit("delta") == "px a landmark is moved"
    assert unit("clamped") == ""
    assert all(unit(name) for name in MEASURES if MEASURES[name].__name__ != "_same")
