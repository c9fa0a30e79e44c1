"""A study's verdict in words: which variants are better, which cannot be told apart, which options change nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from clnf_engine.studies.statistics import Difference


@dataclass(frozen=True)
class Agreement:
    """How closely the fits of two variants agree, each of a face from a start.

    Attributes
    ----------
    reference : int
        The variant that another is compared with.
    fits : int
        That both have.
    same : int
        That end within `statistics.SAME_PX` of each other.
    identical : int
        Whose landmarks have the same bits.
    farthest : float
        Largest distance of a landmark from its counterpart, px, among the fits that are the same; NaN without any.
    farthest_of_all : float
        The same among all fits.
    typical : float
        Median over all fits of the largest distance of a landmark, px.
    """

    reference: int
    fits: int
    same: int
    identical: int
    farthest: float
    farthest_of_all: float
    typical: float

    @property
    def whole(self) -> bool:
        """Whether the two variants are the same, in every fit."""
        return 0 < self.fits == self.same


def bounds_text(mean: float, low: float, high: float, unit: str) -> str:
    """A mean and its bounds, with two digits of what is uncertain."""
    unit = f" {unit}" if unit else ""
    if not math.isfinite(high - low):
        return f"{mean:.2f}{unit}"
    width = high - low
    digits = min(max(1 - math.floor(math.log10(width)), 0), 6) if width > 0 else 2 if mean else 0
    return f"{mean:.{digits}f}{unit} ({low:.{digits}f}…{high:.{digits}f})"


def agreement_text(agreement: Agreement) -> str:
    """How fits that are all the same agree."""
    count = f"all {agreement.fits} fits"
    if agreement.identical == agreement.fits:
        return f"{count} are the same, bit for bit"
    bits = f" ({agreement.identical} are the same, bit for bit)" if agreement.identical else ""
    return f"{count} end within {agreement.farthest:.0e} px of each other{bits}"


def difference_text(name: str, found: Difference, agreement: Agreement | None, unit: str, baseline: str = "") -> str:
    """What there is to say of a variant, compared with the baseline, which is named where a name is given."""
    than = f" than {baseline}" if baseline else ""
    fails = _failures(found)
    if agreement is not None and agreement.whole and not fails:
        against = f" against {baseline}" if baseline else ""
        return f"{name} makes no difference{against}: {agreement_text(agreement)}"
    if not found.faces:
        return f"{name} has no error to compare{fails}"
    on = f"on {found.faces} face{'' if found.faces == 1 else 's'}"
    better = found.mean < 0
    sign = -1.0 if better else 1.0
    low, high = sorted((sign * found.low, sign * found.high))
    amount = bounds_text(sign * found.mean, low, high, unit)
    word = "better" if better else "worse"
    if found.sure_of_mean and found.sure_of_most:
        return f"{name} is {word}{than} by {amount} {on}{fails}"
    if found.sure_of_most:
        more = "better" if found.better > found.worse else "worse"
        count = max(found.better, found.worse)
        tail = f"but its mean is not told from it: {word} by {amount}"
        return f"{name} is {more}{than} on {count} of {found.faces} faces (p = {p_text(found.p)}), {tail}{fails}"
    if found.sure_of_mean:
        faces = f"better on {found.better}, worse on {found.worse} faces, p = {p_text(found.p)}"
        return f"{name} is {word}{than} by {amount} on average, owing to few faces: {faces}{fails}"
    return f"{name} cannot be told from {baseline or 'it'}: {word} by {amount} {on}, p = {p_text(found.p)}{fails}"


def p_text(p: float) -> str:
    """A p-value: two digits, and no more zeros than anyone counts."""
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"


def _failures(found: Difference) -> str:
    parts = [(found.lost, "fails where the baseline does not"), (found.gained, "does not fail where the baseline does")]
    told = [f"{text} in {count} fit{'' if count == 1 else 's'}" for count, text in parts if count]
    return f"; {' and '.join(told)}" if told else ""


def unimportant_options(
    options: Sequence[Mapping[str, Any]], agreements: Mapping[int, Agreement]
) -> dict[str, tuple[int, ...]]:
    """Options that change no fit of a study, whatever the others are.

    Parameters
    ----------
    options : sequence of mapping
        Of every variant.
    agreements : mapping of int to Agreement
        Of variants with earlier ones.

    Returns
    -------
    dict of str to tuple of int
        By the name of the option: the variants that differ in it and are the same as another all the same.
    """
    same = [_first(k, agreements) for k in range(len(options))]
    names = dict.fromkeys(name for row in options for name in row)
    varied = [name for name in names if len({repr(row.get(name)) for row in options}) > 1]
    found: dict[str, tuple[int, ...]] = {}
    for name in varied:
        others = {k: repr([row.get(other) for other in varied if other != name]) for k, row in enumerate(options)}
        groups = [list(group) for _, group in groupby(sorted(others, key=lambda k: others[k]), key=lambda k: others[k])]
        groups = [group for group in groups if len(group) > 1]
        if groups and all(len({same[k] for k in group}) == 1 for group in groups):
            found[name] = tuple(sorted(k for group in groups for k in group if same[k] != k))
    return found


def _first(variant: int, agreements: Mapping[int, Agreement]) -> int:
    """The variant that another is the same as."""
    while (found := agreements.get(variant)) is not None and found.whole:
        variant = found.reference
    return variant
