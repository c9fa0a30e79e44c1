"""Which landmarks a line joins: those of the iBUG-68 face, of OpenFace's eyes, and of the parts of a face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clnf_engine.caches import remembered
from clnf_engine.detection.parts import EYES
from clnf_engine.model import ModelPart

IBUG_LANDMARKS = 68


def _chain(first: int, last: int, closed: bool = False) -> list[tuple[int, int]]:
    pairs = [(k, k + 1) for k in range(first, last)]
    return [*pairs, (last, first)] if closed else pairs


CONTOURS_68 = np.array(
    [
        *_chain(0, 16),
        *_chain(17, 21),
        *_chain(22, 26),
        *_chain(27, 30),
        *_chain(31, 35),
        *_chain(36, 41, closed=True),
        *_chain(42, 47, closed=True),
        *_chain(48, 59, closed=True),
        *_chain(60, 67, closed=True),
    ]
)
"""Pairs of iBUG-68 landmarks joined by a line: jaw, brows, nose, eyes, lips; (k, 2)."""

CONTOURS_OF_EYE = np.array([*_chain(0, 7, closed=True), *_chain(8, 19, closed=True), *_chain(20, 27, closed=True)])
"""Of OpenFace's eyes of 28 landmarks: iris, lids, pupil; (k, 2)."""

_NONE = np.zeros((0, 2), dtype=np.int64)


def contours(n: int, part: ModelPart | None = None) -> NDArray[np.int64]:
    """Pairs of landmarks that a line joins, (k, 2); none where nothing is known of them.

    Parameters
    ----------
    n : int
        Number of landmarks.
    part : ModelPart, optional
        Whose landmarks they are, if not those of a whole face: an eye of OpenFace's has lines of its own, any other
        part those of the face that it shares.
    """
    if part is None:
        return CONTOURS_68 if n == IBUG_LANDMARKS else _NONE
    if part.name in EYES and n == CONTOURS_OF_EYE.max() + 1:
        return CONTOURS_OF_EYE
    return _of_part(part)


@remembered
def _of_part(part: ModelPart) -> NDArray[np.int64]:
    own = {int(whole): int(mine) for whole, mine in part.landmark_pairs}
    pairs = [(own[a], own[b]) for a, b in CONTOURS_68.tolist() if a in own and b in own]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
