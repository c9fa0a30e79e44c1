"""Ablation matrix: every deviation from OpenFace alone, and all but each, measured by where the fit ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from clnf_engine.deviations import DEVIATIONS, active, without_deviations
from clnf_engine.diagnostics.finding import Finding, Plot, Progress, Style, Table, no_progress
from clnf_engine.diagnostics.many_fits import many_fits
from clnf_engine.fitting import FitRow
from clnf_engine.model import Model
from clnf_engine.options import FitOptions, option_defaults
from clnf_engine.trace import Trace

_MOST = 2
"""Deviations that a verdict names after the first."""

NOTICEABLE_PX = 0.1
"""A deviation that moves the landmarks by less, on average, does not matter."""


@dataclass(frozen=True)
class Ablated:
    """What one deviation does; distances are means over the landmarks, image px, from the reference fit.

    Attributes
    ----------
    name : str
    on : bool
        Whether the run deviates so.
    alone : float
        Distance of the fit that deviates in nothing else.
    alone_update : float
        Its final ‖Δp‖.
    without : float or None
        Distance of the run without this deviation; None when it is not on.
    without_update : float or None
    """

    name: str
    on: bool
    alone: float
    alone_update: float
    without: float | None
    without_update: float | None

    @property
    def label(self) -> str:
        """Title and name of the deviation."""
        return DEVIATIONS[self.name].label


@dataclass(frozen=True)
class AblationFinding(Finding):
    """What every deviation does to a run.

    Attributes
    ----------
    rows : tuple of Ablated
        Those that are on first, each kind by `Ablated.alone`, the culprit first.
    distance, update_norm : float
        Of the run itself: mean distance from the reference fit, image px, and final ‖Δp‖.
    reference_update_norm : float
        Final ‖Δp‖ of the reference fit: the same settings without any deviation.
    openface_distance : float
        Mean distance of the reference fit from that of OpenFace's own settings, image px.
    """

    question: ClassVar[str] = "Does a deviation from OpenFace move this fit, and which?"
    wanted: ClassVar[bool | None] = False
    provenance: ClassVar[str] = "The fit run again with other deviations, all else being equal."

    rows: tuple[Ablated, ...]
    distance: float
    update_norm: float
    reference_update_norm: float
    openface_distance: float

    @property
    def culprits(self) -> tuple[Ablated, ...]:
        """The deviations that are on and move the fit noticeably on their own, the worst first."""
        return tuple(row for row in self.rows if row.on and row.alone > NOTICEABLE_PX)

    @property
    def answer(self) -> bool | None:
        """Whether one does."""
        return None if math.isnan(self.update_norm) else bool(self.culprits)

    @property
    def verdict(self) -> str:
        """The culprits, the worst first."""
        if self.answer is None:
            return "It cannot be told: the fit has no iterations."
        names = [row.label for row in self.rows if row.on]
        if not names:
            worst = self.rows[0]
            return f"No: none is on. {worst.label} would do most: it would move the landmarks by {worst.alone:.3g} px."
        ends = f"the run ends {self.distance:.3g} px from the fit without deviations"
        if not self.culprits:
            return f"No: none of {', '.join(names)} moves it by more than {NOTICEABLE_PX:g} px alone; {ends}."
        first, *others = (f"{row.label}, {row.alone:.3g} px alone" for row in self.culprits)
        then = f"; then {'; '.join(others[:_MOST])}" if others else ""
        then += f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
        return f"Yes: most of all {first}{then}; {ends}."

    def tables(self) -> tuple[Table, ...]:
        """Every deviation, and the run itself."""
        numbers = ("alone, px", "alone, final update", "all but it, px", "all but it, final update")
        columns = ("deviation", "option", "on", *numbers)
        rows = tuple(
            (DEVIATIONS[r.name].title, r.name, r.on, r.alone, r.alone_update, r.without, r.without_update)
            for r in self.rows
        )
        runs = (
            ("this run", self.distance, self.update_norm),
            ("the same settings without deviations (the reference)", 0.0, self.reference_update_norm),
            ("OpenFace's own settings", self.openface_distance, None),
        )
        return (
            Table("Deviations", columns, rows, tuple(row.name for row in self.rows)),
            Table("Distance from the reference fit", ("run", "mean landmark distance, px", "final update"), runs),
        )

    def plots(self) -> tuple[Plot, ...]:
        """Distances as bars."""
        x = np.arange(len(self.rows), dtype=np.float64)
        names = tuple(DEVIATIONS[row.name].title for row in self.rows)
        without = [np.nan if row.without is None else row.without for row in self.rows]
        alone = [row.alone or np.nan for row in self.rows]
        series = {"alone": np.array(alone), "all but it": np.array(without)}
        title = "Distance from the reference fit"
        return (Plot(title, "deviation", "px", x, series, names, log_y=True, style=Style.BARS),)


def ablation(trace: Trace, model: Model, progress: Progress = no_progress) -> AblationFinding:
    """Run a fit again with every deviation alone, and with all of its own but each.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one that made it.
    progress : Progress

    Returns
    -------
    AblationFinding
    """
    options, reference = trace.options, without_deviations(trace.options)
    on = active(options)
    alone = {name: replace(reference, **{name: _value(options, name)}) for name in DEVIATIONS}
    without = {name: replace(options, **{name: option_defaults()[name]}) for name in on}
    variants = [reference, options, FitOptions(), *alone.values(), *without.values()]
    jobs = [(trace.initial, variant) for variant in variants]
    base, whole, openface, *fits = many_fits(trace.image, model, jobs, progress)
    fits_alone = dict(zip(alone, fits, strict=False))
    fits_without = dict(zip(without, fits[len(alone) :], strict=True))
    rows = []
    for name in DEVIATIONS:
        rest = fits_without.get(name)
        rows.append(
            Ablated(
                name=name,
                on=name in on,
                alone=_distance(fits_alone[name], base),
                alone_update=fits_alone[name].update_norm,
                without=None if rest is None else _distance(rest, base),
                without_update=None if rest is None else rest.update_norm,
            )
        )
    rows.sort(key=lambda row: (not row.on, -row.alone))
    return AblationFinding(
        rows=tuple(rows),
        distance=_distance(whole, base),
        update_norm=whole.update_norm,
        reference_update_norm=base.update_norm,
        openface_distance=_distance(openface, base),
    )


def _value(options: FitOptions, name: str) -> Any:
    """The deviating value of an option: the run's own where it deviates."""
    deviation = DEVIATIONS[name]
    return getattr(options, name) if deviation.on(options) else deviation.value


def _distance(a: FitRow, b: FitRow) -> float:
    return float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean())
