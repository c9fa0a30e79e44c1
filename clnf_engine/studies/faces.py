"""Two variants of a study face by face: which faces failed, which are worst, which changed most."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats
from clnf_engine.documents import csv_cell
from clnf_engine.studies.columns import Columns
from clnf_engine.studies.statistics import Indices
from clnf_engine.studies.summary import Summary


class Filter(StrEnum):
    """Which faces are listed, and in which order."""

    ALL = "all"
    CHANGED = "changed"
    BETTER = "better"
    WORSE = "worse"
    WORST_A = "worst in A"
    WORST_B = "worst in B"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Beside:
    """The fits of two variants, A and B, of the same faces from the same starts.

    Attributes
    ----------
    columns : Columns
    a, b : int
        The variants.
    rows : (2, pairs) intp
        Of `columns`; −1 where a variant has none.
    values : (2, pairs) float64
        Errors; where no truth is known, log-likelihoods. NaN where there is none.
    unit : str
        Of the values: "%", "px", or "" of log-likelihoods.
    change : (pairs,) float64
        How much worse B is than A, in the unit of the values; where no truth is known, how far apart they end, px.
    """

    columns: Columns
    a: int
    b: int
    rows: Indices
    values: Floats
    unit: str
    change: Floats

    def __len__(self) -> int:
        return len(self.change)

    @property
    def has_truth(self) -> bool:
        """Whether the values are errors."""
        return bool(self.unit)

    @property
    def names(self) -> tuple[str, str]:
        """Of A and B, as far as they differ."""
        full = self.columns.variants[self.a], self.columns.variants[self.b]
        a, b = (name.split(" ") for name in full)
        short = " ".join(text for text in a if text not in b), " ".join(text for text in b if text not in a)
        return short if all(short) else full

    def row(self, pair: int) -> int:
        """A row of a pair: that of A, if it has one."""
        a, b = map(int, self.rows[:, pair])
        return b if a < 0 else a

    def failures(self, pair: int) -> tuple[str, str]:
        """What failed in A and in B; "" where nothing did."""
        codes = [-1 if row < 0 else int(self.columns.failure[row]) for row in self.rows[:, pair]]
        a, b = ("" if code < 0 else self.columns.failures[code] for code in codes)
        return a, b

    def face_text(self, pair: int) -> str:
        """Photo, face and start, as far as they tell a pair from others."""
        row = self.row(pair)
        photo, number = self.columns.face_text(row)
        face = f", face {number}" if self.columns.number[row] else ""
        start = f", {self.columns.starts[self.columns.start[row]]}" if len(self.columns.starts) > 1 else ""
        return f"{photo}{face}{start}"

    def listed(self, wanted: Filter) -> Indices:
        """The pairs that a filter lets through, in its order."""
        choose, order = _FILTERS[wanted]
        found = np.flatnonzero(choose(self))
        return found if order is None else found[np.argsort(-order(self)[found], kind="stable")]

    @property
    def badness(self) -> Floats:
        """The values, or where they are log-likelihoods their negatives: the larger, the worse."""
        return self.values if self.has_truth else -self.values

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Where either says that something failed, (pairs,)."""
        failed: NDArray[np.bool_] = self.columns.failed[self.rows] & (self.rows >= 0)
        either: NDArray[np.bool_] = failed[0] | failed[1]
        return either


_Choose = Callable[[Beside], NDArray[np.bool_]]
_Order = Callable[[Beside], Floats]
_FILTERS: dict[Filter, tuple[_Choose, _Order | None]] = {
    Filter.ALL: (lambda beside: np.ones(len(beside), dtype=bool), None),
    Filter.CHANGED: (lambda beside: np.isfinite(beside.change), lambda beside: np.abs(beside.change)),
    Filter.BETTER: (lambda beside: beside.change < 0, lambda beside: -beside.change),
    Filter.WORSE: (lambda beside: beside.change > 0, lambda beside: beside.change),
    Filter.WORST_A: (lambda beside: np.isfinite(beside.values[0]), lambda beside: beside.badness[0]),
    Filter.WORST_B: (lambda beside: np.isfinite(beside.values[1]), lambda beside: beside.badness[1]),
    Filter.FAILED: (lambda beside: beside.failed, None),
}


def beside(summary: Summary, b: int, apart: Floats | None = None) -> Beside:
    """Put a variant beside the baseline of a summary.

    Parameters
    ----------
    summary : Summary
    b : int
        The variant.
    apart : (pairs,) float64, optional
        How far apart the fits end, px, for studies without truth.
    """
    columns, a = summary.columns, summary.baseline
    rows = summary.pairs.rows[[a, b]]
    if summary.has_truth:
        values, unit = summary.error[[a, b]], summary.unit
        change = values[1] - values[0]
    else:
        values, unit = np.where(rows >= 0, columns.likelihood[rows] if len(columns) else 0.0, np.nan), ""
        change = np.full(rows.shape[1], np.nan) if apart is None else apart
    return Beside(columns, a, b, rows, values, unit, change)


def faces_csv(faces: Beside, pairs: Iterable[int]) -> str:
    """Pairs as a CSV file: where each is, its values in both variants, and what failed."""
    columns, names = faces.columns, [faces.columns.variants[k] for k in (faces.a, faces.b)]
    what = f"error, {faces.unit}" if faces.has_truth else "log-likelihood"
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    change = "difference" if faces.has_truth else "apart, px"
    titles = [*(f"{name}: {what}" for name in names), change, *(f"{name}: failure" for name in names)]
    writer.writerow(["photo", "frame", "face", "start", *map(csv_cell, titles)])
    for pair in pairs:
        row = faces.row(pair)
        frame = int(columns.frame[row]) or ""
        numbers = [*faces.values[:, pair].tolist(), float(faces.change[pair])]
        where = [csv_cell(columns.photos[columns.photo[row]]), frame, int(columns.number[row])]
        texts = ["" if np.isnan(number) else repr(number) for number in numbers]
        writer.writerow([*where, columns.starts[columns.start[row]], *texts, *map(csv_cell, faces.failures(pair))])
    return stream.getvalue()
