"""Pipes, devices and endless files wherever a command takes a file: refused at once as input, written to as output."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from systems import needs_fifo

from ..cli_tools import BOX_TEXT, Output, run, save

INPUTS = {
    "image": ("fit", "FILE"),
    "model": ("model", "FILE"),
    "landmarks": ("fit", "photo.png", "--model", "MODEL", "--landmarks", "FILE"),
    "truth": ("fit", "photo.png", "--model", "MODEL", "--truth", "FILE"),
    "trace": ("diff", "FILE", "FILE"),
    "like": ("trace", "--like", "FILE", "--model", "MODEL", "-o", "t.npz"),
    "video": ("track", "FILE", "--model", "MODEL"),
    "validate": ("validate", "FILE"),
}

pytestmark = needs_fifo


@pytest.mark.parametrize("file", ["fifo", "/dev/zero"])
@pytest.mark.parametrize("kind", INPUTS)
def test_as_input(
    capsys: Output, model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    save(Path("photo.png"))
    code, out, err = run(capsys, *({"FILE": file, "MODEL": model_file}.get(word, word) for word in INPUTS[kind]))
    assert (code, out, err) == (2, "", f"clnf: {file}: not a file\n")
    assert sorted(os.listdir()) == ["fifo", "photo.png"]


def test_depths_and_lists_of_faces(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    (drawn / "face00.xyz").unlink()
    os.mkfifo(drawn / "face00.xyz")
    code, _, err = run(capsys, "evaluate", str(drawn), "--only", "fifo")
    assert code == 2
    assert err.splitlines()[0].endswith("face00.xyz: not a file") and err.endswith("clnf: fifo: not a file\n")
    assert os.listdir() == ["fifo"]


@pytest.fixture
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ..training.drawn_faces import write_faces

    return write_faces(tmp_path_factory.mktemp("drawn"), 2, seed=1)


@pytest.mark.parametrize("words", [("fit",), ("fit", "--format", "csv"), ("trace",)], ids=" ".join)
def test_as_output(capsys: Output, model_file: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    fifo, received = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    fit = (words[0], save(tmp_path / "photo.png"), "--model", model_file, "--box", BOX_TEXT, *words[1:])
    assert run(capsys, *fit, "-o", str(fifo)) == (0, "", "")
    reader.join()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert run(capsys, *fit, "-o", str(tmp_path / "file")) == (0, "", "")
    if words[0] == "fit":
        assert received[0] == (tmp_path / "file").read_bytes()
    assert received[0]
