"""What other programs print of a fit comes back as a trace of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clnf_engine import ClnfError, Phase, Trace
from clnf_engine.checking.check import check_trace
from clnf_engine.commandline.main import main
from clnf_engine.errors import FileError
from clnf_engine.imports.sources import can_import, import_trace
from clnf_engine.recorders.clnf_recorder import Recorder

from .faces import FACES
from .foreign_files import cpp_trace, history, iterations, openface_csv, response_files
from .recording import play
from .traces import recorded

WRITERS: dict[str, Callable[[Path], Path]] = {
    "image.csv": lambda folder: openface_csv(folder / "image.csv", recorded()),
    "video.csv": lambda folder: openface_csv(folder / "video.csv", recorded(), video=True),
    "cpp_trace.txt": lambda folder: cpp_trace(folder / "cpp_trace.txt", recorded()),
    "history.json": lambda folder: history(folder / "history.json", recorded()),
    "responses": lambda folder: response_files(folder / "responses", recorded("", "turned")),
}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "photo.png"), recorded().image)
    return tmp_path / "photo.png"


def said(trace: Trace) -> str:
    return "; ".join(trace.converted)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_becomes_a_trace_that_can_be_saved(name: str, tmp_path: Path) -> None:
    source = WRITERS[name](tmp_path)
    assert can_import(source)
    trace = import_trace([source]).trace
    trace.save(tmp_path / "t.npz")
    assert [step.place for step in Trace.load(tmp_path / "t.npz").steps] == [step.place for step in trace.steps]
    assert "no image is given" in said(trace)


@pytest.mark.parametrize(("name", "line"), [("image.csv", 2), ("video.csv", 4)])
def test_openfaces_csv_is_the_end_of_a_fit(name: str, line: int, tmp_path: Path) -> None:
    found = import_trace([WRITERS[name](tmp_path)])
    end = found.trace.steps[-1]
    assert (end.phase, end.success, len(found.trace.steps)) == (Phase.END, True, 1)
    np.testing.assert_allclose(end.landmarks, recorded().landmarks, atol=0.0501)
    params = json.loads(dict(found.trace.notes)["params"])
    np.testing.assert_allclose(params, recorded().steps[-1].params, atol=0.000501)
    assert "rounded too much" in said(found.trace)
    assert np.isnan(end.params).all()
    assert (
        found.taken[0][2].startswith(f"line {line}") and "gaze_0_x" in said(found.trace) and "X_…" in said(found.trace)
    )
    assert ("4 rows" in said(found.trace)) is (name == "video.csv")
    height, width = found.trace.image.shape
    assert (width, height) == (640, 480)


def test_a_row_can_be_chosen_and_the_image_given_or_beside_it(tmp_path: Path, photo: Path) -> None:
    source = WRITERS["video.csv"](tmp_path)
    first = import_trace([source], photo, row=1).trace
    assert first.success is False and np.allclose(first.landmarks, recorded().landmarks + 50, atol=0.0501)
    np.testing.assert_array_equal(first.image, recorded().image)
    photo.rename(tmp_path / "video.png")
    beside = import_trace([source]).trace
    np.testing.assert_array_equal(beside.image, recorded().image)
    assert "video.png, which lies beside it" in said(beside)
    with pytest.raises(FileError, match="row 9 is asked for; it has rows 1 to 4"):
        import_trace([source], row=9)


def test_a_csv_with_all_digits_has_parameters(tmp_path: Path) -> None:
    source = short_csv(tmp_path)
    assert np.isnan(import_trace([source]).trace.steps[-1].params).all()
    source.write_text(source.read_text().replace("1, 2, 1, 0, 0, 0, 5,", "1.25000000, 2, 1, 0, 0, 0, 5e0,"))
    assert import_trace([source]).trace.steps[-1].params.tolist() == [1, 0, 0, 0, 5, 5]


@pytest.mark.parametrize("name", ["after", "before", "history"])
def test_iterations_with_their_parameters(name: str, tmp_path: Path) -> None:
    if name == "history":
        trace = import_trace([history(tmp_path / "h.json", recorded())]).trace
    else:
        trace = import_trace([cpp_trace(tmp_path / "t.txt", recorded(), params_before=name == "before")]).trace
    ours, theirs = iterations(trace), iterations(recorded())
    assert [step.place for step in ours] == [step.place for step in theirs]
    count = len(ours) - (name == "before")
    for mine, other in zip(ours[:count], theirs[:count], strict=True):
        np.testing.assert_allclose(mine.params, other.params, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose([step.update_norm for step in ours], [step.update_norm for step in theirs])
    assert [step.stage.window for step in ours] == [step.stage.window for step in theirs]
    assert trace.initial.known is (name == "before")
    assert "iterations are counted from 1" in said(trace) and "mean_shift_norm" in dict(trace.notes)
    if name == "before":
        np.testing.assert_allclose(trace.initial.params, recorded().initial.params, rtol=1e-10)
        assert np.isnan(ours[-1].params).all() and "those before the update" in said(trace)
    if name == "history":
        assert "per_landmark_ms" in said(trace) and "hessian_cond" in dict(trace.notes)


def test_numbers_that_some_iterations_lack_keep_their_place(tmp_path: Path) -> None:
    path = history(tmp_path / "h.json", recorded())
    entries = json.loads(path.read_text())
    del entries[1]["hessian_cond"]
    entries[3]["hessian_cond"] = 10**400  # which JSON allows, and no float holds
    path.write_text(json.dumps(entries))
    known = json.loads(dict(import_trace([path]).trace.notes)["hessian_cond"])
    assert len(known) == len(entries)
    assert [k for k, value in enumerate(known) if value is None] == [1, 3]
    assert known[4] == entries[4]["hessian_cond"]


def test_response_files_are_the_final_maps(tmp_path: Path) -> None:
    trace = import_trace([WRITERS["responses"](tmp_path)]).trace
    ours, theirs = (
        [step for step in one.steps if step.phase is Phase.RESPONSES] for one in (trace, recorded("", "turned"))
    )
    assert len(ours) == len(theirs) == 2
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.stage.window, mine.stage.scale) == (other.stage.window, other.stage.scale)
        seen = np.flatnonzero(other.responses.visible)
        np.testing.assert_array_equal(mine.responses.final[seen], other.responses.final[seen])
        assert np.isnan(mine.responses.final[~other.responses.visible[: len(mine.responses.final)]]).all()
    assert "of 2 calls the first; left out: 1" in said(trace) and "1 files of other names" in said(trace)


def test_printed_parameters_alone_name_a_mistake(tmp_path: Path, photo: Path) -> None:
    source = cpp_trace(tmp_path / "cpp_trace.txt", recorded("update_by_adding_angles"))
    assert (
        "added to the Euler angles" in check_trace(import_trace([source], photo).trace, FACES["tiny"].model()).verdict
    )


@pytest.mark.parametrize(("mistake", "failing"), [("", None), ("update_by_adding_angles", "update")])
def test_what_one_fit_printed_in_several_files_can_be_checked(
    mistake: str, failing: str | None, tmp_path: Path, photo: Path
) -> None:
    whole = recorded(mistake)
    sources = [
        response_files(tmp_path / "maps", whole),
        cpp_trace(tmp_path / "cpp_trace.txt", whole),
        openface_csv(tmp_path / "end.csv", whole),
    ]
    trace = import_trace(sources, photo).trace
    assert [step.place for step in trace.steps] == [step.place for step in whole.steps][1:]
    assert all(step.responses is not None for step in iterations(trace))
    found = check_trace(trace, FACES["tiny"].model())
    wrong = [row["name"] for row in found.document("t", "m")["operations"] if row["status"] == "fails"]
    assert found.conforms is (failing is None) and (failing is None or failing in wrong)


def test_a_recorded_folder_is_a_source(tmp_path: Path) -> None:
    play(recorded(), Recorder(tmp_path / "run"))
    found = import_trace([tmp_path / "run"])
    assert found.taken[0][1:] == ("a trace", f"{len(recorded().steps)} steps")
    np.testing.assert_array_equal(found.trace.landmarks, recorded().landmarks)
    assert not can_import(tmp_path / "run")
    with pytest.raises(ClnfError, match="expected no other source beside it"):
        import_trace([tmp_path / "run", WRITERS["cpp_trace.txt"](tmp_path)])


# --- torn and wrong ---------------------------------------------------------------------------------


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def test_a_last_line_that_is_torn_is_left_out(tmp_path: Path) -> None:
    table = WRITERS["cpp_trace.txt"](tmp_path)
    trace = import_trace([cut(table, table.stat().st_size - 40)]).trace
    assert len(iterations(trace)) == len(iterations(recorded())) - 1 and "is torn and left out" in said(trace)
    video = WRITERS["video.csv"](tmp_path)
    trace = import_trace([cut(video, video.stat().st_size - 40)]).trace
    assert "the last line, line 5, is torn" in said(trace) and trace.success


Change = Callable[[str], str]
WRONG: list[tuple[str, Change, str]] = [
    ("image.csv", lambda text: text[: len(text) // 2], r"line 1: no whole row|line 1: "),
    (
        "image.csv",
        lambda text: text.replace("x_0,", "x_0,").replace(", 0.9,", ", 0.9, 7,"),
        r"line 2: \d+ fields; expected",
    ),
    ("image.csv", lambda text: text.replace(",", "\r,", 1), "line 1: cannot be read"),
    ("image.csv", lambda text: text + "x" * 200_000 + "\n", "line 3: cannot be read"),
    ("image.csv", lambda text: text.replace("p_tx,", "p_qx,"), "column p_tx: there is no such column"),
    (
        "image.csv",
        lambda text: re.sub(r"(\n0, 0\.9(, [^,]*){5}), [^,]*", r"\1, abc", text),
        "line 2, column x_0: found 'abc'",
    ),
    (
        "cpp_trace.txt",
        lambda text: text.replace("\n1 rigid", "\n1 middle", 1),
        "line 3: phase is 'middle'; expected rigid",
    ),
    ("cpp_trace.txt", lambda text: text.replace("\n1 rigid", "\n1 rigid 3", 1), r"line 3: \d+ words; expected"),
    ("cpp_trace.txt", lambda text: text.replace("\n1 rigid 9", "\n1 rigid x", 1), "line 3, column ws: found 'x'"),
    (
        "cpp_trace.txt",
        lambda text: text.replace("\n1 rigid 9", "\n1 rigid -9", 1),
        "line 3: iter 1, ws -9; expected whole",
    ),
    ("cpp_trace.txt", lambda text: text.partition("\n")[0] + "\n", "without an iteration"),
    ("history.json", lambda text: text[: len(text) // 2], r"line \d+, column \d+: not JSON"),
    ("history.json", lambda text: text.replace('"rigid"', '"first"', 1), "entry 1: phase is 'first'"),
    (
        "history.json",
        lambda text: text.replace('"window_size": 9', '"window_size": "9"', 1),
        "entry 1: window_size is 9",
    ),
    ("history.json", lambda text: text.replace('"params": [', '"params": [[], ', 1), "entry 1: params is"),
    ("history.json", lambda text: text.replace('"params": [', '"params": [1.0, ', 1), "its params have 2 lengths"),
    ("history.json", lambda text: "[]", "expected a list of iterations"),
    ("history.json", lambda text: "[3]", "entry 1: found '3'; expected an object"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_a_wrong_file_is_told_by_its_line(number: int, tmp_path: Path) -> None:
    name, change, text = WRONG[number]
    source = WRITERS[name](tmp_path)
    changed = change(source.read_text())
    assert changed != source.read_text()
    source.write_text(changed)
    with pytest.raises(FileError, match=text) as error:
        import_trace([source])
    assert str(source) in str(error.value) and "\n" not in str(error.value)


def test_wrong_response_files_are_told_by_their_byte(tmp_path: Path) -> None:
    folder = WRITERS["responses"](tmp_path)
    path = sorted(folder.glob("*_call0.bin"))[0]
    data = path.read_bytes()
    for bad, text in (
        (data[:-8], r"byte \d+: it has \d+ bytes; expected"),
        (data + b"x", r"byte \d+: it has"),
        (data[:5], "byte 5: it ends before"),
        (b"\x03" + data[1:], "byte 0: 3×"),
        (b"", "byte 0: it ends"),
    ):
        path.write_bytes(bad)
        with pytest.raises(FileError, match=text):
            import_trace([folder])


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.txt").write_text("LandmarkDetector clnf_general.txt\n")
    (tmp_path / "session.json").write_text('{"version": 1}')
    (tmp_path / "binary.csv").write_bytes(b"x_0,\xff\xfe")
    for name, text in (
        ("empty", "a folder; expected a trace"),
        ("model.txt", "line 1: expected a trace, a CSV"),
        ("session.json", "line 1: expected a trace, a CSV"),
        ("binary.csv", "byte 4: expected"),
        ("missing.csv", "no such file"),
    ):
        with pytest.raises(FileError, match=text):
            import_trace([tmp_path / name])
    assert not any(can_import(tmp_path / name) for name in ("empty", "model.txt", "session.json", "missing.csv"))
    tables = [cpp_trace(tmp_path / f"{k}.txt", recorded()) for k in range(2)]
    with pytest.raises(FileError, match=r"1\.txt: a second source of iterations"):
        import_trace(tables)
    short = short_csv(tmp_path)
    short.write_text(short.read_text().replace("1, 2, 1, 0, 0, 0, 5,", "1.25000000, 2, 1, 0, 0, 0, 5e0,"))
    with pytest.raises(FileError, match="do not fit together: "):
        import_trace([tables[0], short])


def short_csv(folder: Path) -> Path:
    (folder / "short.csv").write_text("x_0, y_0, p_scale, p_rx, p_ry, p_rz, p_tx, p_ty\n1, 2, 1, 0, 0, 0, 5, 5\n")
    return folder / "short.csv"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    return {name: WRITERS[name](folder) for name in WRITERS if name != "responses"}


@given(st.data())
def test_any_flipped_bytes_are_imported_or_refused(whole: dict[str, Path], data: st.DataObject) -> None:
    source = whole[data.draw(st.sampled_from(sorted(whole)))]
    raw = bytearray(source.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[position] = data.draw(st.sampled_from([*b'{}[],:"\n0e- #nx', 0, 255]))
    path = source.with_name(f"changed{source.suffix}")
    path.unlink(missing_ok=True)
    path.write_bytes(raw[: data.draw(st.sampled_from([len(raw), data.draw(st.integers(0, len(raw)))]))])
    can_import(path)
    try:
        import_trace([path])
    except ClnfError as error:
        assert "\n" not in str(error)


# --- the command ------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_tells_what_it_took(capsys: pytest.CaptureFixture[str], tmp_path: Path, photo: Path) -> None:
    sources = [WRITERS[name](tmp_path) for name in ("video.csv", "history.json")]
    code, out, err = run(capsys, "import", *sources, "--image", photo, "--row", 3, "-o", tmp_path / "t.npz")
    assert (code, err) == (0, "")
    assert "OpenFace's CSV of a video\n  line 4, frame 3: landmarks" in out
    assert f"an iteration_history\n  {len(iterations(recorded()))} iterations: params, update_norm" in out
    assert "per_landmark_ms" in out and out.endswith(f"written: {tmp_path / 't.npz'}\n")
    trace = Trace.load(tmp_path / "t.npz")
    assert trace.success and len(iterations(trace)) == len(iterations(recorded()))


def test_the_command_refuses_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = WRITERS["cpp_trace.txt"](tmp_path)
    for words, text in (
        ([source, "-o", tmp_path / "t.csv"], "expected a name that ends in .npz"),
        ([source, "-o", tmp_path / "none" / "t.npz"], "there is no folder"),
        ([source, "--row", "0", "-o", tmp_path / "t.npz"], "found '0'; expected a whole number from 1"),
        ([source, "--row", "1", "-o", tmp_path / "t.npz"], "no source is a CSV"),
        ([source, "--image", source, "-o", tmp_path / "t.npz"], "cpp_trace.txt: "),
        ([tmp_path / "missing", "-o", tmp_path / "t.npz"], "no such file"),
    ):
        code, out, err = run(capsys, "import", *words)
        assert (code, out, err.count("\n")) == (2, "", 1) and text in err
    assert not (tmp_path / "t.npz").exists()


@pytest.mark.parametrize(("language", "name"), [("python", "clnf_recorder.py"), ("cpp", "clnf_recorder.hpp")])
def test_the_command_writes_the_recorders(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, root: Path, language: str, name: str
) -> None:
    code, out, _ = run(capsys, "recorder", language, "-o", tmp_path / "new" / "port")
    path = tmp_path / "new" / "port" / name
    assert code == 0 and out == f"{path}\n"
    assert path.read_bytes() == (root / "clnf_engine" / "recorders" / name).read_bytes()
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "recorder", language, "-o", tmp_path / "file" / "x")
    assert code == 2 and "cannot be written" in err
