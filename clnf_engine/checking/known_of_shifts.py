"""Known mistakes of positions, kernels and mean-shifts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.checking.evidence import Inputs
from clnf_engine.checking.known import Known, on, right_with, similarity_scale
from clnf_engine.deviations import KERNEL_SUM_GUARD, pixel_fraction_positions
from clnf_engine.mean_shift import TABLE_STEP, free_positions, kernel_sums
from clnf_engine.options import Kernel

KNOWN = Known()


# --- position --------------------------------------------------------------------------------------


def free(v: Inputs) -> Array:
    """Positions in the maps that are not held there, (n, 2)."""
    return free_positions(v.landmarks_before, v.base_shape, v.image_to_reference, v.window, np.float64)


def held(v: Inputs, positions: Array, least: float = 0.0, most: float | None = None) -> Array:
    """Positions held in the map, (n, 2)."""
    return np.asarray(np.clip(positions, least, v.window - TABLE_STEP if most is None else most))


for _name, _text, _function in (
    (
        "kernel_centre_pixel_fraction",
        "the position is (window − 1)/2 and the fraction of the pixel",
        lambda v: pixel_fraction_positions(v.landmarks_before, v.window, np.float64),
    ),
    ("position_not_clamped", "the position is not held in the map", free),
    (
        "position_clamped_at_window_minus_1",
        "the position is held below window − 1",
        lambda v: held(v, free(v), most=v.window - 1),
    ),
    ("position_clamped_at_window", "the position is held below window", lambda v: held(v, free(v), most=v.window)),
    (
        "position_clamped_at_window_minus_half",
        "the position is held below window − 0.5",
        lambda v: held(v, free(v), most=v.window - 0.5),
    ),
    ("position_from_half_the_window", "the middle of the map is window/2", lambda v: held(v, free(v) + 0.5)),
    ("position_from_the_cut_half", "the middle of the map is half a cell off", lambda v: held(v, free(v) - 0.5)),
    (
        "position_from_the_corner",
        "the position is that from the middle of the map",
        lambda v: free(v) - (v.window - 1) / 2,
    ),
    ("position_rounded", "the position is rounded to whole cells", lambda v: np.rint(v.out)),
    (
        "position_rounded_to_the_table",
        "the position is rounded to the kernel table",
        lambda v: held(v, np.floor(v.out / TABLE_STEP + 0.5) * TABLE_STEP),
    ),
    (
        "position_cut_to_the_table",
        "the position is cut to the kernel table",
        lambda v: held(v, np.floor(v.out / TABLE_STEP) * TABLE_STEP),
    ),
    (
        "offset_subtracted",
        "the offset is subtracted from the middle of the map",
        lambda v: held(v, v.window - 1 - free(v)),
    ),
    ("offset_left_out", "the position is the middle of the map", lambda v: np.full_like(free(v), (v.window - 1) / 2)),
    (
        "offset_not_turned",
        "the offset is not taken to the reference frame",
        lambda v: held(v, v.landmarks_before - v.base_shape + (v.window - 1) / 2),
    ),
    (
        "offset_turned_back",
        "the offset is turned the other way",
        lambda v: held(v, (v.landmarks_before - v.base_shape) @ v.image_to_reference + (v.window - 1) / 2),
    ),
    (
        "offset_without_turn",
        "the offset is scaled but not turned",
        lambda v: held(
            v,
            (v.landmarks_before - v.base_shape) * similarity_scale(v.image_to_reference) + (v.window - 1) / 2,
        ),
    ),
    (
        "offset_without_scale",
        "the offset is turned but not scaled",
        lambda v: held(
            v,
            (v.landmarks_before - v.base_shape) @ v.image_to_reference.T / similarity_scale(v.image_to_reference)
            + (v.window - 1) / 2,
        ),
    ),
    ("rows_before_columns", "the position is (dy, dx)", lambda v: v.out[:, ::-1]),
    (
        "dy_from_the_bottom",
        "dy counts from the bottom",
        lambda v: held(v, np.stack([v.out[:, 0], v.window - 1 - v.out[:, 1]], axis=1)),
    ),
    (
        "base_shape_of_the_stages_own",
        "the landmarks are compared with those of the step before",
        lambda v: held(v, (v.landmarks_before - _earlier(v)) @ v.image_to_reference.T + (v.window - 1) / 2),
    ),
):
    KNOWN.add("position", _name, _text, _function)


def _earlier(v: Inputs) -> Floats:
    moments = [m for m in v.moments if "landmarks_before" in m.recorded]
    place = moments.index(v.moment)
    return np.asarray(moments[place - 1].recorded["landmarks_before"] if place else v.base_shape)


# --- kernel and shift ------------------------------------------------------------------------------

Kernels = Callable[[Inputs, Array], Array]


def gaussian(sigma: Callable[[Inputs], float], at: Callable[[Array], Array]) -> Kernels:
    """1-D kernels ``exp(−(d − j)²/2σ²)`` of positions that are rounded somehow, (n, 2, w)."""

    def kernels(v: Inputs, position: Array) -> Array:
        distance = at(position)[..., None] - np.arange(v.window)
        return np.asarray(np.exp(-0.5 * (distance / sigma(v)) ** 2))

    return kernels


def tabled(position: Array) -> Array:
    """Positions at the steps of the kernel table."""
    return np.floor(position / TABLE_STEP + 0.5 + 1e-12) * TABLE_STEP


def kernel_parts(v: Inputs, kernels: Kernels) -> tuple[Array, Array]:
    """Σv and Σv·(column, row), (n,) and (n, 2)."""
    k = kernels(v, v.position)
    columns, rows = k[:, 0], k[:, 1]
    return map_moments(v.final * rows[:, :, None] * columns[:, None, :])


def map_moments(weighted: Array) -> tuple[Array, Array]:
    """Sum of each map and of its values times (column, row), (n,) and (n, 2)."""
    cells = np.arange(weighted.shape[-1])
    moments = np.stack([(weighted.sum(axis=1) * cells).sum(axis=1), (weighted.sum(axis=2) * cells).sum(axis=1)], axis=1)
    return np.asarray(weighted.sum(axis=(1, 2))), moments


def shift_of(v: Inputs, kernels: Kernels, less: Callable[[Inputs], Array] = lambda v: v.position) -> Array:
    """The mean-shift under kernels, less a position, reference px, (n, 2)."""
    return mean_shift_of(v, *kernel_parts(v, kernels), less(v))


def mean_shift_of(v: Inputs, total: Array, moments: Array, less: Array) -> Array:
    """The mean-shift of sums and moments of weighted maps, less a position, reference px, (n, 2)."""
    shift = np.divide(moments, total[:, None], out=np.zeros_like(moments), where=total[:, None] > 0) - less
    return np.where((v.visible & (total > 0))[:, None], shift, 0.0)


_RIGHT = gaussian(lambda v: v.sigma, tabled)


def _add_kernel(name: str, text: str, kernels: Kernels) -> None:
    KNOWN.add("kernel_sum", name, text, lambda v: kernel_parts(v, kernels)[0])
    KNOWN.add("mean_shift", name, text, lambda v: shift_of(v, kernels))


KNOWN.add(
    "kernel_sum mean_shift",
    "kernel_exact",
    "the kernel is evaluated where it stands, not at the table's 0.1 steps",
    on("kernel", Kernel.EXACT),
)
KNOWN.add(
    "kernel_sum mean_shift",
    "kernel_of_the_table",
    "the kernel is that of the table of 0.1 steps",
    on("kernel", Kernel.TABLE),
)
for _at_name, _at_text, _at in (
    ("", "", tabled),
    ("_exact", ", evaluated where it stands", lambda p: p),
    ("_truncated", ", at an index that is cut", lambda p: np.floor(p / TABLE_STEP + 1e-9) * TABLE_STEP),
    ("_rounded_up", ", at an index that is rounded up", lambda p: np.ceil(p / TABLE_STEP - 1e-9) * TABLE_STEP),
    ("_at_cells", ", at whole cells", np.rint),
    ("_at_cut_cells", ", at cut cells", np.floor),
    ("_at_halves", ", at half cells", lambda p: np.rint(2 * p) / 2),
    ("_at_hundredths", ", at hundredths of a cell", lambda p: np.rint(100 * p) / 100),
    ("_at_fifths", ", at fifths of a cell", lambda p: np.rint(5 * p) / 5),
    ("_at_twentieths", ", at twentieths of a cell", lambda p: np.rint(20 * p) / 20),
):
    for _sigma_name, _sigma_text, _sigma in (
        ("", "", lambda v: v.sigma),
        ("sigma_for_its_square", " with σ in the place of σ²", lambda v: math.sqrt(v.sigma)),
        ("sigma_squared_twice", " with σ⁴ in the place of σ²", lambda v: v.sigma**2),
        ("sigma_without_2", " with σ² in the place of 2σ²", lambda v: v.sigma / math.sqrt(2)),
        ("sigma_with_4", " with 4σ² in the place of 2σ²", lambda v: v.sigma * math.sqrt(2)),
        ("sigma_halved", " with half of σ", lambda v: v.sigma / 2),
        ("sigma_doubled", " with twice σ", lambda v: v.sigma * 2),
        ("sigma_not_adapted", " with σ as chosen, not adapted to the scale", lambda v: v.reference_options.sigma),
        ("sigma_of_the_first_stage", " with σ of the first stage", lambda v: _first_stage(v).sigma),
        ("sigma_one", " with σ = 1", lambda v: 1.0),
        ("sigma_without_square_and_2", " with σ in the place of 2σ²", lambda v: math.sqrt(v.sigma / 2)),
        (
            "sigma_in_image_px",
            " with σ in image px",
            lambda v: v.sigma * similarity_scale(v.image_to_reference),
        ),
        (
            "sigma_in_image_px",
            " with σ taken to image px",
            lambda v: v.sigma / similarity_scale(v.image_to_reference),
        ),
    ):
        if _at_name or _sigma_name:
            _add_kernel(
                f"kernel{_at_name}" if not _sigma_name else f"{_sigma_name}{_at_name}",
                f"the kernel is taken{_sigma_text}{_at_text}",
                gaussian(_sigma, _at),
            )


def _first_stage(v: Inputs) -> Any:
    return next(m.stage for m in v.moments if m.stage is not None)


def _box(v: Inputs, position: Array) -> Array:
    return np.ones((len(position), 2, v.window))


def _triangle(v: Inputs, position: Array) -> Array:
    distance = np.abs(position[..., None] - np.arange(v.window))
    return np.asarray(np.maximum(1 - distance / v.sigma, 0))


def _laplace(v: Inputs, position: Array) -> Array:
    return np.asarray(np.exp(-np.abs(tabled(position)[..., None] - np.arange(v.window)) / v.sigma))


def _swapped(v: Inputs, position: Array) -> Array:
    return _RIGHT(v, position[:, ::-1])


def _centred(v: Inputs, position: Array) -> Array:
    return _RIGHT(v, np.full_like(position, (v.window - 1) / 2))


_add_kernel("no_kernel", "there is no kernel: all cells count alike", _box)
_add_kernel("triangle_kernel", "the kernel is a triangle", _triangle)
_add_kernel("laplace_kernel", "the exponent of the kernel is not squared", _laplace)
_add_kernel("kernel_xy_swapped", "dx and dy of the kernel are swapped", _swapped)
_add_kernel("kernel_in_the_middle", "the kernel stands in the middle of the map", _centred)
_add_kernel("kernel_half_a_cell_off", "the kernel stands half a cell off", lambda v, p: _RIGHT(v, p + 0.5))
_add_kernel("kernel_half_a_cell_off", "the kernel stands half a cell off, up and left", lambda v, p: _RIGHT(v, p - 0.5))
_add_kernel(
    "kernel_normalised", "the kernel adds up to 1", lambda v, p: (k := _RIGHT(v, p)) / k.sum(axis=-1, keepdims=True)
)
_add_kernel(
    "kernel_density",
    "the kernel is a density, divided by 2πσ²",
    lambda v, p: _RIGHT(v, p) / (math.sqrt(2 * math.pi) * v.sigma),
)
_add_kernel(
    "kernel_truncated",
    "the kernel ends at 3σ",
    lambda v, p: _RIGHT(v, p) * (np.abs(p[..., None] - np.arange(v.window)) <= 3 * v.sigma),
)
_add_kernel(
    "kernel_truncated",
    "the kernel ends at 2σ",
    lambda v, p: _RIGHT(v, p) * (np.abs(p[..., None] - np.arange(v.window)) <= 2 * v.sigma),
)

KNOWN.add("kernel_sum", "kernel_alone", "the sum is that of the kernel alone", lambda v: _total(v, tabled))
KNOWN.add("kernel_sum", "kernel_alone", "the sum is that of the exact kernel alone", lambda v: _total(v, np.asarray))


def _total(v: Inputs, at: Callable[[Array], Array]) -> Array:
    k = gaussian(lambda v: v.sigma, at)(v, v.position).sum(axis=-1)
    return np.asarray(np.where(v.visible, k[:, 0] * k[:, 1], v.out if v.operation == "kernel_sum" else 1.0))


def _of_powers(v: Inputs, power: float) -> Array:
    maps = np.maximum(v.final, 0) ** power
    return np.asarray(right_with(v, final=maps, kernel_sum=kernel_sums(maps, v.position, v.sigma, v.kernel)))


KNOWN.add(
    "kernel_sum",
    "sum_guard",
    "a tiny kernel sum counts as zero",
    lambda v: np.where(v.out > KERNEL_SUM_GUARD, v.out, 0),
)
KNOWN.add(
    "kernel_sum", "sum_of_the_map", "the sum is that of the map, without the kernel", lambda v: v.final.sum(axis=(1, 2))
)
KNOWN.add("kernel_sum", "sum_of_one", "the sums are set to 1", lambda v: np.ones_like(v.out))
for _guard in (1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 2.220446049250313e-16, 1e-12):
    KNOWN.add("kernel_sum", "epsilon_in_the_sum", f"{_guard:.3g} is added to the sum", lambda v, by=_guard: v.out + by)
    KNOWN.add(
        "mean_shift", "epsilon_in_the_sum", f"{_guard:.3g} is added to the sum", lambda v, by=_guard: _guarded(v, by)
    )


def _guarded(v: Inputs, by: float) -> Array:
    total, moments = kernel_parts(v, _RIGHT)
    return np.where(v.visible[:, None], moments / (total + by)[:, None] - v.position, 0.0)


def _where_visible(v: Inputs, shift: Array) -> Array:
    return np.where((v.visible & (v.kernel_sum > 0))[:, None], shift, 0.0)


for _name, _text, _function in (
    (
        "rounded_position_subtracted",
        "the position that is subtracted is rounded to the table",
        lambda v: shift_of(v, _RIGHT, lambda v: tabled(v.position)),
    ),
    (
        "whole_position_subtracted",
        "the position that is subtracted is rounded to whole cells",
        lambda v: shift_of(v, _RIGHT, lambda v: np.rint(v.position)),
    ),
    (
        "nothing_subtracted",
        "the position is not subtracted",
        lambda v: shift_of(v, _RIGHT, lambda v: np.zeros_like(v.position)),
    ),
    ("not_divided", "the sum is not divided by", lambda v: _where_visible(v, kernel_parts(v, _RIGHT)[1] - v.position)),
    (
        "not_divided",
        "the moments are not divided by the sum, but the position is multiplied by it",
        lambda v: _where_visible(v, kernel_parts(v, _RIGHT)[1] - v.position * kernel_parts(v, _RIGHT)[0][:, None]),
    ),
    (
        "divided_by_the_sum_of_the_map",
        "the shift is divided by the sum of the map",
        lambda v: _where_visible(v, kernel_parts(v, _RIGHT)[1] / v.final.sum(axis=(1, 2))[:, None] - v.position),
    ),
    ("rows_before_columns", "the shift is (dy, dx)", lambda v: v.out[:, ::-1]),
    (
        "hidden_not_masked",
        "landmarks that are not visible are shifted",
        lambda v: right_with(v, visible=np.ones_like(v.visible)),
    ),
    ("cells_from_1", "the cells are counted from 1", lambda v: _where_visible(v, v.out + 1)),
    ("shift_of_the_wrong_sign", "the shift leads away", lambda v: -v.out),
    ("squared_maps", "the map is squared in the shift", lambda v: right_with(v, final=v.final**2)),
    ("squared_maps", "the map is squared in the shift and its sum", lambda v: _of_powers(v, 2)),
    ("roots_of_maps", "the root of the map is taken in the shift", lambda v: _of_powers(v, 0.5)),
    (
        "kernel_alone",
        "the shift is divided by the sum of the kernel",
        lambda v: _where_visible(v, kernel_parts(v, _RIGHT)[1] / _total(v, tabled)[:, None] - v.position),
    ),
    (
        "kernel_alone",
        "the shift is divided by the sum of the exact kernel",
        lambda v: _where_visible(v, kernel_parts(v, _RIGHT)[1] / _total(v, np.asarray)[:, None] - v.position),
    ),
):
    KNOWN.add("mean_shift", _name, _text, _function)

for _name, _text, _matrix in (
    ("shift_by_the_inverse", "the shift is taken by the map to the reference frame", np.linalg.inv),
    (
        "shift_by_the_inverse",
        "the shift is taken by the transposed map to the reference frame",
        lambda a: np.linalg.inv(a).T,
    ),
):
    KNOWN.add("mean_shift_image", _name, _text, on("reference_to_image", lambda v, m=_matrix: m(v.reference_to_image)))
KNOWN.add(
    "mean_shift_image",
    "shift_scaled_by_the_parameters",
    "the shift is scaled by the parameters' scale over the patch scaling, not turned",
    lambda v: v.mean_shift * v.params_before[0] / v.patch_scaling,
)
KNOWN.add(
    "mean_shift_image",
    "shift_weighted",
    "the shift is multiplied by the weights already",
    lambda v: v.out * v.weights[:, None],
)
KNOWN.add(
    "mean_shift_image",
    "shift_weighted",
    "the shift is multiplied by the patch confidences",
    lambda v: v.out * v.experts.patch_confidence[:, None],
)
