"""Every writer, under faults: what cannot be written is told in one sentence, and nothing else happens."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path

import pytest

from clnf_engine import FitOptions, Study, Trace, TrackOptions, Variant, fit, load_model, open_video
from clnf_engine.commandline.main import main
from clnf_engine.errors import ClnfError
from clnf_engine.io.calibration_file import write_calibration
from clnf_engine.io.openface import write_model
from clnf_engine.io.video_writer import write_video
from clnf_engine.studies.parts import write_study
from clnf_engine.tracking.job import TrackJob
from clnf_engine.tracking.output import write_json, write_parquet

from .cli_tools import BOX_TEXT, save
from .tiny_model import start, tiny_image, tiny_model
from .video_tools import as_rgb, write_clip

resource = pytest.importorskip("resource", reason="Windows has neither its limits nor pipes with names")

Writer = Callable[[Path], object]


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Writer]:
    """By the name of the file that each writes."""
    folder = tmp_path_factory.mktemp("sources")
    model, options, tracking = replace(tiny_model(), name="main"), FitOptions(max_iterations=1), TrackOptions()
    trace: Trace = fit(tiny_image(), model, start(), options)
    calibration = load_model().calibration
    photo, main_file = save(folder / "photo.png"), write_model(model, folder / "model")
    study = Study(str(folder), (Variant.of(model=str(main_file)),))
    clip = write_clip(folder / "a.avi", [as_rgb(tiny_image())] * 3, codec="mjpeg")
    with open_video(clip) as source:
        TrackJob(source, model, options, tracking, start()).write(folder / "t.csv")

    def track(path: Path) -> None:
        with open_video(clip) as source:
            TrackJob(source, model, options, tracking, start()).write(path)

    def command(*words: str) -> Writer:
        def run(path: Path) -> None:
            fixed = ("--model", str(main_file), "--box", BOX_TEXT, "-O", "max_iterations=1")
            with redirect_stderr(io.StringIO()) as err:  # no file, which might be full as well
                code = main([words[0], photo, *fixed, *words[1:], str(path)])
            if code == 2:
                raise ClnfError(err.getvalue())

        return run

    return {
        "t.npz": trace.save,
        "t.json": lambda path: write_json(path, folder / "t.csv", clip, model, options, tracking),
        "t.parquet": lambda path: write_parquet(path, folder / "t.csv"),
        "c.json": lambda path: write_calibration(path, calibration),
        "v.mp4": lambda path: write_video(path, [(k / 25, as_rgb(tiny_image())) for k in range(3)]),
        "v.mkv": lambda path: write_video(path, [(k / 25, as_rgb(tiny_image())) for k in range(3)]),
        "main.txt": lambda path: write_model(model, path.parent),
        "track.csv": track,
        "study.json": lambda path: write_study(path.parent, study),
        "fit.json": command("fit", "-o"),
        "trace.npz": command("trace", "-o"),
    }


NAMES = (
    *("t.npz", "t.json", "t.parquet", "c.json", "v.mp4", "v.mkv", "main.txt", "track.csv"),
    *("study.json", "fit.json", "trace.npz"),
)


@contextmanager
def a_full_disk(folder: Path) -> Iterator[None]:
    """No file may be longer than a few bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def a_folder_that_is_not_ours(folder: Path) -> Iterator[None]:
    """Also for root, to whom modes mean nothing."""
    with pytest.MonkeyPatch.context() as patch:
        opened = os.open

        def deny(path: object, flags: int, *rest: object, **named: object) -> int:
            if flags & os.O_CREAT and str(path).startswith(str(folder)):
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, flags, *rest, **named)

        patch.setattr(os, "open", deny)
        yield


FAULTS = {"full disk": a_full_disk, "read-only": a_folder_that_is_not_ours}


@pytest.mark.parametrize("name", NAMES)
def test_faults(writers: dict[str, Writer], name: str, tmp_path: Path) -> None:
    assert set(writers) == set(NAMES)
    path, write = tmp_path / name, writers[name]
    for fault in FAULTS.values():
        with fault(tmp_path), pytest.raises((ClnfError, OSError)) as error:
            write(path)
        assert "\n" not in str(error.value)
        left = [file for file in tmp_path.rglob("*") if not (name == "track.csv" and file == path)]
        assert left == [], "a journal may keep whole rows; nothing else stays"
        path.unlink(missing_ok=True)
    write(path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    if name == "track.csv":
        return
    for fault in FAULTS.values():
        with fault(tmp_path), pytest.raises((ClnfError, OSError)):
            write(path)
        assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("main.txt", "track.csv")])
def test_links_are_followed(writers: dict[str, Writer], name: str, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / name).symlink_to(f"to/{name}")
    writers[name](tmp_path / name)
    assert (tmp_path / name).is_symlink() and (tmp_path / "to" / name).stat().st_size > 50
    assert sorted(os.listdir(tmp_path / "to")) == [name]


def test_arrays_need_no_seeking_back(writers: dict[str, Writer], tmp_path: Path) -> None:
    """A trace goes through a pipe, too."""
    os.mkfifo(tmp_path / "t.npz")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "t.npz").read_bytes()))
    reader.start()
    writers["t.npz"](tmp_path / "t.npz")
    reader.join()
    (tmp_path / "regular.npz").write_bytes(received[0])
    assert Trace.load(tmp_path / "regular.npz").model_name == "main"
    assert stat.S_ISFIFO((tmp_path / "t.npz").stat().st_mode)
