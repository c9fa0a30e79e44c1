"""The port agrees with the engine, and every mistake planted in it can be seen."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Phase, Trace, fit, initial_from_box

from .faces import FACES
from .mistakes import MISTAKES, PAIRS, operations_of
from .one_step import first_wrong
from .port import Port
from .traces import CONVENTIONS, last_iterations, only_final_maps, only_landmarks, recorded

OPERATIONS = """
    init project schedule stage view base_shape reference_shape similarity similarity_inverse area ncc neuron raw sigma
    shift normalise position kernel_sum mean_shift mean_shift_image weights jacobian hessian gradient delta update clamp
    likelihood
"""
VISIBLE = [(name, face) for name, mistake in MISTAKES.items() for face in mistake.faces if face != "grace"][::4]
"""A quarter of the table; `test_check` finds every mistake on its first face."""
HIDDEN = [(name, face) for name, mistake in MISTAKES.items() for face in mistake.hidden if face != "grace"]
ON_GRACE = ("windows_in_reverse", "sigma_of_the_first_scale", "area_of_nearest_pixels", "jacobian_by_euler_angles")
"""Mistakes to look for on the photograph too; all that are marked so would take a minute."""


class GivenAreas(Port):
    """The port with areas of interest from the engine: those are float32, and two programs round them differently."""

    def __init__(self, trace: Trace, model: Model) -> None:
        super().__init__(model, trace.options)
        maps = [step.responses for step in trace.steps if step.phase is Phase.RESPONSES]
        self.areas = [area for found in maps for area in found.area[found.visible]]

    def area(self, point: np.ndarray, to_image: np.ndarray, size: int) -> np.ndarray:
        return self.areas.pop(0)


def assert_agrees(face: str, model: Model) -> None:
    what = FACES[face]
    theirs = fit(what.image(), model, initial_from_box(model, what.box, what.angles), FitOptions(**what.options))
    ours = recorded("", face, model=model)
    assert [step.place for step in ours.steps] == [step.place for step in theirs.steps]
    np.testing.assert_allclose(ours.landmarks, theirs.landmarks, rtol=0, atol=1e-5)
    given = GivenAreas(theirs, model).fit(what.image(), what.box, what.angles)
    np.testing.assert_allclose(given.landmarks, theirs.landmarks, rtol=0, atol=1e-6)
    assert given.likelihood == pytest.approx(theirs.likelihood, abs=1e-6)


@pytest.mark.parametrize("face", FACES)
def test_the_port_agrees_with_the_engine(face: str) -> None:
    assert_agrees(face, FACES[face].model())


def test_the_port_agrees_with_the_engine_on_openfaces_model(openface_model: Model) -> None:
    assert_agrees("grace", openface_model)


@pytest.mark.parametrize("face", ["tiny", "grace"])
def test_in_float32_the_port_agrees_within_rounding(face: str) -> None:
    single = recorded("", face, np.float32)
    assert single.steps[-2].jacobian.dtype == np.float32
    np.testing.assert_allclose(single.landmarks, recorded("", face).landmarks, rtol=0, atol=1e-4)


@pytest.mark.parametrize("face", FACES)
def test_every_iteration_of_the_clean_port_follows_from_the_one_before(face: str) -> None:
    assert first_wrong(recorded("", face), face, 1e-6) is None


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("update_from_the_left", (0, "rigid", 2)),  # the start is not turned: both sides are the same
        ("table_left_out", (0, "rigid", 2)),  # every landmark begins in the centre of its map
        ("gradient_without_prior", (0, "nonrigid", 2)),  # all modes begin at zero
        ("sigma_left_out_of_window_7", (1, "rigid", 1)),
        ("normalised_by_the_peak", None),  # no shift depends on the scale of its map
    ],
)
def test_a_mistake_first_acts_where_it_must(name: str, place: Any) -> None:
    assert first_wrong(recorded(name), "tiny", 1e-4) == place


def test_mistakes_cover_every_operation() -> None:
    assert {operation for name in MISTAKES for operation in operations_of(name)} == set(OPERATIONS.split())
    assert len(MISTAKES) >= 40
    assert all(len(set(pair)) == 2 and set(pair) <= set(MISTAKES) for pair in PAIRS)


@pytest.mark.parametrize(("name", "face"), VISIBLE)
def test_a_mistake_is_visible(name: str, face: str) -> None:
    assert difference(recorded(name, face), recorded("", face))


@pytest.mark.parametrize("name", ON_GRACE)
def test_a_mistake_is_visible_on_a_photograph(name: str) -> None:
    assert "grace" in MISTAKES[name].faces
    assert difference(recorded(name, "grace"), recorded("", "grace"))


@pytest.mark.parametrize(("name", "face"), HIDDEN)
def test_a_mistake_hides_where_its_operation_is_not_exercised(name: str, face: str) -> None:
    assert not difference(recorded(name, face), recorded("", face))


@pytest.mark.parametrize("name", ["", "table_of_the_first_stage", " ".join(PAIRS[0])])
def test_a_mistake_is_deterministic(name: str) -> None:
    assert not difference(recorded.__wrapped__(name), recorded.__wrapped__(name))


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_both_of_a_pair_are_visible(pair: tuple[str, str]) -> None:
    both = recorded(" ".join(pair))
    assert all(difference(both, recorded(name)) for name in pair)


def test_less_is_recorded_where_less_is_asked_for() -> None:
    whole = recorded()
    bare = only_landmarks(whole)
    assert all(step.responses is None and step.delta is None and step.jacobian is None for step in bare.steps)
    assert bare.landmarks is whole.landmarks
    maps = next(step.responses for step in only_final_maps(whole).steps if step.responses is not None)
    assert maps.raw is None and maps.final is next(s.responses for s in whole.steps if s.responses is not None).final
    places = [step.place[1:] for step in last_iterations(whole).steps]
    assert places[:4] == [("initial", None), ("responses", None), ("rigid", 3), ("nonrigid", 3)]


def test_a_trace_of_the_port_is_a_trace_of_the_format(tmp_path: Path) -> None:
    recorded().save(tmp_path / "port.npz")
    assert not difference(Trace.load(tmp_path / "port.npz"), recorded())


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_changes_the_file_and_not_the_fit(name: str) -> None:
    trace = CONVENTIONS[name](recorded())
    assert difference(trace, recorded())
    np.testing.assert_array_equal(trace.landmarks, recorded().landmarks)


def difference(a: Trace, b: Trace) -> str:
    """Where two traces differ first: the name of a field, "" when nowhere."""
    if len(a.steps) != len(b.steps):
        return "steps"
    for one, other in zip(a.steps, b.steps, strict=True):
        found = _difference(one, other)
        if found:
            return found
    return ""


def _difference(a: Any, b: Any) -> str:
    if type(a) is not type(b):
        return "type"
    if isinstance(a, np.ndarray):
        return "" if a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") else "array"
    if not hasattr(a, "__dataclass_fields__"):
        return "" if a == b or (isinstance(a, float) and np.isnan([a, b]).all()) else "value"
    for field in fields(a):
        if _difference(getattr(a, field.name), getattr(b, field.name)):
            return field.name
    return ""
