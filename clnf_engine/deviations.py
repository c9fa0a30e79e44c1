"""Named departures from OpenFace: mistakes and shortcuts found in ports of CLNF, as options of the fit, off by default.

Each function here takes the place of one piece of the fit, at one seam of its loop; there is no second loop.
`DEVIATIONS` tells what each breaks and how that shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from clnf_engine.arrays import Array, Floats
from clnf_engine.options import FitOptions, option_defaults
from clnf_engine.pdm import PDM, RIGID, euler_angles, rotation_matrix

EXTRA_WINDOW = 5
"""Window of the stage that ``window5_without_sigma`` adds."""

KERNEL_SUM_GUARD = 1e-10
"""A kernel sum below this gives no shift under ``sum_guard``."""

ROTATION_STEP = 1e-7
"""Step of the finite differences of ``rotation_jacobian_forward_difference``, radians."""


@dataclass(frozen=True)
class Deviation:
    """A departure from OpenFace.

    Attributes
    ----------
    name : str
        Of its option.
    title : str
        For people, a few words.
    value : bool or float
        The option's value when the deviation is on; OpenFace's is the option's default.
    breaks : str
        What it does wrong, one sentence.
    shows : str
        How that can be seen, one sentence.
    """

    name: str
    title: str
    value: Any
    breaks: str
    shows: str

    @property
    def label(self) -> str:
        """Its title, and the name to type: "no rigid phase (single_phase)"."""
        return f"{self.title} ({self.name})"

    def on(self, options: FitOptions) -> bool:
        """Whether these options deviate so."""
        return bool(getattr(options, self.name) != option_defaults()[self.name])


DEVIATIONS: dict[str, Deviation] = {
    deviation.name: deviation
    for deviation in (
        Deviation(
            "euler_transposed",
            "Euler transposed",
            True,
            "Euler angles are read from the transposed rotation matrix, so every update turns the head the other way.",
            "A zero update is not the identity; a turned head flips in every iteration, landmarks end pixels off.",
        ),
        Deviation(
            "kernel_centre_pixel_fraction",
            "kernel off centre",
            True,
            "The kernel is centred at (window − 1)/2 + frac(image x), though the maps are centred on the landmark.",
            "Shifts jump where a landmark crosses a whole pixel; runs that differ by rounding end pixels apart.",
        ),
        Deviation(
            "responses_every_iteration",
            "unfrozen maps",
            True,
            "Maps and similarity are computed anew in every iteration, from landmarks not rounded to float32.",
            "The target moves with the shape, so updates stay large; a fit takes many times as long.",
        ),
        Deviation(
            "rotation_jacobian_forward_difference",
            "numeric Jacobian",
            True,
            "The rotation columns of the Jacobian are forward differences of a float32 matrix by the Euler angles.",
            "Away from the frontal pose the columns are wrong: by rounding, and as updates multiply from the right.",
        ),
        Deviation(
            "image_rotation_sign_flipped",
            "rotation flipped",
            True,
            "The map from the reference to the image frame turns the wrong way.",
            "Image to reference and back is not the identity; faces tilted in the image get turned patches and shifts.",
        ),
        Deviation(
            "alignment_least_squares",
            "least squares",
            True,
            "The similarity is the least-squares one, whose scale is multiplied by the correlation of the shapes.",
            "Patches are sampled too coarsely for turned heads; the error grows as the shapes grow unlike.",
        ),
        Deviation(
            "step_damping",
            "step damping",
            0.75,
            "Every update is multiplied by 0.75.",
            "More iterations are needed, and five per phase no longer suffice.",
        ),
        Deviation(
            "single_phase",
            "no rigid phase",
            True,
            "The rigid phase is left out.",
            "The shape coefficients take over what the pose should explain.",
        ),
        Deviation(
            "window5_without_sigma",
            "extra window 5",
            True,
            "A last stage with window 5 and without Sigma follows at the finest patch scale.",
            "There are more stages than patch scales; the last update is made from maps as large as the raw ones.",
        ),
        Deviation(
            "sum_guard",
            "kernel sum guard",
            True,
            "Landmarks whose kernel sum is below 1e-10 are not shifted.",
            "Shifts vanish when the maps are scaled down, although scaling must not matter.",
        ),
        Deviation(
            "sigma_off",
            "Sigma off",
            True,
            "The Sigma transform is left out.",
            "Maps are 10 to 200 times larger and less smooth; fits end elsewhere.",
        ),
        Deviation(
            "kernel_table_stale",
            "stale kernel",
            True,
            "The kernel is not made anew when σ changes with the patch scale.",
            "Later stages use the bandwidth of the first one.",
        ),
    )
}
"""Every deviation, by the name of its option."""


def active(options: FitOptions) -> list[str]:
    """Names of the deviations that are on."""
    return [name for name, deviation in DEVIATIONS.items() if deviation.on(options)]


def without_deviations(options: FitOptions) -> FitOptions:
    """The same options with every deviation off."""
    return replace(options, **{name: option_defaults()[name] for name in DEVIATIONS})


# --- what takes the place of a piece of the fit ---------------------------------------------------


def transposed_euler_angles(rotation: Floats) -> Floats:
    """``euler_transposed``: in the place of `pdm.euler_angles`.

    Parameters
    ----------
    rotation : (3, 3) float64

    Returns
    -------
    (3,) float64
        ``atan2(−R21, R22), asin(R20), atan2(−R10, R00)``: the angles of the inverse rotation.
    """
    return euler_angles(rotation.T)


def pixel_fraction_positions(landmarks: Floats, window: int, dtype: DTypeLike) -> Array:
    """``kernel_centre_pixel_fraction``: in the place of `mean_shift.map_positions`.

    Parameters
    ----------
    landmarks : (n, 2) float64
        Image px.
    window : int
    dtype : float64 or float32

    Returns
    -------
    (n, 2)
        ``(window − 1)/2 + x − ⌊x⌋`` in cells, the same for y: where the landmark stands in its map is forgotten.
    """
    positions: Array = (landmarks - np.floor(landmarks)).astype(dtype)
    positions += (window - 1) / 2
    return positions


def forward_difference_columns(pdm: PDM, params: Floats) -> Floats:
    """``rotation_jacobian_forward_difference``: in the place of columns 1 to 3 of `pdm.jacobian`.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64

    Returns
    -------
    (2n, 3) float64
        ``s·(R(euler + h·e_k) − R(euler))/h·X`` with R in float32, image px per radian.
    """
    shape = (pdm.mean + pdm.modes @ params[RIGID:]).reshape(3, -1)
    here = rotation_matrix(params[1:4]).astype(np.float32)
    columns = []
    for k in range(3):
        beyond = params[1:4].copy()
        beyond[k] += ROTATION_STEP
        change = rotation_matrix(beyond).astype(np.float32) - here
        columns.append((params[0] / ROTATION_STEP * change[:2].astype(np.float64) @ shape).ravel())
    return np.stack(columns, axis=1)


def sign_flipped(similarity: Floats) -> Floats:
    """``image_rotation_sign_flipped``: the similarity that turns by the opposite angle, (2, 2) float64."""
    return similarity.T.copy()


def least_squares_similarity(similarity: Floats, source: Floats, target: Floats) -> Floats:
    """``alignment_least_squares``: the least-squares similarity between two shapes.

    Parameters
    ----------
    similarity : (2, 2) float64
        Of the RMS sizes, from `response.similarity`.
    source, target : (n, 2) float64

    Returns
    -------
    (2, 2) float64
        `similarity` times the correlation of the two shapes once one is turned onto the other.
    """
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    size = math.sqrt((source.ravel() @ source.ravel()) * (target.ravel() @ target.ravel()))
    xx, xy, yx, yy = (source.T @ target).ravel().tolist()
    return similarity * (math.hypot(xx + yy, xy - yx) / size)
