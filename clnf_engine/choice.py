"""Which of several fits of one face to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence

MARGIN = 0.05
"""How much likelier another fit must end than the first to be chosen.

Likelihoods of fits that ended in different views come from different patch experts: those of a turned view answer a
frontal face a little louder now and then. Of 133 fits of two models that had found their face, 4 gained more than this
by the best of 60 other starts.
"""


def choose(likelihoods: Sequence[float | None], margin: float = MARGIN) -> int:
    """The likeliest of several fits, if it is likelier than the first by more than a margin; else the first.

    Parameters
    ----------
    likelihoods : sequence of float or None
        Log-likelihoods at the end of the fits, with equal options and an equal last stage. First that of the start to
        be preferred, such as the one that is not turned. None for fits that failed.
    margin : float
        0 is OpenFace's choice among its hypotheses: the highest, of equals the first; a NaN never replaces another and,
        where it is the first, is never replaced.

    Returns
    -------
    int
        Its place in the sequence.
    """
    told = [-math.inf if value is None else value for value in likelihoods]
    best = max(range(len(told)), key=lambda k: -math.inf if math.isnan(told[k]) else told[k])
    return best if told[best] > told[0] + margin else 0
