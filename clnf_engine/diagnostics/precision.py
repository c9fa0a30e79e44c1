"""Precision: whether float32 would change the fit, and how small response maps must be before it does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Array, DType, Floats, read_only_fields
from clnf_engine.diagnostics.divergence import Growth, growth
from clnf_engine.diagnostics.finding import Finding, Plot, Progress, Table, no_progress
from clnf_engine.fitting import fit
from clnf_engine.mean_shift import mean_shift
from clnf_engine.model import Model
from clnf_engine.options import Precision
from clnf_engine.steps import Step, describe
from clnf_engine.trace import Trace, landmark_distance

PEAKS: Floats = 10.0 ** np.arange(0, -46, -1, dtype=np.float64)
"""Maxima that every map is scaled to, one after the other."""

SHIFT_LIMIT = 5e-6
"""Largest difference of a mean-shift that is rounding, reference px."""

LANDMARK_LIMIT_PX = 0.05
"""Final landmarks that differ by no more are the same for every purpose, image px."""

POSITION_GRID = 64
"""Positions are rounded to a 64th of a cell, exact in float32: both precisions read the same entry of the table."""


@dataclass(frozen=True, eq=False)
class PrecisionFinding(Finding):
    """What float32 does to the mean-shifts and to the whole fit.

    Attributes
    ----------
    peaks : (k,) float64
        Maxima that the maps were scaled to, descending.
    errors : (k,) float64
        Largest difference between a mean-shift in float32 and in float64, reference px; NaN when there was none.
    growth : Growth
        Of the difference between the whole fit in float32 and in float64.
    final_distance : float
        Largest distance between a final landmark and itself in the other precision, image px.
    """

    question: ClassVar[str] = "Does float32 change the fit?"
    wanted: ClassVar[bool | None] = False
    provenance: ClassVar[str] = (
        "The fit's own maps and positions put through its own mean-shift in both precisions, and the fit run in both."
    )

    peaks: Floats
    errors: Floats
    growth: Growth
    final_distance: float

    @property
    def breaks_below(self) -> float | None:
        """The largest of `peaks` at which float32 is off by more than `SHIFT_LIMIT`; None when there is none."""
        broken = np.flatnonzero(self.errors > SHIFT_LIMIT)
        return float(self.peaks[broken[0]]) if broken.size else None

    @property
    def answer(self) -> bool | None:
        """Whether the landmarks end elsewhere."""
        return None if np.isnan(self.errors).all() else self.final_distance > LANDMARK_LIMIT_PX

    @property
    def verdict(self) -> str:
        """By how much, and where a single mean-shift would break."""
        if self.answer is None:
            return "It cannot be told: the fit has no mean-shifts."
        broken = self.breaks_below
        sound = self.errors[: len(self.errors) if broken is None else int(np.argmax(self.peaks == broken))]
        worst = float(sound.max()) if sound.size else float("nan")
        where = "at no peak tried" if broken is None else f"only when the maps peak at {broken:.0e} (denormal numbers)"
        if broken is not None and broken > np.finfo(np.float32).tiny:
            where = f"when the maps peak at {broken:.0e}"
        shifts = f"a mean-shift in float32 is off by at most {worst:.1g} reference px and breaks {where}"
        if not self.answer:
            return f"No: {shifts}; the landmarks end {self.final_distance:.1g} px apart."
        return (
            f"Yes, the landmarks end {self.final_distance:.2g} px apart, but not through underflow: {shifts}; "
            "the fit makes that difference large."
        )

    def tables(self) -> tuple[Table, ...]:
        """Error per peak; difference per iteration."""
        per_peak = tuple(zip(self.peaks.tolist(), self.errors.tolist(), strict=True))
        steps = self.growth.steps
        rows = tuple((describe(s), float(d)) for s, d in zip(steps, self.growth.distance, strict=True))
        return (
            Table("Mean-shifts of maps scaled to a peak", ("peak", "largest error, reference px"), per_peak),
            Table(
                "The fit in float32 and float64",
                ("iteration", "largest landmark distance, px"),
                rows,
                tuple(s.place for s in steps),
            ),
        )

    def plots(self) -> tuple[Plot, ...]:
        """Error over the peak."""
        errors = np.where(self.errors > 0, self.errors, np.nan)
        return (
            Plot(
                "Float32 error of a mean-shift",
                "log10 of the maps' peak",
                "px",
                np.log10(self.peaks),
                {"error": errors},
                log_y=True,
            ),
        )


def precision(trace: Trace, model: Model, progress: Progress = no_progress) -> PrecisionFinding:
    """Compare float32 with float64: single mean-shifts of ever smaller maps, and the whole fit.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one that made it.
    progress : Progress

    Returns
    -------
    PrecisionFinding
    """
    indices = [index for index, step in enumerate(trace.numbers) if step.mean_shift is not None]
    sample = [trace.steps[index] for index in indices[:: max(len(indices) // 8, 1)]]
    errors = []
    for k, peak in enumerate(PEAKS):
        progress(k, len(PEAKS) + 2)
        errors.append(max((_error(trace, step, float(peak)) for step in sample), default=float("nan")))
    runs = []
    for k, kind in enumerate((Precision.FLOAT32, Precision.FLOAT64)):
        progress(len(PEAKS) + k, len(PEAKS) + 2)
        options = replace(trace.options, precision=kind)
        runs.append(trace if options == trace.options else fit(trace.image, model, trace.initial, options))
    progress(len(PEAKS) + 2, len(PEAKS) + 2)
    distance = landmark_distance(runs[0].landmarks, runs[1].landmarks)
    return read_only_fields(PrecisionFinding(PEAKS.copy(), np.array(errors), growth(*runs), distance))


def _error(trace: Trace, step: Step, peak: float) -> float:
    """Largest difference of a step's mean-shifts in the two precisions, its maps scaled to a peak."""
    assert step.responses is not None and step.mean_shift is not None and step.stage is not None
    maps = step.responses.final.astype(np.float64)
    top = maps.max(axis=(1, 2), keepdims=True)
    scaled = np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)
    positions = np.round(step.mean_shift.position * POSITION_GRID) / POSITION_GRID
    # Both precisions get the very same numbers, as far as float32 can hold them at a peak of one.
    scaled = scaled.astype(np.float32).astype(np.float64) * peak
    shifts = [_shifts(trace, step, scaled, positions, np.dtype(kind)) for kind in (np.float32, np.float64)]
    return float(np.abs(shifts[0].astype(np.float64) - shifts[1]).max())


def _shifts(trace: Trace, step: Step, maps: Floats, positions: Array, dtype: DType) -> Array:
    assert step.responses is not None and step.stage is not None
    responses = replace(step.responses, final=maps.astype(dtype))
    return mean_shift(positions.astype(dtype), responses, step.stage.sigma, trace.options.kernel).reference
