"""The port's operations on the test vectors: the clean ones conform, and every mistake is found without any fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine.tiny_model import tiny_model

from clnf_engine.checking.cases import CORNERS, cases_of
from clnf_engine.checking.findings import OperationFinding, Status
from clnf_engine.checking.vectors import check_function
from clnf_engine.operations import OPERATIONS

from .faces import portrait68
from .mistakes import MISTAKES
from .names import RIGHT_NAMES
from .operations import function_of

OF_A_FIT = """
    base_shape_of_the_start table_of_the_first_stage jacobian_of_the_start delta_with_momentum
    weights_of_the_responses rigid_phase_left_out nonrigid_phase_left_out ten_iterations one_rigid_iteration
    nonrigid_before_rigid never_stops stops_by_the_mean_change stops_by_the_update stops_by_the_largest_change
    stops_by_the_square one_iteration_too_many maps_in_every_iteration jacobian_with_hidden_rows
    update_from_the_starts_rotation clamp_that_keeps_the_old_value image_shift_times_the_patch_scaling
    image_shift_in_units_of_the_model likelihood_averaged_over_all likelihood_without_logarithm
    likelihood_summed likelihood_in_bits likelihood_by_the_median likelihood_by_log1p
    likelihood_by_the_geometric_mean
"""
"""Mistakes that are made of several moments, or between operations: only a trace can show them."""
OF_MORE_SCALES = ("adapted_in_every_stage_anew", "sigma_of_the_first_scale", "sigma_left_out_of_window_7")
"""Mistakes that nothing can show with two scales, of the windows 11 and 9."""
ALONE = [
    name
    for name, mistake in MISTAKES.items()
    if name not in (*OF_A_FIT.split(), *OF_MORE_SCALES, "base_shape_held_in_the_image") and len(mistake.operations) == 1
]


def found_of(name: str) -> OperationFinding:
    operation = MISTAKES[name].operations[0]
    model = cases_of(tiny_model()).reference.model
    with np.errstate(all="ignore"):
        return check_function(operation, function_of(operation, (name,), model), model)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_clean_port_conforms(operation: str) -> None:
    found = check_function(operation, function_of(operation, (), tiny_model()), tiny_model())
    assert found.status is Status.CONFORMS and found.rows > 1 and not found.mistakes


@pytest.mark.parametrize("name", ALONE[::8])
def test_a_mistake_fails_the_vectors_of_its_operation(name: str) -> None:
    assert found_of(name).status is Status.FAILS


def test_a_wrong_implementation_of_each_operation_is_found_and_most_are_named() -> None:
    chosen = {MISTAKES[name].operations[0]: name for name in ALONE}
    assert set(OPERATIONS) - set(chosen) <= {"project", "kernel_sum"}  # what is wrong there shows elsewhere, too
    found = {name: found_of(name) for name in chosen.values()}
    assert all(finding.status is Status.FAILS for finding in found.values())
    unnamed = [name for name, f in found.items() if not {m.name for m in f.mistakes} & RIGHT_NAMES[name]]
    assert len(unnamed) <= 0.2 * len(chosen), unnamed


@pytest.mark.parametrize("model", [tiny_model, portrait68], ids=["tiny", "portrait68"])
def test_every_corner_is_exercised(model: Any) -> None:
    cases = cases_of(model())
    missing = {name: corners for name in OPERATIONS if (corners := cases.not_exercised(name))}
    one_view = all(len(scale.views) == 1 for scale in model().scales)
    assert missing == ({"view": ["another view than the first"]} if one_view else {})
    assert set(CORNERS) == set(OPERATIONS) and all(CORNERS.values())
