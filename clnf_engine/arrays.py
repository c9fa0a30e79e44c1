"""Read-only arrays: what a Step or a Model holds can be shared, because nobody can change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
DType = np.dtype[Any]

FLOAT64: DType = np.dtype(np.float64)

_MOST_TOLD = 6
"""Items of a tuple that are told one by one."""

_Array = TypeVar("_Array", bound=np.ndarray[Any, Any])
_Record = TypeVar("_Record")
_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


def read_only(array: _Array) -> _Array:
    """Forbid writing to an array, and return it."""
    array.setflags(False)  # type: ignore[call-arg] # its name, which NumPy's stubs want, takes twice as long
    return array


def read_only_fields(record: _Record) -> _Record:
    """Forbid writing to every array among a dataclass instance's fields, and return the instance."""
    for value in vars(record).values():
        if isinstance(value, np.ndarray):
            read_only(value)
    return record


def brief(record: Any) -> str:
    """A dataclass instance as text for people: arrays by dtype and shape, long tuples by what they hold, no Nones.

    To be its class's ``__repr__``: in an interactive Python nobody reads thousands of numbers.
    """
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    told = ", ".join(f"{name}={_brief(value)}" for name, value in values if value is not None)
    return f"{type(record).__name__}({told})"


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_brief(item)}" for key, item in value.items()) + "}"
    if type(value) is tuple:
        if len(value) > _MOST_TOLD:
            return f"<{len(value)} of {type(value[0]).__name__}>"
        return f"({', '.join(map(_brief, value))}{',' * (len(value) == 1)})"
    return repr(value)


def remembering_last(function: Callable[[*_Arguments], _Result]) -> Callable[[*_Arguments], _Result]:
    """Make a function remember its last result, for a call with the very same objects.

    Two equations that share a product need not compute it twice. Calls with an array that can be changed are not
    remembered. Any threads may call.
    """
    last: tuple[Any, Any, Any] = ((), None, None)

    @wraps(function)
    def remembering(*arguments: *_Arguments) -> _Result:
        nonlocal last
        key, _, result = last
        here = tuple(map(id, arguments))
        if here != key:
            result = function(*arguments)
            for value in arguments:
                if isinstance(value, np.ndarray) and value.flags.writeable:
                    break
            else:
                last = (here, arguments, result)  # the arguments are kept, so that their ids stay theirs
        return result  # type: ignore[no-any-return]

    return remembering


@remembering_last
def all_of(flags: NDArray[np.bool_]) -> bool:
    """Whether all are true."""
    return bool(flags.all())
