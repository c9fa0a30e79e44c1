"""The choice among fits: the first, unless another is likelier by more than a margin."""

from __future__ import annotations

import math

import pytest

from clnf_engine.choice import choose


@pytest.mark.parametrize(
    ("likelihoods", "margin", "chosen"),
    [
        ((0.5, 0.6, 0.62), 0.1, 2),
        ((0.5, 0.6, 0.58), 0.125, 0),
        ((0.5, 0.625), 0.125, 0),  # more than the margin, not as much
        ((-0.5, -0.375, -0.375), 0.0, 1),  # of equals the first
        ((0.5, 0.5), 0.0, 0),
        ((None, -2.0, -1.0), 0.1, 2),
        ((math.nan, -2.0), 0.1, 1),
        ((0.2, None, math.nan), 0.0, 0),
        ((None, None), 0.1, None),
        ((), 0.1, None),
    ],
)
def test_which_is_chosen(likelihoods: tuple[float | None, ...], margin: float, chosen: int | None) -> None:
    assert choose(likelihoods, margin) == chosen
