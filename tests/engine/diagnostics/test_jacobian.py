"""Whether the Jacobian is the derivative of the update rule."""

from __future__ import annotations

from clnf_engine.diagnostics.jacobian import POSES, TOLERANCE, jacobian_check

from ..tiny_model import tiny_model
from .lab_tools import run


def test_openfaces_is() -> None:
    found = jacobian_check(run(), tiny_model())
    assert found.answer is True and found.verdict.startswith("Yes: at 5 poses")
    assert found.errors.shape == (5, 10) and found.errors.max() <= 1e-6 == TOLERANCE
    assert len(set(POSES)) == 5 and POSES[0] == (0, 0, 0)
    assert jacobian_check(run(precision="float32"), tiny_model()).answer is True


def test_forward_differences_fail_away_from_the_neutral_pose_only() -> None:
    found = jacobian_check(run(rotation_jacobian_forward_difference=True), tiny_model())
    assert found.answer is False
    assert (found.errors[0] <= TOLERANCE).all()
    assert (found.errors[1:, 1:4].max(axis=1) > 1e-2).all()
    assert (found.errors[:, [0, 4, 5, 6, 7, 8, 9]] <= TOLERANCE).all()
    assert "but not at the neutral pose" in found.verdict and "modes" not in found.verdict


def test_an_update_that_turns_back_is_not_what_it_differentiates() -> None:
    """Through a transposed rotation the derivative by w has the other sign: wrong by twice itself."""
    found = jacobian_check(run(euler_transposed=True), tiny_model())
    assert found.answer is False and "also at the neutral pose" in found.verdict
    assert abs(found.errors[0, 1] - 2) < 1e-6
