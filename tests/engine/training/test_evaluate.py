"""Evaluation: its numbers on an example worked by hand, and what it writes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clnf_engine import load_model
from clnf_engine.accuracy import Accuracy, accuracy, error_statistics
from clnf_engine.errors import ClnfError
from clnf_engine.pdm import PDM
from clnf_engine.training.annotations import Face, read_annotations
from clnf_engine.training.evaluate import (
    Evaluation,
    FaceError,
    Start,
    csv_text,
    evaluate,
    save_curve,
    table_text,
)

from ..detector_tools import FIND_FACES, finds
from .drawn_faces import write_faces


def by_hand() -> Evaluation:
    """Ten faces: errors 1 … 8 everywhere, one of 2 with 36 at the mouth, one that was not found."""
    faces = [FaceError(f"f{k}", Accuracy(np.full(68, float(k)), 100.0), "done") for k in range(1, 9)]
    crooked = np.full(68, 2.0)
    crooked[48:] = 36.0
    return Evaluation(
        (*faces, FaceError("crooked", Accuracy(crooked, 100.0), "done"), FaceError("lost", None, "not there"))
    )


def test_errors_are_shares_of_the_outer_eye_distance() -> None:
    points = np.zeros((68, 2))
    points[45] = (30.0, 40.0)  # 50 px from landmark 36
    face = Face("a", Path("a.png"), points)
    moved = points.copy()
    moved[7] += (3.0, 4.0)
    assert face.eye_distance == 50
    assert accuracy(moved, face.points).percent.tolist() == [10.0 if i == 7 else 0.0 for i in range(68)]


def test_statistics_by_hand() -> None:
    rows = by_hand().rows()
    assert list(rows) == ["all", "jaw", "brows", "nose", "eyes", "mouth"]
    crooked = (48 * 2 + 20 * 36) / 68  # 12
    assert rows["all"].mean == pytest.approx((36 + crooked) / 9)
    assert rows["all"].median == 5
    assert rows["all"].p90 == pytest.approx(8 + 0.2 * (crooked - 8))
    assert rows["all"].below == (40.0, 70.0)  # four of ten under 5 %, seven under 8 %
    assert rows["jaw"].mean == pytest.approx((36 + 2) / 9)
    assert rows["jaw"].below == (50.0, 80.0)
    assert rows["mouth"].mean == pytest.approx((36 + 36) / 9)


def test_statistics_without_any_fit() -> None:
    row = error_statistics([float("inf")] * 3)
    assert np.isnan([row.mean, row.median, row.p90]).all()
    assert row.below == (0.0, 0.0)


def test_table_and_csv_tell_every_face(tmp_path: Path) -> None:
    evaluation = by_hand()
    table = table_text(evaluation).splitlines()
    assert table[0].split()[-7:] == ["mean", "median", "p90", "<", "5", "%", "<", "8", "%"][-7:]
    assert table[1].split() == ["all", "5.33", "5.00", "8.80", "40.0", "70.0"]
    assert table[-2:] == ["9 of 10 faces fitted", "not found by the detector: lost"]
    rows = list(csv.DictReader(io.StringIO(csv_text(evaluation))))
    assert len(rows) == 10
    assert (rows[8]["face"], rows[8]["all"], rows[8]["jaw"], rows[8]["mouth"]) == (
        "crooked",
        "12.0000",
        "2.0000",
        "36.0000",
    )
    assert (rows[9]["all"], rows[9]["message"]) == ("", "not there")
    save_curve(evaluation, tmp_path / "curve.png", "by hand")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_starts(tmp_path: Path) -> None:
    faces = read_annotations(write_faces(tmp_path, 3, seed=9)).faces
    model = load_model()
    box = evaluate(faces, model, start=Start.BOX)
    shaken = evaluate(faces, model, start=Start.PERTURBED, seed=1)
    assert [face.name for face in box.faces] == ["face00", "face01", "face02"]
    assert box.not_found == shaken.not_found == ()
    assert [f.mean for f in shaken.faces] == [
        f.mean for f in evaluate(faces, model, start=Start.PERTURBED, seed=1).faces
    ]
    assert [f.mean for f in shaken.faces] != [
        f.mean for f in evaluate(faces, model, start=Start.PERTURBED, seed=2).faces
    ]
    one = evaluate(faces[1:2], model, start=Start.PERTURBED, seed=1)
    assert one.faces[0].mean == shaken.faces[1].mean  # each face has its own perturbation


def test_the_detected_face_nearest_the_truth_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = read_annotations(write_faces(tmp_path, 1, seed=9)).faces
    low, high = faces[0].points.min(axis=0), faces[0].points.max(axis=0)
    true_box = (*low.tolist(), *(high - low).tolist())
    found = [(0.0, 0.0, 30.0, 30.0), true_box]
    monkeypatch.setattr(FIND_FACES, finds(lambda image: found))
    model = load_model()
    detected = evaluate(faces, model, start=Start.DETECTOR)
    assert detected.faces[0].mean == evaluate(faces, model, start=Start.BOX).faces[0].mean
    found[:] = [(0.0, 0.0, 5.0, 5.0)]
    assert evaluate(faces, model, start=Start.DETECTOR).not_found == ("face00",)


def test_a_model_of_other_landmarks_is_refused() -> None:
    model = load_model()
    with pytest.raises(ClnfError, match="main_portrait68 has 6 landmarks; the faces have 68"):
        evaluate([], replace(model, pdm=PDM(np.zeros(18), np.zeros((18, 1)), np.ones(1))))
