"""A Python file of a user's, whose functions take the place of the operations that they are named after."""

from __future__ import annotations

import math
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from clnf_engine.deviations import Function
from clnf_engine.errors import FileError, OperationError
from clnf_engine.io.files import read_file
from clnf_engine.operations import OPERATIONS, in_place_of

STEP_SECONDS, FIT_SECONDS = 20.0, 600.0
"""How long a step, and a fit in all, may take, unless the file has numbers of these names."""

_MODULE = "own_functions"
"""Under which name the file is run; no ``__main__``, so that its own tests are not."""

_MAX_BYTES = 1 << 24

_NAMED = 6
"""So many names of a file without functions are told."""


@dataclass(frozen=True, eq=False)
class OwnFunctions:
    """What such a file holds.

    Attributes
    ----------
    path : Path
        Absolute.
    functions : dict of str to callable
        By the names of operations, as ``fit(…, replace=…)`` takes them.
    step_seconds, fit_seconds : float
        How long a step, and a fit in all, may take.
    """

    path: Path
    functions: dict[str, Function]
    step_seconds: float = STEP_SECONDS
    fit_seconds: float = FIT_SECONDS


def own_functions(path: str | os.PathLike[str]) -> OwnFunctions:
    """Run a Python file, and take its functions that are named after operations.

    Functions that it imports count, too, but for those of this package. What it imports is also looked for beside it.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    FileError
        When it cannot be read or run, names no operation, or a function does not fit in the place of one.
    """
    file = Path(path).absolute()
    source = read_file(file, "a Python file", _MAX_BYTES)
    sys.modules[_MODULE] = module = ModuleType(_MODULE)
    module.__file__ = str(file)
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    try:
        exec(compile(source, str(file), "exec"), vars(module))  # not from bytecode, which may be that of a save before
    except (Exception, SystemExit) as error:  # whatever a stranger's file raises
        raise told(error, file, {}) from error
    found = {name: value for name in OPERATIONS if callable(value := vars(module).get(name)) and not _ours(value)}
    if not found:
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        there = f"has {', '.join(names[:_NAMED])}, but" if names else "has"
        such = "expected one such as position, mean_shift or update"
        raise FileError(file, "", f"{there} no function named after an operation; {such}")
    for name, function in found.items():
        try:
            in_place_of(OPERATIONS[name], function)
        except OperationError as error:
            raise told(error, file, found) from error
    limits = (_seconds(file, module, "STEP_SECONDS", STEP_SECONDS), _seconds(file, module, "FIT_SECONDS", FIT_SECONDS))
    return OwnFunctions(file, found, *limits)


def _ours(value: Any) -> bool:
    """Whether it comes from this package, as what a file imports to build on does."""
    return str(getattr(value, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]


def _seconds(file: Path, module: ModuleType, name: str, default: float) -> float:
    value = getattr(module, name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise FileError(file, name, f"found {value!r:.60}; expected a number of seconds above 0")
    return float(value)


def told(error: BaseException, file: Path, functions: dict[str, Function]) -> FileError:
    """What a file's functions raised, in one sentence that names the line.

    Parameters
    ----------
    error : BaseException
        As it was caught.
    file : Path
        As it was compiled.
    functions : dict of str to callable
        Those taken from it: what is found wrong with a result is told of the line where its function begins.
    """
    if isinstance(error, OperationError) and error.operation:
        code = getattr(functions.get(error.operation), "__code__", None)
        line = f"line {code.co_firstlineno}, " if code is not None and code.co_filename == str(file) else ""
        return FileError(file, f"{line}{error.operation}", error.problem)
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return FileError(file, f"line {error.lineno}", f"is not Python: {error.msg}")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    what = " ".join("".join(traceback.format_exception_only(error)).split())
    where = "" if not frames else place(frames[-1].lineno or 0, frames[-1].name)
    return FileError(file, where, f"raised {what:.300}")


def place(line: int, name: str) -> str:
    """A place in a file: "line 12, update"; a line outside of all functions by its number alone."""
    return f"line {line}" if name == "<module>" else f"line {line}, {name}"
