"""``clnf diagnose``, ``clnf compare`` and ``clnf diff``: what they print is what the engine's functions return."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Trace, fit, initial_from_box, preset
from clnf_engine.calibration import judge
from clnf_engine.commandline.text import table_text
from clnf_engine.diagnostics.divergence import divergence
from clnf_engine.diagnostics.finding import Finding, Table, cell_text, finding_document
from clnf_engine.diagnostics.tools import TOOLS, Tool, counterpart, diagnose, tools_named
from clnf_engine.documents import json_text

from ..cli_tools import BOX, BOX_TEXT, Output, files, run, save
from ..tiny_model import tiny_image
from ..trace_tools import minimal, pack

QUICK = "magnitudes,fixed_point,divergence"


def fitted(model: Model, options: FitOptions | None = None) -> Trace:
    return fit(tiny_image(), model, initial_from_box(model, BOX), options)


def documents(found: Sequence[tuple[Tool, Finding]]) -> list[Any]:
    """Findings as a reader of the JSON sees them."""
    return [json.loads(json_text(finding_document(tool.name, finding))) for tool, finding in found]


def run_rows(out: str) -> dict[str, list[str]]:
    """The table of the runs: a cell per run by the name of its row."""
    lines = out.split("\n\n")[1].splitlines()
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines[2:]]
    return {row[0]: row[1:] for row in cells}


def read(text: str) -> Any:
    return json.loads(text, parse_constant=pytest.fail)


# --- clnf diagnose ----------------------------------------------------------------------------------


def test_every_tool_is_run_and_all_it_found_is_in_the_json(
    capsys: Output, photo: str, model_file: str, model: Model
) -> None:
    words = ("diagnose", photo, "--model", model_file, "--box", BOX_TEXT, "--format", "json")
    code, out, err = run(capsys, *words)
    trace = fitted(model)
    assert (code, err) == (0, "")
    document = read(out)
    assert list(document) == ["version", "title", "command", "versions", "runs", "findings", "note"]
    assert document["command"] == " ".join(["clnf", *words])
    (shown,) = document["runs"]
    assert shown["landmarks"] == trace.landmarks.tolist()
    assert shown["options"] == trace.options.to_json()
    assert (shown["model"], shown["image_size"]) == ("tiny", [144, 150])
    assert (shown["update_norm"], shown["shape_change"]) == (trace.steps[-2].update_norm, trace.steps[-2].shape_change)
    found = list(diagnose(trace, model))
    assert [tool.name for tool, _ in found] == list(TOOLS)
    assert document["findings"] == documents(found)
    assert document["note"] == "Where two runs are compared, B is the same fit with normalization peak."


def test_text_ends_with_the_verdicts(capsys: Output, photo: str, model_file: str, model: Model) -> None:
    words = ("--model", model_file, "--box", BOX_TEXT, "--tools", QUICK, "-O", "windows=9,7", "-O", "sum_guard=on")
    code, out, err = run(capsys, "diagnose", photo, *words)
    trace = fitted(model, FitOptions(windows=(9, 7), sum_guard=True))
    found = list(diagnose(trace, model, tools=tools_named(QUICK.split(","))))
    assert (code, err) == (0, "")
    evidence, _, verdicts = out.partition("\nVerdicts\n")
    verdict = judge(trace.steps, model, trace.options)
    assert [line.strip() for line in verdicts.splitlines()[1:]] == [
        *("The fit: Has the fit worked?", verdict.sentence, verdict.basis),
        *(line for tool, finding in found for line in (f"{tool.title}: {finding.question}", finding.verdict)),
    ]
    for _, finding in found:
        assert finding.provenance in evidence
        for table in finding.tables():
            assert table.title in evidence
    rows = run_rows(out)
    assert out.startswith(f"Diagnosis of {photo}\n")
    assert rows["image, px"] == ["144 x 150"]
    assert (rows["model"], rows["start"]) == (["tiny"], ["box"])
    assert rows["box x, y, width, height, px"] == ["9, 27, 130, 120"]
    assert (rows["option windows"], rows["deviation kernel sum guard (sum_guard)"]) == (["9,7"], ["yes"])
    summary = trace.stages[0]
    counts = f"{summary.rigid_iterations} rigid, {summary.nonrigid_iterations} non-rigid"
    assert rows["stage 1"] == [f"scale 0.25, window 9: {counts}"]
    assert rows["likelihood"] == [f"{trace.likelihood:.4g}"]
    assert rows["final update ‖Δp‖"] == [f"{trace.steps[-2].update_norm:.4g}"]
    assert rows["tx, px"] == [f"{trace.params_global[4]:.4g}"]


def test_options_that_are_openface_s_are_not_listed(capsys: Output, photo: str, model_file: str) -> None:
    words = ("--model", model_file, "--box", BOX_TEXT, "--tools", "fixed_point", "-O", "windows=11")
    _, out, _ = run(capsys, "diagnose", photo, *words)
    assert "option sigma" not in out
    assert "skipped: no window for this scale" in out
    assert "Where two runs" not in out  # no tool compares
    _, out, _ = run(capsys, "diagnose", photo, *words[:-2])
    assert "OpenFace's" in out


def test_a_failed_fit_is_diagnosed(capsys: Output, photo: str, model_file: str) -> None:
    arguments = ("--model", model_file, "--box", "10,10,5,5")
    message = "the fit failed: no stage was run: the face is too small or every window is 0"
    code, out, err = run(capsys, "diagnose", photo, *arguments, "--format", "json")
    assert (code, err) == (1, f"clnf: {photo}: {message}\n")
    assert [finding["tool"] for finding in read(out)["findings"]] == list(TOOLS)
    code, out, err = run(capsys, "compare", photo, *arguments)
    assert (code, err) == (1, f"clnf: {photo}, A: {message}\nclnf: {photo}, B: {message}\n")
    assert "Verdicts" in out


def test_no_face(capsys: Output, model_file: str, tmp_path: Path) -> None:
    blank = save(tmp_path / "blank.png", np.full((80, 90), 128, np.uint8))
    for command in ("diagnose", "compare"):
        words = (blank, "--model", model_file, "--report", str(tmp_path / "r.html"))
        assert run(capsys, command, *words) == (1, "", f"clnf: {blank}: no face found\n")
    assert files(tmp_path) == ["blank.png"]


def test_manual_lists_every_tool(root: Path) -> None:
    manual = (root / "docs" / "cli.md").read_text("utf-8")
    assert all(f"| `{tool.name}` | {tool.question} |\n" in manual for tool in TOOLS.values())


# --- clnf compare -----------------------------------------------------------------------------------


def test_without_sides_normalization_none_is_compared_with_peak(
    capsys: Output, photo: str, model_file: str, model: Model
) -> None:
    words = ("--model", model_file, "--box", BOX_TEXT, "--format", "json", "-O", "sigma=2")
    code, out, err = run(capsys, "compare", photo, *words)
    a = fitted(model, FitOptions(sigma=2))
    b = counterpart(a, model)
    assert (code, err) == (0, "")
    document = read(out)
    assert [shown["name"] for shown in document["runs"]] == ["A", "B"]
    assert [shown["options"] for shown in document["runs"]] == [a.options.to_json(), b.options.to_json()]
    assert document["findings"] == documents(list(diagnose(a, model, b, tools_named(["jitter", "divergence"]))))
    assert document["note"] == ""


@pytest.mark.parametrize(
    ("words", "a", "b"),
    [
        (("-A", "sigma=2"), FitOptions(sigma=2), FitOptions()),
        (("-B", "sigma=2", "-B", "reg_factor=5"), FitOptions(), FitOptions(sigma=2, reg_factor=5)),
        (("-O", "sigma=3", "-A", "sigma=2"), FitOptions(sigma=2), FitOptions(sigma=3)),
        (
            ("--preset", "openface-wild", "-O", "sigma=3", "-B", "preset=openface"),
            replace(preset("openface-wild"), sigma=3),
            FitOptions(sigma=3),
        ),
    ],
)
def test_options_of_the_sides(
    capsys: Output, photo: str, model_file: str, words: tuple[str, ...], a: FitOptions, b: FitOptions
) -> None:
    _, out, _ = run(capsys, "compare", photo, "--model", model_file, "--box", BOX_TEXT, "--format", "json", *words)
    assert [shown["options"] for shown in read(out)["runs"]] == [a.to_json(), b.to_json()]


def test_compare_as_text_shows_both_runs_side_by_side(
    capsys: Output, photo: str, model_file: str, model: Model
) -> None:
    words = ("--model", model_file, "--box", BOX_TEXT, "-A", "sigma=2")
    code, out, err = run(capsys, "compare", photo, *words)
    a, b = fitted(model, FitOptions(sigma=2)), fitted(model)
    assert (code, err) == (0, "")
    rows = run_rows(out)
    assert rows["option sigma"] == ["2", "1.5"]
    assert rows["likelihood"] == [f"{a.likelihood:.4g}", f"{b.likelihood:.4g}"]
    finding = divergence(a, b)
    assert finding.verdict in out
    assert f"{finding.growth.distance[-1]:.4g}" in out


# --- clnf diff --------------------------------------------------------------------------------------


@pytest.fixture
def traces(model: Model, tmp_path: Path) -> tuple[str, str]:
    """Two recorded runs."""
    paths = str(tmp_path / "a.npz"), str(tmp_path / "b.npz")
    fitted(model).save(paths[0])
    fitted(model, FitOptions(sigma=2)).save(paths[1])
    return paths


def test_diff_of_recorded_runs(capsys: Output, traces: tuple[str, str], model: Model) -> None:
    code, out, err = run(capsys, "diff", *traces)
    finding = divergence(fitted(model), fitted(model, FitOptions(sigma=2)))
    assert (code, err) == (0, "")
    assert out.startswith(f"{traces[0]} (A) against {traces[1]} (B)\n")
    assert out.endswith(f"    {finding.verdict}\n")
    assert "Whether the difference is noise cannot be told from saved traces" in out
    _, out, _ = run(capsys, "diff", *traces, "--format", "json")
    assert read(out)["findings"] == documents([(TOOLS["divergence"], finding)])
    _, out, _ = run(capsys, "diff", traces[0], traces[0])
    assert "identical, bit for bit" in out


def test_diff_of_a_trace_that_holds_next_to_nothing(capsys: Output, tmp_path: Path) -> None:
    path, report = tmp_path / "other.npz", tmp_path / "r.html"
    path.write_bytes(pack(*minimal()))
    code, out, err = run(capsys, "diff", str(path), str(path), "--report", str(report))
    assert (code, err) == (0, "")
    assert "identical, bit for bit" in out
    assert "identical, bit for bit" in report.read_text("utf-8")


def test_diff_of_other_numbers_of_landmarks(capsys: Output, traces: tuple[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    other.write_bytes(pack(*minimal()))
    code, out, err = run(capsys, "diff", traces[0], str(other))
    sentence = "the runs have 68 and 3 landmarks; expected the same number"
    assert (code, out, err) == (2, "", f"clnf: {traces[0]}, {other}: {sentence}\n")


# --- wrong input ------------------------------------------------------------------------------------


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown tool": (("diagnose", "{photo}", "--tools", "magnitudes,magic"), "there is no tool 'magic'; expected"),
    "no tool": (("diagnose", "{photo}", "--tools", ""), "there is no tool ''; expected some of conformance"),
    "no image": (("diagnose", "missing.png", "--model", "{model}"), "missing.png: no such file"),
    "several images": (("diagnose", "{photo}", "{photo}"), "unrecognized arguments"),
    "unknown option": (("compare", "{photo}", "-A", "sigam=2"), "there is no option 'sigam'"),
    "no value": (("compare", "{photo}", "-B", "sigma"), "option 'sigma': expected key=value"),
    "wrong value": (("compare", "{photo}", "-A", "sigma=wide"), "sigma is 'wide'; expected a finite number"),
    "unknown preset": (("compare", "{photo}", "-A", "preset=best"), "there is no preset 'best'"),
    "no model": (("compare", "{photo}", "--model", "nowhere"), "nowhere: no such file, folder or shipped model"),
    "one trace": (("diff", "{text}"), "the following arguments are required: B.npz"),
    "no trace": (("diff", "missing.npz", "{text}"), "missing.npz: no such file"),
    "text as trace": (("diff", "{text}", "{text}"), "text.txt: "),
    "unknown format": (("diff", "{text}", "{text}", "--format", "csv"), "invalid choice: 'csv'"),
    "report without a folder": (("{diagnose}", "--report", "{folder}/none/r.html"), "there is no folder"),
    "report is a folder": (("{diagnose}", "--report", "{folder}"), "is a folder; expected a file for the result"),
    "report over the image": (("{diagnose}", "--report", "{photo}"), "is the input itself"),
    "report over a trace": (("diff", "{text}", "{photo}", "--report", "{photo}"), "is the input itself"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence_and_code_2(capsys: Output, model_file: str, tmp_path: Path, case: str) -> None:
    text, folder = tmp_path / "text.txt", tmp_path / "folder"
    text.write_text("hello\n")
    folder.mkdir()
    names = {"photo": save(tmp_path / "photo.png"), "model": model_file, "text": text, "folder": folder}
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    words, problem = WRONG[case]
    if words[0] == "{diagnose}":
        words = ("diagnose", "{photo}", "--model", "{model}", *words[1:])
    code, out, err = run(capsys, *(word.format(**names) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("clnf: ")
    assert err.count("\n") == 1
    assert problem in err
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_report_that_cannot_be_written(
    capsys: Output, photo: str, model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = str(tmp_path / (250 * "x"))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    words = ("--model", model_file, "--box", BOX_TEXT, "--tools", "fixed_point", "--report", report)
    code, out, err = run(capsys, "diagnose", photo, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("xxx: cannot be written (No space left on device)\n")
    assert files(tmp_path) == ["photo.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_name_that_is_not_text(capsys: Output, model_file: str, tmp_path: Path) -> None:
    photo, report = save(tmp_path / "caf\udce9.png"), tmp_path / "r.html"
    words = ("--model", model_file, "--box", BOX_TEXT, "--tools", "fixed_point", "--report", str(report))
    code, out, err = run(capsys, "diagnose", photo, *words)
    assert (code, err) == (0, "")
    assert "caf\\udce9.png" in out
    assert "caf\\udce9.png" in report.read_text("utf-8")


# --- tables -----------------------------------------------------------------------------------------


def test_table_as_text() -> None:
    eye, nose, other = ("left eye", 1, 0.000123456, True), ("nose", 20, float("nan"), False), (None, 3, 1e9, None)
    assert table_text(Table("Things", ("part", "count", "size, px", "weak"), (eye, nose, other))).splitlines() == [
        "Things",
        "  part      count   size, px  weak",
        "  left eye      1  0.0001235   yes",
        "  nose         20          -    no",
        "  -             3      1e+09     -",
    ]


def test_headings_of_a_wide_table_are_broken() -> None:
    columns = ("landmark", *(20 * ["largest difference of the mean-shift"]))
    lines = table_text(Table("Wide", columns, ((0, *(20 * [1.0])),))).splitlines()
    assert [line.split()[0] for line in lines] == ["Wide", "largest", "difference", "of", "landmark", "0"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_table_without_rows() -> None:
    assert table_text(Table("Nothing", ("a", "b"), ())) == "Nothing\n  a  b"


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "-"), (float("nan"), "-"), (True, "yes"), (12345678, "12345678"), (12345678.0, "1.235e+07"), ("a", "a")],
)
def test_cells(cell: Any, text: str) -> None:
    assert cell_text(cell) == text
