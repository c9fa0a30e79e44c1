"""Coverage: which operations a trace puts to no test, although it records them. Passed is not tested."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from clnf_engine.checking.evidence import Reference
from clnf_engine.checking.rows import UNFITTING, Row
from clnf_engine.pdm import RIGID


def not_exercised(operation: str, rows: Sequence[Row], reference: Reference) -> str:
    """Why the rows of an operation are no test of it, in words; "" when they are."""
    reason = _REASONS.get(operation)
    return "" if reason is None else reason(rows, reference)


def _clamp(rows: Sequence[Row], reference: Reference) -> str:
    pdm, sigmas = reference.model.pdm, reference.options.clamp_sigmas
    bound = sigmas * np.sqrt(pdm.variances)
    for row in rows:
        try:
            moved = row.moment.computed("moved", reference)
        except UNFITTING:
            continue
        if (np.abs(moved[RIGID:]) > bound).any() or (np.abs(moved[1:4]) > math.pi / 2).any():
            return ""
    return "no mode and no angle reaches its bound"


def _shift(rows: Sequence[Row], reference: Reference) -> str:
    for row in rows:
        if row.moment.value("after_sigma", reference).min() < 0:
            return ""
    return "no map is negative anywhere"


def _view(_: Sequence[Row], reference: Reference) -> str:
    several = any(len(scale.views) > 1 for scale in reference.model.scales)
    return "" if several else "the model has one view only"


def _jacobian(rows: Sequence[Row], reference: Reference) -> str:
    turned = (np.abs(row.moment.value("params_before", reference)[1:4]).max() > 1e-6 for row in rows)
    return "" if any(turned) else "the head is never turned"


def _sigma(rows: Sequence[Row], reference: Reference) -> str:
    for row in rows:
        constants = row.moment.constants(reference)
        components = constants["scale"].sigma_components.get(constants["window"])
        if components is not None and len(components):
            return ""
    return "the model has no Sigma components for these windows"


_REASONS: dict[str, Callable[[Sequence[Row], Reference], str]] = {
    "clamp": _clamp,
    "shift": _shift,
    "view": _view,
    "jacobian": _jacobian,
    "sigma": _sigma,
}
