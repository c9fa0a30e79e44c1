"""Runs of the tiny model and what their Steps hold."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np

from clnf_engine import FitOptions, Initial, Model, Phase, Trace, fit
from clnf_engine.steps import MeanShift, ResponseMaps, describe

from .tiny_model import start, tiny_image, tiny_model

ITERATIONS = (Phase.RIGID, Phase.NONRIGID)


def arrays_in(record: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Every array a Step holds, nested ones included, by dotted name."""
    found = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            found[prefix + field.name] = value
        elif isinstance(value, (ResponseMaps, MeanShift)):
            found |= arrays_in(value, f"{prefix}{field.name}.")
    return found


def assert_finite(trace: Trace) -> None:
    for step in trace.steps:
        for name, array in arrays_in(step).items():
            assert np.isfinite(array).all(), f"{describe(step)}: {name}"
        for value in (step.update_norm, step.shape_change, step.likelihood):
            assert value is None or math.isfinite(value)


def run(
    image: np.ndarray | None = None, initial: Initial | None = None, model: Model | None = None, **options: Any
) -> Trace:
    return fit(
        tiny_image() if image is None else image, model or tiny_model(), initial or start(), FitOptions(**options)
    )
