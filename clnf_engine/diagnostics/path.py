"""Path of a landmark: where a run takes one landmark, what its mean-shift asked for and what it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.steps import Step


@dataclass(frozen=True, eq=False)
class LandmarkPath:
    """One landmark over the Steps of a run, image px.

    Attributes
    ----------
    displacement : (k, 2) float64
        From where it stood at the first Step.
    to_end : (k,) float64
        Distance from where it stands at the last Step.
    mean_shift : (k,) float64
        Length of its mean-shift; NaN for Steps that are no iterations.
    moved : (k,) float64
        How far the update moved it; NaN likewise.
    to_truth : (k,) float64 or None
        Distance from its true place; None where that is not known.
    """

    displacement: Floats
    to_end: Floats
    mean_shift: Floats
    moved: Floats
    to_truth: Floats | None


def landmark_path(steps: Sequence[Step], landmark: int, truth: Floats | None = None) -> LandmarkPath:
    """Follow a landmark through the Steps of a run.

    Parameters
    ----------
    steps : sequence of Step
        At least one.
    landmark : int
    truth : (n, 2) float64, optional
        True landmarks, image px.

    Returns
    -------
    LandmarkPath
    """
    places = np.array([step.landmarks[landmark] for step in steps])
    nowhere = np.full(2, np.nan)
    shifts = [nowhere if step.mean_shift is None else step.mean_shift.image[landmark] for step in steps]
    before = [nowhere if step.landmarks_before is None else step.landmarks_before[landmark] for step in steps]
    return LandmarkPath(
        displacement=places - places[0],
        to_end=np.linalg.norm(places - places[-1], axis=1),
        mean_shift=np.linalg.norm(np.array(shifts, dtype=np.float64), axis=1),
        moved=np.linalg.norm(places - np.array(before), axis=1),
        to_truth=None if truth is None else np.linalg.norm(places - truth[landmark], axis=1),
    )
