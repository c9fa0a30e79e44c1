"""Verdicts never say more than a calibration holds; its file reads back, and a broken one names its place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, ModelFileError, Trace, load_model
from clnf_engine.calibration import Calibration, judge
from clnf_engine.io.calibration_file import (
    FOLDER_VARIABLE,
    calibration_path,
    own_calibration_path,
    read_calibration,
    write_calibration,
)
from clnf_engine.io.openface import write_model
from clnf_engine.steps import Phase, Step

from .edge_tools import run
from .tiny_model import tiny_model


def hundred(**changes: Any) -> Calibration:
    """Fits that worked at 0.01 … 1.00, and fits that failed at −1.00 … −0.01."""
    values: dict[str, Any] = {
        "model": tiny_model().fingerprint,
        "worked": np.arange(1, 101) / 100,
        "failed": np.arange(-100, 0) / 100,
        "error_limit": 8.0,
        "faces": 10,
        "held_out": True,
        "scales": (0.5, 2.0),
        "options": FitOptions(),
        "basis": "10 drawn faces",
    }
    return Calibration(**values | changes)


def model_with(calibration: Calibration | None) -> Model:
    return replace(tiny_model(), calibration=calibration)


def ended(likelihood: float | None, success: bool = True, scale: float = 1.0, message: str = "done") -> list[Step]:
    params = np.array([scale, 0, 0, 0, 0, 0])
    return [Step(Phase.END, params, np.zeros((68, 2)), likelihood=likelihood, success=success, message=message)]


# --- limits -----------------------------------------------------------------------------------------


def test_limits_are_percentiles() -> None:
    found = hundred()
    assert found.worked_limit == pytest.approx(0.0595)  # numpy's linear percentile of 0.01 … 1.00
    assert found.failed_limit == pytest.approx(-0.0595)
    assert [found.failed_at(value) for value in (-0.06, -0.059, 0.0, 0.059, 0.06)] == [True, None, None, None, False]
    assert found.rates == {"false_alarm": 0, "missed": 0, "worked_untold": 5, "failed_untold": 5}


def test_where_both_kinds_overlap_nothing_is_said() -> None:
    """Fits that failed reach up to 0.50: what 95 % of them are below lies above what 95 % of the others are above."""
    found = hundred(failed=np.arange(-49, 51) / 100)
    assert [found.failed_at(value) for value in (0.05, 0.06, 0.45, 0.46)] == [True, None, None, False]
    assert found.rates == {"false_alarm": 5, "missed": 5, "worked_untold": 40, "failed_untold": 40}


def test_too_few_fits_tell_nothing() -> None:
    found = hundred(failed=np.array([-1.0, -0.5]))
    assert found.failed_limit is None and found.failed_at(-9.0) is None
    verdict = judge(ended(-9.0), model_with(found), FitOptions())
    assert verdict.failed is None and "100 that worked and 2 that failed, at least 20 of each needed" in verdict.text


# --- verdicts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "failed", "words"),
    [
        (-1.4, True, "probably failed: log-likelihood −1.40; 95 % of the fits that worked {} above 0.06 "),
        (0.5, False, "probably worked: log-likelihood 0.50; 95 % of the fits that failed {} below −0.06 "),
        (0.0, None, "cannot be told: log-likelihood 0.00; 95 % of the fits that worked {} above 0.06, "),
    ],
)
def test_a_likelihood_in_words(likelihood: float, failed: bool | None, words: str) -> None:
    verdict = judge(ended(likelihood), model_with(hundred()), FitOptions())
    assert verdict.failed is failed and verdict.text.startswith(words.format("with this model are"))
    assert verdict.text.endswith("(10 held-out faces)")
    assert verdict.basis.startswith("10 drawn faces; ") and "8 % of the outer-eye distance" in verdict.basis
    other = judge(ended(likelihood), model_with(hundred(held_out=False)), FitOptions())
    assert other.text.endswith("(10 faces)")


def test_a_fit_that_says_it_failed_has_failed_whatever_its_likelihood() -> None:
    for calibration in (None, hundred()):
        verdict = judge(ended(0.9, success=False, message="too small"), model_with(calibration), FitOptions())
        assert (verdict.failed, verdict.text) == (True, "failed: too small")


def test_without_a_calibration_it_cannot_be_told_and_how_to_make_one_is_said() -> None:
    verdict = judge(run().steps, model_with(None), FitOptions())
    assert verdict.failed is None and "this model has no calibration" in verdict.text
    assert "clnf evaluate" in verdict.basis and "--calibrate" in verdict.basis


def test_a_fit_that_has_not_ended_is_not_judged() -> None:
    for steps in (run().steps[:-1], ()):
        assert judge(steps, model_with(hundred()), FitOptions()).failed is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"normalization": "peak"}, "normalization"),
        ({"response_gain": 2.0}, "response_gain"),
        ({"sigma": 2.0}, "sigma"),
        ({"windows": (9, 9)}, "windows"),
        ({"windows": (0, 9)}, "windows"),
        ({"kernel": "exact"}, "kernel"),
        ({"reg_factor": 10.0}, "reg_factor"),
        ({"max_iterations": 2}, "max_iterations"),
        ({"convergence_px": 1.0}, "convergence_px"),
        ({"sigma_off": True, "step_damping": 0.5}, "step_damping, sigma_off"),
    ],
)
def test_options_that_change_likelihoods_are_not_calibrated(changes: dict[str, Any], named: str) -> None:
    verdict = judge(ended(-9.0), model_with(hundred()), FitOptions(**changes))
    assert verdict.failed is None and f"not calibrated for these options ({named})" in verdict.text


@pytest.mark.parametrize(
    "changes",
    [{"precision": "float32"}, {"max_iterations": 20}, {"convergence_px": 0.0}, {"windows": (11, 9, 5, 5)}],
)
def test_longer_fits_float32_and_windows_of_scales_that_are_not_there_are(changes: dict[str, Any]) -> None:
    """The tiny model has two scales."""
    assert judge(ended(-9.0), model_with(hundred()), FitOptions(**changes)).failed is True


def test_the_options_that_were_calibrated_count_not_the_defaults() -> None:
    options = FitOptions(normalization="peak")
    calibrated = model_with(hundred(options=options))
    assert judge(ended(-9.0), calibrated, options).failed is True
    assert judge(ended(-9.0), calibrated, FitOptions()).failed is None


def test_a_face_of_another_size_is_not_calibrated() -> None:
    for scale in (0.49, 2.1):
        verdict = judge(ended(-9.0, scale=scale), model_with(hundred()), FitOptions())
        assert verdict.failed is None
        assert f"a face of this size ({scale:g} px per model unit, expected 0.5 to 2)" in verdict.text


def test_a_fit_without_one_of_its_stages_is_not_calibrated() -> None:
    """Its likelihood is of other maps. A stage that the options leave out is another matter."""
    trace: Trace = run(windows=(9, 9))
    small = replace(trace.stages[1].stage, skipped="the face is too small")
    steps = [
        *trace.steps[:-1],
        Step(Phase.SKIPPED, trace.steps[-1].params, trace.landmarks, stage=small),
        trace.steps[-1],
    ]
    calibrated = model_with(hundred(options=trace.options, scales=(0.0, 9.0)))
    verdict = judge(steps, calibrated, trace.options)
    assert verdict.failed is None and "not calibrated for a fit without stage 2 (0.35, window 9)" in verdict.text
    left_out = run(windows=(9, 0))
    assert any(step.phase is Phase.SKIPPED for step in left_out.steps)
    again = model_with(hundred(options=left_out.options, scales=(0.0, 9.0)))
    assert judge(left_out.steps, again, left_out.options).failed is not None


# --- the file ---------------------------------------------------------------------------------------


def test_a_calibration_reads_back_and_comes_with_its_model(tmp_path: Path) -> None:
    main = write_model(tiny_model(), tmp_path)
    assert load_model(main).calibration is None
    options = FitOptions(normalization="sum", windows=(9, 7))
    write_calibration(calibration_path(main), hundred(options=options))
    found = load_model(main).calibration
    assert found is not None
    assert found.worked.tolist() == hundred().worked.tolist() and found.failed.tolist() == hundred().failed.tolist()
    assert (found.options, found.scales, found.faces, found.held_out) == (options, (0.5, 2.0), 10, True)
    assert (found.basis, found.error_limit) == ("10 drawn faces", 8.0)
    assert load_model(main).fingerprint == tiny_model().fingerprint
    other = replace(tiny_model(), scales=tiny_model().scales[:1])
    assert other.fingerprint != tiny_model().fingerprint


def test_a_person_s_own_calibration_is_found_by_the_model_s_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = write_model(tiny_model(), tmp_path / "model")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "own"))
    path = own_calibration_path(tiny_model())
    path.parent.mkdir()
    write_calibration(path, hundred(faces=3))
    assert load_model(main).calibration.faces == 3
    write_calibration(calibration_path(main), hundred(faces=4))
    assert load_model(main).calibration.faces == 4  # that beside the model comes first


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("version", 2, "field 'version': found 2; expected 1"),
        ("model", 7, "field 'model': found 7; expected a text"),
        ("faces", -1, "field 'faces': found -1; expected a whole number"),
        ("faces", True, "field 'faces'"),
        ("held_out", "no", "field 'held_out': found 'no'; expected true or false"),
        ("error_limit_percent", 0, "field 'error_limit_percent'"),
        ("scales", [1.0], "field 'scales': found [1.0]; expected two finite numbers"),
        ("worked", [0.5, None], "field 'worked': found [0.5, None]; expected a list of finite numbers"),
        ("failed", [float("nan")], "field 'failed'"),
        ("options", {"sigma": -1}, "field 'options': sigma is -1"),
        ("options", [], "field 'options': expected an object"),
        ("options", {"magic": 1}, "field 'options': there is no option 'magic'"),
        ("basis", ..., "field 'basis': found nothing; expected a text"),
    ],
)
def test_a_broken_file_names_its_field(tmp_path: Path, field: str, value: Any, problem: str) -> None:
    path = tmp_path / "c.json"
    write_calibration(path, hundred())
    content = json.loads(path.read_text("utf-8"))
    content[field] = value
    if value is ...:
        del content[field]
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelFileError) as error:
        read_calibration(path)
    assert problem in str(error.value) and str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_calibration_is_refused(tmp_path: Path, data: bytes) -> None:
    main = write_model(tiny_model(), tmp_path)
    calibration_path(main).write_bytes(data)
    with pytest.raises(ModelFileError, match="expected the calibration of a model"):
        load_model(main)


def test_a_calibration_of_another_model_is_refused(tmp_path: Path) -> None:
    main = write_model(tiny_model(), tmp_path)
    write_calibration(calibration_path(main), hundred(model="0123"))
    with pytest.raises(ModelFileError, match="was made for another model than tiny"):
        load_model(main)
