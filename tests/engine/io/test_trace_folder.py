"""The folder form of a trace: whole, torn, and written by somebody who means harm."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import needs_fifo

from clnf_engine import ClnfError, FitOptions, Phase, Trace, TraceFileError, fit
from clnf_engine.io.trace_folder import LINES

from .. import trace_tools
from ..test_trace import example
from ..test_trace_broken import json_values, places_in
from ..tiny_model import start, tiny_image, tiny_model
from ..trace_tools import SHIFT_ARRAYS, assert_same, load_bytes, pack

pytestmark = pytest.mark.usefixtures("trace_folder")


@pytest.fixture(scope="module")
def trace() -> Trace:
    return fit(tiny_image(), tiny_model(), start(), FitOptions(windows=(5, 0), max_iterations=2))


def entries_of(trace: Trace, folder: Path) -> list[dict[str, Any]]:
    """The lines of a trace, its maps in files."""
    np.save(folder / "image.npy", trace.image)
    box = list(trace.initial.box)
    lines: list[dict[str, Any]] = [
        {
            "format": "clnf-trace",
            "version": 2,
            "model": trace.model_name,
            "model_fingerprint": trace.fingerprint,
            "options": trace.options.to_json(),
            "initial": {"source": str(trace.initial.source), "box": box, "seed": None},
            "image": "image.npy",
            "initial_params": trace.initial.params.tolist(),
        }
    ]
    known: set[Any] = set()
    for step in trace.steps:
        line: dict[str, Any] = {"phase": str(step.phase)}
        if step.stage is not None:
            line["stage"] = step.stage.index if step.stage in known else vars(step.stage)
            known.add(step.stage)
        for field in fields(step):
            value = getattr(step, field.name)
            if isinstance(value, np.ndarray):
                line[field.name] = value.tolist()
            elif isinstance(value, (bool, int, float)) or (field.name == "message" and value):
                line[field.name] = value
        if step.mean_shift is not None:
            line["mean_shift"] = {name: getattr(step.mean_shift, name).tolist() for name in SHIFT_ARRAYS}
        if step.phase is Phase.RESPONSES:
            line["responses"] = {}
            for field in fields(step.responses):
                np.save(folder / f"{field.name}.npy", getattr(step.responses, field.name))
                line["responses"][field.name] = f"{field.name}.npy"
        lines.append(line)
    return lines


def put(folder: Path, lines: list[Any]) -> Path:
    (folder / LINES).unlink(missing_ok=True)
    (folder / LINES).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def lines(trace: Trace, tmp_path: Path) -> list[dict[str, Any]]:
    return entries_of(trace, tmp_path)


def refused(folder: Path) -> str:
    with pytest.raises(TraceFileError) as error:
        Trace.load(folder)
    assert "\n" not in str(error.value) and LINES in str(error.value)
    return str(error.value)


def test_a_folder_holds_what_the_file_holds(trace: Trace, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    found = Trace.load(put(tmp_path, lines))
    assert_same(found, trace, "folder")
    assert_same(Trace.load(tmp_path / LINES), trace, "by its lines")
    maps = [step.responses for step in found.steps if step.responses is not None]
    assert len({id(one) for one in maps}) == 1 and len(maps) > 2
    assert not any(array.flags.writeable for array in vars(maps[0]).values() if isinstance(array, np.ndarray))


def test_inline_raw_and_column_major_arrays(trace: Trace, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    maps = next(step.responses for step in trace.steps if step.responses is not None)
    responses = lines[2]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "final.raw").write_bytes(maps.final.astype(">f8").tobytes(order="F"))
    raw = {"file": "sub/final.raw", "dtype": ">f8", "shape": list(maps.final.shape), "order": "F"}
    responses["responses"] |= {"final": raw, "raw": maps.raw.tolist(), "area": maps.area.tolist()}
    lines[3]["mean_shift/image"] = lines[3]["mean_shift"].pop("image")
    found = Trace.load(put(tmp_path, lines))
    assert_same(found.steps, trace.steps, "steps")
    assert any("byte order" in line for line in found.converted)


def test_a_picture_as_the_image(trace: Trace, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), trace.image)
    lines[0]["image"] = "photo.png"
    assert_same(Trace.load(put(tmp_path, lines)).image, trace.image)
    lines[0]["image"] = trace.image.tolist()
    assert_same(Trace.load(put(tmp_path, lines)).image, trace.image)


def test_null_is_nan_and_maps_can_be_refused(trace: Trace, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    lines[3]["landmarks"][5] = [None, None]
    lines[3]["delta"] = None
    lines[4]["responses"] = None
    found = Trace.load(put(tmp_path, lines))
    assert np.isnan(found.steps[2].landmarks[5]).all() and np.isfinite(found.steps[2].landmarks[6]).all()
    assert found.steps[2].delta is None and found.steps[2].responses is not None
    assert found.steps[3].responses is None and found.steps[4].responses is not None


# --- a writer that died -----------------------------------------------------------------------------


def test_every_torn_last_line_is_left_out(trace: Trace, tmp_path: Path) -> None:
    lines = entries_of(trace, tmp_path)[:5]
    put(tmp_path, lines)
    text = (tmp_path / LINES).read_bytes()
    last = len(text) - len(json.dumps(lines[-1])) - 1
    for size in (last + 1, last + 40, len(text) - 30, len(text) - 2):
        (tmp_path / LINES).unlink()
        (tmp_path / LINES).write_bytes(text[:size])
        found = Trace.load(tmp_path)
        assert len(found.steps) == 3 and not found.complete
        assert any("line 5, is torn" in line for line in found.converted)
    (tmp_path / LINES).write_bytes(text[:-1])  # all but the end of the line
    assert len(Trace.load(tmp_path).steps) == 4


def test_arrays_of_the_last_step_may_be_missing_or_torn(trace: Trace, tmp_path: Path) -> None:
    put(tmp_path, entries_of(trace, tmp_path)[:3])  # the last line has the maps
    (tmp_path / "final.npy").unlink()
    for name, size in (("raw.npy", 1000), ("shifted.npy", 40), ("after_sigma.npy", 0)):
        os.truncate(tmp_path / name, size)
    found = Trace.load(tmp_path)
    maps = found.steps[-1].responses
    assert maps.final is maps.raw is maps.shifted is maps.after_sigma is None and maps.window == 5
    assert sum("belongs to the last step" in line for line in found.converted) == 4


def test_arrays_of_earlier_steps_may_not(trace: Trace, tmp_path: Path) -> None:
    put(tmp_path, entries_of(trace, tmp_path)[:4])
    (tmp_path / "final.npy").unlink()
    assert "line 3" in refused(tmp_path) and "final.npy is not there" in refused(tmp_path)


# --- harm -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../secret.npy",
        "/etc/passwd",
        "a/../../secret.npy",
        "..",
        ".",
        "",
        "a/b/c.npy",
        "a\\b.npy",
        "~/x.npy",
        "x\0.npy",
    ],
)
def test_names_that_lead_elsewhere(lines: list[dict[str, Any]], tmp_path: Path, name: str) -> None:
    np.save(tmp_path.parent / "secret.npy", np.zeros(3))
    for value in (name, {"file": name, "dtype": "<f8", "shape": [3]}):
        lines[2]["responses"]["final"] = value
        assert "line 3" in refused(put(tmp_path, lines))


@needs_fifo
def test_links_folders_and_pipes(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    secret = tmp_path.parent / "elsewhere"
    secret.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "final.npy", secret / "final.npy")
    (tmp_path / "link.npy").symlink_to(secret / "final.npy")
    (tmp_path / "linked").symlink_to(secret)
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("link.npy", "linked/final.npy", "folder.npy", "pipe.npy"):
        lines[2]["responses"]["final"] = name
        assert name in refused(put(tmp_path, lines))


def test_arrays_that_lie(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "objects.npy").write_bytes(b"")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "records.npy", np.zeros(3, dtype=[("a", "<f8")]))
    (tmp_path / "text.npy").write_text("hello, this is no array")
    (tmp_path / "x.raw").write_bytes(bytes(24))
    bad: list[Any] = ["objects.npy", "records.npy", "text.npy", 5, True, [["a"]], [[1], [1, 2]], [{}], [10**400, [1]]]
    nested: Any = [1.0]
    for _ in range(40):
        nested = [nested]
    raw = {"file": "x.raw", "dtype": "<f8", "shape": [3]}
    bad += [nested, raw | {"dtype": "O"}, raw | {"dtype": "V8"}, raw | {"dtype": "<f3"}, raw | {"dtype": 3}]
    bad += [raw | {"shape": [10**12]}, raw | {"shape": [-3]}, raw | {"shape": [2]}, raw | {"shape": "3"}]
    bad += [raw | {"shape": [1] * 9}, raw | {"order": "K"}, {"dtype": "<f8"}, raw | {"shape": [10**30] * 3}]
    for value in bad:
        lines[2]["responses"]["final"] = value
        assert "line 3" in refused(put(tmp_path, lines)), value


def test_lines_that_are_none(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    put(tmp_path, lines)
    good = (tmp_path / LINES).read_text().splitlines()
    for bad in ("{", "[]", "3", '{"phase": "middle"}', '{"phase": []}', '{"phase": "rigid", "stage": []}', "\x00"):
        (tmp_path / LINES).write_text("\n".join([*good[:3], bad, *good[3:]]) + "\n")
        assert "line 4" in refused(tmp_path), bad
    for bad in ("", "{}", "[]", "null", good[1], json.dumps({"format": "clnf-trace", "version": 1})):
        (tmp_path / LINES).write_text(bad + "\n")
        refused(tmp_path)
    (tmp_path / LINES).write_text(good[0] + "\n")
    assert "0 steps" in refused(tmp_path)
    (tmp_path / LINES).write_text(good[0] + "\n\n" + good[1] + "\n")
    assert len(Trace.load(tmp_path).steps) == 1


def test_lines_that_are_too_long_or_too_many(
    lines: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clnf_engine.io.trace_folder._MAX_LINE", 1 << 12)
    assert "longer" in refused(put(tmp_path, [lines[0], lines[1] | {"message": "x" * (1 << 12)}]))
    monkeypatch.undo()
    monkeypatch.setattr("clnf_engine.io.trace_folder.MAX_STEPS", 2)
    assert "more than 2 steps" in refused(put(tmp_path, lines))
    assert len(Trace.load(put(tmp_path, lines[:3])).steps) == 2
    monkeypatch.undo()
    monkeypatch.setattr("clnf_engine.io.trace_folder.MAX_BYTES", 1 << 16)
    assert "at most 65536" in refused(put(tmp_path, lines))


# --- the documented examples ------------------------------------------------------------------------


def test_the_documented_python(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Trace.load(example(root, tmp_path, monkeypatch, "trace.jsonl").parent / "run")
    assert [str(step.phase) for step in found.steps] == ["initial", "responses", "rigid"]
    assert found.steps[2].responses.final.shape == (3, 11, 11) and found.steps[2].delta.shape == (6,)
    assert found.initial.known and found.steps[2].stage.window == 11


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_the_documented_cpp(root: Path, tmp_path: Path) -> None:
    text = (root / "docs" / "trace-format.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```cpp\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "image.raw").write_bytes(bytes(12000))
    head = "#include <fstream>\n#include <string>\n#include <vector>\nint main() {\n"
    data = "std::vector<float> final(363, 0.5f); std::vector<double> params(7, 1.0 / 3);\n"
    (tmp_path / "main.cpp").write_text(head + data + code + "}\n")
    subprocess.run(["c++", "-std=c++17", "-o", "main", "main.cpp"], cwd=tmp_path, check=True, timeout=120)
    subprocess.run(["./main"], cwd=tmp_path, check=True, timeout=60)
    found = Trace.load(tmp_path / "run")
    np.testing.assert_array_equal(found.steps[1].params, np.full(7, 1 / 3))
    np.testing.assert_array_equal(found.steps[1].responses.final, np.full((3, 11, 11), 0.5, np.float32))


# --- anything at all --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """A small run as a folder."""
    folder = tmp_path_factory.mktemp("fuzz")
    few = replace(trace, steps=trace.steps[:4])
    lines = entries_of(few, folder)
    for line in lines:
        for name in ("jacobian", "hessian"):
            line.pop(name, None)
    yield folder, lines


def changed(data: st.DataObject, value: Any) -> Any:
    """A JSON value with one of its parts replaced, removed, or put under another name."""
    value = copy.deepcopy(value)
    path = data.draw(st.sampled_from(places_in(value)))
    target = value
    for key in path[:-1]:
        target = target[key]
    kind = data.draw(st.sampled_from(["replace", "remove", "rename"]))
    if kind == "replace" or isinstance(target, list):
        target[path[-1]] = data.draw(json_values)
    else:
        old = target.pop(path[-1])
        if kind == "rename":
            target[data.draw(st.sampled_from(["phase", "stage", "params", "responses", "mean_shift", "x"]))] = old
    return value


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_change_of_a_line_loads_or_is_refused(
    whole: tuple[Path, list[dict[str, Any]]], data: st.DataObject
) -> None:
    folder, lines = whole
    number = data.draw(st.integers(0, len(lines) - 1))
    try:
        Trace.load(put(folder, [changed(data, line) if k == number else line for k, line in enumerate(lines)]))
    except ClnfError as error:
        assert "\n" not in str(error)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_flipped_bytes_load_or_are_refused(whole: tuple[Path, list[dict[str, Any]]], data: st.DataObject) -> None:
    folder, lines = whole
    raw = bytearray((put(folder, lines) / LINES).read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[position] = data.draw(st.sampled_from([*b'{}[],:"\n0e-', 0, 255]))
    size = data.draw(st.sampled_from([len(raw), data.draw(st.integers(0, len(raw)))]))
    (folder / LINES).unlink()
    (folder / LINES).write_bytes(raw[:size])
    try:
        Trace.load(folder)
    except ClnfError as error:
        assert "\n" not in str(error)


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_change_of_a_version_2_header_loads_or_is_refused(
    whole: tuple[Path, list[dict[str, Any]]], trace: Trace, data: st.DataObject
) -> None:
    path = trace_tools.folder / "fuzzed.npz"
    if not path.exists():
        replace(trace, steps=trace.steps[:4]).save(path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays.pop("header")))
    header |= {"landmark_indices": None, "n_landmarks": None, "conventions": ["x"], "notes": {"a": 1}}
    name = data.draw(st.sampled_from(sorted(arrays)))
    shape = data.draw(st.sampled_from([arrays[name].shape, (), (0,), (4, 2), (1, 1, 1, 1, 1)]))
    dtype = data.draw(st.sampled_from(["<f8", ">f4", "<f2", "|b1", "<i8", "<c16", "<U3", "|u1"]))
    arrays[name] = data.draw(st.sampled_from([arrays[name], np.full(shape, 1).astype(dtype)]))
    try:
        load_bytes(pack(arrays, changed(data, header)))
    except ClnfError as error:
        assert "\n" not in str(error)
