"""Test vectors: each operation's cases as files, and what another program, or a function, made of them.

A porter tests ``update`` before there is any fit to record. A vector is a row of the table of operations: what it reads
and what it gives, from the functions that the fit itself goes through; a wrong output is named like one of a trace.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.cases import Case, Cases, cases_of, schedule_rows
from clnf_engine.checking.catalogue import CATALOGUE
from clnf_engine.checking.changes import words
from clnf_engine.checking.check import TOLERANCE, failure
from clnf_engine.checking.findings import CheckFinding, OperationFinding, Status
from clnf_engine.checking.mistakes import Mistake
from clnf_engine.checking.naming import Named, named
from clnf_engine.checking.rows import Row
from clnf_engine.errors import FileError, OperationError
from clnf_engine.io.files import new_folder, read_file
from clnf_engine.library import load_model
from clnf_engine.model import Model, PatchExperts, PatchScale
from clnf_engine.operations import OPERATIONS, in_place_of
from clnf_engine.pdm import PDM
from clnf_engine.schedule import Schedule

VERSION = 1
"""Of the index."""

INDEX = "index.json"

_MOST_BYTES = 1 << 30
"""Of a file of an output; the largest of a vector has some megabytes."""

_known_cases = lru_cache(maxsize=2)(cases_of)


def check_function(
    operation: str,
    function: Callable[..., Any],
    model: Model | None = None,
    tolerance: float = TOLERANCE,
    mistakes: Iterable[Mistake] = (),
) -> OperationFinding:
    """Run a function on the test vectors of an operation, and say what it gets wrong.

    Parameters
    ----------
    operation : str
        A name of `OPERATIONS`.
    function : callable
        In place of the operation, as for ``fit(…, replace=…)``: it gets copies of the values that the operation
        reads, the first ones when it requires fewer.
    model : Model, optional
        The shipped one by default.
    tolerance : float
        Largest error that counts as right, in the unit of the operation.
    mistakes : iterable of Mistake
        To try before those of the catalogue.

    Returns
    -------
    OperationFinding
        Its ``status``, ``error``, ``wrong`` of ``rows``, and ``mistakes`` that reproduce what the function gave.

    Raises
    ------
    OperationError
        When there is no such operation, or a result is none or has another shape.
    """
    if operation not in OPERATIONS:
        raise OperationError(f"there is no operation {operation!r}; expected one of {', '.join(OPERATIONS)}")
    cases = _known_cases(load_model() if model is None else model)
    mine = in_place_of(OPERATIONS[operation], function, finite=False)
    given = {case.name: _value(mine(*case.inputs.values())) for case in cases.of(operation)}
    return _finding(cases, operation, given, tolerance, (*mistakes, *CATALOGUE))


def _value(result: Any) -> Array:
    if result is None:
        raise OperationError("the function in its place found no solution where there is one", "delta")
    return schedule_rows(result) if isinstance(result, Schedule) else np.asarray(result)


def _finding(
    cases: Cases, operation: str, given: Mapping[str, Array], tolerance: float, known: Sequence[Mistake]
) -> OperationFinding:
    """What is found of the values that were given for cases of an operation, by the names of the cases."""
    own = [case for case in cases.of(operation) if case.name in given]
    if not own:
        return OperationFinding(operation, Status.NOT_RECORDED, "no output")
    rows: list[Row] = [replace(case.row, recorded=_comparable(given[case.name])) for case in own]
    with np.errstate(all="ignore"):  # another program may give anything
        errors = [_error(row, case, cases) for row, case in zip(rows, own, strict=True)]
        wrong = [k for k, error in enumerate(errors) if not error <= tolerance]
        missing = len(cases.of(operation)) - len(own)
        untested = [f"{missing} of its cases have no output"] if missing else []
        if not wrong:
            untested += [f"no case with {corner}" for corner in cases.not_exercised(operation)]
            text = "; ".join(untested)
            return OperationFinding(operation, Status.CONFORMS, text, rows=len(rows), error=max(errors))
        where = "; ".join([", ".join(own[k].name for k in wrong), *untested])
        if operation == "schedule":
            return OperationFinding(
                operation, Status.FAILS, where, rows=len(rows), wrong=len(wrong), error=float(len(wrong))
            )
        told = [k for k, row in enumerate(rows) if np.isfinite(row.recorded).all()]
        if len(told) < len(rows):
            where += f"; {len(rows) - len(told)} outputs are not finite"
        fitting: Named = {}
        if set(told) & set(wrong):
            fitting = named([rows[k] for k in told], [errors[k] for k in told], cases.reference, tolerance, known)
        found = failure(operation, rows, errors, wrong, cases.reference, tuple(fitting.get(operation, ())))
    return replace(found, first=None, reason=where)


def _comparable(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _error(row: Row, case: Case, cases: Cases) -> float:
    if case.operation == "schedule":
        return float(not np.array_equal(row.recorded, case.row.recorded))
    return row.error(cases.reference) if np.isfinite(row.recorded).all() else math.inf


# --- files ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vectors:
    """A folder of test vectors, as it was written.

    Attributes
    ----------
    folder : Path
    cases : int
    not_exercised : dict of str to list of str
        Corners that the model has no case of, by operation.
    """

    folder: Path
    cases: int
    not_exercised: dict[str, list[str]]


def write_vectors(folder: str | os.PathLike[str], model: Model) -> Vectors:
    """Write the cases of every operation; the folder appears whole or not at all.

    Parameters
    ----------
    folder : path-like
        A new one.
    model : Model

    Raises
    ------
    FileError
        When it is there already or cannot be written.
    """
    cases = _known_cases(model)
    missing = {name: corners for name in OPERATIONS if (corners := cases.not_exercised(name))}
    with new_folder(folder) as root:
        operations = [_write_operation(root, name, cases) for name in OPERATIONS]
        index = {
            "version": VERSION,
            "model": str(model.path or model.name),
            "model_fingerprint": model.fingerprint,
            "tolerance": TOLERANCE,
            "operations": operations,
        }
        (root / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Vectors(Path(folder), len(cases.every), missing)


def _write_operation(root: Path, name: str, cases: Cases) -> dict[str, Any]:
    row = OPERATIONS[name]
    written = []
    for case in cases.of(name):
        (root / case.name).mkdir(parents=True)
        inputs: dict[str, Any] = {}
        for value_name, value in case.inputs.items():
            for part, content in _parts(value_name, value, case):
                inputs[part] = _written(root, f"{case.name}/{part}.npy", content)
        output = f"{case.name}/{row.gives}.npy"
        np.save(root / output, case.row.recorded)
        entry = {"case": case.number, "corners": list(case.corners), "inputs": inputs, "output": output}
        written.append(entry)
    return {
        "name": name,
        "reads": {read: {"what": words(read), "unit": UNITS.get(read, "")} for read in row.reads},
        "gives": {row.gives: {"what": words(row.gives), "unit": UNITS.get(row.gives, "")}},
        "error": row.unit,
        "not_exercised": cases.not_exercised(name),
        "cases": written,
    }


def _parts(name: str, value: Any, case: Case) -> Iterator[tuple[str, Any]]:
    """What a value consists of: a part of the model is the arrays that its operation needs of it."""
    if isinstance(value, PDM):
        yield from ((f"{name}.{part}", getattr(value, part)) for part in ("mean", "modes", "variances"))
    elif isinstance(value, PatchExperts):
        yield from ((f"{name}.{part}", getattr(value, part)) for part in _OF_EXPERTS)
    elif isinstance(value, PatchScale):
        if case.operation == "sigma":
            experts = value.views[case.inputs["view"]]
            window = case.inputs["raw"].shape[-1]
            none = np.zeros((0, window**2, window**2), np.float32)
            yield f"{name}.components", value.sigma_components.get(window, none)
            yield f"{name}.betas", experts.betas
            yield f"{name}.sum_alphas", experts.sum_alphas
    else:
        yield name, value


_OF_EXPERTS = ("visible", "weights", "norm_weights", "bias", "alpha", "neurons", "betas", "patch_confidence")


def _written(root: Path, file: str, value: Any) -> str:
    """The name of a value's file; a word is told by the index itself."""
    if isinstance(value, (str, np.dtype)):
        return str(value)
    np.save(root / file, np.asarray(value))
    return file


UNITS: dict[str, str] = {
    "box": "x, y, width, height, image px", "rotation": "rx, ry, rz, rad", "pdm": "mean (3n,) and modes (3n, m): all x,"
    " all y, all z, model units; variances (m,)", "params": "scale; rx, ry, rz, rad; tx, ty, image px; m coefficients",
    "landmarks": "(n, 2) image px", "windows": "reference px", "schedule": "rows of patch scale and window",
    "patch_scaling": "px per model unit", "first_scaling": "px per model unit", "adapted": "σ, regularisation, weights",
    "chosen_sigma": "reference px", "view_centres": "(v, 3) rad", "view": "index", "image": "(H, W) grey levels",
    "base_shape": "(n, 2) image px", "reference_shape": "(n, 2) reference px", "window": "reference px",
    "image_to_reference": "(2, 2) reference px per image px", "reference_to_image": "(2, 2) image px per reference px",
    "visible": "(n,)", "support": "height, width of a neuron's weights, reference px",
    "area": "(n, w + h − 1, w + h − 1) grey levels", "neuron_ncc": "(n, K, w, w) −1…1", "neuron_output": "(n, K, w, w)",
    "raw": "(n, w, w)", "after_sigma": "(n, w, w)", "shifted": "(n, w, w)", "final": "(n, w, w)",
    "landmarks_before": "(n, 2) image px", "position": "(n, 2) dx, dy, cells", "kernel_sum": "(n,)",
    "sigma": "reference px", "mean_shift": "(n, 2) reference px", "mean_shift_image": "(n, 2) image px",
    "weights": "(n,)", "jacobian": "(2n, p) rows x of all, then y of all", "hessian": "(p, p)", "gradient": "(p,)",
    "delta": "(p,) as the parameters", "moved": "as the parameters", "likelihoods": "(n,)",
}  # fmt: skip
"""Of the values that operations read and give, by name: shape, frame and unit."""
UNITS["params_before"] = UNITS["params"]


# --- outputs of another program ---------------------------------------------------------------------


def check_vectors(
    folder: str | os.PathLike[str],
    outputs: str | os.PathLike[str],
    model: Model | None = None,
    tolerance: float = TOLERANCE,
    mistakes: Iterable[Mistake] = (),
) -> CheckFinding:
    """Compare what another program made of test vectors with what is right.

    Parameters
    ----------
    folder : path-like
        Of `write_vectors`.
    outputs : path-like
        A folder with files of the names that the index gives its outputs, as many as there are.
    model : Model, optional
        The one that the vectors were made with; found by the index's own path by default.
    tolerance : float
    mistakes : iterable of Mistake
        To try before those of the catalogue.

    Raises
    ------
    FileError
        When a file is missing or broken, an array has another shape, or the vectors are of another model.
    """
    index = _index(Path(folder))
    model = load_model(index["model"]) if model is None else model
    if index["model_fingerprint"] != model.fingerprint:
        problem = f"made with a model of fingerprint {index['model_fingerprint']}; {model.name} has {model.fingerprint}"
        raise FileError(Path(folder) / INDEX, "model_fingerprint", problem)
    if not os.path.isdir(outputs):
        raise FileError(outputs, "", "no such folder; expected the outputs of a program")
    cases = _known_cases(model)
    given = {}
    for case in cases.every:
        file = Path(outputs) / case.name / f"{OPERATIONS[case.operation].gives}.npy"
        if os.path.lexists(file):
            given[case.name] = _output(file, case)
    if not given:
        example = f"{cases.every[0].name}/{OPERATIONS[cases.every[0].operation].gives}.npy"
        raise FileError(outputs, "", f"holds no output; expected files such as {example}")
    known = (*mistakes, *CATALOGUE)
    found = tuple(_finding(cases, name, given, tolerance, known) for name in OPERATIONS)
    return CheckFinding(model.name, tolerance, found, told_by="the outputs hold")


def _index(folder: Path) -> dict[str, Any]:
    file = folder / INDEX
    data = read_file(file, "the index of test vectors", 1 << 26)
    try:
        index = json.loads(data)
    except ValueError as error:
        raise FileError(file, "", f"is not JSON ({error})") from error
    if not isinstance(index, dict) or index.get("version") != VERSION:
        raise FileError(file, "version", f"expected test vectors of version {VERSION}")
    if not isinstance(index.get("model"), str) or not isinstance(index.get("model_fingerprint"), str):
        raise FileError(file, "model", "expected a model and its model_fingerprint")
    return index


def _output(file: Path, case: Case) -> Array:
    data = read_file(file, "a .npy file", _MOST_BYTES)
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FileError(file, "", f"is no .npy file ({str(error).splitlines()[0]})") from error
    right = case.row.recorded
    if not isinstance(array, np.ndarray):
        raise FileError(file, "", "is no .npy file, but several in an archive")
    if array.dtype.kind not in "fiub" or array.size != np.size(right):
        found = f"an array of {array.dtype} {array.shape}"
        raise FileError(file, "", f"{found}; expected numbers of shape {np.shape(right)}")
    if array.shape not in (np.shape(right), (1, *np.shape(right))):
        raise FileError(file, "", f"an array of shape {array.shape}; expected {np.shape(right)}")
    return np.array(array).reshape(np.shape(right))
