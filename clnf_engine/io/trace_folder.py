"""Traces as folders: ``trace.jsonl``, a line per step, and files with arrays, as a fit that may crash appends them."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, read_only
from clnf_engine.errors import ClnfError, TraceFileError
from clnf_engine.io.files import open_file
from clnf_engine.io.images import read_image
from clnf_engine.io.trace_arrays import ENTRY_KEYS, MAPS, ROWS, Record, Records, as_float, last_name, short
from clnf_engine.io.trace_parts import MAX_BYTES, MAX_STEPS, NUMBERS, TraceContent, checked_header, optional
from clnf_engine.io.trace_records import content_of, stages_of

LINES = "trace.jsonl"
"""Name of the file of steps in the folder of a trace."""

_MAX_LINE = 1 << 24
"""Bytes of a line; larger arrays belong into files of their own."""

_MAX_OFFSET = 1 << 48

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199})?")
_NPY_MAGIC = b"\x93NUMPY"
_MAX_DIMENSIONS = 4


class _Missing(Exception):
    """An array file that is not there, or not whole: the writer may have died before it was."""


def folder_of(path: str | os.PathLike[str]) -> Path | None:
    """The folder of a trace in this form, from its own path or that of its `LINES`; None when it is none."""
    folder = Path(path)
    if folder.name == LINES:
        folder = folder.parent
    return folder if os.path.isfile(folder / LINES) else None


def read_folder(folder: Path) -> TraceContent:
    """Read the folder of a trace; nothing in it is executed, and nothing outside it is read.

    Raises
    ------
    TraceFileError
        When something in it is no part of a trace. A last line that is torn, and arrays of the last step that are
        missing, are left out and told of instead.
    """
    reader = FolderReader(folder)
    with reading(folder, reader):
        return content_of(reader.records())


@contextmanager
def reading(folder: Path, reader: FolderReader) -> Iterator[None]:
    """Where a folder is read: whatever is wrong with it becomes a `TraceFileError`."""
    path = folder / LINES
    try:
        yield
    except TraceFileError:
        raise
    except KeyError as error:
        raise TraceFileError(path, "", f"{error.args[0]} is missing") from error
    except _Missing as error:
        raise TraceFileError(path, reader.place, str(error)) from error
    except OSError as error:
        raise TraceFileError(path, reader.place, f"cannot be read ({error.strerror or short(error)})") from error
    except (ValueError, OverflowError, ClnfError, RecursionError, MemoryError) as error:
        raise TraceFileError(path, "", f"not a valid trace: {short_sentence(error)}") from error


def short_sentence(error: BaseException) -> str:
    """The text of an error on one line."""
    return " ".join(str(error).split())[:400] or type(error).__name__


class FolderReader:
    """Reads the lines of a folder, one in memory at a time: all of them, or while it is written what is new.

    Attributes
    ----------
    place : str
        The line that is being read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.place, self._left = folder, "line 1", MAX_BYTES
        self._read, self._number = 0, 0
        self._records: Records | None = None
        self._maps_of: dict[Any, int] = {}
        """Of every stage, the group of maps that was recorded last."""
        self._kinds: dict[tuple[Any, str], set[Any]] = {}
        """Of every value of a phase, the dtypes it comes in; of the steps before `_evened`."""
        self._evened = 0

    def records(self) -> Records:
        """All that the lines tell."""
        lines = self._lines()
        header, last = next(lines, (None, True))
        if header is None:
            raise ValueError("line 1 is not whole; expected a header")
        records = self._begun(header)
        for entry, last in lines:
            self._take(entry, last, records)
        if self._torn:
            records.said.say(f"the last line, {self._torn}, is torn and left out")
        self._even_out(records)
        return records

    def read_more(self) -> Records | None:
        """All that the lines tell by now that are whole; None when no step is new."""
        known = 0 if self._records is None else len(self._records.steps)
        with open_file(self._folder / LINES, "the lines of a trace", TraceFileError) as file:
            file.seek(self._read)
            while (raw := file.readline(_MAX_LINE + 1)).endswith(b"\n"):
                self._read += len(raw)
                self._number += 1
                self.place = f"line {self._number}"
                if raw.strip() and (entry := self._parsed(raw, self._number)) is not None:
                    if self._records is None:
                        self._records = self._begun(entry)
                    else:
                        self._take(entry, False, self._records)
                        known = -1
        if len(raw) > _MAX_LINE:
            raise ValueError(f"line {self._number + 1} is longer than {_MAX_LINE} bytes")
        if self._records is None or known >= 0:
            return None
        self._even_out(self._records)
        return self._records

    def _begun(self, header: dict[str, Any]) -> Records:
        """What the first line tells."""
        checked_header(header)
        if header["version"] == 1:
            raise ValueError("line 1 names version 1; expected version 2 of a trace in this form")
        records = Records(header, self._image(header), None, [], {}, stages_of(header, []))
        if header.get("initial_params") is not None:
            records.initial_params = self._array("initial_params", header["initial_params"], records).astype(np.float64)
        return records

    def _lines(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """The JSON objects of the lines, and whether each is the last that is whole."""
        self._torn = ""
        before: tuple[str, dict[str, Any]] | None = None
        with open_file(self._folder / LINES, "the lines of a trace", TraceFileError) as file:
            for number in range(1, 2 * MAX_STEPS + 3):  # steps, each with more
                raw = file.readline(_MAX_LINE + 1)
                if len(raw) > _MAX_LINE:
                    raise ValueError(f"line {number} is longer than {_MAX_LINE} bytes")
                if number > 2 * MAX_STEPS + 1 and raw:
                    raise ValueError(f"it has more than {MAX_STEPS} steps")
                if raw and not raw.strip():
                    continue
                entry = self._parsed(raw, number) if raw else None
                if before is not None:
                    self.place = before[0]
                    yield before[1], entry is None
                if entry is None:
                    return
                before = f"line {number}", entry

    def _parsed(self, raw: bytes, number: int) -> dict[str, Any] | None:
        """A line's JSON object; None for a last line that is torn."""
        try:
            entry = json.loads(raw)
        except (ValueError, RecursionError) as error:
            if not raw.endswith(b"\n"):
                self._torn = f"line {number}"
                return None
            raise ValueError(f"line {number} is not JSON ({short_sentence(error)[:80]})") from error
        if not isinstance(entry, dict):
            raise ValueError(f"line {number} is not a JSON object")
        return entry

    def _take(self, entry: dict[str, Any], last: bool, records: Records) -> None:
        """Add the step of a line, or what a line adds to the step before it."""
        place, said = self.place, records.said
        if entry.get("more") is True:
            self._add_more(entry, last, records)
            return
        if len(records.steps) == MAX_STEPS:
            raise ValueError(f"it has more than {MAX_STEPS} steps")
        declared = records.header.get("stages") is not None
        stage = entry.get("stage")
        if not isinstance(entry.get("phase"), str) or not (stage is None or type(stage) in (int, dict)):
            raise ValueError(f"{place}: expected a phase, and a stage that is a number or an object")
        if isinstance(stage, dict):
            number = optional(stage, "index", int)
            number = len(records.stages) if number is None else number
            records.stages[number] = stage
            entry = {**entry, "stage": number}
        elif not declared and type(stage) is int and stage >= 0:
            records.stages.setdefault(stage, {})
        values, maps = _flat(entry, place)
        record = Record(place, {key: value for key, value in entry.items() if key in ENTRY_KEYS}, {})
        self._put_values(record, values, last, records)
        if maps:
            number = len(records.maps)
            group: dict[str, Array] = {}
            for name, value in maps.items():
                if name in MAPS:
                    self._put(group, name, value, last, records)
                else:
                    said.say(f"responses/{short(name)} is not known and left out")
            records.maps[number] = f"{place}: responses", group
            self._maps_of[record.entry.get("stage")] = number
        if entry.get("phase") in ("responses", "rigid", "nonrigid") and entry.get("responses", {}) is not None:
            record.maps = self._maps_of.get(record.entry.get("stage"))
        record.entry = {key: value for key, value in record.entry.items() if key != "responses"}
        records.steps.append(record)

    def _add_more(self, entry: dict[str, Any], last: bool, records: Records) -> None:
        """Add to the last step what its program knew only later."""
        place = self.place
        if not records.steps:
            raise ValueError(f"{place} has more, but there is no step before it")
        values, maps = _flat({key: value for key, value in entry.items() if key != "more"}, place)
        if maps or {"phase", "stage", "iteration"} & entry.keys():
            raise ValueError(f"{place} has more of a step; expected values, converged, success or a message")
        before = records.steps[-1]
        later = {key: entry[key] for key in ENTRY_KEYS & entry.keys()}
        record = replace(before, entry={**before.entry, **later}, values=dict(before.values))
        self._put_values(record, values, last, records)
        records.steps[-1] = record

    def _put_values(self, record: Record, values: Mapping[str, Any], last: bool, records: Records) -> None:
        for name, value in values.items():
            if name in NUMBERS:
                record.values[name] = _number(self.place, name, value)
            elif name in ROWS:
                self._put(record.values, name, value, last, records)
            else:
                records.said.say(f"{short(name)} is not known and left out")

    def _put(self, into: dict[str, Array], name: str, value: Any, last: bool, records: Records) -> None:
        if value is None:
            return
        try:
            into[name] = self._array(name, value, records)
        except _Missing as problem:
            if not last:
                raise
            records.said.say(f"{self.place}: {problem}; left out, as it belongs to the last step")

    def _even_out(self, records: Records) -> None:
        """Give the rows of a value one dtype, float64 where they have several."""
        start = max(self._evened - 1, 0)  # there may be more of the last step
        for record in records.steps[start:]:
            for name, value in record.values.items():
                if isinstance(value, np.ndarray):
                    kinds = self._kinds.setdefault((record.entry.get("phase"), name), set())
                    if kinds and value.dtype not in kinds:
                        start = 0
                    kinds.add(value.dtype)
        for index, record in enumerate(records.steps[start:], start):
            wider = {
                name: read_only(value.astype(np.float64))
                for name, value in record.values.items()
                if len(self._kinds.get((record.entry.get("phase"), name), ())) > 1 and value.dtype == np.float32
            }
            if wider:
                records.steps[index] = replace(record, values={**record.values, **wider})
        self._evened = len(records.steps)

    # --- arrays -------------------------------------------------------------------------------

    def _image(self, header: Mapping[str, Any]) -> Array:
        value = header.get("image")
        if value is None:
            raise KeyError("image in the header")
        if isinstance(value, str) and not value.endswith(".npy"):
            return read_image(self._file(value)).gray
        array = self._raw("image", value)
        if array.dtype.kind in "iu" and array.size and 0 <= array.min() and array.max() <= 255:
            return array.astype(np.uint8)
        return array

    def _array(self, name: str, value: Any, records: Records) -> Array:
        array = self._raw(name, value)
        self._left -= array.nbytes
        if self._left < 0:
            raise ValueError(f"{self.place}: the arrays hold more than {MAX_BYTES} bytes")
        inline = isinstance(value, list)
        if inline and array.dtype.kind in "iu":
            array = array.astype(np.float64)  # JSON has but one kind of numbers
        if inline and array.dtype.kind == "f" and last_name(name) == "area":
            array = array.astype(np.float32)
        return as_float(name, array, records.said)

    def _raw(self, name: str, value: Any) -> Array:
        """An array as a line gives it: nested lists, the name of a ``.npy`` file, or an object for a raw file."""
        if isinstance(value, list):
            return _inline(self.place, name, value)
        if isinstance(value, str):
            return self._npy(name, value)
        if isinstance(value, dict) and isinstance(value.get("file"), str):
            if value["file"].endswith(".npy"):
                return self._npy(name, value["file"])
            return self._raw_file(name, value)
        raise ValueError(f"{self.place}: {name} is {short(value)}; expected a list, or the name of a file")

    def _file(self, name: str) -> Path:
        """A file of the folder by its name.

        Raises
        ------
        ValueError
            For a name that could lead elsewhere, a link, or something that is no file.
        """
        where = self.place
        if not _NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"{where}: file name {short(name)!r}; expected letters, digits and _ . - in this folder")
        path = self._folder
        for part in name.split("/"):
            path = path / part
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                raise _Missing(f"{name} is not there") from None
            if stat.S_ISLNK(mode):
                raise ValueError(f"{where}: {name} is a link; expected a file of this folder")
        if not stat.S_ISREG(mode):
            raise ValueError(f"{where}: {name} is not a file")
        return path

    def _bytes(self, name: str, part: tuple[int, int] | None = None) -> bytes:
        """What a file of the folder holds: all, or the part of an offset and a size, as far as it is there."""
        path = self._file(name)
        held = path.stat().st_size
        offset, size = (0, held) if part is None else (part[0], min(part[1], max(held - part[0], 0)))
        if size > self._left:
            raise ValueError(f"{self.place}: {name} holds {size} bytes; expected at most {MAX_BYTES} in all")
        with open_file(path, "a part of a trace", TraceFileError) as file:
            file.seek(offset)
            return file.read(size)

    def _npy(self, name: str, file: str) -> Array:
        data = self._bytes(file)
        if not data.startswith(_NPY_MAGIC[: len(data)]):
            raise ValueError(f"{self.place}: {file} is not a .npy file")
        head = 10 if data[6:7] == b"\x01" else 12
        length = int.from_bytes(data[8:head], "little")
        if len(data) < head + length:
            raise _Missing(f"{file} is torn")
        text = data[head : head + length].decode("latin-1")
        found = re.fullmatch(
            r"\{'descr': '([<>|=][a-z]\d+)', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), ?\}\s*", text
        )
        if found is None:
            raise ValueError(f"{self.place}: {file} holds no plain array of numbers")
        shape = [int(size) for size in found[3].replace(" ", "").split(",") if size]
        order = "F" if found[2] == "True" else "C"
        data = data[head + length :]
        kind = self._dtype(file, found[1], shape)
        self._expect(file, len(data), math.prod(shape) * kind.itemsize)
        return read_only(np.frombuffer(data, kind).reshape(shape, order=order))  # type: ignore[call-overload]

    def _raw_file(self, name: str, value: Mapping[str, Any]) -> Array:
        shape, dtype, order = value.get("shape"), value.get("dtype"), value.get("order", "C")
        good = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
        if not good or not isinstance(dtype, str) or order not in ("C", "F"):
            raise ValueError(
                f"{self.place}: {name} names a file without a dtype such as '<f4', a shape, or an order C or F"
            )
        assert isinstance(shape, list)
        file, offset = value["file"], value.get("offset")
        if offset is not None and (type(offset) is not int or not 0 <= offset <= _MAX_OFFSET):
            raise ValueError(f"{self.place}: {name} has offset {short(offset)}; expected a place in its file")
        kind = self._dtype(file, dtype, shape)
        size = math.prod(shape) * kind.itemsize
        data = self._bytes(file, None if offset is None else (offset, size))
        self._expect(file, len(data), size)
        return read_only(np.frombuffer(data, kind).reshape(shape, order=order))

    def _dtype(self, file: str, dtype: str, shape: list[int]) -> np.dtype[Any]:
        """A dtype of numbers, for an array of few dimensions."""
        if not re.fullmatch(r"[<>|=]?[fiub]\d{1,2}|float(16|32|64)|u?int(8|16|32|64)|bool", dtype):
            raise ValueError(f"{self.place}: {file} has dtype {short(dtype)}; expected numbers such as '<f4'")
        if len(shape) > _MAX_DIMENSIONS:
            raise ValueError(f"{self.place}: {file} has {len(shape)} dimensions; at most {_MAX_DIMENSIONS} have a use")
        try:
            return np.dtype(dtype)
        except TypeError:
            raise ValueError(f"{self.place}: {file} has dtype {short(dtype)}, which there is not") from None

    def _expect(self, file: str, found: int, size: int) -> None:
        if found < size:
            raise _Missing(f"{file} holds {found} bytes of {short(size)}")
        if found > size:
            raise ValueError(f"{self.place}: {file} holds {found} bytes; expected {size}")


def _flat(entry: Mapping[str, Any], place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of a line and its maps by name; groups may be objects, or names with a slash."""
    values: dict[str, Any] = {}
    maps: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ("mean_shift", "responses"):
            if value is not None and not isinstance(value, dict):
                raise ValueError(f"{place}: {key} is {short(value)}; expected an object")
            for name, item in (value or {}).items():
                (maps if key == "responses" else values)[name if key == "responses" else f"{key}/{name}"] = item
        elif key.startswith("responses/"):
            maps[key.removeprefix("responses/")] = value
        elif key not in ENTRY_KEYS:
            values[key] = value
    return values, maps


def _number(place: str, name: str, value: Any) -> float | None:
    if value is None or type(value) in (int, float):
        return None if value is None else float(value)
    raise ValueError(f"{place}: {name} is {short(value)}; expected a number")


def _inline(place: str, name: str, value: list[Any]) -> Array:
    """Nested lists of numbers as an array; null is NaN."""
    try:
        array = np.array(value)
        if array.dtype.kind == "O":
            if any(isinstance(item, (str, dict, bool)) for item in array.ravel()):
                raise ValueError
            array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{place}: {name} is no array of numbers with rows of equal length") from None
    if array.dtype.kind not in "fiub" or array.ndim > _MAX_DIMENSIONS:
        raise ValueError(f"{place}: {name} is no array of numbers of at most {_MAX_DIMENSIONS} dimensions")
    return array
