"""The binary files of OpenFace's models, little-endian: a cursor that never believes a size, and matrices."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.errors import ModelFileError
from clnf_engine.io.model_text import TYPES, read_bytes

_TYPES = {0: np.dtype("u1"), **TYPES}


class ByteReader:
    """A cursor over a binary file that refuses to read past its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = read_bytes(path)
        self._at = 0
        self._last = 0

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self._data)

    def error(self, problem: str) -> ModelFileError:
        """A ModelFileError at what was read last."""
        return ModelFileError(self._path, f"byte {self._last}", problem)

    def _take(self, size: int, what: str) -> int:
        self._last = self._at
        left = len(self._data) - self._at
        if size > left:
            raise self.error(f"expected {what}, {size} bytes, but {left} are left in the file")
        self._at += size
        return self._last

    def integer(self, what: str, low: int, high: int) -> int:
        """A whole number, int32, from `low` to `high`."""
        value: int = struct.unpack_from("<i", self._data, self._take(4, what))[0]
        if not low <= value <= high:
            raise self.error(f"{what} is {value}; expected {low} to {high}")
        return value

    def tag(self, value: int, what: str) -> None:
        """Read a whole number that must be `value`."""
        found: int = struct.unpack_from("<i", self._data, self._take(4, what))[0]
        if found != value:
            raise self.error(f"found {found}; expected {value}, the tag of {what}")

    def number(self, what: str, low: float, high: float, code: str = "d", hint: str = "") -> float:
        """A real number, float64 or what `code` of `struct` says, from `low` to `high`."""
        value: float = struct.unpack_from(f"<{code}", self._data, self._take(struct.calcsize(code), what))[0]
        if not low <= value <= high:
            raise self.error(f"{what} is {value}; expected {low:g} to {high:g}{hint}")
        return value

    def records(self, dtype: np.dtype[Any], count: int, what: str) -> NDArray[Any]:
        """So many records, read-only."""
        start = self._take(dtype.itemsize * count, what)
        return np.frombuffer(self._data, dtype, count, start)

    def matrix(
        self, what: str, shape: tuple[int | None, int | None] = (None, None), code: int | None = None
    ) -> NDArray[Any]:
        """A matrix with its header; any size is welcome where `shape` is None, any type where `code` is None."""
        start = self._take(12, what)
        rows, cols, found = struct.unpack_from("<iii", self._data, start)
        sizes = all(size >= 0 and wanted in (None, size) for size, wanted in zip((rows, cols), shape, strict=True))
        if not sizes or found not in _TYPES or code not in (None, found):
            wanted = "×".join("any" if size is None else str(size) for size in shape)
            kind = f"type {code}" if code is not None else "a known type"
            raise self.error(f"{what} is a {rows}×{cols} matrix of type {found}; expected {wanted} of {kind}")
        return self.records(_TYPES[found], rows * cols, what).reshape(rows, cols)

    def expect_end(self) -> None:
        """Refuse a file that goes on."""
        left = len(self._data) - self._at
        if left:
            self._last = self._at
            raise self.error(f"expected the end of the file, but {left} bytes are left")


def binary_matrix(matrix: NDArray[Any], code: int) -> bytes:
    """A matrix with its header, as `ByteReader.matrix` reads it."""
    return struct.pack("<iii", *matrix.shape, code) + matrix.astype(_TYPES[code]).tobytes()
