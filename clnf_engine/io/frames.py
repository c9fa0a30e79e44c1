"""Frames, what reads them in order, and the reader of a folder of images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clnf_engine.errors import VideoFileError
from clnf_engine.io.images import read_image

FOLDER_RATE = 30
"""Frames per second of a folder of images, as in OpenFace."""

_SUFFIXES = (".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video, upright.

    Attributes
    ----------
    index : int
        From 0, in the order of presentation.
    timestamp : float
        Seconds from the first frame.
    rgb : (H, W, 3) uint8
        Read-only, C-contiguous; for display.
    gray : (H, W) uint8
        Read-only; for the fit: what `read_image` makes of an image of these colours.
    """

    index: int
    timestamp: float
    rgb: NDArray[np.uint8]
    gray: NDArray[np.uint8]


Develop = Callable[[], Frame]
"""Converts a frame that was decoded; raises a `FileError` when it cannot."""


class Reader(Protocol):
    """Reads frames in order; not to be shared between threads."""

    @property
    def times(self) -> list[float]:
        """Of every frame, seconds from the first."""

    @property
    def promised(self) -> int:
        """Frames that the file announces, when they are more than it has; else 0."""

    @property
    def damage(self) -> str:
        """What keeps the file from being read to its end; "" when nothing does."""

    def anchor(self, number: int) -> int:
        """The frame that decoding begins with to get at a frame."""

    def read(self, start: int) -> Iterator[tuple[int, Develop]]:
        """Numbers and frames from number `start` on, less those that do not decode; ends the reading before."""

    def twin(self) -> Reader:
        """Another reader of the same frames, for another thread."""

    def close(self) -> None:
        """Close the file."""


class Folder:
    """The images of a folder in the natural order of their names, 2 before 10.

    Raises
    ------
    VideoFileError
        When there is none.
    """

    promised = 0
    damage = ""

    def __init__(self, path: Path) -> None:
        try:
            files = [file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file()]
        except OSError as error:
            raise VideoFileError(path, "", f"cannot be read ({error.strerror})") from error
        if not files:
            raise VideoFileError(path, "", "holds no image; expected some of a video's frames")
        self._files = sorted(files, key=lambda file: natural_order(file.name))
        self.times = [number / FOLDER_RATE for number in range(len(files))]

    def anchor(self, number: int) -> int:
        """The frame itself."""
        return number

    def read(self, start: int) -> Iterator[tuple[int, Develop]]:
        """As `Reader.read`."""
        return ((number, partial(self._frame, number)) for number in range(start, len(self._files)))

    def twin(self) -> Folder:
        """The same; it keeps no place."""
        return self

    def close(self) -> None:
        """Nothing is open."""

    def _frame(self, number: int) -> Frame:
        image = read_image(self._files[number])
        return Frame(number, self.times[number], image.rgb, image.gray)


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Numbers in a name count by their value."""
    words = re.split(r"(\d+)", name.casefold())
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words], name
