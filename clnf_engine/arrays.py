"""Read-only arrays: what a Step or a Model holds can be shared, because nobody can change it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
DType = np.dtype[Any]

FLOAT64: DType = np.dtype(np.float64)

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
