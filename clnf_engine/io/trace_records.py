"""Traces of version 2, whichever form their file has: from what it tells of every step to Steps.

Any subset of values, landmarks and iterations will do. What had to be converted or left out is told in `Said`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats, read_only
from clnf_engine.initial import Initial, box_around
from clnf_engine.io.trace_arrays import BOOLS, MAPS, ROWS, Record, Records, Said, Sizes, as_bool, is_missing, short
from clnf_engine.io.trace_parts import ITERATION_PHASES, MAX_STEPS, NUMBERS, RESPONSES, SHIFTS, TraceContent, optional
from clnf_engine.options import FitOptions, Source, option_defaults
from clnf_engine.steps import PHASES_OF_FIT, MeanShift, Phase, ResponseMaps, Stage, Step, common_start

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
_MAX_STAGES = 10_000
_MAX_WINDOW = 10_000
_MAX_NAMES = 100


def stages_of(header: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[int, Any]:
    """The stages of a header by their number; where it lists none, one without settings for every number in use."""
    stages = optional(header, "stages", list)
    if stages is not None:
        return dict(enumerate(stages))
    used = {entry.get("stage") for entry in entries if type(entry.get("stage")) is int}
    return {number: {} for number in sorted(number for number in used if number is not None and number >= 0)}


def content_of(records: Records) -> TraceContent:
    """The content of a trace of version 2.

    Raises
    ------
    KeyError, ValueError, OverflowError, ClnfError
        When something does not fit together.
    """
    return Contents().of(records)


class Contents:
    """Makes the content of records to which more are added: what was made of them already is not made again."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._sizes: Sizes | None = None
        self._stages: dict[int, tuple[Any, Stage]] = {}
        self._maps: dict[int, ResponseMaps | None] = {}
        self._made: list[Record] = []
        self._steps: list[Step] = []
        self._start: tuple[Step, Initial] | None = None

    def of(self, records: Records) -> TraceContent:
        """The content by now; Steps that are as they were are the same objects.

        Raises
        ------
        KeyError, ValueError, OverflowError, ClnfError
            As `content_of`.
        """
        header, said = records.header, records.said
        for key in sorted(set(header) - _HEADER_KEYS):
            said.say(f"{short(key)} in the header is not known and left out")
        if records.image.dtype != np.uint8 or records.image.ndim != 2 or records.image.size == 0:
            raise ValueError(
                f"image is {short(records.image.dtype)} {short(records.image.shape)}; expected uint8 any×any"
            )
        if not 0 < len(records.steps) <= MAX_STEPS:
            raise ValueError(f"it has {len(records.steps)} steps; expected 1 to {MAX_STEPS}")
        told = any(name in record.values for record in records.steps for name in ("params", "landmarks"))
        if not told and not any(maps for _, maps in records.maps.values()):
            raise KeyError("params or landmarks, or a response map, at least one of them,")
        sizes = self._sizes_of(records)
        for number in sorted(records.maps.keys() - self._maps.keys()):
            self._maps[number] = _maps(*records.maps[number], sizes, said)
        self._make_steps(records, sizes)
        if self._start is None or self._start[0] is not self._steps[0]:
            self._start = self._steps[0], _initial(records, self._steps[0], sizes, said)
        options, notes = _options(header)
        return TraceContent(
            image=read_only(np.ascontiguousarray(records.image)),
            model_name=optional(header, "model", str) or "unknown",
            initial=self._start[1],
            options=options,
            steps=tuple(self._steps),
            fingerprint=optional(header, "model_fingerprint", str) or "",
            conventions=_names(header, "conventions"),
            notes=notes,
            converted=said.lines,
        )

    def _sizes_of(self, records: Records) -> Sizes:
        """How large things are; where that, or a stage, is another than it was, nothing that was made holds."""
        sizes, known = Sizes(records), self._sizes
        same = known is not None and (known.rows, known.n, known.p) == (sizes.rows, sizes.n, sizes.p)
        if not same or any(records.stages[k] is not entry for k, (entry, _) in self._stages.items()):
            self._forget()
            self._sizes = sizes
        for k in records.stages.keys() - self._stages.keys():
            self._stages[k] = records.stages[k], _stage(k, records.stages[k], records.said)
        assert self._sizes is not None
        return self._sizes

    def _make_steps(self, records: Records, sizes: Sizes) -> None:
        kept = common_start(self._made, records.steps)
        del self._made[kept:], self._steps[kept:]
        counts: dict[tuple[int | None, Phase], int] = {}
        if any(record.entry.get("iteration") is None for record in records.steps[kept:]):
            for step in self._steps:
                key = (None if step.stage is None else step.stage.index, step.phase)
                counts[key] = counts.get(key, 0) + 1
        nowhere = read_only(np.full((sizes.n, 2), np.nan)), read_only(np.full(sizes.p, np.nan))
        stages = {k: stage for k, (_, stage) in self._stages.items()}
        for record in records.steps[kept:]:
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
            step = Step(
                phase=phase,
                params=params,
                landmarks=landmarks,
                stage=stage,
                iteration=iteration,
                responses=None if record.maps is None else self._maps.get(record.maps),
                mean_shift=None if all(value is None for value in shifts.values()) else MeanShift(**shifts),
                converged=_entry(record, "converged", bool),
                success=_entry(record, "success", bool),
                message=_entry(record, "message", str) or "",
                **values,
                **found,
            )
            self._made.append(record)
            self._steps.append(step)


def _phase(record: Record) -> Phase:
    name = _entry(record, "phase", str)
    if name not in PHASES_OF_FIT:
        raise ValueError(f"{record.place}: phase is {short(name)}; expected one of {', '.join(PHASES_OF_FIT)}")
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


def _values(record: Record, phase: Phase, sizes: Sizes) -> dict[str, Any]:
    """The arrays of a step that are there, checked."""
    found = {}
    q = 6 if phase is Phase.RIGID else sizes.p
    for name, shape in ROWS.items():
        value = record.values.get(name)
        if value is None or is_missing(value) or (name == "landmarks" and value.size == 0):
            continue
        place = f"{record.place}: {name}"
        if name in BOOLS:
            value = as_bool(place, value)
        found[name] = sizes.checked(place, value, shape, q, None)
    return found


def _maps(place: str, found: dict[str, Array], sizes: Sizes, said: Said) -> ResponseMaps | None:
    """A group of maps, None for those that are missing; None when it has none."""
    square = [array.shape[-1] for name, array in found.items() if MAPS[name][-1] == "w" and array.ndim]
    window = square[-1] if square else None
    checked: dict[str, Any] = dict.fromkeys(RESPONSES)
    for name, array in found.items():
        if not is_missing(array):
            value = as_bool(f"{place}/{name}", array) if name in BOOLS else array
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
    window = optional(entry, "window", int) or 0
    if not 0 <= window <= _MAX_WINDOW:
        raise ValueError(f"window of a stage in its header is {short(window)}; expected 0 to {_MAX_WINDOW}")
    return Stage(
        index=index,
        window=window,
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


def _initial(records: Records, first: Step, sizes: Sizes, said: Said) -> Initial:
    """The start: as given, else the parameters of the first step when that is the initial one, else unknown."""
    header, params = records.header, records.initial_params
    start, entry = optional(header, "start", str), optional(header, "initial", dict) or {}
    if start not in (None, "params"):
        raise ValueError(f"start in its header is {short(start)}; expected 'params', or nothing")
    if params is None or is_missing(params):
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
