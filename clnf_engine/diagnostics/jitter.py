"""Jitter ensemble: how far runs part that start a billionth of a pixel apart, and so whether a difference is noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Floats, read_only_fields
from clnf_engine.diagnostics.finding import Finding, Plot, Progress, Table, no_progress
from clnf_engine.diagnostics.many_fits import many_fits
from clnf_engine.fitting import FitRow
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.trace import Trace

JITTER_PX = 1e-9
"""By which the start of each run is moved, at most, image px per axis."""

RUNS = 20
"""Pairs of runs."""

GROWN = 100
"""A jitter that becomes this many times larger has been amplified."""

SHARE = 95
"""Percentile of the differences between runs of the same options below which a difference is noise."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Differences of one quantity within and between two ensembles.

    Attributes
    ----------
    within : float
        `SHARE` percentile of the difference of two runs of the same options; of A or of B, whichever is larger.
    between : float
        Median difference of a run of A and a run of B.
    """

    within: float
    between: float

    @property
    def noise(self) -> bool:
        """Whether A and B differ no more than each does from itself, or no more than the jitter itself."""
        return self.between <= max(self.within, JITTER_PX)


@dataclass(frozen=True, eq=False)
class JitterFinding(Finding):
    """Two ensembles of runs from jittered starts.

    Attributes
    ----------
    updates_a, updates_b : (runs,) float64
        Final ‖Δp‖.
    landmarks, updates : Spread
        Of the final landmarks (largest distance of a landmark, image px) and of the final ‖Δp‖.
    distance_a : (iterations,) float64
        Median over the runs of A of the distance from the first of them, image px.
    seed : int
    """

    question: ClassVar[str] = "Is the difference between the two runs noise?"
    wanted: ClassVar[bool | None] = True
    provenance: ClassVar[str] = (
        f"{RUNS} fits of each run's options from starts moved by up to {JITTER_PX:g} px, seeded."
    )

    updates_a: Floats
    updates_b: Floats
    landmarks: Spread
    updates: Spread
    distance_a: Floats
    seed: int

    @property
    def answer(self) -> bool | None:
        """Whether neither landmarks nor updates differ more between A and B than within each."""
        if np.isnan(self.updates_a).any() or np.isnan(self.updates_b).any():
            return None
        return self.landmarks.noise and self.updates.noise

    @property
    def verdict(self) -> str:
        """What a difference must exceed to mean something."""
        if self.answer is None:
            return "It cannot be told: a run had no iterations."
        a, b, landmarks, updates = self.updates_a, self.updates_b, self.landmarks, self.updates
        answer = "Yes" if self.answer else "No"
        most = self.distance_a.max()
        grown = f" In A {JITTER_PX:g} px become {most:.2g} px." if most > GROWN * JITTER_PX else ""
        return (
            f"{answer}: differences below {landmarks.within:.2g} px and {updates.within:.2g} of the final update are "
            f"noise, and runs of A and B differ by {landmarks.between:.2g} px and {updates.between:.2g} in the median. "
            f"The final update is {a.mean():.3g} ± {a.std():.2g} in A and {b.mean():.3g} ± {b.std():.2g} in B; it is "
            f"smaller in A in {int((a < b).sum())} of {len(a)} pairs.{grown}"
        )

    def tables(self) -> tuple[Table, ...]:
        """Noise levels; every pair of runs."""
        levels = (
            ("final landmarks, px", self.landmarks.within, self.landmarks.between, self.landmarks.noise),
            ("final update", self.updates.within, self.updates.between, self.updates.noise),
        )
        pairs = tuple(
            zip(range(1, len(self.updates_a) + 1), self.updates_a.tolist(), self.updates_b.tolist(), strict=True)
        )
        return (
            Table("Noise", ("quantity", f"noise ({SHARE} %)", "A − B (median)", "noise"), levels),
            Table("Final update of every run", ("pair", "A", "B"), pairs),
        )

    def plots(self) -> tuple[Plot, ...]:
        """Final updates; growth of the jitter."""
        runs = np.arange(1, len(self.updates_a) + 1, dtype=np.float64)
        updates = {"A": self.updates_a, "B": self.updates_b}
        x = np.arange(1, len(self.distance_a) + 1, dtype=np.float64)
        distance = np.where(self.distance_a > 0, self.distance_a, np.nan)
        return (
            Plot("Final update of every run", "pair", "‖Δp‖", runs, updates),
            Plot(f"What becomes of {JITTER_PX:g} px", "iteration of the run", "px", x, {"A": distance}, log_y=True),
        )


def jitter(
    a: Trace, b: Trace, model: Model, progress: Progress = no_progress, runs: int = RUNS, seed: int = 0
) -> JitterFinding:
    """Run both fits from starts moved by next to nothing.

    Parameters
    ----------
    a, b : Trace
        Of the same image.
    model : Model
        The one that made them.
    progress : Progress
    runs : int
        Pairs, at least 2.
    seed : int
        The same seed gives the same starts.

    Returns
    -------
    JitterFinding
    """
    rng = np.random.default_rng(seed)
    moves = rng.uniform(-JITTER_PX, JITTER_PX, (runs, 2))
    jobs = [(_moved(trace.initial, move), trace.options) for move in moves for trace in (a, b)]
    fits = many_fits(a.image, model, jobs, progress)
    fits_a, fits_b = fits[::2], fits[1::2]
    updates_a, updates_b = (np.array([one.update_norm for one in fits]) for fits in (fits_a, fits_b))
    length = min(len(one.path) for one in fits_a)
    paths = np.array([one.path[:length] for one in fits_a])
    distance = np.median(np.linalg.norm(paths[1:] - paths[0], axis=3).max(axis=2), axis=0)
    return read_only_fields(
        JitterFinding(
            updates_a=updates_a,
            updates_b=updates_b,
            landmarks=_landmark_spread(fits_a, fits_b),
            updates=_spread(*(np.abs(x[:, None] - y) for x, y in _pairings(updates_a, updates_b))),
            distance_a=distance,
            seed=seed,
        )
    )


def _moved(initial: Initial, move: Floats) -> Initial:
    params = initial.params.copy()
    params[4:6] += move
    return replace(initial, params=params)


def _pairings(a: Floats, b: Floats) -> tuple[tuple[Floats, Floats], ...]:
    return (a, a), (b, b), (a, b)


def _landmark_spread(fits_a: list[FitRow], fits_b: list[FitRow]) -> Spread:
    ends = [np.array([one.landmarks for one in fits]) for fits in (fits_a, fits_b)]
    return _spread(*(np.linalg.norm(x[:, None] - y[None], axis=3).max(axis=2) for x, y in _pairings(*ends)))


def _spread(within_a: Floats, within_b: Floats, between: Floats) -> Spread:
    """From the (runs, runs) differences of A with A, B with B and A with B."""
    others = ~np.eye(len(within_a), dtype=bool)
    within = max(float(np.percentile(d[others], SHARE)) for d in (within_a, within_b))
    return Spread(within, float(np.median(between)))
