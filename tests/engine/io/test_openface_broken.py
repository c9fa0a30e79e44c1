"""OpenFace's model files that must be refused: one sentence each, and no memory to speak of."""

from __future__ import annotations

import contextlib
import os
import struct
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clnf_engine import Model, ModelFileError
from clnf_engine.io.openface import read_model, read_patch_scale, read_pdm

from .model_tools import PATCHES, PDM_TEXT, PNG, ccnf, f64, files_of, i32, matrix, refused, write

# --- a CCNF file by hand --------------------------------------------------------------------------

HUGE = 2**31 - 1
BAD_FIELDS: list[tuple[dict[str, bytes], str]] = [
    ({"scaling": f64(0.0)}, "byte 0"),
    ({"scaling": f64(-0.25)}, "byte 0"),
    ({"scaling": f64(float("nan"))}, "byte 0"),
    ({"scaling": f64(float("inf"))}, "byte 0"),
    ({"views": i32(0)}, "byte 8"),
    ({"views": i32(-1)}, "byte 8"),
    ({"views": i32(HUGE)}, "byte 8"),
    ({"views": i32(900)}, "byte"),
    ({"centre0": matrix([[0.0, 0, 0]], 6)}, "byte 12"),
    ({"centre0": matrix([[0], [0], [0]], 4)}, "byte 12"),
    ({"centre0": struct.pack("<iii", 3, HUGE, 6)}, "byte 12"),
    ({"centre0": struct.pack("<iii", -3, -1, 6)}, "byte 12"),
    ({"centre0": matrix([[float("nan")], [0], [0]], 6)}, "byte"),
    ({"centre1": matrix([[0.0], [float("inf")], [0]], 6)}, "byte"),
    ({"visible0": struct.pack("<iii", HUGE, 1, 4)}, "byte 96"),
    ({"visible0": struct.pack("<iii", -1, 1, 4)}, "byte 84"),
    ({"visible0": struct.pack("<iii", 2, 2, 4)}, "byte 84"),
    ({"visible0": matrix([[1.0], [1.0]], 6)}, "byte 84"),
    ({"visible0": struct.pack("<iii", 0, 1, 4), "visible1": struct.pack("<iii", 0, 1, 4)}, "byte"),
    ({"visible1": matrix([[1], [0], [1]], 4)}, "byte"),
    ({"windows": i32(-1)}, "byte 124"),
    ({"windows": i32(HUGE)}, "byte 124"),
    ({"window": i32(0)}, "byte 128"),
    ({"window": i32(-3)}, "byte 128"),
    ({"window": i32(HUGE)}, "byte 128"),
    ({"window": i32(46341)}, "byte 128"),  # its square overflows 32 bits
    ({"window": i32(5)}, "byte"),
    ({"count": i32(-1)}, "byte 132"),
    ({"count": i32(HUGE)}, "byte 132"),
    ({"sigma0": matrix(np.eye(9), 6)}, "byte 136"),
    ({"sigma0": matrix(np.eye(8), 5)}, "byte 136"),
    ({"sigma0": matrix(np.full((9, 9), np.nan), 5)}, "byte"),
    ({"sigma1": matrix(np.arange(81).reshape(9, 9), 5)}, "symmetric"),
    ({"v0l0.tag": i32(4)}, "tag"),
    ({"v0l0.tag": i32(6)}, "tag"),
    ({"v0l0.width": i32(0)}, "width"),
    ({"v0l0.width": i32(-3)}, "width"),
    ({"v0l0.width": i32(HUGE)}, "width"),
    ({"v0l0.height": i32(0)}, "height"),
    ({"v0l0.height": i32(HUGE)}, "height"),
    ({"v0l0.neurons": i32(-1)}, "neurons"),
    ({"v0l0.neurons": i32(HUGE)}, "neurons"),
    ({"v0l0.neurons": i32(1000)}, "byte"),
    ({"v0l0n0.tag": i32(3)}, "tag"),
    ({"v0l0n0.kind": i32(1)}, "kind"),
    ({"v0l0n0.weights": matrix(np.zeros((3, 2)), 5)}, "rows"),
    ({"v0l0n0.weights": matrix(np.full((2, 3), np.inf), 5)}, "finite"),
    ({"v0l0n0.numbers": struct.pack("<ddd", float("nan"), 0, 1)}, "finite"),
    ({"v0l0n0.numbers": struct.pack("<ddd", 1, 0, -1)}, "alpha"),
    ({"v0l1n0.numbers": struct.pack("<ddd", 1, 0, 0)}, "alpha"),
    ({"v0l0.betas": struct.pack("<dd", -1, 1)}, "beta"),
    ({"v0l0.confidence": f64(float("nan"))}, "finite"),
    ({"v1l0.neurons": i32(0), "v1l0n0.tag": i32(0)}, "byte"),
    ({"v1l1.end": b""}, "byte"),
    ({"tail": b"\0"}, "byte"),
    ({"tail": PNG}, "byte"),
]


@pytest.mark.parametrize(("overrides", "words"), BAD_FIELDS, ids=lambda v: "+".join(v) if isinstance(v, dict) else v)
def test_fields_that_make_no_sense(patch_file: Any, overrides: dict[str, bytes], words: str) -> None:
    message = refused(patch_file(**overrides), "byte ", words, read=read_patch_scale)
    assert "patches.bin" in message


def test_a_visible_landmark_needs_an_expert(patch_file: Any) -> None:
    refused(patch_file(visible1=matrix([[1], [1]], 4)), "landmark 1", "view 1", read=read_patch_scale)


def test_experts_of_different_sizes(patch_file: Any) -> None:
    changed = {
        "v1l0.width": i32(2),
        "v1l0.height": i32(2),
        "v1l0n0.weights": matrix(np.ones((2, 2)), 5),
    }
    refused(patch_file(**changed), "different sizes", read=read_patch_scale)


# --- hostile files: nothing but one sentence, and no memory to speak of ---------------------------


def peak_of(path: Path) -> int:
    """Most bytes in use while reading, whether it is refused or not."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ModelFileError):
            read_patch_scale(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["views", "windows", "window", "count", "v0l0.width", "v0l0.height", "v0l0.neurons"])
@pytest.mark.parametrize("value", [HUGE, 1000, 100, 51])
def test_huge_counts_allocate_nothing(patch_file: Any, name: str, value: int) -> None:
    assert peak_of(patch_file(**{name: i32(value)})) < 1 << 20


def test_huge_landmark_counts_allocate_nothing(patch_file: Any) -> None:
    for rows in (HUGE, 1 << 28, 10_000):
        assert peak_of(patch_file(visible0=struct.pack("<iii", rows, 1, 4))) < 1 << 20


def test_one_large_expert_among_many_empty_ones_is_not_multiplied(tmp_path: Path) -> None:
    """Padding every landmark to the largest expert must not turn a file of 300 kB into gigabytes."""
    n, neurons, side = 10_000, 2, 101
    visible = np.zeros((n, 1))
    visible[0] = 1
    head = f64(0.25) + i32(1) + matrix([[0.0], [0], [0]], 6) + matrix(visible, 4) + i32(0)
    neuron = i32(2) + i32(0) + struct.pack("<ddd", 1, 0, 1) + matrix(np.zeros((side, side)), 5)
    expert = i32(5) + i32(side) + i32(side) + i32(neurons) + neuron * neurons + f64(1.0)
    empty = i32(5) + i32(side) + i32(side) + i32(0) + i32(0)
    path = tmp_path / "patches.bin"
    path.write_bytes(head + expert + empty * (n - 1))
    assert path.stat().st_size < 400_000
    assert peak_of(path) < 100 << 20


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "patches.bin"
    path.write_bytes(ccnf())
    for size in reversed(range(len(ccnf()))):
        os.truncate(path, size)
        refused(path, "byte ", read=read_patch_scale)


def test_any_surplus_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "patches.bin"
    for extra in (1, 4, 1000):
        path.write_bytes(ccnf() + bytes(extra))
        refused(path, f"byte {len(ccnf())}", f"{extra} bytes are left", read=read_patch_scale)


def rewrite(path: Path, data: bytes) -> None:
    path.unlink()  # to overwrite a file is many times slower on some file systems
    path.write_bytes(data)


def loads_or_is_refused(path: Path) -> Model | None:
    """Whatever is in the files, there is a model or a `ModelFileError`; a model must be usable numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = read_model(path)
        except ModelFileError as error:
            assert "\n" not in str(error)
            return None
    for array in (model.pdm.mean, model.pdm.modes, model.pdm.variances):
        assert np.isfinite(array).all()
    for scale in model.scales:
        assert np.isfinite(scale.view_centres_degrees).all()
        assert all(np.isfinite(q).all() for q in scale.sigma_components.values())
        for view in scale.views:
            for name in ("weights", "norm_weights", "bias", "alpha", "betas", "patch_confidence"):
                assert np.isfinite(getattr(view, name)).all(), name
    return model


@settings(max_examples=500)
@given(st.data())
def test_any_flipped_bits_load_or_are_refused(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_of(folder)))
    original = (folder / name).read_bytes()
    raw = bytearray(original)
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=3)):
        raw[position] ^= data.draw(st.integers(1, 255))
    rewrite(folder / name, bytes(raw))
    try:
        loads_or_is_refused(folder / "micro.txt")
    finally:
        rewrite(folder / name, original)


@settings(max_examples=300)
@given(st.data())
def test_any_cut_moved_or_repeated_piece_loads_or_is_refused(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_of(folder)))
    original = (folder / name).read_bytes()
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(original))] * 2)))
    piece = original[a:b]
    changed = data.draw(
        st.sampled_from(
            [original[:a] + original[b:], original[:b] + piece + original[b:], piece, piece * 3, b"", PNG, original * 2]
        )
    )
    rewrite(folder / name, changed)
    try:
        loads_or_is_refused(folder / "micro.txt")
    finally:
        rewrite(folder / name, original)


@settings(max_examples=200)
@given(st.data())
def test_any_word_in_a_text_file_loads_or_is_refused(folder: Path, data: st.DataObject) -> None:
    words = [
        "",
        "0",
        "-1",
        "3",
        "6",
        "1e400",
        "-1e400",
        "1e39",
        "nan",
        "inf",
        "0x10",
        "1_0",
        "½",
        "#",
        "\0",
        "9" * 5000,
    ]
    words += [
        "16777216",
        "PDM",
        "PatchesCCNF",
        "LandmarkDetector",
        "LandmarkDetector_part",
        "..",
        "/",
        "x" * 5000,
        "micro.txt",
    ]
    name = data.draw(st.sampled_from([name for name in files_of(folder) if name.endswith(".txt")]))
    original = (folder / name).read_text(encoding="utf-8")
    pieces = original.replace("\n", " \n ").split(" ")
    pieces[data.draw(st.integers(0, len(pieces) - 1))] = data.draw(st.sampled_from(words))
    rewrite(folder / name, " ".join(pieces).encode())
    try:
        loads_or_is_refused(folder / "micro.txt")
    finally:
        rewrite(folder / name, original.encode())


# --- main, module and PDM files by hand -----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"), [("PatchesCEN", "CEN"), ("PatchesIntensity", "SVR"), ("PatchesDepth", "depth")]
)
def test_models_of_other_patches_only(key: str, words: str, tmp_path: Path) -> None:
    refused(write(tmp_path, module_main=f"PDM pdm_3.txt\n{key} x.dat\n"), "module_main.txt", words, "not supported")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("6\n1\n6\n1.5", "6\n1\n6\none", "line 5"),
        ("-6e0", "nan", "line 10"),
        ("-6e0", "-inf", "line 10"),
        ("-6e0", "1e999", "line 10"),
        ("6\n1\n6\n1.5", "6\n1\n7\n1.5", "line 4"),
        ("6\n1\n6\n1.5", "-6\n1\n6\n1.5", "line 2"),
        ("6\n1\n6\n1.5", "99999999\n1\n6\n1.5", "line 2"),
        ("6\n1\n6\n1.5", "16000000\n16000000\n6\n1.5", "needs"),
        ("6\n1\n6\n1.5", "6.0\n1\n6\n1.5", "line 2"),
        ("6\n1\n6\n1.5", f"{'9' * 5000}\n1\n6\n1.5", "line 2"),
        ("2.25", "0", "variance"),
        ("2.25", "-1", "variance"),
        ("2.25", "", "needs"),
        ("2.25", "2.25 7", "end of the file"),
        ("1\n1\n6\n2.25", "2\n1\n6\n1 1", "variances"),
        ("1 0 0 0 0 1", "1 0 0 0 0 1e39", "finite"),
        ("6\n1\n5\n1 0 0 0 0 1", "3\n2\n6\n1 0 0 0 0 1", "3n"),
        ("6\n1\n5\n1 0 0 0 0 1", "6\n1\n4\n1 0 0 0 0 1e30", "line"),
        ("6\n1\n5\n1 0 0 0 0 1", "6\n1\n4\n1 0 0 0 0 0.5", "line"),
        (PDM_TEXT, "", "end of file"),
        (PDM_TEXT, "# nothing but comments\n", "end of file"),
        ("# mean", "\0", "binary"),
    ],
    ids=lambda v: v[:20],
)
def test_pdm_files_that_make_no_sense(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in PDM_TEXT
    path = tmp_path / "pdm.txt"
    path.write_text(PDM_TEXT.replace(old, new, 1))
    assert "pdm.txt" in refused(path, words, read=read_pdm)


def test_a_pdm_of_another_number_of_landmarks(tmp_path: Path) -> None:
    refused(write(tmp_path, pdm_3=PDM_TEXT), PATCHES, "3 landmarks", "2")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"main": ""}, ["main.txt", "LandmarkDetector"]),
        ({"main": "LandmarkDetector\n"}, ["main.txt", "line 1"]),
        ({"main": "#\n\nLandmarkDetector none.txt"}, ["main.txt", "line 3", "none.txt"]),
        ({"main": "LandmarkDetector ."}, ["main.txt", "line 1"]),
        ({"main": f"LandmarkDetector {'x' * 300}.txt"}, ["main.txt", "line 1"]),
        ({"main": f"{' ' * 5000}\nLandmarkDetector a\0b"}, ["main.txt"]),
        ({"main": PNG}, ["main.txt", "text"]),
        ({"main": "LandmarkDetector größe.txt".encode("latin-1")}, ["main.txt", "text"]),
        ({"module_main": PNG}, ["module_main.txt", "text"]),
        ({"module_main": f"PatchesCCNF {PATCHES}"}, ["module_main.txt", "PDM"]),
        ({"module_main": "PDM pdm_3.txt"}, ["module_main.txt", "PatchesCCNF"]),
        ({"module_main": "PDM pdm_3.txt\nPatchesCCNF none.bin"}, ["module_main.txt", "line 2", "none.bin"]),
        ({"module_main": f"PDM none.txt\nPatchesCCNF {PATCHES}"}, ["module_main.txt", "line 1", "none.txt"]),
        ({"module_main": "PDM pdm_3.txt\nPatchesCCNF pdm_3.txt"}, ["pdm_3.txt", "byte"]),
        ({"module_main": f"PDM {PATCHES}\nPatchesCCNF {PATCHES}"}, [PATCHES, "text"]),
        ({"module_main": f"PDM pdm_3.txt\nPatchesCCNF {PATCHES}\nTriangulations pdm_3.txt"}, ["pdm_3.txt"]),
        ({"pdm_3": PNG}, ["pdm_3.txt", "text"]),
        ({"pdm_3": b""}, ["pdm_3.txt", "end of file"]),
    ],
    ids=lambda v: "" if isinstance(v, list) else str(next(iter(v.items())))[:50],
)
def test_main_and_module_files_that_make_no_sense(
    files: dict[str, str | bytes], words: list[str], tmp_path: Path
) -> None:
    refused(write(tmp_path, **files), *words)


def test_the_parts_of_a_part_of_itself_end(tmp_path: Path) -> None:
    """Two models that are parts of each other."""
    main = "LandmarkDetector module_main.txt\nLandmarkDetector_part {} p\n"
    model = read_model(write(tmp_path, main=main.format("other.txt"), other=main.format("main.txt")))
    assert model.parts == ()
    assert "nested" in model.problems[0]


def test_triangulations_that_make_no_sense(tmp_path: Path) -> None:
    module = f"PDM pdm_3.txt\nPatchesCCNF {PATCHES}\nTriangulations tri.txt"
    for text, words in (
        ("1\n2\n3\n4\n0 1 2 2 1", "needs 6 numbers"),
        ("1\n2\n2\n4\n0 1 2 2", "columns"),
        ("1\n1\n3\n4\n0 1 2 7", "end of the file"),
        ("-1", "line 1"),
        ("99999999", "line 1"),
        ("1\n1\n3\n4\n0 1 1e30", "line"),
    ):
        refused(write(tmp_path, module_main=module, tri=text), "tri.txt", words)
    model = read_model(write(tmp_path, module_main=module, tri="# two\n2\n1\n3\n4\n0 1 2\n0\n3\n4\n"))
    assert [t.tolist() for t in model.triangulations] == [[[0, 1, 2]], []]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("LandmarkDetector_part module_main.txt", ["main.txt", "line 2", "pairs"]),
        ("LandmarkDetector_part module_main.txt eye 1", ["line 2", "pairs"]),
        ("LandmarkDetector_part module_main.txt eye 1 x", ["line 2", "whole numbers"]),
        (f"LandmarkDetector_part module_main.txt eye 1 {10**30}", ["line 2", "whole numbers"]),
        ("LandmarkDetector_part module_main.txt eye 3 0", ["line 2", "eye", "3"]),
        ("LandmarkDetector_part module_main.txt eye 0 -1", ["line 2", "eye"]),
        ("LandmarkDetector_part main.txt self 0 0", ["nested"]),
        ("LandmarkDetector_part none.txt eye 0 0", ["line 2", "none.txt"]),
        ("LandmarkDetector_part pdm_3.txt eye 0 0", ["pdm_3.txt", "LandmarkDetector"]),
        ("DetectionValidator none.txt", ["line 2", "none.txt"]),
        ("DetectionValidator", ["line 2", "file name"]),
        ("DetectionValidator pdm_3.txt", ["pdm_3.txt", "byte 0", "validator"]),
    ],
)
def test_a_broken_part_or_validator_is_said_and_the_rest_can_be_used(
    line: str, words: list[str], tmp_path: Path
) -> None:
    good = "LandmarkDetector_part module_main.txt good 0 1"
    model = read_model(write(tmp_path, main=f"LandmarkDetector module_main.txt\n{line}\n{good}"))
    (problem,) = model.problems
    for word in words:
        assert word in problem
    assert [part.name for part in model.parts] == ["good"]
    assert model.validator is None
