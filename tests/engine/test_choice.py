"""The choice among fits: the first, unless another is likelier by more than a margin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clnf_engine import DetectionOptions, detect
from clnf_engine.choice import choose

from .tiny_model import start, tiny_image, tiny_model


@pytest.mark.parametrize(
    ("likelihoods", "margin", "chosen"),
    [
        ((0.5, 0.6, 0.62), 0.1, 2),
        ((0.5, 0.6, 0.58), 0.125, 0),
        ((0.5, 0.625), 0.125, 0),  # more than the margin, not as much
        ((-0.5, -0.375, -0.375), 0.0, 1),  # of equals the first
        ((0.5, 0.5), 0.0, 0),
        ((None, -2.0, -1.0), 0.1, 2),
        ((math.nan, -2.0), 0.0, 0),  # as in OpenFace
        ((-2.0, math.nan, -1.5), 0.1, 2),
        ((0.2, None, math.nan), 0.0, 0),
        ((None, None), 0.1, 0),
    ],
)
def test_which_is_chosen(likelihoods: tuple[float | None, ...], margin: float, chosen: int) -> None:
    assert choose(likelihoods, margin) == chosen


def test_a_margin_keeps_the_fit_that_is_not_turned() -> None:
    model = tiny_model()
    results = [
        detect(tiny_image(), model, start(), None, DetectionOptions(hypotheses=True, hypothesis_margin=margin))
        for margin in (0.0, 100.0)
    ]
    likelihoods = [hypothesis.likelihood for hypothesis in results[0].hypotheses]
    assert likelihoods == [hypothesis.likelihood for hypothesis in results[1].hypotheses]
    assert results[0].chosen == int(np.argmax(likelihoods)) and results[1].chosen == 0
