"""Which deviation moves a fit: every distance is that of two fits run directly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clnf_engine import FitOptions, Trace
from clnf_engine.deviations import DEVIATIONS, active, without_deviations
from clnf_engine.diagnostics.ablation import ablation

from ..tiny_model import tiny_model
from .lab_tools import PORT, no_stage, run


def distance(a: Trace, b: Trace) -> float:
    return float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean())


def test_the_culprits_of_the_port() -> None:
    found = ablation(run(PORT), tiny_model())
    assert found.answer is True
    assert {row.name for row in found.rows[:2]} == {"euler_transposed", "kernel_centre_pixel_fraction"}
    worst = DEVIATIONS[found.rows[0].name]
    assert found.verdict.startswith(
        f"Yes: most of all {worst.title} ({worst.name}), {found.rows[0].alone:.3g} px alone"
    )
    reference = run(without_deviations(PORT))
    assert found.distance == distance(run(PORT), reference)
    assert found.openface_distance == distance(run(), reference)
    table = found.tables()[0]
    assert [row[:2] for row in table.rows] == [(DEVIATIONS[name].title, name) for name in table.links]
    by_name = {row.name: row for row in found.rows}
    assert list(by_name) != list(DEVIATIONS) and by_name.keys() == DEVIATIONS.keys()
    assert [row.on for row in found.rows] == sorted((row.on for row in found.rows), reverse=True)
    euler = by_name["euler_transposed"]
    assert euler.alone == distance(run(replace(without_deviations(PORT), euler_transposed=True)), reference)
    assert euler.without == distance(run(replace(PORT, euler_transposed=False)), reference)
    off = by_name["sum_guard"]
    assert (off.on, off.without) == (False, None)


def test_no_deviation_no_culprit() -> None:
    found = ablation(run(), tiny_model())
    assert found.answer is False and found.verdict.startswith("No: none is on")
    assert found.distance == 0 and active(FitOptions()) == []


def test_a_harmless_deviation_is_acquitted() -> None:
    found = ablation(run(sum_guard=True), tiny_model())
    assert found.answer is False and "none of kernel sum guard (sum_guard) moves it" in found.verdict
    assert found.rows[0].name == "sum_guard" and found.rows[0].alone == 0


def test_without_iterations_it_cannot_be_told() -> None:
    assert ablation(no_stage(), tiny_model()).answer is None


def test_a_runs_own_value_is_ablated() -> None:
    found = ablation(run(step_damping=0.5), tiny_model())
    row = next(row for row in found.rows if row.name == "step_damping")
    assert row.on and row.alone == pytest.approx(distance(run(step_damping=0.5), run()))
    assert row.without == 0
