"""Python files with functions of a user's own, as the tests of engine, command and window write them."""

from __future__ import annotations

from pathlib import Path

DAMPED = """
from clnf_engine.pdm import update as moved

def update(params, delta):
    return moved(params, {factor} * delta)
"""


def damped(path: Path, factor: float = 0.75) -> Path:
    """A file whose update goes a part of the way: the deviation ``step_damping``."""
    path.write_text(DAMPED.format(factor=factor))
    return path
