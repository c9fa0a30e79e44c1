"""The mistakes that are known by name, and those of a file of the user's."""

from __future__ import annotations

import os
import runpy

from clnf_engine.checking import (
    known_of_areas,
    known_of_equations,
    known_of_likelihoods,
    known_of_maps,
    known_of_neurons,
    known_of_shape,
    known_of_shifts,
    known_of_slips_in_maps,
    known_of_slips_in_steps,
    known_of_stages,
    known_of_updates,
)
from clnf_engine.checking.mistakes import Mistake
from clnf_engine.errors import FileError
from clnf_engine.operations import OPERATIONS

CATALOGUE: tuple[Mistake, ...] = (
    *known_of_shape.KNOWN,
    *known_of_stages.KNOWN,
    *known_of_areas.KNOWN,
    *known_of_neurons.KNOWN,
    *known_of_maps.KNOWN,
    *known_of_shifts.KNOWN,
    *known_of_equations.KNOWN,
    *known_of_updates.KNOWN,
    *known_of_likelihoods.KNOWN,
    *known_of_slips_in_maps.KNOWN,
    *known_of_slips_in_steps.KNOWN,
)
"""Every mistake that is known by name, in the order in which they are tried."""


def mistakes_of(path: str | os.PathLike[str]) -> tuple[Mistake, ...]:
    """The mistakes of a Python file of the user's, which is run: its list ``MISTAKES``.

    Raises
    ------
    FileError
        When it cannot be run, or has no such list.
    """
    try:
        found = runpy.run_path(os.fspath(path)).get("MISTAKES")
    except OSError as error:
        raise FileError(path, "", f"cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise FileError(path, "", f"fails when it is run ({type(error).__name__}: {error})") from error
    if not isinstance(found, (list, tuple)) or not all(isinstance(mistake, Mistake) for mistake in found):
        raise FileError(path, "", "expected a list MISTAKES of clnf_engine.checking.mistakes.Mistake")
    for mistake in found:
        if mistake.operation not in OPERATIONS:
            raise FileError(path, "MISTAKES", f"{mistake.name}: there is no operation {mistake.operation!r}")
    return tuple(found)
