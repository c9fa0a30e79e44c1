"""The ``clnf`` command: what it writes, where, its exit codes, and one sentence for every wrong input."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clnf_engine
from clnf_engine import FitOptions, Model, Trace, fit, initial_from_box, initial_from_landmarks, preset, turned
from clnf_engine import first_divergence as divergence
from clnf_engine.calibration import judge
from clnf_engine.documents import json_text
from clnf_engine.io.landmarks import pts_text, read_pts
from clnf_engine.io.openface import write_model
from clnf_engine.options import Source

from ..cli_tools import BOX, BOX_TEXT, Output, files, run, save
from ..detector_tools import FIND_FACES, finds
from ..tiny_model import start, tiny_image, tiny_model, true_landmarks


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, float, float]]:
    """What the face detector finds in every image; the tiny face is none to it."""
    boxes = [start().box]
    monkeypatch.setattr(FIND_FACES, finds(lambda image: list(boxes)))
    return boxes


# --- clnf fit ---------------------------------------------------------------------------------------


def test_json_holds_what_the_api_gives(capsys: Output, photo: str, model_file: str, model: Model) -> None:
    code, out, err = run(capsys, "fit", photo, "--model", model_file, "--box", BOX_TEXT)
    trace = fit(tiny_image(), model, initial_from_box(model, BOX))
    assert (code, err) == (0, "")
    document = json.loads(out, parse_constant=pytest.fail)
    assert list(document) == ["version", "image", "model", "faces"]
    assert (document["version"], document["image"], document["model"]) == (1, photo, "tiny")
    (face,) = document["faces"]
    assert face == {
        "box": list(BOX),
        "success": True,
        "message": "done",
        "landmarks": trace.landmarks.tolist(),
        "params_global": trace.params_global.tolist(),
        "params_local": trace.params_local.tolist(),
        "likelihood": trace.likelihood,
        "stages": face["stages"],
        "verdict": asdict(judge(trace.steps, model, FitOptions())),
    }
    assert face["verdict"]["failed"] is None and "this model has no calibration" in face["verdict"]["text"]
    assert face["stages"] == [
        {
            "scale": summary.stage.scale,
            "window": summary.stage.window,
            "view": summary.stage.view,
            "skipped": False,
            "rigid_iterations": summary.rigid_iterations,
            "nonrigid_iterations": summary.nonrigid_iterations,
        }
        for summary in trace.stages
    ]
    assert len(face["stages"]) == 2
    assert out.count("\n") == 1


def test_json_of_a_stage_left_out(capsys: Output, photo: str, model_file: str) -> None:
    _, out, _ = run(capsys, "fit", photo, "--model", model_file, "--box", BOX_TEXT, "-O", "windows=11")
    assert json.loads(out)["faces"][0]["stages"][1] == {
        "scale": 0.35,
        "window": 0,
        "view": None,
        "skipped": True,
        "rigid_iterations": 0,
        "nonrigid_iterations": 0,
    }


@pytest.mark.parametrize(
    ("choices", "options"),
    [
        ((), FitOptions()),
        (("-O", "sigma=2", "-O", "windows=9,7"), FitOptions(sigma=2, windows=(9, 7))),
        (("--preset", "openface-wild"), preset("openface-wild")),
        (("-O", "reg_factor=5", "--preset", "openface-wild"), preset("openface-wild").with_text(["reg_factor=5"])),
    ],
)
def test_options_reach_the_fit(
    capsys: Output, photo: str, model_file: str, model: Model, choices: tuple[str, ...], options: FitOptions
) -> None:
    code, out, _ = run(capsys, "fit", photo, "--model", model_file, "--box", BOX_TEXT, *choices)
    trace = fit(tiny_image(), model, initial_from_box(model, BOX), options)
    assert code == 0
    assert json.loads(out)["faces"][0]["landmarks"] == trace.landmarks.tolist()


def test_start_from_landmarks(capsys: Output, photo: str, model_file: str, model: Model, tmp_path: Path) -> None:
    points = true_landmarks() + 2.0
    path = tmp_path / "start.pts"
    path.write_text(pts_text(points))
    _, out, _ = run(capsys, "fit", photo, "--model", model_file, "--landmarks", str(path))
    trace = fit(tiny_image(), model, initial_from_landmarks(model, points))
    assert json.loads(out)["faces"][0]["landmarks"] == trace.landmarks.tolist()


def test_a_turned_box(capsys: Output, photo: str, model_file: str, model: Model) -> None:
    arguments = ("fit", photo, "--model", model_file, "--box", BOX_TEXT, "--rotation", "-5,0,12.5")
    _, out, err = run(capsys, *arguments)
    rotation = (math.radians(-5), 0.0, math.radians(12.5))
    trace = fit(tiny_image(), model, turned(model, initial_from_box(model, BOX), rotation))
    (face,) = json.loads(out)["faces"]
    assert (err, face["box"], face["landmarks"]) == ("", list(BOX), trace.landmarks.tolist())


def test_a_turned_face_of_the_detector(
    capsys: Output, photo: str, model_file: str, model: Model, faces: list, tmp_path: Path
) -> None:
    output = tmp_path / "run.npz"
    run(capsys, "trace", photo, "--model", model_file, "--rotation", "0,0,10", "-o", str(output))
    initial = Trace.load(output).initial
    expected = turned(model, initial_from_box(model, faces[0]), (0.0, 0.0, math.radians(10)))
    assert (initial.source, initial.box) == (Source.DETECTOR, faces[0])
    np.testing.assert_array_equal(initial.params, expected.params)


@pytest.mark.parametrize("form", [("--box", "-20,27,130,120"), ("--box=-20,27,130,120",)])
def test_box_that_begins_left_of_the_image(capsys: Output, photo: str, model_file: str, form: tuple[str, ...]) -> None:
    _, out, _ = run(capsys, "fit", photo, "--model", model_file, *form)
    assert json.loads(out)["faces"][0]["box"] == [-20, 27, 130, 120]


def test_one_fit_per_detected_face(capsys: Output, photo: str, model_file: str, model: Model, faces: list[Any]) -> None:
    """Of two that overlap the likelier comes first."""
    faces.append((20.0, 30.0, 100.0, 90.0))
    code, out, _ = run(capsys, "fit", photo, "--model", model_file)
    assert code == 0
    found = json.loads(out)["faces"]
    assert sorted(face["box"] for face in found) == sorted(map(list, faces))
    likelihoods = [fit(tiny_image(), model, initial_from_box(model, face["box"])).likelihood for face in found]
    assert [face["likelihood"] for face in found] == likelihoods == sorted(likelihoods, reverse=True)


def test_csv_has_the_columns_of_openface(capsys: Output, photo: str, model_file: str, faces: list[Any]) -> None:
    faces.append((20.0, 30.0, 100.0, 90.0))
    code, out, err = run(capsys, "fit", photo, "--model", model_file, "--format", "csv")
    _, as_json, _ = run(capsys, "fit", photo, "--model", model_file)
    assert (code, err) == (0, "")
    header = next(csv.reader(out.splitlines()))
    assert header == [
        "face",
        *(f"x_{i}" for i in range(68)),
        *(f"y_{i}" for i in range(68)),
        *("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"),
        *(f"p_{j}" for j in range(4)),
    ]
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["face"] for row in rows] == ["0", "1"]
    for row, face in zip(rows, json.loads(as_json)["faces"], strict=True):
        assert [[float(row[f"x_{i}"]), float(row[f"y_{i}"])] for i in range(68)] == face["landmarks"]
        assert [float(row[name]) for name in header[137:143]] == face["params_global"]
        assert [float(row[name]) for name in header[143:]] == face["params_local"]


def test_pts_reads_back_exactly(capsys: Output, photo: str, model_file: str, model: Model, tmp_path: Path) -> None:
    arguments = ("fit", photo, "--model", model_file, "--box", BOX_TEXT, "--format", "pts")
    trace = fit(tiny_image(), model, initial_from_box(model, BOX))
    code, out, _ = run(capsys, *arguments)
    assert (code, out) == (0, pts_text(trace.landmarks))
    assert run(capsys, *arguments, "-o", str(tmp_path / "named.txt")) == (0, "", "")
    np.testing.assert_array_equal(read_pts(tmp_path / "named.txt"), trace.landmarks)


def test_pts_of_several_faces(capsys: Output, photo: str, model_file: str, faces: list[Any], tmp_path: Path) -> None:
    faces.append((20.0, 30.0, 100.0, 90.0))
    arguments = ("fit", photo, "--model", model_file, "--format", "pts")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err == f"clnf: {photo}: 2 faces found, but a .pts file holds one; give -o\n"
    assert run(capsys, *arguments, "-o", f"{tmp_path}/out/") == (0, "", "")
    assert run(capsys, *arguments, "-o", str(tmp_path / "out" / "named.pts")) == (0, "", "")
    assert files(tmp_path / "out") == ["named_1.pts", "named_2.pts", "photo_1.pts", "photo_2.pts"]
    _, as_json, _ = run(capsys, "fit", photo, "--model", model_file)
    for number, face in enumerate(json.loads(as_json)["faces"], start=1):
        assert read_pts(tmp_path / "out" / f"named_{number}.pts").tolist() == face["landmarks"]


def test_no_face(capsys: Output, model_file: str, tmp_path: Path) -> None:
    blank = save(tmp_path / "blank.png", np.full((80, 90), 128, np.uint8))
    code, out, err = run(capsys, "fit", blank, "--model", model_file)
    assert (code, err) == (1, f"clnf: {blank}: no face found\n")
    assert json.loads(out) == {"version": 1, "image": blank, "model": "tiny", "faces": []}
    for form in ("csv", "pts"):
        output = tmp_path / f"out.{form}"
        code, out, err = run(capsys, "fit", blank, "--model", model_file, "--format", form, "-o", str(output))
        assert (code, out, err) == (1, "", f"clnf: {blank}: no face found\n")
        assert not output.exists()
    output = tmp_path / "out.npz"
    assert run(capsys, "trace", blank, "--model", model_file, "-o", str(output))[0] == 1
    assert not output.exists()


def test_failed_fit(capsys: Output, photo: str, model_file: str, faces: list[Any]) -> None:
    faces.append((10.0, 10.0, 5.0, 5.0))  # too small for every stage
    code, out, err = run(capsys, "fit", photo, "--model", model_file)
    good, bad = json.loads(out, parse_constant=pytest.fail)["faces"]
    assert code == 1
    assert (good["success"], bad["success"], bad["likelihood"]) == (True, False, None)
    assert [stage["skipped"] for stage in bad["stages"]] == [True, True]
    assert err == f"clnf: {photo}, face 2 of 2: the fit failed: {bad['message']}\n"
    code, out, _ = run(capsys, "fit", photo, "--model", model_file, "--format", "csv")
    assert code == 1
    assert [row["face"] for row in csv.DictReader(out.splitlines())] == ["0"]
    faces.reverse()
    _, out, err = run(capsys, "fit", photo, "--model", model_file, "--format", "csv")
    assert [row["face"] for row in csv.DictReader(out.splitlines())] == ["1"]
    assert "face 1 of 2" in err
    del faces[1]
    for form in ("csv", "pts"):
        code, out, err = run(capsys, "fit", photo, "--model", model_file, "--format", form)
        assert (code, out) == (1, "")
        assert err == f"clnf: {photo}: the fit failed: {bad['message']}\n"


def test_numbers_that_are_not_finite_are_null() -> None:
    assert json_text({"a": [1.5, np.nan, (np.inf, "é")], "b": {"c": -np.inf}}) == (
        '{"a":[1.5,null,[null,"\\u00e9"]],"b":{"c":null}}\n'
    )


# --- several images, outputs ------------------------------------------------------------------------


def test_several_images_are_json_lines(capsys: Output, model_file: str, faces: list[Any], tmp_path: Path) -> None:
    images = [save(tmp_path / name) for name in ("b.png", "a.png", "ü.png")]
    code, out, err = run(capsys, "fit", *images, "--model", model_file)
    assert (code, err) == (0, "")
    assert [json.loads(line)["image"] for line in out.splitlines()] == images


def test_one_bad_image_does_not_stop_the_others(
    capsys: Output, model_file: str, faces: list[Any], tmp_path: Path
) -> None:
    first, last = save(tmp_path / "first.png"), save(tmp_path / "last.png")
    missing = str(tmp_path / "missing.png")
    code, out, err = run(capsys, "fit", first, missing, last, "--model", model_file)
    assert (code, err) == (2, f"clnf: {missing}: no such file\n")
    assert [json.loads(line)["image"] for line in out.splitlines()] == [first, last]


@pytest.mark.parametrize("form", ["json", "csv", "pts"])
def test_folder_of_results(capsys: Output, model_file: str, faces: list[Any], tmp_path: Path, form: str) -> None:
    images = [save(tmp_path / name) for name in ("one/face.png", "two/face.png", "two/other.v2.png")]
    folder = tmp_path / "made" / "results"
    arguments = ("fit", *images, "--model", model_file, "--format", form, "-o", str(folder))
    assert run(capsys, *arguments) == (0, "", "")
    expected = [f"face.{form}", f"face_2.{form}", f"other.v2.{form}"]
    assert files(folder) == expected
    if form == "json":
        documents = [json.loads((folder / name).read_text("ascii")) for name in expected]
        assert [document["image"] for document in documents] == images
    before = {name: (folder / name).read_bytes() for name in expected}
    assert run(capsys, *arguments) == (0, "", "")
    assert {name: (folder / name).read_bytes() for name in expected} == before
    assert len(files(folder)) == 6


def test_existing_folder_takes_the_result_of_one_image(capsys: Output, photo: str, model_file: str) -> None:
    folder = Path(photo).parent
    arguments = ("--model", model_file, "--box", BOX_TEXT, "-o", str(folder))
    assert run(capsys, "fit", photo, *arguments) == (0, "", "")
    assert run(capsys, "trace", photo, *arguments) == (0, "", "")
    assert files(folder) == ["photo.json", "photo.npz", "photo.png"]


def test_named_file_is_replaced(capsys: Output, photo: str, model_file: str, tmp_path: Path) -> None:
    output = tmp_path / "result"
    output.write_text("old")
    assert run(capsys, "fit", photo, "--model", model_file, "--box", BOX_TEXT, "-o", str(output)) == (0, "", "")
    assert json.loads(output.read_text("ascii"))["image"] == photo
    assert files(tmp_path) == ["photo.png", "result"]


# --- clnf trace, clnf model -------------------------------------------------------------------------


def test_trace_is_the_run_of_the_api(capsys: Output, photo: str, model_file: str, model: Model, tmp_path: Path) -> None:
    output = str(tmp_path / "run.npz")
    arguments = ("--model", model_file, "--box", BOX_TEXT, "-O", "sigma=2")
    assert run(capsys, "trace", photo, *arguments, "-o", output) == (0, "", "")
    trace = fit(tiny_image(), model, initial_from_box(model, BOX), FitOptions(sigma=2))
    loaded = Trace.load(output)
    assert divergence(trace, loaded) is None
    assert loaded.options == trace.options
    np.testing.assert_array_equal(loaded.image, tiny_image())


def test_trace_takes_the_first_face_and_keeps_a_failed_fit(
    capsys: Output, photo: str, model_file: str, faces: list[Any], tmp_path: Path
) -> None:
    output = str(tmp_path / "run.npz")
    faces.append((110.0, 5.0, 30.0, 30.0))
    assert run(capsys, "trace", photo, "--model", model_file, "-o", output) == (0, "", "")
    assert Trace.load(output).initial.box == faces[0]
    faces[:] = [(10.0, 10.0, 5.0, 5.0)]
    code, out, err = run(capsys, "trace", photo, "--model", model_file, "-o", output)
    trace = Trace.load(output)
    assert (code, out, err) == (1, "", f"clnf: {photo}: the fit failed: {trace.message}\n")
    assert not trace.success


def test_model_as_json(capsys: Output, model_file: str) -> None:
    code, out, err = run(capsys, "model", model_file, "--format", "json")
    document = json.loads(out, parse_constant=pytest.fail)
    assert (code, err) == (0, "")
    scales = document.pop("scales")
    assert document == {
        "version": 1,
        "name": "tiny",
        "path": model_file,
        "fingerprint": tiny_model().fingerprint,
        "landmarks": 68,
        "modes": 4,
        "parts": [],
        "triangulations": [3, 2],
        "validator": None,
        "unsupported": [],
        "problems": [],
    }
    assert [scale["patch_scaling"] for scale in scales] == [0.25, 0.35]
    assert scales[0]["sigma_components"] == [{"window": w, "components": 2} for w in (7, 9, 11)]
    whole = {"visible_landmarks": 68, "support": [11, 11], "neurons": [1, 3], "patch_confidence": [0.4, 0.9]}
    assert scales[0]["views"] == [
        {"centre_degrees": [0, 0, 0], **whole},
        {"centre_degrees": [0, 30, 0], **whole, "visible_landmarks": 58},
    ]


def test_model_as_text(capsys: Output, model_file: str) -> None:
    code, out, err = run(capsys, "model", model_file)
    assert (code, err) == (0, "")
    assert out.splitlines()[:11] == [
        "model tiny",
        f"  path            {model_file}",
        f"  fingerprint     {tiny_model().fingerprint}",
        "  landmarks       68",
        "  modes           4",
        "  triangulations  2 of 3 2 triangles",
        "  validator       none",
        "  unsupported     none",
        "  scale 0.25: Sigma components: window 7 x 2, window 9 x 2, window 11 x 2",
        "    view       centre (degrees)  visible  support  neurons  patch confidence",
        "       0              (0, 0, 0)       68  11 x 11   1 to 3        0.4 to 0.9",
    ]


def test_openface_model_is_described_with_its_parts(capsys: Output, shared: Path) -> None:
    code, out, _ = run(capsys, "model", str(shared / "openface" / "main_clnf_general.txt"), "--format", "json")
    document = json.loads(out)
    assert code == 0
    assert (document["landmarks"], document["modes"], len(document["scales"])) == (68, 34, 3)
    parts = {part["part"]: (part["landmarks"], len(part["landmark_pairs"])) for part in document["parts"]}
    assert parts == {"inner": (51, 51), "left_eye_28": (28, 6), "right_eye_28": (28, 6)}
    text = run(capsys, "model", str(shared / "openface" / "main_clnf_general.txt"))[1]
    assert "part inner: refines 51 landmarks, model main_clnf_inner" in text
    assert "-0" not in text


def test_photo_is_fitted_to_the_face_that_openface_detects(capsys: Output, shared: Path, openface_model: Model) -> None:
    image, model_file = str(shared / "samples" / "sample2.jpg"), str(shared / "openface" / "main_clnf_general.txt")
    code, out, err = run(capsys, "fit", image, "--model", model_file, "-O", "search=off")
    (face,) = json.loads(out)["faces"]
    assert (code, err, face["success"]) == (0, "", True)
    with np.load(shared / "golden" / "sample2.npz") as golden:
        assert np.abs(face["landmarks"] - golden["final_shape"]).max() < 1


# --- wrong input ------------------------------------------------------------------------------------


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no command": ((), "the following arguments are required"),
    "unknown command": (("fti", "{photo}"), "invalid choice: 'fti'"),
    "no image": (("fit", "--model", "{model}"), "the following arguments are required: IMAGE"),
    "unknown switch": (("fit", "{photo}", "--modle", "{model}"), "unrecognized arguments: --modle"),
    "abbreviated switch": (("fit", "{photo}", "--mod", "{model}"), "unrecognized arguments: --mod"),
    "unknown format": (("{fit}", "--format", "xml"), "argument --format: invalid choice: 'xml'"),
    "box of three": (("{fit}", "--box", "1,2,3"), "argument --box: found '1,2,3'; expected four numbers"),
    "box of words": (("{fit}", "--box", "a,b,c,d"), "argument --box: found 'a,b,c,d'; expected four numbers"),
    "box without value": (("{fit}", "--box"), "argument --box: expected one argument"),
    "flat box": (("{fit}", "--box", "1,2,3,0"), "box has width 3 and height 0; expected both above 0"),
    "box not finite": (("{fit}", "--box", "1,nan,3,4"), "expected four finite numbers"),
    "box and landmarks": (("{fit}", "--box", "1,2,3,4", "--landmarks", "a.pts"), "not allowed with argument"),
    "rotation of two": (("{fit}", "--rotation", "1,2"), "argument --rotation: found '1,2'; expected three angles"),
    "rotation of words": (("{fit}", "--rotation", "a,b,c"), "argument --rotation: found 'a,b,c'; expected three"),
    "rotation not finite": (("{fit}", "--box", "1,2,3,4", "--rotation", "0,0,nan"), "expected three finite angles"),
    "rotation of landmarks": (("{fit}", "--landmarks", "{two}", "--rotation", "0,0,1"), "landmarks have a rotation"),
    "truth for two images": (("{fit2}", "--truth", "{two}"), "--truth belongs to one image, but 2 are given"),
    "truth of another size": (("{fit}", "--truth", "{two}"), "two.pts: 2 points; expected 68, the landmarks of tiny"),
    "truth that is none": (("{fit}", "--truth", "{text}"), "line 1: found 'hello'; expected 'version: '"),
    "box for two images": (("{fit2}", "--box", "1,2,3,4"), "belong to one image, but 2 are given"),
    "csv of two images": (("{fit2}", "--format", "csv"), "needs a folder; give one with -o"),
    "pts of two images": (("{fit2}", "--format", "pts"), "needs a folder; give one with -o"),
    "unknown option": (("{fit}", "-O", "sigam=2"), "there is no option 'sigam'; expected one of windows"),
    "option without value": (("{fit}", "-O", "sigma"), "option 'sigma': expected key=value"),
    "wrong value": (("{fit}", "-O", "sigma=wide"), "sigma is 'wide'; expected a finite number"),
    "impossible value": (("{fit}", "-O", "windows=8"), "windows: found 8; expected 0 or odd numbers"),
    "unknown preset": (("{fit}", "--preset", "best"), "there is no preset 'best'; expected one of openface"),
    "no such model": (("fit", "{photo}", "--model", "nowhere"), "nowhere: no such file, folder or shipped model"),
    "model that is none": (("fit", "{photo}", "--model", "{text}"), "expected the main file of a CLNF model"),
    "model folder without": (("fit", "{photo}", "--model", "{folder}"), "holds no main file"),
    "missing image": (("fit", "missing.png", "--model", "{model}"), "missing.png: no such file"),
    "image is a folder": (("fit", "{folder}", "--model", "{model}"), "a folder; expected an image"),
    "image is text": (("fit", "{text}", "--model", "{model}"), "not an image that OpenCV can read"),
    "missing landmarks": (("{fit}", "--landmarks", "missing.pts"), "missing.pts: no such file"),
    "landmarks are text": (("{fit}", "--landmarks", "{text}"), "line 1: found 'hello'; expected 'version: '"),
    "too few landmarks": (("{fit}", "--landmarks", "{two}"), "two.pts: landmarks have shape (2, 2); this model"),
    "no folder for output": (("{fit}", "-o", "{folder}/none/x.json"), "cannot be written, there is no folder"),
    "output under a file": (("{fit}", "-o", "{text}/x.json"), "cannot be written, there is no folder"),
    "file as a folder": (("{fit2}", "-o", "{text}"), "cannot be made a folder for the results"),
    "output is the image": (("{fit}", "-o", "{photo}"), "is the input itself"),
    "endless name": (("{fit}", "-o", "{folder}/" + 300 * "x"), "File name too long"),
    "trace without output": (("trace", "{photo}", "--model", "{model}"), "are required: -o/--output"),
    "trace of two images": (("trace", "{photo}", "{photo}", "-o", "{folder}"), "unrecognized arguments"),
    "trace of nothing": (("trace", "missing.png", "--model", "{model}", "-o", "{folder}/t"), "no such file"),
    "trace over its image": (("trace", "{photo}", "--model", "{model}", "-o", "{photo}"), "is the input itself"),
    "trace under a file": (("trace", "{photo}", "--model", "{model}", "-o", "{text}/t"), "there is no folder"),
    "no model to describe": (("model",), "the following arguments are required: MODEL"),
    "nothing to describe": (("model", "nowhere"), "nowhere: no such file, folder or shipped model"),
    "unknown description": (("model", "{model}", "--format", "csv"), "invalid choice: 'csv'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence_and_code_2(capsys: Output, model_file: str, tmp_path: Path, case: str) -> None:
    text, two, folder = tmp_path / "text.txt", tmp_path / "two.pts", tmp_path / "folder"
    text.write_text("hello\n")
    two.write_text(pts_text(np.array([[1.0, 2], [3, 5]])))
    folder.mkdir()
    names = {"photo": save(tmp_path / "photo.png"), "model": model_file, "text": text, "two": two, "folder": folder}
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    words, problem = WRONG[case]
    if words[:1] in (("{fit}",), ("{fit2}",)):
        images = ["{photo}"] * (2 if words[0] == "{fit2}" else 1)
        words = ("fit", *images, "--model", "{model}", *words[1:])
    code, out, err = run(capsys, *(word.format(**names) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("clnf: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert problem in err
    assert "Traceback" not in err
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_model_must_be_named_where_the_shipped_one_is_missing(
    capsys: Output, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clnf_engine.library.shipped_models", dict)
    sentence = "clnf: portrait68: this installation lacks the model it should have; name another\n"
    assert run(capsys, "fit", photo) == (2, "", sentence)


def test_shipped_model_is_the_default(
    capsys: Output, photo: str, model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shipped"
    write_model(tiny_model(), folder)
    (folder / "tiny.txt").rename(folder / "main.txt")
    monkeypatch.setattr("clnf_engine.library.shipped_models", lambda: {"portrait68": folder})
    _, with_default, _ = run(capsys, "fit", photo, "--box", BOX_TEXT)
    _, named, _ = run(capsys, "fit", photo, "--box", BOX_TEXT, "--model", model_file)
    assert json.loads(with_default)["model"] == "main"
    assert json.loads(with_default)["faces"] == json.loads(named)["faces"]


def test_interrupt_and_lack_of_memory(
    capsys: Output, photo: str, model_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, expected in ((KeyboardInterrupt, (130, "", "")), (MemoryError, (2, "", "clnf: not enough memory\n"))):

        def fail(*_: Any, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr("clnf_engine.fitting.fit", fail)
        assert run(capsys, "fit", photo, "--model", model_file, "--box", BOX_TEXT) == expected


# --- the process ------------------------------------------------------------------------------------


def process(root: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *words], cwd=root, capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize(
    "words",
    [["--version"], ["--help"], *([c, "--help"] for c in ("fit", "trace", "model", "diagnose", "compare", "diff"))],
)
def test_help_loads_no_library(root: Path, words: list[str]) -> None:
    done = process(
        root,
        "-c",
        f"import sys; from clnf_engine.commandline.main import main; code = main({words!r})\n"
        "print(code, sorted({'numpy', 'cv2', 'scipy', 'matplotlib', 'numba'} & set(sys.modules)))",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "0 []"
    assert done.stdout.startswith("clnf " if words == ["--version"] else "usage: clnf")


def test_version(capsys: Output) -> None:
    assert run(capsys, "--version") == (0, f"clnf {clnf_engine.__version__}\n", "")


def test_process_reports_its_code(root: Path, photo: str, model_file: str) -> None:
    done = process(root, "-m", "clnf_engine", "fit", photo, "--model", model_file, "--box", BOX_TEXT)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["image"] == photo
    done = process(root, "-m", "clnf_engine", "fit", "missing.png", "--model", model_file)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "clnf: missing.png: no such file\n")


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently on Windows")
def test_closed_pipe_is_quiet(root: Path, model_file: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "clnf_engine", "model", model_file]
    done = subprocess.run(words, cwd=root, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_behind_stdout(root: Path, model_file: str) -> None:
    words = [sys.executable, "-m", "clnf_engine", "model", model_file]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, cwd=root, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "clnf: standard output: No space left on device\n")


def test_output_that_cannot_hold_a_name(root: Path, tmp_path: Path) -> None:
    main_file = write_model(tiny_model(), tmp_path / "modèle")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = process(root, "-m", "clnf_engine", "model", str(main_file), env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mod\\xe8le" in done.stdout
