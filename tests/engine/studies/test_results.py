"""Results as they are read, measured and told: a small real study, fitted here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from clnf_engine.io.openface import write_model
from clnf_engine.studies.agreements import Landmarks
from clnf_engine.studies.columns import read_results
from clnf_engine.studies.plan import Study
from clnf_engine.studies.reading import read_row
from clnf_engine.studies.run import run_study
from clnf_engine.studies.summary import summarize
from clnf_engine.studies.variants import Start, grid

from ..cli_tools import Output, run
from ..html_tools import Page
from ..tiny_model import tiny_model
from .small import N_PHOTOS, small_study

NAMES = tuple(f"sigma={sigma} normalization={name}" for sigma in (1, 2) for name in ("none", "peak"))
N_ROWS = (N_PHOTOS + 1) * 2 * len(NAMES)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tiny_model(), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    return small_study(tmp_path_factory.mktemp("study"), model)


def test_columns_are_the_rows_without_their_landmarks(results: Path) -> None:
    _, parts, columns = read_results(results)
    assert columns.variants == NAMES
    assert len(columns) == N_ROWS
    assert int(columns.failed.sum()) == 2 * len(NAMES)  # of the photo that is none
    for k in range(len(columns)):
        row = read_row(parts[columns.part[k]], int(columns.position[k]))
        assert row.variant == columns.variants[columns.variant[k]]
        assert row.start == columns.starts[columns.start[k]]
        assert columns.face_text(k) == (row.photo, row.face + 1)
        assert (row.failure or "") == (columns.failures[columns.failure[k]] if columns.failed[k] else "")
        assert row.landmarks is None or row.likelihood == columns.likelihood[k]
    assert len({(columns.face[k], columns.start[k], columns.variant[k]) for k in range(len(columns))}) == len(columns)


def test_agreement_is_that_of_the_landmarks(results: Path) -> None:
    _, parts, columns = read_results(results)
    landmarks = Landmarks(parts, columns)
    summary = summarize(columns, landmarks.measure)
    rows = summary.pairs.rows
    marks = [[read_row(parts[columns.part[k]], int(columns.position[k])).landmarks for k in row] for row in rows]
    for k, found in summary.agreements.items():
        pairs = [(a, b) for a, b in zip(marks[k], marks[found.reference], strict=True) if a is not None]
        far = [np.linalg.norm(a - b, axis=1).max() for a, b in pairs]
        assert found.fits == len(pairs) == 2 * N_PHOTOS
        assert found.farthest_of_all == max(far)
        assert found.same == sum(value <= 1e-9 for value in far)
        assert found.identical == sum((a == b).all() for a, b in pairs)
    assert summary.agreements[1].reference == 0
    assert "normalization makes no difference: all 16 fits" in summary.verdict
    fitted = rows[0, np.isfinite(summary.error[0])][0]
    distance, identical = landmarks.apart(np.array([fitted, fitted, -1]), np.array([fitted, -1, -1]))
    assert distance[:2].tolist() == [0, np.inf]
    assert np.isnan(distance[2])
    assert identical.tolist() == [True, False, False]


def test_the_p_value_is_that_of_the_rows_by_face(results: Path) -> None:
    _, parts, columns = read_results(results)
    summary = summarize(columns, Landmarks(parts, columns).measure, baseline=NAMES[0])
    by_face: dict[tuple[str, int], list[float]] = {}
    for k in range(len(columns)):
        if np.isfinite(columns.error[k]):
            by_face.setdefault((columns.face_text(k)[0], int(columns.variant[k])), []).append(float(columns.error[k]))
    photos = sorted({photo for photo, _ in by_face})
    apart = [np.mean(by_face[photo, 2]) - np.mean(by_face[photo, 0]) for photo in photos]
    assert summary.differences[2].mean == pytest.approx(np.mean(apart), rel=1e-12)
    assert summary.differences[2].p == pytest.approx(min(1.0, 3 * wilcoxon(apart).pvalue))
    assert summary.differences[2].faces == N_PHOTOS


def test_a_study_that_was_extended_compares_fits_of_different_parts(results: Path, model: Path, tmp_path: Path) -> None:
    data = str(results.parent / "faces")
    for text in ("normalization=none", "normalization=peak"):
        run_study(Study(data, grid([text], [], str(model)), (Start.of("box"),)), tmp_path / "r", workers=0)
    _, parts, columns = read_results(tmp_path / "r")
    assert len(parts) == 2
    summary = summarize(columns, Landmarks(parts, columns).measure)
    assert summary.agreements[1].same == summary.agreements[1].fits == N_PHOTOS


# --- the commands ---------------------------------------------------------------------------------


def test_report_prints_the_verdict_and_writes_a_page(results: Path, tmp_path: Path, capsys: Output) -> None:
    page = tmp_path / "r.html"
    code, out, _ = run(capsys, "study", "report", str(results), "--report", str(page))
    assert code == 0
    verdict = out.strip().splitlines()[-1]
    assert "normalization makes no difference" in verdict
    text = " ".join(Page(page.read_text(encoding="utf-8")).texts)
    for wanted in (verdict, *NAMES, "broken.png", f"clnf study report {results}"):
        assert wanted in text, wanted
    code, out, _ = run(capsys, "study", "report", str(results), "--format", "json", "--baseline", NAMES[2])
    document = json.loads(out)
    assert code == 0
    assert [row[0] for row in document["tables"][0]["rows"]] == list(NAMES)
    assert "than sigma=2" in document["verdict"] or "from sigma=2" in document["verdict"]


def test_show_tells_what_was_fitted_and_what_failed(results: Path, capsys: Output) -> None:
    code, out, _ = run(capsys, "study", "show", str(results))
    assert code == 0
    for wanted in ("box:0.1#0, box:0.1#1", "broken.png", "What failed", "normalization"):
        assert wanted in out
    assert "windows" not in out  # in which no variant differs
    code, out, _ = run(capsys, "study", "show", str(results), "--format", "json")
    assert json.loads(out)["baseline"] == NAMES[0]


@pytest.mark.parametrize(
    "words",
    [
        ("report", "{}/none"),
        ("report", "{}", "--baseline", "x"),
        ("report", "{}", "--region", "x"),
        ("show", "{}/parts"),
    ],
)
def test_what_is_no_study_is_told_in_one_sentence(results: Path, capsys: Output, words: tuple[str, ...]) -> None:
    code, out, err = run(capsys, "study", *(word.format(results) for word in words))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
