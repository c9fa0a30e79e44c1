"""How mistakes are planted: a function takes the place of one method of the port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Model

from .port import Port

Function = Callable[..., Any]


@dataclass(frozen=True)
class Mistake:
    """One thing that ports get wrong.

    Attributes
    ----------
    name : str
    operations : tuple of str
        Where it shows: a check finds it at one of these, and nothing at any other.
    replaced : dict of str to function
        The method of `Port` that each function takes the place of; the port is its first argument.
    faces : tuple of str
        Where it is visible: landmarks or a recorded array differ from those of the clean port.
    hidden : tuple of str
        Faces on which it changes nothing.
    """

    name: str
    operations: tuple[str, ...]
    replaced: dict[str, Function]
    faces: tuple[str, ...]
    hidden: tuple[str, ...] = ()


MISTAKES: dict[str, Mistake] = {}
_matrices: dict[int, dict[tuple[int, ...], np.ndarray]] = {}
"""Sigma of every expert, of each model: ports without a mistake there need not invert it again."""


def plant(name: str, operations: str, faces: str = "tiny grace", hidden: str = "", **replaced: Function) -> None:
    """Add a mistake to the table; `operations`, `faces` and `hidden` are names with spaces between them."""
    assert name not in MISTAKES
    MISTAKES[name] = Mistake(name, tuple(operations.split()), replaced, tuple(faces.split()), tuple(hidden.split()))


def mistake(operations: str, method: str = "", faces: str = "tiny grace", hidden: str = "") -> Function:
    """Plant the decorated function in place of a method, by default the one named like the first operation."""

    place = method or operations.partition(" ")[0]

    def planted(function: Function) -> Function:
        plant(function.__name__, operations, faces, hidden, **{place: function})
        return function

    return planted


def faulty(names: tuple[str, ...], model: Model, options: FitOptions, dtype: Any = np.float64) -> Port:
    """A port with mistakes; those of a pair replace different methods."""
    port = Port(model, options, dtype)
    if all("sigma_matrix" not in MISTAKES[name].replaced for name in names):
        port.matrices = _matrices.setdefault(id(model), port.matrices)
    for name in names:
        for method, function in MISTAKES[name].replaced.items():
            assert method not in vars(port), f"{names} replace {method} twice"
            setattr(port, method, function.__get__(port))
    return port
