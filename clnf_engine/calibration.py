"""Calibration: which log-likelihoods fits with a model end at when they work and when they fail, and what one means.

The log-likelihood of a fit has no scale of its own. A calibration holds those of fits to faces whose landmarks are
known, from good starts and from bad ones; `judge` says in words where another fit stands among them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clnf_engine.arrays import Floats, brief
from clnf_engine.options import FitOptions, option_defaults
from clnf_engine.steps import Phase, Step

if TYPE_CHECKING:
    from clnf_engine.model import Model

SHARE = 95
"""Percentage of the fits that worked, or failed, that a limit leaves on their own side."""

FEWEST = 20
"""Fits of either kind below which a percentile means nothing."""

HAS_IT_WORKED = "Has the fit worked?"
"""The question that a Verdict answers."""

HOW = "clnf evaluate FACES --model MODEL --calibrate makes a calibration from annotated faces"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Log-likelihoods of fits to faces whose landmarks are known; only of fits in which every stage was run.

    Attributes
    ----------
    model : str
        `Model.fingerprint` of the model that it is for.
    worked, failed : (k,) float64
        Log-likelihoods of the fits that worked and of those that did not, ascending.
    error_limit : float
        Mean error below which a fit has worked, % of the outer-eye distance.
    faces : int
        How many were fitted.
    held_out : bool
        Whether no fit was to a face that its model was trained on.
    scales : (low, high)
        Of the fits that worked: smallest and largest size of a face, px per model unit.
    options : FitOptions
        Of the fits.
    basis : str
        Which faces were fitted, and from where, in words.
    """

    model: str
    worked: Floats
    failed: Floats
    error_limit: float
    faces: int
    held_out: bool
    scales: tuple[float, float]
    options: FitOptions
    basis: str

    __repr__ = brief

    @cached_property
    def worked_limit(self) -> float | None:
        """`SHARE` % of the fits that worked are above; None when fewer than `FEWEST` did."""
        return float(np.percentile(self.worked, 100 - SHARE)) if len(self.worked) >= FEWEST else None

    @cached_property
    def failed_limit(self) -> float | None:
        """`SHARE` % of the fits that failed are below; None when fewer than `FEWEST` did."""
        return float(np.percentile(self.failed, SHARE)) if len(self.failed) >= FEWEST else None

    def failed_at(self, likelihood: float) -> bool | None:
        """Whether a fit has probably failed; None between the limits, where too many of both kinds are, or too few."""
        limits = (self.worked_limit, self.failed_limit)
        if limits[0] is None or limits[1] is None:
            return None
        if likelihood < min(limits[0], limits[1]):
            return True
        return False if likelihood >= max(limits[0], limits[1]) else None

    @property
    def summary(self) -> str:
        """What it tells, in words."""
        counts = f"calibrated: {len(self.worked)} fits that worked, {len(self.failed)} that failed"
        if self.worked_limit is None or self.failed_limit is None:
            return f"{counts}; at least {FEWEST} of each are needed to tell one from the other"
        above, below = likelihood_text(self.worked_limit), likelihood_text(self.failed_limit)
        return f"{counts}; {SHARE} % of the former end above log-likelihood {above}, of the latter below {below}"

    @cached_property
    def rates(self) -> Mapping[str, float]:
        """Shares of the calibration's own fits, %.

        Returns
        -------
        dict
            ``false_alarm``: of those that worked, called failed; ``missed``: of those that failed, called worked;
            ``worked_untold``, ``failed_untold``: those of which neither is said.
        """
        told = {name: [self.failed_at(value) for value in getattr(self, name)] for name in ("worked", "failed")}

        def share(name: str, answer: bool | None) -> float:
            return 100 * told[name].count(answer) / len(told[name]) if told[name] else math.nan

        return {
            "false_alarm": share("worked", True),
            "missed": share("failed", False),
            "worked_untold": share("worked", None),
            "failed_untold": share("failed", None),
        }


@dataclass(frozen=True)
class Verdict:
    """What the end of a fit means.

    Attributes
    ----------
    failed : bool or None
        None when it cannot be told.
    text : str
        In words, with the numbers it rests on.
    basis : str
        What those numbers are from.
    """

    failed: bool | None
    text: str
    basis: str

    @property
    def short(self) -> str:
        """The text without its numbers."""
        return self.text.partition(":")[0]

    @property
    def sentence(self) -> str:
        """The text as a sentence."""
        return f"{self.text[:1].upper()}{self.text[1:]}."


def judge(steps: Sequence[Step], model: Model, options: FitOptions) -> Verdict:
    """Whether a fit has probably failed.

    It says no more than the model's calibration holds: nothing about a fit with options that change the likelihood, one
    that left a stage out, or a face of another size.

    Parameters
    ----------
    steps : sequence of Step
        Of the whole fit, such as `Trace.steps`.
    model : Model
    options : FitOptions
        Of the fit.

    Returns
    -------
    Verdict
    """
    if not steps or steps[-1].phase is not Phase.END:
        return Verdict(None, "cannot be told: the fit has not ended", "the fit itself")
    end = steps[-1]
    if not end.success:
        return Verdict(True, f"failed: {end.message}", "the fit itself")
    calibration = model.calibration
    if calibration is None:
        return Verdict(None, "cannot be told: this model has no calibration", HOW)
    reason = _beyond(calibration, steps, options, len(model.scales))
    if reason or end.likelihood is None:
        return Verdict(None, f"cannot be told: {reason or 'the fit has no likelihood'}", f"{HOW}; options too")
    return _verdict(calibration, end.likelihood)


def skipped_stage(steps: Sequence[Step]) -> Step | None:
    """The first stage that a fit left out although it had a window, as the face was too small."""
    return next((s for s in steps if s.phase is Phase.SKIPPED and s.stage is not None and s.stage.window), None)


def likelihood_text(likelihood: float) -> str:
    """A log-likelihood for people: two decimals."""
    return f"{likelihood:.2f}".replace("-", "−")


def _beyond(calibration: Calibration, steps: Sequence[Step], options: FitOptions, stages: int) -> str:
    """Why a fit cannot be compared with those of a calibration; "" when it can."""
    changed = _changed(calibration.options, options, stages)
    if changed:
        return f"the likelihood is not calibrated for these options ({', '.join(changed)})"
    skipped = skipped_stage(steps)
    if skipped is not None:
        return f"the likelihood is not calibrated for a fit without {skipped.stage}"
    (low, high), scale = calibration.scales, float(steps[-1].params[0])
    if not low <= scale <= high:
        return (
            f"the likelihood is not calibrated for a face of this size "
            f"({scale:.3g} px per model unit, expected {low:.3g} to {high:.3g})"
        )
    if calibration.worked_limit is None or calibration.failed_limit is None:
        counts = f"{len(calibration.worked)} that worked and {len(calibration.failed)} that failed"
        return f"the calibration holds too few fits ({counts}, at least {FEWEST} of each needed)"
    return ""


_LONGER = {"max_iterations": 1, "convergence_px": -1, "convergence_update": -1}
"""Options that make a fit longer when they grow (1) or shrink (−1): its likelihood means what it did."""


def _changed(calibrated: FitOptions, options: FitOptions, stages: int) -> list[str]:
    """Options that make likelihoods mean something else than calibrated."""
    changed = []
    for name in option_defaults():
        before, now = getattr(calibrated, name), getattr(options, name)
        if name == "windows":
            before, now = ((*windows, *[0] * stages)[:stages] for windows in (before, now))
        longer = name in _LONGER and _LONGER[name] * (now - before) > 0
        if before != now and not longer and name != "precision":
            changed.append(name)
    return changed


def _verdict(calibration: Calibration, likelihood: float) -> Verdict:
    assert calibration.worked_limit is not None and calibration.failed_limit is not None
    failed = calibration.failed_at(likelihood)
    worked_above, failed_below = (likelihood_text(v) for v in (calibration.worked_limit, calibration.failed_limit))
    faces = f"{calibration.faces} {'held-out ' if calibration.held_out else ''}faces"
    value = f"log-likelihood {likelihood_text(likelihood)}"
    if failed is None:
        text = (
            f"cannot be told: {value}; {SHARE} % of the fits that worked with this model are above {worked_above}, "
            f"{SHARE} % of those that failed below {failed_below} ({faces})"
        )
    elif failed:
        text = f"probably failed: {value}; {SHARE} % of the fits that worked with this model are above {worked_above}"
        text += f" ({faces})"
    else:
        text = f"probably worked: {value}; {SHARE} % of the fits that failed with this model are below {failed_below}"
        text += f" ({faces})"
    return Verdict(failed, text, _basis(calibration))


def _basis(calibration: Calibration) -> str:
    rates = calibration.rates
    worked, failed = len(calibration.worked), len(calibration.failed)
    return (
        f"{calibration.basis}; a mean error below {calibration.error_limit:g} % of the outer-eye distance: worked; of "
        f"these {worked} fits that worked {rates['false_alarm']:.1f} % would be called failed, of the {failed} that "
        f"failed {rates['missed']:.1f} % would be called worked"
    )
