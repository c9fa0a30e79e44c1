"""Read-only arrays: what a Step or a Model holds can be shared, because nobody can change it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

_Array = TypeVar("_Array", bound=np.ndarray[Any, Any])
_Record = TypeVar("_Record")


def read_only(array: _Array) -> _Array:
    """Forbid writing to an array, and return it."""
    array.flags.writeable = False
    return array


def read_only_fields(record: _Record) -> _Record:
    """Forbid writing to every array among a dataclass instance's fields, and return the instance."""
    for field in fields(record):  # type: ignore[arg-type]
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return record
