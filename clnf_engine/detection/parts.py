"""Parts: models of the inner face and the eyes that refine the landmarks of the whole.

Baltrušaitis, Robinson, Morency, "OpenFace: an open source facial behavior analysis toolkit", WACV 2016, §3.1: every
part is fitted from where the whole ended, and the whole is fitted to what they found. Parts do not see each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, read_only
from clnf_engine.detection.known_landmarks import params_from_known
from clnf_engine.errors import InitialError
from clnf_engine.fitting import fit
from clnf_engine.initial import Initial, box_around
from clnf_engine.model import Model, ModelPart
from clnf_engine.options import DetectionOptions, FitOptions, Source
from clnf_engine.pdm import landmarks
from clnf_engine.schedule import SKIP_RATIO
from clnf_engine.trace import Trace

EYES = ("left_eye_28", "right_eye_28")
"""Parts that take `DetectionOptions.eye_parts` to be looked at."""

_OTHERS: dict[str, Any] = {"windows": (11, 9, 7, 5), "sigma": 1.5, "reg_factor": 25.0, "weight_factor": 0.0}
_EYE_28 = {"windows": (3, 5, 9), "sigma": 1.0, "reg_factor": 0.5, "weight_factor": 0.0}
_EYE = {"windows": (5, 3), "sigma": 2.0, "reg_factor": 0.1, "weight_factor": 0.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "inner": {"windows": (9,), "sigma": 1.75, "reg_factor": 2.5, "weight_factor": 2.5},
    "left_eye_28": _EYE_28,
    "right_eye_28": _EYE_28,
    "left_eye": _EYE,
    "right_eye": _EYE,
    "mouth": {"windows": (7, 7), "sigma": 2.0, "reg_factor": 1.0, "weight_factor": 0.0},
    "brow": {"windows": (11, 9), "sigma": 3.5, "reg_factor": 10.0, "weight_factor": 0.0},
}
"""Options of the fits of parts by their names, whatever the whole is fitted with."""


@dataclass(frozen=True, eq=False)
class PartFit:
    """What became of a part.

    Attributes
    ----------
    part : ModelPart
    start : Initial
        Nearest to the landmarks of the whole that the part shares.
    trace : Trace or None
        Its fit; None when the face is too small for it. It counts as used whatever its success.
    """

    part: ModelPart
    start: Initial
    trace: Trace | None

    @property
    def params(self) -> Floats:
        """``[scale, rx, ry, rz, tx, ty, q…]`` of the fit, or of the start without one; (6 + m,) float64."""
        return self.start.params if self.trace is None else self.trace.numbers[-1].params

    @property
    def landmarks(self) -> Floats:
        """All landmarks of the part, (n, 2) float64, image px; those of its start without a fit."""
        return landmarks(self.part.model.pdm, self.start.params) if self.trace is None else self.trace.landmarks

    @property
    def likelihood(self) -> float | None:
        """Mean log likelihood of the fit; None when no stage was run."""
        return None if self.trace is None else self.trace.likelihood


def part_options(name: str, options: FitOptions) -> FitOptions:
    """The options of the fit of a part: its own `SETTINGS`, five iterations, nothing adapted to the scale.

    What OpenFace does not know of (normalization, kernel, precision, deviations) is as in the fit of the whole.
    """
    return replace(options, **SETTINGS.get(name, _OTHERS), max_iterations=5, adapt_per_scale=False)


def fit_parts(
    image: NDArray[np.uint8], model: Model, main: Trace, detection: DetectionOptions, budget: int
) -> dict[str, PartFit]:
    """Fit the parts of a model from where the fit of the whole ended, in the order of the main file.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    main : Trace
        Of the whole; its success does not matter.
    detection : DetectionOptions
    budget : int
        Of each Trace, as for `fitting.fit`.

    Returns
    -------
    dict of name to PartFit
        A part of which no start can be made, because the whole collapsed, is missing.
    """
    fits: dict[str, PartFit] = {}
    for part in model.parts:
        if not detection.parts or (part.name in EYES and not detection.eye_parts):
            continue
        try:
            start = part_start(part, main.landmarks, detection)
        except InitialError:  # landmarks of a whole that collapsed to a point are no start
            continue
        trace = None
        if main.params_global[0] > least_scale(part):
            trace = fit(image, part.model, start, part_options(part.name, main.options), budget)
        fits[part.name] = PartFit(part, start, trace)
    return fits


def least_scale(part: ModelPart) -> float:
    """The scale that the fit of the whole must exceed for a part to be fitted, px per model unit.

    Never from an enlarged image; here the scale of the whole counts, not the part's own.
    """
    return SKIP_RATIO * part.model.scales[0].patch_scaling


def part_start(part: ModelPart, whole: Floats, detection: DetectionOptions) -> Initial:
    """The start of a part: the parameters nearest to the landmarks that it shares with the whole.

    Parameters
    ----------
    part : ModelPart
    whole : (n, 2) float64
        Landmarks of the whole, image px. As in OpenFace, one at x = 0 exactly counts as unknown.
    detection : DetectionOptions

    Raises
    ------
    InitialError
        When they leave nothing to start from.
    """
    points = np.zeros((part.model.n_landmarks, 2))
    points[part.landmark_pairs[:, 1]] = whole[part.landmark_pairs[:, 0]]
    known = points[:, 0] != 0
    if not known.any():
        raise InitialError(f"part {part.name} shares no landmark with the whole")
    params = params_from_known(part.model.pdm, points, known, box_of_known=detection.mend_slips)
    return Initial(params, Source.LANDMARKS, box_around(landmarks(part.model.pdm, params)))


def merged(whole: Floats, parts: Mapping[str, PartFit]) -> Floats | None:
    """The landmarks of the whole with those of its parts in their place, (n, 2) image px; None when no part was used.

    When one was, all take part: one that is too small for a fit with its start.
    """
    if all(fitted.trace is None for fitted in parts.values()):
        return None
    result = whole.copy()
    for fitted in parts.values():
        pairs = fitted.part.landmark_pairs
        result[pairs[:, 0]] = fitted.landmarks[pairs[:, 1]]
    return read_only(result)
