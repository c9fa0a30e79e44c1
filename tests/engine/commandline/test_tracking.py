"""``clnf track``: what it writes, that it can be stopped at any moment and goes on as if it had not been."""

from __future__ import annotations

import csv
import io
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet
import pytest
from systems import heard_ctrl_c, needs_fifo, needs_fork_server, needs_signals

from clnf_engine import (
    FitOptions,
    FrameResult,
    Model,
    Precision,
    TrackOptions,
    fit,
    initial_from_box,
    load_model,
    open_video,
    track,
    turned,
)
from clnf_engine.commandline.main import main
from clnf_engine.io import files, temporaries
from clnf_engine.io.openface import write_model
from clnf_engine.io.video_writer import write_video
from clnf_engine.tracking import track as tracking_module
from clnf_engine.tracking.journal import Journal, run_name
from clnf_engine.tracking.pose import head_pose

from ..detector_tools import FIND_FACES, finds
from ..tiny_model import tiny_model, with_experts
from ..video_tools import as_rgb, decoding_threads, face_pictures, pictures, write_clip

BOX = (9.0, 27.0, 130.0, 120.0)
COUNT = 20

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tiny_model(), tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face leaves for a while."""
    frames = face_pictures(COUNT)
    frames[8:13] = [np.random.default_rng(k).integers(0, 256, (150, 144)).astype(np.uint8) for k in range(5)]
    return write_clip(tmp_path_factory.mktemp("clip") / "face.avi", [as_rgb(f) for f in frames], codec="mjpeg")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], clip: Path, model_file: str) -> Run:
    def run(*argv: str, video: str = str(clip), box: str = "--box=9,27,130,120") -> tuple[int, str, str]:
        code = main(["track", video, "--model", model_file, *filter(None, [box]), *argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, clip: Path, model_file: str) -> bytes:
    """The file of an uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "out.csv"
    assert main(["track", str(clip), "--model", model_file, "--box=9,27,130,120", "-o", str(path)]) == 0
    return path.read_bytes()


def results_by_hand(clip: Path, model_file: str) -> list[FrameResult]:
    model = load_model(model_file)
    with open_video(clip) as source:
        return list(track(source, model, first=initial_from_box(model, BOX)))


# --- what it writes ---------------------------------------------------------------------------------


def test_rows_hold_what_the_api_gives(run: Run, clip: Path, model_file: str, whole: bytes) -> None:
    results, model = results_by_hand(clip, model_file), load_model(model_file)
    rows = list(csv.DictReader(whole.decode().splitlines()))
    assert len(rows) == len(results) == COUNT
    assert [row["state"] for row in rows] == [str(result.state) for result in results]
    assert {row["state"] for row in rows} == {"placed", "tracked", "lost"}
    for number, (row, result) in enumerate(zip(rows, results, strict=True), start=1):
        assert (row["frame"], row["face_id"], row["success"]) == (str(number), "0", str(int(result.success)))
        assert float(row["timestamp"]) == result.timestamp == pytest.approx((number - 1) / 25)
        points = [[float(row[f"{axis}_{i}"]) for axis in "xy"] for i in range(68)]
        np.testing.assert_array_equal(points, result.landmarks)
        names = ["scale", "rx", "ry", "rz", "tx", "ty", 0, 1, 2, 3]
        np.testing.assert_array_equal([float(row[f"p_{name}"]) for name in names], result.params)
        pose = head_pose(model.pdm, result.params, result.landmarks, (144, 150))
        names = [f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"]
        np.testing.assert_array_equal([float(row[name]) for name in names], pose)
        for name in ("likelihood", "iterations", "update_norm", "shape_change"):
            assert float(row[name]) == getattr(result, name)
        assert row["windows"] == " ".join(map(str, result.options.windows))
        assert float(row["confidence"]) == pytest.approx(1 / (1 + math.exp(-4 * (result.likelihood + 0.5))))
    assert [row["start"] for row in rows[:3]] == ["box", "previous", "previous"]
    assert rows[12]["start"] == "previous"
    assert len({row["run"] for row in rows}) == 1


def test_the_columns(whole: bytes) -> None:
    header = whole.decode().splitlines()[0].split(",")
    n, pose = range(68), [f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"]
    assert header[:11] == ["frame", "face_id", "timestamp", "confidence", "success", *pose]
    assert header[11:147] == [f"x_{i}" for i in n] + [f"y_{i}" for i in n]
    assert header[147:157] == ["p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", "p_0", "p_1", "p_2", "p_3"]
    ours = ["state", "start", "windows", "likelihood", "iterations", "update_norm", "shape_change", "run"]
    assert header[157:] == ours


def test_standard_output(run: Run, whole: bytes) -> None:
    assert run() == (0, whole.decode(), "")


def test_no_face(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: Path) -> None:
    monkeypatch.setattr(FIND_FACES, finds(lambda image: []))
    code, out, err = run(box="")
    assert (code, err) == (1, f"clnf: {clip}: no face found\n")
    rows = list(csv.DictReader(out.splitlines()))
    assert {row["state"] for row in rows} == {"no_face"}
    assert {(row["x_0"], row["p_3"], row["pose_Tx"], row["likelihood"]) for row in rows} == {("nan",) * 4}
    assert {(row["confidence"], row["iterations"], row["start"]) for row in rows} == {("0.0", "0", "none")}
    assert run("-o", str(tmp_path / "a.json"), box="")[0] == 1
    frame = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)["frames"][3]
    assert (frame["landmarks"], frame["pose"], frame["likelihood"], frame["start"]) == (None,) * 4


def test_json(run: Run, clip: Path, model_file: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert run("-o", str(path), "-O", "reg_factor=20", "-O", "redetect_interval=9")[0] == 0
    document = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert list(document) == ["version", "video", "model", "options", "tracking", "frames"]
    assert (document["video"], document["model"]) == (str(clip), "tiny")
    assert document["options"] == FitOptions(reg_factor=20).to_json()
    assert document["tracking"] == TrackOptions(redetect_interval=9).to_json()
    model = load_model(model_file)
    options, tracking = FitOptions(reg_factor=20), TrackOptions(redetect_interval=9)
    with open_video(clip) as source:
        results = list(track(source, model, options, tracking, initial_from_box(model, BOX)))
    for frame, result in zip(document["frames"], results, strict=True):
        assert frame["frame"] == result.index + 1
        assert frame["landmarks"] == result.landmarks.tolist()
        assert frame["params_global"] + frame["params_local"] == result.params.tolist()
        assert frame["windows"] == list(result.options.windows)
        assert (frame["state"], frame["success"]) == (result.state, result.success)
        assert (frame["likelihood"], frame["shape_change"]) == (result.likelihood, result.shape_change)
    assert list(tmp_path.iterdir()) == [path], "the file it grew from is gone"


def test_parquet(run: Run, whole: bytes, tmp_path: Path) -> None:
    assert run("-o", str(tmp_path / "out.parquet"))[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    rows = list(csv.DictReader(whole.decode().splitlines()))
    assert table.schema.names == list(rows[0])
    for name in ("frame", "success", "iterations"):
        assert table.column(name).to_pylist() == [int(row[name]) for row in rows]
    for name in ("timestamp", "x_5", "p_rx", "likelihood", "pose_Rz"):
        assert table.column(name).to_pylist() == [float(row[name]) for row in rows]
    for name in ("state", "windows", "run"):
        assert table.column(name).to_pylist() == [row[name] for row in rows]


def test_parquet_without_a_face(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(FIND_FACES, finds(lambda image: []))
    assert run("-o", str(tmp_path / "out.parquet"), box="")[0] == 1
    column = pyarrow.parquet.read_table(tmp_path / "out.parquet").column("x_0")
    assert column.null_count == 0 and np.isnan(column.to_numpy()).all()


def test_parquet_without_pyarrow(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, _, err = run("-o", str(tmp_path / "out.parquet"))
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert err.startswith("clnf: Parquet needs pyarrow; pip install 'clnf-studio[parquet]'")


def test_overlay(run: Run, clip: Path, whole: bytes, tmp_path: Path) -> None:
    output, overlay = tmp_path / "out.csv", tmp_path / "drawn.mp4"
    assert run("-o", str(output), "--overlay", str(overlay))[0] == 0
    assert output.read_bytes() == whole
    rows = list(csv.DictReader(whole.decode().splitlines()))
    with open_video(clip) as before, open_video(overlay) as after:
        assert len(after) == COUNT
        for k, (plain, drawn) in enumerate(zip(before.frames(), after.frames(), strict=True)):
            assert drawn.timestamp == pytest.approx(plain.timestamp, abs=1e-4)
            assert drawn.rgb.shape == plain.rgb.shape
            x, y = (round(float(rows[k][f"{axis}_30"])) for axis in "xy")  # the tip of the nose
            red, green, _ = drawn.rgb[y, x].astype(int) - plain.rgb[y, x]
            assert bool(green > red) is (rows[k]["success"] == "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.mp4", "out.csv"]


def test_a_folder_for_the_result(run: Run, whole: bytes, tmp_path: Path) -> None:
    for _ in range(2):  # the second time it goes on, and there is nothing to do
        assert run("-o", f"{tmp_path}/results/") == (0, "", "")
        assert (tmp_path / "results" / "face.csv").read_bytes() == whole


def test_progress_in_a_terminal(run: Run, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path = tmp_path / "out.csv"
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:6]))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run("-o", str(path))[0] == 0
    shown = terminal.getvalue().split("\r")
    assert any("tracking:  25%" in text and "5/20" in text for text in shown), "what was done before counts"
    assert "tracking: 100%" in shown[-1] and "20/20" in shown[-1] and "frame/s" in shown[-1]


# --- stopped and continued --------------------------------------------------------------------------


def test_going_on_from_every_row(run: Run, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    ends = [0] + [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == COUNT + 2
    for number, end in enumerate(ends):
        torn = whole[end : end + 37 * number]
        path.write_bytes(whole[:end] + torn)
        assert run("-o", str(path)) == (0, "", "")
        assert path.read_bytes() == whole, f"cut after line {number}"


def test_only_what_is_missing_is_tracked(
    run: Run, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    track_frame = tracking_module.track_frame
    monkeypatch.setattr(
        tracking_module, "track_frame", lambda frame, *rest: seen.append(frame.index) or track_frame(frame, *rest)
    )
    path = tmp_path / "out.csv"
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:13]))
    assert run("-o", str(path))[0] == 0
    assert seen == list(range(12, COUNT))


def test_interrupted(run: Run, whole: bytes, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track_frame = tracking_module.track_frame

    def interrupting(frame: object, *rest: object) -> FrameResult:
        if frame.index == 7:
            raise KeyboardInterrupt
        return track_frame(frame, *rest)

    path = tmp_path / "out.json"
    with monkeypatch.context() as patch:
        patch.setattr(tracking_module, "track_frame", interrupting)
        code, _, err = run("-o", str(path))
    assert code == 130
    where = f"which {path}.csv holds; the same command goes on from there"
    assert err == f"clnf: {clip}: interrupted after 7 of {COUNT} frames, {where}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json.csv"]
    assert (tmp_path / "out.json.csv").read_bytes() == b"".join(whole.splitlines(keepends=True)[:8])
    assert decoding_threads() == []
    assert run("-o", str(path))[0] == 0
    assert len(json.loads(path.read_text())["frames"]) == COUNT


def test_an_interruption_within_a_row(clip: Path, model_file: str, whole: bytes, tmp_path: Path) -> None:
    """What was written of the row is cut off when the file is closed."""
    path, model = tmp_path / "out.csv", load_model(model_file)
    with open_video(clip) as source:
        run = run_name(source, model, FitOptions(), TrackOptions(), initial_from_box(model, BOX))
        with Journal(path, source, model, run) as journal, open(path, "ab") as other:
            other.write(b"2,0,0.0")
        assert journal.rows == 0
    assert path.read_bytes() == whole.splitlines(keepends=True)[0]


@needs_signals
def test_a_signal(clip: Path, model_file: str, tmp_path: Path) -> None:
    """Ctrl-C, to a real process."""
    long = write_clip(tmp_path / "long.avi", [as_rgb(f) for f in face_pictures(8)] * 60, codec="mjpeg")
    path = tmp_path / "out.csv"
    argv = ["track", str(long), "--model", model_file, "--box=9,27,130,120", "-o", str(path)]
    with (
        heard_ctrl_c(),
        subprocess.Popen([sys.executable, "-m", "clnf_engine", *argv], stderr=subprocess.PIPE) as process,
    ):
        while not path.exists() or path.stat().st_size < 50_000:
            assert process.poll() is None, "it ended before it could be interrupted"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[-1].endswith(b"\n") and len({line.count(b",") for line in lines}) == 1
    assert len(err.splitlines()) == 1
    assert err.decode().startswith(
        f"clnf: {long}: interrupted after {len(lines) - 1} of 480 frames, which {path} holds"
    )


@pytest.fixture
def forks() -> Iterator[multiprocessing.context.ForkServerContext]:
    """Processes that start at once, because the server they come from has everything loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["clnf_engine.tracking.job", "clnf_engine.library", "clnf_engine.commandline.main"])
    yield context


@needs_fork_server
def test_killed_at_any_moment(
    forks: multiprocessing.context.ForkServerContext, clip: Path, model_file: str, whole: bytes, tmp_path: Path
) -> None:
    """What a killed process leaves is a beginning of the file, of which at most the last row is torn, as a kill may
    come in the middle of a write; the next process goes on from it, and nothing else is left.
    """
    rng = random.Random(7)
    path, finished, partial = tmp_path / "out.csv", 0, set()
    argv = ["track", str(clip), "--model", model_file, "--box=9,27,130,120", "-o", str(path)]
    warm = forks.Process(target=main, args=(["model", model_file, "-h"],))
    warm.start()
    warm.join()
    for _ in range(50):
        process = forks.Process(target=main, args=(argv,))
        process.start()
        # At a random length of the file, however busy the machine, and then at a random moment.
        size = path.stat().st_size if path.exists() else 0
        wanted = rng.uniform(size, size + len(whole) / 3)
        while process.is_alive() and (not path.exists() or path.stat().st_size < wanted):
            process.join(0.001)
        process.join(rng.uniform(0, 0.005))
        process.kill()
        process.join()
        data = path.read_bytes() if path.exists() else b""
        assert whole.startswith(data)
        if data == whole:
            finished += 1
            path.unlink()
        elif data:
            partial.add(len(data))
    assert len(partial) >= 5, "the kills came at different moments"
    assert main(argv) == 0
    assert path.read_bytes() == whole
    temporaries.sweep.cache_clear()  # as at the start of a process
    assert main(argv) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


FORGED = {
    "windows": "abc",
    "success": "x",
    "face_id": "1",
    "start": "nowhere",
    "p_scale": "1e9",
    "p_rx": "nan",
    "p_tx": "1_0",
    "x_0": "17.5",
    "confidence": " 0.5",
    "likelihood": "",
    "state": "no_face",
}


@pytest.mark.parametrize("column", FORGED)
def test_rows_that_nobody_wrote_are_refused_before_the_work(
    run: Run, whole: bytes, tmp_path: Path, column: str
) -> None:
    """In the middle of a journal; not only when the document is made of it."""
    header, *rows = whole.decode().splitlines()
    words = rows[3].split(",")
    words[header.split(",").index(column)] = FORGED[column]
    (tmp_path / "out.json.csv").write_text("\n".join([header, *rows[:3], ",".join(words), *rows[4:12]]) + "\n")
    code, _, err = run("-o", str(tmp_path / "out.json"))
    assert code == 2 and err.count("\n") == 1
    assert err.startswith(f"clnf: {tmp_path / 'out.json.csv'}, line 5: not a row of a track (")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.json.csv"]


def test_two_at_once(run: Run, tmp_path: Path) -> None:
    with files.exclusive(tmp_path / "a.json.csv"):
        for name in ("a.json", "a.json.csv"):
            code, _, err = run("-o", str(tmp_path / name))
            assert code == 2 and "another process is writing it" in err
    assert os.listdir(tmp_path) == []
    assert run("-o", str(tmp_path / "a.json"))[0] == 0


@needs_fifo
def test_outputs_that_cannot_be_written_are_found_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "isdir.mp4").mkdir()
    os.mkfifo(tmp_path / "p.csv")
    for words, problem in (
        (("-o", "a.csv", "--overlay", "isdir.mp4"), "isdir.mp4: is a folder"),
        (("-o", "p.csv"), "p.csv: not a file; expected one that can be"),
    ):
        code, _, err = run(*(word if word[0] == "-" else str(tmp_path / word) for word in words))
        assert code == 2 and problem in err
    assert sorted(os.listdir(tmp_path)) == ["isdir.mp4", "p.csv"]


def test_an_overlay_is_the_same_every_time(run: Run, whole: bytes, tmp_path: Path) -> None:
    """Names with a colon are no addresses."""
    videos = []
    for k in range(3):
        (tmp_path / "out.csv").write_bytes(whole)
        assert run("-o", str(tmp_path / "out.csv"), "--overlay", str(tmp_path / f"a:{k}.mp4"))[0] == 0
        videos.append((tmp_path / f"a:{k}.mp4").read_bytes())
    assert len(set(videos)) == 1


def test_the_name_of_a_run(clip: Path, model_file: str) -> None:
    """The same for the same model and options, used or not, and another for any other."""

    def name(model: Model, options: FitOptions | None = None, **tracking: float) -> str:
        return run_name(source, model, options or FitOptions(), TrackOptions(**tracking), None)

    model, used = load_model(model_file), load_model(model_file)
    fit(face_pictures(1)[0], used, initial_from_box(used, BOX))
    with open_video(clip) as source:
        names = {name(used), name(model)}
        assert len(names) == 1
        experts = model.scales[1].views[1]
        names |= {
            name(model, FitOptions(precision=Precision.FLOAT32)),
            name(model, min_likelihood=-0.4),
            name(replace(model, pdm=replace(model.pdm, variances=2 * model.pdm.variances))),
            name(replace(model, scales=model.scales[:1])),
            name(with_experts(model, betas=2 * experts.betas)),
            run_name(source, model, FitOptions(), TrackOptions(), initial_from_box(model, BOX)),
        }
    assert len(names) == 7


# --- wrong input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: b"a,b\n1,2\n", "line 1: other columns than this track has"),
        (lambda data: data.replace(b",box,", b",eye,", 1).replace(b"1,0,0.0,", b"1,0,zero,", 1), "line 2: not a row"),
        (
            lambda data: data.replace(b"\n3,0", b"\n2,0", 1),
            "line 4: frame 2 of another time; expected one after",
        ),
        (lambda data: data.replace(b",0.08,", b",0.09,", 1), "line 4: frame 3 of another time"),
        (lambda data: data.replace(b",11 9 7 5,", b",", 1), "line 2: not a row of a track (164 columns; expected 165)"),
    ],
)
def test_files_that_are_no_beginning(
    run: Run, whole: bytes, tmp_path: Path, change: Callable[[bytes], bytes], problem: str
) -> None:
    path = tmp_path / "out.csv"
    data = change(whole)
    assert data != whole
    path.write_bytes(data)
    code, out, err = run("-o", str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"clnf: {path}, {problem}") and err.count("\n") == 1
    assert path.read_bytes() == data, "nobody's file is touched"


@pytest.mark.parametrize("changed", [("-O", "sigma=2"), ("-O", "redetect_interval=5"), ("--box=9,27,130,121",)])
def test_other_settings_do_not_go_on(run: Run, whole: bytes, tmp_path: Path, changed: tuple[str, ...]) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(whole)
    code, _, err = run("-o", str(path), *changed, box="" if "--box" in changed[0] else "--box=9,27,130,120")
    assert code == 2
    assert err.startswith(f"clnf: {path}, line 2: made of another video, model or options; expected the same")
    assert path.read_bytes() == whole


def test_another_video_does_not_go_on(run: Run, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(whole)
    other = write_clip(tmp_path / "other.avi", pictures(COUNT + 1), codec="mjpeg")
    assert "made of another video" in run("-o", str(path), video=str(other))[2]


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("-o", "{tmp}/a.txt"), "{tmp}/a.txt: has the extension .txt; expected .csv, .json or .parquet"),
        (("-o", "{tmp}/a.csv", "--overlay", "{tmp}/a.avi"), "extension .avi; expected .mkv, .mov or .mp4"),
        (("--overlay", "{tmp}/a.mp4"), "--overlay draws what a file holds; give one with -o"),
        (("-o", "{tmp}/none/a.csv"), "cannot be written, there is no folder {tmp}/none"),
        (("-o", "{tmp}/a.csv", "--overlay", "{clip}"), "{clip}: is the input itself; expected another file"),
        (("-O", "speed=2"), "there is no option 'speed'; expected one of windows, max_iterations"),
        (("-O", "initialization=landmarks"), "initialization is landmarks; expected a start of that kind"),
        (("-O", "redetect_interval"), "option 'redetect_interval': expected key=value"),
    ],
)
def test_wrong_arguments(run: Run, clip: Path, tmp_path: Path, argv: tuple[str, ...], problem: str) -> None:
    code, out, err = run(*(word.format(tmp=tmp_path, clip=clip) for word in argv))
    assert (code, out) == (2, "")
    assert problem.format(tmp=tmp_path, clip=clip) in err and err.startswith("clnf: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_tracking_from_a_turned_box(run: Run, clip: Path, model_file: str) -> None:
    model, angle = load_model(model_file), math.radians(8)
    code, out, _ = run("--rotation", "0,0,8")
    with open_video(clip) as source:
        first = turned(model, initial_from_box(model, BOX), (0.0, 0.0, angle))
        results = list(track(source, model, first=first))
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [float(row["x_0"]) for row in rows] == [result.landmarks[0, 0] for result in results]


def test_a_rotation_needs_a_box(run: Run) -> None:
    code, out, err = run("--rotation", "0,0,8", box="")
    assert (code, out) == (2, "")
    assert err == "clnf: --rotation turns the box that a tracking starts from; give one with --box\n"


def test_a_damaged_video(run: Run, clip: Path, whole: bytes, tmp_path: Path) -> None:
    video = tmp_path / "cut.avi"
    video.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    path = tmp_path / "out.json"
    code, _, err = run("-o", str(path), video=str(video))
    frames = json.loads(path.read_text())["frames"]
    assert code == 2
    assert 4 < len(frames) < COUNT - 4
    assert err.startswith(f"clnf: {video}, frame {len(frames) + 1}: the first that cannot be decoded")
    assert f"{len(frames)} of {COUNT} frames can be" in err
    assert str(frames[3]["landmarks"][0][0]) in whole.decode().splitlines()[4]


# --- videos written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
def test_a_video_of_odd_and_changing_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    if codec == "mpeg4":  # an FFmpeg without an encoder of H.264
        monkeypatch.setattr("clnf_engine.io.video_writer._BEST", "libx265000")
    frames = [np.full(shape, 60 * k, np.uint8) for k, shape in enumerate([(33, 47, 3), (33, 47, 3), (66, 94, 3)])]
    write_video(tmp_path / "a.mkv", zip((0.0, 0.5, 2.0), frames, strict=True))
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.video[0].codec_context.name == codec
        decoded = list(container.decode(video=0))
    assert [(f.width, f.height) for f in decoded] == [(46, 32)] * 3
    assert [f.time for f in decoded] == pytest.approx([0.0, 0.5, 2.0], abs=1e-3)
    assert [f.to_ndarray(format="rgb24").mean() for f in decoded] == pytest.approx([0, 60, 120], abs=3)


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def frames() -> Iterator[tuple[float, np.ndarray]]:
        yield 0.0, np.zeros((32, 32, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", frames())
    assert list(tmp_path.iterdir()) == []
