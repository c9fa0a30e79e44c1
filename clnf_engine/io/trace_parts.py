"""What the readers and the writer of traces share: names, limits, fields of JSON objects, and what they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.initial import Initial
from clnf_engine.options import FitOptions
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Step

FORMAT = "clnf-trace"
VERSION = 2
"""Of what is written; version 1 is read, too."""

MAX_BYTES = 1 << 31
"""That the arrays of a trace hold at most."""

MAX_STEPS = 100_000
MAX_LANDMARKS = 1000

ITERATION_PHASES = (Phase.RIGID, Phase.NONRIGID)
SHIFTS = tuple(one.name for one in fields(MeanShift))
RESPONSES = tuple(one.name for one in fields(ResponseMaps))
NUMBERS = ("update_norm", "shape_change", "likelihood")


@dataclass(frozen=True)
class TraceContent:
    """What a trace file holds; see `Trace` for the fields."""

    image: NDArray[np.uint8]
    model_name: str
    initial: Initial
    options: FitOptions
    steps: tuple[Step, ...]
    fingerprint: str = ""
    conventions: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    converted: tuple[str, ...] = ()


def field(entry: Mapping[str, Any], name: str, kind: type) -> Any:
    """A required value of a JSON object of a header, of the type it must have.

    Raises
    ------
    KeyError, ValueError
        When it is missing or of another type.
    """
    value = optional(entry, name, kind)
    if value is None:
        raise KeyError(f"{name} in the header")
    return value


def optional(entry: Mapping[str, Any], name: str, kind: type) -> Any:
    """A value of a JSON object of a header, of the type it must have, or None.

    Raises
    ------
    ValueError, OverflowError
        When it is of another type.
    """
    value = entry.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if value is not None and type(value) is not kind:
        raise ValueError(f"{name} in its header is {str(value)[:60]!r}; expected {kind.__name__}")
    return value


def checked_header(header: Any) -> dict[str, Any]:
    """A header that is a JSON object of this format and a version that can be read.

    Raises
    ------
    KeyError, ValueError
        When it is not.
    """
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its header names no format {FORMAT!r}")
    version = header["version"]
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(f"it has version {str(version)[:60]!r}; this program reads versions 1 and {VERSION}")
    return header
