"""Sub-moments, the box on the image, overlays, undo, looping and following."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Normalization, Phase
from clnf_engine.io.landmarks import pts_text
from clnf_gui.look import Moment
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, shown_option, wait_for_fit


def painted(window: MainWindow) -> np.ndarray:
    return np.stack(window.image_views["A"].point_item.getData(), axis=1)


def segments(item: object) -> np.ndarray:
    return np.stack(item.getData(), axis=1).reshape(-1, 2, 2)


def run(window: MainWindow, command: str) -> None:
    window.actions_by_id[command].trigger()
    window.repaint_now()


def test_stepping_into_shows_mean_shift_then_solve_then_update(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    session.cursor.move_to((0, Phase.RIGID, 1))
    seen = []
    for _ in range(3):
        run(window, "into")
        step = session.step
        seen.append((step.place, session.cursor.moment))
        n = len(step.landmarks)
        shafts = segments(view.shift_item)[:n]
        assert np.allclose(shafts[:, 0], step.landmarks_before)
        if session.cursor.moment is Moment.UPDATE:
            assert np.array_equal(painted(window), step.landmarks)
        else:
            assert np.array_equal(painted(window), step.landmarks_before)
        ends = (
            step.landmarks if session.cursor.moment is Moment.SOLVE else step.landmarks_before + step.mean_shift.image
        )
        assert np.allclose(shafts[:, 1], ends)
        assert session.cursor.moment is Moment.UPDATE or str(session.cursor.moment) in window.headers["A"].text()
    place = (0, Phase.RIGID, 2)
    assert seen == [(place, Moment.MEAN_SHIFT), (place, Moment.SOLVE), (place, Moment.UPDATE)]


def test_stepping_into_goes_back_the_same_way(window: MainWindow) -> None:
    session = window.session
    session.cursor.move_to((0, Phase.RESPONSES, None))
    forwards = []
    for _ in range(12):
        forwards.append((session.step.place, session.cursor.moment))
        run(window, "into")
    backwards = []
    for _ in range(12):
        run(window, "into_back")
        backwards.append((session.step.place, session.cursor.moment))
    assert backwards == forwards[::-1]


def test_an_ordinary_step_shows_whole_iterations(window: MainWindow) -> None:
    session = window.session
    session.cursor.move_to((0, Phase.RIGID, 1))
    run(window, "into")
    run(window, "step")
    assert (session.step.place, session.cursor.moment) == ((0, Phase.RIGID, 3), Moment.UPDATE)


def test_the_fit_follows_the_dragged_box(qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", -1)  # the test's mouse is faster than a person's
    session, view = window.session, window.image_views["A"]
    assert not view.roi.isVisible()
    run(window, "box")
    assert view.roi.isVisible()
    x, y, width, height = session.lane.initial.box
    assert (*view.roi.pos(), *view.roi.size()) == (x, y, width, height)
    grip = view.mapFromScene(view.box.mapViewToScene(QPointF(x + width * 0.3, y + 1.5)))
    target = grip + QPoint(12, 7)
    for step in (QPoint(3, 2), QPoint(0, 0)):  # the scene wants to see the mouse arrive over the box
        QTest.mouseMove(view.viewport(), grip + step)
        QApplication.processEvents()
    QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=grip)
    for k in range(1, 5):
        drag(view, grip + (target - grip) * k / 4)
    QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=target)
    wait_for_fit(qtbot, session)
    moved = session.lane.initial.box
    pixel = view.box.viewPixelSize()[0]
    assert moved[0] - x > 4 * pixel
    assert moved[2:] == (width, height)
    assert np.allclose(session.lane.steps[0].landmarks.min(axis=0)[0], moved[0], atol=0.3 * width)


def drag(view: object, position: QPoint) -> None:
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(position),
        QPointF(view.viewport().mapToGlobal(position)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(view.viewport(), event)
    QApplication.processEvents()


def test_a_drag_is_one_undo(qtbot: QtBot, window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    run(window, "box")
    before = session.starts.of("A").initial
    for shift in (1.0, 2.0, 3.0):
        view.box_dragged.emit((before.box[0] + shift, *before.box[1:]))
    view.box_released.emit()
    wait_for_fit(qtbot, session)
    assert session.lane.initial.box[0] == before.box[0] + 3.0
    run(window, "undo")
    assert session.starts.of("A").initial is before


def test_undo_and_redo_of_options_and_look(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    session.history.clear()
    window.repaint_now()
    assert not window.actions_by_id["undo"].isEnabled()
    session.set_options(FitOptions(normalization=Normalization.SUM))
    run(window, "ghost")
    session.set_comparing(True)
    wait_for_fit(qtbot, session)
    run(window, "undo")
    assert not session.comparing
    run(window, "undo")
    assert session.look.show_ghost
    run(window, "undo")
    wait_for_fit(qtbot, session)
    assert session.lane.options == FitOptions()
    assert session.step.responses.final.max() != 1.0
    assert shown_option(window, "normalization") == "none"
    assert not window.actions_by_id["undo"].isEnabled()
    for _ in range(3):
        run(window, "redo")
    wait_for_fit(qtbot, session)
    assert (session.comparing, session.look.show_ghost) == (True, False)
    assert session.lanes["A"].options.normalization is Normalization.SUM
    assert not window.actions_by_id["redo"].isEnabled()


def test_search_windows_are_the_maps_outlines(window: MainWindow) -> None:
    view = window.image_views["A"]
    assert len(segments(view.window_item)) == 0
    run(window, "windows")
    step = window.session.step
    outlines = segments(view.window_item).reshape(-1, 4, 2, 2)
    maps = step.responses
    assert len(outlines) == maps.visible.sum()
    assert np.allclose(outlines[:, :, 0].mean(axis=1), maps.base_shape[maps.visible])
    side = np.linalg.norm(outlines[0, 0, 1] - outlines[0, 0, 0])
    assert np.isclose(side, maps.window / np.sqrt(np.linalg.det(maps.image_to_reference)), rtol=1e-6)


def test_search_windows_of_a_turned_face_are_turned(qtbot: QtBot, window: MainWindow) -> None:
    """In the reference frame their corners lie half a window from the landmark, wherever the face looks."""
    window.session.starts.turn((0.0, 0.0, 0.5))
    wait_for_fit(qtbot, window.session)
    window.session.cursor.move_to((0, Phase.RESPONSES, None))
    run(window, "windows")
    maps = window.session.step.responses
    assert abs(maps.image_to_reference[0, 1]) > 0.2 * abs(maps.image_to_reference[0, 0])
    outlines = segments(window.image_views["A"].window_item).reshape(-1, 4, 2, 2)
    corners = (outlines[:, :, 0] - maps.base_shape[maps.visible][:, None]) @ maps.image_to_reference.T
    half = maps.window / 2
    expected = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    assert np.allclose(corners, expected, atol=1e-3)


@pytest.mark.parametrize(("pixels", "selected"), [(6, 30), (25, None)])
def test_a_landmark_is_hit_within_some_pixels_of_the_screen(
    window: MainWindow, pixels: int, selected: int | None
) -> None:
    """However large the image is shown: here a pixel of the image takes several of the screen."""
    view, session = window.image_views["A"], window.session
    session.select(None)
    x, y = session.step.landmarks[30]
    view.box.setRange(xRange=(x - 30, x + 30), yRange=(y - 20, y + 20), padding=0)
    QApplication.processEvents()
    middle = view.mapFromScene(view.box.mapViewToScene(QPointF(x, y)))
    assert view.box.viewPixelSize()[0] < 0.25
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=middle + QPoint(pixels, 0))
    QApplication.processEvents()
    assert session.selection == selected


def test_the_trail_shows_the_shapes_before(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    session.cursor.move_to((0, Phase.RIGID, 4))
    run(window, "trail")
    segments_per_shape = len(segments(view.contour_item))
    assert len(segments(view.trail_item)) == 3 * segments_per_shape
    first = session.lane.steps[session.lane.cursor - 3].landmarks
    assert np.array_equal(segments(view.trail_item)[0, 0], first[0])


def test_ground_truth_is_shown_and_a_wrong_file_is_told(window: MainWindow, tmp_path: Path) -> None:
    session, view = window.session, window.image_views["A"]
    truth = session.lane.steps[-1].landmarks + 0.5
    (tmp_path / "face.pts").write_text(pts_text(truth))
    session.open_truth(tmp_path / "face.pts")
    window.repaint_now()
    assert np.array_equal(np.stack(view.truth_item.getData(), axis=1), truth)
    session.open_truth(tmp_path / "none.pts")
    assert window.message_bar.isVisible()
    window.repaint_now()
    assert len(view.truth_item.getData()[0]) == len(truth)


def test_numbers_appear_only_when_they_can_be_read(window: MainWindow) -> None:
    view = window.image_views["A"]
    points = window.session.step.landmarks

    def changed_by_numbers() -> bool:
        """Whether switching the numbers off changes the picture (and on again brings it back)."""
        pictures = []
        for _ in range(3):
            QApplication.processEvents()
            pictures.append(view.grab().toImage())
            run(window, "numbers")
        run(window, "numbers")
        assert pictures[0] == pictures[2]
        return pictures[0] != pictures[1]

    view.box.setRange(xRange=(points[30, 0] - 8, points[30, 0] + 8), yRange=(points[30, 1] - 6, points[30, 1] + 6))
    assert changed_by_numbers()
    view.box.setRange(xRange=(-300, 450), yRange=(-300, 450))
    assert not changed_by_numbers()


def test_playing_in_a_loop_begins_again(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    run(window, "loop")
    session.cursor.set_speed(1000.0)
    session.cursor.move_cursor(len(session.lane.steps) - 2)
    seen = []
    session.changed.connect(lambda _: seen.append(session.step.phase))
    run(window, "play")
    qtbot.waitUntil(lambda: Phase.END in seen and seen[-1] is Phase.RIGID, timeout=TIMEOUT_MS)
    assert session.cursor.playback.on
    session.cursor.set_playing(False)


def test_following_stays_at_the_newest_step(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    session.cursor.move_to((0, Phase.RIGID, 1))
    run(window, "follow")
    session.set_options(FitOptions(sigma=2.0))
    wait_for_fit(qtbot, session)
    assert session.step.phase is Phase.END
