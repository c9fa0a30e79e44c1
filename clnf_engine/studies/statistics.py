"""Statistics of a study: how the errors of its variants differ, face by face, and whether that can be told from chance.

Fits are compared in pairs, of one face from one start. Several starts of a face are not independent, so that a face
counts once: with the mean over its starts. Faces are what is resampled and tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats

Indices = NDArray[np.intp]
Whole = NDArray[np.signedinteger[Any]]

SAME_PX = 1e-9
"""Fits that end closer together than this, px, are the same but for rounding."""

CONFIDENCE = 0.95
"""Of the intervals."""

SIGNIFICANT = 0.05
"""Corrected p-values below this tell a difference from chance."""

_SEED = 0
_RESAMPLES = 1_000, 9_999
"""At least and at most; SciPy draws as many as the latter."""
_DRAWS = 2 * 10**7
"""So many faces are drawn in all, if the number of resamples allows."""
_BATCH = 2 * 10**6
"""So many faces are drawn at a time: they take some 50 MB."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The fits of a study by variant and by pair: what is compared is a face from one start.

    Attributes
    ----------
    rows : (variants, pairs) intp
        Index of each fit; −1 where a variant has none.
    face : (pairs,) intp
        Which face each pair is of: 0, 1, …, ascending.
    """

    rows: Indices
    face: Indices

    @property
    def n_faces(self) -> int:
        """Number of faces."""
        return int(self.face[-1]) + 1 if self.face.size else 0

    def values(self, column: Floats) -> Floats:
        """A column of the fits by variant and pair, (variants, pairs); NaN where there is no fit."""
        found = column[self.rows] if column.size else np.full(self.rows.shape, np.nan)
        return np.where(self.rows >= 0, found, np.nan)

    def by_face(self, values: Floats) -> Floats:
        """The mean over the starts of every face, of those that are known: (variants, pairs) to (variants, faces)."""
        starts = np.flatnonzero(np.diff(self.face, prepend=-1))
        if not starts.size:
            return np.zeros((len(values), 0))
        known = np.isfinite(values)
        count = np.add.reduceat(known, starts, axis=1, dtype=np.float64)
        total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=1)
        means: Floats = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return means


def paired(variant: Whole, face: Whole, start: Whole, n_variants: int) -> Pairs:
    """Find what is to be compared with what.

    Parameters
    ----------
    variant, face, start : (n,) of whole numbers
        Of every fit, counted from 0.
    n_variants : int

    Returns
    -------
    Pairs
        Faces without a fit are left out.
    """
    n_starts = int(start.max(initial=-1)) + 1
    keys, column = np.unique(face.astype(np.int64) * n_starts + start, return_inverse=True)
    rows = np.full((n_variants, len(keys)), -1, dtype=np.intp)
    rows[variant, column] = np.arange(len(variant))
    _, faces = np.unique(keys // max(n_starts, 1), return_inverse=True)
    return Pairs(rows, faces.astype(np.intp))


@dataclass(frozen=True)
class Difference:
    """How the errors of a variant differ from those of the baseline, over the faces that both have fitted.

    Attributes
    ----------
    mean : float
        Variant − baseline, % of the outer-eye distance; negative where the variant is better. NaN without such faces.
    low, high : float
        Bounds of the mean with `CONFIDENCE`, by a BCa bootstrap (Efron, "Better bootstrap confidence intervals", JASA
        1987). NaN with fewer than two faces.
    p : float
        Of Wilcoxon's signed-rank test (Wilcoxon, Biometrics Bulletin 1945), two-sided, corrected for the number of
        variants (Holm, Scand. J. Stat. 1979).
    faces, better, worse : int
        Faces that both have fitted; those on which the variant is better and worse by more than rounding.
    gained, lost : int
        Fits of which only the variant's has not failed, and only the baseline's.
    """

    mean: float
    low: float
    high: float
    p: float
    faces: int
    better: int
    worse: int
    gained: int
    lost: int

    @property
    def sure_of_mean(self) -> bool:
        """Whether the bounds of the mean are on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def sure_of_most(self) -> bool:
        """Whether the test tells the variant from the baseline."""
        return self.p < SIGNIFICANT


def differences(
    pairs: Pairs, error: Floats, same: NDArray[np.bool_], failed: Floats, baseline: int
) -> list[Difference]:
    """Compare every variant with the baseline.

    Parameters
    ----------
    pairs : Pairs
    error : (variants, pairs) float64
        % of the outer-eye distance; NaN where there is none.
    same : (variants, pairs) bool
        Where a fit ends where the baseline's does, but for rounding.
    failed : (variants, pairs) float64
        1 where a fit failed, 0 where it did not, NaN where there was none.
    baseline : int

    Returns
    -------
    list of Difference
        Of every variant, the baseline itself included.
    """
    apart = pairs.by_face(np.where(same, 0.0 * error, error - error[baseline]))
    low, high = mean_bounds(apart)
    count = np.isfinite(apart).sum(axis=1)
    tested = [k for k in range(len(apart)) if k != baseline and count[k]]
    p = np.ones(len(apart))
    p[tested] = holm(np.array([_wilcoxon(apart[k]) for k in tested]))
    gained, lost = (failed < failed[baseline]).sum(axis=1), (failed > failed[baseline]).sum(axis=1)
    return [
        Difference(
            _mean(values), float(low[k]), float(high[k]), float(p[k]), int(count[k]),
            int((values < 0).sum()), int((values > 0).sum()), int(gained[k]), int(lost[k]),
        )
        for k, values in enumerate(apart)
    ]  # fmt: skip


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _wilcoxon(values: Floats) -> float:
    """The p-value of differences; those of 0 tell nothing."""
    from scipy.stats import wilcoxon

    told = values[np.isfinite(values) & (values != 0)]
    return float(wilcoxon(told).pvalue) if told.size else 1.0


def holm(p: Floats) -> Floats:
    """Correct p-values for their number, so that none is below α by chance but in a share of α of all studies.

    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979.
    """
    order = np.argsort(p)
    corrected = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    result = np.empty(len(p))
    result[order] = np.minimum(corrected, 1.0)
    return result


def mean_bounds(values: Floats, resamples: int | None = None) -> tuple[Floats, Floats]:
    """Bounds of the means of several variants by a BCa bootstrap, which draws the same faces for all.

    Efron, "Better bootstrap confidence intervals", JASA 1987; the acceleration is that of the jackknife. The bounds
    are those of `scipy.stats.bootstrap` with the same draws; one product of matrices gives the means of all variants.

    Parameters
    ----------
    values : (variants, faces) float64
        NaN where there is none; the mean is over the others.
    resamples : int, optional
        By default as many as the number of faces allows in a second.

    Returns
    -------
    low, high : (variants,) float64
        NaN with fewer than two values.
    """
    n_variants, n = values.shape
    known = np.isfinite(values)
    enough = known.sum(axis=1) >= 2
    low, high = np.full(n_variants, np.nan), np.full(n_variants, np.nan)
    if not enough.any():
        return low, high
    resamples = resamples or int(np.clip(_DRAWS // n, *_RESAMPLES))
    means = _resampled_means(np.where(known, values, 0.0)[enough], known[enough], resamples)
    found = [_bca(row[at], mean) for row, at, mean in zip(values[enough], known[enough], means.T, strict=True)]
    low[enough], high[enough] = np.array(found).T
    return low, high


def _resampled_means(values: Floats, known: NDArray[np.bool_], resamples: int) -> Floats:
    """Means of the known values of every resample, (resamples, variants)."""
    n = values.shape[1]
    random = np.random.default_rng(_SEED)
    columns = np.concatenate([values, known]).T
    means = []
    for batch in np.diff([*range(0, resamples, max(_BATCH // n, 1)), resamples]):
        drawn = random.integers(0, n, (batch, n)) + n * np.arange(batch)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=batch * n).reshape(batch, n)
        total, number = np.split(counts.astype(np.float64) @ columns, 2, axis=1)
        means.append(np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0))
    return np.concatenate(means)


def _bca(values: Floats, means: Floats) -> tuple[float, float]:
    """Bounds of the mean of values by the means of their resamples."""
    from scipy.special import ndtr, ndtri

    mean, means = values.mean(), means[np.isfinite(means)]
    off = values - mean
    if not np.abs(off).max() > 1e-12 * np.abs(values).max():
        return float(mean), float(mean)
    acceleration = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
    bias = ndtri(((means < mean).mean() + (means <= mean).mean()) / 2)
    tails = ndtri([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    shares = ndtr(bias + (bias + tails) / (1 - acceleration * (bias + tails)))
    low, high = np.quantile(means, shares)
    return float(low), float(high)


def cumulative(errors: Mapping[str, Floats], points: int = 400) -> tuple[Floats, dict[str, Floats]]:
    """Cumulative error curves: which share of the fits has an error below x, of several variants.

    Parameters
    ----------
    errors : mapping of str to (n,) float64
        By variant, % of the outer-eye distance; infinite where there is no fit.
    points : int

    Returns
    -------
    x : (points,) float64
        From 0 to where all but a few fits are.
    shares : dict of str to (points,) float64
        %.
    """
    ordered = {name: np.sort(values) for name, values in errors.items()}
    ends = [np.quantile(values[np.isfinite(values)], 0.98) for values in ordered.values() if np.isfinite(values).any()]
    x = np.linspace(0.0, 1.1 * max(ends, default=10.0), points)
    return x, {name: 100 * np.searchsorted(values, x) / max(len(values), 1) for name, values in ordered.items()}
