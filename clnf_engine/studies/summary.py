"""What a study has found: statistics of every variant, how each differs from the baseline, and a verdict in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clnf_engine.accuracy import LIMITS, ErrorStatistics, error_statistics
from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Cell, Finding, Plot, Table
from clnf_engine.studies.columns import Columns
from clnf_engine.studies.statistics import SAME_PX, Difference, Pairs, cumulative, differences, paired
from clnf_engine.studies.words import (
    Agreement,
    agreement_text,
    bounds_text,
    difference_text,
    p_text,
    unimportant_options,
)

Measure = Callable[[Mapping[int, int], Pairs], dict[int, Agreement]]
"""Compares the landmarks of variants with those of others: {variant: the other} → its agreement with it."""

_CURVES = 8
"""So many curves can be told from each other."""
_MOST_CHANGED = 5
"""Faces listed of a variant, as many that it improves and that it worsens."""
_LISTED_VARIANTS = 6
_TOLD = 3
"""The verdict speaks of each of so many variants."""


@dataclass(frozen=True, eq=False)
class Summary(Finding):
    """What a study has found.

    Attributes
    ----------
    columns : Columns
    pairs : Pairs
    baseline : int
        The variant that the others are compared with.
    region : str
        Whose errors are compared; "" for all landmarks.
    unit : str
        Of the errors: "%" of the outer-eye distance; "px" where that is not known, as with other landmarks.
    error : (variants, pairs) float64
        NaN where there is none.
    lost : (variants, pairs) bool
        Where there is no fit that has an error, though the truth is known.
    statistics : tuple of ErrorStatistics
        By variant.
    failures : tuple of int
        Fits that failed, by variant.
    differences : tuple of Difference
        By variant.
    agreements : dict of int to Agreement
        Of variants whose fits are those of an earlier one, or may be; of all with the baseline where no truth is known.
    """

    question: ClassVar[str] = "Is any variant better than the baseline?"
    provenance: ClassVar[str] = (
        "Errors are means over landmarks, in % of the outer-eye distance. A difference (below 0: better) is the mean "
        "over the faces that both variants have fitted, with its 95 % interval by a BCa bootstrap over faces; p is of "
        "Wilcoxon's signed-rank test, corrected for the number of variants by Holm's method. Several starts of a face "
        "count once."
    )
    columns: Columns
    pairs: Pairs
    baseline: int
    region: str
    unit: str
    error: Floats
    lost: NDArray[np.bool_]
    statistics: tuple[ErrorStatistics, ...]
    failures: tuple[int, ...]
    differences: tuple[Difference, ...]
    agreements: dict[int, Agreement]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variants."""
        return self.columns.variants

    @property
    def has_truth(self) -> bool:
        """Whether any error is known."""
        return bool(np.isfinite(self.error).any())

    @cached_property
    def apart(self) -> Floats:
        """Errors minus those of the baseline by variant and face; NaN where one has none."""
        return self.pairs.by_face(self.error - self.error[self.baseline])

    @property
    def error_title(self) -> str:
        """What the errors are, for an axis."""
        unit = "% of the outer-eye distance" if self.unit == "%" else "px"
        return f"mean error{f' ({self.region})' if self.region else ''}, {unit}"

    # --- the verdict --------------------------------------------------------------------------

    @property
    def answer(self) -> bool | None:
        """Whether one is, beyond chance; None where no truth is known, or there is but one variant."""
        if not self.has_truth or len(self.names) < 2:
            return None
        return any(self._sure(k) and self.differences[k].mean < 0 for k in self._others)

    @property
    def _others(self) -> list[int]:
        return [k for k in range(len(self.names)) if k != self.baseline]

    def _is_another(self, k: int) -> bool:
        """Whether a variant is the same as an earlier one."""
        return k in self.agreements and self.agreements[k].whole

    def _sure(self, k: int) -> bool:
        return self.differences[k].sure_of_mean and self.differences[k].sure_of_most

    @property
    def verdict(self) -> str:
        """The best variant and what changes nothing, in one sentence."""
        if not len(self.columns):
            return "The study has no fits yet."
        if not self.has_truth:
            return self._verdict_without_truth()
        if len(self.names) < 2:
            found, unit = self.statistics[0], self.unit
            errors = f"mean error {found.mean:.2f} {unit}, median {found.median:.2f} {unit}"
            return f"Only {self.names[0]} was fitted: {errors}."
        unimportant = unimportant_options(self.columns.options, self.agreements)
        settled = {k for members in unimportant.values() for k in members}
        others = [k for k in self._others if k not in settled]
        names = [_without(name, unimportant) for name in self.names]
        told = self._told(others, names) + [self._unimportant(name, unimportant[name]) for name in unimportant]
        return f"{'; '.join(told)}."

    def _told(self, others: list[int], names: list[str]) -> list[str]:
        """Of each variant where they are few, else of the best one and how many are like it."""
        if len(others) <= _TOLD:
            return [self.sentence(k, names[self.baseline] if k == others[0] else "", names[k]) for k in others]
        baseline = names[self.baseline]
        sure = [k for k in others if self._sure(k)]
        better = [k for k in sure if self.differences[k].mean < 0]
        best = min(better or others, key=lambda k: _or_infinite(self.differences[k].mean))
        text = self.sentence(best, baseline, names[best])
        worse = f"{len(sure) - len(better)} of {len(others)} other variants are worse"
        if better:
            return [
                text,
                f"{len(better)} of {len(others)} other variants are better",
                *([worse] if better != sure else []),
            ]
        none = f"No variant is told to be better than {baseline}"
        return [none, worse] if len(sure) == len(others) else [none, text, *([worse] if sure else [])]

    def _unimportant(self, name: str, members: tuple[int, ...]) -> str:
        found = [self.agreements[k] for k in members]
        sums = {key: sum(getattr(one, key) for one in found) for key in ("fits", "same", "identical")}
        farthest = [one.farthest for one in found]
        whole = Agreement(0, **sums, farthest=max(farthest), farthest_of_all=max(farthest), typical=max(farthest))
        return f"{name} makes no difference: {agreement_text(whole)}"

    def sentence(self, k: int, baseline: str = "", name: str = "") -> str:
        """What there is to say of a variant, by other names where such are given."""
        if k == self.baseline:
            return "the baseline"
        agreement = self.agreements.get(k)
        if agreement is not None and agreement.reference != self.baseline:
            if agreement.whole:
                return f"{self.names[k]} is the same as {self.names[agreement.reference]}: {agreement_text(agreement)}"
            agreement = None
        if not self.has_truth:
            return self._without_truth(k, agreement)
        return difference_text(name or self.names[k], self.differences[k], agreement, self.unit, baseline)

    def _verdict_without_truth(self) -> str:
        told = [self.sentence(k) for k in self._others]
        ends = "; ".join(told[:4]) + (f"; and {len(told) - 4} more variants" if len(told) > 4 else "")
        return "No truth is known, so that no error can be told" + (f"; {ends}." if told else ".")

    def _without_truth(self, k: int, agreement: Agreement | None) -> str:
        if agreement is None or not agreement.fits:
            return f"{self.names[k]} has no fit in common with {self.names[self.baseline]}"
        if agreement.whole:
            return f"{self.names[k]} makes no difference: {agreement_text(agreement)}"
        far = f"{agreement.typical:.2g} px, at most {agreement.farthest_of_all:.2g} px"
        same = f"; {agreement.same} of {agreement.fits} fits are the same" if agreement.same else ""
        return f"{self.names[k]} ends {far} from {self.names[self.baseline]} (largest of its landmarks){same}"

    # --- the evidence -------------------------------------------------------------------------

    def tables(self) -> tuple[Table, ...]:
        """Statistics of the variants, and the faces that changed most."""
        shown = [self.variant_table(), self._changed()]
        return tuple(table for table in shown if table.rows)

    def variant_table(self) -> Table:
        """Statistics of every variant, in their order."""
        unit = self.unit
        below = tuple(f"< {limit:g} {unit}" for limit in LIMITS)
        errors = (f"median {unit}", f"p90 {unit}", *below)
        columns = ("variant", f"mean {unit}", f"difference {unit}", "p", *errors, "fits", "failed", "same as")
        rows = []
        fits = (self.pairs.rows >= 0).sum(axis=1)
        for k, name in enumerate(self.names):
            found, difference = self.statistics[k], self.differences[k]
            apart, p = "baseline" if self.has_truth else "-", "-"
            if k != self.baseline and difference.faces:
                apart, p = bounds_text(difference.mean, difference.low, difference.high, ""), p_text(difference.p)
            numbers: tuple[Cell, ...] = (found.median, found.p90, *found.below)
            agreement = self.agreements.get(k)
            same = ""
            if agreement is not None and agreement.same:
                bits = f", {agreement.identical} bit for bit" if agreement.identical else ""
                same = f"{self.names[agreement.reference]}: {agreement.same} of {agreement.fits} fits{bits}"
            rows.append((name, found.mean, apart, p, *numbers, int(fits[k]), self.failures[k], same))
        return Table(f"Variants, compared with {self.names[self.baseline]}", columns, tuple(rows))

    def _changed(self) -> Table:
        alone = [k for k in self._others if self.differences[k].faces and not self._is_another(k)]
        by_mean = sorted(alone, key=lambda k: -abs(self.differences[k].mean))
        rows: list[tuple[Cell, ...]] = []
        for k in sorted(by_mean[:_LISTED_VARIANTS]):
            apart = self.apart[k]
            order = np.argsort(np.where(np.isfinite(apart), apart, 0.0), kind="stable")
            chosen = [*order[:_MOST_CHANGED], *order[::-1][:_MOST_CHANGED][::-1]]
            rows += [self._changed_row(k, int(face)) for face in dict.fromkeys(chosen) if abs(apart[face]) > 1e-9]
        unit = self.unit
        columns = ("variant", "photo", "face", f"baseline {unit}", f"variant {unit}", f"difference {unit}")
        return Table("The faces that changed most", columns, tuple(rows))

    def _changed_row(self, k: int, face: int) -> tuple[Cell, ...]:
        both = np.flatnonzero((self.pairs.face == face) & np.isfinite(self.error[k] - self.error[self.baseline]))
        row = int(self.pairs.rows[k, both[0]])
        errors = (float(self.error[v, both].mean()) for v in (self.baseline, k))
        place = self.columns.face_text(row)
        return (self.names[k], *place, *errors, float(self.apart[k, face]))

    def curves(self) -> tuple[Floats, dict[str, Floats]]:
        """Cumulative error curves of all variants: x, and the shares of fits, %, by name."""
        return cumulative({name: with_lost(self.error[k], self.lost[k]) for k, name in enumerate(self.names)})

    def plots(self) -> tuple[Plot, ...]:
        """Cumulative error curves."""
        if not self.has_truth:
            return ()
        x, shares = self.curves()
        alone = [k for k in self._others if not self._is_another(k)]
        best = sorted(alone, key=lambda k: (np.isnan(self.statistics[k].mean), self.statistics[k].mean))
        shown = [self.baseline, *best[: _CURVES - 1]]
        title = "Cumulative error: share of the fits with a smaller error"
        if len(best) >= _CURVES:
            title += f"; the baseline and the {_CURVES - 1} best variants"
        series = {self.names[k]: shares[self.names[k]] for k in shown}
        return (Plot(title, self.error_title, "fits, %", x, series),)


def _without(name: str, options: Collection[str]) -> str:
    """The name of a variant without the values of some options."""
    return " ".join(text for text in name.split(" ") if text.partition("=")[0] not in options) or name


def _or_infinite(mean: float) -> float:
    return float("inf") if np.isnan(mean) else mean


def summarize(columns: Columns, measure: Measure, baseline: str = "", region: str = "") -> Summary:
    """Tell what a study has found.

    Parameters
    ----------
    columns : Columns
    measure : callable
        Reads the landmarks of variants that may be the same; none of others.
    baseline : str
        A variant; that of the study by default.
    region : str
        One of `ibug68.REGIONS`, whose errors are compared; "" for all landmarks.

    Raises
    ------
    StudyError
        When there is no such variant.
    """
    base = columns.variant_named(baseline or columns.baseline)
    pairs = paired(columns.variant, columns.face, columns.start, len(columns.variants))
    unit = "%" if region or np.isfinite(columns.error).any() or not np.isfinite(columns.error_px).any() else "px"
    error = pairs.values(columns.errors(region) if unit == "%" else columns.error_px)
    whole = pairs.values(columns.error_px)
    failed = pairs.values(columns.failed.astype(np.float64))
    rounding = np.abs(whole - whole[base]) <= SAME_PX
    lost = (failed == 1) & ~np.isfinite(error) & _known_faces(columns)[pairs.face]
    statistics = tuple(error_statistics(with_lost(*row)) for row in zip(error, lost, strict=True))
    references = _references(whole, failed, base)
    return Summary(
        columns,
        pairs,
        base,
        region,
        unit,
        error,
        lost,
        statistics,
        tuple(int(np.nansum(row)) for row in failed),
        tuple(differences(pairs, error, rounding, failed, base)),
        measure(references, pairs) if references else {},
    )


def _known_faces(columns: Columns) -> NDArray[np.bool_]:
    """Whether the truth of each face is known, as far as its fits tell."""
    unknown = columns.face[~columns.failed & ~np.isfinite(columns.error)]
    known = np.ones(int(columns.face.max(initial=-1)) + 1, dtype=bool)
    known[unknown] = False
    return known[np.unique(columns.face)]


def with_lost(error: Floats, lost: NDArray[np.bool_]) -> Floats:
    """The errors of a variant that are known, (k,) of (pairs,); infinite where there is no fit to have one."""
    return np.concatenate([error[np.isfinite(error)], np.full(int(lost.sum()), np.inf)])


def _references(error_px: Floats, failed: Floats, baseline: int) -> dict[int, int]:
    """Which variants may be the same as which: the means of their distances from the truth agree, but for rounding.

    Where no truth is known, all are to be compared with the baseline.
    """
    order = [baseline, *(k for k in range(len(error_px)) if k != baseline)]
    found: dict[int, int] = {}
    for at, k in enumerate(order[1:], start=1):
        if not np.isfinite(error_px).any():
            found[k] = baseline
            continue
        for other in order[:at]:
            if other in found:
                continue
            both = np.isfinite(error_px[k] - error_px[other])
            alike = np.abs(error_px[k] - error_px[other])[both] <= SAME_PX
            if both.any() and alike.mean() > 0.5:
                found[k] = other
                break
    return found
