"""Calibrations as files: a small JSON file beside a model's main file, or one among a person's own.

{"version": 1, "model": fingerprint, "basis": …, "faces": 70, "held_out": true, "error_limit_percent": 8.0,
"scales": [low, high], "options": {…}, "worked": [log-likelihood, …], "failed": […]}
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine.arrays import Floats, read_only
from clnf_engine.calibration import Calibration
from clnf_engine.errors import ModelFileError, OptionsError
from clnf_engine.io.files import atomic_write, read_file
from clnf_engine.model import Model
from clnf_engine.options import FitOptions

VERSION = 1
FOLDER_VARIABLE = "CLNF_CALIBRATIONS"
"""Environment variable with the folder of a person's own calibrations."""

_MAX_BYTES = 1 << 24
_DECIMALS = 4


def calibration_path(main_file: Path) -> Path:
    """Where the calibration of a model lies, beside its main file."""
    return main_file.with_suffix(".calibration.json")


def own_calibration_path(model: Model) -> Path:
    """Where a person keeps the calibration of a model whose own folder cannot be written; found by its fingerprint."""
    home = os.path.expanduser("~")
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_DATA_HOME")
    usual = Path(base or os.path.join(home, ".local", "share")) / "clnf-studio" / "calibrations"
    return Path(os.environ.get(FOLDER_VARIABLE) or usual) / f"{model.fingerprint}.json"


def find_calibration(model: Model) -> Calibration | None:
    """The calibration of a model: that beside its main file, else a person's own; None when there is neither.

    Raises
    ------
    ModelFileError
        When the file is broken, or made for another model.
    """
    beside = None if model.path is None else calibration_path(model.path)
    path = beside if beside is not None and beside.is_file() else own_calibration_path(model)
    if not path.is_file():
        return None
    calibration = read_calibration(path)
    if calibration.model != model.fingerprint:
        raise ModelFileError(
            path, "field 'model'", f"was made for another model than {model.name}; delete the file, or calibrate anew"
        )
    return calibration


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read a calibration.

    Raises
    ------
    ModelFileError
        When the file is missing, truncated or foreign; it names the field.
    """
    path = Path(path)
    data = read_file(path, "the calibration of a model", _MAX_BYTES, ModelFileError)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelFileError(path, "", "expected the calibration of a model, as JSON") from None
    if not isinstance(content, dict):
        raise ModelFileError(path, "", "expected the calibration of a model, an object of JSON")
    _expect(path, content, "version", content.get("version") == VERSION, str(VERSION))
    for name in ("model", "basis"):
        _expect(path, content, name, isinstance(content.get(name), str), "a text")
    faces = content.get("faces")
    _expect(path, content, "faces", type(faces) is int and faces >= 0, "a whole number")
    _expect(path, content, "held_out", isinstance(content.get("held_out"), bool), "true or false")
    limit: Any = content.get("error_limit_percent")
    scales: Any = content.get("scales")
    _expect(path, content, "error_limit_percent", _finite(limit) and limit > 0, "a number above 0")
    _expect(path, content, "scales", _numbers(scales) and len(scales) == 2, "two finite numbers")
    for name in ("worked", "failed"):
        _expect(path, content, name, _numbers(content.get(name)), "a list of finite numbers")
    return Calibration(
        model=content["model"],
        worked=_sorted(content["worked"]),
        failed=_sorted(content["failed"]),
        error_limit=float(limit),
        faces=content["faces"],
        held_out=content["held_out"],
        scales=(float(scales[0]), float(scales[1])),
        options=_options(path, content.get("options")),
        basis=content["basis"],
    )


def write_calibration(path: str | os.PathLike[str], calibration: Calibration) -> None:
    """Write a calibration, whole or not at all.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    content = {
        "version": VERSION,
        "model": calibration.model,
        "basis": calibration.basis,
        "faces": calibration.faces,
        "held_out": calibration.held_out,
        "error_limit_percent": calibration.error_limit,
        "scales": [round(value, _DECIMALS) for value in calibration.scales],
        "options": calibration.options.to_json(),
        "worked": np.round(calibration.worked, _DECIMALS).tolist(),
        "failed": np.round(calibration.failed, _DECIMALS).tolist(),
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    atomic_write(path, f"{{\n{lines}\n}}\n".encode())


def _expect(path: Path, content: dict[str, Any], name: str, sound: bool, expected: str) -> None:
    if not sound:
        found = repr(content[name]) if name in content else "nothing"
        found = found if len(found) <= 40 else f"{found[:40]}…"
        raise ModelFileError(path, f"field {name!r}", f"found {found}; expected {expected}")


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(_finite(value) for value in values)


def _sorted(values: list[float]) -> Floats:
    return read_only(np.sort(np.array(values, dtype=np.float64)))


def _options(path: Path, values: Any) -> FitOptions:
    if not isinstance(values, dict):
        raise ModelFileError(path, "field 'options'", "expected an object with the options of a fit")
    try:
        return FitOptions.from_json(values)
    except OptionsError as error:
        raise ModelFileError(path, "field 'options'", str(error)) from error
