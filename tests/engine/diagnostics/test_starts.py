"""Other starts: every row is a fit run directly, the likeliest first, and a turned face is found again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clnf_engine import FitOptions, Model, Trace, fit, initial_from_box, load_model
from clnf_engine.choice import MARGIN
from clnf_engine.diagnostics.starts import ELSEWHERE_PX, MOVES, ROLLS, Move, Start, StartsFinding, starts
from clnf_engine.initial import moved
from clnf_engine.io.images import read_image

from ..portrait import turned_portrait
from ..tiny_model import start, tiny_image, tiny_model
from .lab_tools import no_stage, run


def turned_run(degrees: float, **options: object) -> Trace:
    """A fit of the tiny face from a start turned away from it."""
    initial = moved(tiny_model(), start(), roll=math.radians(degrees))
    return fit(tiny_image(), tiny_model(), initial, FitOptions(**options))


def test_the_moves_are_all_different_and_begin_with_none() -> None:
    assert MOVES[0] == Move() and len(set(MOVES)) == len(MOVES) == 61
    assert {move.roll for move in MOVES} == set(ROLLS) == {-60, -45, -30, -15, 0, 15, 30, 45, 60}
    assert str(Move(-30)) == "turned by −30°"
    assert str(Move(0, 30, 1.25, (0.0, -0.15))) == "yawed by 30°, scaled by 1.25, shifted 15 % up"


def test_every_row_is_a_fit_run_directly_and_the_likeliest_comes_first() -> None:
    trace, model = turned_run(45), tiny_model()
    found = starts(trace, model)
    assert found.own.initial is trace.initial and found.own.likelihood == trace.likelihood
    assert found.own.distance == 0
    ranked = [one.likelihood for one in found.starts if not one.problem]
    assert ranked == sorted(ranked, reverse=True) and len(found.starts) == len(MOVES)
    for one in found.starts[:3]:
        again = fit(trace.image, model, one.initial, trace.options)
        assert one.likelihood == again.likelihood
        assert one.distance == pytest.approx(np.linalg.norm(again.landmarks - trace.landmarks, axis=1).mean())
    (table,) = found.tables()
    assert table.links == tuple(one.initial for one in found.starts)
    assert [row[4] for row in table.rows[: len(ranked)]] == ranked
    assert sum(row[6] == "this run" for row in table.rows) == 1


def test_a_start_turned_away_is_turned_back() -> None:
    upright, trace = run(), turned_run(60)
    assert np.linalg.norm(trace.landmarks - upright.landmarks, axis=1).mean() > 5  # or there would be nothing to find
    found = starts(trace, tiny_model())
    assert found.answer is True
    assert found.best.move.roll in (-45, -60)
    best = fit(trace.image, tiny_model(), found.best.initial)
    assert np.linalg.norm(best.landmarks - upright.landmarks, axis=1).mean() < 1
    numbers = [f"{value:.2f}".replace("-", "−") for value in (found.best.likelihood, trace.likelihood)]
    assert "log-likelihood {} instead of {}".format(*numbers) in found.verdict


def finding(*rows: tuple[float | None, float, str]) -> StartsFinding:
    made = [Start(MOVES[k], start(), likelihood, px, why) for k, (likelihood, px, why) in enumerate(rows)]
    order = sorted(made, key=lambda one: (one.likelihood is None, bool(one.problem), -(one.likelihood or 0)))
    return StartsFinding(made[0], tuple(order))


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        ([(0.3, 0, ""), (0.3 + 2 * MARGIN, 2 * ELSEWHERE_PX, "")], True),
        ([(0.3, 0, ""), (0.3 + MARGIN / 2, 2 * ELSEWHERE_PX, "")], False),
        ([(0.3, 0, ""), (0.3 + 2 * MARGIN, ELSEWHERE_PX / 2, "")], False),
        ([(0.3, 0, ""), (0.9, 50.0, "not comparable: another stage")], False),
        ([(None, 0, "failed: too small"), (-1.0, 50.0, "")], True),
        ([(None, 0, "failed: too small"), (None, 50.0, "failed: too small")], None),
    ],
)
def test_better_is_likelier_and_elsewhere(rows: list[tuple[float | None, float, str]], answer: bool | None) -> None:
    found = finding(*rows)
    assert found.answer is answer
    assert found.verdict.startswith({True: "Yes", False: "No", None: "It cannot be told"}[answer])


@pytest.mark.parametrize(
    ("failed", "words"), [(True, "probably failed, too"), (False, "probably worked"), (None, "away.")]
)
def test_likelier_is_not_yet_right(failed: bool | None, words: str) -> None:
    found = replace(finding((0.3, 0, ""), (0.9, 50.0, "")), best_failed=failed)
    assert found.verdict.rstrip(".").endswith(words.rstrip("."))


def test_a_likelihood_of_another_stage_is_not_compared() -> None:
    """A start shrunk below the finest scale skips its stage, so its likelihood is of the coarser maps."""
    small = replace(start(), params=np.concatenate([[0.36], start().params[1:]]))
    trace = fit(tiny_image(), tiny_model(), small)
    assert not trace.stages[-1].stage.skipped
    found = starts(trace, tiny_model())
    others = [one for one in found.starts if one.problem.startswith("not comparable: its likelihood is of stage 1")]
    assert others and all(one.likelihood is not None for one in others)
    ends = [fit(trace.image, tiny_model(), one.initial).stages[-1].stage.skipped for one in found.starts]
    assert [bool(one.problem) for one in found.starts] == [bool(skipped) for skipped in ends]
    assert [bool(one.problem) for one in found.starts] == sorted(bool(one.problem) for one in found.starts)
    assert found.best is not None and not found.best.problem


def test_failed_fits_come_last_and_without_any_it_cannot_be_told() -> None:
    found = starts(no_stage(), tiny_model())
    assert found.answer is None and found.best is None
    assert all(row[4] is None and row[6].startswith("failed: no stage was run") for row in found.tables()[0].rows)
    assert np.isnan(found.plots()[0].series["best of its starts"]).all()


# --- photographs ------------------------------------------------------------------------------------


def test_a_portrait_turned_by_30_degrees_is_found_by_the_model_that_ships() -> None:
    model = load_model()
    turned, initial, truth = turned_portrait(model, 30)
    trace = fit(turned, model, initial)
    assert np.linalg.norm(trace.landmarks - truth, axis=1).mean() > 20
    found = starts(trace, model)
    assert found.answer is True and found.verdict.startswith("Yes: turned by −30°")
    best = fit(turned, model, found.best.initial)
    assert np.linalg.norm(best.landmarks - truth, axis=1).mean() < 2


def test_a_tilted_photo_is_found_by_openface_s_model(openface_model: Model, shared: Path) -> None:
    gray = read_image(shared / "samples" / "sample2.jpg").gray
    trace = fit(gray, openface_model, initial_from_box(openface_model, (330, 60, 190, 190)))
    found = starts(trace, openface_model)
    assert trace.likelihood < -1 and found.answer is True and found.best.likelihood > 0.5
    assert found.best.move.roll in (15, 30)  # her head leans to her left
