"""Known mistakes of the likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from clnf_engine.arrays import Array
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, right_with
from clnf_engine.checking.known_of_shifts import Kernels, free, gaussian, held
from clnf_engine.checking.rows import OfTheMean
from clnf_engine.deviations import pixel_fraction_positions
from clnf_engine.mean_shift import LIKELIHOOD_FLOOR, TABLE_STEP, likelihoods_at

KNOWN = Known()


# --- likelihood ------------------------------------------------------------------------------------


def _likelihood_of_kernels(kernels: Kernels) -> Callable[[Inputs], Array]:
    def likelihoods(v: Inputs) -> Array:
        k = kernels(v, free(v))
        total = np.einsum("nij,ni,nj->n", v.final, k[:, 1], k[:, 0])
        return np.where(v.visible, total + LIKELIHOOD_FLOOR, 0.0)

    return likelihoods


def _sums(v: Inputs) -> Array:
    return np.where(v.visible, v.final.sum(axis=(1, 2)), 1.0)


def _peaks(v: Inputs) -> Array:
    return np.where(v.visible, v.final.max(axis=(1, 2)), 1.0)


def _at_cells(v: Inputs, whole: Callable[[Array], Array]) -> Array:
    columns, rows = np.clip(whole(free(v)), 0, v.window - 1).astype(int).T
    return np.where(v.visible, v.final[np.arange(len(rows)), rows, columns] + LIKELIHOOD_FLOOR, 0)


for _name, _text, _function in (
    (
        "kernel_centre_pixel_fraction",
        "the kernel stands at (window − 1)/2 and the fraction of the pixel",
        lambda v: likelihoods_at(
            pixel_fraction_positions(v.landmarks_before, v.window, np.float64), v.final, v.visible, v.sigma
        ),
    ),
    (
        "likelihood_of_the_table",
        "the likelihood takes the kernel of the table",
        lambda v: np.where(v.visible, v.moment.value("kernel_sum", v.reference) + LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_of_the_table",
        "the likelihood takes the kernel at the steps of the table",
        _likelihood_of_kernels(gaussian(lambda v: v.sigma, lambda p: np.trunc(p / TABLE_STEP + 0.5) * TABLE_STEP)),
    ),
    (
        "likelihood_of_the_table",
        "the likelihood is the kernel sum",
        lambda v: v.moment.computed("kernel_sum", v.reference),
    ),
    (
        "likelihood_of_the_recorded_sum",
        "the likelihood is the kernel sum that the trace records",
        lambda v: v.moment.recorded["kernel_sum"] + LIKELIHOOD_FLOOR,
    ),
    (
        "likelihood_without_floor",
        "nothing is added to the likelihood",
        lambda v: np.where(v.visible, v.out - LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_after_the_update",
        "the likelihood is that after the update",
        lambda v: right_with(v, landmarks_before=v.moment.step.landmarks),
    ),
    ("likelihood_of_logarithms", "the likelihoods are logarithms", lambda v: np.log(v.out)),
    (
        "likelihood_of_peaks",
        "the likelihood is the peak of the map",
        lambda v: np.where(v.visible, v.final.max(axis=(1, 2)) + LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_of_sums",
        "the likelihood is the sum of the map",
        lambda v: np.where(v.visible, v.final.sum(axis=(1, 2)) + LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_clamped",
        "the likelihood is taken at the position held in the map",
        lambda v: likelihoods_at(held(v, free(v)), v.final, v.visible, v.sigma),
    ),
    (
        "likelihood_of_the_raw_map",
        "the likelihood is of the raw map",
        lambda v: right_with(v, final=v.moment.value("raw", v.reference)),
    ),
    (
        "likelihood_before_the_shift",
        "the likelihood is of the map whose minimum is not subtracted",
        lambda v: right_with(v, final=v.moment.value("after_sigma", v.reference)),
    ),
    (
        "hidden_counted",
        "landmarks that are not visible count in the likelihood",
        lambda v: right_with(v, visible=np.ones_like(v.visible)),
    ),
    (
        "likelihood_density",
        "the kernel of the likelihood is a density",
        lambda v: np.where(v.visible, (v.out - LIKELIHOOD_FLOOR) / (2 * math.pi * v.sigma**2) + LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_over_the_map",
        "the likelihood is divided by the sum of the map",
        lambda v: np.where(v.visible, (v.out - LIKELIHOOD_FLOOR) / _sums(v) + LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_over_the_map",
        "the likelihood is divided by the sum of the map, floor and all",
        lambda v: np.where(v.visible, v.out / _sums(v), 0),
    ),
    (
        "likelihood_over_the_peak",
        "the likelihood is divided by the peak of the map",
        lambda v: np.where(v.visible, (v.out - LIKELIHOOD_FLOOR) / _peaks(v) + LIKELIHOOD_FLOOR, 0),
    ),
    (
        "likelihood_of_the_nearest_cell",
        "the likelihood is the map's value in the nearest cell",
        lambda v: _at_cells(v, np.rint),
    ),
    (
        "likelihood_of_the_nearest_cell",
        "the likelihood is the map's value in the cell before",
        lambda v: _at_cells(v, np.floor),
    ),
    (
        "likelihood_sigma_for_its_square",
        "the likelihood's kernel has σ in the place of σ²",
        _likelihood_of_kernels(gaussian(lambda v: math.sqrt(v.sigma), lambda p: p)),
    ),
    (
        "likelihood_sigma_without_2",
        "the likelihood's kernel has σ² in the place of 2σ²",
        _likelihood_of_kernels(gaussian(lambda v: v.sigma / math.sqrt(2), lambda p: p)),
    ),
    (
        "likelihood_sigma_not_adapted",
        "σ of the likelihood is as chosen, not adapted",
        _likelihood_of_kernels(gaussian(lambda v: v.reference_options.sigma, lambda p: p)),
    ),
):
    KNOWN.add("likelihood", _name, _text, _function)
for _floor in (1e-10, 1e-6, 1e-12, 1e-5, 2.220446049250313e-16):
    KNOWN.add(
        "likelihood",
        "likelihood_floor",
        f"{_floor:.3g} is added to the likelihood instead of 1e-8",
        lambda v, by=_floor: np.where(v.visible, v.out - LIKELIHOOD_FLOOR + by, 0),
    )

KNOWN.add(
    "likelihood",
    "likelihood_over_the_kernel",
    "the likelihood is divided by the sum of the kernel",
    lambda v: np.where(v.visible, (v.out - LIKELIHOOD_FLOOR) / _exact_total(v) + LIKELIHOOD_FLOOR, 0),
)
for _name, _text, _mean in (
    (
        "sum_for_mean",
        "the log-likelihood is the sum over the landmarks, not their mean",
        lambda p, seen: np.log(p[seen]).sum(),
    ),
    ("logarithm_left_out", "the likelihood is the mean without the logarithm", lambda p, seen: p[seen].mean()),
    ("logarithm_left_out", "the likelihood is the sum without the logarithm", lambda p, seen: p[seen].sum()),
    (
        "logarithm_of_the_mean",
        "the log-likelihood is the logarithm of the mean",
        lambda p, seen: math.log(p[seen].mean()),
    ),
    (
        "logarithm_of_the_mean",
        "the log-likelihood is the logarithm of the sum",
        lambda p, seen: math.log(p[seen].sum()),
    ),
    ("another_logarithm", "the logarithm has base 2", lambda p, seen: np.log2(p[seen]).mean()),
    ("another_logarithm", "the logarithm has base 10", lambda p, seen: np.log10(p[seen]).mean()),
    (
        "mean_over_all",
        "the mean is over all landmarks, also those that are not visible",
        lambda p, seen: np.log(p[seen]).sum() / len(p),
    ),
    (
        "mean_over_all",
        "the mean is over all landmarks, with the floor where they are not visible",
        lambda p, seen: np.log(np.where(seen, p, LIKELIHOOD_FLOOR)).mean(),
    ),
    ("median_for_mean", "the log-likelihood is the median", lambda p, seen: np.median(np.log(p[seen]))),
    ("log_likelihood_negated", "the log-likelihood is negated", lambda p, seen: -np.log(p[seen]).mean()),
    ("least_for_mean", "the log-likelihood is the smallest of the landmarks", lambda p, seen: np.log(p[seen]).min()),
    ("largest_for_mean", "the log-likelihood is the largest of the landmarks", lambda p, seen: np.log(p[seen]).max()),
    ("logarithm_of_1_plus", "the logarithm is that of 1 + the likelihood", lambda p, seen: np.log1p(p[seen]).mean()),
    (
        "geometric_mean",
        "the geometric mean takes the place of its logarithm",
        lambda p, seen: np.exp(np.log(p[seen]).mean()),
    ),
    ("harmonic_mean", "the logarithm is that of the harmonic mean", lambda p, seen: -np.log((1 / p[seen]).mean())),
    ("mean_of_roots", "the logarithm is of the roots", lambda p, seen: np.log(np.sqrt(p[seen])).mean()),
    ("likelihoods_multiplied", "the likelihoods are multiplied", lambda p, seen: p[seen].prod()),
):
    KNOWN.add("likelihood", _name, _text, OfTheMean(_mean))


def _exact_total(v: Inputs) -> Array:
    distance = free(v)[..., None] - np.arange(v.window)
    k = np.exp(-0.5 * (distance / v.sigma) ** 2).sum(axis=-1)
    return np.asarray(k[:, 0] * k[:, 1])
