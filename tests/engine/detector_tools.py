"""A stand-in for the search for faces: what is found is what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clnf_engine.detection.haar import Found

FIND_FACES = "clnf_engine.detection.haar.find_faces"
"""What to put it in the place of."""


def finds(boxes: Callable[[Any], Sequence[Any]]) -> Callable[..., Iterator[list[Found]]]:
    """Finds upright faces in the boxes that a function names for an image, beyond doubt and in their order."""
    return lambda image, _options: iter([[Found(box, 0.0, 99, True) for box in boxes(image)]])
