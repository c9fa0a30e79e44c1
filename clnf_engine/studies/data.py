"""The data of a study: photos and videos, each known by its bytes, with their true landmarks where there are any."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from clnf_engine.arrays import Floats, read_only
from clnf_engine.errors import FileError, StudyError, VideoFileError
from clnf_engine.io.files import open_file, read_text
from clnf_engine.io.frames import natural_order
from clnf_engine.io.images import image_bytes
from clnf_engine.io.landmarks import read_pts

IMAGE_SUFFIXES = (".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wmv")

STUDY_FILE = "study.json"
"""A folder that holds it is of results, and none of its files is data."""

_MAX_LIST_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo or video of a study.

    Attributes
    ----------
    path : str
        Relative to the study's data, with slashes.
    file : str
        Absolute.
    image : str
        SHA-256 of its bytes; of its path where they cannot be read.
    truth : (n, 2) float64 or None
        True landmarks, image px.
    problem : str
        Why it cannot be fitted, as far as is known: one sentence; "" when nothing is wrong.
    data : bytes or None
        Its bytes, for a process that does not see the file.
    """

    path: str
    file: str
    image: str
    truth: Floats | None = None
    problem: str = ""
    data: bytes | None = None

    @property
    def video(self) -> bool:
        """Whether it has frames."""
        return is_video(self.path)

    @property
    def truth_digest(self) -> str:
        """The same for the same truth, or the same problem with it; "" where there is none."""
        if self.truth is None and not self.problem:
            return ""
        numbers = b"" if self.truth is None else self.truth.tobytes()
        return hashlib.blake2b(numbers + self.problem.encode(), digest_size=8).hexdigest()

    def bytes(self) -> bytes:
        """Its bytes.

        Raises
        ------
        StudyError
            When they are not there any more, or others.
        """
        data = self.data
        try:
            data = image_bytes(self.file) if data is None else data
        except FileError as error:
            raise StudyError(f"{error}; expected the photo that the study was planned with") from None
        if hashlib.sha256(data).hexdigest() != self.image:
            raise StudyError(f"{self.file}: changed since the study was planned; the same command goes on from here")
        return data

    def with_data(self) -> Photo:
        """The same, with its bytes."""
        return self if self.problem or self.video else replace(self, data=self.bytes())


def is_video(path: str) -> bool:
    """Whether a file of this name is taken for a video."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def photos(data: str) -> Iterator[Photo]:
    """The photos and videos of a study in the natural order of their paths, each looked at when it is asked for.

    Parameters
    ----------
    data : str
        As for `Study`.

    Raises
    ------
    StudyError
        When there are none.
    """
    return (_photo(path, root) for path, root in _files(data))


def count_photos(data: str) -> int:
    """How many there are; none is opened. Errors as of `photos`."""
    return sum(1 for _ in _files(data))


def root_of(data: str) -> Path:
    """What the paths of photos are relative to."""
    path = Path(data)
    if path.is_dir():
        return path
    if any(map(glob.has_magic, path.parts)) and not path.exists():
        return Path(*_before_magic(path))
    return path.parent


def _before_magic(path: Path) -> Iterator[str]:
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _files(data: str) -> Iterator[tuple[Path, Path]]:
    """Every file and what its path is relative to."""
    path, root = Path(data), root_of(data)
    if path.is_dir():
        found = _walk(path)
    elif path.is_file() and path.suffix.lower() == ".txt":
        found = _listed(path)
    elif path.is_file():
        found = iter([path])
    else:
        named = sorted(glob.iglob(data, recursive=True), key=natural_order)
        found = (Path(name) for name in named if _is_data(name))
    none = True
    for file in found:
        none = False
        yield file, root
    if none:
        raise StudyError(f"{data}: no photo or video there; expected a folder of some, a glob, or a list of paths")


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        if STUDY_FILE in names:
            folders.clear()
            continue
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural_order)
        yield from (Path(where, name) for name in sorted(filter(_is_data, names), key=natural_order))


def _is_data(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES + VIDEO_SUFFIXES) and not os.path.basename(name).startswith(".")


def _listed(file: Path) -> Iterator[Path]:
    lines = read_text(file, "a list of photos, a path per line", _MAX_LIST_BYTES).splitlines()
    return (file.parent / line.strip() for line in lines if line.strip())


def _photo(file: Path, root: Path) -> Photo:
    path = (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()
    try:
        image = _video_digest(file) if is_video(path) else hashlib.sha256(image_bytes(file)).hexdigest()
    except FileError as error:
        unread = hashlib.sha256(b"unread " + os.fsencode(path)).hexdigest()
        return Photo(path, str(file), unread, problem=f"{path}: {error.problem}")
    labels = file.with_suffix(".pts")
    if not labels.exists():
        return Photo(path, str(file), image)
    try:
        return Photo(path, str(file), image, read_only(read_pts(labels)))
    except FileError as error:
        where = f"{labels.name}, {error.where}" if error.where else labels.name
        return Photo(path, str(file), image, problem=f"{where}: {error.problem}")


def _video_digest(file: Path) -> str:
    with open_file(file, "a video", VideoFileError) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # an open file
        except OSError as problem:
            raise VideoFileError(file, "", f"cannot be read ({problem.strerror})") from problem
