"""Write a file whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clnf_engine.errors import FileError


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
