"""The trace file: ``.npz`` arrays with a JSON header, no pickle. Format: ``docs/trace-format.md``."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, DType, read_only
from clnf_engine.errors import ClnfError, TraceFileError
from clnf_engine.initial import Initial
from clnf_engine.io.files import replacing
from clnf_engine.options import FitOptions, Source
from clnf_engine.steps import LARGE, MeanShift, Phase, ResponseMaps, Stage, Step, numbered_maps, numbers_of

FORMAT = "clnf-trace"
VERSION = 1

TraceContent = tuple[NDArray[np.uint8], str, Initial, FitOptions, tuple[Step, ...]]
"""Image, model name, start, options and Steps: the fields of a Trace."""

_MAX_BYTES = 1 << 31
_ITERATION_PHASES = (Phase.RIGID, Phase.NONRIGID)
_SHIFT_FIELDS = tuple(field.name for field in fields(MeanShift))
_RESPONSE_FIELDS = tuple(field.name for field in fields(ResponseMaps))
_ARRAY_FIELDS = (
    "landmarks_before",
    "weights",
    "jacobian",
    "hessian",
    "gradient",
    "delta",
    "clamped",
    "likelihoods",
)
_LARGE_FIELDS = tuple(name for name in _ARRAY_FIELDS if name in LARGE)
_SOMETIMES_MISSING = {"delta", "likelihoods"}
"""Array fields that not every iteration has; a row of NaN stands for a missing one."""
_NUMBER_FIELDS = ("update_norm", "shape_change", "likelihood")
_FLOATS = (np.float64, np.float32)


# --- writing --------------------------------------------------------------------------------------


def write_trace(
    path: str | os.PathLike[str],
    image: NDArray[np.uint8],
    model_name: str,
    initial: Initial,
    options: FitOptions,
    steps: Sequence[Step],
) -> None:
    """Write a trace file, whole or not at all.

    Response maps, Jacobians and Hessians are in memory one Step after the other, and no longer than that when a
    Recording computes them again.

    Raises
    ------
    TraceFileError
        When the file cannot be written, or would be larger than `read_trace` accepts.
    """
    numbers, map_numbers = numbers_of(steps), numbered_maps(steps)
    stages = list(dict.fromkeys(step.stage for step in numbers if step.stage is not None))
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model": model_name,
        "options": options.to_json(),
        "initial": {"source": initial.source, "box": initial.box, "seed": initial.seed},
        "stages": [asdict(stage) for stage in stages],
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
    arrays: dict[str, Array] = {
        "header": np.array(json.dumps(header, ensure_ascii=False)),
        "image": image,
        "initial_params": initial.params,
        "params": np.stack([step.params for step in numbers]),
        "landmarks": np.stack([step.landmarks for step in numbers]),
    }
    for name in _NUMBER_FIELDS:
        values = [getattr(step, name) for step in numbers]
        arrays[name] = np.array([np.nan if value is None else value for value in values])
    for phase in _ITERATION_PHASES:
        arrays |= _phase_arrays(phase, [step for step in numbers if step.phase is phase])
    try:
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "x") as archive:
            for name, array in arrays.items():
                _write_array(path, archive, name, array.dtype, array.shape, [array])
            for k, index in enumerate(_firsts(map_numbers)):
                maps = steps[index].responses
                for name in _RESPONSE_FIELDS:
                    array = getattr(maps, name)
                    _write_array(path, archive, f"responses/{k}/{name}", array.dtype, array.shape, [array])
            for phase in _ITERATION_PHASES:
                for name in _LARGE_FIELDS:
                    _write_rows(path, archive, phase, name, steps)
    except OSError as problem:
        raise TraceFileError(path, "", f"cannot be written ({problem.strerror})") from problem


def _firsts(numbers: Sequence[int | None]) -> Iterator[int]:
    """Where 0, 1, 2, … first occur in a sequence that brings them in this order."""
    count = 0
    for index, number in enumerate(numbers):
        if number == count:
            yield index
            count += 1


def _phase_arrays(phase: Phase, steps: list[Step]) -> dict[str, Array]:
    """What the iterations of a phase hold, stacked, but for `_LARGE_FIELDS`."""
    arrays = {}
    for name in _ARRAY_FIELDS:
        rows = [getattr(step, name) for step in steps] if name not in _LARGE_FIELDS else []
        present = next((row for row in rows if row is not None), None)
        if present is not None:
            arrays[f"{phase}/{name}"] = np.stack([np.full_like(present, np.nan) if r is None else r for r in rows])
    shifts = [step.mean_shift for step in steps if step.mean_shift is not None]
    if shifts and len(shifts) == len(steps):
        for name in _SHIFT_FIELDS:
            arrays[f"{phase}/mean_shift/{name}"] = np.stack([getattr(shift, name) for shift in shifts])
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
    if sum(info.file_size for info in archive.infolist()) > _MAX_BYTES:
        raise TraceFileError(path, "", f"would hold more than {_MAX_BYTES} bytes; a shorter run can be saved")


# --- reading --------------------------------------------------------------------------------------


def read_trace(path: str | os.PathLike[str]) -> TraceContent:
    """Read a trace file; nothing in it is executed.

    Raises
    ------
    TraceFileError
        When the file is missing, truncated, foreign, of another version, or its arrays do not fit together.
    """
    arrays = _read_arrays(path)
    try:
        return _content(arrays, _header(arrays))
    except KeyError as error:
        raise TraceFileError(path, "", f"{error.args[0]} is missing") from error
    except (ValueError, OverflowError, ClnfError, RecursionError) as error:
        raise TraceFileError(path, "", f"not a valid trace: {error}") from error


def _read_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > _MAX_BYTES:
            raise TraceFileError(path, "", f"holds {size} bytes; expected at most {_MAX_BYTES}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except TraceFileError:
        raise
    except OSError as error:
        raise TraceFileError(path, "", f"cannot be read ({error.strerror or error})") from error
    except Exception as error:  # whatever zipfile's and NumPy's parsers stumble over, the file is no trace
        problem = str(error).partition("\n")[0][:200]
        raise TraceFileError(path, "", f"expected a trace in .npz form ({problem})") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TraceFileError(path, "", f"expected a trace in .npz form, but {name} is not an array")
        read_only(array)
    return arrays


def _header(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The JSON header, from a text array or from UTF-8 bytes."""
    array = arrays["header"]
    header = json.loads(array.tobytes().decode() if array.dtype == np.uint8 else str(array))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"its header names no format {FORMAT!r}")
    version = header["version"]
    if version != VERSION or type(version) is not int:
        raise ValueError(f"it has version {version!r}; this program reads version {VERSION}")
    return header


def _content(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> TraceContent:
    image, params, points = arrays["image"], arrays["params"], arrays["landmarks"]
    entries = _field(header, "steps", list)
    count, n = len(entries), points.shape[1] if points.ndim == 3 else 0
    _expect("image", image, (None, None), np.uint8)
    _expect("params", params, (count, None), np.float64)
    _expect("landmarks", points, (count, None, 2), np.float64)
    if count == 0 or params.shape[1] < 6:
        raise ValueError("it has no steps or fewer than 6 parameters")
    numbers = {name: arrays[name] for name in _NUMBER_FIELDS if name in arrays}
    for name, values in numbers.items():
        _expect(name, values, (count,), np.float64)
    stages = [_stage(entry) for entry in _field(header, "stages", list)]
    steps = [_StepEntry(entry, len(stages)) for entry in entries]
    maps = {k: _responses(arrays, k, n) for k in sorted({s.responses for s in steps if s.responses is not None})}
    rows = {phase: _iteration_rows(arrays, phase, steps, n, params.shape[1]) for phase in _ITERATION_PHASES}
    result = []
    for k, entry in enumerate(steps):
        found: dict[str, Any] = next(rows[entry.phase]) if entry.phase in rows else {}
        found |= {name: None if np.isnan(column[k]) else float(column[k]) for name, column in numbers.items()}
        result.append(
            Step(
                phase=entry.phase,
                params=params[k],
                landmarks=points[k],
                stage=None if entry.stage is None else stages[entry.stage],
                iteration=entry.iteration,
                responses=None if entry.responses is None else maps[entry.responses],
                converged=entry.converged,
                success=entry.success,
                message=entry.message,
                **found,
            )
        )
    initial = _initial(arrays, _field(header, "initial", dict))
    options = FitOptions.from_json(_field(header, "options", dict))
    return image, _field(header, "model", str), initial, options, tuple(result)


class _StepEntry:
    """A step's entry in the header, checked."""

    def __init__(self, entry: Any, n_stages: int) -> None:
        if not isinstance(entry, dict):
            raise ValueError("a step in its header is not a JSON object")
        self.phase = Phase(_field(entry, "phase", str))
        self.stage = _optional(entry, "stage", int)
        if self.stage is not None and not 0 <= self.stage < n_stages:
            raise ValueError(f"a step names stage {self.stage}, but there are {n_stages}")
        self.iteration = _optional(entry, "iteration", int)
        self.responses = _optional(entry, "responses", int)
        self.converged = _optional(entry, "converged", bool)
        self.success = _optional(entry, "success", bool)
        self.message = _optional(entry, "message", str) or ""


def _field(entry: Mapping[str, Any], name: str, kind: type) -> Any:
    """A required value of a JSON object, of the type it must have."""
    value = _optional(entry, name, kind)
    if value is None:
        raise KeyError(f"{name} in the header")
    return value


def _optional(entry: Mapping[str, Any], name: str, kind: type) -> Any:
    """A value of a JSON object, of the type it must have, or None."""
    value = entry.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if value is not None and type(value) is not kind:
        raise ValueError(f"{name} in its header is {str(value)[:60]!r}; expected {kind.__name__}")
    return value


def _stage(entry: Any) -> Stage:
    if not isinstance(entry, dict):
        raise ValueError("a stage in its header is not a JSON object")
    unknown = set(entry) - {field.name for field in fields(Stage)}
    if unknown:
        raise ValueError(f"a stage in its header has an unknown key {min(unknown)!r}")
    index, patch_scale = _field(entry, "index", int), _optional(entry, "patch_scale", int)
    sigma_transform = _optional(entry, "sigma_transform", bool)
    return Stage(
        index=index,
        scale=_field(entry, "scale", float),
        window=_field(entry, "window", int),
        view=_optional(entry, "view", int),
        sigma=_field(entry, "sigma", float),
        reg_factor=_field(entry, "reg_factor", float),
        weight_factor=_field(entry, "weight_factor", float),
        skipped=_optional(entry, "skipped", str) or "",
        patch_scale=index if patch_scale is None else patch_scale,
        sigma_transform=sigma_transform is not False,
    )


def _initial(arrays: Mapping[str, Array], entry: Mapping[str, Any]) -> Initial:
    params, box = arrays["initial_params"], _field(entry, "box", list)
    _expect("initial_params", params, (None,), np.float64)
    if len(box) != 4 or any(type(value) not in (int, float) for value in box):
        raise ValueError(f"box in its header is {str(box)[:60]}; expected four numbers")
    x, y, width, height = (float(value) for value in box)
    return Initial(params, Source(_field(entry, "source", str)), (x, y, width, height), _optional(entry, "seed", int))


def _responses(arrays: Mapping[str, Array], k: int, n: int) -> ResponseMaps:
    maps = {name: arrays[f"responses/{k}/{name}"] for name in _RESPONSE_FIELDS}
    window = maps["final"].shape[-1] if maps["final"].ndim else 0
    square, of_neurons = (n, window, window), (n, None, window, window)
    shapes: dict[str, tuple[tuple[int | None, ...], tuple[Any, ...]]] = {
        "base_shape": ((n, 2), (np.float64,)),
        "reference_shape": ((n, 2), (np.float64,)),
        "image_to_reference": ((2, 2), (np.float64,)),
        "reference_to_image": ((2, 2), (np.float64,)),
        "visible": ((n,), (np.bool_,)),
        "area": ((n, None, None), (np.float32,)),
        "neuron_ncc": (of_neurons, _FLOATS),
        "neuron_output": (of_neurons, _FLOATS),
    }
    for name, array in maps.items():
        shape, dtypes = shapes.get(name, (square, _FLOATS))
        _expect(f"responses/{k}/{name}", array, shape, *dtypes)
    if len({maps[name].dtype for name in ("raw", "after_sigma", "shifted", "final")}) > 1:
        raise ValueError(f"responses/{k} has maps of different dtypes")
    return ResponseMaps(**maps)


def _iteration_rows(
    arrays: Mapping[str, Array], phase: Phase, steps: list[_StepEntry], n: int, p: int
) -> Iterator[dict[str, Any]]:
    """The values of a phase's iterations, in order; the arrays are checked at once."""
    count, q = sum(step.phase is phase for step in steps), 6 if phase is Phase.RIGID else p
    shapes = {
        "landmarks_before": (n, 2),
        "weights": (n,),
        "jacobian": (2 * n, q),
        "hessian": (q, q),
        "gradient": (q,),
        "delta": (q,),
        "clamped": (p,),
        "likelihoods": (n,),
        "mean_shift/kernel_sum": (n,),
        "mean_shift/empty": (n,),
    }
    found = {}
    for name in (*_ARRAY_FIELDS, *(f"mean_shift/{field}" for field in _SHIFT_FIELDS)):
        array = arrays.get(f"{phase}/{name}")
        if array is not None:
            dtypes = (np.bool_,) if name in ("clamped", "mean_shift/empty") else _FLOATS
            _expect(f"{phase}/{name}", array, (count, *shapes.get(name, (n, 2))), *dtypes)
            found[name] = array
    return _rows(found, count)


def _rows(arrays: Mapping[str, Array], count: int) -> Iterator[dict[str, Any]]:
    has_shifts = all(f"mean_shift/{name}" in arrays for name in _SHIFT_FIELDS)
    for k in range(count):
        values: dict[str, Any] = {name: arrays[name][k] for name in _ARRAY_FIELDS if name in arrays}
        for name in _SOMETIMES_MISSING & values.keys():
            if np.isnan(values[name]).all():
                values[name] = None
        if has_shifts:
            values["mean_shift"] = MeanShift(**{name: arrays[f"mean_shift/{name}"][k] for name in _SHIFT_FIELDS})
        yield values


def _expect(name: str, array: Array, shape: tuple[int | None, ...], *dtypes: Any) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype not in dtypes:
        wanted = "×".join("any" if size is None else str(size) for size in shape)
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(f"{name} is {array.dtype} {array.shape}; expected {names} {wanted}")
