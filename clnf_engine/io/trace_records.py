"""Traces of version 2, whichever form their file has: from what it tells of every step to Steps.

Any subset of values, landmarks and iterations will do. What had to be converted or left out is told in `Said`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any

import numpy as np

from clnf_engine.arrays import FLOAT64, Array, DType, Floats, read_only
from clnf_engine.initial import Initial, box_around
from clnf_engine.io.trace_parts import (
    ITERATION_PHASES,
    MAX_BYTES,
    MAX_LANDMARKS,
    MAX_STEPS,
    NUMBERS,
    RESPONSES,
    SHIFTS,
    TraceContent,
    optional,
)
from clnf_engine.options import FitOptions, Source, option_defaults
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step

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
_BOOLS = {"clamped", "mean_shift/empty", "visible"}
ENTRY_KEYS = {"phase", "stage", "iteration", "responses", "converged", "success", "message"}
_HEADER_KEYS = {
    "format",
    "version",
    "model",
    "model_fingerprint",
    "conventions",
    "notes",
    "options",
    "initial",
    "start",
}
_HEADER_KEYS |= {"stages", "steps", "landmark_indices", "n_landmarks", "image", "initial_params"}
_MAX_SAID = 40
_MAX_STAGES = 10_000
_MAX_NAMES = 100
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
    if last in {last_name(one) for one in _BOOLS} and kind in "iub":
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


def _is_missing(value: Array) -> bool:
    return bool(value.size and value.dtype.kind == "f" and np.isnan(value).all())


def _as_bool(name: str, array: Array) -> Array:
    if array.dtype.kind == "b":
        return array
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} holds numbers other than 0 and 1; expected true or false")
    return read_only(array.astype(np.bool_))


class _Sizes:
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
        if self.p < 6:
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
                if first == size and name in record.values and record.values[name].ndim == len(shape):
                    return len(record.values[name])
        for _, maps in records.maps.values() if size == "n" else ():
            for name, shape in MAPS.items():
                if shape[0] == "n" and name in maps and maps[name].ndim == len(shape):
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


def stages_of(header: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[int, Any]:
    """The stages of a header by their number; where it lists none, one without settings for every number in use."""
    stages = optional(header, "stages", list)
    if stages is not None:
        return dict(enumerate(stages))
    used = {entry.get("stage") for entry in entries if type(entry.get("stage")) is int}
    return {number: {} for number in sorted(number for number in used if number is not None and number >= 0)}


# --- from records to Steps --------------------------------------------------------------------------


def content_of(records: Records) -> TraceContent:
    """The content of a trace of version 2.

    Raises
    ------
    KeyError, ValueError, OverflowError, ClnfError
        When something does not fit together.
    """
    header, said = records.header, records.said
    for key in sorted(set(header) - _HEADER_KEYS):
        said.say(f"{short(key)} in the header is not known and left out")
    if records.image.dtype != np.uint8 or records.image.ndim != 2 or records.image.size == 0:
        raise ValueError(f"image is {short(records.image.dtype)} {short(records.image.shape)}; expected uint8 any×any")
    if not 0 < len(records.steps) <= MAX_STEPS:
        raise ValueError(f"it has {len(records.steps)} steps; expected 1 to {MAX_STEPS}")
    if not any(name in record.values for record in records.steps for name in ("params", "landmarks")):
        raise KeyError("params or landmarks, at least one of them,")
    sizes = _Sizes(records)
    maps = {key: _maps(place, found, sizes, said) for key, (place, found) in records.maps.items()}
    stages = {k: _stage(k, entry, said) for k, entry in records.stages.items()}
    steps = tuple(_steps(records, sizes, stages, maps))
    options, notes = _options(header)
    return TraceContent(
        image=read_only(np.ascontiguousarray(records.image)),
        model_name=optional(header, "model", str) or "unknown",
        initial=_initial(records, steps, sizes, said),
        options=options,
        steps=steps,
        fingerprint=optional(header, "model_fingerprint", str) or "",
        conventions=_names(header, "conventions"),
        notes=notes,
        converted=said.lines,
    )


def _steps(
    records: Records, sizes: _Sizes, stages: dict[int, Stage], maps: dict[int, ResponseMaps | None]
) -> Iterator[Step]:
    nowhere = read_only(np.full((sizes.n, 2), np.nan)), read_only(np.full(sizes.p, np.nan))
    counts: dict[tuple[int | None, Phase], int] = {}
    for record in records.steps:
        phase, stage = _phase(record), _stage_of(record, stages)
        iteration = _entry(record, "iteration", int)
        if phase in ITERATION_PHASES:
            key = (None if stage is None else stage.index, phase)
            counts[key] = counts.get(key, 0) + 1
            if iteration is None:
                iteration = counts[key]
                records.said.say("iterations without a number are counted from 1")
        values = _values(record, phase, sizes)
        shifts = {name: values.pop(f"mean_shift/{name}", None) for name in SHIFTS}
        found: dict[str, Any] = {name: _number(record, name) for name in NUMBERS}
        params, landmarks = values.pop("params", nowhere[1]), values.pop("landmarks", nowhere[0])
        yield Step(
            phase=phase,
            params=params,
            landmarks=landmarks,
            stage=stage,
            iteration=iteration,
            responses=None if record.maps is None else maps.get(record.maps),
            mean_shift=None if all(value is None for value in shifts.values()) else MeanShift(**shifts),
            converged=_entry(record, "converged", bool),
            success=_entry(record, "success", bool),
            message=_entry(record, "message", str) or "",
            **values,
            **found,
        )


def _phase(record: Record) -> Phase:
    name = _entry(record, "phase", str)
    if name not in set(Phase):
        raise ValueError(f"{record.place}: phase is {short(name)}; expected one of {', '.join(Phase)}")
    return Phase(name)


def _entry(record: Record, name: str, kind: type) -> Any:
    value = record.entry.get(name)
    if value is not None and type(value) is not kind:
        raise ValueError(f"{record.place}: {name} is {short(value)}; expected {kind.__name__}")
    return value


def _stage_of(record: Record, stages: dict[int, Stage]) -> Stage | None:
    number = _entry(record, "stage", int)
    if number is not None and number not in stages:
        raise ValueError(f"{record.place}: stage is {short(number)}, but there are {len(stages)}")
    return None if number is None else stages[number]


def _number(record: Record, name: str) -> float | None:
    value = record.values.get(name)
    return None if value is None or np.isnan(value) else float(value)


def _values(record: Record, phase: Phase, sizes: _Sizes) -> dict[str, Any]:
    """The arrays of a step that are there, checked."""
    found = {}
    q = 6 if phase is Phase.RIGID else sizes.p
    for name, shape in ROWS.items():
        value = record.values.get(name)
        if value is None or _is_missing(value):
            continue
        place = f"{record.place}: {name}"
        if name in _BOOLS:
            value = _as_bool(place, value)
        found[name] = sizes.checked(place, value, shape, q, None)
    return found


def _maps(place: str, found: dict[str, Array], sizes: _Sizes, said: Said) -> ResponseMaps | None:
    """A group of maps, None for those that are missing; None when it has none."""
    square = [array.shape[-1] for name, array in found.items() if MAPS[name][-1] == "w" and array.ndim]
    window = square[-1] if square else None
    checked: dict[str, Any] = dict.fromkeys(RESPONSES)
    for name, array in found.items():
        if not _is_missing(array):
            value = _as_bool(f"{place}/{name}", array) if name in _BOOLS else array
            checked[name] = sizes.checked(f"{place}/{name}", value, MAPS[name], 0, window)
    kinds = [name for name in ("raw", "after_sigma", "shifted", "final") if checked[name] is not None]
    if len({checked[name].dtype for name in kinds}) > 1:
        said.say(f"{place}: maps of different dtypes to float64")
        checked |= {name: read_only(checked[name].astype(np.float64)) for name in kinds}
    return ResponseMaps(**checked) if any(value is not None for value in checked.values()) else None


def _stage(number: int, entry: Any, said: Said) -> Stage:
    """A stage; numbers that are missing are NaN, and a window that is missing is 0."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"stage {number} in its header is not a JSON object")
    for key in sorted(set(entry) - {*Stage.__dataclass_fields__}):
        said.say(f"{short(key)} of a stage is not known and left out")
    index = optional(entry, "index", int)
    index = number if index is None else index
    if not 0 <= index < _MAX_STAGES:
        raise ValueError(f"index of a stage in its header is {short(index)}; expected 0 to {_MAX_STAGES - 1}")
    numbers = {name: optional(entry, name, float) for name in ("scale", "sigma", "reg_factor", "weight_factor")}
    patch_scale, sigma_transform = optional(entry, "patch_scale", int), optional(entry, "sigma_transform", bool)
    return Stage(
        index=index,
        window=optional(entry, "window", int) or 0,
        view=optional(entry, "view", int),
        skipped=optional(entry, "skipped", str) or "",
        patch_scale=index if patch_scale is None else patch_scale,
        sigma_transform=sigma_transform is not False,
        **{name: float("nan") if value is None else value for name, value in numbers.items()},
    )


def _options(header: Mapping[str, Any]) -> tuple[FitOptions, tuple[tuple[str, str], ...]]:
    """The options that are known, and all others with the header's notes, as (name, JSON)."""
    entry = optional(header, "options", dict) or {}
    known = option_defaults()
    notes = dict(optional(header, "notes", dict) or {})
    notes |= {name: value for name, value in entry.items() if name not in known}
    if len(notes) > _MAX_NAMES:
        raise ValueError(f"it has {len(notes)} notes and unknown options; expected at most {_MAX_NAMES}")
    options = FitOptions.from_json({name: value for name, value in entry.items() if name in known})
    return options, tuple((name, json.dumps(value, ensure_ascii=False)) for name, value in notes.items())


def _names(header: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = optional(header, key, list) or []
    if len(values) > _MAX_NAMES or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key} in its header are not at most {_MAX_NAMES} names")
    return tuple(values)


# --- the start --------------------------------------------------------------------------------------


def _initial(records: Records, steps: tuple[Step, ...], sizes: _Sizes, said: Said) -> Initial:
    """The start: as given, else the parameters of the first step when that is the initial one, else unknown."""
    header, params = records.header, records.initial_params
    start, entry = optional(header, "start", str), optional(header, "initial", dict) or {}
    if start not in (None, "params"):
        raise ValueError(f"start in its header is {short(start)}; expected 'params', or nothing")
    first = steps[0]
    if params is None or _is_missing(params):
        if first.phase is not Phase.INITIAL or not np.isfinite(first.params).all():
            said.say("the start is not recorded: the fit cannot be run again")
            return Initial.unknown(sizes.p)
        said.say("the start is not recorded: the parameters of the initial step are taken")
        params = first.params
    if params.shape != (sizes.p,):
        raise ValueError(f"initial_params has shape {short(params.shape)}; expected {sizes.p}")
    source = optional(entry, "source", str)
    name = Source.PREVIOUS if source in (None, "params") else source
    if name not in set(Source):
        raise ValueError(f"source in its header is {short(source)}; expected one of params, {', '.join(Source)}")
    return Initial(params, Source(name), _box(entry, first, params), optional(entry, "seed", int))


def _box(entry: Mapping[str, Any], first: Step, params: Floats) -> tuple[float, float, float, float]:
    """The box of the start: as given, else around its landmarks, else nothing where the face is."""
    box = optional(entry, "box", list)
    if box is None:
        known = first.landmarks[np.isfinite(first.landmarks).all(axis=1)]
        if first.phase is Phase.INITIAL and len(known):
            return box_around(known)
        return (float(params[4]), float(params[5]), 0.0, 0.0)
    if len(box) != 4 or any(type(value) not in (int, float) for value in box):
        raise ValueError(f"box in its header is {short(box)}; expected four numbers")
    x, y, width, height = (float(value) for value in box)
    return x, y, width, height
