"""Folders of response maps: a binary file for each landmark, scale and window."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.errors import TraceFileError
from clnf_engine.imports.parts import Found, Maps
from clnf_engine.io.files import read_file
from clnf_engine.io.trace_parts import MAX_BYTES, MAX_LANDMARKS

_NAME = re.compile(r"response_lm(\d{1,4})_scale(\d{1,3}\.\d{1,6})_ws(\d{1,3})(?:_call(\d{1,9}))?\.bin")
_HEAD = 8
"""Bytes before the values: rows and columns, int32."""

_Key = tuple[float, int]


def is_response_folder(path: Path) -> bool:
    """Whether a folder has files of response maps."""
    return path.is_dir() and any(_NAME.fullmatch(name) for name in os.listdir(path))


def read_response_folder(folder: Path) -> Found:
    """The response maps of all stages, from those of scale 0.25 upwards; of several calls the first.

    Raises
    ------
    TraceFileError
        When a file is not what its name says; the byte is named.
    """
    found = Found(folder, "a folder of response maps")
    files: dict[_Key, dict[int, dict[int, Path]]] = {}
    others = 0
    for name in sorted(os.listdir(folder)):
        match = _NAME.fullmatch(name)
        if match is None:
            others += 1
            continue
        landmark, scale, window, call = int(match[1]), float(match[2]), int(match[3]), int(match[4] or 0)
        if landmark >= MAX_LANDMARKS:
            raise TraceFileError(folder / name, "", f"landmark {landmark}; expected less than {MAX_LANDMARKS}")
        files.setdefault((scale, window), {}).setdefault(call, {})[landmark] = folder / name
    n = 1 + max(max(maps) for calls in files.values() for maps in calls.values())
    if 8 * n * sum(window**2 for _, window in files) > MAX_BYTES:
        raise TraceFileError(folder, "", f"its maps hold more than {MAX_BYTES} bytes")
    for (scale, window), calls in sorted(files.items()):
        final = np.full((n, window, window), np.nan)
        for landmark, path in calls[min(calls)].items():
            final[landmark] = _map(path, window)
        found.maps.append(Maps(scale, window, final))
        if len(calls) > 1:
            left = ", ".join(str(call) for call in sorted(calls)[1:][:10])
            found.said.append(f"scale {scale:g}, window {window}: of {len(calls)} calls the first; left out: {left}")
    if others:
        found.said.append(f"{others} files of other names are left out")
    found.said.append("its maps are taken for the final ones, those that the mean-shift sees")
    stages = ", ".join(f"{maps.scale:g} × {maps.window}" for maps in found.maps)
    found.taken = f"maps of up to {n} landmarks in {len(found.maps)} stages (scale × window): {stages}"
    return found


def _map(path: Path, window: int) -> Floats:
    data = read_file(path, "a response map", _HEAD + 8 * 1000**2, TraceFileError)
    if len(data) < _HEAD:
        raise TraceFileError(path, f"byte {len(data)}", "it ends before the numbers of rows and columns, two int32")
    rows, columns = struct.unpack("<ii", data[:_HEAD])
    if (rows, columns) != (window, window):
        raise TraceFileError(path, "byte 0", f"{rows}×{columns} values; its name says {window}×{window}")
    if len(data) != _HEAD + 8 * rows * columns:
        expected = _HEAD + 8 * rows * columns
        raise TraceFileError(path, f"byte {min(len(data), expected)}", f"it has {len(data)} bytes; expected {expected}")
    return np.frombuffer(data, "<f8", offset=_HEAD).reshape(rows, columns)
