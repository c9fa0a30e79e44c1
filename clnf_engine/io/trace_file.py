"""The trace file: ``.npz`` arrays with a JSON header, no pickle, or a folder. Format: ``docs/trace-format.md``."""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, DType, read_only
from clnf_engine.errors import ClnfError, TraceFileError
from clnf_engine.io import trace_version1
from clnf_engine.io.files import open_file, reason, replacing
from clnf_engine.io.trace_arrays import MAPS, ROWS, Record, Records, Said, as_float, short
from clnf_engine.io.trace_folder import folder_of, read_folder
from clnf_engine.io.trace_parts import (
    FORMAT,
    ITERATION_PHASES,
    MAX_BYTES,
    NUMBERS,
    RESPONSES,
    VERSION,
    TraceContent,
    checked_header,
    field,
)
from clnf_engine.io.trace_records import content_of, stages_of
from clnf_engine.steps import Phase, Stage, Step, numbered_maps, numbers_of

_LARGE_ROWS = ("jacobian", "hessian")
"""Values of an iteration that a Recording may have to compute again."""

_KNOWN = re.compile(
    f"header|image|(initial_)?params|landmarks|{'|'.join(NUMBERS)}"
    f"|({'|'.join(ITERATION_PHASES)})/({'|'.join(ROWS)})|responses/-?[0-9]+/({'|'.join({*MAPS, *RESPONSES})})"
)
"""Names of arrays that may be there."""

_MAX_HEADER = 1 << 26
"""Bytes of a header; NumPy's texts take four per character."""


# --- writing --------------------------------------------------------------------------------------


def write_trace(path: str | os.PathLike[str], content: TraceContent, steps: Sequence[Step]) -> None:
    """Write a trace file, whole or not at all.

    Response maps, Jacobians and Hessians are in memory one Step after the other, and no longer than that when a
    Recording computes them again.

    Parameters
    ----------
    path : path-like
    content : TraceContent
        All but its `steps` and what was `converted`.
    steps : sequence of Step

    Raises
    ------
    TraceFileError
        When the file cannot be written, or would be larger than `read_trace` accepts.
    """
    numbers, map_numbers = numbers_of(steps), numbered_maps(steps)
    initial = content.initial
    arrays: dict[str, Array] = {
        "header": np.array(json.dumps(_header_of(content, numbers, map_numbers), ensure_ascii=False)),
        "image": content.image,
        **({"initial_params": initial.params} if initial.known else {}),
        "params": np.stack([step.params for step in numbers]),
        "landmarks": np.stack([step.landmarks for step in numbers]),
    }
    for name in NUMBERS:
        values = [getattr(step, name) for step in numbers]
        arrays[name] = np.array([np.nan if value is None else value for value in values])
    for phase in ITERATION_PHASES:
        arrays |= _phase_arrays(phase, [step for step in numbers if step.phase is phase])
    try:
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, array in arrays.items():
                _write_array(path, archive, name, array.dtype, array.shape, [array])
            for k, index in enumerate(_firsts(map_numbers)):
                maps = steps[index].responses
                for name in RESPONSES:
                    array = getattr(maps, name)
                    if array is not None:
                        _write_array(path, archive, f"responses/{k}/{name}", array.dtype, array.shape, [array])
            for phase in ITERATION_PHASES:
                for name in _LARGE_ROWS:
                    _write_rows(path, archive, phase, name, steps)
    except (OSError, ValueError) as problem:
        raise TraceFileError(path, "", f"cannot be written ({reason(problem)})") from problem


def _header_of(content: TraceContent, numbers: Sequence[Step], map_numbers: Sequence[int | None]) -> dict[str, Any]:
    initial = content.initial
    stages = list(dict.fromkeys(step.stage for step in numbers if step.stage is not None))
    source = {"source": initial.source, "box": initial.box, "seed": initial.seed} if initial.known else None
    extras = {
        "model_fingerprint": content.fingerprint,
        "conventions": list(content.conventions),
        "notes": {name: json.loads(text) for name, text in content.notes},
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": content.model_name,
        **{key: value for key, value in extras.items() if value},
        "options": content.options.to_json(),
        "initial": source,
        "stages": [_stage_entry(stage) for stage in stages],
        "steps": [
            {
                "phase": step.phase,
                "stage": None if step.stage is None else stages.index(step.stage),
                "iteration": step.iteration,
                "responses": map_number,
                "converged": step.converged,
                "success": step.success,
                "message": step.message,
            }
            for step, map_number in zip(numbers, map_numbers, strict=True)
        ],
    }


def _stage_entry(stage: Stage) -> dict[str, Any]:
    """A stage as JSON; null for numbers that are not known."""
    values = asdict(stage).items()
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values}


def _firsts(numbers: Sequence[int | None]) -> Iterator[int]:
    """Where 0, 1, 2, … first occur in a sequence that brings them in this order."""
    count = 0
    for index, number in enumerate(numbers):
        if number == count:
            yield index
            count += 1


def _phase_arrays(phase: Phase, steps: list[Step]) -> dict[str, Array]:
    """What the iterations of a phase hold, stacked, but for `_LARGE_ROWS`; rows of NaN where a value is missing."""
    arrays = {}
    for name in ROWS:
        group, _, attribute = name.rpartition("/")
        if name in ("params", "landmarks", *_LARGE_ROWS):
            continue
        holders = [getattr(step, group) if group else step for step in steps]
        rows = [getattr(holder, attribute, None) for holder in holders]
        present = next((row for row in rows if row is not None), None)
        if present is not None:
            missing = np.full(present.shape, np.nan, np.result_type(present.dtype, np.float32))
            arrays[f"{phase}/{name}"] = np.stack([missing if row is None else row for row in rows])
    return arrays


def _write_rows(
    path: str | os.PathLike[str], archive: zipfile.ZipFile, phase: Phase, name: str, steps: Sequence[Step]
) -> None:
    """A large array of all iterations of a phase, stacked, one row in memory at a time."""
    numbers = numbers_of(steps)
    indices = [index for index, step in enumerate(numbers) if step.phase is phase]
    present = next((index for index in indices if numbers[index].has(name)), None)
    if present is not None:
        like = getattr(steps[present], name)
        missing = np.full_like(like, np.nan)
        rows = (getattr(steps[k], name) if numbers[k].has(name) else missing for k in indices)
        _write_array(path, archive, f"{phase}/{name}", like.dtype, (len(indices), *like.shape), rows)


def _write_array(
    path: str | os.PathLike[str],
    archive: zipfile.ZipFile,
    name: str,
    dtype: DType,
    shape: tuple[int, ...],
    parts: Iterable[Array],
) -> None:
    """An array in ``.npy`` form, in parts that follow one another in memory order."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)
    if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
        raise TraceFileError(path, "", f"would hold more than {MAX_BYTES} bytes; a shorter run can be saved")


# --- reading --------------------------------------------------------------------------------------


def read_trace(path: str | os.PathLike[str]) -> TraceContent:
    """Read a trace file, or the folder of one; nothing in it is executed.

    Raises
    ------
    TraceFileError
        When it is missing, truncated, foreign, of another version, or its arrays do not fit together.
    """
    folder = folder_of(path)
    if folder is not None:
        return read_folder(folder)
    arrays, unknown = _read_arrays(path)
    try:
        header = _header(arrays)
        if header["version"] == 1:
            return trace_version1.content(arrays, header)
        return content_of(_records(arrays, unknown, header))
    except KeyError as error:
        raise TraceFileError(path, "", f"{error.args[0]} is missing") from error
    except (ValueError, OverflowError, ClnfError, RecursionError) as error:
        raise TraceFileError(path, "", f"not a valid trace: {error}") from error


def _read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Array], list[str]]:
    """The arrays whose names the format knows, and the names of the others, which are not read."""
    try:
        with open_file(path, "a trace", TraceFileError) as file, zipfile.ZipFile(file) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
            known = dict.fromkeys(name for name in sizes if _KNOWN.fullmatch(name))
            size = sum(info.file_size for info in archive.infolist() if info.filename.removesuffix(".npy") in known)
            if size > MAX_BYTES:
                raise TraceFileError(path, "", f"holds {size} bytes; expected at most {MAX_BYTES}")
            if sizes.get("header", 0) > _MAX_HEADER:
                raise TraceFileError(
                    path, "", f"has a header of {sizes['header']} bytes; expected at most {_MAX_HEADER}"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as members:
                arrays = {name: members[name] for name in known}
    except TraceFileError:
        raise
    except OSError as error:
        raise TraceFileError(path, "", f"cannot be read ({reason(error)})") from error
    except Exception as error:  # whatever zipfile's and NumPy's parsers stumble over, the file is no trace
        problem = str(error).partition("\n")[0][:200]
        raise TraceFileError(path, "", f"expected a trace in .npz form ({problem})") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TraceFileError(path, "", f"expected a trace in .npz form, but {name} is not an array")
        read_only(array)
    return arrays, sorted(set(sizes) - set(known))


def _header(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The JSON header, from a text array or from UTF-8 bytes."""
    array = arrays["header"]
    header = json.loads(array.tobytes().decode() if array.dtype == np.uint8 else str(array))
    return checked_header(header)


def _records(arrays: Mapping[str, Array], unknown: Sequence[str], header: Mapping[str, Any]) -> Records:
    """What the arrays of a version 2 archive tell of every step."""
    entries = field(header, "steps", list)
    for k, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"step {k} in its header is not a JSON object")
    records = Records(
        header=header,
        image=arrays["image"],
        initial_params=None,
        steps=[Record(f"step {k}", entry, {}) for k, entry in enumerate(entries)],
        maps={},
        stages=stages_of(header, entries),
    )
    said, used = records.said, {"header", "image", "initial_params"}
    if "initial_params" in arrays:
        records.initial_params = as_float("initial_params", arrays["initial_params"], said).astype(np.float64)
    for name in ("params", "landmarks", *NUMBERS):
        used |= _take_rows(arrays, name, name, records.steps, said)
    for phase in ITERATION_PHASES:
        steps = [record for record in records.steps if record.entry.get("phase") == phase]
        for name in ROWS:
            if name not in ("params", "landmarks"):
                used |= _take_rows(arrays, f"{phase}/{name}", name, steps, said)
    used |= _take_maps(arrays, records)
    for name in sorted({*unknown, *arrays} - used):
        said.say(f"array {short(name)} is not known and left out")
    return records


def _take_rows(arrays: Mapping[str, Array], name: str, value: str, steps: Sequence[Record], said: Said) -> set[str]:
    """Give every step its row of an array, and tell the name of the array; nothing where there is none."""
    if name not in arrays:
        return set()
    array = as_float(name, arrays[name], said)
    if array.ndim == 0 or len(array) != len(steps) or (value in NUMBERS and array.ndim != 1):
        raise ValueError(f"{name} has shape {short(array.shape)}; expected {len(steps)} rows, one of each such step")
    for record, row in zip(steps, array, strict=True):
        record.values[value] = row
    return {name}


def _take_maps(arrays: Mapping[str, Array], records: Records) -> set[str]:
    """The groups of maps that steps name, and the names of their arrays."""
    used = set()
    for record in records.steps:
        key = record.entry.get("responses")
        if key is None:
            continue
        if type(key) is not int:
            raise ValueError(f"{record.place}: responses is {short(key)}; expected a whole number")
        record.maps = key
        if key not in records.maps:
            place = f"responses/{short(key)}"
            names = {name: f"{place}/{name}" for name in MAPS if f"{place}/{name}" in arrays}
            found = {name: as_float(full, arrays[full], records.said) for name, full in names.items()}
            records.maps[key] = place, found
            used |= set(names.values())
            if not found:
                records.said.say(f"{place} is named by a step, but not there")
    return used
