"""Training: a tiny model in seconds, the same on every run, resumed where it was interrupted."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from systems import needs_signals

from clnf_engine import FitOptions, fit, initial_from_box, load_model
from clnf_engine.accuracy import accuracy
from clnf_engine.commandline.main import main
from clnf_engine.errors import ClnfError, OptionsError
from clnf_engine.ibug68 import MIRROR
from clnf_engine.initial import box_around
from clnf_engine.io.calibration_file import calibration_path, read_calibration, write_calibration
from clnf_engine.io.files import exclusive
from clnf_engine.io.openface import write_model
from clnf_engine.processes import end_with_parent, starting_deaf_processes
from clnf_engine.training import train as training_module
from clnf_engine.training.annotations import Face, read_annotations
from clnf_engine.training.ccnf import Expert
from clnf_engine.training.recipe import Recipe, View
from clnf_engine.training.train import Training, split, train

from .drawn_faces import write_faces

TINY = Recipe(
    scales=(0.3,), windows=(9,), neurons=2, copies=2, iterations=15, refinements=5, held_out=0.25, weight_decay=1e-5
)
TINY_WORDS = ("--scales", "0.3", "--windows", "9", "--neurons", "2", "-O", "copies=2", "-O", "iterations=15")
TINY_WORDS += ("-O", "refinements=5", "-O", "held_out=0.25", "-O", "weight_decay=1e-5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 12, seed=1)


@pytest.fixture(scope="module")
def faces(folder: Path) -> tuple[Face, ...]:
    return read_annotations(folder).faces


@pytest.fixture(scope="module")
def trained(faces: tuple[Face, ...], tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(faces, tmp_path_factory.mktemp("models") / "tiny", TINY, processes=2, quiet=True)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_new_model_takes_away_the_calibration_of_the_old_one(faces: tuple[Face, ...], tmp_path: Path) -> None:
    path = tmp_path / "tiny" / "main_tiny.calibration.json"
    path.parent.mkdir()
    write_calibration(path, load_model().calibration)
    main_file = train(faces, path.parent, TINY, processes=2, quiet=True).main_file
    assert calibration_path(main_file) == path and not path.exists()
    write_calibration(path, load_model().calibration)
    with pytest.raises(ClnfError, match="was made for another model than main_tiny"):
        load_model(main_file)


def test_a_tiny_model_fits_better_than_the_mean_shape(trained: Training, tmp_path: Path) -> None:
    model = load_model(trained.main_file)
    unseen = read_annotations(write_faces(tmp_path, 6, seed=2)).faces
    starts = [initial_from_box(model, box_around(face.points)) for face in unseen]
    traces = [fit(face.gray(), model, start) for face, start in zip(unseen, starts, strict=True)]
    before = [accuracy(t.steps[0].landmarks, f.points).mean_percent for t, f in zip(traces, unseen, strict=True)]
    after = [accuracy(t.landmarks, f.points).mean_percent for t, f in zip(traces, unseen, strict=True)]
    assert all(trace.success for trace in traces)
    assert np.mean(after) < 0.7 * np.mean(before)


def test_what_a_training_leaves_behind(trained: Training, faces: tuple[Face, ...]) -> None:
    folder = trained.main_file.parent
    assert trained.main_file.name == "main_tiny.txt"
    assert (folder / "held_out.txt").read_text().split() == [face.name for face in trained.held_out]
    assert len(trained.held_out) == 3
    work = folder.with_name("tiny.work")
    assert [path.name for path in work.iterdir()] == ["split"]
    again = load_model(work / "split")
    assert np.array_equal(again.scales[0].views[0].weights, trained.split_model.scales[0].views[0].weights)
    assert not np.array_equal(again.scales[0].views[0].weights, trained.model.scales[0].views[0].weights)
    view = load_model(folder).scales[0].views[0]
    assert ((view.patch_confidence > 0) & (view.patch_confidence <= 1)).all()
    assert np.array_equal(view.weights[45], view.weights[36][:, :, ::-1])  # the other eye, mirrored
    assert np.linalg.norm(view.weights[30], axis=(1, 2)) == pytest.approx([1, 1], abs=1e-5)


def test_an_interrupted_training_goes_on_and_ends_the_same(
    trained: Training, faces: tuple[Face, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with another number of processes."""
    bars: list[Bar] = []

    class Bar(training_module.tqdm):  # type: ignore[type-arg]
        stop_at: int | None = 10

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.counts: list[int] = []
            bars.append(self)

        def update(self, n: float | None = 1) -> bool | None:
            self.counts.append(int(n or 0))
            if sum(self.counts) == self.stop_at:
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(training_module, "tqdm", Bar)
    folder = tmp_path / "tiny"
    with pytest.raises(KeyboardInterrupt):
        train(faces, folder, TINY, processes=1, quiet=True)
    finished = len(list((tmp_path / "tiny.work" / "split").glob("expert_*.npz")))
    assert finished >= 10
    Bar.stop_at = None
    train(faces, folder, TINY, processes=1, quiet=True)
    assert bars[1].counts[0] == finished
    assert sum(bars[1].counts) == 2 * 39
    assert files(folder) == files(trained.main_file.parent)


def test_views_are_trained_on_turned_copies_and_end_the_same_however_they_are_made(
    faces: tuple[Face, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces, views = faces[:6], (View(0, 20, 10, 30), View(15, 0, 8, 23))
    recipe = replace(TINY, neurons=1, copies=1, views=views, iterations=3, view_iterations=2, refinements=1)
    model = train(faces, tmp_path / "tiny", recipe, processes=2, quiet=True).model
    (scale,) = load_model(tmp_path / "tiny").scales
    assert scale.view_centres_degrees.tolist() == [[0, 0, 0], [0, 20, 0], [0, -20, 0], [15, 0, 0]]
    front, right, left, down = scale.views
    assert front.visible.all() and down.visible.all()
    assert not right.visible[:3].any() and right.visible[7:].all()  # the far side of the jaw is hidden
    assert np.array_equal(left.visible, right.visible[MIRROR])
    assert np.array_equal(left.weights, right.weights[MIRROR][..., ::-1])
    assert np.array_equal(left.patch_confidence, right.patch_confidence[MIRROR])
    assert np.array_equal(down.weights[45], down.weights[36][..., ::-1])
    assert not np.array_equal(right.weights[45], right.weights[36][..., ::-1])
    assert ((right.patch_confidence > 0) == right.visible).all()
    assert model.fingerprint == load_model(tmp_path / "tiny").fingerprint

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "again" / "tiny"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training_module, "_train_all", interrupted)
        train(faces, folder, recipe, processes=1, quiet=True)
    copies = sorted(folder.with_name("tiny.work").glob("copies/*.npz"))
    assert len(copies) == 3 * len(faces)
    copies[4].unlink()
    train(faces, folder, recipe, processes=1, quiet=True)
    assert files(folder) == files(tmp_path / "tiny")


def test_views_need_faces_that_can_be_turned(faces: tuple[Face, ...], tmp_path: Path) -> None:
    recipe = replace(TINY, views=(View(0, 20, 10, 30),), most_yaw_to_turn=0)
    with pytest.raises(ClnfError, match=r"0 of 12 faces have depth .* less than 0°; views need some"):
        train(faces, tmp_path / "tiny", recipe, processes=1, quiet=True)


def test_experts_of_another_recipe_are_not_taken_over(tmp_path: Path) -> None:
    work = tmp_path / "x.work"
    training_module._prepare(work, {"recipe": 1})
    (work / "split" / "expert_0_00.npz").write_bytes(b"")
    training_module._prepare(work, {"recipe": 1})
    assert (work / "split" / "expert_0_00.npz").exists()
    training_module._prepare(work, {"recipe": 2})
    assert not (work / "split" / "expert_0_00.npz").exists()


def test_the_split_depends_on_the_seed_only(faces: tuple[Face, ...]) -> None:
    assert split(faces, TINY) == split(faces[::-1], TINY)
    assert any(split(faces, Recipe(seed=s, held_out=0.25)) != split(faces, TINY) for s in range(1, 5))
    with pytest.raises(ClnfError, match="1 faces are too few to hold out 25%"):
        split(faces[:1], TINY)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (0.5, 0.25)}, "grow"),
        ({"windows": (8,)}, "odd numbers"),
        ({"neurons": 0}, "neurons is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"held_out": 1.0}, "held_out is 1"),
    ],
)
def test_impossible_recipes(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        Recipe(**wrong)


def test_the_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.pts").write_text("nonsense")
    try:
        model = tmp_path / "own"
        assert main(["train", str(folder), "-o", str(model), *TINY_WORDS, "--processes", "2"]) == 0
        out, err = capsys.readouterr()
        assert "broken.pts: there is no image broken.jpg" in err
        assert "1 of 13 annotations skipped" in err
        assert "init perturbed" in out
        assert out.splitlines()[-1] == str(model / "main_own.txt")
        calibration = load_model(model).calibration
        assert calibration.held_out and calibration.faces == 3 and calibration.options == FitOptions()
        assert f"calibrated: {len(calibration.worked)} fits that worked, {len(calibration.failed)} that failed" in out
        words = ["evaluate", str(folder), "--model", str(model), "--init", "box", "-o", str(tmp_path / "result")]
        assert main([*words, "--only", str(model / "held_out.txt"), "--preset", "openface-wild"]) == 0
        assert "3 of 3 faces fitted" in capsys.readouterr().out
        assert sorted(p.name for p in (tmp_path / "result").iterdir()) == ["cumulative_error.png", "errors.csv"]
        assert (tmp_path / "result" / "errors.csv").read_text().count("\n") == 4
        assert main([*words, "--calibrate", "-O", "sigma=2"]) == 0
        assert f"{model / 'main_own.calibration.json'}\ncalibrated: " in capsys.readouterr().out
        again = load_model(model).calibration
        assert (again.held_out, again.faces, again.options) == (False, 12, FitOptions(sigma=2))
        assert main([*words, "--only", str(model / "held_out.txt"), "--calibration", str(tmp_path / "c.json")]) == 0
        assert read_calibration(tmp_path / "c.json").faces == 3 and load_model(model).calibration.faces == 12
    finally:
        (folder / "broken.pts").unlink()
    capsys.readouterr()
    assert main(["models"]) == 0
    assert capsys.readouterr().out.startswith("portrait68: 68 landmarks, ")


def test_where_the_model_s_folder_cannot_be_written_a_person_s_own_takes_the_calibration(
    folder: Path, trained: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setattr("clnf_engine.io.calibration_file.calibration_path", lambda main: blocked / "c.json")
    words = [
        "evaluate",
        str(folder),
        "--model",
        str(trained.main_file),
        "--init",
        "box",
        "-o",
        str(tmp_path / "result"),
    ]
    assert main([*words, "--calibrate"]) == 2  # the tests' own folder cannot be written either
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setenv("CLNF_CALIBRATIONS", str(tmp_path / "own"))
    assert main([*words, "--calibrate"]) == 0
    model = load_model(trained.main_file)
    assert f"{tmp_path / 'own' / model.fingerprint}.json\ncalibrated: " in capsys.readouterr().out
    assert model.calibration is not None and model.calibration.faces == 12


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["train", "nowhere", "-o", "x"], "nowhere: cannot be read as a folder of faces"),
        (["train", ".", "-o", "x", "--scales", "a"], "expected numbers joined by commas"),
        (["train", ".", "-o", "x", "--windows", "1.5"], "expected whole numbers joined by commas"),
        (["train", ".", "-o", "x", "--processes", "0"], "expected a whole number from 1 to 1024"),
        (["train", ".", "-o", "x", "-O", "what=1"], "expected key=value, with a key among neurons"),
        (["train", ".", "-o", "x", "-O", "copies=1.5"], "-O 'copies=1.5': expected a whole number"),
        (["train", ".", "-o", "x", "-O", "bump=wide"], "-O 'bump=wide': expected a number"),
        (["evaluate", "nowhere"], "nowhere: cannot be read as a folder of faces"),
        (["evaluate", ".", "--seed", "-1"], "--seed is -1"),
        (["evaluate", ".", "--calibration", "no/folder/c.json"], "no/folder/c.json: cannot be written"),
        (["evaluate", ".", "--calibration", "c.json", "--calibrate"], "not allowed with argument"),
        (["evaluate", ".", "--model", "nowhere"], "no such file, folder or shipped model"),
    ],
)
def test_wrong_input(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "choice",
    [
        *("support=0", "support=-1", "support=4", "support=100000", "training_window=0", "training_window=2"),
        *("copies=0", "copies=-1", "far_offset=nan", "jitter_scale=inf", "variance_kept=nan", "variance_kept=0"),
        *(
            "variance_kept=2",
            "bump=0",
            "bump=nan",
            "weight_decay=-1e9",
            "iterations=-1",
            "near_share=7",
            "held_out=nan",
        ),
    ],
)
def test_recipes_that_no_training_can_follow(choice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "nowhere", "-o", "x", "-O", choice]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"clnf: {choice.partition('=')[0]} is ") and "; expected " in err


@pytest.mark.parametrize("damage", ["cut", "empty", "shape", "nan", "key"])
def test_what_is_damaged_in_the_work_folder_is_trained_again(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "expert_0_00.npz"
    expert = Expert(np.zeros((2, 121)), np.zeros(2), 1.0, np.ones(1))
    training_module._save(file, expert, 0.5)
    assert training_module._is_finished(file, TINY)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "key":
        np.savez(file, theta=1)
    else:
        wrong = np.zeros((3, 121)) if damage == "shape" else np.full((2, 121), np.nan)
        training_module._save(file, replace(expert, theta=wrong), 0.5)
    assert not training_module._is_finished(file, TINY)
    training_module._prepare(tmp_path / "w", {})
    (tmp_path / "w" / "training.json").write_bytes(b"\xff\xfe")
    training_module._prepare(tmp_path / "w", {})


def test_two_trainings_into_one_folder(faces: tuple[Face, ...], tmp_path: Path) -> None:
    with exclusive(tmp_path / "m.work"), pytest.raises(ClnfError, match=r"m\.work: another process is writing it"):
        train(faces, tmp_path / "m", TINY, quiet=True)
    assert list(tmp_path.iterdir()) == []


def _hold(connection: Connection) -> None:
    """A parent that waits for its worker."""
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent)
    connection.send(pool.submit(os.getpid).result())
    pool.submit(time.sleep, 60).result()


@needs_signals
def test_workers_end_with_their_parent() -> None:
    here, there = multiprocessing.Pipe()
    parent = multiprocessing.get_context("spawn").Process(target=_hold, args=(there,))
    parent.start()
    worker = here.recv()
    parent.kill()
    parent.join()
    for _ in range(1000):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{worker}/stat").exists() and ") Z " in Path(f"/proc/{worker}/stat").read_text():
            return  # ended, and nobody asked how
        threading.Event().wait(0.01)
    pytest.fail("the worker goes on without anyone to work for")


def _is_deaf() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@needs_signals
def test_processes_are_deaf_to_ctrl_c_from_their_first_moment() -> None:
    context = multiprocessing.get_context("spawn")
    with starting_deaf_processes():
        deaf = context.Process(target=_is_deaf)
        deaf.start()
    deaf.join()
    assert deaf.exitcode == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_names_and_lists_of_faces(
    folder: Path, trained: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spaces, formulas of spreadsheets and of mathematics, and bytes that are no UTF-8 are names like any other."""
    here = tmp_path / "faces"
    here.mkdir()
    names = ["my face", "=HYPERLINK(1)", os.fsdecode(b"\xff"), "a\nb"]
    for k, name in enumerate(names):
        for suffix in (".png", ".pts"):
            shutil.copy(folder / f"face{k:02d}{suffix}", here / f"{name}{suffix}")
    (tmp_path / "only.txt").write_text("my face\n=HYPERLINK(1)\n")
    main_file = write_model(replace(trained.model, name="main_a$x^$b"), tmp_path / "model")
    words = ["evaluate", str(here), "--model", str(main_file), "--init", "box", "-o", str(tmp_path / "result")]
    assert main([*words, "--only", str(tmp_path / "only.txt")]) == 0
    assert "has a line break in its name" in capsys.readouterr().err
    rows = (tmp_path / "result" / "errors.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["'=HYPERLINK(1)", "my face"]
    assert (tmp_path / "result" / "cumulative_error.png").is_file()
    assert main(words) == 0
    assert "\\udcff," in (tmp_path / "result" / "errors.csv").read_text()


def test_the_place_of_an_evaluation_is_made_sure_of_before_the_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("clnf_engine.training.evaluate.evaluate", lambda *_: pytest.fail("the work has begun"))
    assert main(["evaluate", str(folder), "-o", str(tmp_path / "file")]) == 2
    assert "file: cannot be made a folder for the results" in capsys.readouterr().err
