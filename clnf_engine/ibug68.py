"""The iBUG-68 landmarks: which is the mirror image of which, and which part of the face each belongs to.

Sagonas, Tzimiropoulos, Zafeiriou, Pantic, "300 faces in-the-wild challenge", ICCVW 2013, fig. 1.
"""

from __future__ import annotations

import numpy as np

from clnf_engine.arrays import Floats, read_only

N_LANDMARKS = 68

MIRROR = read_only(
    np.array(
        [
            *range(16, -1, -1),  # jaw
            *range(26, 16, -1),  # brows
            *range(27, 31),  # bridge of the nose
            *range(35, 30, -1),  # nostrils
            *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
            *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
            *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
        ]
    )
)
"""Index of the landmark that each landmark becomes in a mirrored image, (68,)."""

TRAINED = tuple(i for i in range(N_LANDMARKS) if MIRROR[i] >= i)
"""Landmarks on one side of the face and on its midline; the others are their mirror images."""

REGIONS = {
    "jaw": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}

LEFT_EYE, RIGHT_EYE = range(36, 42), range(42, 48)
"""The eyes on the left and on the right of the image."""

OUTER_EYE_CORNERS = (36, 45)


def eye_distance(points: Floats) -> float:
    """Distance of the outer eye corners of (68, 2) landmarks; in space of (68, 3)."""
    left, right = points[list(OUTER_EYE_CORNERS)]
    return float(np.linalg.norm(right - left))


def mirrored(points: Floats, width: float = 1.0) -> Floats:
    """Landmarks of the mirrored image.

    Parameters
    ----------
    points : (68, 2) or (68, 3) float64
    width : float
        Of the image, px; 1 mirrors at x = 0.

    Returns
    -------
    Array of the shape of `points`
    """
    result: Floats = points[MIRROR]
    result[:, 0] = width - 1 - result[:, 0]
    return result
