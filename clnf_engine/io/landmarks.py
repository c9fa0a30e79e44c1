"""Landmark files: the ``.pts`` form of the 300-W data set.

    version: 1
    n_points: 68
    {
    x y
    …
    }

Coordinates are image px counted from 0, with pixel centres at integers: (0, 0) is the centre of the top left
pixel. Files made by tools that count pixels from 1 must be shifted by one pixel first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.errors import LandmarkFileError
from clnf_engine.io.files import read_text

MAX_POINTS = 10_000
"""Most points a file may hold."""

_MAX_FILE_BYTES = 1 << 22

_Lines = Iterator[tuple[int, str]]
"""Line numbers from 1 and the text of lines that are not blank."""


def read_pts(path: str | os.PathLike[str]) -> Floats:
    """Read landmarks from a ``.pts`` file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    (n, 2) float64
        x, y in image px, pixel centres at integers.

    Raises
    ------
    LandmarkFileError
        When the file is missing, too large or not of that form; it names the line and what was expected there.
    """
    path = Path(path)
    lines = _lines(path)
    _field(path, lines, ("version",), 1)
    count = _field(path, lines, ("n_points", "npoints"), MAX_POINTS)  # OpenFace once wrote npoints
    _exactly(path, lines, "{")
    points = [_point(path, lines, f"point {k} of {count}") for k in range(1, count + 1)]
    _exactly(path, lines, "}")
    extra = next(lines, None)
    if extra is not None:
        raise _unexpected(path, extra, "nothing after '}'")
    return np.array(points, dtype=np.float64)


def pts_text(points: Floats) -> str:
    """Landmarks in ``.pts`` form; `read_pts` gives back exactly the same numbers.

    Parameters
    ----------
    points : (n, 2) float64
        Finite; image px, pixel centres at integers.

    Returns
    -------
    str
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points have shape {points.shape}; expected (n, 2) and finite numbers")
    rows = "".join(f"{x!r} {y!r}\n" for x, y in points.tolist())
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n"


def _lines(path: Path) -> _Lines:
    text = read_text(path, "a .pts file", _MAX_FILE_BYTES, LandmarkFileError)
    numbered = enumerate((line.strip() for line in text.splitlines()), start=1)
    return ((number, line) for number, line in numbered if line)


def _unexpected(path: Path, line: tuple[int, str] | None, expected: str) -> LandmarkFileError:
    if line is None:
        return LandmarkFileError(path, "end of file", f"expected {expected}")
    number, text = line
    found = text if len(text) <= 40 else f"{text[:40]}…"
    return LandmarkFileError(path, f"line {number}", f"found {found!r}; expected {expected}")


def _field(path: Path, lines: _Lines, names: tuple[str, ...], high: int) -> int:
    """The whole number in a line ``name: number``, from 1 to `high`."""
    line = next(lines, None)
    name, _, text = line[1].partition(":") if line else ("", "", "")
    text = text.strip()
    # A longer number is too large anyway, and Python refuses to read very long ones.
    value = int(text) if text.isdecimal() and len(text) <= 9 else 0
    if name.strip() not in names or not 1 <= value <= high:
        expected = "1" if high == 1 else f"a whole number from 1 to {high}"
        raise _unexpected(path, line, f"'{names[0]}: ' and {expected}")
    return value


def _exactly(path: Path, lines: _Lines, text: str) -> None:
    line = next(lines, None)
    if line is None or line[1] != text:
        raise _unexpected(path, line, f"{text!r}")


def _point(path: Path, lines: _Lines, what: str) -> tuple[float, float]:
    line = next(lines, None)
    try:
        x, y = (float(word) for word in line[1].split()) if line else (math.nan, math.nan)
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise _unexpected(path, line, f"{what}, two finite numbers x y")
    return x, y
