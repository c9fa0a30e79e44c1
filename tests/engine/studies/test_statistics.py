"""Statistics of studies against SciPy, and on data in which the answer is known, both ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, wilcoxon

from clnf_engine.studies.statistics import Pairs, cumulative, differences, holm, mean_bounds, paired

N_FACES = 94


def errors(*shifts: float, seed: int = 0, noise: float = 0.2) -> np.ndarray:
    """Errors of a baseline and of variants that are `shifts` off it on average, %; (variants, faces)."""
    random = np.random.default_rng(seed)
    baseline = random.gamma(4.0, 1.0, N_FACES)
    return np.stack([baseline, *(baseline + shift + noise * random.standard_normal(N_FACES) for shift in shifts)])


def one_start(values: np.ndarray) -> Pairs:
    variants, faces = values.shape
    return Pairs(np.arange(values.size).reshape(variants, faces), np.arange(faces))


def compare(values: np.ndarray, pairs: Pairs | None = None, same: np.ndarray | None = None) -> list:
    pairs = pairs or one_start(values)
    same = np.zeros(values.shape, bool) if same is None else same
    return differences(pairs, values, same, np.zeros(values.shape), 0)


# --- pairs ----------------------------------------------------------------------------------------


def test_fits_are_paired_by_face_and_start_in_whatever_order_they_are() -> None:
    variant, face, start = (array.ravel() for array in np.meshgrid([0, 1, 2], [0, 1, 3], [0, 1], indexing="ij"))
    value = 100.0 * variant + 10 * face + start
    order = np.random.default_rng(1).permutation(len(variant))
    order = order[(variant[order] != 2) | (face[order] != 1)]  # variant 2 has not fitted face 1
    pairs = paired(variant[order], face[order], start[order], 3)
    values = pairs.values(value[order])
    assert pairs.face.tolist() == [0, 0, 1, 1, 2, 2]
    assert values[0].tolist() == [0, 1, 10, 11, 30, 31]
    assert (values[1] - values[0] == 100).all()
    assert np.isnan(values[2]).tolist() == [False, False, True, True, False, False]
    assert pairs.by_face(values)[0].tolist() == [0.5, 10.5, 30.5]
    assert np.isnan(pairs.by_face(values)[2]).tolist() == [False, True, False]


def test_a_face_of_which_one_start_failed_counts_with_the_others() -> None:
    pairs = Pairs(np.arange(4)[None], np.array([0, 0, 1, 1]))
    found = pairs.by_face(np.array([[1.0, np.nan, 2.0, 4.0]]))
    assert found.tolist() == [[1.0, 3.0]]


# --- against SciPy --------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [False, True])
def test_bounds_are_those_of_scipy_with_the_same_draws(skew: bool) -> None:
    random = np.random.default_rng(3)
    values = random.exponential(1.0, (3, 40)) if skew else random.standard_normal((3, 40))
    low, high = mean_bounds(values, 2000)
    for row, found in zip(values, zip(low, high, strict=True), strict=True):
        known = bootstrap((row,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(0))
        assert np.allclose(found, known.confidence_interval, rtol=1e-10, atol=0)


def test_p_values_are_those_of_wilcoxon_corrected_by_holm() -> None:
    values = errors(-0.05, 0.02, 0.3)
    raw = [wilcoxon(row - values[0]).pvalue for row in values[1:]]
    found = [difference.p for difference in compare(values)]
    order = np.argsort(raw)
    steps = [min(1.0, (3 - k) * raw[at]) for k, at in enumerate(order)]
    expected = np.empty(3)
    expected[order] = np.maximum.accumulate(steps)
    assert np.allclose(found[1:], expected, rtol=1e-12)
    assert found[0] == 1.0


def test_holm_on_a_known_example() -> None:
    # Aickin and Gensler, Am. J. Public Health 1996, table 1: α_(k) (m − k + 1), made monotone.
    assert np.allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


# --- where the answer is known --------------------------------------------------------------------


def test_a_variant_that_is_better_by_a_known_amount_is_found_and_so_is_a_worse_one() -> None:
    _, better, worse = compare(errors(-0.11, 0.11))
    for found, shift in ((better, -0.11), (worse, 0.11)):
        assert found.sure_of_mean
        assert found.sure_of_most
        assert found.low < shift < found.high
        assert np.sign(found.mean) == np.sign(shift)
        assert found.faces == N_FACES == found.better + found.worse


def test_bounds_hold_the_truth_as_often_as_they_say_and_chance_is_seldom_called_a_difference() -> None:
    random = np.random.default_rng(11)
    noise = random.exponential(0.2, (400, N_FACES)) - 0.2  # mean 0, and skew
    low, high = mean_bounds(noise, 1000)
    held = ((low <= 0) & (high >= 0)).mean()
    assert 0.91 < held < 0.98  # 95 %, give or take three standard errors of 400, and the skew
    mistaken = 0
    for seed in range(100):
        found = compare(errors(0.0, 0.0, 0.0, 0.0, 0.0, seed=seed))
        mistaken += any(difference.sure_of_most for difference in found)
    assert mistaken <= 12  # 5 % of families of five; 12 of 100 has a chance below 1 %


def test_starts_of_one_face_do_not_count_as_faces() -> None:
    """Forty copies of the noise of six faces tell no more than six faces do."""
    random = np.random.default_rng(5)
    few = np.stack([np.zeros(6), 0.1 + 0.2 * random.standard_normal(6)])
    many = Pairs(np.arange(2 * 240).reshape(2, 240), np.repeat(np.arange(6), 40))
    alone, copied = compare(few)[1], compare(np.repeat(few, 40, axis=1), many)[1]
    assert (copied.faces, copied.p) == (alone.faces, alone.p)
    assert np.allclose([copied.low, copied.high], [alone.low, alone.high], rtol=1e-12)


def test_rounding_is_no_difference_even_if_it_has_a_sign() -> None:
    values = errors(0.0, noise=0.0)
    values[1] += 1e-13
    assert compare(values)[1].p < 1e-10  # a test of ranks cannot know
    found = compare(values, same=np.array([[True], [True]]).repeat(N_FACES, axis=1))[1]
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert (found.better, found.worse, found.faces) == (0, 0, N_FACES)


def test_faces_that_one_has_not_fitted_are_left_out_and_counted() -> None:
    values = errors(-0.11)
    failed = np.zeros(values.shape)
    values[1, :3], failed[1, :3] = np.nan, 1
    values[0, 10], failed[0, 10] = np.nan, 1
    found = differences(one_start(values), values, np.zeros(values.shape, bool), failed, 0)[1]
    assert (found.faces, found.gained, found.lost) == (N_FACES - 4, 1, 3)
    both = np.isfinite(values).all(axis=0)
    assert found.mean == pytest.approx((values[1] - values[0])[both].mean(), rel=1e-12)


@pytest.mark.parametrize("faces", [0, 1])
def test_too_few_faces_have_no_bounds(faces: int) -> None:
    found = compare(errors(-0.1)[:, :faces])[1]
    assert np.isnan([found.low, found.high]).all()
    assert not found.sure_of_mean
    assert found.p == 1


# --- cumulative curves ----------------------------------------------------------------------------


def test_a_cumulative_curve_is_the_share_below_and_failed_fits_never_are() -> None:
    values = np.array([1.0, 2.0, 3.0, np.inf])
    x, shares = cumulative({"a": values})
    for limit, share in zip(x, shares["a"], strict=True):
        assert share == 100 * (values < limit).mean()
    assert shares["a"][-1] == 75
