"""Accuracy: distances from the truth, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clnf_engine.accuracy import accuracy
from clnf_engine.errors import ClnfError


def truth68() -> np.ndarray:
    """68 true landmarks with the outer eye corners 50 px apart."""
    points = np.zeros((68, 2))
    points[45] = (30.0, 40.0)
    return points


def test_distances_of_a_few_landmarks() -> None:
    found = accuracy(np.array([(3.0, 4.0), (0.0, 0.0), (1.0, 2.0)]), np.array([(0.0, 0.0), (0.0, 1.0), (1.0, 2.0)]))
    assert found.distances.tolist() == [5, 1, 0] and found.mean == 2
    assert (found.eye_distance, found.percent, found.mean_percent, found.regions) == (None, None, None, {})


def test_the_mean_is_over_the_landmarks_of_which_the_truth_is_known() -> None:
    landmarks = np.array([(3.0, 4.0), (7.0, 7.0), (1.0, 3.0)])
    found = accuracy(landmarks, np.array([(0.0, 0.0), (np.nan, np.nan), (1.0, 2.0)]))
    assert found.mean == 3
    assert math.isnan(found.distances[1])
    landmarks[0] = np.nan  # one that is not known is not one that is right
    assert math.isnan(accuracy(landmarks, np.zeros((3, 2))).mean)


def test_shares_of_the_outer_eye_distance_by_region() -> None:
    truth = truth68()
    landmarks = truth.copy()
    landmarks[:17] += (3.0, 4.0)
    landmarks[48] += (0.0, 10.0)
    found = accuracy(landmarks, truth)
    assert found.eye_distance == 50
    assert found.mean == pytest.approx((17 * 5 + 10) / 68)
    assert found.mean_percent == pytest.approx(2 * (17 * 5 + 10) / 68)
    assert found.regions == {"jaw": 10, "brows": 0, "nose": 0, "eyes": 0, "mouth": 1}


def test_turning_and_moving_both_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    truth, landmarks = rng.uniform(0, 100, (2, 68, 2))
    turn = np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    here, there = accuracy(landmarks, truth), accuracy(3 * landmarks @ turn + 7, 3 * truth @ turn + 7)
    assert there.mean == pytest.approx(3 * here.mean)
    assert there.percent == pytest.approx(here.percent)
    assert there.regions == pytest.approx(here.regions)


def test_corners_in_one_place_give_no_share() -> None:
    found = accuracy(np.ones((68, 2)), np.zeros((68, 2)))
    assert found.mean == pytest.approx(math.sqrt(2)) and found.percent is None and found.regions == {}


def test_another_number_of_landmarks_is_refused() -> None:
    with pytest.raises(ClnfError, match="there are 5 true landmarks; expected 68, as many as are fitted"):
        accuracy(np.zeros((68, 2)), np.zeros((5, 2)))
