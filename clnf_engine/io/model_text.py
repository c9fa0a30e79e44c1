"""The text files of OpenFace's models: key-value lists, and matrices as numbers in rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import read_only
from clnf_engine.errors import ModelFileError
from clnf_engine.io.files import read_file, read_text
from clnf_engine.pdm import PDM

TYPES: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 5: np.dtype("<f4"), 6: np.dtype("<f8")}
"""Element types by their OpenCV code."""

_INT32 = 4
_RANGES = {
    4: (-(2.0**31), 2.0**31 - 1),
    5: (-float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)),
    6: (-np.inf, np.inf),
}
"""Smallest and largest value of each type."""

MAX_LANDMARKS = 10_000
MAX_FILES = 256
MAX_MODEL_BYTES = 1 << 28
"""Of a model with all its parts: files that it names, each as often as it is named, and their size in all."""

_MAX_FILE_BYTES = 1 << 27
_MAX_TEXT_BYTES = 1 << 23
_MAX_TRIANGULATIONS = 1_000


def read_bytes(path: Path) -> bytes:
    """The whole content of a file of sane size.

    Raises
    ------
    ModelFileError
        When it is missing, too large or unreadable.
    """
    return read_file(path, "a model file", _MAX_FILE_BYTES, ModelFileError)


class Budget:
    """What is left of `MAX_FILES` and `MAX_MODEL_BYTES` while a model is read."""

    def __init__(self) -> None:
        self._files, self._bytes = MAX_FILES, MAX_MODEL_BYTES

    def take(self, path: Path) -> Path:
        """Count a file that is to be read; the same.

        Raises
        ------
        ModelFileError
            When there are too many, or too much in them.
        """
        self._files -= 1
        self._bytes -= os.path.getsize(path) if os.path.exists(path) else 0
        if self._files < 0 or self._bytes < 0:
            problem = (
                f"is one file too many; expected at most {MAX_FILES} in a model, of {MAX_MODEL_BYTES} bytes in all"
            )
            raise ModelFileError(path, "", problem)
        return path


def _read_text(path: Path) -> str:
    return read_text(path, "a model file in text form", _MAX_TEXT_BYTES, ModelFileError)


def entries(path: Path) -> Iterator[tuple[int, str, str]]:
    """Lines ``key value`` of a main or module file, with their line numbers from 1."""
    text = _read_text(path)
    for number, line in enumerate(text.splitlines(), start=1):
        key, *value = line.split(maxsplit=1)[:2] or [""]
        if key and not key.startswith("#"):
            yield number, key, value[0].strip() if value else ""


def sibling(path: Path, line: int, value: str) -> Path:
    """The file that a line of another file names.

    Raises
    ------
    ModelFileError
        When there is none, or it could lie outside the model's folder.
    """
    if not value:
        raise ModelFileError(path, f"line {line}", "expected a file name after the key")
    name = value.replace("\\", "/")
    if os.path.isabs(name) or ":" in name[:2] or ".." in name.split("/"):
        raise ModelFileError(path, f"line {line}", f"names {value}; expected a file in the folder of the model")
    found = path.parent / name
    if not os.path.isfile(found):
        raise ModelFileError(path, f"line {line}", f"names {value}, but there is no file {found}")
    return found


def read_pdm(path: str | os.PathLike[str]) -> PDM:
    """Read a PDM text file: mean (3n×1), principal components (3n×m), variances (1×m or m×1).

    Raises
    ------
    ModelFileError
        When the file is not such a triple of matrices or a variance is not positive.
    """
    path = Path(path)
    words = _Words(path)
    mean, modes, variances = words.matrix(), words.matrix(), words.matrix()
    words.expect_end()
    rows, m = modes.shape
    if mean.shape != (rows, 1) or rows % 3 or rows == 0:
        raise ModelFileError(
            path, "", f"mean is {mean.shape[0]}×{mean.shape[1]} and components {rows}×{m}; expected 3n×1 and 3n×m"
        )
    if variances.size != m or 1 not in variances.shape:
        raise ModelFileError(path, "", f"{variances.size} variances for {m} components; expected 1×{m}")
    if not (variances > 0).all():
        raise ModelFileError(path, "", "a variance is not positive")
    if rows // 3 > MAX_LANDMARKS:
        raise ModelFileError(path, "", f"{rows // 3} landmarks; expected at most {MAX_LANDMARKS}")
    return PDM(
        mean=read_only(mean.ravel().astype(np.float64)),
        modes=read_only(modes.astype(np.float64)),
        variances=read_only(variances.ravel().astype(np.float64)),
    )


def read_triangulations(path: Path) -> tuple[NDArray[np.int32], ...]:
    """Read a file of triangulations: their number, then a matrix of t×3 landmark indices each.

    Raises
    ------
    ModelFileError
        When the file is anything else.
    """
    words = _Words(path)
    count = words.integer("the number of triangulations", 0, _MAX_TRIANGULATIONS)
    result = []
    for _ in range(count):
        triangles = words.matrix()
        if triangles.shape[1] != 3:
            raise ModelFileError(path, "", f"a triangulation has {triangles.shape[1]} columns; expected 3")
        result.append(read_only(triangles.astype(np.int32)))
    words.expect_end()
    return tuple(result)


class _Words:
    """The white-space separated words of a text file without its comments, each with its line number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = os.path.realpath(path) == os.path.abspath(path)
        self._words: list[str] = []
        self._lines: list[int] = []
        for number, line in enumerate(_read_text(path).splitlines(), start=1):
            if not line.lstrip().startswith("#"):
                words = line.split()
                self._words += words
                self._lines += [number] * len(words)
        self._at = 0

    def _where(self, at: int) -> str:
        return f"line {self._lines[at]}" if at < len(self._lines) else "end of file"

    def _quoted(self, word: str) -> str:
        """What was found, unless a link may have led out of the model's folder, to what is nobody's business."""
        return repr(word[:40]) if self._own else "something else"

    def integer(self, what: str, low: int, high: int) -> int:
        at = self._at
        word = self._words[at] if at < len(self._words) else ""
        try:
            value = int(word)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            found = self._quoted(word) if word else "nothing"
            raise ModelFileError(
                self._path, self._where(at), f"found {found}; expected {what}, a whole number from {low} to {high}"
            )
        self._at += 1
        return value

    def matrix(self) -> NDArray[Any]:
        rows = self.integer("a matrix's rows", 0, 1 << 24)
        cols = self.integer("a matrix's columns", 0, 1 << 24)
        code = self.integer("a matrix's type (4 int32, 5 float32, 6 float64)", 4, 6)
        size, left = rows * cols, len(self._words) - self._at
        if size > left:
            raise ModelFileError(
                self._path,
                self._where(self._at - 1),
                f"a {rows}×{cols} matrix needs {size} numbers, but {left} are left in the file",
            )
        start = self._at
        words = self._words[start : start + size]
        try:
            values = np.array(words, dtype=np.float64) if size else np.zeros(0)
            good = bool(np.isfinite(values).all())
        except ValueError:
            good = False
        if not good:
            bad = next(k for k, word in enumerate(words) if not _is_finite_number(word))
            raise ModelFileError(
                self._path, self._where(start + bad), f"found {self._quoted(words[bad])}; expected a finite number"
            )
        low, high = _RANGES[code]
        with np.errstate(invalid="ignore", over="ignore"):
            typed = values.astype(TYPES[code])
        wrong = (values < low) | (values > high) | ((typed != values) & (code == _INT32))
        if wrong.any():
            bad = int(wrong.argmax())
            problem = f"found {self._quoted(words[bad])}; expected a finite {TYPES[code].name}"
            raise ModelFileError(self._path, self._where(start + bad), problem)
        self._at += size
        return typed.reshape(rows, cols)

    def expect_end(self) -> None:
        if self._at != len(self._words):
            raise ModelFileError(self._path, self._where(self._at), "expected the end of the file")


def _is_finite_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def text_matrix(matrix: NDArray[Any]) -> str:
    """A matrix in text form; every float reads back bit-identical."""
    code = 4 if matrix.dtype.kind == "i" else 6
    rows = "".join(" ".join(map(repr, row)) + "\n" for row in matrix.tolist())
    return f"{matrix.shape[0]}\n{matrix.shape[1]}\n{code}\n{rows}"
