"""The path of a landmark, of Steps made by hand."""

from __future__ import annotations

import numpy as np

from clnf_engine import Phase, Step
from clnf_engine.diagnostics.path import landmark_path
from clnf_engine.steps import MeanShift


def _step(phase: Phase, x: float, y: float, before: tuple[float, float] | None, shift: tuple[float, float]) -> Step:
    landmarks = np.array([[0.0, 0.0], [x, y]])
    if before is None:
        return Step(phase, np.zeros(6), landmarks)
    moves = np.array([(9.0, 9.0), shift])
    found = MeanShift(np.zeros((2, 2)), np.ones(2), moves / 2, moves, np.zeros(2, dtype=bool))
    start = np.array([(0.0, 0.0), before])
    return Step(phase, np.zeros(6), landmarks, iteration=1, landmarks_before=start, mean_shift=found)


STEPS = (
    _step(Phase.INITIAL, 10, 20, None, (0, 0)),
    _step(Phase.RIGID, 13, 24, (10, 20), (6, 8)),
    _step(Phase.NONRIGID, 13, 24, (13, 24), (0, 2)),
    _step(Phase.END, 13, 24, None, (0, 0)),
)


def test_distances_are_those_of_right_triangles() -> None:
    path = landmark_path(STEPS, 1, np.array([[0.0, 0.0], [1.0, 8.0]]))
    assert path.displacement.tolist() == [[0, 0], [3, 4], [3, 4], [3, 4]]
    assert path.to_end.tolist() == [5, 0, 0, 0]
    assert np.array_equal(path.mean_shift, [np.nan, 10, 2, np.nan], equal_nan=True)
    assert np.array_equal(path.moved, [np.nan, 5, 0, np.nan], equal_nan=True)
    assert path.to_truth is not None
    assert path.to_truth.tolist() == [15, 20, 20, 20]


def test_without_truth_there_is_no_distance_from_it() -> None:
    assert landmark_path(STEPS, 1).to_truth is None
