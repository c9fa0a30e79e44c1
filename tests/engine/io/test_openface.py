"""OpenFace's model files: bit-identical round trips, and one sentence for every file that is not one."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tracemalloc
import warnings
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clnf_engine import Model, ModelFileError, load_model
from clnf_engine.io.openface import read_model, read_patch_scale, read_pdm, write_model
from clnf_engine.model import ModelPart
from clnf_engine.pdm import PDM

from ..tiny_model import micro_model, tiny_model

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200)


def assert_same(a: Any, b: Any, where: str = "model") -> None:
    """Equal values, and every array equal in dtype, shape and bits."""
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.tobytes() == b.tobytes(), where
    elif is_dataclass(a):
        assert type(a) is type(b), where
        for field in fields(a):
            if field.name not in ("path", "unsupported"):
                assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, tuple):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{k}]")
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key}]")
    else:
        assert a == b, where


def refused(path: Path, *words: str, read: Any = read_model) -> str:
    """The message of the refusal: one sentence that names a file and holds the given words."""
    with pytest.raises(ModelFileError) as error:
        read(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(error.value.path) in message
    for word in words:
        assert word in message, message
    return message


# --- a CCNF file by hand ---------------------------------------------------------------------------


def matrix(values: Any, code: int) -> bytes:
    values = np.atleast_2d(values)
    kind = {4: "<i4", 5: "<f4", 6: "<f8"}[code]
    return struct.pack("<iii", *values.shape, code) + values.astype(kind).tobytes()


SYMMETRIC = np.add.outer(np.arange(9), np.arange(9))


def ccnf(**overrides: bytes) -> bytes:
    """Two landmarks, two views, one of which misses landmark 1; every field can be replaced by its name."""
    parts: list[tuple[str, bytes]] = [("scaling", struct.pack("<d", 0.25)), ("views", struct.pack("<i", 2))]
    parts += [("centre0", matrix([[0.0], [0], [0]], 6)), ("centre1", matrix([[0.0], [-30], [5]], 6))]
    parts += [("visible0", matrix([[1], [1]], 4)), ("visible1", matrix([[1], [0]], 4))]
    parts += [("windows", struct.pack("<i", 1)), ("window", struct.pack("<i", 3)), ("count", struct.pack("<i", 2))]
    parts += [("sigma0", matrix(np.eye(9), 5)), ("sigma1", matrix(SYMMETRIC, 5))]
    for view, landmark, neurons in ((0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        name = f"v{view}l{landmark}"
        parts += [(f"{name}.tag", struct.pack("<i", 5)), (f"{name}.width", struct.pack("<i", 3))]
        parts += [(f"{name}.height", struct.pack("<i", 2)), (f"{name}.neurons", struct.pack("<i", neurons))]
        for k in range(neurons):
            seed = 100 * view + 10 * landmark + k
            parts += [(f"{name}n{k}.tag", struct.pack("<i", 2)), (f"{name}n{k}.kind", struct.pack("<i", 0))]
            parts += [(f"{name}n{k}.numbers", struct.pack("<ddd", seed + 0.1, -seed - 0.2, seed + 0.3))]
            parts += [(f"{name}n{k}.weights", matrix(np.arange(6).reshape(2, 3) + seed, 5))]
        if neurons:
            parts += [(f"{name}.betas", struct.pack("<dd", 0.5, 0.25)), (f"{name}.confidence", struct.pack("<d", 0.75))]
        else:
            parts += [(f"{name}.end", struct.pack("<i", 0))]
    parts.append(("tail", b""))
    unknown = set(overrides) - {name for name, _ in parts}
    assert not unknown, unknown
    return b"".join(overrides.get(name, data) for name, data in parts)


@pytest.fixture
def patch_file(tmp_path: Path) -> Any:
    """Write a CCNF file with some fields replaced."""

    def write(**overrides: bytes) -> Path:
        path = tmp_path / "patches.bin"
        path.write_bytes(ccnf(**overrides))
        return path

    return write


def test_every_field_of_a_ccnf_file(patch_file: Any) -> None:
    scale = read_patch_scale(patch_file())
    assert scale.patch_scaling == 0.25
    np.testing.assert_array_equal(scale.view_centres_degrees, [[0, 0, 0], [0, -30, 5]])
    np.testing.assert_allclose(scale.view_centres[1], [0, -np.pi / 6, np.pi / 36])
    assert list(scale.sigma_components) == [3]
    np.testing.assert_array_equal(scale.sigma_components[3], [np.eye(9), SYMMETRIC])
    first, second = scale.views
    np.testing.assert_array_equal(first.visible, [True, True])
    np.testing.assert_array_equal(second.visible, [True, False])
    np.testing.assert_array_equal(first.neurons, [2, 1])
    np.testing.assert_array_equal(second.neurons, [1, 0])
    assert first.support == (2, 3)
    np.testing.assert_array_equal(first.weights[0, 1], np.arange(6).reshape(2, 3) + 1)
    np.testing.assert_array_equal(second.weights[0, 0], np.arange(6).reshape(2, 3) + 100)
    np.testing.assert_array_equal(first.norm_weights, [[0.1, 1.1], [10.1, 0]])
    np.testing.assert_array_equal(first.bias, [[-0.2, -1.2], [-10.2, 0]])
    np.testing.assert_array_equal(first.alpha, [[0.3, 1.3], [10.3, 0]])
    np.testing.assert_array_equal(first.sum_alphas, [1.6, 10.3])
    np.testing.assert_array_equal(first.betas, [[0.5, 0.25]] * 2)
    np.testing.assert_array_equal(second.patch_confidence, [0.75, 0])
    for array in (scale.view_centres_degrees, first.weights, first.betas, second.visible, scale.sigma_components[3]):
        assert not array.flags.writeable


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


def f64(value: float) -> bytes:
    return struct.pack("<d", value)


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


def test_an_invisible_landmark_may_have_an_expert(patch_file: Any) -> None:
    scale = read_patch_scale(patch_file(visible0=matrix([[1], [0]], 4)))
    np.testing.assert_array_equal(scale.views[0].visible, [True, False])
    np.testing.assert_array_equal(scale.views[0].neurons, [2, 1])


def test_experts_of_different_sizes(patch_file: Any) -> None:
    changed = {
        "v1l0.width": i32(2),
        "v1l0.height": i32(2),
        "v1l0n0.weights": matrix(np.ones((2, 2)), 5),
    }
    refused(patch_file(**changed), "different sizes", read=read_patch_scale)


# --- hostile files: nothing but one sentence, and no memory to speak of ------------------------------


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the micro model, written once; tests that break one use `broken`."""
    path = tmp_path_factory.mktemp("micro")
    write_model(micro_model(), path)
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


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


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [tiny_model(), micro_model()], ids=lambda m: m.name)
def test_a_written_model_reads_back_bit_identical(model: Model, tmp_path: Path) -> None:
    main = write_model(model, tmp_path / "new" / "folder")
    assert main == tmp_path / "new" / "folder" / f"{model.name}.txt"
    again = read_model(main)
    assert_same(model, again)
    assert again.path == main
    assert again.unsupported == ()
    files = {name: (main.parent / name).read_bytes() for name in files_of(main.parent)}
    write_model(again, tmp_path / "second")
    assert {name: (tmp_path / "second" / name).read_bytes() for name in files_of(tmp_path / "second")} == files


def test_parts_read_back(tmp_path: Path) -> None:
    eye = replace(micro_model(), name="eye")
    inner = replace(micro_model(), name="inner", parts=(ModelPart("deep", np.array([[2, 0]]), eye),))
    parts = (
        ModelPart("left_eye", np.array([[36, 0], [37, 1], [38, 2]]), eye),
        ModelPart("inner", np.zeros((0, 2), dtype=np.int64), inner),
    )
    model = replace(tiny_model(), parts=parts)
    again = read_model(write_model(model, tmp_path))
    assert_same(model, again)
    assert again.parts[1].model.parts[0].name == "deep"


def test_a_model_written_over_another(tmp_path: Path) -> None:
    write_model(tiny_model(), tmp_path)
    assert_same(
        replace(micro_model(), name="tiny"), read_model(write_model(replace(micro_model(), name="tiny"), tmp_path))
    )


@pytest.mark.parametrize("name", ["module_tiny", "pdm_68", "triangulations", "a b", "größe", "part_x", "tiny.v2"])
def test_names_do_not_collide_with_the_files_beside_them(name: str, tmp_path: Path) -> None:
    model = replace(tiny_model(), name=name)
    assert_same(model, read_model(write_model(model, tmp_path)))


@settings(max_examples=60)
@given(
    arrays(np.float64, (6,), elements=st.floats(allow_nan=False, allow_infinity=False)),
    arrays(np.float64, (6, 2), elements=st.floats(allow_nan=False, allow_infinity=False)),
    arrays(np.float64, (2,), elements=st.floats(min_value=5e-324, allow_infinity=False)),
)
def test_every_float64_survives_the_text(
    folder: Path, mean: np.ndarray, modes: np.ndarray, variances: np.ndarray
) -> None:
    """Down to the last bit, subnormals and negative zeros included."""
    micro = micro_model()
    two = replace(micro.scales[0], views=tuple(shrunk(view) for view in micro.scales[0].views))
    model = replace(micro, name="floats", pdm=PDM(mean, modes, variances), scales=(two,))
    assert_same(model.pdm, read_model(write_model(model, folder / "floats")).pdm)
    shutil.rmtree(folder / "floats")


def shrunk(view: Any) -> Any:
    """The experts of the first two landmarks."""
    return replace(view, **{field.name: getattr(view, field.name)[:2] for field in fields(view)})


def all_models(model: Model) -> Iterator[Model]:
    yield model
    for part in model.parts:
        yield from all_models(part.model)


@pytest.mark.parametrize("main", ["main_clnf_general.txt", "main_clnf_wild.txt"])
def test_openface_s_own_models_round_trip(main: str, shared: Path, tmp_path: Path) -> None:
    model = read_model(shared / "openface" / main)
    again = read_model(write_model(model, tmp_path))
    assert_same(model, again)
    assert len(list(all_models(again))) == len(list(all_models(model))) > 2


def patch_files_named_in(folder: Path, main: str) -> list[Path]:
    """The CCNF files of a main file, in order, parts after the whole; read with no code of the engine."""
    files, parts = [], []
    for line in (folder / main).read_text().splitlines():
        key, *values = line.split()
        if key in ("LandmarkDetector", "PatchesCCNF"):
            path = folder / values[0]
            files += [path] if key == "PatchesCCNF" else patch_files_named_in(path.parent, path.name)
        elif key == "LandmarkDetector_part":
            parts += patch_files_named_in((folder / values[0]).parent, Path(values[0]).name)
    return files + parts


@pytest.mark.parametrize("main", ["main_clnf_general.txt", "main_clnf_wild.txt"])
def test_written_ccnf_files_equal_openface_s_byte_by_byte(main: str, shared: Path, tmp_path: Path) -> None:
    originals = patch_files_named_in(shared / "openface", main)
    written_main = write_model(read_model(shared / "openface" / main), tmp_path)
    written = patch_files_named_in(written_main.parent, written_main.name)
    assert len(written) == len(originals) > 3
    for ours, theirs in zip(written, originals, strict=True):
        assert ours.read_bytes() == theirs.read_bytes(), theirs.name


def test_openface_s_general_model_holds_what_is_known_of_it(shared: Path) -> None:
    model = load_model(shared / "openface" / "main_clnf_general.txt")
    assert (model.name, model.n_landmarks, model.pdm.n_modes) == ("main_clnf_general", 68, 34)
    assert [scale.patch_scaling for scale in model.scales] == [0.25, 0.35, 0.5]
    for scale in model.scales:
        assert len(scale.views) == 7
        assert {window: len(q) for window, q in scale.sigma_components.items()} == {7: 3, 9: 3, 11: 3, 15: 3}
        for view in scale.views:
            assert view.weights.shape == (68, 7, 11, 11)
    assert [part.name for part in model.parts] == ["inner", "left_eye_28", "right_eye_28"]
    assert [part.model.n_landmarks for part in model.parts] == [51, 28, 28]
    np.testing.assert_array_equal(model.parts[0].landmark_pairs[:2], [[17, 0], [18, 1]])
    np.testing.assert_array_equal(model.parts[1].landmark_pairs[:2], [[36, 8], [37, 10]])
    assert model.pdm.mean[0] == -73.393523
    np.testing.assert_allclose(model.pdm.modes.T @ model.pdm.modes, np.eye(34), rtol=0, atol=1e-3)
    assert len(model.triangulations) == 7


# --- main, module and PDM files by hand -----------------------------------------------------------


def write(folder: Path, **files: str | bytes) -> Path:
    """A model folder: the micro model's, with some files (``main`` for main.txt …) replaced or added."""
    write_model(replace(micro_model(), name="main"), folder)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.txt").write_bytes(data)
    return folder / "main.txt"


PATCHES = "ccnf_patches_0_0.25.bin"


@pytest.mark.parametrize(
    "module",
    [
        f"PDM pdm_3.txt\nPatchesCCNF {PATCHES}",
        f"PDM pdm_3.txt\r\nPatchesCCNF {PATCHES}\r\n",
        f"\n  PDM   pdm_3.txt  \n\n# a comment\nPatchesCCNF\t{PATCHES}\n",
        f"PatchesCCNF .\\{PATCHES}\nPDM ./pdm_3.txt\nUnknownKey 1 2 3\n",
        f"\ufeffPDM pdm_3.txt\nPatchesCCNF {PATCHES}\n",
    ],
    ids=["unix", "dos", "spaces", "order", "bom"],
)
def test_module_files_as_people_write_them(module: str, tmp_path: Path) -> None:
    assert_same(replace(micro_model(), name="main"), read_model(write(tmp_path, module_main=module)))


def test_a_module_file_can_be_opened_directly(tmp_path: Path) -> None:
    write(tmp_path)
    assert_same(replace(micro_model(), name="module_main"), read_model(tmp_path / "module_main.txt"))


def test_unknown_keys_and_unused_entries_of_a_main_file(tmp_path: Path) -> None:
    main = "FaceDetConversion haarAlign.txt\nLandmarkDetector module_main.txt\nDetectionValidator none.txt\n"
    assert_same(replace(micro_model(), name="main"), read_model(write(tmp_path, main=main)))


def test_other_kinds_of_patches_beside_ccnf_are_listed(tmp_path: Path) -> None:
    module = f"PDM pdm_3.txt\nPatchesCEN cen.dat\nPatchesCCNF {PATCHES}\nPatchesIntensity svr.txt\n"
    assert read_model(write(tmp_path, module_main=module)).unsupported == (
        "PatchesCEN cen.dat",
        "PatchesIntensity svr.txt",
    )


@pytest.mark.parametrize(
    ("key", "words"), [("PatchesCEN", "CEN"), ("PatchesIntensity", "SVR"), ("PatchesDepth", "depth")]
)
def test_models_of_other_patches_only(key: str, words: str, tmp_path: Path) -> None:
    refused(write(tmp_path, module_main=f"PDM pdm_3.txt\n{key} x.dat\n"), "module_main.txt", words, "not supported")


PDM_TEXT = """# mean
6
1
6
1.5
2
3
4
5
-6e0
# components
6
1
5
1 0 0 0 0 1
# variances
1
1
6
2.25
"""


def test_a_pdm_file_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "pdm.txt"
    path.write_text(PDM_TEXT)
    pdm = read_pdm(path)
    np.testing.assert_array_equal(pdm.mean, [1.5, 2, 3, 4, 5, -6])
    np.testing.assert_array_equal(pdm.modes, [[1], [0], [0], [0], [0], [1]])
    np.testing.assert_array_equal(pdm.variances, [2.25])
    assert pdm.mean.dtype == pdm.modes.dtype == pdm.variances.dtype == np.float64


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
        ({"main": "LandmarkDetector module_main.txt\nLandmarkDetector_part module_main.txt"}, ["main.txt", "line 2"]),
        ({"main": "LandmarkDetector module_main.txt\nLandmarkDetector_part module_main.txt eye 1"}, ["line 2"]),
        ({"main": "LandmarkDetector module_main.txt\nLandmarkDetector_part module_main.txt eye 1 x"}, ["line 2"]),
        (
            {"main": f"LandmarkDetector module_main.txt\nLandmarkDetector_part module_main.txt eye 1 {10**30}"},
            ["line 2"],
        ),
        ({"main": "LandmarkDetector module_main.txt\nLandmarkDetector_part module_main.txt eye 3 0"}, ["eye", "3"]),
        ({"main": "LandmarkDetector module_main.txt\nLandmarkDetector_part module_main.txt eye 0 -1"}, ["eye"]),
        ({"main": "LandmarkDetector module_main.txt\nLandmarkDetector_part main.txt self 0 0"}, ["nested"]),
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
    refused(write(tmp_path, main=main.format("other.txt"), other=main.format("main.txt")), "nested")


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


# --- finding and writing --------------------------------------------------------------------------


def test_missing_files_and_folders(tmp_path: Path) -> None:
    refused(tmp_path / "none.txt", "no such file")
    refused(tmp_path, "not a file")
    refused(tmp_path / ("x" * 300))
    refused(tmp_path / "none", read=load_model)
    refused(tmp_path / "none.txt", read=load_model)
    refused(tmp_path / ("x" * 300), read=load_model)
    refused(tmp_path, "main", read=load_model)
    with pytest.raises(ModelFileError, match="shipped"):
        load_model("no-such-model")


def test_a_folder_with_one_main_file_is_a_model(tmp_path: Path) -> None:
    write_model(replace(micro_model(), name="main_micro"), tmp_path)
    assert load_model(tmp_path).name == load_model(str(tmp_path)).name == "main_micro"
    write_model(replace(micro_model(), name="main_other"), tmp_path)
    refused(tmp_path, "main_micro.txt", "main_other.txt", read=load_model)
    write_model(replace(micro_model(), name="main"), tmp_path)
    assert load_model(tmp_path).name == "main"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(ModelFileError) as error:
            write_model(micro_model(), path)
        assert "\n" not in str(error.value)
    assert files_of(tmp_path) == ["file"]


def test_no_temporary_file_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(micro_model(), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in files_of(tmp_path)}
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ModelFileError, match="No space left"):
        write_model(replace(micro_model(), pdm=replace(micro_model().pdm, mean=np.zeros(9))), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in files_of(tmp_path)} == before
