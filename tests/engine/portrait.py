"""The portrait that matplotlib ships (Grace Hopper, public domain), upright and turned."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine import Initial, Model, fit, initial_from_box, initials_from_detector, sample


@cache
def grace_hopper() -> NDArray[np.uint8]:
    """The portrait's grey levels, (H, W), read-only."""
    return sample("portrait").gray


def turned_portrait(model: Model, degrees: float) -> tuple[NDArray[np.uint8], Initial, NDArray[np.float64]]:
    """The portrait turned about its middle, an upright box around the face, and the landmarks of the upright fit there.

    The box is the detected one, as large as it was, its centre turned with the portrait.
    """
    gray = grace_hopper()
    initial = initials_from_detector(model, gray)[0]
    height, width = gray.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(gray, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    truth = fit(gray, model, initial).landmarks @ turn[:, :2].T + turn[:, 2]
    x, y, w, h = initial.box
    centre = turn @ (x + w / 2, y + h / 2, 1)
    return turned, initial_from_box(model, (*(centre - (w / 2, h / 2)), w, h)), truth
