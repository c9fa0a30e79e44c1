"""Sources of any kind, alone or together, as one trace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array
from clnf_engine.errors import ClnfError, FileError, TraceFileError
from clnf_engine.imports.history import is_history, read_history
from clnf_engine.imports.parts import Found, Maps, read_text
from clnf_engine.imports.response_files import is_response_folder, read_response_folder
from clnf_engine.imports.tables import is_cpp_trace, is_openface_csv, read_cpp_trace, read_openface_csv
from clnf_engine.io.files import open_file
from clnf_engine.io.images import read_image
from clnf_engine.io.trace_arrays import Record, Records
from clnf_engine.io.trace_folder import LINES, folder_of
from clnf_engine.io.trace_records import content_of
from clnf_engine.trace import Trace

EXPECTED = (
    "a trace, a CSV of OpenFace, a cpp_trace.txt, an iteration_history as JSON, or a folder of response_lm….bin files"
)
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
_LARGEST = 4096
"""Pixels of a side of an image that stands in for one that is not known."""


@dataclass(frozen=True)
class Imported:
    """A trace that was made from files of other programs.

    Attributes
    ----------
    trace : Trace
        What was left out, or understood in one of several ways, is in its `converted`.
    taken : tuple of (str, str, str)
        Of every source its path, what it is, and what was taken from it.
    """

    trace: Trace
    taken: tuple[tuple[str, str, str], ...]


def can_import(path: str | os.PathLike[str]) -> bool:
    """Whether a file or folder looks like a source that is not a trace yet; nothing is said of what is in it."""
    path = Path(path)
    try:
        if path.is_dir():
            return folder_of(path) is None and is_response_folder(path)
        if path.suffix.lower() not in (".csv", ".txt", ".json") or not path.is_file():
            return False
        with open_file(path, EXPECTED) as file:
            return _kind(file.read(1 << 14).decode("utf-8", "replace")) is not None
    except (OSError, FileError):  # whoever opens it will say so
        return False


def import_trace(
    sources: Sequence[str | os.PathLike[str]], image: str | os.PathLike[str] | None = None, row: int | None = None
) -> Imported:
    """Make a trace of what other programs print of their fits.

    Parameters
    ----------
    sources : sequence of path-like
        A trace (file or folder); or of one fit any of: OpenFace's CSV, a ``cpp_trace.txt`` or an ``iteration_history``,
        and a folder of response maps.
    image : path-like, optional
        What was fitted. Without it, an image of the name of a source beside it; without that, an empty one.
    row : int, optional
        Of the CSV, from 1.

    Raises
    ------
    TraceFileError
        When a source is none of these, or not whole; the line or byte is named.
    ImageFileError
        When the image cannot be read.
    """
    paths = [Path(source) for source in sources]
    traces = [path for path in paths if _is_trace(path)]
    if traces:
        return _of_trace(traces[0], paths, image)
    found = [_read(path, row) for path in paths]
    for name, several in (
        ("iterations", [one for one in found if one.moments]),
        ("response maps", [one for one in found if one.maps]),
        ("results", [one for one in found if one.end is not None]),
    ):
        if len(several) > 1:
            raise TraceFileError(several[1].path, "", f"a second source of {name}; expected one, of the same fit")
    if row is not None and all(one.end is None for one in found):
        raise ClnfError("a row is asked for, but no source is a CSV")
    trace = _trace(found, image)
    return Imported(trace, tuple((str(one.path), one.kind, one.taken) for one in found))


def _is_trace(path: Path) -> bool:
    return folder_of(path) is not None or path.suffix.lower() == ".npz" or path.name == LINES


def _of_trace(trace: Path, paths: Sequence[Path], image: str | os.PathLike[str] | None) -> Imported:
    if len(paths) > 1:
        raise TraceFileError(trace, "", "a whole trace; expected no other source beside it")
    found = Trace.load(trace)
    if image is not None:
        found = replace(found, image=read_image(image).gray)
    return Imported(found, ((str(trace), "a trace", f"{len(found.steps)} steps"),))


def _kind(text: str) -> Any:
    """The reader for a text, by how it begins; None when there is none."""
    if is_history(text):
        return read_history
    if is_openface_csv(text):
        return read_openface_csv
    return read_cpp_trace if is_cpp_trace(text) else None


def _read(path: Path, row: int | None) -> Found:
    if path.is_dir():
        if not is_response_folder(path):
            raise TraceFileError(path, "", f"a folder; expected {EXPECTED}")
        return read_response_folder(path)
    reader = _kind(read_text(path, EXPECTED))
    if reader is None:
        raise TraceFileError(path, "line 1", f"expected {EXPECTED}")
    found: Found = reader(path, row) if reader is read_openface_csv else reader(path)
    return found


# --- one trace --------------------------------------------------------------------------------------


def _trace(found: Sequence[Found], image: str | os.PathLike[str] | None) -> Trace:
    start = next((one.start for one in found if one.start is not None), None)
    notes = {"imported from": [one.path.name for one in found]}
    for one in found:
        notes |= one.notes
    header = {"format": "clnf-trace", "version": 2, "notes": notes}
    records = Records(header, np.zeros((1, 1), np.uint8), start, [], {}, {})
    for one in found:
        for line in one.said:
            records.said.say(line if len(found) == 1 else f"{one.path.name}: {line}")
    if start is not None:
        records.steps.append(Record("start", {"phase": "initial"}, {"params": start}))
    maps = [group for one in found for group in one.maps]
    _add_iterations(records, found, maps)
    for group in maps:  # those of no iteration's window
        _add_stage(records, group.window, group, "maps")
    for end in [one.end for one in found if one.end is not None]:
        values = {name: value for name, value in end.items() if name != "success"}
        records.steps.append(Record("result", {"phase": "end", "success": end["success"]}, values))
    records.image = _image(records, found, image)
    try:
        return Trace(**vars(content_of(records)))
    except (KeyError, ValueError, OverflowError) as error:
        raise TraceFileError(found[0].path, "", f"the sources do not fit together: {error.args[0]}") from error


def _add_iterations(records: Records, found: Sequence[Found], maps: list[Maps]) -> None:
    """Add all iterations; a stage begins where the window changes, or a rigid phase follows a non-rigid one."""
    before: tuple[str, int] | None = None
    for moment in [moment for one in found for moment in one.moments]:
        now = moment.phase, moment.window
        if before is None or now[1] != before[1] or (now[0] == "rigid" and before[0] != "rigid"):
            group = next((group for group in maps if group.window == moment.window), None)
            if group is not None:
                maps.remove(group)
            _add_stage(records, moment.window, group, moment.place)
        before = now
        stage = len(records.stages) - 1
        entry = {"phase": moment.phase, "stage": stage, "iteration": moment.number}
        values = {name: value for name, value in moment.values.items() if value is not None}
        records.steps.append(Record(moment.place, entry, values, stage if stage in records.maps else None))


def _add_stage(records: Records, window: int, group: Maps | None, place: str) -> None:
    stage = len(records.stages)
    records.stages[stage] = {"index": stage, "window": window}
    if group is not None:
        records.stages[stage]["scale"] = group.scale
        records.maps[stage] = place, {"final": group.final}
    moved = records.steps[-1].values.get("params") if records.steps else None
    values = {} if moved is None else {"params": moved}  # maps move nothing
    entry = {"phase": "responses", "stage": stage}
    records.steps.append(Record(place, entry, values, None if group is None else stage))


# --- the image --------------------------------------------------------------------------------------


def _image(records: Records, found: Sequence[Found], image: str | os.PathLike[str] | None) -> NDArray[np.uint8]:
    """What was fitted: as told, else of a source's name beside it, else grey and as large as the landmarks need."""
    beside = [one.path.with_suffix(suffix) for one in found for suffix in _PICTURES if not one.path.is_dir()]
    path = image or next((path for path in beside if path.is_file()), None)
    if path is not None:
        if image is None:
            records.said.say(f"the image is {Path(path).name}, which lies beside it")
        return read_image(path).gray
    width, height = _extent(records)
    records.said.say(f"no image is given: grey of {width} x {height} px stands in, and nothing of it can be checked")
    return np.full((height, width), 128, np.uint8)


def _extent(records: Records) -> tuple[int, int]:
    points: list[Array] = [np.array([[639.0, 479.0]])]
    for record in records.steps:
        points += [record.values["landmarks"]] if "landmarks" in record.values else []
        points += [record.values["params"][None, 4:6]] if "params" in record.values else []
    with np.errstate(invalid="ignore"):
        largest = np.nanmax(np.concatenate(points), axis=0)
    width, height = np.clip(largest + 1, 1, _LARGEST).astype(int).tolist()
    return width, height
