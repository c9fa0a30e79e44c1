"""Accuracy: how far landmarks are from the truth, in px and as a share of the outer-eye distance.

Sagonas et al., "300 faces in-the-wild challenge", ICCVW 2013, §4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clnf_engine.arrays import Floats, read_only
from clnf_engine.errors import TruthError
from clnf_engine.ibug68 import N_LANDMARKS, REGIONS, eye_distance

LIMITS = (5.0, 8.0)
"""Errors, % of the outer-eye distance, for which the share of fits below them is told."""


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Distances of landmarks from the truth.

    Attributes
    ----------
    distances : (n,) float64
        Of every landmark, image px.
    eye_distance : float or None
        Between the true outer eye corners, image px; None unless there are 68 landmarks and the corners are apart.
    """

    distances: Floats
    eye_distance: float | None = None

    @property
    def mean(self) -> float:
        """Mean distance over all landmarks, px."""
        return float(self.distances.mean())

    @cached_property
    def percent(self) -> Floats | None:
        """Distance of every landmark, % of the outer-eye distance, (n,); None where that is not known."""
        return None if self.eye_distance is None else read_only(100 * self.distances / self.eye_distance)

    @property
    def mean_percent(self) -> float | None:
        """Mean distance over all landmarks, % of the outer-eye distance."""
        return None if self.percent is None else float(self.percent.mean())

    @property
    def regions(self) -> Mapping[str, float]:
        """Mean distance over the landmarks of every region, % of the outer-eye distance; empty where not known."""
        percent = self.percent
        if percent is None:
            return {}
        return {name: float(percent[list(landmarks)].mean()) for name, landmarks in REGIONS.items()}


def accuracy(landmarks: Floats, truth: Floats) -> Accuracy:
    """How far landmarks are from the truth.

    Parameters
    ----------
    landmarks, truth : (n, 2) float64
        Image px.

    Returns
    -------
    Accuracy

    Raises
    ------
    TruthError
        When there are not as many landmarks as true ones.
    """
    if landmarks.shape != truth.shape:
        raise TruthError(f"there are {len(truth)} true landmarks; expected {len(landmarks)}, as many as are fitted")
    # Without corners, or with corners in one place, there is nothing to take a share of.
    corners = (eye_distance(truth) or None) if len(truth) == N_LANDMARKS else None
    return Accuracy(read_only(np.linalg.norm(landmarks - truth, axis=1)), corners)


@dataclass(frozen=True)
class ErrorStatistics:
    """Statistics of the errors of many fits, % of the outer-eye distance.

    Attributes
    ----------
    mean, median, p90 : float
        Over the faces that were fitted; NaN when there are none.
    below : tuple of float
        Share of all faces, %, with an error under each of `LIMITS`; a face without a fit is not.
    """

    mean: float
    median: float
    p90: float
    below: tuple[float, ...]


def error_statistics(errors: Sequence[float] | Floats) -> ErrorStatistics:
    """Statistics of errors, % of the outer-eye distance; infinite where there is no fit."""
    values = np.asarray(errors, dtype=np.float64)
    fitted = values[np.isfinite(values)]
    below = tuple(float(100 * np.mean(values < limit)) if values.size else np.nan for limit in LIMITS)
    if not fitted.size:
        return ErrorStatistics(np.nan, np.nan, np.nan, below)
    median, p90 = np.quantile(fitted, [0.5, 0.9])
    return ErrorStatistics(float(fitted.mean()), float(median), float(p90), below)
