"""How mistakes are planted: a function takes the place of one method of the port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
