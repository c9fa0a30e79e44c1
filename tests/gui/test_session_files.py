"""Session files at the edges: names of any bytes, links in a loop, pipes and devices, versions of other types."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from systems import needs_fifo

from clnf_engine import FitOptions, Phase
from clnf_gui.__main__ import main
from clnf_gui.session.choices import Choices, LaneChoices
from clnf_gui.session.document import SessionDocument, SessionFileError, read_session, write_session

pytestmark = needs_fifo


def document(image: Path) -> SessionDocument:
    lane = LaneChoices(FitOptions(), None)
    return SessionDocument(Path("model.txt"), image, Choices(lane, lane), (None, Phase.INITIAL, None), None, ())


def test_names_of_any_bytes(tmp_path: Path) -> None:
    for name in (os.fsdecode(b"\xff\xfe.jpg"), "größer 顔.jpg", 'a "quoted"\n.jpg'):
        image = tmp_path / name
        write_session(document(image), tmp_path / "s.json")
        assert read_session(tmp_path / "s.json").image == image
    write_session(document(tmp_path / "größer.jpg"), tmp_path / "s.json")
    assert "größer" in (tmp_path / "s.json").read_text("utf-8"), "people can read it"


@pytest.mark.parametrize("name", ["loop", "fifo", "/dev/zero", "a\0b", "folder"])
def test_what_is_no_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SessionFileError, match=r"not a file|no such file|a folder; expected a session file"):
        read_session(tmp_path / name)
    if name not in ("fifo", "/dev/zero"):
        with pytest.raises(SessionFileError, match=r"cannot be written|no file can have that name"):
            write_session(document(tmp_path / "a.jpg"), tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "folder", "loop"]


@pytest.mark.parametrize("version", [True, 1.0, "1", None, 0, 6, "a" * 5000])
def test_versions(version: object, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_session(document(tmp_path / "a.jpg"), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
    with pytest.raises(SessionFileError, match=r"has version .*; this program reads 1 to 5$") as error:
        read_session(path)
    assert len(str(error.value)) < 300


def test_long_values_make_no_long_messages(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_session(document(tmp_path / "a.jpg"), path)
    for field in ("selection", "place", "stops", "active", "lanes"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {field: ["a" * 5000]}))
        with pytest.raises(SessionFileError) as error:
            read_session(path)
        assert len(str(error.value)) <= 300


def test_a_screenshot_is_written_like_any_file(
    qapp: object, model_file: Path, photo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through links, and not as what it is not."""
    (tmp_path / "link.png").symlink_to("target.png")
    words = [str(photo), "--model", str(model_file), "--screenshot"]
    assert main([*words, str(tmp_path / "link.png")]) == 0
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "target.png").read_bytes().startswith(b"\x89PNG")
    capfd.readouterr()
    assert main([*words, str(tmp_path / "a.what")]) == 2
    assert "a.what: cannot be written (expected the extension of a kind of picture" in capfd.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["link.png", "settings", "target.png"]
