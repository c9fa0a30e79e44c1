"""The map over the photo, the path of a landmark, pins as tabs, copied tables."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDockWidget, QTabBar
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Phase, ResponseMaps
from clnf_engine.steps import place_order
from clnf_gui.look import Look, MapKind, Moment
from clnf_gui.views.image_view import ImageView
from clnf_gui.views.landmark_path import LandmarkPathView
from clnf_gui.views.number_table import NumberTable
from clnf_gui.window import MainWindow

from .conftest import wait_for_fit
from .test_overlays import run, segments

# --- the map over the photo -----------------------------------------------------------------------


def assert_map_in_place(view: ImageView, maps: ResponseMaps, landmark: int) -> None:
    """The peak's cell, and the middle of the map, are painted where the closed form has them, image px."""
    row, column = np.unravel_index(maps.final[landmark].argmax(), maps.final[landmark].shape)
    offset = np.array([column, row]) - (maps.window - 1) / 2
    expected = maps.base_shape[landmark] + maps.reference_to_image @ offset
    painted = view.map_item.mapToParent(QPointF(column + 0.5, row + 0.5))
    assert (painted.x(), painted.y()) == pytest.approx(tuple(expected), abs=1e-9)
    middle = view.map_item.mapToParent(view.map_item.boundingRect().center())
    assert (middle.x(), middle.y()) == pytest.approx(tuple(maps.base_shape[landmark]), abs=1e-9)


@pytest.mark.parametrize("landmark", [8, 30, 66])
def test_the_maps_peak_is_painted_where_the_expert_saw_it(window: MainWindow, landmark: int) -> None:
    session, view = window.session, window.image_views["A"]
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    session.select(landmark)
    window.repaint_now()
    assert view.map_item.image is None
    run(window, "map")
    maps = session.step.responses
    assert np.array_equal(view.map_item.image, maps.final[landmark])
    assert 0 < view.map_item.opacity() < 1
    assert_map_in_place(view, maps, landmark)


def test_the_map_is_turned_and_scaled_as_the_face_is(window: MainWindow) -> None:
    step = next(step for step in window.session.lane.steps if step.responses is not None)
    a, b = 3 * np.cos(0.7), 3 * np.sin(0.7)
    turned = replace(step.responses, reference_to_image=np.array([[a, -b], [b, a]]))
    view = ImageView("A")
    view.show_step([replace(step, responses=turned)], 0, Look(show_map=True, show_windows=True), Moment.UPDATE)
    view.show_selection(30)
    assert_map_in_place(view, turned, 30)
    corner = view.map_item.mapToParent(QPointF(0, 0))
    outline = segments(view.window_item)
    assert len(outline) == 4
    assert tuple(outline[0, 0]) == pytest.approx((corner.x(), corner.y()), abs=1e-9)


def test_the_map_follows_the_choice_of_maps_and_the_step(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    session.select(30)
    session.cursor.move_to((0, Phase.RIGID, 1))
    run(window, "map")
    session.set_look(replace(session.look, map_kind=MapKind.RAW))
    window.repaint_now()
    assert np.array_equal(view.map_item.image, session.step.responses.raw[30])
    session.cursor.move_to((None, Phase.END, None))
    window.repaint_now()
    assert view.map_item.image is None
    session.cursor.move_to((1, Phase.RIGID, 1))
    session.select(None)
    window.repaint_now()
    assert view.map_item.image is None


def test_the_selected_landmarks_window_is_drawn_alone_or_among_all(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    run(window, "windows")
    count = session.step.responses.visible.sum()
    assert len(segments(view.window_item)) == 4 * count
    session.select(30)
    window.repaint_now()
    outline = segments(view.window_item)
    assert len(outline) == 4
    assert np.allclose(outline[:, 0].mean(axis=0), session.step.responses.base_shape[30])
    run(window, "windows_all")
    assert len(segments(view.window_item)) == 4 * count


# --- the path of a landmark -----------------------------------------------------------------------


def curve(view: LandmarkPathView, lane: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = view.curves[lane, name].getData()
    return np.asarray(x), np.asarray(y) if name in ("x", "y") else 10.0 ** np.asarray(y)


def test_the_path_is_that_of_the_steps(window: MainWindow) -> None:
    steps = window.session.lane.steps
    truth = steps[-1].landmarks + np.array([3.0, 4.0])
    view = LandmarkPathView()
    view.show_paths({"A": steps}, 30, truth)
    places = np.array([step.landmarks[30] for step in steps])
    for k, name in enumerate("xy"):
        assert np.array_equal(curve(view, "A", name)[1], (places - places[0])[:, k])
    x, distance = curve(view, "A", "to_end")
    assert np.allclose(distance, [np.hypot(*(places[int(k)] - places[-1])) for k in x])
    shifts = {k: s.mean_shift.image[30] for k, s in enumerate(steps) if s.mean_shift is not None}
    x, length = curve(view, "A", "mean_shift")
    assert x.tolist() == list(shifts)
    assert np.allclose(length, [np.hypot(*shift) for shift in shifts.values()])
    x, moved = curve(view, "A", "moved")
    assert np.allclose(moved, [np.hypot(*(steps[int(k)].landmarks - steps[int(k)].landmarks_before)[30]) for k in x])
    assert curve(view, "A", "to_truth")[1][-1] == pytest.approx(5.0)
    assert not len(view.curves["B", "x"].getData()[0])
    assert not view.hint.isVisibleTo(view)


def test_two_lanes_share_the_columns_and_the_cursor(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    session.set_comparing(True)
    session.set_active("B")
    session.set_options(FitOptions(max_iterations=2))
    wait_for_fit(qtbot, session)
    runs = {name: lane.steps for name, lane in session.lanes.items()}
    places = sorted({step.place for steps in runs.values() for step in steps}, key=place_order)
    view = LandmarkPathView()
    view.show_paths(runs, 8)
    for name, steps in runs.items():
        assert curve(view, name, "x")[0].tolist() == [places.index(step.place) for step in steps]
    assert view.curves["A", "x"].opts["pen"].widthF() > view.curves["B", "x"].opts["pen"].widthF()
    view.show_cursor((1, Phase.RIGID, 2))
    assert {cursor.value() for cursor in view.cursors} == {places.index((1, Phase.RIGID, 2))}


def test_a_click_on_the_path_goes_to_the_step(qtbot: QtBot, window: MainWindow) -> None:
    steps, view = window.session.lane.steps, LandmarkPathView()
    qtbot.addWidget(view)
    view.resize(600, 250)
    view.show()
    view.show_paths({"A": steps}, 8)
    qtbot.waitExposed(view)
    position = view.mapFromScene(view.upper.vb.mapViewToScene(QPointF(7.2, view.upper.vb.viewRange()[1][0])))
    seen = []
    view.place_clicked.connect(seen.append)
    QTest.mouseMove(view.viewport(), position)
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=position)
    assert seen == [steps[7].place]


@pytest.mark.parametrize("landmark", [None, 900])
def test_without_a_landmark_the_path_is_a_hint(window: MainWindow, landmark: int | None) -> None:
    view = LandmarkPathView()
    view.show_paths({"A": window.session.lane.steps}, landmark)
    assert "Select a landmark" in view.hint.text()
    assert all(not len(item.getData()[0]) for item in view.curves.values())


# --- pins -----------------------------------------------------------------------------------------


def tabs(window: MainWindow, title: str) -> list[str]:
    """The tabs beside that of a title."""
    bars = [[bar.tabText(k) for k in range(bar.count())] for bar in window.findChildren(QTabBar)]
    return next(bar for bar in bars if title in bar)


def test_pins_are_tabs_beside_the_landmark_and_are_closed_there(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    for landmark in (30, 48):
        session.select(landmark)
        window.repaint_now()
        run(window, "pin")
    qtbot.waitUntil(lambda: {"Landmark 30", "Landmark 48"} <= set(tabs(window, "Landmark")))
    dock = window.pins.docks[48]
    assert dock.features() & QDockWidget.DockWidgetFeature.DockWidgetClosable
    dock.close()
    window.repaint_now()
    assert session.look.pinned == (30,)
    assert list(window.pins.docks) == [30]
    run(window, "undo")
    assert session.look.pinned == (30, 48)
    qtbot.waitUntil(lambda: "Landmark 48" in tabs(window, "Landmark"))


# --- tables ---------------------------------------------------------------------------------------


def pasted() -> list[list[str]]:
    return list(csv.reader(io.StringIO(QGuiApplication.clipboard().text()), delimiter="\t"))


@pytest.fixture
def table(qtbot: QtBot) -> NumberTable:
    made = NumberTable("Numbers")
    qtbot.addWidget(made)
    made.resize(400, 200)
    made.show_columns({"name": ["a\tb", "c", "d"], "x": [1 / 3, None, 2.5], "k": [1, 2, 3], "so": [True, False, True]})
    made.show()
    return made


def test_the_whole_table_is_copied_when_no_row_is_selected(table: NumberTable) -> None:
    table.setFocus()
    table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    copy = next(action for action in table.actions() if action.text() == "Copy")
    copy.trigger()
    assert pasted() == [
        ["name", "x", "k", "so"],
        ["d", "2.5", "3", "yes"],
        ["c", "", "2", "no"],
        ["a b", repr(1 / 3), "1", "yes"],
    ]


def test_ctrl_c_copies_the_selected_rows(qtbot: QtBot, table: NumberTable) -> None:
    table.activateWindow()
    table.setFocus()
    qtbot.waitUntil(table.hasFocus)
    table.show_row(1)
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert pasted() == [["name", "x", "k", "so"], ["c", "", "2", "no"]]
    assert table.contextMenuPolicy() is Qt.ContextMenuPolicy.ActionsContextMenu
