"""Trace files that must be refused: incomplete, senseless, foreign, damaged or hostile ones."""

from __future__ import annotations

import copy
import io
import json
import pickle
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clnf_engine import FitOptions, Phase, Trace, TraceFileError, fit, initial_from_box
from clnf_engine.io import trace_file

from . import trace_tools
from .tiny_model import micro_model, tiny_image
from .trace_tools import RESPONSE_ARRAYS, SHIFT_ARRAYS, load_bytes, minimal, pack

pytestmark = pytest.mark.usefixtures("trace_folder")


def refused(data: bytes) -> str:
    """The message of the refusal; one sentence that names the file."""
    with pytest.raises(TraceFileError) as error:
        load_bytes(data)
    message = str(error.value)
    assert "t.npz" in message and "\n" not in message
    return message


# --- arrays and headers that do not fit -----------------------------------------------------------


@pytest.mark.parametrize("name", ["image", "initial_params", "params", "landmarks", "header"])
def test_each_required_array_is_missed_by_name(name: str) -> None:
    arrays, header = minimal()
    buffer = io.BytesIO()
    everything = arrays | {"header": np.array(json.dumps(header))}
    del everything[name]
    np.savez(buffer, **everything)
    assert name in refused(buffer.getvalue())


@pytest.mark.parametrize("name", ["version", "model", "options", "initial", "stages", "steps"])
def test_each_header_key_is_missed_by_name(name: str) -> None:
    arrays, header = minimal()
    del header[name]
    assert name in refused(pack(arrays, header))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("image", np.zeros((5, 4))),
        ("image", np.zeros((5, 4, 3), dtype=np.uint8)),
        ("initial_params", np.zeros(7)),
        ("initial_params", np.ones(5)),
        ("initial_params", np.full(7, np.nan)),
        ("initial_params", np.array(["a"] * 7)),
        ("params", np.ones((3, 7))),
        ("params", np.ones((2, 5))),
        ("params", np.ones((2, 7), dtype=np.float32)),
        ("params", np.ones((2, 7), dtype=complex)),
        ("params", np.ones(7)),
        ("landmarks", np.ones((2, 3, 3))),
        ("landmarks", np.ones((1, 3, 2))),
        ("landmarks", np.ones((2, 3, 2), dtype=int)),
        ("likelihood", np.ones(3)),
        ("likelihood", np.ones(2, dtype=np.float32)),
        ("update_norm", np.ones((2, 1))),
        ("shape_change", np.array(["a", "b"])),
    ],
    ids=lambda v: v if isinstance(v, str) else f"{v.dtype}{v.shape}",
)
def test_arrays_that_do_not_fit(name: str, array: np.ndarray) -> None:
    arrays, header = minimal()
    refused(pack(arrays | {name: array}, header))


def full_arrays() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Everything a small run writes, as version 1."""
    initial = initial_from_box(micro_model(), (20, 20, 30, 30))
    trace = fit(tiny_image()[:60, :60], micro_model(), initial, FitOptions(windows=(3,), max_iterations=2))
    trace.save(trace_tools.folder / "full.npz")
    with np.load(trace_tools.folder / "full.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays.pop("header")))
    del header["model_fingerprint"]
    return arrays, header | {"version": 1}


FULL_NAMES = sorted(
    {f"responses/0/{name}" for name in RESPONSE_ARRAYS}
    | {
        f"rigid/{name}"
        for name in (
            "landmarks_before",
            "weights",
            "jacobian",
            "hessian",
            "gradient",
            "delta",
            "clamped",
            "likelihoods",
        )
    }
    | {f"nonrigid/mean_shift/{name}" for name in SHIFT_ARRAYS}
)


@pytest.mark.parametrize("name", FULL_NAMES)
def test_optional_arrays_of_another_shape_or_kind(name: str) -> None:
    """Whoever paints these arrays relies on their shapes: a file that has others is refused."""
    arrays, header = full_arrays()
    good = arrays[name]
    text = np.full(good.shape, "x")
    narrower = [] if name.endswith("area") else [good[..., :-1]]  # an area's size is the sender's to choose
    for bad in (*narrower, good[:-1], good[None], good.ravel()[:1], text, good.astype(complex)):
        assert name.rpartition("/")[0] in refused(pack(arrays | {name: bad}, header)), f"{bad.dtype} {bad.shape}"


def test_maps_that_a_step_names_but_are_not_there() -> None:
    arrays, header = full_arrays()
    del arrays["responses/0/final"]
    assert "responses/0/final" in refused(pack(arrays, header))


@pytest.mark.parametrize("group", ["mean_shift", "rigid/hessian", "delta", "likelihood", "nonrigid"])
def test_optional_arrays_may_be_absent(group: str) -> None:
    arrays, header = full_arrays()
    fewer = {name: array for name, array in arrays.items() if name != group and f"{group}/" not in f"{name}/"}
    assert len(fewer) < len(arrays)
    trace = load_bytes(pack(fewer, header))
    rigid = [step for step in trace.steps if step.phase is Phase.RIGID][-1]
    assert (rigid.mean_shift is None) is (group == "mean_shift")
    assert (rigid.hessian is None) is (group == "rigid/hessian")
    assert (rigid.likelihood is None) is (group == "likelihood")


HEADER_CHANGES: list[tuple[tuple[Any, ...], Any]] = [
    (("format",), "clnf-session"),
    (("format",), None),
    (("version",), 3),
    (("version",), True),
    (("version",), "1"),
    (("version",), None),
    (("model",), 5),
    (("options",), {"sigma": -1}),
    (("options",), {"sgima": 1}),
    (("options",), {"sigma": 10**400}),
    (("options",), [1]),
    (("options",), None),
    (("initial",), None),
    (("initial", "source"), "somewhere"),
    (("initial", "box"), [1, 2, 3]),
    (("initial", "box"), "abcd"),
    (("initial", "box"), None),
    (("initial", "box"), ["a", "b", "c", "d"]),
    (("initial", "box"), [10**400, 0, 1, 1]),
    (("initial", "seed"), "seven"),
    (("stages",), None),
    (("stages",), {}),
    (("stages", 0, "window"), "three"),
    (("stages", 0, "scale"), None),
    (("stages", 0, "scale"), 10**400),
    (("stages", 0, "index"), 0.5),
    (("stages", 0, "sigma"), "1.5"),
    (("stages", 0, "view"), "front"),
    (("stages", 0, "skipped"), 3),
    (("stages", 0, "extra"), 3),
    (("stages", 0), None),
    (("steps",), None),
    (("steps",), []),
    (("steps",), "initial"),
    (("steps", 1), None),
    (("steps", 1, "phase"), "middle"),
    (("steps", 1, "phase"), None),
    (("steps", 1, "stage"), 7),
    (("steps", 1, "stage"), -1),
    (("steps", 1, "stage"), "0"),
    (("steps", 1, "responses"), 1),
    (("steps", 1, "responses"), -1),
    (("steps", 1, "responses"), 10**12),
    (("steps", 1, "responses"), 0.5),
    (("steps", 2, "iteration"), "one"),
    (("steps", 2, "converged"), "no"),
    (("steps", -1, "success"), "yes"),
    (("steps", -1, "message"), 5),
]


@pytest.mark.parametrize(("path", "value"), HEADER_CHANGES, ids=lambda v: str(v)[:24])
def test_headers_that_make_no_sense(path: tuple[Any, ...], value: Any) -> None:
    arrays, header = full_arrays()
    target = header
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    refused(pack(arrays, header))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"clnf-trace"', "[" * 100_000, '{"a":' * 100_000, "NaN", "1" * 5000, "\ud800"]
)
def test_headers_that_are_no_json_object(text: str) -> None:
    arrays, _ = minimal()
    refused(pack(arrays, np.array(text)))


def test_headers_that_are_no_text() -> None:
    arrays, header = minimal()
    for array in (
        np.array(3.0),
        np.array([json.dumps(header)] * 2),
        np.array([0xFF, 0xFE], dtype=np.uint8),
        np.zeros(0),
    ):
        refused(pack(arrays, array))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in children for place in [(*path, key), *places_in(child, (*path, key))]]


@settings(max_examples=300)
@given(st.data())
def test_any_change_of_the_header_loads_or_is_refused(data: st.DataObject) -> None:
    arrays, header = minimal_with_iterations()
    path = data.draw(st.sampled_from(places_in(header)))
    target = header
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = data.draw(json_values)
    try:
        load_bytes(pack(arrays, header))
    except TraceFileError as error:
        assert "\n" not in str(error)


_cache: dict[str, Any] = {}


def minimal_with_iterations() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if "full" not in _cache:
        _cache["full"] = full_arrays()
    arrays, header = _cache["full"]
    return arrays, copy.deepcopy(header)


# --- broken files ---------------------------------------------------------------------------------


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path, tmp_path / "no" / "t.npz", tmp_path / ("x" * 300)):
        with pytest.raises(TraceFileError) as error:
            Trace.load(path)
        assert path.name[:20] in str(error.value)


def test_foreign_files() -> None:
    refused(b"")
    refused(b"\x89PNG\r\n\x1a\n" + bytes(100))
    refused(b"PK\x05\x06" + bytes(18))  # an empty zip
    refused(b"{}")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    refused(buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "no arrays here")
    refused(buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("header.npy", "not an array")
        archive.writestr("header", "not an array")
    refused(buffer.getvalue())


class Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    arrays, header = minimal()
    objects = np.empty(1, dtype=object)
    objects[0] = Trap(trap)
    for name in ("image", "params", "extra"):
        buffer = io.BytesIO()
        np.savez(buffer, **(arrays | {"header": np.array(json.dumps(header)), name: objects}))
        if name == "extra":
            load_bytes(buffer.getvalue())  # without looking at what it does not know
        else:
            refused(buffer.getvalue())
    refused(pickle.dumps(Trap(trap)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("header.npy", pickle.dumps(Trap(trap)))
    refused(buffer.getvalue())
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists(), "the trap works"


def test_only_what_the_format_knows_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes may stand for gigabytes."""
    monkeypatch.setattr(trace_file, "MAX_BYTES", 16 << 20)
    monkeypatch.setattr(trace_file, "_MAX_HEADER", 8 << 20)
    arrays, header = minimal()
    for name, message in (("ignored", ""), ("header", "has a header of"), ("nonrigid/jacobian", "holds")):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **({} if name == "header" else {"header": np.array(json.dumps(header))}))
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.npy", bytes(9 << 20 if name == "header" else 30 << 20))
        tracemalloc.start()
        try:
            if message:
                assert message in refused(buffer.getvalue())
            else:
                load_bytes(buffer.getvalue())
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


def small_file() -> bytes:
    return pack(*minimal())


def test_every_truncation_is_refused() -> None:
    data = small_file()
    for size in range(len(data)):
        refused(data[:size])


@settings(max_examples=400)
@given(st.data())
def test_any_flipped_bits_load_or_are_refused(data: st.DataObject) -> None:
    raw = bytearray(small_file())
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[position] ^= data.draw(st.integers(1, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile and numpy may have something to say about such a file
        try:
            load_bytes(bytes(raw))
        except TraceFileError as error:
            assert "\n" not in str(error)


def replaced_in_zip(offset_local: int, offset_central: int, value: int) -> bytes:
    """A valid file whose first member's 16-bit field is changed in both of its headers."""
    raw = bytearray(small_file())
    central = raw.index(b"PK\x01\x02")
    struct.pack_into("<H", raw, offset_local, value)
    struct.pack_into("<H", raw, central + offset_central, value)
    return bytes(raw)


def test_encrypted_members() -> None:
    refused(replaced_in_zip(6, 8, 1))


@pytest.mark.parametrize("method", [1, 8, 9, 12, 14, 93, 99])
def test_other_compressions(method: int) -> None:
    """Deflate, bzip2 or LZMA claimed for bytes that are stored plainly, and methods nobody knows."""
    refused(replaced_in_zip(8, 10, method))


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 'x', }",
        "{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': 'what', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', ",
        "(" * 5000,
        "'''",
        "\x00",
    ],
    ids=lambda text: text[:60],
)
def test_array_headers_that_lie(text: str) -> None:
    """A member that claims absurd sizes, other types, or is not a dictionary at all."""
    head = text.encode().ljust(117) + b"\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) % 65536) + head + bytes(64)
    arrays, header = minimal()
    del arrays["image"]
    buffer = io.BytesIO(pack(arrays, header))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("image.npy", member)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(buffer.getvalue())
