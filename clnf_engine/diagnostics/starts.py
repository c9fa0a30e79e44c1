"""Starts: whether a fit that begins turned, resized or shifted ends elsewhere, where the maps are likelier."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import numpy as np

from clnf_engine.accuracy import accuracy
from clnf_engine.calibration import judge, likelihood_text
from clnf_engine.choice import MARGIN, choose
from clnf_engine.diagnostics.finding import Finding, Plot, Progress, Table, no_progress
from clnf_engine.diagnostics.many_fits import many_fits
from clnf_engine.fitting import FitRow, fit
from clnf_engine.initial import Initial, moved
from clnf_engine.model import Model
from clnf_engine.steps import Stage
from clnf_engine.trace import Trace

ELSEWHERE_PX = 1.0
"""Mean distance below which two ends are the same for every purpose; five iterations a phase leave about as much."""

ROLLS = tuple(range(-60, 75, 15))
"""Degrees, clockwise where positive."""

_YAWS = (-30, 30)
_SCALES = (0.8, 1.25)
_SHIFTS = ((-0.15, 0.0), (0.15, 0.0), (0.0, -0.15), (0.0, 0.15))
_SHIFTED_ROLLS = (-30, 0, 30)
_SIDES = {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}


@dataclass(frozen=True)
class Move:
    """How a start differs from that of the run.

    Attributes
    ----------
    roll, yaw : int
        Degrees.
    scale : float
    shift : (x, y)
        Shares of the box around the start's landmarks.
    """

    roll: int = 0
    yaw: int = 0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def apply(self, model: Model, initial: Initial) -> Initial:
        """The start so moved; the very same where nothing is moved."""
        if self == Move():
            return initial
        return moved(model, initial, math.radians(self.roll), math.radians(self.yaw), self.scale, self.shift)

    def __str__(self) -> str:
        """In words, such as "turned by −30°, scaled by 1.25"."""
        words = [f"turned by {_signed(self.roll)}°"] if self.roll else []
        words += [f"yawed by {_signed(self.yaw)}°"] if self.yaw else []
        words += [f"scaled by {self.scale:g}"] if self.scale != 1 else []
        words += [f"shifted {self.shift_text}"] if any(self.shift) else []
        return ", ".join(words) or "as it is"

    @property
    def shift_text(self) -> str:
        """The shift in words, such as "15 % left"."""
        if not any(self.shift):
            return "none"
        x, y = self.shift
        return f"{100 * max(abs(x), abs(y)):.0f} % {_SIDES[(int(np.sign(x)), int(np.sign(y)))]}"


_JUDGED = {True: "; that end has probably failed, too", False: "; that end has probably worked", None: ""}
"""What the model's calibration says of the likeliest end: likelier is not yet right."""

MOVES = tuple(
    dict.fromkeys(
        [
            Move(),
            *(Move(roll, yaw) for roll, yaw in product(ROLLS, (0, *_YAWS))),
            *(Move(roll, scale=scale) for roll, scale in product(ROLLS, _SCALES)),
            *(Move(yaw=yaw, scale=scale) for yaw, scale in product(_YAWS, _SCALES)),
            *(Move(roll, shift=shift) for roll, shift in product(_SHIFTED_ROLLS, _SHIFTS)),
        ]
    )
)
"""The run's own start, and those around it: every roll, alone and with a yaw or another scale, and a few more pairs."""


@dataclass(frozen=True, eq=False)
class Start:
    """A start and where the fit from there ended.

    Attributes
    ----------
    move : Move
    initial : Initial
    likelihood : float or None
        Log-likelihood of the end; None when the fit failed.
    distance : float
        Mean distance of the final landmarks from those of the run, image px.
    problem : str
        Why the likelihood cannot be compared with the others; "" when it can.
    """

    move: Move
    initial: Initial
    likelihood: float | None
    distance: float
    problem: str


@dataclass(frozen=True, eq=False)
class StartsFinding(Finding):
    """Fits from starts around that of a run.

    Attributes
    ----------
    own : Start
        That of the run.
    starts : tuple of Start
        All, the run's own too: by likelihood, the highest first, then those that cannot be compared, then failed ones.
    best_failed : bool or None
        Whether the fit from the best start has probably failed, too; None when that cannot be told.
    """

    question: ClassVar[str] = "Would another start end better?"
    wanted: ClassVar[bool | None] = False
    provenance: ClassVar[str] = (
        f"{len(MOVES)} fits with this run's options, from its own start and from others around it. Likelihoods are "
        "compared only where the last stage is the same."
    )

    own: Start
    starts: tuple[Start, ...]
    best_failed: bool | None = None

    @property
    def best(self) -> Start | None:
        """The start that ends at the highest comparable likelihood."""
        return next((start for start in self.starts if not start.problem), None)

    @property
    def answer(self) -> bool | None:
        """Whether the best start ends so much likelier that it is chosen, and more than `ELSEWHERE_PX` away."""
        best = self.best
        if best is None or best.likelihood is None:
            return None
        if self.own.problem or self.own.likelihood is None:
            return True
        return choose((self.own.likelihood, best.likelihood)) == 1 and best.distance > ELSEWHERE_PX

    @property
    def verdict(self) -> str:
        """Which, and how much better."""
        best, own = self.best, self.own
        if best is None or best.likelihood is None:
            return f"It cannot be told: no fit from any of {len(self.starts)} starts succeeded."
        ends = f"Yes: {best.move} it ends at log-likelihood {likelihood_text(best.likelihood)}"
        if own.problem or own.likelihood is None:
            return f"{ends}; from its own start the fit failed{_JUDGED[self.best_failed]}."
        level = likelihood_text(own.likelihood)
        if self.answer:
            return f"{ends} instead of {level}, {best.distance:.3g} px away{_JUDGED[self.best_failed]}."
        others = [start for start in self.starts if start is not own]
        near = sum(not start.problem and start.distance <= ELSEWHERE_PX for start in others)
        return (
            f"No: none of {len(others)} other starts ends more than {MARGIN:g} above this run's log-likelihood {level} "
            f"and more than {ELSEWHERE_PX:g} px away; {near} end within {ELSEWHERE_PX:g} px of it."
        )

    def tables(self) -> tuple[Table, ...]:
        """Every start, the best first."""
        columns = ("roll, °", "yaw, °", "scale", "shift", "log-likelihood", "end from this run's, px", "remark")
        rows = tuple(
            (
                start.move.roll,
                start.move.yaw,
                start.move.scale,
                start.move.shift_text,
                start.likelihood,
                start.distance,
                start.problem or ("this run" if start is self.own else ""),
            )
            for start in self.starts
        )
        return (Table("Starts, the likeliest end first", columns, rows, tuple(start.initial for start in self.starts)),)

    def plots(self) -> tuple[Plot, ...]:
        """The highest likelihood of every roll."""
        ranked = {start.move.roll: start.likelihood for start in reversed(self.starts) if not start.problem}
        best = [ranked.get(roll) for roll in ROLLS]
        x = np.array(ROLLS, dtype=np.float64)
        series = {"best of its starts": np.array(best, dtype=np.float64)}
        return (Plot("Log-likelihood at the end", "roll of the start, °", "log-likelihood", x, series),)


def starts(trace: Trace, model: Model, progress: Progress = no_progress) -> StartsFinding:
    """Fit from the starts of `MOVES` around that of a run.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one that made it.
    progress : Progress

    Returns
    -------
    StartsFinding
    """
    initials = [move.apply(model, trace.initial) for move in MOVES]
    fits = many_fits(trace.image, model, [(initial, trace.options) for initial in initials], progress)
    last = _last_stage(fits)
    found = [
        Start(
            move=move,
            initial=initial,
            likelihood=None if one.failure else one.likelihood,
            distance=accuracy(one.landmarks, fits[0].landmarks).mean,
            problem=_problem(one, last),
        )
        for move, initial, one in zip(MOVES, initials, fits, strict=True)
    ]
    finding = StartsFinding(found[0], tuple(sorted(found, key=_order)))
    best = finding.best
    if best is None:
        return finding
    steps = fit(trace.image, model, best.initial, trace.options).steps
    return replace(finding, best_failed=judge(steps, model, trace.options).failed)


def _last_stage(fits: list[FitRow]) -> Stage | None:
    """The last stage of the run; where it failed, the last that any fit came to."""
    stages = [one.stage for one in fits if one.stage is not None and not one.failure]
    return fits[0].stage if not fits[0].failure else max(stages, key=lambda stage: stage.index, default=None)


def _problem(one: FitRow, last: Stage | None) -> str:
    if one.failure:
        return f"failed: {one.failure}"
    if one.stage is None or last is None or one.stage.index != last.index:
        return f"not comparable: its likelihood is of {one.stage}, not of {last}"
    return ""


def _order(start: Start) -> tuple[bool, bool, float]:
    return start.likelihood is None, bool(start.problem), -(start.likelihood or 0.0)


def _signed(degrees: int) -> str:
    return str(degrees).replace("-", "−")
