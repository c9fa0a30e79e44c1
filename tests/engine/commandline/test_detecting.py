"""What ``clnf fit`` and ``clnf track`` do around a fit, and what they tell of starts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from clnf_engine import DetectionOptions, FitOptions, Model, SearchOptions, detect, fit, initial_from_box, search
from clnf_engine.detection.search import best_of_faces
from clnf_engine.io.images import read_image
from clnf_engine.io.openface import write_model
from clnf_engine.model import ModelPart

from ..cli_tools import Output, run
from ..portrait import grace_hopper
from ..tiny_model import tiny_model


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def points_of(row: dict[str, str], prefix: str, n: int) -> np.ndarray:
    return np.array([[float(row[f"{prefix}{axis}_{i}"]) for axis in "xy"] for i in range(n)])


@pytest.fixture
def portrait(tmp_path: Path) -> str:
    """The portrait tilted by 30°, so that the search has something to find."""
    gray = grace_hopper()
    height, width = gray.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 30, 1)
    path = tmp_path / "tilted.png"
    cv2.imwrite(str(path), cv2.warpAffine(gray, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))
    return str(path)


# --- starts -----------------------------------------------------------------------------------------


def test_all_starts_and_the_best(capsys: Output, portrait: str, openface_model: Model) -> None:
    model_file, gray = str(openface_model.path), read_image(portrait).gray
    considered = search(openface_model, gray)
    best = best_of_faces(considered)
    assert len(considered) > len(best) == 1
    for choice, wanted in (("all", considered), ("best", best)):
        _, out, _ = run(capsys, "fit", portrait, "--model", model_file, "--starts", choice)
        told = [face["start"] for face in json.loads(out)["faces"]]
        assert [(s["angle"], s["strength"], s["likelihood"], s["box"]) for s in told] == [
            (c.angle, c.strength, c.likelihood, list(c.box)) for c in wanted
        ]
    _, out, _ = run(capsys, "fit", portrait, "--model", model_file, "--starts", "best", "--format", "csv")
    (row,) = rows_of(out)
    assert float(row["start_angle"]) == best[0].angle
    assert best[0].angle in (-40, -20)
    assert float(row["likelihood"]) == float(row["start_likelihood"]) == best[0].likelihood
    _, out, _ = run(capsys, "fit", portrait, "--model", model_file, "--format", "csv")
    assert not [name for name in rows_of(out)[0] if name.startswith("start_")]


def test_the_search_can_be_switched_off(capsys: Output, portrait: str) -> None:
    message = f"clnf: {portrait}: no face found\n"
    assert run(capsys, "fit", portrait, "-O", "search=off", "--format", "csv") == (1, "", message)
    assert run(capsys, "fit", portrait, "--preset", "openface-image", "--format", "csv") == (1, "", message)
    assert run(capsys, "diagnose", portrait, "-O", "search=off", "--tools", "fixed_point")[0] == 1


# --- parts, hypotheses, validation ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "detection"),
    [
        (["--parts"], DetectionOptions(validate=False)),
        (["--eyes", "--validate"], DetectionOptions(eye_parts=True)),
        (["--hypotheses"], DetectionOptions(parts=False, hypotheses=True, validate=False)),
        (
            ["--hypotheses", "-O", "hypothesis_margin=0.05"],
            DetectionOptions(parts=False, hypotheses=True, hypothesis_margin=0.05, validate=False),
        ),
        (["--preset", "openface-image"], DetectionOptions(validate=False)),
        (["--preset", "openface-video", "--eyes"], DetectionOptions(eye_parts=True)),
        (["--eyes", "-O", "mend_slips=on"], DetectionOptions(eye_parts=True, validate=False, mend_slips=True)),
    ],
)
def test_a_detection_is_that_of_python(
    arguments: list[str], detection: DetectionOptions, capsys: Output, shared: Path, openface_model: Model
) -> None:
    image, model_file = str(shared / "samples" / "sample2.jpg"), str(openface_model.path)
    box = (366.0, 102.0, 125.0, 121.0)
    chosen = [image, "--model", model_file, "--box", ",".join(map(str, box)), *arguments]
    code, out, err = run(capsys, "fit", *chosen)
    (face,) = json.loads(out)["faces"]
    expected = detect(
        read_image(image).gray, openface_model, initial_from_box(openface_model, box), FitOptions(), detection
    )
    assert (code, err, face["success"]) == (0, "", True)
    assert face["landmarks"] == expected.landmarks.tolist()
    assert face["params_local"] == expected.params_local.tolist()
    told = face["detection"]
    assert told["options"] == detection.to_json()
    assert (told["certainty"], told["chosen"]) == (expected.certainty, expected.chosen)
    assert {name: part["landmarks"] for name, part in told["parts"].items()} == {
        name: part.landmarks.tolist() for name, part in expected.parts.items()
    }
    (row,) = rows_of(run(capsys, "fit", *chosen, "--format", "csv")[1])
    np.testing.assert_array_equal(points_of(row, "", 68), expected.landmarks)
    assert float(row["confidence"]) == (1 - expected.certainty) / 2
    assert ("eye_lmk_x_55" in row) == detection.eye_parts
    if detection.eye_parts:
        eyes = [expected.parts[name].landmarks for name in ("left_eye_28", "right_eye_28")]
        np.testing.assert_array_equal(points_of(row, "eye_lmk_", 56), np.concatenate(eyes))


def test_what_the_validator_refuses_is_a_failure(capsys: Output, shared: Path, openface_model: Model) -> None:
    image = str(shared / "samples" / "sample2.jpg")
    box = ["--model", str(openface_model.path), "--box", "20,250,120,120", "--format", "csv"]
    assert run(capsys, "fit", image, *box)[0] == 0
    code, out, err = run(capsys, "fit", image, *box, "--validate")
    assert (code, out) == (1, "")
    assert "no face" in err and "certainty" in err


@pytest.mark.parametrize("flag", ["--parts", "--eyes", "--validate"])
def test_a_model_without_what_is_asked_for(flag: str, capsys: Output, photo: str, model_file: str) -> None:
    code, out, err = run(capsys, "fit", photo, "--model", model_file, flag)
    assert (code, out) == (2, "")
    assert flag in err and "tiny" in err


def test_a_broken_part_is_said_and_the_fit_goes_on(capsys: Output, photo: str, tmp_path: Path) -> None:
    part = ModelPart("mouth", np.repeat(np.arange(68), 2).reshape(-1, 2), replace(tiny_model(), name="m"))
    main = write_model(replace(tiny_model(), parts=(part,)), tmp_path)
    with open(main, "a") as file:
        file.write("LandmarkDetector_part none.txt brow 17 0\n")
    code, out, err = run(capsys, "fit", photo, "--model", str(main), "--box", "30,20,90,110", "--parts")
    assert code == 0
    assert "none.txt" in err and err.count("\n") == 1
    assert list(json.loads(out)["faces"][0]["detection"]["parts"]) == ["mouth"]
    assert "none.txt" in run(capsys, "model", str(main))[1]


def test_starts_are_the_detector_s(capsys: Output, photo: str, model_file: str) -> None:
    code, _, err = run(capsys, "fit", photo, "--model", model_file, "--starts", "all", "--box", "1,1,9,9")
    assert code == 2
    assert "--starts" in err


# --- videos -----------------------------------------------------------------------------------------


def test_a_video_as_openface_s_program_follows_it(
    capsys: Output, shared: Path, openface_model: Model, tmp_path: Path
) -> None:
    """Every frame is a detection from the end of the last, with fewer windows; a torn file is gone on with."""
    frames = tmp_path / "frames"
    frames.mkdir()
    gray = cv2.resize(read_image(shared / "samples" / "sample2.jpg").gray, None, fx=2, fy=2)[150:550, 650:1100]
    for k in range(4):
        cv2.imwrite(str(frames / f"{k}.png"), gray[:, 2 * k :])
    arguments: list[Any] = [frames, "--model", openface_model.path, "--preset", "openface-video", "--eyes"]
    output = tmp_path / "face.csv"
    assert run(capsys, "track", *map(str, arguments), "-o", str(output)) == (0, "", "")
    whole = output.read_bytes()
    rows = rows_of(whole.decode())
    assert [row["start"] for row in rows] == ["detector", "previous", "previous", "previous"]
    assert [row["windows"] for row in rows] == ["11 9 7 5", *["0 9 7 5"] * 3]
    detection, options = DetectionOptions(eye_parts=True), FitOptions()
    initial = best_of_faces(search(openface_model, gray, SearchOptions(search=False)))[0].initial
    for k, row in enumerate(rows):
        result = detect(np.ascontiguousarray(gray[:, 2 * k :]), openface_model, initial, options, detection)
        np.testing.assert_array_equal(points_of(row, "", 68), result.landmarks)
        assert float(row["confidence"]) == (1 - result.certainty) / 2 > 0.725
        eyes = [result.parts[name].landmarks for name in ("left_eye_28", "right_eye_28")]
        np.testing.assert_array_equal(points_of(row, "eye_lmk_", 56), np.concatenate(eyes))
        initial, options = replace(initial, params=result.params), FitOptions(windows=(0, 9, 7, 5))
    output.write_bytes(whole[: whole.rindex(b"\n", 0, -1) - 40])
    assert run(capsys, "track", *map(str, arguments), "-o", str(output)) == (0, "", "")
    assert output.read_bytes() == whole
    assert run(capsys, "track", *map(str, arguments[:-1]), "-o", str(output))[0] == 2  # other columns
    as_json = tmp_path / "face.json"
    assert run(capsys, "track", *map(str, arguments), "-o", str(as_json))[0] == 0
    document = json.loads(as_json.read_text())
    assert document["detection"] == detection.to_json()
    assert np.shape(document["frames"][0]["eye_landmarks"]) == (56, 2)


def test_a_plain_fit_is_no_detection(capsys: Output, photo: str, model_file: str) -> None:
    _, out, _ = run(capsys, "fit", photo, "--model", model_file, "--box", "30,20,90,110")
    (face,) = json.loads(out)["faces"]
    assert not {"detection", "start"} & face.keys()
    model = tiny_model()
    plain = fit(read_image(photo).gray, model, initial_from_box(model, (30, 20, 90, 110)))
    np.testing.assert_allclose(face["landmarks"], plain.landmarks, rtol=0, atol=1e-9)
