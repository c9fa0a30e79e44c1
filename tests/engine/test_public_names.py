"""The names of `clnf_engine.__all__`: found by completion, documented whole, with examples that run."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpydoc.validate
import pytest

import clnf_engine

NAMES = sorted(clnf_engine.__all__)
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(clnf_engine, name))]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(clnf_engine, name))]

OF_ALL = {"GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "GL08", "GL10", "SS01", "SS02", "SS03", "SS04"}
"""Form and summary."""
OF_FUNCTIONS = {"PR01", "PR02", "PR03", "PR04", "PR05", "PR10", "RT01", "RT04", "RT05", "YD01", "EX01"} | OF_ALL
"""Every parameter with its type, what is returned or yielded, an example."""


def problems(name: str, wanted: set[str]) -> list[str]:
    found = numpydoc.validate.validate(f"clnf_engine.{name}")
    yields = "Yields\n" in str(found["docstring"])  # a function may return the generator that another makes
    return [f"{name}: {text}" for code, text in found["errors"] if code in wanted - ({"RT01"} if yields else set())]


def methods(name: str) -> list[str]:
    kind = getattr(clnf_engine, name)
    own = (member for member, value in vars(kind).items() if isinstance(inspect.unwrap(_plain(value)), type(_plain)))
    return [f"{name}.{member}" for member in own if not member.startswith("_")]


def _plain(value: Any) -> Any:
    return value.__func__ if isinstance(value, classmethod | staticmethod) else value


def test_functions_are_documented_whole() -> None:
    assert [line for name in FUNCTIONS for line in problems(name, OF_FUNCTIONS)] == []


def test_classes_and_their_methods_are_documented() -> None:
    of_methods = OF_FUNCTIONS - {"EX01"}
    assert [line for name in CLASSES for line in problems(name, OF_ALL)] == []
    assert [line for name in CLASSES for method in methods(name) for line in problems(method, of_methods)] == []


def test_errors_are_documented() -> None:
    """A function that raises says so, whatever it calls."""
    silent = [
        name
        for name in FUNCTIONS
        if "raise " in inspect.getsource(getattr(clnf_engine, name))
        and "Raises\n" not in (getattr(clnf_engine, name).__doc__ or "")
    ]
    assert silent == []


@pytest.mark.parametrize("name", ["__init__", *FUNCTIONS])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    documented: Any = clnf_engine if name == "__init__" else getattr(clnf_engine, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(documented, name, globs={})
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner().run(example, out=said.append)
    assert "".join(said) == ""


def test_names_are_found_without_being_loaded() -> None:
    """What an interactive Python completes, and what `help` lists; and a plain import loads no NumPy."""
    lines = (
        "import sys, clnf_engine",
        "print('numpy' in sys.modules, 'ast' in sys.modules)",
        "print(dir(clnf_engine))",
        "print('numpy' in sys.modules)",
        "from clnf_engine import *",
        "print(fit.__module__, sample.__module__)",
    )
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout
    before, names, after, modules = said.splitlines()
    assert (before, after, modules) == ("False False", "False", "clnf_engine.fitting clnf_engine.samples")
    assert {"fit", "load_model", "read_image", "sample", "Trace"} <= set(eval(names))


def test_an_unknown_sample() -> None:
    with pytest.raises(ValueError, match="no sample 'landscape'; expected 'portrait'"):
        clnf_engine.sample("landscape")
