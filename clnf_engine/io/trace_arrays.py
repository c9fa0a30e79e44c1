"""The arrays of a trace of version 2: their names and shapes, what is converted on reading, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any

import numpy as np

from clnf_engine.arrays import FLOAT64, Array, DType, read_only
from clnf_engine.io.trace_parts import MAX_BYTES, MAX_LANDMARKS, MAX_PARAMETERS, optional
from clnf_engine.steps import Phase

Shape = tuple[int | str | None, ...]

ROWS: dict[str, Shape] = {
    "params": ("p",),
    "landmarks": ("n", 2),
    "landmarks_before": ("n", 2),
    "mean_shift/position": ("n", 2),
    "mean_shift/kernel_sum": ("n",),
    "mean_shift/reference": ("n", 2),
    "mean_shift/image": ("n", 2),
    "mean_shift/empty": ("n",),
    "weights": ("n",),
    "jacobian": ("2n", "q"),
    "hessian": ("q", "q"),
    "gradient": ("q",),
    "delta": ("q",),
    "clamped": ("p",),
    "likelihoods": ("n",),
}
"""Every value of a step and its shape: n landmarks, p parameters, q those that the phase moves."""

MAPS: dict[str, Shape] = {
    "base_shape": ("n", 2),
    "reference_shape": ("n", 2),
    "image_to_reference": (2, 2),
    "reference_to_image": (2, 2),
    "visible": ("n",),
    "area": ("n", None, None),
    "neuron_ncc": ("n", None, "w", "w"),
    "neuron_output": ("n", None, "w", "w"),
    "raw": ("n", "w", "w"),
    "after_sigma": ("n", "w", "w"),
    "shifted": ("n", "w", "w"),
    "final": ("n", "w", "w"),
}
"""Every value of a group of response maps, w the window."""

_DOUBLES = {"params", "landmarks", "base_shape", "reference_shape", "image_to_reference", "reference_to_image"}
BOOLS = {"clamped", "mean_shift/empty", "visible"}
ENTRY_KEYS = {"phase", "stage", "iteration", "responses", "converged", "success", "message"}
_MAX_SAID = 40
_SHORT = 60


class Said:
    """What a reader converted or left out, in sentences without a full stop; the same is said once."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._left_out = 0

    def say(self, line: str) -> None:
        """Add a sentence; beyond a sane number they are only counted."""
        if line in self._lines:
            return
        if len(self._lines) < _MAX_SAID:
            self._lines[line] = None
        else:
            self._left_out += 1

    @property
    def lines(self) -> tuple[str, ...]:
        """All, in order."""
        return (*self._lines, *([f"and {self._left_out} more"] if self._left_out else ()))


@dataclass
class Record:
    """What a file tells of one step.

    Attributes
    ----------
    place : str
        Where in the file, for errors.
    entry : mapping
        Phase, stage, iteration and the like.
    values : dict
        By names of `ROWS` and `NUMBERS`, converted by `as_float` or as they are.
    maps : int or None
        Which of `Records.maps` it has.
    """

    place: str
    entry: Mapping[str, Any]
    values: dict[str, Any]
    maps: int | None = None


@dataclass
class Records:
    """What a file tells of a run."""

    header: Mapping[str, Any]
    image: Array
    initial_params: Array | None
    steps: list[Record]
    maps: dict[int, tuple[str, dict[str, Array]]]
    stages: dict[int, Any]
    said: Said = default(default_factory=Said)


# --- arrays -----------------------------------------------------------------------------------------


def as_float(name: str, array: Array, said: Said) -> Array:
    """An array in native byte order and C order, as float32 or float64.

    Parameters
    ----------
    name : str
        For what is said.
    array : array of numbers
    said : Said

    Raises
    ------
    ValueError
        When it holds something else, or long doubles.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "fiub" or (kind == "f" and size > FLOAT64.itemsize):
        raise ValueError(f"{name} is {str(array.dtype)[:_SHORT]}; expected float16, float32 or float64")
    last = last_name(name)
    wanted: DType = FLOAT64 if last in _DOUBLES or kind != "f" else np.dtype(np.float32) if size < 4 else array.dtype
    if last == "area":
        wanted = np.dtype(np.float32)
    if last in {last_name(one) for one in BOOLS} and kind in "iub":
        wanted = array.dtype
    if not array.dtype.isnative:
        said.say(f"{name}: byte order turned round")
        wanted = wanted.newbyteorder("=")
    if array.dtype.newbyteorder("=") != wanted:
        said.say(f"{name}: {array.dtype.newbyteorder('=')} to {wanted}")
    if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous:
        said.say(f"{name}: Fortran order to C order")
    with np.errstate(over="ignore", invalid="ignore"):
        return read_only(np.ascontiguousarray(array, wanted))


def last_name(name: str) -> str:
    """The part of a name behind its last slash."""
    return name.rpartition("/")[2]


def short(value: Any) -> str:
    """A value for a message, however long it is, on one line."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to write whole numbers of thousands of digits
        return "a number too long to write"
    return " ".join((text if len(text) <= _SHORT else f"{text[:_SHORT]}…").split())


def is_missing(value: Array) -> bool:
    """Whether an array is NaN throughout: what stands for a value that was not recorded."""
    return bool(value.size and value.dtype.kind == "f" and np.isnan(value).all())


def as_bool(name: str, array: Array) -> Array:
    """An array of true and false, from one of these or of numbers 0 and 1.

    Raises
    ------
    ValueError
        When there are other numbers.
    """
    if array.dtype.kind == "b":
        return array
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} holds numbers other than 0 and 1; expected true or false")
    return read_only(array.astype(np.bool_))


class Sizes:
    """How large things are, and the landmarks that a file is about."""

    def __init__(self, records: Records) -> None:
        header = records.header
        self.indices = self._indices(header)
        count = optional(header, "n_landmarks", int)
        if self.indices is not None and count is None:
            raise KeyError("n_landmarks in the header, which belongs to landmark_indices,")
        if count is not None and not 0 < count <= MAX_LANDMARKS:
            raise ValueError(f"n_landmarks in its header is {short(count)}; expected 1 to {MAX_LANDMARKS}")
        if self.indices is not None and count is not None and self.indices.max(initial=-1) >= count:
            raise ValueError(f"landmark_indices in its header reach {self.indices.max()} of {count} landmarks")
        self.rows = self._first(records, "n") if self.indices is None else len(self.indices)
        self.n = count or self.rows or 0
        if self.rows is None:
            self.rows = self.n
        if self.n > MAX_LANDMARKS:
            raise ValueError(f"it has {self.n} landmarks; expected at most {MAX_LANDMARKS}")
        self.p = self._first(records, "p") or 6
        if not 6 <= self.p <= MAX_PARAMETERS:
            raise ValueError(f"it has {self.p} parameters; expected 6 and one for each shape mode")
        self._left = MAX_BYTES

    @staticmethod
    def _indices(header: Mapping[str, Any]) -> Array | None:
        values = optional(header, "landmark_indices", list)
        if values is None:
            return None
        good = all(type(value) is int and 0 <= value < MAX_LANDMARKS for value in values)
        if not good or len(set(values)) != len(values):
            raise ValueError("landmark_indices in its header are not different whole numbers from 0")
        return np.array(values, dtype=np.intp)

    @staticmethod
    def _first(records: Records, size: str) -> int | None:
        """The first size of this letter that any array has."""
        if size == "p" and records.initial_params is not None and records.initial_params.ndim == 1:
            return len(records.initial_params)
        for record in records.steps:
            nonrigid = record.entry.get("phase") == Phase.NONRIGID
            for name, shape in ROWS.items():
                first = "p" if shape[0] == "q" and nonrigid else shape[0]
                array = record.values.get(name)
                if array is None or array.ndim != len(shape) or not len(array):
                    continue
                if first == size:
                    return len(array)
                if (first, size) == ("2n", "n") and len(array) % 2 == 0:
                    return len(array) // 2
        for _, maps in records.maps.values() if size == "n" else ():
            for name, shape in MAPS.items():
                if shape[0] == "n" and name in maps and maps[name].ndim == len(shape) and len(maps[name]):
                    return len(maps[name])
        return None

    def checked(self, name: str, array: Array, shape: Shape, q: int, window: int | None) -> Array:
        """An array of the right shape, of all landmarks: those that the file leaves out are NaN or False."""
        sizes = {"n": self.rows, "2n": 2 * (self.rows or 0), "p": self.p, "q": q, "w": window}
        wanted = tuple(sizes[size] if isinstance(size, str) else size for size in shape)
        pairs = zip(array.shape, wanted, strict=True) if array.ndim == len(wanted) else ((0, 1),)
        if not all(want is None or have == want for have, want in pairs):
            text = "×".join("any" if size is None else str(size) for size in wanted)
            raise ValueError(f"{name} has shape {short(array.shape)}; expected {text}")
        if self.indices is None or shape[0] not in ("n", "2n"):
            return array
        copies = 2 if shape[0] == "2n" else 1
        total = (copies * self.n, *array.shape[1:])
        self._left -= math.prod(total) * array.dtype.itemsize
        if self._left < 0:
            raise ValueError(f"its arrays would hold more than {MAX_BYTES} bytes")
        spread = np.full(total, False if array.dtype.kind == "b" else np.nan, array.dtype)
        for copy, rows in enumerate(np.split(array, copies)):
            spread[copy * self.n + self.indices] = rows
        return read_only(spread)
