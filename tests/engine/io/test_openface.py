"""OpenFace's model files: what is read from them, bit-identical round trips, finding and writing."""

from __future__ import annotations

import os
import shutil
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
from .model_tools import PATCHES, PDM_TEXT, SYMMETRIC, files_of, matrix, refused, write


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


# --- a CCNF file by hand --------------------------------------------------------------------------


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


def test_an_invisible_landmark_may_have_an_expert(patch_file: Any) -> None:
    scale = read_patch_scale(patch_file(visible0=matrix([[1], [0]], 4)))
    np.testing.assert_array_equal(scale.views[0].visible, [True, False])
    np.testing.assert_array_equal(scale.views[0].neurons, [2, 1])


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
    main = "FaceDetConversion haarAlign.txt\nLandmarkDetector module_main.txt\nNoSuchKey none.txt\n"
    assert_same(replace(micro_model(), name="main"), read_model(write(tmp_path, main=main)))


def test_other_kinds_of_patches_beside_ccnf_are_listed(tmp_path: Path) -> None:
    module = f"PDM pdm_3.txt\nPatchesCEN cen.dat\nPatchesCCNF {PATCHES}\nPatchesIntensity svr.txt\n"
    assert read_model(write(tmp_path, module_main=module)).unsupported == (
        "PatchesCEN cen.dat",
        "PatchesIntensity svr.txt",
    )


def test_a_pdm_file_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "pdm.txt"
    path.write_text(PDM_TEXT)
    pdm = read_pdm(path)
    np.testing.assert_array_equal(pdm.mean, [1.5, 2, 3, 4, 5, -6])
    np.testing.assert_array_equal(pdm.modes, [[1], [0], [0], [0], [0], [1]])
    np.testing.assert_array_equal(pdm.variances, [2.25])
    assert pdm.mean.dtype == pdm.modes.dtype == pdm.variances.dtype == np.float64


# --- finding and writing --------------------------------------------------------------------------


def test_missing_files_and_folders(tmp_path: Path) -> None:
    refused(tmp_path / "none.txt", "no such file")
    refused(tmp_path, "a folder; expected a model file")
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
