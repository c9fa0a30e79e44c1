"""docs/ports.md: every number and every verdict on it comes from the script and the commands that it names."""

from __future__ import annotations

import json
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from clnf_engine.checking.vectors import check_function
from clnf_engine.commandline.main import main

ROOT = Path(__file__).parents[2]
PAGE = re.sub(r"[\s>]+", " ", (ROOT / "docs" / "ports.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ports() -> Any:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import ports

        return ports
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def printed(ports: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    where, out = tmp_path_factory.mktemp("ports"), StringIO()
    with redirect_stdout(out):
        ports.main(str(where))
    return where, out.getvalue()


@pytest.fixture
def folder(printed: tuple[Path, str]) -> Path:
    return printed[0]


def checked(capsys: pytest.CaptureFixture[str], trace: Path) -> tuple[int, dict[str, Any]]:
    code = main(["check", str(trace), "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_runs_end_as_the_page_tells(printed: tuple[Path, str]) -> None:
    numbers = re.findall(r"(\w+): final update (\S+), log-likelihood (\S+)", printed[1])
    assert [name for name, *_ in numbers] == ["faulty", "half", "repaired"]
    assert all(f"| {update} | {likelihood} |" in PAGE for _, update, likelihood in numbers)


def test_the_check_says_what_the_page_quotes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(capsys, folder / "faulty.npz")
    assert code == 1 and said["verdict"] in PAGE
    for row in said["operations"]:
        if row["status"] == "fails":
            line = next(part for part in PAGE.split(" | | ") if f"`{row['name']}` |" in part)
            cells = [cell.strip() for cell in line.split("|")]
            assert (
                f"{row['error']:.4g}" in line and f"{row['effect_px']:.4g}" in line and f"{row['float32']:.1e}" in line
            )
            assert str(row["wrong"]) in cells and str(row["rows"]) in cells
    matrix = {entry["with"]: entry["landmarks_px"] for entry in said["repair"]}
    assert f"| no mistake | {matrix['no mistake']:.3g} |" in PAGE
    assert f"| all | {matrix['all']:.3f} |" in PAGE
    assert f"| only `offset_not_turned` | {matrix['only offset_not_turned']:.3g} |" in PAGE
    assert f"| only `euler_transposed` | {matrix['only euler_transposed']:.4g} |" in PAGE


@pytest.mark.parametrize(("name", "fails"), [("half", 1), ("repaired", 0)])
def test_the_repair_is_seen(name: str, fails: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(capsys, folder / f"{name}.npz")
    assert (code, sum(row["status"] == "fails" for row in said["operations"])) == (min(fails, 1), fails)
    if not fails:
        right, rows = re.findall(r"All (\d+) operations .* in (\d+) evaluations", said["verdict"])[0]
        assert f"all {right} operations conform, in {rows} evaluations" in PAGE


def test_the_runs_part_where_the_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = folder / "own.npz"
    assert main(["trace", "--like", str(folder / "faulty.npz"), "-o", str(own)]) == 0
    assert main(["diff", str(folder / "faulty.npz"), str(own)]) == 0
    said = capsys.readouterr().out
    assert "rigid 1 and end 23.8 px apart" in said and "end 23.8 px apart" in PAGE


def test_the_function_alone_is_named_too(ports: Any) -> None:
    found = check_function("update", ports.update)
    assert str(found.status) == "fails" and any(mistake.text in PAGE for mistake in found.mistakes)
    assert str(check_function("position", ports.position).status) == "fails"
