"""Traces of version 2: any subset of arrays, landmarks and iterations, in any float dtype and order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, InitialError, Phase, Trace, TraceFileError, fit, fit_steps
from clnf_engine.io.trace_records import MAPS, ROWS

from ..test_trace import example
from ..tiny_model import N, start, tiny_image, tiny_model
from ..trace_tools import assert_same, load_bytes, pack

pytestmark = pytest.mark.usefixtures("trace_folder")

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return fit(tiny_image(), tiny_model(), start(rotation=(0.1, 0.4, 0.0)), FitOptions(weight_factor=2.0))


@pytest.fixture
def written(trace: Trace, tmp_path: Path) -> tuple[Arrays, dict[str, Any]]:
    trace.save(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays.pop("header")))
    return arrays, header


def refused(arrays: Arrays, header: Any) -> str:
    with pytest.raises(TraceFileError) as error:
        load_bytes(pack(arrays, header))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_version_1_file_is_read_bit_for_bit_and_written_as_version_2(
    trace: Trace, written: tuple[Arrays, dict[str, Any]], tmp_path: Path
) -> None:
    arrays, header = written
    assert header.pop("model_fingerprint") == tiny_model().fingerprint
    old = load_bytes(pack(arrays, header | {"version": 1}))
    assert_same(old, replace(trace, fingerprint=""), "old")
    old.save(tmp_path / "new.npz")
    assert_same(Trace.load(tmp_path / "new.npz"), old, "again")


def test_a_whole_file_is_not_converted(trace: Trace, tmp_path: Path) -> None:
    trace.save(tmp_path / "t.npz")
    again = Trace.load(tmp_path / "t.npz")
    assert again.converted == again.notes == again.conventions == ()
    assert again.fingerprint == tiny_model().fingerprint


# --- subsets of arrays ------------------------------------------------------------------------------


def test_every_array_may_be_missing_alone(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    arrays, header = written
    for name in arrays:
        if name == "image":
            assert "image is missing" in refused({k: v for k, v in arrays.items() if k != name}, header)
            continue
        found = load_bytes(pack({k: v for k, v in arrays.items() if k != name}, header))
        assert [step.place for step in found.steps] == [step.place for step in trace.steps], name
        group, _, last = name.rpartition("/")
        if group.startswith("responses"):
            maps = [step.responses for step in found.steps if step.responses is not None]
            assert any(getattr(one, last) is None for one in maps), name
            assert all(one.window for one in maps)
        elif group in ("rigid", "nonrigid"):
            assert all(getattr(step, last) is None for step in found.steps if step.phase == group), name
        elif group:
            shifts = [step.mean_shift for step in found.steps if step.phase == group.partition("/")[0]]
            assert all(getattr(one, last) is None for one in shifts), name


@pytest.mark.parametrize("kept", ["params", "landmarks"])
def test_the_least(written: tuple[Arrays, dict[str, Any]], trace: Trace, kept: str) -> None:
    arrays, header = written
    bare = {"format": "clnf-trace", "version": 2, "steps": header["steps"]}
    found = load_bytes(pack({"image": arrays["image"], kept: arrays[kept]}, bare))
    other = "landmarks" if kept == "params" else "params"
    for step, original in zip(found.steps, trace.steps, strict=True):
        assert_same(getattr(step, kept), getattr(original, kept), kept)
        assert np.isnan(getattr(step, other)).all()
        assert step.responses is step.mean_shift is step.delta is None
    assert found.initial.known is (kept == "params")
    assert found.model_name == "unknown" and found.fingerprint == ""
    assert "params or landmarks" in refused({"image": arrays["image"]}, bare)
    assert all(str(step.stage).startswith("stage ") for step in found.steps if step.stage is not None)


def test_a_start_that_is_not_told_cannot_be_run(written: tuple[Arrays, dict[str, Any]]) -> None:
    arrays, header = written
    found = load_bytes(pack({"image": arrays["image"], "landmarks": arrays["landmarks"]}, header))
    assert any("start is not recorded" in line for line in found.converted)
    with pytest.raises(InitialError):
        fit_steps(found.image, tiny_model(), found.initial, found.options)


def test_a_start_given_only_as_parameters(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    arrays, header = written
    del header["initial"]
    found = load_bytes(pack(arrays, header | {"start": "params"}))
    assert_same(found.initial.params, trace.initial.params)
    low, high = trace.steps[0].landmarks.min(axis=0), trace.steps[0].landmarks.max(axis=0)
    np.testing.assert_allclose(found.initial.box, (*low, *(high - low)))
    assert "'params'" in refused(arrays, header | {"start": "box"})


def test_a_partial_trace_is_written_and_read_again(written: tuple[Arrays, dict[str, Any]], tmp_path: Path) -> None:
    arrays, header = written
    header["stages"][0] = {"index": 0}
    poor = {k: v for k, v in arrays.items() if not k.endswith(("/raw", "/visible", "clamped", "kernel_sum", "hessian"))}
    poor["rigid/clamped"] = np.where(
        np.arange(len(arrays["rigid/clamped"]))[:, None] % 2, arrays["rigid/clamped"], np.nan
    )
    del poor["initial_params"]
    poor["params"] = poor["params"].copy()
    poor["params"][0] = np.nan
    found = load_bytes(pack(poor, header))
    assert not found.initial.known and str(found.steps[1].stage) == "stage 1"
    found.save(tmp_path / "t.npz")
    again = Trace.load(tmp_path / "t.npz")
    np.testing.assert_array_equal(again.initial.params, found.initial.params)
    for a, b in zip(found.steps, again.steps, strict=True):
        assert_same(replace(a, stage=None), replace(b, stage=None), "step")
    assert repr(again.steps[1].stage) == repr(found.steps[1].stage)


# --- rows, landmarks, iterations --------------------------------------------------------------------


def test_rows_of_nan_are_values_that_are_not_there(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    arrays, header = written
    for name in ROWS:
        if name in ("params", "landmarks"):
            continue
        full = arrays[f"rigid/{name}"]
        holes = full.astype(np.float64)
        holes[1] = np.nan
        found = load_bytes(pack(arrays | {f"rigid/{name}": holes}, header))
        rigid = [step for step in found.steps if step.phase is Phase.RIGID]
        values = [getattr(step.mean_shift if "/" in name else step, name.rpartition("/")[2]) for step in rigid]
        assert values[1] is None and (values[0] is not None or name == "likelihoods"), name


def test_a_subset_of_landmarks_by_their_indices(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    arrays, header = written
    few = np.array([30, 8, 36])
    sub: Arrays = {}
    for name, array in arrays.items():
        last = name.split("/", 1)[-1] if name.startswith(("rigid", "nonrigid")) else name.rpartition("/")[2]
        shape = MAPS[last] if name.startswith("responses/") else ROWS.get(last, ())
        axis = 0 if name.startswith("responses/") else 1
        rows = np.concatenate([few, few + N]) if shape[:1] == ("2n",) else few
        sub[name] = array.take(rows, axis=axis) if shape[:1] in (("n",), ("2n",)) else array
    found = load_bytes(pack(sub, header | {"landmark_indices": few.tolist(), "n_landmarks": N}))
    others = np.setdiff1d(np.arange(N), few)
    for step, original in zip(found.steps, trace.steps, strict=True):
        np.testing.assert_array_equal(step.landmarks[few], original.landmarks[few])
        assert np.isnan(step.landmarks[others]).all()
        if step.jacobian is not None and original.jacobian is not None:
            np.testing.assert_array_equal(step.jacobian[few + N], original.jacobian[few + N])
        if step.responses is not None and original.responses is not None:
            np.testing.assert_array_equal(step.responses.final[few], original.responses.final[few])
            assert not step.responses.visible[others].any()
    for wrong in ([30, 30], [30, 99], [-1], ["a"], [10**9], "all"):
        refused(sub, header | {"landmark_indices": wrong, "n_landmarks": N})
    refused(sub, header | {"landmark_indices": few.tolist()})
    refused(sub, header | {"landmark_indices": few.tolist(), "n_landmarks": 10**9})


def test_a_subset_of_iterations(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    """Every other step, without its initial and end."""
    arrays, header = written
    kept = list(range(1, len(trace.steps) - 1, 2))
    sub = {name: array[kept] for name, array in arrays.items() if array.shape[:1] == (len(trace.steps),)}
    sub |= {"image": arrays["image"]}
    for phase in ("rigid", "nonrigid"):
        places = [k for k, step in enumerate(trace.steps) if step.phase == phase]
        rows = [places.index(k) for k in kept if k in places]
        sub[f"{phase}/delta"] = arrays[f"{phase}/delta"][rows]
    found = load_bytes(pack(sub, header | {"steps": [header["steps"][k] for k in kept]}))
    for step, k in zip(found.steps, kept, strict=True):
        assert step.place == trace.steps[k].place
        if trace.steps[k].delta is not None:
            assert_same(step.delta, trace.steps[k].delta)
    assert not found.complete and not found.initial.known


# --- dtypes and orders ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", ">f8"])
def test_floats_of_any_size_and_byte_order(written: tuple[Arrays, dict[str, Any]], trace: Trace, dtype: str) -> None:
    arrays, header = written
    with np.errstate(over="ignore"):
        other = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in arrays.items()}
    found = load_bytes(pack(other, header))
    for step, original in zip(found.steps, trace.steps, strict=True):
        assert step.params.dtype == step.landmarks.dtype == np.float64
        np.testing.assert_array_equal(step.params, original.params.astype(dtype).astype(np.float64))
        if original.delta is not None:
            assert step.delta.dtype == (np.float64 if "8" in dtype else np.float32) and step.delta.dtype.isnative
            np.testing.assert_array_equal(step.delta, original.delta.astype(dtype))
    assert any("params" in line for line in found.converted)


def test_column_major_arrays(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    arrays, header = written
    found = load_bytes(pack({k: np.asfortranarray(v) for k, v in arrays.items()}, header))
    assert_same(found.steps, trace.steps, "steps")
    assert any("Fortran" in line for line in found.converted)


def test_long_doubles_and_other_things_are_refused_by_name(written: tuple[Arrays, dict[str, Any]]) -> None:
    arrays, header = written
    for name in ("params", "rigid/delta", "responses/0/final", "initial_params"):
        assert name in refused(arrays | {name: arrays[name].astype(np.longdouble)}, header)
        assert name in refused(arrays | {name: arrays[name].astype(complex)}, header)
        assert name in refused(arrays | {name: np.full(arrays[name].shape, "x")}, header)
    assert "0 and 1" in refused(arrays | {"rigid/clamped": arrays["rigid/clamped"] + 2.0}, header)
    for image in (np.zeros((5, 4)), np.zeros((5, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)):
        assert "image" in refused(arrays | {"image": image}, header)


def test_arrays_that_do_not_fit_name_their_place(written: tuple[Arrays, dict[str, Any]]) -> None:
    arrays, header = written
    assert "rigid/hessian" in refused(arrays | {"rigid/hessian": arrays["rigid/hessian"][:-1]}, header)
    assert "jacobian" in refused(arrays | {"rigid/jacobian": arrays["rigid/jacobian"][:, :-1]}, header)
    assert "responses/1/final" in refused(arrays | {"responses/1/final": arrays["responses/1/final"][:, :-1]}, header)
    assert "likelihood" in refused(arrays | {"likelihood": arrays["likelihood"][:-1]}, header)
    assert "5 parameters" in refused(arrays | {"params": arrays["params"][:, :5], "initial_params": np.ones(5)}, header)


# --- what is kept and told --------------------------------------------------------------------------


def test_unknown_names_are_kept_or_told(written: tuple[Arrays, dict[str, Any]], tmp_path: Path) -> None:
    arrays, header = written
    header["options"] |= {"gamma": [1, 2], "detector": "mine"}
    header |= {"notes": {"program": "port 7"}, "conventions": ["angles_in_degrees"], "shoe_size": 44}
    header["stages"][0]["colour"] = "red"
    found = load_bytes(pack(arrays | {"mine/extra": np.zeros(3)}, header))
    assert dict(found.notes) == {"program": '"port 7"', "gamma": "[1, 2]", "detector": '"mine"'}
    assert found.conventions == ("angles_in_degrees",)
    for word in ("mine/extra", "shoe_size", "colour"):
        assert any(word in line for line in found.converted), word
    assert found.options.weight_factor == 2.0
    found.save(tmp_path / "t.npz")
    again = Trace.load(tmp_path / "t.npz")
    assert (again.notes, again.conventions, again.converted) == (found.notes, found.conventions, ())


def test_iterations_without_numbers_are_counted(written: tuple[Arrays, dict[str, Any]], trace: Trace) -> None:
    arrays, header = written
    for entry in header["steps"]:
        entry.pop("iteration")
    found = load_bytes(pack(arrays, header))
    assert [step.place for step in found.steps] == [step.place for step in trace.steps]


def wrong(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.__setitem__(key, value)


@pytest.mark.parametrize(
    "change",
    [
        wrong("options", {"sigma": -1}),
        wrong("options", [1]),
        wrong("initial", {"source": "somewhere"}),
        wrong("initial", {"box": [1, 2]}),
        wrong("stages", [3]),
        wrong("stages", [{"index": 10**7}]),
        wrong("stages", [{"window": "nine"}]),
        wrong("stages", []),
        wrong("conventions", [3]),
        wrong("conventions", ["x"] * 1000),
        wrong("notes", {str(k): k for k in range(1000)}),
        wrong("model_fingerprint", 5),
        wrong("steps", []),
        wrong("steps", [3]),
        wrong("n_landmarks", 0),
    ],
)
def test_headers_that_make_no_sense(
    written: tuple[Arrays, dict[str, Any]], change: Callable[[dict[str, Any]], None]
) -> None:
    arrays, header = written
    change(header)
    refused(arrays, header)


def test_the_documented_full_example(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Trace.load(example(root, tmp_path, monkeypatch, "full.npz"))
    assert found.converted == () and [str(step.phase) for step in found.steps][1:4] == [
        "responses",
        "rigid",
        "nonrigid",
    ]
    for step in found.steps[2:4]:
        assert step.responses.has(*MAPS) and step.mean_shift.has(
            "position", "kernel_sum", "reference", "image", "empty"
        )
        assert all(getattr(step, name) is not None for name in ROWS if "/" not in name)
