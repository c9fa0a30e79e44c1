"""Trace: the ordered Steps of one run, its result, its file, and where two runs part.

The file format is public: ``docs/trace-format.md``.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only
from clnf_engine.errors import ClnfError, TraceFileError
from clnf_engine.initial import Initial, Source
from clnf_engine.io.atomic import atomic_write
from clnf_engine.options import FitOptions
from clnf_engine.steps import MeanShift, Phase, ResponseMaps, Stage, Step

FORMAT = "clnf-trace"
VERSION = 1
_MAX_BYTES = 1 << 31


@dataclass(frozen=True, eq=False)
class Trace:
    """The Steps of one run, in order, with what the run was made from.

    Attributes
    ----------
    image : (H, W) uint8
        Grey levels.
    model_name : str
    initial : Initial
    options : FitOptions
    steps : tuple of Step
        From INITIAL to, when the run is complete, END.
    """

    image: NDArray[np.uint8]
    model_name: str
    initial: Initial
    options: FitOptions
    steps: tuple[Step, ...]

    @property
    def complete(self) -> bool:
        """Whether the run has ended."""
        return self.steps[-1].phase is Phase.END

    @property
    def landmarks(self) -> Floats:
        """Fitted landmarks, (n, 2) float64, image px."""
        return self.steps[-1].landmarks

    @property
    def params_global(self) -> Floats:
        """Fitted ``[scale, rx, ry, rz, tx, ty]``, (6,) float64."""
        return self.steps[-1].params_global

    @property
    def params_local(self) -> Floats:
        """Fitted shape coefficients, (m,) float64."""
        return self.steps[-1].params_local

    @property
    def likelihood(self) -> float | None:
        """Mean log likelihood of the last non-rigid phase; None when no stage was run."""
        return self.steps[-1].likelihood

    @property
    def success(self) -> bool:
        """Whether the fit ended as it should."""
        return bool(self.steps[-1].success)

    @property
    def message(self) -> str:
        """How the fit ended."""
        return self.steps[-1].message

    @property
    def stages(self) -> tuple[StageSummary, ...]:
        """The stages of the schedule, skipped ones included, with their iteration counts."""
        counts: dict[int, list[int]] = {}
        stages: dict[int, Stage] = {}
        for step in self.steps:
            if step.stage is not None:
                stages[step.stage.index] = step.stage
                count = counts.setdefault(step.stage.index, [0, 0])
                count[0] += step.phase is Phase.RIGID
                count[1] += step.phase is Phase.NONRIGID
        return tuple(StageSummary(stages[i], *counts[i]) for i in stages)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as ``.npz``, whole or not at all.

        Raises
        ------
        TraceFileError
            When the file cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **_to_arrays(self))
        try:
            atomic_write(path, buffer.getvalue())
        except OSError as error:
            raise TraceFileError(path, "", f"cannot be written ({error.strerror})") from error

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Trace:
        """Read a trace; nothing in the file is executed.

        Raises
        ------
        TraceFileError
            When the file is missing, truncated, foreign, of another version, or its arrays do not fit together.
        """
        arrays = _read_arrays(Path(path))
        try:
            return _from_arrays(arrays)
        except KeyError as error:
            raise TraceFileError(path, "", f"{error.args[0]} is missing") from error
        except (ValueError, TypeError, AttributeError, IndexError, ClnfError) as error:
            raise TraceFileError(path, "", f"not a valid trace: {error}") from error


@dataclass(frozen=True)
class StageSummary:
    """A Stage and how many iterations each of its phases took."""

    stage: Stage
    rigid_iterations: int
    nonrigid_iterations: int


# --- the first difference between two runs --------------------------------------------------------

_COMPARED = (
    ("responses", ("base_shape", "image_to_reference", "area", "raw", "after_sigma", "shifted", "final")),
    ("mean_shift", ("position", "kernel_sum", "reference", "image")),
)


@dataclass(frozen=True)
class Divergence:
    """The first value in which two runs differ.

    Attributes
    ----------
    step_a, step_b : Step or None
        The moment in each run; None when the run has no such moment.
    array : str
        The value that differs, such as "mean_shift.image"; "" when a moment is missing.
    difference : float
        Its largest absolute difference; inf when shapes differ or a value exists in one run only.
    """

    step_a: Step | None
    step_b: Step | None
    array: str
    difference: float


def first_divergence(a: Trace, b: Trace, tolerance: float = 0.0) -> Divergence | None:
    """Where two runs first part.

    Moments are paired by (stage, phase, iteration), and the values of a moment are compared in the order the
    fit computes them.

    Parameters
    ----------
    a, b : Trace
    tolerance : float
        Largest absolute difference that still counts as equal.

    Returns
    -------
    Divergence or None
    """
    steps_b = {step.place: step for step in b.steps}
    for step_a in a.steps:
        step_b = steps_b.pop(step_a.place, None)
        if step_b is None:
            return Divergence(step_a, None, "", np.inf)
        for (name, value_a), (_, value_b) in zip(_values(step_a), _values(step_b), strict=True):
            difference = _difference(value_a, value_b)
            if not difference <= tolerance:
                return Divergence(step_a, step_b, name, difference)
    extra = next(iter(steps_b.values()), None)
    return None if extra is None else Divergence(None, extra, "", np.inf)


def _values(step: Step) -> Iterator[tuple[str, Any]]:
    """Every value of a Step in the order the fit computes them."""
    for group, names in _COMPARED:
        holder = getattr(step, group)
        if holder is not None and (group != "responses" or step.phase is Phase.RESPONSES):
            yield from ((f"{group}.{name}", getattr(holder, name)) for name in names)
    for name in ("weights", "jacobian", "hessian", "gradient", "delta", "likelihoods", "params", "landmarks"):
        yield name, getattr(step, name)


def _difference(a: Array | None, b: Array | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else np.inf
    if a.shape != b.shape:
        return np.inf
    return float(np.abs(a.astype(np.float64) - b).max(initial=0.0))


# --- the file -------------------------------------------------------------------------------------

_ITERATION_PHASES = (Phase.RIGID, Phase.NONRIGID)
_SHIFT_FIELDS = tuple(field.name for field in fields(MeanShift))
_RESPONSE_FIELDS = tuple(field.name for field in fields(ResponseMaps))
_ARRAY_FIELDS = ("landmarks_before", "weights", "jacobian", "hessian", "gradient", "delta", "clamped", "likelihoods")
_SOMETIMES_MISSING = {"delta", "likelihoods"}
"""Array fields that not every iteration has; a row of NaN stands for a missing one."""
_NUMBER_FIELDS = ("update_norm", "shape_change", "likelihood")


def _to_arrays(trace: Trace) -> dict[str, Array]:
    stages = list(dict.fromkeys(step.stage for step in trace.steps if step.stage is not None))
    responses = list(
        {id(step.responses): step.responses for step in trace.steps if step.responses is not None}.values()
    )
    initial = trace.initial
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model": trace.model_name,
        "options": trace.options.to_json(),
        "initial": {"source": initial.source, "box": initial.box, "seed": initial.seed},
        "stages": [asdict(stage) for stage in stages],
        "steps": [
            {
                "phase": step.phase,
                "stage": None if step.stage is None else stages.index(step.stage),
                "iteration": step.iteration,
                "responses": next((k for k, maps in enumerate(responses) if maps is step.responses), None),
                "converged": step.converged,
                "success": step.success,
                "message": step.message,
            }
            for step in trace.steps
        ],
    }
    arrays: dict[str, Array] = {
        "header": np.array(json.dumps(header, ensure_ascii=False)),
        "image": trace.image,
        "initial_params": initial.params,
        "params": np.stack([step.params for step in trace.steps]),
        "landmarks": np.stack([step.landmarks for step in trace.steps]),
    }
    for name in _NUMBER_FIELDS:
        values = [getattr(step, name) for step in trace.steps]
        arrays[name] = np.array([np.nan if value is None else value for value in values])
    for k, maps in enumerate(responses):
        for name in _RESPONSE_FIELDS:
            arrays[f"responses/{k}/{name}"] = getattr(maps, name)
    for phase in _ITERATION_PHASES:
        steps = [step for step in trace.steps if step.phase is phase]
        for name in _ARRAY_FIELDS:
            rows = [getattr(step, name) for step in steps]
            present = next((row for row in rows if row is not None), None)
            if present is not None:
                rows = [np.full_like(present, np.nan) if row is None else row for row in rows]
                arrays[f"{phase}/{name}"] = np.stack(rows)
        for name in _SHIFT_FIELDS:
            shifts = [getattr(step.mean_shift, name) for step in steps if step.mean_shift is not None]
            if shifts and len(shifts) == len(steps):
                arrays[f"{phase}/mean_shift/{name}"] = np.stack(shifts)
    return arrays


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > _MAX_BYTES:
            raise TraceFileError(path, "", f"holds {size} bytes; expected at most {_MAX_BYTES}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise TraceFileError(path, "", f"cannot be read ({error.strerror or error})") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        EOFError,
        MemoryError,
        NotImplementedError,
        SyntaxError,
    ) as error:
        raise TraceFileError(path, "", f"expected a trace in .npz form ({error})") from error
    for array in arrays.values():
        if not isinstance(array, np.ndarray):
            raise TraceFileError(path, "", "expected a trace in .npz form; it holds something that is not an array")
        read_only(array)
    return arrays


def _from_arrays(arrays: Mapping[str, Array]) -> Trace:
    header = _header(arrays["header"])
    if header.get("format") != FORMAT:
        raise ValueError(f"its header names no format {FORMAT!r}")
    if header["version"] != VERSION:
        raise ValueError(f"it has version {header['version']}; this program reads version {VERSION}")
    image, params, points = arrays["image"], arrays["params"], arrays["landmarks"]
    count, n = len(header["steps"]), points.shape[1] if points.ndim == 3 else 0
    _expect("image", image, np.uint8, (None, None))
    _expect("params", params, np.float64, (count, None))
    _expect("landmarks", points, np.float64, (count, None, 2))
    if count == 0 or params.shape[1] < 6:
        raise ValueError("it has no steps or fewer than 6 parameters")
    numbers = {name: arrays[name] for name in _NUMBER_FIELDS if name in arrays}
    for name, column in numbers.items():
        _expect(name, column, np.float64, (count,))
    stages = [Stage(**stage) for stage in header["stages"]]
    responses = [_responses(arrays, k, n) for k in range(_count_responses(header))]
    rows = _iteration_rows(arrays, header, n, params.shape[1])
    steps = []
    for k, entry in enumerate(header["steps"]):
        phase = Phase(entry["phase"])
        values: dict[str, Any] = next(rows[phase]) if phase in rows else {}
        for name, array in numbers.items():
            values[name] = None if np.isnan(array[k]) else float(array[k])
        steps.append(
            Step(
                phase=phase,
                params=params[k],
                landmarks=points[k],
                stage=None if entry.get("stage") is None else stages[entry["stage"]],
                iteration=entry.get("iteration"),
                responses=None if entry.get("responses") is None else responses[entry["responses"]],
                converged=entry.get("converged"),
                success=entry.get("success"),
                message=entry.get("message", ""),
                **values,
            )
        )
    start = header["initial"]
    initial = Initial(arrays["initial_params"], Source(start["source"]), tuple(start["box"]), start.get("seed"))
    return Trace(image, header["model"], initial, FitOptions.from_json(header["options"]), tuple(steps))


def _header(array: Array) -> dict[str, Any]:
    """The JSON header, from a text array or from UTF-8 bytes."""
    text = array.tobytes().decode() if array.dtype == np.uint8 else str(array)
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header


def _count_responses(header: Mapping[str, Any]) -> int:
    return 1 + max((step["responses"] for step in header["steps"] if step.get("responses") is not None), default=-1)


def _responses(arrays: Mapping[str, Array], k: int, n: int) -> ResponseMaps:
    maps = {name: arrays[f"responses/{k}/{name}"] for name in _RESPONSE_FIELDS}
    window = maps["final"].shape[-1]
    for name in ("raw", "after_sigma", "shifted", "final"):
        _expect(f"responses/{k}/{name}", maps[name], maps["final"].dtype, (n, window, window))
    _expect(f"responses/{k}/base_shape", maps["base_shape"], np.float64, (n, 2))
    _expect(f"responses/{k}/visible", maps["visible"], np.bool_, (n,))
    return ResponseMaps(**maps)


def _iteration_rows(
    arrays: Mapping[str, Array], header: Mapping[str, Any], n: int, p: int
) -> dict[Phase, Iterator[dict[str, Any]]]:
    """Per phase, the values of its iterations in order."""
    shapes: dict[str, tuple[int | None, ...]] = {
        "landmarks_before": (n, 2),
        "weights": (n,),
        "clamped": (p,),
        "likelihoods": (n,),
    }
    result = {}
    for phase in _ITERATION_PHASES:
        count = sum(step["phase"] == phase for step in header["steps"])
        q = 6 if phase is Phase.RIGID else p
        shapes |= {"jacobian": (2 * n, q), "hessian": (q, q), "gradient": (q,), "delta": (q,)}
        table = {name: arrays[f"{phase}/{name}"] for name in _ARRAY_FIELDS if f"{phase}/{name}" in arrays}
        for name, array in table.items():
            _expect(f"{phase}/{name}", array, array.dtype, (count, *shapes[name]))
        shift = {name: arrays.get(f"{phase}/mean_shift/{name}") for name in _SHIFT_FIELDS}
        present = {name: array for name, array in shift.items() if array is not None}
        for name, array in present.items():
            two = () if name in ("kernel_sum", "empty") else (2,)
            _expect(f"{phase}/mean_shift/{name}", array, array.dtype, (count, n, *two))
        result[phase] = _rows(table, present if len(present) == len(shift) else {}, count)
    return result


def _rows(table: dict[str, Array], shift: dict[str, Array], count: int) -> Iterator[dict[str, Any]]:
    for k in range(count):
        values: dict[str, Any] = {name: array[k] for name, array in table.items()}
        for name in _SOMETIMES_MISSING & values.keys():
            if np.isnan(values[name]).all():
                values[name] = None
        if shift:
            values["mean_shift"] = MeanShift(**{name: array[k] for name, array in shift.items()})
        yield values


def _expect(name: str, array: Array, dtype: Any, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        wanted = "×".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} {wanted}")
