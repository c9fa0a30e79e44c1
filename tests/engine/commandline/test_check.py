"""``clnf check``: exit codes, text, JSON, report, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clnf_engine import FitOptions, fit, initial_from_box, load_model
from clnf_engine.operations import OPERATIONS

from ..cli_tools import BOX, Output, run
from ..tiny_model import tiny_image


def recorded(folder: Path, **options: float | bool) -> str:
    """A trace of the shipped model, which is the one that ``clnf check`` takes when none is named."""
    model = load_model()
    path = folder / "trace.npz"
    fit(tiny_image(), model, initial_from_box(model, BOX), FitOptions(**options)).save(path)
    return str(path)


def test_a_right_run_conforms(tmp_path: Path, capsys: Output) -> None:
    code, out, err = run(capsys, "check", recorded(tmp_path))
    assert (code, err) == (0, "")
    assert out.startswith("All ") and "conform" in out.splitlines()[0]
    assert all(any(line.split()[:1] == [name] for line in out.splitlines()) for name in OPERATIONS)


def test_a_wrong_run_does_not(tmp_path: Path, capsys: Output) -> None:
    trace, report = recorded(tmp_path, step_damping=0.75), tmp_path / "why.html"
    code, out, err = run(capsys, "check", trace, "--format", "json", "--report", str(report))
    assert (code, err) == (1, "")
    said = json.loads(out)
    assert (said["version"], said["trace"], said["conforms"]) == (1, trace, False)
    assert [row["name"] for row in said["operations"]] == list(OPERATIONS)
    (row,) = [row for row in said["operations"] if row["status"] == "fails"]
    assert (row["name"], row["first"]) == ("update", {"stage": 1, "phase": "rigid", "iteration": 1})
    assert row["wrong"] == row["rows"] > 5 and row["error"] > 1e-4 > row["float32"] and row["effect_px"] > 0
    assert row["mistakes"][0].keys() == {"name", "text", "error"}
    assert row["mistakes"][0]["name"] == "step_damping"
    assert said["verdict"].startswith("The update is multiplied by 0.75 (update, from stage 1 rigid 1")
    assert said["verdict"] in report.read_text()


def test_the_tolerance_is_a_choice(tmp_path: Path, capsys: Output) -> None:
    trace = recorded(tmp_path, precision="float32")  # type: ignore[arg-type]
    assert run(capsys, "check", trace)[0] == 0
    assert run(capsys, "check", trace, "--tolerance", "1e-9")[0] == 1


def test_mistakes_of_ones_own_are_tried(tmp_path: Path, capsys: Output) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from clnf_engine.checking.mistakes import Mistake\n"
        "from clnf_engine.pdm import update\n"
        "short = lambda v: update(v.params_before, 0.75 * v.delta)\n"
        "MISTAKES = [Mistake('mine', 'update', 'my step is short', short)]\n"
    )
    trace = recorded(tmp_path, step_damping=0.75)
    assert "My step is short (update" in run(capsys, "check", trace, "--mistakes", str(mine))[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.npz"], "none.npz"),
        (["{trace}", "--model", "nothing-here"], "nothing-here"),
        (["{trace}", "--mistakes", "{trace}"], "fails when it is run"),
        (["{trace}", "--tolerance", "0"], "expected a number between 0 and 1"),
        (["{trace}", "--report", "{trace}"], "is the input itself"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], message: str, tmp_path: Path, capsys: Output) -> None:
    trace = recorded(tmp_path)
    code, out, err = run(capsys, "check", *(argument.format(trace=trace) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1
