"""What the modules of known mistakes share: how one is written down, and with which other inputs it computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.checking.evidence import Hypothesis, Inputs
from clnf_engine.checking.mistakes import Mistake
from clnf_engine.operations import OPERATIONS

ANGLES = "rx", "ry", "rz"
"""The Euler angles in words."""


class Known(list[Mistake]):
    """Mistakes in the order in which they are tried."""

    def at(self, operations: str, text: str) -> Callable[[Hypothesis], Hypothesis]:
        """Write down the decorated function as a mistake at operations; its name is that of the function."""

        def write_down(function: Hypothesis) -> Hypothesis:
            self.add(operations, function.__name__, text, function)
            return function

        return write_down

    def add(self, operations: str, name: str, text: str, function: Hypothesis) -> None:
        """Write down a mistake at operations, whose names have spaces between them."""
        self.extend(Mistake(name, operation, text, function) for operation in operations.split())


def right_with(v: Inputs, **inputs: Any) -> Any:
    """What the operation gives when some of the values it reads are others."""
    arguments = [inputs[name] if name in inputs else getattr(v, name) for name in OPERATIONS[v.operation].reads]
    return v.reference.functions[v.operation](*arguments)


def with_others(v: Inputs, **values: Any) -> Inputs:
    """The same values but for some that are others."""
    return Inputs(lambda name: getattr(v, name), lambda: v.out, values)


def similarity_scale(matrix: Floats) -> float:
    """The scale of a similarity, of its matrix, (2, 2)."""
    return math.sqrt(abs(float(np.linalg.det(matrix))))


def on(name: str, value: Any) -> Hypothesis:
    """The hypothesis that an operation reads another value, or what a function makes of the right one."""
    return lambda v: right_with(v, **{name: value(v) if callable(value) else value})


def scale_aside(v: Inputs, by: int) -> Any:
    """The patch scale that is so many further on."""
    scales = v.reference.model.scales
    return scales[(scales.index(v.scale) + by) % len(scales)]
