"""Temporary files: each is locked by its writer as long as that lives, so that others know those that a kill left."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

_TEMPORARY = re.compile(r"\.clnf-[0-9a-f]{32}\.tmp")
FOLDER, ASIDE = ".new", ".old"
"""What the folders of a temporary that stands for a folder end with: the one that is written, the one it replaces."""


@contextmanager
def temporary_file(folder: Path, like: os.stat_result | None) -> Iterator[tuple[Path, int]]:
    """A new, locked file, of the owner and mode of another; removed in the end unless it was renamed."""
    sweep(os.path.abspath(folder))
    path, descriptor = _created(folder, 0o666 if like is None else 0o600)
    try:
        if like is not None and stat.S_ISREG(like.st_mode) and sys.platform != "win32":
            with suppress(PermissionError):  # only root may give files away
                os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        yield path, descriptor
    finally:
        with suppress(OSError):  # closed already
            os.close(descriptor)
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _created(folder: Path, mode: int) -> tuple[Path, int]:
    while True:
        path = folder / f".clnf-{uuid.uuid4().hex}.tmp"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        if lock(descriptor) and is_at(descriptor, path):  # not swept away by another process before it was locked
            return path, descriptor
        os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether a file that is open still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def let_go_on_windows(descriptor: int) -> None:
    """Windows renames no file that is open; elsewhere the lock is kept until the file has its name."""
    if sys.platform == "win32":
        os.close(descriptor)


@lru_cache(maxsize=1024)
def sweep(folder: str) -> None:
    """Remove the temporaries of processes that were killed, once per folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):  # another's, who may forbid it
                    _remove_abandoned(Path(entry.path))


def _remove_abandoned(path: Path) -> None:
    with open(path, "r+b") as file:
        if not lock(file.fileno()):
            return
        aside = path.with_suffix(ASIDE)
        name = os.fsdecode(file.read(1 << 12))
        if name and name == os.path.basename(name):  # of a folder, as nobody could plant a name elsewhere
            with suppress(OSError, ValueError):
                os.rename(aside, path.parent / name)  # there when a kill came in the middle of exchanging the two
        for folder in (path.with_suffix(FOLDER), aside):
            shutil.rmtree(folder, ignore_errors=True)
    path.unlink(missing_ok=True)


def lock(descriptor: int) -> bool:
    """Keep other processes from locking the same open file until it is closed; whether none has locked it already.

    Where a file system knows no locks, True.
    """
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - there is none elsewhere

            at = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, 1 << 40, os.SEEK_SET)  # no other process can read bytes that are locked
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, at, os.SEEK_SET)
        else:
            import fcntl  # noqa: PLC0415 - nor this on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
