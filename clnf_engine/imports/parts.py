"""What the readers of foreign files hand on: the moments of a fit, and response maps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.errors import TraceFileError
from clnf_engine.io.files import read_file
from clnf_engine.io.trace_arrays import short
from clnf_engine.io.trace_parts import MAX_STEPS

MAX_FILE = 1 << 28
"""Bytes of a file of text."""

_PHASES = {"rigid": "rigid", "nonrigid": "nonrigid", "non-rigid": "nonrigid", "non_rigid": "nonrigid"}
_PHASES |= {"0": "rigid", "1": "nonrigid"}


@dataclass
class Moment:
    """An iteration: where it stands in its file, and what that tells of it, by the names of a trace."""

    place: str
    phase: str
    window: int
    number: int
    values: dict[str, Any]


@dataclass
class Maps:
    """The final response maps of a stage, (n, w, w); rows of NaN for landmarks without one."""

    scale: float
    window: int
    final: Floats


@dataclass
class Found:
    """What one source holds.

    Attributes
    ----------
    path : Path
    kind : str
        What it is, in words.
    taken : str
        What was taken from it, in words.
    said : list of str
        What was left out or understood in one of several ways, sentences without a full stop.
    moments, maps
        Iterations in order, and groups of response maps.
    end : dict or None
        Values of the last moment, with `success`.
    notes : dict
        What has no place in a trace, as JSON.
    start : (p,) float64 or None
        Parameters before the first iteration.
    """

    path: Path
    kind: str
    taken: str = ""
    said: list[str] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    maps: list[Maps] = field(default_factory=list)
    end: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    start: Floats | None = None


def read_text(path: str | os.PathLike[str], expected: str) -> str:
    """The text of a file.

    Raises
    ------
    TraceFileError
        When it is missing, too large, or no text; the byte is named.
    """
    data = read_file(path, expected, MAX_FILE, TraceFileError)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceFileError(path, f"byte {error.start}", f"expected {expected}, found binary data") from None
    if "\0" in text:
        raise TraceFileError(path, f"byte {text.index(chr(0))}", f"expected {expected}, found binary data")
    return text


def text_lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Number from 1, text and whether it may be torn, of every line that is not blank."""
    lines = text.split("\n")
    last = max((k for k, line in enumerate(lines) if line.strip()), default=0)
    whole = text.endswith("\n")
    for k, line in enumerate(lines):
        if line.strip():
            yield k + 1, line.strip(), k == last and not whole


def phase_of(path: Path, place: str, value: Any) -> str:
    """The name of a phase, however it is written.

    Raises
    ------
    TraceFileError
        When it is none.
    """
    name = _PHASES.get(str(value).strip().lower())
    if name is None:
        raise TraceFileError(path, place, f"phase is {short(value)!r}; expected rigid or nonrigid")
    return name


def settle(found: Found) -> None:
    """Tell parameters before an update from those after it, and count the iterations of every phase from 1.

    The parameters of a line are those after its update when it is the step from the line before that is as long as the
    line says, ``update_norm``; those before it when it is the step to the next line.
    """
    moments = found.moments
    if not moments:
        raise TraceFileError(found.path, "", f"{found.kind} without an iteration")
    if len(moments) > MAX_STEPS:
        raise TraceFileError(found.path, "", f"{len(moments)} iterations; expected at most {MAX_STEPS}")
    if _are_before(moments):
        found.said.append("its parameters are those before the update: they were moved to the iteration before")
        found.start = moments[0].values["params"]
        for moment, following in zip(moments, (*moments[1:], None), strict=True):
            moment.values["params"] = None if following is None else following.values["params"]
    counted = 0
    numbers = [moment.number for moment in moments]
    for moment, before in zip(moments, (None, *moments[:-1]), strict=True):
        same = before is not None and (before.phase, before.window) == (moment.phase, moment.window)
        counted = counted + 1 if same else 1
        moment.number = counted
    if numbers != [moment.number for moment in moments]:
        found.said.append("iterations are counted from 1 in every phase")


def _are_before(moments: Sequence[Moment]) -> bool:
    """Whether the steps between the parameters belong to the line in front of them."""
    sums = {0: 0.0, 1: 0.0}
    for k, (one, other) in enumerate(itertools.pairwise(moments)):
        for offset, moment in ((1, other), (0, one)):
            norm = moment.values.get("update_norm")
            if norm is None or not np.isfinite(norm) or k == 0 or k == len(moments) - 2:
                continue
            size = 6 if moment.phase == "rigid" else None
            step = float(np.linalg.norm((other.values["params"] - one.values["params"])[:size]))
            sums[offset] += abs(step - norm) / (norm + 1e-12)
    return sums[0] < sums[1]


def summary(moments: Sequence[Moment]) -> str:
    """How many iterations, and which values they have."""
    names = dict.fromkeys(name for moment in moments for name, value in moment.values.items() if value is not None)
    return f"{len(moments)} iterations: {', '.join(names)}"
