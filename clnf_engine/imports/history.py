"""``iteration_history``: the list of dictionaries that a fit in Python returns, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.errors import TraceFileError
from clnf_engine.imports.parts import Found, Moment, phase_of, read_text, settle, summary
from clnf_engine.io.trace_arrays import short
from clnf_engine.io.trace_parts import MAX_LANDMARKS, MAX_PARAMETERS
from clnf_engine.options import finite

_TAKEN = {"iteration", "phase", "window_size", "update_magnitude", "params", "landmarks"}

_MOST_OTHERS = 50
"""Other numbers of an iteration that become notes."""


def is_history(text: str) -> bool:
    """Whether a text is JSON that can hold iterations; a session of the window is another object."""
    start = text.lstrip()[:4096]
    return start.startswith("[") or '"iteration_history"' in start


def read_history(path: Path) -> Found:
    """Iterations with their parameters, the size of their update, and landmarks where they have them.

    Raises
    ------
    TraceFileError
        When the file is none of these; the line, or the entry of the list from 1, is named.
    """
    found = Found(path, "an iteration_history")
    text = read_text(path, found.kind)
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise TraceFileError(path, f"line {error.lineno}, column {error.colno}", f"not JSON ({error.msg})") from None
    except (ValueError, RecursionError):
        raise TraceFileError(path, "line 1", "not JSON that can be read") from None
    if isinstance(entries, dict):
        entries = entries.get("iteration_history")
    if not isinstance(entries, list) or not entries:
        raise TraceFileError(path, "line 1", "expected a list of iterations, or an object with iteration_history")
    others: dict[str, list[float | None]] = {}
    left: dict[str, None] = {}
    for k, entry in enumerate(entries):
        found.moments.append(_moment(path, f"entry {k + 1}", entry))
        for name, value in entry.items():
            if name in _TAKEN:
                continue
            if type(value) in (int, float) and (name in others or len(others) < _MOST_OTHERS):
                others.setdefault(name, [None] * len(entries))[k] = finite(value)
            else:
                left[short(name)] = None
    sizes = {moment.values["params"].shape for moment in found.moments}
    if len(sizes) > 1:
        raise TraceFileError(path, "", f"its params have {len(sizes)} lengths; expected one")
    settle(found)
    found.notes.update(others)
    if others:
        found.said.append(f"{', '.join(others)} have no place in a trace; they are among its notes")
    if left:
        found.said.append(f"without a place in a trace: {', '.join(left)}")
    found.taken = summary(found.moments)
    return found


def _moment(path: Path, place: str, entry: Any) -> Moment:
    if not isinstance(entry, dict):
        raise TraceFileError(path, place, f"found {short(entry)!r}; expected an object of an iteration")
    number, window = entry.get("iteration"), entry.get("window_size")
    if type(window) is not int or not 0 < window < 1000:
        raise TraceFileError(path, place, f"window_size is {short(window)}; expected a whole number")
    values: dict[str, Any] = {"params": _array(path, place, "params", entry.get("params"))}
    if values["params"].ndim != 1 or not 6 <= values["params"].size <= MAX_PARAMETERS:
        raise TraceFileError(path, place, "params are no list of 6 numbers or more")
    update = entry.get("update_magnitude")
    if update is not None:
        values["update_norm"] = float(_array(path, place, "update_magnitude", update).reshape(-1)[0])
    if entry.get("landmarks") is not None:
        landmarks = _array(path, place, "landmarks", entry["landmarks"])
        if landmarks.ndim != 2 or landmarks.shape[1] != 2 or len(landmarks) > MAX_LANDMARKS:
            raise TraceFileError(path, place, "landmarks are no list of points [x, y]")
        values["landmarks"] = landmarks
    phase = phase_of(path, place, entry.get("phase"))
    return Moment(place, phase, window, number if type(number) is int else 0, values)


def _array(path: Path, place: str, name: str, value: Any) -> Floats:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.size == 0 or value is None or array.ndim > 2:
        raise TraceFileError(path, place, f"{name} is {short(value)}; expected numbers")
    return array
