"""The start is turned: by the round handle of its box, in fields, by commands; and everything of it is undone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDoubleSpinBox
from pytestqt.qtbot import QtBot

from clnf_engine import initial_from_box, load_model, turned
from clnf_engine.options import Source
from clnf_engine.pdm import landmarks
from clnf_gui.commands import COMMANDS
from clnf_gui.session import Session
from clnf_gui.session.document import write_session
from clnf_gui.views.start_box import StartBox, corner, upright
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit
from .test_panes import click_row, show

SIDE = st.floats(1e-2, 1e4)
PLACE = st.floats(-1e4, 1e4)
BOXES = st.tuples(PLACE, PLACE, SIDE, SIDE)
ANGLES = st.floats(-math.pi, math.pi)


def run(window: MainWindow, command: str) -> None:
    window.actions_by_id[command].trigger()
    window.repaint_now()


def rotation(session: Session, lane: str = "A") -> tuple[float, float, float]:
    return session.starts.of(lane).initial.rotation


def corners(roi: StartBox) -> np.ndarray:
    """The corners of the box as it is drawn, image px, clockwise from the top left."""
    width, height = roi.size()
    points = [roi.mapToParent(QPointF(x, y)) for x, y in ((0, 0), (width, 0), (width, height), (0, height))]
    return np.array([(point.x(), point.y()) for point in points])


def turned_corners(box: tuple[float, float, float, float], angle: float) -> np.ndarray:
    """A box turned about its centre, clockwise on the screen, where y is down."""
    x, y, width, height = box
    middle, c, s = np.array([x + width / 2, y + height / 2]), math.cos(angle), math.sin(angle)
    straight = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    return middle + (straight - middle) @ np.array([[c, s], [-s, c]])


def place(window: MainWindow, x: float, y: float) -> QPointF:
    """Where an image px is in the view, once that is painted."""
    QApplication.processEvents()
    view = window.image_views["A"]
    return QPointF(view.mapFromScene(view.box.mapViewToScene(QPointF(x, y))))


def knob(window: MainWindow) -> QPointF:
    """Where the round handle is in the view, once that is painted."""
    QApplication.processEvents()
    view = window.image_views["A"]
    return QPointF(view.mapFromScene(view.roi.knob.scenePos()))


@pytest.fixture
def drag(monkeypatch: pytest.MonkeyPatch, window: MainWindow) -> object:
    """Presses at a place of a view, moves to another in steps and releases."""
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", -1)  # the test's mouse is faster than a person's

    def drag(grip: QPointF, target: QPointF, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        viewport = window.image_views["A"].viewport()
        for step in (QPointF(3, 2), QPointF(0, 0)):  # the scene wants to see the mouse arrive
            QTest.mouseMove(viewport, (grip + step).toPoint())
            QApplication.processEvents()
        QTest.mousePress(viewport, Qt.MouseButton.LeftButton, keys, grip.toPoint())
        for k in range(1, 7):
            at = QPointF((grip + (target - grip) * k / 6).toPoint())
            buttons = (Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, keys)
            move = QMouseEvent(QEvent.Type.MouseMove, at, QPointF(viewport.mapToGlobal(at)), *buttons)
            QApplication.sendEvent(viewport, move)
            QApplication.processEvents()
        QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, keys, target.toPoint())
        QApplication.processEvents()
        window.repaint_now()

    return drag


def around(centre: QPointF, point: QPointF, degrees: float) -> QPointF:
    """A point turned about another, clockwise on the screen."""
    c, s, d = math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), point - centre
    return centre + QPointF(c * d.x() - s * d.y(), s * d.x() + c * d.y())


# --- the box --------------------------------------------------------------------------------------


@given(BOXES, ANGLES)
def test_a_turned_box_and_back(box: tuple, angle: float) -> None:
    place = corner(box, angle)
    np.testing.assert_allclose(place, turned_corners(box, angle)[0], rtol=0, atol=1e-9)
    back = upright(place, box[2:], angle)
    np.testing.assert_allclose(back, box, rtol=0, atol=1e-9)
    assert back[2:] == box[2:]


@given(BOXES)
def test_an_upright_box_is_exactly_itself(box: tuple) -> None:
    assert (*corner(box, 0.0), *box[2:]) == upright(box[:2], box[2:], 0.0) == box


@given(BOXES, ANGLES)
def test_a_box_is_drawn_turned_about_its_centre(qapp: object, box: tuple, angle: float) -> None:
    roi = StartBox()
    emitted: list[object] = []
    for signal in (roi.dragged, roi.turned, roi.released):
        signal.connect(lambda *values: emitted.append(values))
    roi.show_box(box, angle)
    np.testing.assert_allclose(corners(roi), turned_corners(box, angle), rtol=0, atol=1e-7)
    assert not emitted


@given(BOXES, ANGLES, PLACE, PLACE)
def test_a_turned_box_is_moved_and_sized(qapp: object, box: tuple, angle: float, dx: float, dy: float) -> None:
    roi = StartBox()
    told: list[tuple] = []
    roi.dragged.connect(told.append)
    roi.show_box(box, angle)
    roi.translate(dx, dy)
    if box[2] >= 1 and box[3] >= 1 and (dx or dy) and told:
        np.testing.assert_allclose(told[-1], (box[0] + dx, box[1] + dy, *box[2:]), rtol=0, atol=1e-8)
    roi.setSize((50.0, 80.0))  # about the top left corner, as with the handle opposite to it
    np.testing.assert_allclose(corners(roi), turned_corners(told[-1], angle), rtol=0, atol=1e-7)
    assert told[-1][2:] == (50.0, 80.0)


# --- the handle -----------------------------------------------------------------------------------


def test_the_handle_turns_the_start(qtbot: QtBot, window: MainWindow, drag: object) -> None:
    session, view = window.session, window.image_views["A"]
    run(window, "box")
    before = session.starts.of("A").initial
    x, y, width, height = before.box
    centre = place(window, x + width / 2, y + height / 2)
    drag(knob(window), around(centre, knob(window), 30))
    wait_for_fit(qtbot, session)
    initial = session.starts.of("A").initial
    assert initial.rotation[:2] == (0.0, 0.0)
    assert math.degrees(initial.rotation[2]) == pytest.approx(30, abs=1.5)  # the mouse knows whole pixels
    assert (initial.box, initial.source) == (before.box, Source.BOX)
    assert session.lane.initial is initial
    np.testing.assert_array_equal(session.lane.steps[0].landmarks, landmarks(session.model.pdm, initial.params))
    np.testing.assert_allclose(corners(view.roi), turned_corners(before.box, initial.rotation[2]), rtol=0, atol=1e-9)
    run(window, "undo")
    assert session.starts.of("A").initial is before
    np.testing.assert_allclose(corners(view.roi), turned_corners(before.box, 0.0), rtol=0, atol=1e-9)
    run(window, "redo")
    assert session.starts.of("A").initial is initial


def test_what_was_typed_before_a_drag_is_undone_after_it(window: MainWindow, drag: object) -> None:
    run(window, "box")
    type_into(window.options.rotation["roll"], "12.5")
    window.repaint_now()
    drag(knob(window), knob(window) + QPointF(30, 5))
    assert rotation(window.session)[2] > math.radians(14)
    run(window, "undo")
    assert rotation(window.session)[2] == math.radians(12.5)
    run(window, "undo")
    assert rotation(window.session)[2] == 0.0


@pytest.mark.parametrize("degrees", [-61, 34, 91, 169, -179])
def test_with_shift_in_steps_of_five_degrees(window: MainWindow, drag: object, degrees: int) -> None:
    run(window, "box")
    x, y, width, height = window.session.starts.of("A").initial.box
    centre = place(window, x + width / 2, y + height / 2)
    drag(knob(window), around(centre, knob(window), degrees), Qt.KeyboardModifier.ShiftModifier)
    expected = math.remainder(5 * round(degrees / 5), 360)
    assert abs(math.remainder(math.degrees(rotation(window.session)[2]) - expected, 360)) < 1e-9


def test_a_turned_box_is_dragged_by_the_mouse(qtbot: QtBot, window: MainWindow, drag: object) -> None:
    session, view = window.session, window.image_views["A"]
    run(window, "box")
    session.starts.turn((0.0, 0.2, 0.5))
    window.repaint_now()
    x, y, width, height = session.starts.of("A").initial.box
    pixel = view.box.viewPixelSize()[0]
    grip = place(window, x + width / 2, y + height * 0.05)
    drag(grip, grip + QPointF(18, -9))
    wait_for_fit(qtbot, session)
    initial = session.starts.of("A").initial
    np.testing.assert_allclose(initial.box, (x + 18 * pixel, y - 9 * pixel, width, height), rtol=0, atol=1.5 * pixel)
    assert initial.box[2:] == (width, height)
    assert initial.rotation == (0.0, 0.2, 0.5)
    expected = turned(session.model, initial_from_box(session.model, initial.box), (0.0, 0.2, 0.5))
    np.testing.assert_array_equal(initial.params, expected.params)


def test_a_turned_box_is_sized_by_the_mouse(qtbot: QtBot, window: MainWindow, drag: object) -> None:
    """The corner opposite to the one that is dragged stays where it is."""
    session, view = window.session, window.image_views["A"]
    run(window, "box")
    run(window, "zoom_image")  # all corners can be seen
    session.starts.roll(0.5)
    window.repaint_now()
    before, box = corners(view.roi), session.starts.of("A").initial.box
    grip = place(window, *before[2])
    drag(grip, grip + QPointF(20, 30))
    wait_for_fit(qtbot, session)
    after = corners(view.roi)
    np.testing.assert_allclose(after[0], before[0], rtol=0, atol=1e-9)
    assert math.dist(after[2], before[2]) == pytest.approx(math.hypot(20, 30) * view.box.viewPixelSize()[0], rel=0.1)
    assert session.starts.of("A").initial.box[2:] != box[2:]
    np.testing.assert_allclose(after, turned_corners(session.starts.of("A").initial.box, 0.5), rtol=0, atol=1e-9)


def test_a_drag_of_the_handle_is_one_undo_of_its_own(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    run(window, "box")
    before = session.starts.of("A").initial
    for turn in ((0.1, 0.2), (0.5, 0.6)):
        for angle in turn:
            view.roi.turned.emit(angle)
        view.roi.released.emit()
    assert rotation(session)[2] == 0.6
    run(window, "undo")
    assert rotation(session)[2] == 0.2
    run(window, "undo")
    assert session.starts.of("A").initial is before


def test_the_box_of_lane_b_is_turned_by_itself(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    run(window, "box")
    session.set_comparing(True)
    wait_for_fit(qtbot, session)
    window.repaint_now()
    window.image_views["B"].roi.turned.emit(0.4)
    window.image_views["B"].roi.released.emit()
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert (session.active, rotation(session, "A")[2], rotation(session, "B")[2]) == ("B", 0.0, 0.4)
    box = session.starts.of("A").initial.box
    for name, angle in (("A", 0.0), ("B", 0.4)):
        drawn = corners(window.image_views[name].roi)
        np.testing.assert_allclose(drawn, turned_corners(box, angle), rtol=0, atol=1e-9)
    assert shown_angles(window)["roll"] == pytest.approx(math.degrees(0.4), abs=0.05)
    run(window, "undo")
    assert session.choices.b.start is None


# --- starts that are not made from a box ----------------------------------------------------------


@pytest.mark.parametrize("make", ["perturb", "result"])
def test_the_box_of_another_start_is_turned_about_its_face(qtbot: QtBot, window: MainWindow, make: str) -> None:
    """The face stays in the middle of the box, which is upright where the face is."""
    session, view = window.session, window.image_views["A"]
    run(window, "box")
    session.starts.roll(0.5)
    if make == "perturb":
        session.starts.perturb(3, 0.2)
    else:
        wait_for_fit(qtbot, session)
        session.starts.from_result()
    window.repaint_now()
    initial = session.starts.of("A").initial
    points = landmarks(session.model.pdm, turned(session.model, initial, (0.0, 0.0, 0.0)).params)
    low, high = points.min(axis=0), points.max(axis=0)
    box = (*low.tolist(), *(high - low).tolist())
    np.testing.assert_allclose(corners(view.roi), turned_corners(box, initial.rotation[2]), rtol=0, atol=1e-9)
    view.roi.turned.emit(-0.3)
    window.repaint_now()
    assert (rotation(session)[2], session.starts.of("A").initial.seed) == (-0.3, initial.seed)
    np.testing.assert_allclose(corners(view.roi), turned_corners(box, -0.3), rtol=0, atol=1e-9)


def test_perturbing_acts_on_the_turned_start(window: MainWindow) -> None:
    session = window.session
    session.starts.turn((0.1, -0.2, 0.3))
    base = session.starts.of("A").initial
    session.starts.perturb(5, 0.1)
    assert rotation(session) == (0.1, -0.2, 0.3)
    session.starts.perturb(5, 0.0)
    assert session.starts.of("A").initial is base


def test_a_row_of_the_lab_leads_to_a_turned_start(qtbot: QtBot, window: MainWindow) -> None:
    """The face of the photo is nearly upright; a start that lies on its side misses it, and the Lab knows better."""
    session = window.session
    show(window, "Lab")
    run(window, "box")
    session.starts.roll(math.radians(60))
    session.history.end_run()
    wait_for_fit(qtbot, session)
    wrong, lost = session.starts.of("A"), session.lane.steps[-1].likelihood
    session.lab.choose("starts")
    session.diagnose(["starts"])
    qtbot.waitUntil(lambda: not session.lab.busy, timeout=TIMEOUT_MS)
    window.repaint_now()
    pages = window.panes.finding.tables
    assert "start" in pages.hint.text()
    finding = session.lab.records["starts"].result.finding
    best, other = finding.starts[0].initial, finding.starts[1].initial
    assert best is not wrong.initial
    for row in (1, 0):
        click_row(pages.stack.currentWidget(), row)
        window.repaint_now()
    wait_for_fit(qtbot, session)
    assert session.starts.of("A").initial is best is session.lane.initial
    assert session.lane.steps[-1].likelihood == finding.best.likelihood > lost
    assert abs(best.rotation[2]) > 0.1
    box = session.starts.upright_box(best)
    np.testing.assert_allclose(
        corners(window.image_views["A"].roi), turned_corners(box, best.rotation[2]), rtol=0, atol=1e-9
    )
    for before in (other, wrong.initial):
        session.undo()
        assert session.starts.of("A").initial is before


# --- fields and commands --------------------------------------------------------------------------


def shown_angles(window: MainWindow) -> dict[str, float]:
    return {name: spin.value() for name, spin in window.options.rotation.items()}


def type_into(spin: QDoubleSpinBox, text: str) -> None:
    spin.setFocus(Qt.FocusReason.MouseFocusReason)
    spin.lineEdit().selectAll()
    QTest.keyClicks(spin.lineEdit(), text)
    QTest.keyClick(spin, Qt.Key.Key_Return)


def test_typed_angles(qtbot: QtBot, window: MainWindow) -> None:
    session, fields = window.session, window.options.rotation
    box = session.starts.of("A").initial.box
    for name, text in (("roll", "-33.5"), ("yaw", "20"), ("pitch", "-7.5")):
        type_into(fields[name], text)
        window.repaint_now()
    wait_for_fit(qtbot, session)
    expected = tuple(math.radians(angle) for angle in (-7.5, 20.0, -33.5))
    assert rotation(session) == expected
    assert shown_angles(window) == {"roll": -33.5, "yaw": 20.0, "pitch": -7.5}
    assert (session.starts.of("A").initial.box, session.lane.initial) == (box, session.starts.of("A").initial)
    assert "turned" in window.options.source.text()


def test_a_field_changes_its_own_angle_alone(window: MainWindow) -> None:
    """The fields round what they show; what was not typed stays to the last digit."""
    session = window.session
    session.starts.turn((0.123456789, -0.2345678, 0.3456789))
    window.repaint_now()
    assert shown_angles(window) == {"roll": 19.8, "yaw": -13.4, "pitch": 7.1}
    emitted = []
    window.options.rotation_chosen.connect(emitted.append)
    window.repaint_now()
    assert not emitted
    type_into(window.options.rotation["roll"], "10")
    assert emitted == [(0.123456789, -0.2345678, math.radians(10))]
    assert rotation(session) == emitted[0]


def test_a_typed_box_keeps_the_rotation(window: MainWindow) -> None:
    session = window.session
    session.starts.turn((0.1, 0.2, 0.3))
    window.repaint_now()
    type_into(window.options.box[0], "12.5")
    initial = session.starts.of("A").initial
    assert (initial.box[0], initial.rotation) == (12.5, (0.1, 0.2, 0.3))


def test_the_fields_say_what_they_are(window: MainWindow) -> None:
    for name, spin in window.options.rotation.items():
        assert name in spin.accessibleName().lower()
        assert "Rx·Ry·Rz" in spin.toolTip()
        assert not spin.keyboardTracking()


@pytest.mark.parametrize(
    ("index", "words", "towards"),
    [(0, "rx: down where positive", (0, 1)), (1, "ry: to the left of the image where positive", (-1, 0))],
)
def test_the_tips_are_true(window: MainWindow, index: int, words: str, towards: tuple[int, int]) -> None:
    """Where the tip of the nose goes, in a model of real faces."""
    model = load_model()
    start = initial_from_box(model, (0.0, 0.0, 100.0, 100.0))
    angles = [0.0, 0.0, 0.0]
    angles[index] = 0.2
    moved = landmarks(model.pdm, turned(model, start, tuple(angles)).params) - landmarks(model.pdm, start.params)
    assert np.array(towards) @ moved[30] > 5
    assert any(words in spin.toolTip() for spin in window.options.rotation.values())


def test_commands_turn_the_start(window: MainWindow) -> None:
    session = window.session
    assert not window.actions_by_id["upright"].isEnabled()
    for command in ("roll_right", "roll_right", "roll_left", "roll_left", "roll_left"):
        run(window, command)
    assert math.degrees(rotation(session)[2]) == pytest.approx(-5)
    run(window, "undo")
    assert abs(rotation(session)[2]) < 1e-12
    session.starts.turn((0.3, 0.2, 0.1))
    window.repaint_now()
    assert window.actions_by_id["upright"].isEnabled()
    run(window, "upright")
    assert rotation(session) == (0.0, 0.0, 0.0)
    run(window, "undo")
    assert rotation(session) == (0.3, 0.2, 0.1)


def test_turning_on_goes_once_round(window: MainWindow) -> None:
    session = window.session
    session.starts.roll(math.radians(178))
    run(window, "roll_right")
    assert math.degrees(rotation(session)[2]) == pytest.approx(-177)


def test_the_button_turns_the_start_upright(window: MainWindow) -> None:
    button = window.options.upright
    assert not button.isEnabled()
    window.session.starts.turn((0.3, 0.2, 0.1))
    window.repaint_now()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert rotation(window.session) == (0.0, 0.0, 0.0)


def test_no_two_commands_share_a_shortcut() -> None:
    shortcuts = [command.shortcut for command in COMMANDS if command.shortcut]
    assert len(shortcuts) == len(set(shortcuts))


# --- elsewhere ------------------------------------------------------------------------------------


def test_a_session_file_keeps_a_turned_start(
    qtbot: QtBot, window: MainWindow, session: Session, tmp_path: Path
) -> None:
    session.starts.turn((0.1, -0.2, 0.3))
    before = session.starts.of("A").initial
    path = tmp_path / "turned.json"
    write_session(session.document(), path)
    session.starts.turn((0.0, 0.0, 0.0))
    session.open_session(path)
    wait_for_fit(qtbot, session)
    after = session.starts.of("A").initial
    np.testing.assert_array_equal(after.params, before.params)
    assert (after.box, after.source, session.starts.upright_box(after)) == (before.box, before.source, before.box)


def test_without_a_start_nothing_is_turned(qtbot: QtBot, session: Session, model_file: Path) -> None:
    session.starts.turn((0.0, 0.0, 1.0))
    session.open_model(model_file)
    qtbot.waitUntil(lambda: session.model is not None)
    session.starts.roll(1.0)
    assert session.starts.of("A") is None
    assert not session.history.can_undo


def test_an_impossible_rotation_is_told(window: MainWindow) -> None:
    told, before = [], window.session.starts.of("A").initial
    window.session.failed.connect(lambda message, _: told.append(message))
    window.session.starts.turn((0.0, 0.0, math.nan))
    assert told == ["rotation (0.0, 0.0, nan): expected three finite angles rx, ry, rz in radians"]
    assert window.session.starts.of("A").initial is before
