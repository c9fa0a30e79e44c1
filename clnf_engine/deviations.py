"""Named departures from OpenFace: mistakes and shortcuts found in ports of CLNF, as options of the fit, off by default.

Each puts another function in the place of an operation of the fit; there is no second loop. `DEVIATIONS` tells what
each breaks and how that shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from clnf_engine.arrays import Array, DType, Floats, read_only
from clnf_engine.mean_shift import likelihoods_at
from clnf_engine.nu_rlms import without_hidden_rows
from clnf_engine.options import FitOptions, option_defaults
from clnf_engine.pdm import PDM, euler_angles, rotation_matrix, unposed_shape
from clnf_engine.response import unrounded_areas
from clnf_engine.schedule import Schedule
from clnf_engine.steps import Phase

Function = Callable[..., Any]

EXTRA_WINDOW = 5
"""Window of the stage that ``window5_without_sigma`` adds."""

KERNEL_SUM_GUARD = 1e-10
"""A kernel sum below this gives no shift under ``sum_guard``."""

ROTATION_STEP = 1e-7
"""Step of the finite differences of ``rotation_jacobian_forward_difference``, radians."""


# --- what takes the place of an operation: made from the function that is there and the option's value ---------


def transposed_euler_angles(rotation: Floats) -> Floats:
    """The angles of the inverse rotation, ``atan2(−R21, R22), asin(R20), atan2(−R10, R00)``; (3,) radians."""
    return euler_angles(rotation.T)


def _euler_transposed(update: Function, _: Any) -> Function:
    return partial(update, angles=transposed_euler_angles)


def pixel_fraction_positions(landmarks: Floats, window: int, dtype: DTypeLike) -> Array:
    """``(window − 1)/2 + x − ⌊x⌋`` in cells, the same for y, (n, 2): their place in the maps is forgotten."""
    positions: Array = (landmarks - np.floor(landmarks)).astype(dtype)
    positions += (window - 1) / 2
    return read_only(positions)


def _pixel_fraction(_: Function, __: Any) -> Function:
    return lambda landmarks, base_shape, similarity, window, dtype: pixel_fraction_positions(landmarks, window, dtype)


def _likelihoods_at_pixel_fractions(_: Function, __: Any) -> Function:
    def likelihoods(
        maps: Array, landmarks: Floats, base: Floats, similarity: Floats, visible: Array, sigma: float
    ) -> Array:
        return likelihoods_at(pixel_fraction_positions(landmarks, maps.shape[-1], maps.dtype), maps, visible, sigma)

    return likelihoods


def _fresh_maps(schedule: Function, _: Any) -> Function:
    return lambda *arguments: replace(schedule(*arguments), fresh_maps=True)


def _unrounded(_: Function, __: Any) -> Function:
    return unrounded_areas


def forward_difference_columns(pdm: PDM, params: Floats) -> Floats:
    """Columns 1 to 3 of the Jacobian as forward differences by the Euler angles.

    Parameters
    ----------
    pdm : PDM
    params : (6 + m,) float64

    Returns
    -------
    (2n, 3) float64
        ``s·(R(euler + h·e_k) − R(euler))/h·X`` with R in float32, image px per radian.
    """
    shape = unposed_shape(pdm, params)
    here = rotation_matrix(params[1:4]).astype(np.float32)
    columns = []
    for k in range(3):
        beyond = params[1:4].copy()
        beyond[k] += ROTATION_STEP
        change = rotation_matrix(beyond).astype(np.float32) - here
        columns.append((params[0] / ROTATION_STEP * change[:2].astype(np.float64) @ shape).ravel())
    return np.stack(columns, axis=1)


def _forward_differences(jacobian: Function, _: Any) -> Function:
    def jacobian_by_differences(params: Floats, rigid: bool, visible: Array, pdm: PDM, dtype: DType) -> Array:
        jac: Array = jacobian(params, rigid, visible, pdm, dtype).copy()
        jac[:, 1:4] = forward_difference_columns(pdm, params)
        return read_only(without_hidden_rows(jac, visible))

    return jacobian_by_differences


def _sign_flipped(similarity_inverse: Function, _: Any) -> Function:
    return lambda image_to_reference: similarity_inverse(image_to_reference).T.copy()


def least_squares_similarity(similarity: Floats, source: Floats, target: Floats) -> Floats:
    """The least-squares similarity between two shapes.

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


def _least_squares(similarity: Function, _: Any) -> Function:
    return lambda base, upright: least_squares_similarity(similarity(base, upright), base, upright)


def _damped(update: Function, factor: float) -> Function:
    return lambda params, delta: update(params, factor * delta)


def _nonrigid_only(schedule: Function, _: Any) -> Function:
    return lambda *arguments: replace(schedule(*arguments), phases=(Phase.NONRIGID,))


def _extra_stage(schedule: Function, _: Any) -> Function:
    def with_extra_stage(windows: tuple[int, ...], n_scales: int) -> Schedule:
        plan: Schedule = schedule(windows, n_scales)
        return replace(plan, stages=(*plan.stages, (n_scales - 1, EXTRA_WINDOW, False)))

    return with_extra_stage


def _guarded(kernel_sums: Function, _: Any) -> Function:
    def guarded(*arguments: Any) -> Array:
        sums: Array = kernel_sums(*arguments)
        return np.where(sums > KERNEL_SUM_GUARD, sums, 0)

    return guarded


def untransformed(raw: Array, *_: Any) -> Array:
    """The raw maps, in the place of those after Sigma."""
    return raw


def _without_sigma(_: Function, __: Any) -> Function:
    return untransformed


def _stale(stage: Function, _: Any) -> Function:
    def first_bandwidth(patch_scaling: float, first_scaling: float, *options: Any) -> tuple[float, float, float]:
        _sigma, reg_factor, weight_factor = stage(patch_scaling, first_scaling, *options)
        return stage(first_scaling, first_scaling, *options)[0], reg_factor, weight_factor

    return first_bandwidth


# --- the table --------------------------------------------------------------------------------------


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
    replaces: Mapping[str, Callable[[Function, Any], Function]]

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
            {"update": _euler_transposed},
        ),
        Deviation(
            "kernel_centre_pixel_fraction",
            "kernel off centre",
            True,
            "The kernel is centred at (window − 1)/2 + frac(image x), though the maps are centred on the landmark.",
            "Shifts jump where a landmark crosses a whole pixel; runs that differ by rounding end pixels apart.",
            {"position": _pixel_fraction, "likelihood": _likelihoods_at_pixel_fractions},
        ),
        Deviation(
            "responses_every_iteration",
            "unfrozen maps",
            True,
            "Maps and similarity are computed anew in every iteration, from landmarks not rounded to float32.",
            "The target moves with the shape, so updates stay large; a fit takes many times as long.",
            {"schedule": _fresh_maps, "area": _unrounded},
        ),
        Deviation(
            "rotation_jacobian_forward_difference",
            "numeric Jacobian",
            True,
            "The rotation columns of the Jacobian are forward differences of a float32 matrix by the Euler angles.",
            "Away from the frontal pose the columns are wrong: by rounding, and as updates multiply from the right.",
            {"jacobian": _forward_differences},
        ),
        Deviation(
            "image_rotation_sign_flipped",
            "rotation flipped",
            True,
            "The map from the reference to the image frame turns the wrong way.",
            "Image to reference and back is not the identity; faces tilted in the image get turned patches and shifts.",
            {"similarity_inverse": _sign_flipped},
        ),
        Deviation(
            "alignment_least_squares",
            "least squares",
            True,
            "The similarity is the least-squares one, whose scale is multiplied by the correlation of the shapes.",
            "Patches are sampled too coarsely for turned heads; the error grows as the shapes grow unlike.",
            {"similarity": _least_squares},
        ),
        Deviation(
            "step_damping",
            "step damping",
            0.75,
            "Every update is multiplied by 0.75.",
            "More iterations are needed, and five per phase no longer suffice.",
            {"update": _damped},
        ),
        Deviation(
            "single_phase",
            "no rigid phase",
            True,
            "The rigid phase is left out.",
            "The shape coefficients take over what the pose should explain.",
            {"schedule": _nonrigid_only},
        ),
        Deviation(
            "window5_without_sigma",
            "extra window 5",
            True,
            "A last stage with window 5 and without Sigma follows at the finest patch scale.",
            "There are more stages than patch scales; the last update is made from maps as large as the raw ones.",
            {"schedule": _extra_stage},
        ),
        Deviation(
            "sum_guard",
            "kernel sum guard",
            True,
            "Landmarks whose kernel sum is below 1e-10 are not shifted.",
            "Shifts vanish when the maps are scaled down, although scaling must not matter.",
            {"kernel_sum": _guarded},
        ),
        Deviation(
            "sigma_off",
            "Sigma off",
            True,
            "The Sigma transform is left out.",
            "Maps are 10 to 200 times larger and less smooth; fits end elsewhere.",
            {"sigma": _without_sigma},
        ),
        Deviation(
            "kernel_table_stale",
            "stale kernel",
            True,
            "The kernel is not made anew when σ changes with the patch scale.",
            "Later stages use the bandwidth of the first one.",
            {"stage": _stale},
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
