"""Tables of text: OpenFace's CSV of images and videos, and ``cpp_trace.txt``, a line per iteration."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.errors import TraceFileError
from clnf_engine.imports.parts import Found, Moment, phase_of, read_text, settle, summary, text_lines
from clnf_engine.io.trace_arrays import short
from clnf_engine.io.trace_parts import MAX_LANDMARKS, MAX_PARAMETERS

_GLOBAL = ("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty")
_DECIMALS = 6
_TRACE = ("iter", "phase", "ws", "mean_shift_norm", "update_mag", "jwtm_norm", "scale", "rx", "ry", "rz", "tx", "ty")


def is_openface_csv(text: str) -> bool:
    """Whether a text begins like OpenFace's output."""
    names = {name.strip() for name in text.partition("\n")[0].split(",")}
    return bool({"x_0", "p_scale"} & names)


def is_cpp_trace(text: str) -> bool:
    """Whether a text begins like a ``cpp_trace.txt``, with its header or a line of numbers."""
    words = next(iter(text_lines(text)), (0, "", False))[1].lstrip("# ").replace(",", " ").split()
    return words[:3] == list(_TRACE[:3]) or (len(words) >= 5 and words[0].isdecimal() and words[2].isdecimal())


# --- OpenFace's CSV ---------------------------------------------------------------------------------


def read_openface_csv(path: Path, row: int | None = None) -> Found:
    """The end of a fit: landmarks and parameters of a face of an image, or of a frame of a video.

    Parameters
    ----------
    path : Path
    row : int, optional
        Counted from 1 without the header; by default the first whose ``success`` is 1, or the first.

    Raises
    ------
    TraceFileError
        When the file is none of these; the line is named.
    """
    expected = "a CSV of OpenFace"
    lines = list(text_lines(read_text(path, expected)))
    cells = [(number, _cells(path, number, line), torn) for number, line, torn in lines]
    names = cells[0][1] if cells else []
    if not {"x_0", "p_scale"} & set(names):
        raise TraceFileError(path, "line 1", f"expected the columns of {expected}, x_0 … or p_scale …")
    found = Found(path, "OpenFace's CSV of a video" if "timestamp" in names else "OpenFace's CSV of an image")
    rows = cells[1:]
    if rows and rows[-1][2] and len(rows[-1][1]) < len(names):
        found.said.append(f"the last line, line {rows[-1][0]}, is torn and left out")
        rows.pop()
    for number, fields, _ in rows:
        if len(fields) != len(names):
            raise TraceFileError(path, f"line {number}", f"{len(fields)} fields; expected {len(names)} as in line 1")
    if not rows:
        raise TraceFileError(path, f"line {len(lines)}", "no whole row; expected one with landmarks")
    number, values = _chosen(path, [(line, dict(zip(names, fields, strict=True))) for line, fields, _ in rows], row)
    found.end, used = _end(path, number, names, values)
    if {"landmarks", "params"} <= found.end.keys() and not _exact(values["p_tx"], values["x_0"]):
        found.notes["params"] = [None if math.isnan(value) else value for value in found.end.pop("params").tolist()]
        found.said.append(
            "its numbers are rounded too much to compare params with landmarks; params are among its notes"
        )
    frame = f", frame {short(values['frame'])}" if "frame" in values else ""
    found.taken = f"line {number}{frame}: {', '.join(name for name in ('landmarks', 'params') if name in found.end)}"
    if len(rows) > 1:
        found.said.append(
            f"it has {len(rows)} rows, of which a trace is one: line {number}; another is told by its row"
        )
    groups = dict.fromkeys(_group(name) for name in names if name not in used)
    if groups:
        found.said.append(f"without a place in a trace: {', '.join(groups)}")
    return found


def _chosen(path: Path, rows: Sequence[tuple[int, dict[str, str]]], row: int | None) -> tuple[int, dict[str, str]]:
    if row is None:
        return next((one for one in rows if one[1].get("success") in ("1", "1.0")), rows[0])
    if not 1 <= row <= len(rows):
        raise TraceFileError(path, "", f"row {row} is asked for; it has rows 1 to {len(rows)}")
    return rows[row - 1]


def _end(path: Path, line: int, names: Sequence[str], values: dict[str, str]) -> tuple[dict[str, Any], set[str]]:
    """The values of the last moment, and the columns they are from."""

    def numbers(columns: Sequence[str]) -> list[float]:
        return [_number(path, line, name, values.get(name)) for name in columns]

    end: dict[str, Any] = {"success": values.get("success", "1") in ("1", "1.0")}
    used = {"success"}
    count = sum(name.startswith("x_") and name[2:].isdecimal() for name in names)
    if 0 < count <= MAX_LANDMARKS:
        columns = [f"{axis}_{k}" for axis in "xy" for k in range(count)]
        end["landmarks"] = np.array(numbers(columns)).reshape(2, count).T
        used |= set(columns)
    modes = sum(name.startswith("p_") and name[2:].isdecimal() for name in names)
    if "p_scale" in names and modes < MAX_PARAMETERS:
        columns = [*_GLOBAL, *(f"p_{k}" for k in range(modes))]
        end["params"] = np.array(numbers(columns))
        used |= set(columns)
    return end, used


def _cells(path: Path, number: int, line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line]))]
    except csv.Error as error:
        raise TraceFileError(path, f"line {number}", f"cannot be read ({error})") from None


def _number(path: Path, line: int, name: str, text: str | None) -> float:
    try:
        value = float(text if text is not None else "no such column")
    except ValueError:
        found = "there is no such column" if text is None else f"found {short(text)!r}"
        raise TraceFileError(path, f"line {line}, column {name}", f"{found}; expected a number") from None
    return value if math.isfinite(value) else math.nan


def _exact(*texts: str) -> bool:
    """Whether numbers are written with as many decimals as a check needs."""
    return all("e" in text.lower() or len(text.partition(".")[2]) >= _DECIMALS for text in texts)


def _group(name: str) -> str:
    """Columns that are counted are one."""
    stem, _, last = name.rpartition("_")
    return f"{stem}_…" if last.isdecimal() and stem else name


# --- cpp_trace.txt ----------------------------------------------------------------------------------


def read_cpp_trace(path: Path) -> Found:
    """Iterations with their parameters and the size of their update.

    Raises
    ------
    TraceFileError
        When the file is none of these; the line is named.
    """
    found = Found(path, "a trace of iterations, cpp_trace.txt")
    norms: dict[str, list[float]] = {"mean_shift_norm": [], "jwtm_norm": []}
    width = 0
    for number, line, torn in text_lines(read_text(path, found.kind)):
        words = line.replace(",", " ").split()
        if line.startswith("#") or words[0] == "iter":
            continue
        if torn and width and len(words) < width:
            found.said.append(f"the last line, line {number}, is torn and left out")
            break
        width = width or len(words)
        if len(words) != width or width < len(_TRACE) or width > MAX_PARAMETERS:
            wanted = (
                f"{width}, as in the lines before" if width >= len(_TRACE) and len(words) != width else "12 or more"
            )
            raise TraceFileError(path, f"line {number}", f"{len(words)} words; expected {wanted}: {' '.join(_TRACE)} …")
        found.moments.append(_iteration(path, number, words, norms))
    settle(found)
    found.notes.update(norms)
    found.said.append("mean_shift_norm and jwtm_norm have no place in a trace; they are among its notes")
    found.taken = summary(found.moments)
    return found


def _iteration(path: Path, line: int, words: Sequence[str], norms: dict[str, list[float]]) -> Moment:
    place = f"line {line}"
    phase = phase_of(path, place, words[1])
    numbers = [_number(path, line, _column(k), word) for k, word in enumerate(words) if k != 1]
    number, window, mean_shift, update, gradient, *params = numbers
    if not (number >= 0 and number == int(number)) or not (0 < window < 1000 and window == int(window)):
        raise TraceFileError(path, place, f"iter {short(words[0])}, ws {short(words[2])}; expected whole numbers")
    norms["mean_shift_norm"].append(mean_shift)
    norms["jwtm_norm"].append(gradient)
    return Moment(place, phase, int(window), int(number), {"params": np.array(params), "update_norm": update})


def _column(k: int) -> str:
    return _TRACE[k] if k < len(_TRACE) else f"p{k - len(_TRACE)}"
