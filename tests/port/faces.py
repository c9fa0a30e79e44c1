"""Faces to fit, each with its model, start and options, and together with every corner a mistake can hide in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from engine.portrait import grace_hopper
from engine.tiny_model import one_view, start, tiny_image, tiny_model

from clnf_engine import Initial, Model, initial_from_box, load_model

LEFT = (0.05, 0.4, -0.1)
"""A head turned so far that the tiny model's second view is nearest, which does not see ten landmarks."""
HOPPER = (162.4, 153.0, 206.1, 200.4)
"""Where her face is, eyebrows to chin."""


@dataclass(frozen=True)
class Face:
    """What a fit starts from."""

    image: Callable[[], np.ndarray]
    model: Callable[[], Model]
    box: tuple[float, ...]
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def initial(self) -> Initial:
        return initial_from_box(self.model(), self.box, self.angles)


@cache
def portrait68() -> Model:
    return load_model("portrait68")


@cache
def frontal() -> Model:
    return one_view(tiny_model())


SHORT = {"windows": (9, 7), "max_iterations": 3}
WEIGHTED = SHORT | {"weight_factor": 2.5, "sigma": 1.25, "reg_factor": 35.0}
FACES = {
    "default": Face(tiny_image, tiny_model, start().box),
    "tiny": Face(tiny_image, tiny_model, start().box, options=SHORT),
    "turned": Face(tiny_image, tiny_model, start(rotation=LEFT).box, LEFT, WEIGHTED),
    "clamped": Face(tiny_image, tiny_model, start(stretch=0.9).box, options=SHORT | {"clamp_sigmas": 0.05}),
    "border": Face(
        tiny_image, tiny_model, start(dx=45.0, dy=-50.0).box, options={"windows": (7, 5), "reg_factor": 3.0}
    ),
    "stopping": Face(tiny_image, frontal, start().box, options={"windows": (9, 7), "convergence_px": 1.5}),
    "grace": Face(grace_hopper, portrait68, HOPPER),
}
"""`tiny` is short and quick; `turned` has another view, invisible landmarks and confidences; in `clamped` modes are
held at their bound; `border` reaches over the image's edge and has a window without Sigma components; in `stopping`
phases end early, and the model has one view only."""
