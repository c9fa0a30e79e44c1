"""Read a file that a person named; write one, or a folder of them, whole or not at all.

Every file is read and written through here, so that no pipe, device, endless file, second process, kill or full disk
does what nobody expects.

While a file is written, it is a *temporary* beside the one that it will replace, locked by its writer. A writer that
was killed leaves its temporary without a lock; the next one that writes into the folder removes it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from clnf_engine.errors import FileError
from clnf_engine.io.temporaries import ASIDE, FOLDER, is_at, let_go_on_windows, lock, sweep, temporary_file

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Without waiting, should a pipe take the place of the file that was checked."""

_CHUNK = 1 << 16


def read_file(path: str | os.PathLike[str], expected: str, max_bytes: int, error: type[FileError] = FileError) -> bytes:
    """The whole content of a regular file; at most ``max_bytes + 1`` bytes of it are read.

    Parameters
    ----------
    path : path-like
    expected : str
        What it should be, for the error: "an image".
    max_bytes : int
    error : type of FileError
        To raise.

    Raises
    ------
    FileError
        Of the type `error`, when the file is missing, no regular one, too large or unreadable.
    """
    with open_file(path, expected, error) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            chunks = [file.read(size + 1)] if size <= max_bytes else [b""]
            while chunks[-1] and (size := sum(map(len, chunks))) <= max_bytes:  # in /proc, sizes are 0
                chunks.append(file.read(min(_CHUNK, max_bytes + 1 - size)))
        except OSError as problem:
            raise error(path, "", f"cannot be read ({problem.strerror})") from problem
        if size > max_bytes:
            raise error(path, "", f"{size} bytes; expected {expected} of at most {max_bytes}")
        return b"".join(chunks)


def read_text(path: str | os.PathLike[str], expected: str, max_bytes: int, error: type[FileError] = FileError) -> str:
    """As `read_file`, the text of a file in UTF-8, with or without a byte order mark."""
    data = read_file(path, expected, max_bytes, error)
    try:
        if b"\0" in data:
            raise ValueError
        return data.decode("utf-8-sig")
    except ValueError:
        raise error(path, "", f"expected {expected}, found binary data") from None


def open_file(path: str | os.PathLike[str], expected: str, error: type[FileError] = FileError) -> BinaryIO:
    """A regular file, open to be read in parts; to be closed. Parameters and errors as for `read_file`."""
    require_file(path, expected, error)
    try:
        file = open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS))  # noqa: SIM115
    except OSError as problem:
        raise error(path, "", f"cannot be read ({problem.strerror})") from problem
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(path, "", "not a file")
    return file


def require_file(path: str | os.PathLike[str], expected: str, error: type[FileError]) -> None:
    """Raise `error` unless there is a file of this name; `expected` as for `read_file`."""
    # Unlike Path's, these functions say no to a name that no file can have.
    if not os.path.isfile(path):
        if os.path.isdir(path):
            raise error(path, "", f"a folder; expected {expected}")
        raise error(path, "", "not a file" if os.path.exists(path) else "no such file")


# --- writing ----------------------------------------------------------------------------------------

_DESCRIPTORS = re.compile(r"/proc/[^/]+/(task/[^/]+/)?fd")
_MAX_LINKS = 40
"""Links that are followed; as many as Linux does."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name; the file written to it takes the place of `path`.

    A link is followed, and the file that it leads to is replaced; the mode of an older file is kept, other hard links
    to it keep the old content. What is no regular file, such as a pipe, a device or ``/dev/stdout``, is written to.
    When the body raises, nothing is left behind and an older file at `path` is untouched.

    Raises
    ------
    OSError
        When `path` cannot be written.
    """
    target = _followed(Path(path))
    older = _status(target)
    through = _is_descriptor(target) or not (older is None or stat.S_ISREG(older.st_mode))
    if older is not None:
        if stat.S_ISDIR(older.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    with temporary_file(Path(tempfile.gettempdir()) if through else target.parent, older) as (temporary, descriptor):
        yield temporary
        if through:
            _copy_to(temporary, target)
        else:
            os.fsync(descriptor)
            let_go_on_windows(descriptor)
            os.replace(temporary, target)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty folder; when it is filled, it takes the place of `path` as a whole.

    On Linux the two are exchanged in one step; elsewhere `path` is missing for a moment, and comes back with the next
    start when a kill meets that moment. When the body raises, nothing is left behind and `path` is untouched.

    Raises
    ------
    OSError
        When `path` cannot be written, or is no folder.
    """
    target = _followed(Path(path))
    older = _status(target)
    if older is not None and not stat.S_ISDIR(older.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    with temporary_file(target.parent, None) as (temporary, descriptor):
        os.write(descriptor, os.fsencode(target.name))  # for `sweep`
        folder, aside = temporary.with_suffix(FOLDER), temporary.with_suffix(ASIDE)
        try:
            folder.mkdir()
            yield folder
            for file in folder.rglob("*"):
                _sync(file)
            if older is not None:
                folder.chmod(stat.S_IMODE(older.st_mode))
            _swap(folder, target, aside)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `replacing_folder`, where there is nothing yet.

    Raises
    ------
    FileError
        When there is something at `path`, or it cannot be written.
    """
    if os.path.lexists(path):
        raise FileError(path, "", "is there already; expected the name of a new folder")
    try:
        with replacing_folder(path) as folder:
            yield folder
    except OSError as problem:
        raise FileError(path, "", f"cannot be written ({reason(problem)})") from problem


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes as `replacing` does.

    Raises
    ------
    OSError
        When the file cannot be written; nothing is left behind and an older file at `path` is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_file(path: str | os.PathLike[str], data: bytes, error: type[FileError] = FileError) -> None:
    """`atomic_write` for a file that a person named.

    Raises
    ------
    FileError
        Of the type `error`, when the file cannot be written.
    """
    try:
        atomic_write(path, data)
    except (OSError, ValueError) as problem:  # a ValueError for a name with a zero byte
        raise error(path, "", f"cannot be written ({reason(problem)})") from problem


def write_new_file(names: Iterable[Path], data: bytes) -> Path:
    """Write bytes under the first of some names in one folder that nobody has, whole or not at all; the name.

    Of several processes that want the same name only one gets it.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    names = iter(names)
    name = next(names)
    with temporary_file(name.parent, None) as (temporary, descriptor):
        temporary.write_bytes(data)
        os.fsync(descriptor)
        let_go_on_windows(descriptor)
        while True:
            try:
                _name_anew(temporary, name)
            except FileExistsError:
                name = next(names)
            else:
                return name


@contextmanager
def exclusive(path: str | os.PathLike[str], error: type[FileError] = FileError) -> Iterator[None]:
    """Keep other processes that ask for the same from writing `path` meanwhile.

    Raises
    ------
    FileError
        Of the type `error`, when another process writes it, or when its folder cannot be written.
    """
    try:
        target = _followed(Path(path))
        name = hashlib.blake2b(os.fsencode(target.name), digest_size=16).hexdigest()
        sweep(os.path.abspath(target.parent))
        file = target.parent / f".clnf-{name}.tmp"
        descriptor, mine = -1, False
        while descriptor < 0:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
            mine = lock(descriptor)
            if mine and not is_at(descriptor, file):  # its last owner had just removed it
                os.close(descriptor)
                descriptor = -1
    except (OSError, ValueError) as problem:
        raise error(path, "", f"cannot be written ({reason(problem)})") from problem
    try:
        if not mine:
            raise error(path, "", "another process is writing it; wait for that, or choose another name")
        yield
    finally:
        if mine:
            let_go_on_windows(descriptor)
            file.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(descriptor)


def reason(problem: Exception) -> str:
    """What went wrong, without the name of the file."""
    return getattr(problem, "strerror", None) or str(problem)


def _followed(path: Path) -> Path:
    """Where links lead; the name of a descriptor is the end, as what it stands for may have no name."""
    for _ in range(_MAX_LINKS):
        if _is_descriptor(path) or not path.is_symlink():
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _is_descriptor(path: Path) -> bool:
    return _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)) is not None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _name_anew(path: Path, name: Path) -> None:
    """Rename a file.

    Raises
    ------
    FileExistsError
        When there is a file of that name, which stays.
    """
    if sys.platform == "win32":
        os.rename(path, name)
        return
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        os.replace(path, name)


def _copy_to(path: Path, device: Path) -> None:
    with open(path, "rb") as source, open(os.open(device, os.O_WRONLY | os.O_APPEND), "wb") as sink:
        shutil.copyfileobj(source, sink)


def _sync(path: Path) -> None:
    """Have a file on the disk."""
    if path.is_file():
        with open(path, "r+b") as file:
            os.fsync(file.fileno())


def _swap(folder: Path, target: Path, aside: Path) -> None:
    """Put a folder in the place of another, which is then at the name of the first, or at `aside`."""
    try:
        os.rename(folder, target)  # where there is none, or an empty one
    except OSError:
        if not target.is_dir():
            raise
        if not _exchange(folder, target):
            os.rename(target, aside)
            try:
                os.rename(folder, target)
            except OSError:
                os.rename(aside, target)
                raise


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done."""
    import ctypes  # noqa: PLC0415 - seldom needed

    function = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return function is not None and function(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0
