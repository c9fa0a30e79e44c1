"""Read-only arrays: what a Step or a Model holds can be shared, because nobody can change it."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
DType = np.dtype[Any]

FLOAT64: DType = np.dtype(np.float64)

_Array = TypeVar("_Array", bound=np.ndarray[Any, Any])
_Record = TypeVar("_Record")


def read_only(array: _Array) -> _Array:
    """Forbid writing to an array, and return it."""
    array.setflags(write=False)
    return array


def read_only_fields(record: _Record) -> _Record:
    """Forbid writing to every array among a dataclass instance's fields, and return the instance."""
    for value in vars(record).values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return record
