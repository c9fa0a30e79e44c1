"""Two lanes: told apart in the picture, swapped, measured against each other and against the truth."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine.tiny_model import true_landmarks
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Normalization, Phase
from clnf_engine.io.landmarks import pts_text
from clnf_engine.stops import parse_stop
from clnf_gui.look import Curves
from clnf_gui.option_titles import lane_labels
from clnf_gui.session.choices import Choices, LaneChoices
from clnf_gui.session.document import write_session
from clnf_gui.window import MainWindow

from .conftest import wait_for_fit
from .test_panes import show


def run(qtbot: QtBot, window: MainWindow, *names: str) -> None:
    for name in names:
        window.actions_by_id[name].trigger()
        wait_for_fit(qtbot, window.session)
        window.repaint_now()


@pytest.fixture
def comparing(qtbot: QtBot, window: MainWindow) -> MainWindow:
    """A with OpenFace's options against B with another bandwidth."""
    run(qtbot, window, "compare", "other_lane")
    window.session.set_options(FitOptions(sigma=3.0))
    wait_for_fit(qtbot, window.session)
    window.repaint_now()
    return window


@pytest.fixture
def truth(window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The true landmarks, opened as a person does."""
    path = tmp_path / "true.pts"
    path.write_text(pts_text(true_landmarks()))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    window.actions_by_id["open_truth"].trigger()
    window.repaint_now()
    return path


@pytest.mark.parametrize(
    ("a", "b", "labels"),
    [
        (FitOptions(), FitOptions(normalization=Normalization.PEAK), ("A · openface", "B · normalization peak")),
        (FitOptions(sigma=2.0), FitOptions(sigma=3.0), ("A · kernel σ 2 px", "B · kernel σ 3 px")),
        (FitOptions(sigma=2.0), FitOptions(sigma=2.0), ("A · kernel σ 2 px", "B · kernel σ 2 px")),
        (
            FitOptions(sigma=2.0, reg_factor=5.0),
            FitOptions(sigma=3.0, reg_factor=6.0, sigma_off=True),
            ("A · kernel σ 2 px, regularisation 5 and 1 more", "B · kernel σ 3 px, regularisation 6 and 1 more"),
        ),
    ],
)
def test_labels_say_what_differs(a: FitOptions, b: FitOptions, labels: tuple[str, str]) -> None:
    assert tuple(lane_labels(Choices(LaneChoices(a), LaneChoices(b))).values()) == labels


def test_lanes_are_labelled_in_the_picture(qtbot: QtBot, window: MainWindow) -> None:
    assert not window.image_views["A"].title.isVisible()
    run(qtbot, window, "compare")
    titles = {name: view.title for name, view in window.image_views.items()}
    assert all(title.isVisible() for title in titles.values())
    assert {name: title.text() for name, title in titles.items()} == {
        "A": "A · openface",
        "B": "B · normalization peak",
    }
    assert "normalization peak" in window.panes.convergence.plotItem.titleLabel.text


def test_swapping_shows_each_run_in_the_other_lane(qtbot: QtBot, comparing: MainWindow) -> None:
    session = comparing.session
    before = {name: (lane.options, lane.steps) for name, lane in session.lanes.items()}
    run(qtbot, comparing, "swap")
    for name, other in ("AB", "BA"):
        assert session.lanes[name].options == before[other][0]
        assert session.lanes[name].steps is before[other][1], "nothing is fitted again"
    assert comparing.image_views["A"].title.text() == "A · kernel σ 3 px"
    run(qtbot, comparing, "undo")
    assert {name: lane.steps for name, lane in session.lanes.items()} == {name: before[name][1] for name in before}


def test_the_distance_of_the_lanes_is_told_and_drawn(comparing: MainWindow) -> None:
    session = comparing.session
    session.cursor.move_to((None, Phase.END, None))
    session.select(8)
    comparing.repaint_now()
    a, b = (session.lanes[name].step.landmarks for name in "AB")
    distances = np.linalg.norm(a - b, axis=1)
    assert f"A−B {distances[8]:.3g} px" in comparing.hover_label.text()
    assert f"A−B {distances.mean():.3g} px, at most {distances.max():.3g} px" in comparing.headers["B"].text()
    x, y = comparing.image_views["A"].apart_item.getData()
    assert np.array_equal(np.stack([x, y], axis=1).reshape(-1, 2, 2), np.stack([a, b], axis=1))
    comparing.actions_by_id["apart"].trigger()
    comparing.repaint_now()
    assert len(comparing.image_views["A"].apart_item.getData()[0]) == 0
    show(comparing, "Landmark")
    comparing.repaint_now()
    assert f"A−B {distances[8]:.3g} px" in comparing.panes.inspector.sentence.text()


@pytest.mark.usefixtures("truth")
def test_ground_truth_is_measured(qtbot: QtBot, comparing: MainWindow) -> None:
    session, errors = comparing.session, comparing.panes.errors
    session.cursor.move_to((None, Phase.END, None))
    session.select(30)
    show(comparing, "Errors")
    comparing.repaint_now()
    for name in "AB":
        distances = np.linalg.norm(session.lanes[name].step.landmarks - true_landmarks(), axis=1)
        assert errors.regions.cell(0, f"{name}, px") == f"{distances.mean():.4g}"
        assert errors.landmarks.cell(30, f"{name}, px") == f"{distances[30]:.4g}"
        assert f"error {distances.mean():.2f} px" in comparing.headers[name].text()
    assert f"error {distances[30]:.2f} px" in comparing.hover_label.text()
    table = errors.landmarks
    QTest.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(table.model().index(5, 0)).center()
    )
    assert session.selection == 5


@pytest.mark.usefixtures("truth")
def test_the_error_is_a_curve_and_a_stop_condition(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    show(window, "Convergence")
    choice = window.panes.curve_choice.curves
    choice.setCurrentIndex(choice.findData(str(Curves.ERROR)))
    choice.activated.emit(choice.currentIndex())
    window.repaint_now()
    iterations = [step for step in session.lane.numbers if step.iteration is not None]
    errors = [np.linalg.norm(step.landmarks - true_landmarks(), axis=1).mean() for step in iterations]
    _, y = window.panes.convergence.curve_items["A"][0].getData()
    assert np.allclose(10**y, errors)
    grows = next(
        step
        for before, step, old, new in zip(iterations, iterations[1:], errors, errors[1:], strict=False)
        if new > old and before.place[:2] == step.place[:2]
    )
    session.cursor.set_stops((parse_stop("error grows"),))
    session.cursor.move_cursor(0)
    window.actions_by_id["run"].trigger()
    assert session.step.place == grows.place


@pytest.mark.usefixtures("truth")
def test_maps_mark_where_the_truth_lies(window: MainWindow) -> None:
    session, atlas = window.session, window.panes.atlas
    session.cursor.move_to((0, Phase.NONRIGID, 1))
    show(window, "Response maps")
    window.repaint_now()
    maps = session.step.responses
    cells = (true_landmarks() - maps.base_shape) @ maps.image_to_reference.T + (maps.window - 1) / 2
    inside = ((cells > -0.5) & (cells < maps.window - 0.5)).all(axis=1)
    corners = np.array([atlas._corner(k) for k in range(len(cells))])
    marks = np.stack(atlas.truth_item.getData(), axis=1)
    assert np.allclose(marks, (corners + cells + 0.5)[inside], atol=1e-4)


def test_a_session_keeps_its_ground_truth(qtbot: QtBot, window: MainWindow, truth: Path, tmp_path: Path) -> None:
    session = window.session
    write_session(session.document(), tmp_path / "kept.json")
    session.open_image(session.image.path)
    wait_for_fit(qtbot, session)
    assert session.scene.truth is None
    session.open_session(tmp_path / "kept.json")
    qtbot.waitUntil(lambda: session.scene.truth is not None)
    wait_for_fit(qtbot, session)
    assert np.array_equal(session.scene.truth, true_landmarks())
    assert session.scene.truth_path.resolve() == truth.resolve()


def test_a_lane_of_the_lab_is_the_active_one(qtbot: QtBot, comparing: MainWindow) -> None:
    session = comparing.session
    session.set_options(replace(session.lane.options, step_damping=0.5))
    wait_for_fit(qtbot, session)
    show(comparing, "Lab")
    session.lab.choose("fixed_point")
    session.diagnose(["fixed_point"])
    qtbot.waitUntil(lambda: not session.lab.busy)
    comparing.repaint_now()
    result = session.lab.records["fixed_point"].result
    assert result.lanes == ("B",)
    assert comparing.panes.finding.words.toPlainText().count("Lane B:") == 1


@pytest.mark.usefixtures("truth")
def test_errors_are_in_the_step_table_and_in_reports(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = window.session
    errors = [np.linalg.norm(step.landmarks - true_landmarks(), axis=1).mean() for step in session.lane.numbers]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "steps.csv"), ""))
    window.actions_by_id["export_steps"].trigger()
    rows = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert np.allclose([float(row["error_px"]) for row in rows], errors, rtol=0, atol=1e-12)
    report = window.dialogs.report()().decode()
    assert "Mean distance from the truth" in report
    assert session.verdict("A").sentence in report


def test_a_right_click_on_the_timeline_stops_there(window: MainWindow) -> None:
    session, timeline = window.session, window.timeline
    places = session.cursor.places()
    index = places.index((1, Phase.NONRIGID, 2))
    where = timeline.cell(index).center().toPoint()
    QTest.mouseClick(timeline, Qt.MouseButton.RightButton, pos=where)
    assert [stop.text for stop in session.cursor.stops] == ["at stage 2 non-rigid 2"]
    session.cursor.move_cursor(0)
    window.actions_by_id["run"].trigger()
    assert session.step.place == places[index]
    QTest.mouseClick(timeline, Qt.MouseButton.RightButton, pos=where)
    assert session.cursor.stops == ()
    QTest.mouseClick(timeline, Qt.MouseButton.RightButton, pos=timeline.cell(0).center().toPoint())
    assert session.cursor.stops == (), "every run stops at its start"
