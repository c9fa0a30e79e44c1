"""The Session: what it holds is what the engine computed, and stale answers never get in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Normalization, Phase, first_divergence, fit
from clnf_gui.session import Session, fits
from clnf_gui.session.aspect import Aspect

from .conftest import TIMEOUT_MS, wait_for_fit


def test_the_lane_holds_what_fit_returns(fitted: Session) -> None:
    trace = fitted.trace()
    assert trace is not None
    assert trace.complete
    again = fit(fitted.image.gray, fitted.model, fitted.lane.initial, FitOptions())
    assert first_divergence(trace, again) is None


def test_opening_starts_on_the_first_response_maps(fitted: Session) -> None:
    assert fitted.step.place == (0, Phase.RESPONSES, None)


def test_no_face_means_a_box_in_the_middle_and_a_sentence(
    qtbot: QtBot, session: Session, model_file: Path, photo: Path
) -> None:
    session.open_model(model_file)
    session.open_image(photo)
    wait_for_fit(qtbot, session)
    assert session.note[0].startswith(f"{photo.name}: no face found")
    assert session.look.show_box, "the box that the sentence is about is in sight"
    height, width = session.image.gray.shape
    x, y, w, h = session.lane.initial.box
    assert (x + w / 2, y + h / 2) == (width / 2, height / 2)


def test_the_cursor_keeps_its_place_through_a_refit(qtbot: QtBot, fitted: Session) -> None:
    place = (1, Phase.NONRIGID, 4)
    fitted.cursor.move_cursor([step.place for step in fitted.lane.steps].index(place))
    fitted.set_options(replace(fitted.lane.options, normalization=Normalization.PEAK))
    wait_for_fit(qtbot, fitted)
    assert fitted.step.place == place
    assert fitted.step.responses.final.max() == 1.0


def test_a_place_that_does_not_exist_is_stood_in_for_and_remembered(qtbot: QtBot, fitted: Session) -> None:
    place = (0, Phase.NONRIGID, 5)
    places = [step.place for step in fitted.lane.steps]
    fitted.cursor.move_cursor(places.index(place))
    fitted.set_options(replace(fitted.lane.options, max_iterations=2))
    wait_for_fit(qtbot, fitted)
    assert fitted.step.place == (0, Phase.NONRIGID, 2)
    fitted.set_options(FitOptions())
    wait_for_fit(qtbot, fitted)
    assert fitted.step.place == place


def test_only_the_newest_request_counts(qtbot: QtBot, fitted: Session) -> None:
    for iterations in (1, 7, 2, 9, 3):
        fitted.set_options(FitOptions(max_iterations=iterations, convergence_px=0.0))
    wait_for_fit(qtbot, fitted)
    assert max(step.iteration or 0 for step in fitted.lane.steps) == 3
    expected = fit(fitted.image.gray, fitted.model, fitted.lane.initial, fitted.lane.options)
    assert first_divergence(fitted.trace(), expected) is None


def test_a_stale_step_is_dropped_even_when_it_arrives_late(qtbot: QtBot, fitted: Session) -> None:
    steps = list(fitted.lane.steps)
    fitted.fits._on_produced("A", -1, steps[3])
    fitted.fits._on_finished("A", -1, 99.0)
    assert list(fitted.lane.steps) == steps
    assert fitted.lane.seconds != 99.0


def test_moving_by_phase_and_stage(fitted: Session) -> None:
    fitted.cursor.move_cursor(0)
    seen = []
    while not seen or fitted.step.place != seen[-1]:
        seen.append(fitted.step.place)
        fitted.cursor.move_by_phase(1)
    assert seen == [
        (None, Phase.INITIAL, None),
        (0, Phase.RESPONSES, None),
        (0, Phase.RIGID, 1),
        (0, Phase.NONRIGID, 1),
        (1, Phase.RESPONSES, None),
        (1, Phase.RIGID, 1),
        (1, Phase.NONRIGID, 1),
        (None, Phase.END, None),
    ]
    fitted.cursor.move_by_step(-1)
    fitted.cursor.move_by_step(-1)
    fitted.cursor.move_by_phase(-1)
    assert fitted.step.place == (1, Phase.NONRIGID, 1)
    fitted.cursor.move_by_stage(-1)
    assert fitted.step.place == (1, Phase.RESPONSES, None)
    fitted.cursor.move_by_stage(-1)
    assert fitted.step.place == (0, Phase.RESPONSES, None)
    fitted.cursor.move_by_stage(1)
    assert fitted.step.place == (1, Phase.RESPONSES, None)


def test_the_cursor_stops_at_both_ends(fitted: Session) -> None:
    fitted.cursor.move_cursor(-5)
    assert fitted.lane.cursor == 0
    fitted.cursor.move_by_step(-1)
    assert fitted.lane.cursor == 0
    fitted.cursor.move_cursor(10_000)
    assert fitted.step.phase is Phase.END


def test_playing_reaches_the_end_and_stops(qtbot: QtBot, fitted: Session) -> None:
    fitted.cursor.set_speed(1000.0)
    fitted.cursor.move_cursor(10_000)
    fitted.cursor.set_playing(True)
    assert fitted.lane.cursor == 0
    qtbot.waitUntil(lambda: not fitted.cursor.playback.on, timeout=TIMEOUT_MS)
    assert fitted.step.phase is Phase.END


def test_a_perturbation_can_be_taken_back(qtbot: QtBot, fitted: Session) -> None:
    before = fitted.trace()
    fitted.starts.perturb(seed=3, amount=0.05)
    wait_for_fit(qtbot, fitted)
    assert fitted.lane.initial.seed == 3
    assert not np.array_equal(fitted.lane.steps[0].landmarks, before.steps[0].landmarks)
    fitted.starts.perturb(seed=3, amount=0.0)
    wait_for_fit(qtbot, fitted)
    assert first_divergence(before, fitted.trace()) is None


def test_starting_from_the_result_is_the_previous_frame(qtbot: QtBot, fitted: Session) -> None:
    result = fitted.lane.steps[-1].params
    fitted.starts.from_result()
    wait_for_fit(qtbot, fitted)
    assert np.array_equal(fitted.lane.steps[0].params, result)


@pytest.mark.parametrize("name", ["missing.png", "notes.txt"])
def test_a_bad_image_leaves_everything_as_it_was(qtbot: QtBot, fitted: Session, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    image, steps = fitted.image, fitted.lane.steps
    with qtbot.waitSignal(fitted.failed, timeout=TIMEOUT_MS) as failure:
        fitted.open_image(tmp_path / name)
    assert name in failure.args[0]
    assert fitted.image is image
    assert fitted.lane.steps is steps
    assert not fitted.busy


def test_an_exception_in_a_fit_is_told_and_the_next_fit_works(
    qtbot: QtBot, fitted: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of our own")

    with monkeypatch.context() as patch, qtbot.waitSignal(fitted.failed, timeout=TIMEOUT_MS) as failure:
        patch.setattr(fits, "fit_steps", broken)
        fitted.set_options(FitOptions(sigma=2.0))
        qtbot.waitUntil(lambda: not fitted.busy, timeout=TIMEOUT_MS)
    message, details = failure.args
    assert "a fault of our own" in message
    assert "Traceback" in details
    fitted.set_options(FitOptions(sigma=3.0))
    wait_for_fit(qtbot, fitted)
    assert fitted.lane.steps[1].stage.sigma == 3.0


def test_an_impossible_start_is_told(qtbot: QtBot, fitted: Session, tmp_path: Path) -> None:
    initial = fitted.lane.initial
    (tmp_path / "three.pts").write_text("version: 1\nn_points: 3\n{\n1 2\n3 4\n5 6\n}\n")
    with qtbot.waitSignal(fitted.failed, timeout=TIMEOUT_MS) as failure:
        fitted.starts.from_landmarks(tmp_path / "three.pts")
    assert "68" in failure.args[0]
    assert fitted.lane.initial is initial


def test_changed_names_what_changed(qtbot: QtBot, fitted: Session) -> None:
    aspects = []
    fitted.changed.connect(aspects.append)
    fitted.select(30)
    fitted.select(30)
    fitted.cursor.move_by_step(1)
    fitted.set_look(replace(fitted.look, show_ghost=False))
    fitted.set_look(fitted.look)
    assert aspects == [Aspect.SELECTION, Aspect.CURSOR, Aspect.LOOK]
