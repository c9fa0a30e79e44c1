"""``--truth``: every command measures with `accuracy`, the face where the truth is, and says so in every form."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import Model, Trace, fit, initial_from_box
from clnf_engine.accuracy import Accuracy, accuracy
from clnf_engine.io.landmarks import pts_text

from ..cli_tools import BOX, BOX_TEXT, Output, run
from ..detector_tools import FIND_FACES, finds
from ..tiny_model import start, tiny_image, true_landmarks

REGIONS = ["jaw", "brows", "nose", "eyes", "mouth"]


@pytest.fixture
def truth(tmp_path: Path) -> str:
    """The true landmarks of the tiny face as a file."""
    path = tmp_path / "true.pts"
    path.write_text(pts_text(true_landmarks()))
    return str(path)


@pytest.fixture
def words(photo: str, model_file: str, truth: str) -> tuple[str, ...]:
    return (photo, "--model", model_file, "--box", BOX_TEXT, "--truth", truth)


@pytest.fixture
def trace(model: Model) -> Trace:
    return fit(tiny_image(), model, initial_from_box(model, BOX))


def document(error: Accuracy) -> dict[str, Any]:
    return {
        "mean_px": error.mean,
        "mean_percent": error.mean_percent,
        "regions_percent": dict(error.regions),
        "landmarks_px": error.distances.tolist(),
    }


def test_json_holds_the_error(capsys: Output, words: tuple[str, ...], trace: Trace) -> None:
    code, out, err = run(capsys, "fit", *words)
    assert (code, err) == (0, "")
    (face,) = json.loads(out)["faces"]
    expected = np.linalg.norm(trace.landmarks - true_landmarks(), axis=1)
    assert face["error"]["landmarks_px"] == pytest.approx(expected.tolist())
    assert face["error"]["mean_px"] == pytest.approx(expected.mean())
    eyes = np.linalg.norm(true_landmarks()[45] - true_landmarks()[36])
    assert face["error"]["mean_percent"] == pytest.approx(100 * expected.mean() / eyes)
    assert face["error"]["regions_percent"]["nose"] == pytest.approx(100 * expected[27:36].mean() / eyes)
    assert list(face["error"]["regions_percent"]) == REGIONS
    _, out, _ = run(capsys, "fit", *words[:-2])
    assert "error" not in json.loads(out)["faces"][0]


def test_csv_gains_columns_at_the_end(capsys: Output, words: tuple[str, ...], trace: Trace) -> None:
    _, plain, _ = run(capsys, "fit", *words[:-2], "--format", "csv")
    _, out, _ = run(capsys, "fit", *words, "--format", "csv")
    columns = plain.splitlines()[0].split(",")
    heads = [f"error_{name}_percent" for name in REGIONS]
    assert out.splitlines()[0].split(",") == [
        *columns, "error_px", "error_percent", *heads, *(f"error_{i}" for i in range(68)),
    ]  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(out))
    error = accuracy(trace.landmarks, true_landmarks())
    assert (float(row["error_px"]), float(row["error_percent"])) == (error.mean, error.mean_percent)
    assert [float(row[head]) for head in heads] == list(error.regions.values())
    assert [float(row[f"error_{i}"]) for i in range(68)] == error.distances.tolist()
    assert plain.splitlines()[1] == ",".join(out.splitlines()[1].split(",")[: len(columns)])


def test_reports_show_the_error_at_the_start_and_at_the_end(
    capsys: Output, words: tuple[str, ...], trace: Trace, tmp_path: Path
) -> None:
    report = tmp_path / "r.html"
    chosen = ("--tools", "fixed_point", "--report", str(report))
    code, out, err = run(capsys, "diagnose", *words, *chosen)
    assert (code, err) == (0, "")
    ends = [accuracy(step.landmarks, true_landmarks()) for step in (trace.steps[0], trace.steps[-1])]
    rows = [line.split() for line in out.split("Mean distance from the truth")[1].split("\n\n")[0].splitlines()]
    assert rows[1] == ["landmarks", "A", "start", "A", "end"]
    assert rows[2] == ["all,", "px", *(f"{error.mean:.4g}" for error in ends)]
    assert rows[3] == ["all,", "%", *(f"{error.mean_percent:.4g}" for error in ends)]
    assert rows[4:] == [[f"{name},", "%", *(f"{e.regions[name]:.4g}" for e in ends)] for name in REGIONS]
    text = report.read_text("utf-8")
    assert "Mean distance from the truth" in text and f"{ends[1].regions['mouth']:.4g}" in text
    _, out, _ = run(capsys, "compare", *words, "-B", "normalization=sum", "--format", "json")
    runs = json.loads(out)["runs"]
    assert [one["error_at_start"] for one in runs] == [document(ends[0])] * 2
    assert runs[0]["error"] == document(ends[1])
    assert [set(one["verdict"]) for one in runs] == [{"failed", "text", "basis"}] * 2


def test_trace_tells_the_error(capsys: Output, words: tuple[str, ...], trace: Trace, tmp_path: Path) -> None:
    code, out, err = run(capsys, "trace", *words, "-o", str(tmp_path / "t.npz"))
    assert (code, err) == (0, "")
    error = accuracy(trace.landmarks, true_landmarks())
    assert out.splitlines()[2].split() == ["all,", "px", out.splitlines()[2].split()[2], f"{error.mean:.4g}"]
    assert Trace.load(tmp_path / "t.npz").landmarks.tolist() == trace.landmarks.tolist()


def test_the_face_where_the_truth_is_is_fitted(
    capsys: Output, photo: str, model_file: str, truth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = (200.0, 200.0, 300.0, 300.0)
    found = [elsewhere, start().box]
    monkeypatch.setattr(FIND_FACES, finds(lambda image: found))
    for command in (("fit",), ("diagnose", "--tools", "fixed_point", "--format", "json")):
        _, out, _ = run(capsys, command[0], photo, *command[1:], "--model", model_file, "--truth", truth)
        faces = json.loads(out)["faces" if command[0] == "fit" else "runs"]
        assert [face["box"] for face in faces] == [list(start().box)]
    found[1:] = []
    code, out, err = run(capsys, "fit", photo, "--model", model_file, "--truth", truth)
    assert code == 1 and json.loads(out)["faces"] == [] and "no face found" in err
