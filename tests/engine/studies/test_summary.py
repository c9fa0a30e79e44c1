"""What is said of a study: on data in which the answer is known, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine.errors import StudyError
from clnf_engine.studies.summary import summarize

from .tables import agreeing, columns
from .test_statistics import errors

SIGMAS = [{"sigma": 1.5}, {"sigma": 2}]
GRID = [{"sigma": sigma, "normalization": name} for sigma in (1.5, 2) for name in ("none", "peak")]


def nothing_alike(references: dict, pairs: object) -> dict:
    assert not references
    return {}


def test_a_better_variant_is_named_with_its_bounds_and_a_worse_one_too() -> None:
    better = summarize(columns(errors(-0.11), SIGMAS), nothing_alike)
    assert better.answer is True
    assert better.verdict.startswith("sigma=2 is better than sigma=1.5 by 0.1")
    assert better.verdict.endswith("on 94 faces.")
    worse = summarize(columns(errors(-0.11), SIGMAS), nothing_alike, baseline="sigma=2")
    assert worse.answer is False
    assert worse.verdict.startswith("sigma=1.5 is worse than sigma=2 by 0.1")
    assert worse.differences[0].mean == -better.differences[1].mean


def test_what_cannot_be_told_is_not_called_better() -> None:
    found = summarize(columns(errors(-0.002), SIGMAS), nothing_alike)
    assert found.answer is False
    assert "cannot be told from sigma=1.5" in found.verdict
    assert "p = " in found.verdict


def test_an_option_that_changes_nothing_is_told_apart_from_one_that_does() -> None:
    plain, better = errors(-0.11)
    values = np.stack([plain, plain + 1e-13, better, better - 1e-13])
    found = summarize(columns(values, GRID), agreeing(2e-13))
    first, second = found.verdict.split("; ")
    assert first.startswith("sigma=2 is better than sigma=1.5 by 0.1")
    assert first.count("normalization") == 0
    assert second == "normalization makes no difference: all 188 fits end within 2e-13 px of each other."
    assert found.sentence(1) == (
        "sigma=1.5 normalization=peak makes no difference: all 94 fits end within 2e-13 px of each other"
    )
    same = [row[-1] for row in found.tables()[0].rows]
    assert same == ["", f"{found.names[0]}: 94 of 94 fits", "", f"{found.names[2]}: 94 of 94 fits"]


def test_an_option_that_changes_nothing_at_one_sigma_alone_is_not_said_to_change_nothing() -> None:
    plain, better, other = errors(-0.11, -0.12)
    found = summarize(columns(np.stack([plain, plain, better, other]), GRID), agreeing(0.0, identical=94))
    assert "; normalization makes no difference" not in found.verdict
    assert "bit for bit" in found.sentence(1)


def test_fits_with_the_same_error_that_end_elsewhere_are_not_the_same() -> None:
    """Mirrored about the truth, two fits have the same error: only their landmarks tell."""
    plain = errors()[0]
    found = summarize(columns(np.stack([plain, plain]), SIGMAS), lambda references, pairs: {})
    assert "makes no difference" not in found.verdict


def test_failed_fits_are_counted_and_are_below_no_limit() -> None:
    values, failed = errors(0.0, noise=0.0), np.zeros((2, 94), bool)
    failed[1, :10] = True
    found = summarize(columns(values, SIGMAS, failed=failed), agreeing())
    assert found.failures == (0, 10)
    assert found.statistics[1].below[1] == pytest.approx(100 * (values[1, 10:] < 8).sum() / 94)
    assert "fails where the baseline does not in 10 fits" in found.sentence(1)
    curve = found.curves()[1]["sigma=2"]
    assert curve[-1] <= 100 * 84 / 94


def test_the_faces_that_changed_most_are_listed_both_ways() -> None:
    values = errors(0.0, noise=0.01)
    values[1, 7] -= 2
    values[1, 50] += 3
    found = summarize(columns(values, SIGMAS), nothing_alike)
    rows = found.tables()[1].rows
    assert rows[0][1] == "7.png"
    assert rows[-1][1] == "50.png"
    assert rows[-1][5] == pytest.approx(values[1, 50] - values[0, 50])


def test_a_study_without_truth_says_how_far_its_fits_are_apart() -> None:
    unknown = np.full((2, 94), np.nan)
    found = summarize(columns(unknown, SIGMAS), agreeing(0.25))
    assert found.answer is None
    assert found.verdict.startswith("No truth is known")
    assert found.plots() == ()


def test_an_unknown_baseline_is_an_error_that_names_the_variants() -> None:
    with pytest.raises(StudyError, match=r"no variant 'x'; expected one of sigma=1.5, sigma=2"):
        summarize(columns(errors(0.1), SIGMAS), nothing_alike, baseline="x")
