"""Read a file that a person named; write one whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clnf_engine.errors import FileError


def read_file(path: str | os.PathLike[str], expected: str, max_bytes: int, error: type[FileError] = FileError) -> bytes:
    """The whole content of a file of sane size.

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
        Of the type `error`, when the file is missing, too large or unreadable.
    """
    require_file(path, expected, error)
    try:
        size = os.path.getsize(path)
        if size > max_bytes:
            raise error(path, "", f"{size} bytes; expected {expected} of at most {max_bytes}")
        return Path(path).read_bytes()
    except OSError as problem:
        raise error(path, "", f"cannot be read ({problem.strerror})") from problem


def require_file(path: str | os.PathLike[str], expected: str, error: type[FileError]) -> None:
    """Raise `error` unless there is a file of this name; `expected` as for `read_file`."""
    # Unlike Path's, these functions say no to a name that no file can have.
    if not os.path.isfile(path):
        if os.path.isdir(path):
            raise error(path, "", f"a folder; expected {expected}")
        raise error(path, "", "not a file" if os.path.exists(path) else "no such file")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path`, of the same extension; the file written to it takes the place of `path`.

    When the body raises, nothing is left behind and an older file at `path` is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside `path`; filled, it becomes `path`. When the body raises, nothing is left behind.

    Raises
    ------
    FileError
        When there is something at `path`, or it cannot be written.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise FileError(path, "", "is there already; expected the name of a new folder")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir()
        yield temporary
        temporary.rename(path)
    except OSError as problem:
        raise FileError(path, "", f"cannot be written ({problem.strerror})") from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes to a temporary file beside `path`, then rename it into place.

    Raises
    ------
    OSError
        When the folder cannot be written; nothing is left behind and an older file at `path` is untouched.
    """
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(data)


def write_file(path: str | os.PathLike[str], data: bytes, error: type[FileError] = FileError) -> None:
    """`atomic_write` for a file that a person named.

    Raises
    ------
    FileError
        Of the type `error`, when the file cannot be written.
    """
    try:
        atomic_write(path, data)
    except OSError as problem:
        raise error(path, "", f"cannot be written ({problem.strerror})") from problem
