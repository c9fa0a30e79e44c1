"""What a check says of the port's traces: nothing of the clean one, and of a faulty one the operation and the mistake.

No number here comes from the check: where a mistake sits is known because it was planted there, and where it first acts
is told by `one_step`.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
import pytest

from clnf_engine import Model, Trace
from clnf_engine.checking.check import TOLERANCE, Evidence, check_trace
from clnf_engine.steps import place_order

from .faces import FACES
from .mistakes import MISTAKES, PAIRS, operations_of
from .names import RIGHT_NAMES
from .one_step import ITERATIONS, first_wrong
from .traces import CONVENTIONS, last_iterations, only_final_maps, only_landmarks, recorded

NAMED = 0.85
"""Share of the visible mistakes that must be called by their name."""
_ONE_OF_EACH = {operations: name for name in MISTAKES for operations in MISTAKES[name].operations}
CHECKED = (
    list(MISTAKES) if os.environ.get("CLNF_ALL_MISTAKES") else sorted({*list(MISTAKES)[::3], *_ONE_OF_EACH.values()})
)
"""Every third mistake and one of each operation, to be done in a minute; all where the environment asks for it."""
STRIPPED = """
    project_with_the_transposed_rotation pdm_interleaved shape_without_modes base_shape_of_the_start
    reference_shape_without_modes similarity_by_least_squares similarity_inverted_but_not_turned_back
    area_half_a_pixel_off ncc_by_convolution neuron_without_bias raw_of_the_first_neuron sigma_left_out
    sigma_left_out_of_window_7 shift_always normalised_by_the_square position_half_a_cell_off
    position_turned_the_other_way sigma_for_its_square table_left_out table_index_truncated table_of_the_first_stage
    mean_shift_from_the_centre image_shift_not_scaled_back image_shift_turned_the_other_way confidences_always
    jacobian_by_euler_angles jacobian_with_the_modes_not_turned hessian_with_the_variances gradient_without_prior
    delta_damped update_from_the_left update_by_adding_angles update_not_orthogonalised
"""
"""Mistakes of the iterations, some of every operation, to be found from parameters and landmarks alone."""
HARMLESS = "neuron_without_the_two raw_mean_of_neurons sigma_without_the_two normalised_by_the_peak area_from_0_to_1"
"""Mistakes that scale whole maps, on which no shift depends."""


def checked(trace: Trace, model: Model) -> dict[str, Any]:
    """What the check says, in the form of its JSON."""
    return check_trace(trace, model).document("trace", "model")


def failing(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in said["operations"] if row["status"] == "fails"}


def names(said: dict[str, Any]) -> set[str]:
    return {mistake["name"] for row in said["operations"] for mistake in row.get("mistakes", ())}


@cache
def said_of(name: str, face: str = "") -> dict[str, Any]:
    """What the check says of a mistake, on the first face on which it is visible."""
    face = face or MISTAKES[name.split(maxsplit=1)[0]].faces[0]
    return checked(recorded(name, face), FACES[face].model())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("face", FACES)
def test_nothing_is_said_of_the_clean_port(face: str, dtype: Any) -> None:
    said = checked(recorded("", face, dtype), FACES[face].model())
    assert not failing(said) and not names(said)
    assert said["conforms"] is True


def test_nothing_is_said_of_the_clean_port_on_openfaces_model(openface_model: Model) -> None:
    said = checked(recorded("", "grace", model=openface_model), openface_model)
    assert not failing(said) and said["conforms"] is True


@pytest.mark.parametrize("strip", [only_landmarks, only_final_maps, last_iterations])
@pytest.mark.parametrize("face", ["tiny", "turned"])
def test_nothing_is_said_of_the_clean_port_when_it_records_less(face: str, strip: Any) -> None:
    said = checked(strip(recorded("", face)), FACES[face].model())
    assert not failing(said) and said["conforms"] is True


def test_what_is_checked_covers_every_operation() -> None:
    assert operations_of(" ".join(CHECKED)) == operations_of(" ".join(MISTAKES))


@pytest.mark.parametrize("name", CHECKED)
def test_a_mistake_is_found_where_it_is(name: str) -> None:
    found = set(failing(said_of(name)))
    assert found and found <= operations_of(name)
    assert said_of(name)["conforms"] is False


def test_most_mistakes_are_named() -> None:
    unnamed = [name for name in CHECKED if not names(said_of(name)) & RIGHT_NAMES[name]]
    assert len(unnamed) <= (1 - NAMED) * len(CHECKED), unnamed


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_both_of_a_pair_are_found(pair: tuple[str, str]) -> None:
    found = set(failing(said_of(" ".join(pair), "tiny")))
    assert all(found & operations_of(name) for name in pair)
    assert found <= operations_of(" ".join(pair))


def first_places(trace: Trace, model: Model) -> set[Any]:
    """Where each operation is first seen to be wrong; to name the mistakes of so little takes many seconds."""
    evidence = Evidence.of(trace, model, TOLERANCE)
    wrong = {name: evidence.wrong(name) for name in evidence.rows}
    return {evidence.rows[name][found[0]].place for name, found in wrong.items() if found}


@pytest.mark.parametrize("name", STRIPPED.split())
def test_parameters_and_landmarks_tell_the_first_wrong_iteration(name: str) -> None:
    face = MISTAKES[name].faces[0]
    trace = recorded(name, face)
    found = [place for place in first_places(only_landmarks(trace), FACES[face].model()) if place[1] in ITERATIONS]
    assert min(found, key=place_order) == first_wrong(trace, face, 1e-4)


@pytest.mark.parametrize("name", HARMLESS.split())
def test_parameters_and_landmarks_do_not_tell_what_moves_nothing(name: str) -> None:
    assert checked(only_landmarks(recorded(name)), FACES["tiny"].model())["conforms"] is True


@pytest.mark.parametrize("mistake", ["", "gradient_without_prior"])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_of_the_file_is_recognised(name: str, mistake: str) -> None:
    said = checked(CONVENTIONS[name](recorded(mistake)), FACES["tiny"].model())
    assert [convention["name"] for convention in said["conventions"]] == [name]
    assert set(failing(said)) == ({"gradient"} if mistake else set())


@pytest.mark.parametrize(
    ("operation", "face", "exercised"),
    [
        ("clamp", "tiny", False),
        ("clamp", "clamped", True),
        ("shift", "grace", False),
        ("shift", "tiny", True),
        ("view", "stopping", False),
        ("view", "turned", True),
    ],
)
def test_what_a_trace_cannot_test_is_not_said_to_conform(operation: str, face: str, exercised: bool) -> None:
    said = checked(recorded("", face), FACES[face].model())
    status = next(row["status"] for row in said["operations"] if row["name"] == operation)
    assert status == ("conforms" if exercised else "not exercised")
