"""The table of mistakes, and those that are planted in pairs."""

from __future__ import annotations

from . import (
    mistakes_of_code,
    mistakes_of_maps,
    mistakes_of_reading,
    mistakes_of_shape,
    mistakes_of_shifts,
    mistakes_of_updates,
    mistakes_seldom,
)
from .planting import MISTAKES

__all__ = ["MISTAKES", "PAIRS", "PLANTED_IN", "operations_of"]

PLANTED_IN = (
    mistakes_of_shape,
    mistakes_of_maps,
    mistakes_of_shifts,
    mistakes_of_updates,
    mistakes_seldom,
    mistakes_of_code,
    mistakes_of_reading,
)
"""The modules that fill the table when they are imported."""

PAIRS = (
    ("euler_order_zyx", "sigma_left_out"),
    ("update_from_the_left", "gradient_without_prior"),
    ("area_half_a_pixel_off", "sigma_for_its_square"),
    ("neuron_without_bias", "update_by_adding_angles"),
    ("init_at_the_box_centre", "delta_damped"),
    ("reg_not_adapted", "jacobian_by_euler_angles"),
    ("shift_always", "table_index_truncated"),
    ("ncc_with_the_sample_deviation", "image_shift_turned_the_other_way"),
    ("similarity_by_least_squares", "hessian_with_the_variances"),
    ("confidences_always", "likelihood_summed"),
)
"""Two mistakes at once, at operations of their own."""


def operations_of(names: str) -> set[str]:
    """All operations at which a check may find something wrong; names with spaces between them."""
    return {operation for name in names.split() for operation in MISTAKES[name].operations}
