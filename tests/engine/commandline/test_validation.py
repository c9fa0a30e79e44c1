"""``clnf validate``, ``clnf trace --like`` and what ``clnf diff`` can be told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Phase, Trace, first_divergence, fit, initial_from_box
from clnf_engine.diagnostics.holdings import NEEDS, holdings
from clnf_engine.trace import COMPARED

from ..cli_tools import BOX, Output, run
from ..io.test_trace_folder import entries_of, put
from ..tiny_model import tiny_image
from ..trace_tools import minimal, pack


@pytest.fixture
def trace(model: Model) -> Trace:
    return fit(tiny_image(), model, initial_from_box(model, BOX), FitOptions(sigma=2.0))


@pytest.fixture
def path(trace: Trace, tmp_path: Path) -> str:
    trace.save(tmp_path / "t.npz")
    return str(tmp_path / "t.npz")


def read(text: str) -> Any:
    return json.loads(text, parse_constant=pytest.fail)


# --- clnf validate ----------------------------------------------------------------------------------


def test_a_whole_trace_holds_everything(capsys: Output, path: str, trace: Trace, model: Model, model_file: str) -> None:
    code, out, err = run(capsys, "validate", path, "--format", "json", "--model", model_file)
    assert (code, err) == (0, "")
    document = read(out)
    assert document["model_matches"] is True and document["model_fingerprint"] == model.fingerprint
    assert (document["steps"], document["landmarks"]) == (len(trace.steps), 68)
    values = {value["name"]: value for value in document["values"]}
    assert set(COMPARED) < set(values)
    iterations = sum(step.phase in (Phase.RIGID, Phase.NONRIGID) for step in trace.steps)
    assert (values["delta"]["moments"], values["delta"]["of"], values["delta"]["dtype"]) == (
        iterations,
        iterations,
        "float64",
    )
    assert (values["responses.final"]["moments"], values["responses.final"]["landmarks"]) == (2, 68)
    assert values["params"]["of"] == len(trace.steps) and values["params"]["landmarks"] is None
    assert [one["missing"] for one in document["operations"]] == [[]] * len(NEEDS)
    assert document["converted"] == [] and document["start"] is True


def test_what_is_missing_is_told_in_words(capsys: Output, tmp_path: Path, model_file: str) -> None:
    arrays, header = minimal()
    header |= {
        "version": 2,
        "options": {"gamma": 2},
        "model_fingerprint": "0123456789abcdef",
        "conventions": ["degrees"],
    }
    arrays["params"] = arrays["params"].astype(">f4")
    arrays["landmarks"][:, 1] = np.nan
    (tmp_path / "five.npz").write_bytes(pack(arrays | {"mine": np.zeros(3)}, header))
    code, out, err = run(capsys, "validate", str(tmp_path / "five.npz"), "--model", model_file)
    assert (code, err) == (0, "")
    assert "fingerprint 0123456789abcdef, not that of the model given" in out
    assert "converted: params: float32 to float64" in out and "converted: array mine is not known and left out" in out
    assert "note: gamma = 2" in out and "convention: degrees" in out
    rows = {line.split()[0]: line.split() for line in out.split("What it holds")[1].splitlines() if line.strip()}
    assert rows["landmarks"][1:] == ["2", "2", "float64", "2"]
    assert rows["project"][1] == "yes" and rows["update"][1:] == ["no", "delta"]
    _, out, _ = run(capsys, "validate", str(tmp_path / "five.npz"), "--format", "json")
    document = read(out)
    assert document["model_matches"] is None and document["notes"] == {"gamma": 2}
    missing = {one["name"]: one["missing"] for one in document["operations"]}
    assert missing["sigma"] == ["responses.raw", "responses.after_sigma"] and missing["project"] == []


def test_a_folder_of_a_writer_that_died(capsys: Output, trace: Trace, tmp_path: Path) -> None:
    put(tmp_path, entries_of(trace, tmp_path)[:3])
    with open(tmp_path / "trace.jsonl", "a") as file:
        file.write('{"phase": "rig')
    code, out, err = run(capsys, "validate", str(tmp_path))
    assert (code, err) == (0, "") and "converted: the last line, line 4, is torn and left out" in out


@pytest.mark.parametrize("bad", ["none.npz", ".", "text.txt"])
def test_what_is_no_trace(capsys: Output, tmp_path: Path, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("hello")
    code, out, err = run(capsys, "validate", bad)
    assert (code, out) == (2, "") and err.count("\n") == 1 and bad in err


def test_holdings_of_an_unknown_model(trace: Trace) -> None:
    assert holdings(replace(trace, fingerprint="")).matches is None
    assert "fingerprint is not recorded" in next(holdings(replace(trace, fingerprint="")).lines())


# --- clnf trace --like ------------------------------------------------------------------------------


def test_the_counterpart_of_a_trace(capsys: Output, path: str, trace: Trace, model_file: str, tmp_path: Path) -> None:
    out = tmp_path / "own.npz"
    assert run(capsys, "trace", "--like", path, "--model", model_file, "-o", str(out)) == (0, "", "")
    assert first_divergence(Trace.load(out), trace) is None
    code, said, _ = run(capsys, "diff", path, str(out))
    assert code == 0 and "identical, bit for bit" in said
    assert run(capsys, "trace", "--like", path, "--model", model_file, "-o", str(out), "-O", "sigma=3")[0] == 0
    assert Trace.load(out).options == replace(trace.options, sigma=3.0)


def test_what_has_no_counterpart(capsys: Output, path: str, photo: str, model_file: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.npz"
    arrays, header = minimal()
    foreign.write_bytes(pack(arrays, header))
    lost = tmp_path / "lost.npz"
    del arrays["initial_params"], arrays["params"]
    lost.write_bytes(pack(arrays, header | {"version": 2}))
    other = tmp_path / "other.npz"
    replace(Trace.load(path), fingerprint="0123456789abcdef").save(other)
    for words, expected in (
        ((), "either IMAGE or --like"),
        ((photo, "--like", path), "either IMAGE or --like"),
        (("--like", path, "--box", "1,2,3,4"), "no --box"),
        (("--like", str(foreign)), "7 parameters"),
        (("--like", str(lost)), "start is not recorded"),
        (("--like", str(other)), "fingerprint 0123456789abcdef"),
        (("--like", str(tmp_path / "none.npz")), "none.npz"),
    ):
        code, out, err = run(capsys, "trace", *words, "--model", model_file, "-o", str(tmp_path / "o.npz"))
        assert (code, out) == (2, "") and expected in err and err.count("\n") == 1, words
    code, _, err = run(capsys, "trace", "--like", path, "--model", model_file, "-o", path)
    assert code == 2 and "is the input itself" in err


# --- clnf diff --------------------------------------------------------------------------------------


def test_diff_with_a_tolerance_and_a_model(capsys: Output, path: str, trace: Trace, model_file: str) -> None:
    other = str(Path(path).with_name("other.npz"))
    steps = list(trace.steps)
    steps[3] = replace(steps[3], delta=steps[3].delta + np.array([0, 0, 0, 0, 0.3, 0.4]))
    replace(trace, steps=tuple(steps)).save(other)
    assert "delta differs by 0.5" in run(capsys, "diff", other, path, "--model", model_file)[1]
    assert (
        "equal within 0.6: delta differs most, by 0.5 px a landmark is moved"
        in (run(capsys, "diff", other, path, "--tolerance", "0.6")[1])
    )
    assert "delta differs by 0.4" in run(capsys, "diff", other, path, "--tolerance", "0")[1], "absolute, bit by bit"
    for bad in ("-1", "x", "nan", "inf"):
        code, _, err = run(capsys, "diff", other, path, f"--tolerance={bad}")
        assert code == 2 and "expected a number from 0" in err


def test_a_float32_run_is_equal_within_float32_rounding(capsys: Output, trace: Trace, model: Model, path: str) -> None:
    other = str(Path(path).with_name("single.npz"))
    fit(trace.image, model, trace.initial, replace(trace.options, precision="float32")).save(other)
    code, out, _ = run(capsys, "diff", other, path)
    assert code == 0 and "equal within float32 rounding" in out


def least(trace: Trace, name: str) -> Trace:
    """A run of which only parameters or landmarks are known, of iterations alone."""
    gone = dict.fromkeys(("responses", "mean_shift", "weights", "jacobian", "hessian", "gradient", "delta"))
    gone |= dict.fromkeys(("landmarks_before", "clamped", "likelihoods", "update_norm", "shape_change", "likelihood"))
    blank = {"params": lambda s: np.full(6, np.nan), "landmarks": lambda s: np.zeros((0, 2))}
    other = "landmarks" if name == "params" else "params"
    kept = [step for step in trace.steps if step.iteration is not None]
    steps = tuple(replace(step, **gone, **{other: blank[other](step)}) for step in kept)
    return replace(trace, steps=steps)


@pytest.mark.parametrize("name", ["params", "landmarks"])
def test_diff_of_the_least(capsys: Output, path: str, trace: Trace, model_file: str, name: str) -> None:
    """Half a run against the whole: what both have is equal, in text, as JSON and as a report."""
    folder = Path(path).parent
    few, report = str(folder / "few.npz"), folder / "r.html"
    least(trace, name).save(few)
    for a, b in ((few, path), (path, few), (few, few)):
        for words in ((), ("--model", model_file), ("--format", "json"), ("--report", str(report))):
            code, out, err = run(capsys, "diff", a, b, *words)
            assert (code, err) == (0, "")
            if "json" in words:
                (finding,) = read(out)["findings"]
                assert finding["answer"] is False
                rows = {row[0]: row[1] for row in finding["tables"][0]["rows"]}
                assert rows[name] == 0
            else:
                assert "No: the two runs are" in out
        assert report.stat().st_size > 10_000
    code, out, _ = run(capsys, "diff", few, path, "--model", model_file, "--format", "json")
    rows = {row[0]: row[1] for row in read(out)["findings"][0]["tables"][0]["rows"]}
    assert rows["landmarks"] < 1e-9, "projected by the model where they were not recorded"
