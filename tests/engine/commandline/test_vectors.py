"""``clnf vectors`` and ``clnf check-vectors``: what is written, exit codes, what is refused; the reader of the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from clnf_engine import load_model
from clnf_engine.checking import vectors
from clnf_engine.errors import OperationError
from clnf_engine.io.openface import write_model
from clnf_engine.operations import OPERATIONS
from clnf_engine.pdm import euler_angles, rotation_matrix, update

from ..cli_tools import Output, run
from ..tiny_model import one_view

PAGE = Path(__file__).parents[3] / "docs" / "vectors.md"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors") / "v"
    vectors.write_vectors(folder, load_model())
    return folder


def outputs_of(written: Path, folder: Path, *operations: str) -> list[Path]:
    """Right outputs, copied."""
    index = json.loads((written / "index.json").read_text())
    files = [case["output"] for row in index["operations"] if row["name"] in operations for case in row["cases"]]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(written / file, folder / file)
    return [folder / file for file in files]


def test_the_index_tells_of_every_value(written: Path) -> None:
    index = json.loads((written / "index.json").read_text())
    assert [row["name"] for row in index["operations"]] == list(OPERATIONS)
    for row in index["operations"]:
        assert tuple(row["reads"]) == OPERATIONS[row["name"]].reads and list(row["gives"]) == [
            OPERATIONS[row["name"]].gives
        ]
        for case in row["cases"]:
            files = [case["output"], *(name for name in case["inputs"].values() if name.endswith(".npy"))]
            assert all((written / file).is_file() for file in files)
            assert {name.partition(".")[0] for name in case["inputs"]} <= set(row["reads"])


def test_the_command_writes_a_new_folder_or_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontal = write_model(one_view(load_model()), tmp_path_factory.mktemp("frontal"))
    code, out, err = run(capsys, "vectors", str(tmp_path / "v"), "--model", str(frontal))
    assert (code, err) == (0, "") and "cases in" in out and "view: with this model, no case" in out
    code, out, err = run(capsys, "vectors", str(tmp_path / "v"))
    assert (code, out) == (2, "") and "is there already" in err

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vectors.np, "save", full)
    code, _, err = run(capsys, "vectors", str(tmp_path / "w"))
    assert code == 2 and "No space left" in err
    assert [path.name for path in tmp_path.iterdir()] == ["v"]


def test_right_outputs_conform_also_in_float32(written: Path, tmp_path: Path, capsys: Output) -> None:
    for file in outputs_of(written, tmp_path, "update", "jacobian", "area"):
        np.save(file, np.load(file).astype(np.float32))
    code, out, err = run(capsys, "check-vectors", str(written), str(tmp_path))
    assert (code, err) == (0, "") and out.startswith("All 3 operations that the outputs hold conform")


def test_a_wrong_output_is_named(written: Path, tmp_path: Path, capsys: Output) -> None:
    outputs_of(written, tmp_path, "project")
    for file in outputs_of(written, tmp_path, "update"):
        case = written / file.relative_to(tmp_path).parent
        moved = update(np.load(case / "params_before.npy"), np.load(case / "delta.npy"))
        moved[1:4] = euler_angles(rotation_matrix(moved[1:4]).T)
        np.save(file, moved)
    code, out, err = run(capsys, "check-vectors", str(written), str(tmp_path), "--format", "json")
    assert (code, err) == (1, "")
    said = {row["name"]: row for row in json.loads(out)["operations"]}
    assert said["project"]["status"] == "conforms" and said["delta"]["status"] == "not recorded"
    assert said["update"]["status"] == "fails" and said["update"]["wrong"] == said["update"]["rows"] == 8
    assert "euler_transposed" in [mistake["name"] for mistake in said["update"]["mistakes"]]


def test_an_output_that_is_not_finite_fails(written: Path, tmp_path: Path, capsys: Output) -> None:
    file = outputs_of(written, tmp_path, "delta")[0]
    np.save(file, np.full_like(np.load(file), np.nan))
    assert run(capsys, "check-vectors", str(written), str(tmp_path))[0] == 1


def test_bad_input_gets_a_sentence(written: Path, tmp_path: Path, capsys: Output) -> None:
    def refused(vector_folder: Path, outputs: Path, *said: str) -> None:
        code, out, err = run(capsys, "check-vectors", str(vector_folder), str(outputs))
        assert (code, out) == (2, "") and all(words in err for words in said) and err.count("\n") == 1

    refused(written, tmp_path / "none", "no such folder")
    refused(written, tmp_path, "holds no output", "init/1/params.npy")
    refused(tmp_path, written, "index.json", "no such file")
    file = outputs_of(written, tmp_path, "delta")[0]
    np.save(file, np.zeros(3))
    refused(written, tmp_path, str(file), "expected")
    file.write_bytes(b"\x93NUMPY\x01\x00\xff")
    refused(written, tmp_path, str(file), "no .npy file")
    np.save(file, np.array([None]), allow_pickle=True)
    refused(written, tmp_path, str(file), "no .npy file")
    with open(file, "wb") as archive:
        np.savez(archive, a=np.zeros(3))
    refused(written, tmp_path, str(file), "no .npy file, but several in an archive")
    other = tmp_path / "other"
    shutil.copytree(written, other)
    index = json.loads((other / "index.json").read_text()) | {"model_fingerprint": "0"}
    (other / "index.json").write_text(json.dumps(index))
    refused(other, written, "fingerprint")
    (other / "index.json").write_text("{")
    refused(other, written, "is not JSON")


def test_a_function_is_refused_by_a_sentence() -> None:
    with pytest.raises(OperationError, match="there is no operation 'updte'"):
        vectors.check_function("updte", update)
    with pytest.raises(OperationError, match=r"expected numbers of shape"):
        vectors.check_function("update", lambda params, delta: params[:3])


COPY = """
#include <filesystem>
#include <iostream>
int main(int, char** argv) {
    for (std::string line; std::getline(std::cin, line);) {
        const auto to = std::filesystem::path(argv[2]) / line;
        std::filesystem::create_directories(to.parent_path());
        write_npy(to.string(), read_npy((std::filesystem::path(argv[1]) / line).string()));
    }
}
"""


def test_the_cpp_reader_of_the_page_reads_and_writes_every_output(
    written: Path, tmp_path: Path, capsys: Output
) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    (code,) = re.findall(r"```cpp\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    source, program = tmp_path / "copy.cpp", tmp_path / "copy"
    source.write_text(code + COPY)
    subprocess.run([compiler, "-std=c++17", "-Wall", "-Werror", str(source), "-o", str(program)], check=True)
    index = json.loads((written / "index.json").read_text())
    files = "".join(f"{case['output']}\n" for row in index["operations"] for case in row["cases"])
    subprocess.run([program, written, tmp_path / "out"], input=files, text=True, check=True)
    assert run(capsys, "check-vectors", str(written), str(tmp_path / "out"))[0] == 0
