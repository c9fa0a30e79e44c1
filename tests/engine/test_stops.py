"""Stop conditions fire where the Steps say so, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine import ClnfError, FitOptions, Phase, Step, fit
from clnf_engine.steps import MeanShift
from clnf_engine.stops import EXAMPLES, first_stop, parse_stop

from .tiny_model import start, tiny_image, tiny_model


def iteration(number: int, norm: float, points: list, before: list, **values: object) -> Step:
    return Step(
        Phase.RIGID,
        params=np.zeros(6),
        landmarks=np.array(points, dtype=float),
        landmarks_before=np.array(before, dtype=float),
        iteration=number,
        update_norm=norm,
        **values,
    )


STEPS = [
    Step(Phase.INITIAL, params=np.zeros(6), landmarks=np.zeros((2, 2))),
    iteration(1, 3.0, [(1, 0), (0, 0)], [(0, 0), (0, 0)], shape_change=1.0),
    iteration(2, 2.0, [(1, 0), (0, 3)], [(1, 0), (0, 0)], shape_change=3.0, clamped=np.array([False, True])),
    iteration(3, 2.5, [(1, 0), (0, 3)], [(1, 0), (0, 3)], shape_change=0.0, likelihood=-1.5),
]
OTHER = [
    STEPS[0],
    iteration(1, 3.0, [(1, 0), (0, 0.005)], [(0, 0), (0, 0)]),
    iteration(2, 3.0, [(1, 0), (0, 2.98)], [(1, 0), (0, 0)]),
]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("update_norm grows", 3),
        ("update_norm falls", 2),
        ("update_norm < 2.2", 2),
        ("UPDATE_NORM<2e0", None),
        ("shape_change < 0.01", 3),
        ("shape_change > 2", 2),
        ("likelihood > -2", 3),
        ("likelihood falls", None),
        ("landmark 0 moves > 0.5 px", 1),
        ("landmark 0 moves > 1 px", None),
        ("landmark 1 moves > 2 px", 2),
        ("landmark 99 moves > 0 px", None),
        ("any landmark moves > 2.5px", 2),
        ("any clamp", 2),
        ("any empty", None),
        ("A and B differ > 0.01 px", 2),
        ("A and B differ > .004 px", 1),
        ("A and B differ > 1 px", None),
    ],
)
def test_a_condition_fires_first_at(text: str, index: int | None) -> None:
    found = first_stop(STEPS, OTHER, [parse_stop(text)], 0)
    assert (found[0] if found else None) == index


def test_the_search_goes_on_from_where_it_stood() -> None:
    assert first_stop(STEPS, [], [parse_stop("any landmark moves > 0.5 px")], 2)[0] == 2
    assert first_stop(STEPS, [], [parse_stop("any landmark moves > 0.5 px")], 3) is None


def test_the_condition_that_fired_is_named() -> None:
    stops = [parse_stop("any empty"), parse_stop(" update_norm   grows ")]
    assert first_stop(STEPS, [], stops, 0)[1].text == "update_norm grows"


def test_growth_is_not_told_across_phases() -> None:
    other_phase = Step(Phase.NONRIGID, np.zeros(6), np.zeros((2, 2)), iteration=1, update_norm=99.0)
    assert first_stop([*STEPS[:3], other_phase], [], [parse_stop("update_norm grows")], 0) is None


def test_empty_landmarks_fire() -> None:
    zero = np.zeros((2, 2))
    shift = MeanShift(zero, np.zeros(2), zero, zero, np.array([False, True]))
    assert parse_stop("any empty").fires(iteration(1, 1.0, zero, zero, mean_shift=shift))


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_understood_and_runs_on_a_real_fit(text: str) -> None:
    steps = list(fit(tiny_image(), tiny_model(), start(), FitOptions()).steps)
    found = first_stop(steps, steps, [parse_stop(text)], 0, steps[0].landmarks)
    assert found is None or 0 <= found[0] < len(steps)


@pytest.mark.parametrize("text", ["", "update_norm", "landmark -1 moves > 2 px", "landmark 3 moves > two px", "exec()"])
def test_anything_else_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(ClnfError, match="update_norm grows"):
        parse_stop(text)


TRUTH = np.array([(1.0, 4.0), (0.0, 3.0)])
"""Mean errors of `STEPS`: 3.56, 3.5, 2 and 2 px."""


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("error > 3.55 px", 0),
        ("error < 3.55 px", 1),
        ("error<3px", 2),
        ("error < 2 px", None),
        ("error falls", 2),
        ("error grows", None),
    ],
)
def test_errors_are_means_over_the_landmarks(text: str, index: int | None) -> None:
    found = first_stop(STEPS, [], [parse_stop(text)], 0, TRUTH)
    assert (found[0] if found else None) == index


def test_an_error_grows_when_the_shape_leaves_the_truth() -> None:
    assert first_stop(STEPS, [], [parse_stop("Error  grows")], 0, STEPS[1].landmarks)[0] == 2


@pytest.mark.parametrize("truth", [None, np.zeros((3, 2))], ids=["no truth", "another number of landmarks"])
@pytest.mark.parametrize("text", ["error < 1000 px", "error > 0 px", "error falls"])
def test_without_a_truth_that_fits_no_error_fires(text: str, truth: np.ndarray | None) -> None:
    assert first_stop(STEPS, [], [parse_stop(text)], 0, truth) is None
    assert parse_stop(text).fires(STEPS[2], STEPS[1], truth=truth) is False


def test_an_error_without_its_unit_is_refused() -> None:
    with pytest.raises(ClnfError, match="error > 3 px"):
        parse_stop("error > 3")
