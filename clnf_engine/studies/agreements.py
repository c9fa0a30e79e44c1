"""How closely the fits of two variants agree, from their landmarks: read only of those that are asked about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats
from clnf_engine.studies.columns import Columns
from clnf_engine.studies.parts import Part
from clnf_engine.studies.reading import read_arrays
from clnf_engine.studies.statistics import SAME_PX, Indices, Pairs
from clnf_engine.studies.words import Agreement

_KEPT = 8
"""Parts whose landmarks are held at a time: all fits of a face are in one, unless the study was extended."""


class Landmarks:
    """The landmarks of rows, a few parts at a time.

    Parameters
    ----------
    parts : sequence of Part
    columns : Columns
    """

    def __init__(self, parts: Sequence[Part], columns: Columns) -> None:
        self._parts, self._columns = parts, columns
        self._held: OrderedDict[int, Floats] = OrderedDict()

    def apart(self, rows: Indices, others: Indices) -> tuple[Floats, NDArray[np.bool_]]:
        """How far apart the fits of pairs of rows end, and which have the same bits.

        Parameters
        ----------
        rows, others : (k,) intp
            Rows of `columns`, −1 for none.

        Returns
        -------
        distance : (k,) float64
            Largest of a landmark from its counterpart, px; infinite where one of the two has none, NaN where neither.
        identical : (k,) bool
        """
        distance, identical = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=bool)
        both = np.flatnonzero((rows >= 0) & (others >= 0))
        distance[(rows >= 0) ^ (others >= 0)] = np.inf
        key = np.stack([self._columns.part[rows[both]], self._columns.part[others[both]]])
        order = np.lexsort(key)
        ends = np.flatnonzero(np.diff(key[:, order], axis=1).any(axis=0)) + 1
        for group in np.split(both[order], ends) if both.size else []:
            a, b = self._of(rows[group]), self._of(others[group])
            if a.shape != b.shape:
                distance[group] = np.inf
                continue
            off = (a - b).reshape(len(group), -1, 2)
            found = np.sqrt((off**2).sum(axis=2)).max(axis=1, initial=0.0)
            lost = np.isnan(a).all(axis=1), np.isnan(b).all(axis=1)
            distance[group] = np.where(lost[0] ^ lost[1], np.inf, found)
            identical[group] = (a == b).all(axis=1) & ~lost[0]
        return distance, identical

    def _of(self, rows: Indices) -> Floats:
        """Of rows of one part, (k, 2 n)."""
        part = int(self._columns.part[rows[0]])
        if part not in self._held:
            self._held[part] = read_arrays(self._parts[part], "landmarks")
            while len(self._held) > _KEPT:
                self._held.popitem(last=False)
        self._held.move_to_end(part)
        return self._held[part][self._columns.position[rows]]

    def measure(self, references: Mapping[int, int], pairs: Pairs) -> dict[int, Agreement]:
        """Compare the fits of variants with those of others, by variant; parts are read once, in order."""
        variants, others = np.array(list(references), np.intp), np.array(list(references.values()), np.intp)
        rows, beside = pairs.rows[variants], pairs.rows[others]
        distance, identical = self.apart(rows.ravel(), beside.ravel())
        distance, identical = distance.reshape(rows.shape), identical.reshape(rows.shape)
        found = zip(references.items(), distance, identical, strict=True)
        return {k: _agreement(other, far, bits) for (k, other), far, bits in found}


def _agreement(reference: int, distance: Floats, identical: NDArray[np.bool_]) -> Agreement:
    known = distance[~np.isnan(distance)]
    finite, same = known[np.isfinite(known)], known[known <= SAME_PX]
    return Agreement(
        reference,
        len(known),
        len(same),
        int(identical.sum()),
        float(same.max(initial=0.0)) if same.size else np.nan,
        float(finite.max(initial=0.0)) if finite.size else np.nan,
        float(np.median(finite)) if finite.size else np.nan,
    )
