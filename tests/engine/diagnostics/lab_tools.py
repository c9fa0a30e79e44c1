"""The tiny face fitted with chosen options, for the tests of the diagnostics."""

from __future__ import annotations

from typing import Any

from clnf_engine import FitOptions, Trace, fit, preset

from ..tiny_model import start, tiny_image, tiny_model

PORT = preset("pyclnf-2025-11")
"""On the tiny face too, this fit is chaotic."""


def run(options: FitOptions | None = None, **changes: Any) -> Trace:
    """A fit of the tiny face."""
    return fit(tiny_image(), tiny_model(), start(), options or FitOptions(**changes))


def no_stage() -> Trace:
    """A run without any iteration."""
    return run(windows=(0, 0))
