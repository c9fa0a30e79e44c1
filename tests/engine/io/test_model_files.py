"""Models as sets of files: replaced as a whole, and reading no more than a model's own files, of sane size."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from systems import needs_links, needs_signals

from clnf_engine.errors import ModelFileError
from clnf_engine.io import model_text
from clnf_engine.io.files import exclusive
from clnf_engine.io.openface import read_model, write_model
from clnf_engine.model import Model, ModelPart

from ..tiny_model import tiny_model
from .model_tools import PATCHES, micro_model, refused, write

SPAWN = multiprocessing.get_context("spawn")


def two_models() -> tuple[Model, Model]:
    """Of the same name and kind, different in every file."""
    one = replace(tiny_model(), name="main", parts=(ModelPart("p", np.array([[0, 0]]), micro_model()),))
    other = replace(
        one,
        pdm=replace(one.pdm, mean=one.pdm.mean + 1),
        scales=tuple(replace(s, view_centres_degrees=s.view_centres_degrees + 1) for s in one.scales),
    )
    return one, other


def _write_in_turn(folder: Path, ready: Connection) -> None:
    one, other = two_models()
    write_model(one, folder)
    ready.send(True)
    for _ in range(100_000):
        write_model(other, folder)
        write_model(one, folder)


@needs_signals
def test_a_killed_writer_never_leaves_a_mixture(tmp_path: Path) -> None:
    prints = [read_model(write_model(model, tmp_path / f"{k}")).fingerprint for k, model in enumerate(two_models())]
    for k in range(3):
        here, there = SPAWN.Pipe()
        writer = SPAWN.Process(target=_write_in_turn, args=(tmp_path / "m", there))
        writer.start()
        assert here.recv()
        writer.join(0.007 * k)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        model = read_model(tmp_path / "m" / "main.txt")
        assert model.fingerprint in prints
        assert (model.scales[0].view_centres_degrees[0, 0] == 1) == (model.fingerprint == prints[1])
    write_model(two_models()[0], tmp_path / "m")
    assert len(os.listdir(tmp_path / "m")) == 2, "the main file, and a folder"


def test_a_failure_leaves_the_older_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two_models()
    main = write_model(one, tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ModelFileError, match="No space left"):
        write_model(other, tmp_path)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert read_model(main).fingerprint == one.fingerprint


def test_two_writers(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "main.txt"),
        pytest.raises(ModelFileError, match=r"main.txt: another process is writing it"),
    ):
        write_model(two_models()[0], tmp_path)
    write_model(two_models()[0], tmp_path)


@pytest.mark.parametrize("name", ["x/../../y", "..", "a\nb", "a\\b", "/a", "\udcff", "", "a b", "a\x1bb"])
def test_parts_of_impossible_names(name: str, tmp_path: Path) -> None:
    parts = (ModelPart(name, np.array([[0, 0]]), micro_model()),)
    with pytest.raises(ModelFileError, match="cannot be the name of a part of a model"):
        write_model(replace(micro_model(), parts=parts), tmp_path / "in")
    if name not in ("a b", ""):
        with pytest.raises(ModelFileError, match="cannot be the name of a model"):
            write_model(replace(micro_model(), name=name), tmp_path / "in")
    assert not list(tmp_path.rglob("*.txt"))


# --- what a model may name ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "../secret.txt", "sub/../../secret.txt", "..\\secret.txt", "C:\\x.txt"]
)
def test_files_elsewhere_are_not_read(value: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("hunter2 is the word")
    main = write(tmp_path / "model", module_main=f"PDM {value}\nPatchesCCNF {PATCHES}\n")
    message = refused(main, "module_main.txt, line 1: names", "expected a file in the folder of the model")
    assert "hunter2" not in message


@needs_links
@pytest.mark.parametrize("text", ["hunter2 is the word", "3\n1\n6\nhunter2 0 0", "3\n1\n4\n1.5 2 3"])
def test_what_links_lead_to_is_not_quoted(text: str, tmp_path: Path) -> None:
    """A model may be made of links, as those of caches are, but its messages tell nothing of what is elsewhere."""
    (tmp_path / "secret.txt").write_text(text)
    main = write(tmp_path / "model")
    for place, link in (("pdm_3.txt", tmp_path / "secret.txt"), ("link", tmp_path)):
        (tmp_path / "model" / place).unlink(missing_ok=True)
        (tmp_path / "model" / place).symlink_to(link)
    for name in ("pdm_3.txt", "link/secret.txt"):
        (tmp_path / "model" / "module_main.txt").write_text(f"PDM {name}\nPatchesCCNF {PATCHES}\n")
        message = refused(main, "found something else; expected")
        assert "hunter2" not in message and "1.5" not in message


@needs_links
def test_a_model_of_links_is_read(tmp_path: Path) -> None:
    main = write_model(tiny_model(), tmp_path / "blobs")
    for file in [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]:
        link = tmp_path / "model" / file.relative_to(tmp_path / "blobs")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    assert read_model(tmp_path / "model" / main.name).fingerprint == read_model(main).fingerprint


AMPLIFIED = {
    "scales": ({"module_main": "PDM pdm_3.txt\n" + f"PatchesCCNF {PATCHES}\n" * 400}, "one file too many"),
    "modules": ({"main": "LandmarkDetector module_main.txt\n" * 300}, "line 2: a second line 'LandmarkDetector"),
    "shapes": ({"module_main": "PDM pdm_3.txt\n" * 300}, "line 2: a second line 'PDM"),
    "parts": (
        {
            "main": "LandmarkDetector module_main.txt\n" + "LandmarkDetector_part a.txt p 0 0\n" * 6,
            "a": "LandmarkDetector module_main.txt\n" + "LandmarkDetector_part b.txt p 0 0\n" * 6,
            "b": "LandmarkDetector module_main.txt\n" + "LandmarkDetector_part c.txt p 0 0\n" * 6,
            "c": "LandmarkDetector module_main.txt\n" + "LandmarkDetector_part module_main.txt p 0 0\n" * 6,
        },
        "one file too many",
    ),
}


@pytest.mark.parametrize("kind", AMPLIFIED)
def test_repeated_references_are_no_multiplication(kind: str, tmp_path: Path) -> None:
    files, problem = AMPLIFIED[kind]
    main, begin = write(tmp_path, **files), time.process_time()
    if kind == "parts":  # without which a model can be used
        assert all(problem in said for said in read_model(main).problems[-5:])
    else:
        refused(main, problem)
    assert time.process_time() - begin < 5, "it took half a minute"


def test_texts_and_models_have_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(write(tmp_path, pdm_3=b"1 " * (1 << 22) + b"1"), "pdm_3.txt: 8388609 bytes; expected a model file in text")
    main = write(tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    monkeypatch.setattr(model_text, "MAX_MODEL_BYTES", size)
    read_model(main)
    monkeypatch.setattr(model_text, "MAX_MODEL_BYTES", size - 1)
    refused(main, "is one file too many; expected at most")
