"""Whether the pieces undo each other."""

from __future__ import annotations

import pytest

from clnf_engine.diagnostics.round_trips import round_trips

from ..tiny_model import tiny_model
from .lab_tools import no_stage, run


def test_openfaces_pieces_are_consistent() -> None:
    found = round_trips(run(), tiny_model())
    assert found.answer is True
    kinds = {trip.name for trip in found.trips}
    assert kinds == {
        "zero update",
        "rotation matrix to Euler angles and back",
        "image to reference frame and back",
        "parameters to landmarks and back",
    }
    assert round_trips(no_stage(), tiny_model()).answer is True


def test_transposed_euler_angles_are_found() -> None:
    found = round_trips(run(euler_transposed=True), tiny_model())
    assert found.answer is False
    assert "zero update: moves the rotation (0.10, -0.20, 0.05) to (-0.09, 0.20, -0.03)" in found.verdict
    assert "reference" not in found.verdict


def test_a_flipped_rotation_is_found() -> None:
    """The face is turned by 0.12 rad; there and back it is turned twice that, 13.75 degrees."""
    found = round_trips(run(image_rotation_sign_flipped=True, max_iterations=30), tiny_model())
    assert found.answer is False and "image to reference frame and back" in found.verdict
    assert "zero update" not in found.verdict
    worst = max(t.error for t in found.trips if t.name.startswith("image"))
    assert worst == pytest.approx(0.24, abs=0.1)
