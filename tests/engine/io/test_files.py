"""Reading and writing named files: links, modes, pipes, devices, names that are taken, writers that were killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from systems import needs_proc

from clnf_engine.errors import ClnfError, FileError, ImageFileError
from clnf_engine.io import files, temporaries
from clnf_engine.io.files import (
    atomic_write,
    open_file,
    read_file,
    read_text,
    replacing,
    replacing_folder,
    write_file,
    write_new_file,
)
from clnf_engine.io.temporaries import lock

resource = pytest.importorskip("resource", reason="Windows has neither its limits nor pipes with names")

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def unswept() -> None:
    """As at the start of a process."""
    temporaries.sweep.cache_clear()


@pytest.fixture
def as_user() -> Iterator[None]:
    """Without the rights of root, which may write what is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


# --- reading ----------------------------------------------------------------------------------------


def test_reads_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\xef\xbb\xbftext")
    assert read_file(file, "a text", 7) == b"\xef\xbb\xbftext"
    assert read_text(file, "a text", 7) == "text"
    with open_file(file, "a text") as stream:
        assert stream.read(4) == b"\xef\xbb\xbft"
    with pytest.raises(FileError, match=r"f: 7 bytes; expected a text of at most 6$"):
        read_file(file, "a text", 6)
    file.write_bytes(b"a\0b")
    with pytest.raises(FileError, match=r"f: expected a text, found binary data$"):
        read_text(file, "a text", 6)


@pytest.mark.parametrize(
    "name", ["fifo", "/dev/zero", "/dev/stdin", "/proc/self/fd/0/x", "a\0b", "x" * 5000, "loop", "."]
)
def test_what_is_no_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ImageFileError, match=r": (not a file|no such file|a folder; expected an image)$"):
        read_file(tmp_path / name, "an image", 100, ImageFileError)


def test_a_pipe_that_takes_the_place_of_a_file_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(files, "require_file", lambda *_: None)  # as if it came between the check and the opening
    with pytest.raises(FileError, match=r"fifo: not a file$"):
        read_file(tmp_path / "fifo", "a text", 100)


def test_files_of_unknown_size_end_at_the_limit() -> None:
    """Those in /proc say 0 bytes."""
    version = "/proc/version"
    if not os.path.exists(version):
        pytest.skip("there is no /proc")
    assert read_file(version, "a text", 1000).startswith(b"Linux")
    with pytest.raises(FileError, match=r"expected a text of at most 3$"):
        read_file(version, "a text", 3)


# --- writing ----------------------------------------------------------------------------------------


def test_links_are_followed_and_modes_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "to" / "target", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o604)
    (tmp_path / "hop").symlink_to("to/target")
    link.symlink_to("hop")
    atomic_write(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o604
    link.unlink()
    link.symlink_to("to/other")
    atomic_write(link, b"other")
    assert (tmp_path / "to" / "other").read_bytes() == b"other"
    assert sorted(os.listdir(tmp_path)) == ["hop", "link", "to"]
    assert sorted(os.listdir(target.parent)) == ["other", "target"]


def test_the_content_of_a_secret_file_is_never_open_to_others(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"old")
    file.chmod(0o600)
    with replacing(file) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_bytes(b"new")


def test_pipes_and_devices_are_written_to(tmp_path: Path) -> None:
    fifo, received = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    atomic_write(fifo, b"through")
    reader.join()
    assert received == [b"through"] and stat.S_ISFIFO(fifo.stat().st_mode)
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 7))  # as /dev/full
        open(device, "rb").close()
    except PermissionError:
        pytest.skip("only root can make a device")
    with pytest.raises(FileError, match=r"device: cannot be written"):
        write_file(device, b"new")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["device", "fifo"]


@needs_proc
def test_descriptors_are_written_to(tmp_path: Path) -> None:
    """``-o /dev/stdout >> file``: what is in the file already stays there."""
    file = tmp_path / "f"
    file.write_bytes(b"old ")
    (tmp_path / "link").symlink_to("/dev/fd")
    with open(file, "ab") as stream:
        for folder in ("/dev/fd", "/proc/self/fd", tmp_path / "link"):
            atomic_write(f"{folder}/{stream.fileno()}", b"new ")
    assert file.read_bytes() == b"old new new new "


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "no folder/f", ".", "x" * 300, "a\0b"):
        with pytest.raises(FileError, match=r"cannot be written \(.+\)$"):
            write_file(tmp_path / name, b"")
    assert os.listdir(tmp_path) == ["loop"]


def test_a_read_only_file_is_not_replaced(tmp_path: Path, as_user: None) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        atomic_write(folder / "f", b"old")
        (folder / "f").chmod(0o444)
        with pytest.raises(FileError, match=r"f: cannot be written \(Permission denied\)$"):
            write_file(folder / "f", b"new")
        folder.chmod(0o555)
        with pytest.raises(FileError, match=r"g: cannot be written \(Permission denied\)$"):
            write_file(folder / "g", b"new")
        assert (folder / "f").read_bytes() == b"old" and os.listdir(folder) == ["f"]
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_every_legal_name_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127, ".csv" * 60, "a\nb", os.fsdecode(b"\xff"), "-o", "a:b"):
        atomic_write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    assert len(os.listdir(tmp_path)) == 7


def test_names_that_are_taken(tmp_path: Path) -> None:
    names = [tmp_path / f"{k}" for k in range(3)]
    assert [write_new_file(names, b"%d" % k) for k in range(3)] == names
    assert [name.read_bytes() for name in names] == [b"0", b"1", b"2"]
    assert len(os.listdir(tmp_path)) == 3


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "set"
    for content in ("old", "new"):
        with replacing_folder(target) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / content).write_text(content)
        assert [path.name for path in target.rglob("*")] == ["sub", content]
    with pytest.raises(ZeroDivisionError), replacing_folder(target) as folder:
        (folder / "half").write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in target.rglob("*")] == ["sub", "new"]
    assert os.listdir(tmp_path) == ["set"]
    (tmp_path / "f").touch()
    with pytest.raises(NotADirectoryError), replacing_folder(tmp_path / "f"):
        pass


def test_a_folder_is_replaced_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    test_a_folder_is_replaced_as_a_whole(tmp_path)


# --- faults -----------------------------------------------------------------------------------------


def _write_for_ever(path: Path, folder: bool, ready: Connection) -> None:
    ready.send(True)
    for k in range(1_000_000):
        content = b"%d\n" % (k % 10) * 20_000
        if folder:
            with replacing_folder(path) as inside:
                (inside / "a").write_bytes(content)
                (inside / "b").write_bytes(content)
        else:
            atomic_write(path, content)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_killed_writers(folder: bool, end: signal.Signals, tmp_path: Path) -> None:
    """Old or new at every moment, and nothing else once the next one has written."""
    path = tmp_path / "out"
    for delay in (0, 0.003, 0.007, 0.02):
        here, there = SPAWN.Pipe()
        writer = SPAWN.Process(target=_write_for_ever, args=(path, folder, there))
        writer.start()
        assert here.recv()
        while not path.exists():
            writer.join(0.001)
        writer.join(delay)
        os.kill(writer.pid, end)
        writer.join()
        temporaries.sweep.cache_clear()
        atomic_write(tmp_path / "other", b"")
        contents = {file.read_bytes() for file in (path.iterdir() if folder else [path])}
        assert len(contents) == 1
        data = contents.pop()
        assert data == data[:2] * 20_000
        assert sorted(os.listdir(tmp_path)) == ["other", "out"]


def test_the_next_start_sets_right_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Where names cannot be exchanged, a kill may meet the moment between two renames."""
    stem = tmp_path / f".clnf-{'0' * 32}"
    stem.with_suffix(".tmp").write_text("set")
    for suffix in (".new", ".old"):
        stem.with_suffix(suffix).mkdir()
        (stem.with_suffix(suffix) / suffix).touch()
    atomic_write(tmp_path / "other", b"")
    assert sorted(os.listdir(tmp_path)) == ["other", "set"]
    assert os.listdir(tmp_path / "set") == [".old"]


def test_temporaries_of_living_writers_stay(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"a")
        temporaries.sweep.cache_clear()
        atomic_write(tmp_path / "b", b"b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    atomic_write(tmp_path / "f", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(FileError, match=r"f: cannot be written \(File too large\)$"):
            write_file(tmp_path / "f", bytes(1001))
        with pytest.raises(OSError, match=r"File too large"), replacing_folder(tmp_path / "set") as folder:
            (folder / "f").write_bytes(bytes(1001))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["f"] and (tmp_path / "f").read_bytes() == b"old"


def _write_names(folder: Path, mark: bytes) -> None:
    for _ in range(40):
        write_new_file((folder / f"{k}" for k in range(200)), mark)


def test_two_processes_never_get_the_same_name(tmp_path: Path) -> None:
    writers = [SPAWN.Process(target=_write_names, args=(tmp_path, mark)) for mark in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(file.read_bytes() for file in tmp_path.iterdir()) == [b"a"] * 40 + [b"b"] * 40


def test_locks_exclude_each_other(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as one, open(tmp_path / "f", "r+b") as other:
        assert lock(one.fileno()) and not lock(other.fileno())
        one.close()
        assert lock(other.fileno())


# --- messages ---------------------------------------------------------------------------------------


def test_messages_are_short_lines_of_what_prints() -> None:
    error = FileError("a\x1b[31m\u202eb\udcff.txt", "line 1", "one\n  two\tthree")
    assert str(error) == "a\\x1b[31m\\u202eb\\udcff.txt, line 1: one two\\tthree"
    long = str(FileError("x" * 4000, "", f"found {'9' * 4000}; expected a whole number"))
    assert len(long) == 300 and long.startswith("xxx") and long.endswith("; expected a whole number")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.where) == (FileError, str(error), "line 1")
    assert str(pickle.loads(pickle.dumps(ClnfError("a b")))) == "a b"
