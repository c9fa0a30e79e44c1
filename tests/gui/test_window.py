"""The window through clicks and keys: what is painted is what the Steps hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QKeySequence, QMouseEvent, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialogButtonBox, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import Normalization, Phase, Trace, first_divergence
from clnf_gui.__main__ import main
from clnf_gui.commands import COMMANDS
from clnf_gui.icons import icon
from clnf_gui.look import MapKind
from clnf_gui.panels.stop_dialog import StopDialog
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, option_widget, set_option, shown_option, wait_for_fit


def press(window: MainWindow, key: Qt.Key) -> None:
    QTest.keyClick(window, key)
    window.repaint_now()


def click(widget: object, position: QPoint) -> None:
    """A click on a pyqtgraph view; Qt wants to see the mouse arrive first."""
    viewport = widget.viewport()
    QTest.mouseMove(viewport, position)
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, position)
    QApplication.processEvents()


def drag(widget: object, position: QPointF) -> None:
    """Move the mouse with the left button held (QTest's own move holds none)."""
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        position,
        widget.mapToGlobal(position),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(widget, event)


def in_view(view: object, x: float, y: float) -> QPoint:
    """Widget position of a place in a view's data coordinates."""
    return view.mapFromScene(view.box.mapViewToScene(QPointF(x, y)))


def painted_points(window: MainWindow) -> np.ndarray:
    return np.stack(window.image_views["A"].point_item.getData(), axis=1)


def painted_map(window: MainWindow, landmark: int) -> np.ndarray:
    """The cells of one landmark's map as they stand in the atlas image."""
    atlas = window.panes.atlas
    x, y = atlas._corner(landmark)
    window_size = window.session.step.responses.window
    return atlas.image_item.image[y : y + window_size, x : x + window_size]


def choose(combo: object, data: str) -> None:
    """Choose an entry of a combo box as a person does."""
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def assert_painted(window: MainWindow) -> None:
    """Everything on the screen equals the Step under the cursor."""
    step, session = window.session.step, window.session
    assert np.array_equal(painted_points(window), step.landmarks)
    assert window.panes.convergence.cursor.value() == session.places().index(step.place)
    assert window.headers["A"].text().startswith(f"{session.lane.cursor + 1} / {len(session.lane.steps)}")
    if step.responses is None:
        assert window.panes.atlas.image_item.image is None
        return
    maps = getattr(step.responses, session.look.map_kind)
    for landmark in (0, 30, 67):
        peak = maps[landmark].max()
        expected = (maps[landmark] / peak if peak > 0 else maps[landmark]).astype(np.float32)
        assert np.allclose(painted_map(window, landmark), expected, rtol=1e-6)
    ends = np.stack(window.image_views["A"].shift_item.getData(), axis=1).reshape(-1, 2, 2)
    if step.mean_shift is None:
        assert len(ends) == 0
    else:
        shafts = ends[: len(step.landmarks)]
        assert np.allclose(shafts[:, 0], step.landmarks_before)
        assert np.allclose(shafts[:, 1] - shafts[:, 0], step.mean_shift.image)


def test_keys_step_forwards_and_back(window: MainWindow) -> None:
    session = window.session
    walk = [
        (Qt.Key.Key_Right, (0, Phase.RIGID, 1)),
        (Qt.Key.Key_Right, (0, Phase.RIGID, 2)),
        (Qt.Key.Key_Left, (0, Phase.RIGID, 1)),
        (Qt.Key.Key_Down, (0, Phase.NONRIGID, 1)),
        (Qt.Key.Key_PageDown, (1, Phase.RESPONSES, None)),
        (Qt.Key.Key_Up, (0, Phase.NONRIGID, 1)),
        (Qt.Key.Key_PageUp, (0, Phase.RESPONSES, None)),
        (Qt.Key.Key_End, (None, Phase.END, None)),
        (Qt.Key.Key_Home, (None, Phase.INITIAL, None)),
    ]
    for key, place in walk:
        press(window, key)
        assert session.step.place == place
        assert_painted(window)


def test_every_step_is_painted_as_it_is(window: MainWindow) -> None:
    for index in range(len(window.session.lane.steps)):
        window.session.move_cursor(index)
        window.repaint_now()
        assert_painted(window)


def test_toggling_normalization_refits_live_and_keeps_the_place(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    window.session.move_cursor(9)
    place = session.step.place
    set_option(window, "normalization", "minmax")
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert session.lane.options.normalization is Normalization.MINMAX
    assert session.step.place == place
    assert session.step.responses.final.max() == 1.0
    assert window.options.preset.currentText() == "custom"
    assert_painted(window)
    window.options.preset.setCurrentText("openface")
    window.options.preset.textActivated.emit("openface")
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert shown_option(window, "normalization") == "none"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("windows", "9, 7", (9, 7)),
        ("sigma", 2.25, 2.25),
        ("reg_factor", 40.0, 40.0),
        ("weight_factor", 2.5, 2.5),
        ("kernel", "exact", "exact"),
        ("precision", "float32", "float32"),
        ("adapt_per_scale", False, False),
        ("sigma_off", True, True),
        ("max_iterations", 7, 7),
        ("convergence_px", 0.5, 0.5),
        ("clamp_sigmas", 2.0, 2.0),
        ("response_gain", 4.0, 4.0),
        ("convergence_update", 0.25, 0.25),
        ("step_damping", 0.5, 0.5),
        ("window5_without_sigma", True, True),
    ],
)
def test_every_option_can_be_changed_and_put_back(
    qtbot: QtBot, window: MainWindow, name: str, value: object, expected: object
) -> None:
    session = window.session
    before = getattr(session.lane.options, name)
    set_option(window, name, value)
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert getattr(session.lane.options, name) == expected
    parameter = window.options.tree.rows[name]
    assert parameter.opts["title"].startswith("●")
    item = next(iter(parameter.items))
    assert item.defaultBtn.isEnabled()
    qtbot.mouseClick(item.defaultBtn, Qt.MouseButton.LeftButton)
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert getattr(session.lane.options, name) == before
    assert not parameter.opts["title"].startswith("●")


def test_an_impossible_option_is_told_beside_it_and_changes_nothing(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    steps = session.lane.steps
    set_option(window, "windows", "11, 8")
    assert window.options.problem.isVisible()
    assert "found 8" in window.options.problem.text()
    assert session.lane.steps is steps
    set_option(window, "windows", "11, 9")
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert not window.options.problem.isVisible()
    assert option_widget(window, "windows").text() == "11, 9"


def test_the_map_buttons_choose_the_maps(qtbot: QtBot, window: MainWindow) -> None:
    for kind in MapKind:
        qtbot.mouseClick(window.panes.map_choice.buttons[kind], Qt.MouseButton.LeftButton)
        window.repaint_now()
        assert window.session.look.map_kind is kind
        assert_painted(window)
    press(window, Qt.Key.Key_1)
    assert window.panes.map_choice.buttons[MapKind.RAW].isChecked()
    assert_painted(window)


def test_a_common_colour_range_paints_the_values_themselves(window: MainWindow) -> None:
    choose(window.panes.map_choice.range, "step")
    window.repaint_now()
    final = window.session.step.responses.final
    assert np.array_equal(painted_map(window, 12), final[12].astype(np.float32))
    assert window.panes.atlas.image_item.levels[1] == final.max()
    assert window.panes.atlas.colour_bar.levels()[1] == final.max()


def test_a_box_typed_in_starts_the_fit_there(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    spin = window.options.box[0]
    spin.setFocus()
    spin.selectAll()
    QTest.keyClicks(spin, "31.5")
    QTest.keyClick(spin, Qt.Key.Key_Return)
    wait_for_fit(qtbot, session)
    assert session.lane.initial.box[0] == 31.5
    window.repaint_now()
    assert_painted(window)


def test_perturbing_and_taking_it_back(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    before = session.lane.initial
    window.options.amount.setValue(4.0)
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert session.lane.initial.seed == 0
    assert "seed 0" in window.options.source.text()
    window.options.amount.setValue(0.0)
    wait_for_fit(qtbot, session)
    assert session.lane.initial is before


def test_clicking_and_dragging_the_timeline_scrubs(window: MainWindow) -> None:
    timeline = window.timeline
    QTest.mousePress(timeline, Qt.MouseButton.LeftButton, pos=timeline.cell(4).center().toPoint())
    assert window.session.lane.cursor == 4
    drag(timeline, timeline.cell(11).center())
    window.repaint_now()
    assert window.session.lane.cursor == 11
    assert_painted(window)


def test_selecting_a_landmark_anywhere_selects_it_everywhere(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    click(window.image_views["A"], in_view(window.image_views["A"], *session.step.landmarks[30]))
    window.repaint_now()
    assert session.selection == 30
    assert np.array_equal(
        np.stack(window.image_views["A"].selected_item.getData(), axis=1), session.step.landmarks[[30]]
    )
    assert "landmark 30" in window.hover_label.text()
    x, y = window.panes.atlas._corner(48)
    click(window.panes.atlas, in_view(window.panes.atlas, x + 2.5, y + 2.5))
    window.repaint_now()
    assert session.selection == 48
    assert window.image_views["A"].label.toPlainText() == "48"
    corner = (window.panes.atlas.frame.xData.min() + 0.5, window.panes.atlas.frame.yData.min() + 0.5)
    assert corner == window.panes.atlas._corner(48)
    press(window, Qt.Key.Key_Escape)
    assert session.selection is None
    assert len(window.image_views["A"].selected_item.getData()[0]) == 0


def test_clicking_the_convergence_plot_goes_there(window: MainWindow) -> None:
    plot = window.panes.convergence
    scene = plot.plotItem.vb.mapViewToScene(QPointF(8.2, 0.0))
    click(plot, plot.mapFromScene(scene))
    assert window.session.lane.cursor == 8


def test_the_norms_painted_are_the_recorded_ones(window: MainWindow) -> None:
    steps = window.session.lane.steps
    norm, change, *_ = window.panes.convergence.curve_items["A"]
    for item, name in (
        (norm, "update_norm"),
        (window.panes.convergence.point_items["A"], "update_norm"),
        (change, "shape_change"),
    ):
        x, y = item.getData()
        recorded = {k: getattr(step, name) for k, step in enumerate(steps) if getattr(step, name) is not None}
        assert x.tolist() == list(recorded)
        assert np.allclose(10**y, list(recorded.values()), rtol=1e-12)


def test_overlays_switch_off_and_on(window: MainWindow) -> None:
    window.session.move_cursor(5)
    window.repaint_now()
    for key, item in (
        (Qt.Key.Key_G, window.image_views["A"].ghost_item),
        (Qt.Key.Key_S, window.image_views["A"].shift_item),
        (Qt.Key.Key_C, window.image_views["A"].contour_item),
    ):
        assert len(item.getData()[0])
        press(window, key)
        assert not len(item.getData()[0])
        press(window, key)
        assert len(item.getData()[0])


def test_a_failure_is_shown_beside_the_image_and_can_be_closed(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    with qtbot.waitSignal(window.session.failed, timeout=TIMEOUT_MS):
        window.session.open_image(tmp_path / "nothing.jpg")
    assert window.message_bar.isVisible()
    assert "nothing.jpg" in window.message_bar.text.text()
    qtbot.mouseClick(window.message_bar.copy_button, Qt.MouseButton.LeftButton)
    assert "nothing.jpg" in QApplication.clipboard().text()
    qtbot.mouseClick(window.message_bar.close_button, Qt.MouseButton.LeftButton)
    assert not window.message_bar.isVisible()
    press(window, Qt.Key.Key_Right)
    assert_painted(window)


def test_saving_the_trace(window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.npz"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.actions_by_id["save_trace"].trigger()
    assert first_divergence(Trace.load(path), window.session.trace()) is None
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "no" / "run.npz"), ""))
    window.actions_by_id["save_trace"].trigger()
    assert window.message_bar.isVisible()


def test_a_hidden_view_is_not_painted_until_it_is_seen_again(window: MainWindow) -> None:
    dock = next(
        d for d in window.findChildren(type(window.panes.atlas.parent().parent())) if d.windowTitle() == "Response maps"
    )
    dock.hide()
    painted = window.panes.atlas.image_item.image
    window.session.set_look(window.session.look)
    press(window, Qt.Key.Key_PageDown)
    assert window.panes.atlas.image_item.image is painted
    dock.show()
    window.repaint_now()
    assert_painted(window)


def test_closing_during_a_fit_ends_the_thread(window: MainWindow) -> None:
    set_option(window, "max_iterations", 900)
    window.close()


def test_the_command_table_is_sound(window: MainWindow) -> None:
    ids = [command.id for command in COMMANDS]
    keys = [command.shortcut for command in COMMANDS if command.shortcut]
    assert len(set(ids)) == len(ids)
    assert len(set(keys)) == len(keys)
    for command in COMMANDS:
        assert not command.shortcut or not QKeySequence(command.shortcut).isEmpty()
        assert not command.icon or not icon(command.icon).isNull()
        assert command.text[1:] == command.text[1:].replace(" Of ", " of ")


def test_the_screenshot_command_writes_a_picture(qapp: object, model_file: Path, photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "window.png"
    code = main([str(photo), "--model", str(model_file), "--screenshot", str(path), "--size", "1280x720"])
    assert code == 0
    picture = QImage(str(path))
    assert (picture.width(), picture.height()) == (1280, 720)


def test_a_screenshot_without_a_fit_is_an_error(
    qapp: object, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "window.png"
    (tmp_path / "no.jpg").write_bytes(b"no image")
    assert main([str(tmp_path / "no.jpg"), "--model", str(model_file), "--screenshot", str(path)]) == 1
    assert "no.jpg" in capsys.readouterr().err
    assert not path.exists()


# --- two lanes ------------------------------------------------------------------------------------


@pytest.fixture
def comparing(qtbot: QtBot, window: MainWindow) -> MainWindow:
    """The window comparing normalization none (A) against min-max (B)."""
    window.actions_by_id["compare"].trigger()
    wait_for_fit(qtbot, window.session)
    qtbot.mouseClick(window.options.lane_buttons["B"], Qt.MouseButton.LeftButton)
    window.repaint_now()
    set_option(window, "normalization", "minmax")
    wait_for_fit(qtbot, window.session)
    window.repaint_now()
    return window


def test_comparing_begins_with_none_against_peak(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_by_id["compare"].trigger()
    wait_for_fit(qtbot, window.session)
    window.repaint_now()
    lanes = window.session.lanes
    assert [lanes[name].options.normalization for name in "AB"] == [Normalization.NONE, Normalization.PEAK]
    assert window.image_views["B"].isVisible()
    assert np.allclose(lanes["A"].steps[-1].landmarks, lanes["B"].steps[-1].landmarks, atol=1e-9)


def test_both_lanes_are_painted_at_the_same_place(comparing: MainWindow) -> None:
    session = comparing.session
    for place in session.places():
        session.move_to(place)
        comparing.repaint_now()
        for name, view in comparing.image_views.items():
            lane = session.lanes[name]
            assert lane.step.place == place
            assert np.array_equal(np.stack(view.point_item.getData(), axis=1), lane.step.landmarks)


def test_the_cursor_is_linked_by_place_not_by_index(qtbot: QtBot, comparing: MainWindow) -> None:
    session = comparing.session
    set_option(comparing, "max_iterations", 3)
    wait_for_fit(qtbot, session)
    session.move_to((1, Phase.NONRIGID, 2))
    assert session.lanes["A"].step.place == session.lanes["B"].step.place == (1, Phase.NONRIGID, 2)
    assert session.lanes["A"].cursor != session.lanes["B"].cursor
    session.move_to((0, Phase.RIGID, 5))
    assert session.lanes["A"].step.place == (0, Phase.RIGID, 5)
    assert session.lanes["B"].step.place == (0, Phase.RIGID, 3)


def test_options_apply_to_the_active_lane_only(comparing: MainWindow) -> None:
    lanes = comparing.session.lanes
    assert lanes["A"].options.normalization is Normalization.NONE
    assert lanes["B"].options.normalization is Normalization.MINMAX
    assert shown_option(comparing, "normalization") == "minmax"
    comparing.actions_by_id["other_lane"].trigger()
    comparing.repaint_now()
    assert shown_option(comparing, "normalization") == "none"


@pytest.mark.parametrize(("key", "sign"), [(Qt.Key.Key_4, "A"), (Qt.Key.Key_5, "B"), (Qt.Key.Key_6, "A−B")])
def test_the_atlas_shows_either_lane_or_their_difference(comparing: MainWindow, key: Qt.Key, sign: str) -> None:
    choose(comparing.panes.map_choice.range, "step")
    press(comparing, key)
    a, b = (comparing.session.lanes[name].step.responses.final for name in "AB")
    expected = {"A": a, "B": b, "A−B": a - b}[sign]
    assert np.array_equal(painted_map(comparing, 20), expected[20].astype(np.float32))
    low, high = comparing.panes.atlas.image_item.levels
    if sign == "A−B":
        assert -low == high == np.abs(a - b).max()
    else:  # one range for both lanes
        assert (low, high) == (min(a.min(), b.min()), max(a.max(), b.max()))


def test_go_to_first_divergence_names_the_array(qtbot: QtBot, comparing: MainWindow) -> None:
    session = comparing.session
    session.move_to((None, Phase.END, None))
    press(comparing, Qt.Key.Key_D)
    assert session.step.place == (0, Phase.RESPONSES, None)
    assert "responses.final" in comparing.statusBar().currentMessage()
    session.set_options(session.lanes["A"].options)
    wait_for_fit(qtbot, session)
    press(comparing, Qt.Key.Key_D)
    assert "identical" in comparing.statusBar().currentMessage()


def test_zoom_and_crosshair_are_linked(comparing: MainWindow) -> None:
    a, b = (comparing.image_views[name] for name in "AB")
    a.box.setRange(xRange=(40, 80), yRange=(50, 90), padding=0)
    assert np.allclose(np.mean(a.box.viewRange(), axis=1), np.mean(b.box.viewRange(), axis=1), atol=0.5)
    b.box.setRange(xRange=(20, 60), yRange=(30, 70), padding=0)
    b.box.sigRangeChangedManually.emit((True, True))
    assert np.allclose(np.mean(a.box.viewRange(), axis=1), (40, 50), atol=0.5)
    a.hovered.emit((44.0, 51.0))
    assert [line.value() for line in b.crosshair] == [51.0, 44.0]
    assert all(line.isVisible() for line in b.crosshair)
    assert not any(line.isVisible() for line in a.crosshair)
    a.hovered.emit(None)
    assert not any(line.isVisible() for line in b.crosshair)


def test_lane_b_follows_the_start_of_a_until_it_has_its_own(qtbot: QtBot, comparing: MainWindow) -> None:
    session = comparing.session
    session.set_active("A")
    comparing.repaint_now()
    comparing.options.box[0].setValue(33.0)
    wait_for_fit(qtbot, session)
    first = [session.lanes[name].steps[0].params for name in "AB"]
    assert np.array_equal(*first)
    session.set_active("B")
    comparing.repaint_now()
    comparing.options.box[0].setValue(30.0)
    wait_for_fit(qtbot, session)
    assert session.lanes["A"].initial.box[0] == 33.0
    assert session.lanes["B"].initial.box[0] == 30.0
    comparing.repaint_now()
    qtbot.mouseClick(comparing.options.like_a, Qt.MouseButton.LeftButton)
    wait_for_fit(qtbot, session)
    assert np.array_equal(session.lanes["A"].steps[0].params, session.lanes["B"].steps[0].params)


def test_leaving_the_comparison_shows_a_alone(comparing: MainWindow) -> None:
    comparing.actions_by_id["compare"].trigger()
    comparing.repaint_now()
    assert not comparing.image_views["B"].isVisible()
    assert comparing.session.active == "A"
    assert_painted(comparing)


# --- stop conditions ------------------------------------------------------------------------------


def write_stops(qtbot: QtBot, window: MainWindow, text: str) -> StopDialog:
    window.actions_by_id["stops"].trigger()
    dialog = window.findChild(StopDialog)
    dialog.text.setPlainText(text)
    qtbot.mouseClick(dialog.buttons.button(QDialogButtonBox.StandardButton.Ok), Qt.MouseButton.LeftButton)
    return dialog


def test_run_stops_where_a_condition_fires_and_says_which(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    norms = {step.place: step.update_norm for step in session.lane.steps if step.update_norm is not None}
    limit = sorted(norms.values())[len(norms) // 2]
    expected = [place for place, norm in norms.items() if norm < limit]
    write_stops(qtbot, window, f"any empty\nupdate_norm < {limit!r}\n")
    window.actions_by_id["first"].trigger()
    visited = []
    while session.step.phase is not Phase.END:
        window.actions_by_id["run"].trigger()
        visited.append(session.step.place)
        if session.step.phase is not Phase.END:
            assert window.statusBar().currentMessage() == f"stopped: update_norm < {limit!r}"
    assert visited[:-1] == expected
    window.repaint_now()
    assert session.stop_places() == set(expected)


def test_playing_stops_too(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    write_stops(qtbot, window, "update_norm > 0")
    session.set_speed(1000.0)
    window.actions_by_id["first"].trigger()
    window.actions_by_id["play"].trigger()
    qtbot.waitUntil(lambda: not session.playing, timeout=TIMEOUT_MS)
    assert session.step.place == (0, Phase.RIGID, 1)


def test_a_condition_that_is_none_stays_in_the_dialog(qtbot: QtBot, window: MainWindow) -> None:
    dialog = write_stops(qtbot, window, "update_norm explodes")
    assert dialog.isVisible()
    assert "update_norm explodes" in dialog.problem.text()
    assert window.session.stops == ()
    dialog.reject()


def test_the_speed_of_playing_is_set_in_the_toolbar(qtbot: QtBot, window: MainWindow) -> None:
    window.menus.speed.setValue(100.0)
    assert window.session._play_timer.interval() == 10


def test_the_window_follows_a_change_from_light_to_dark(window: MainWindow) -> None:
    before = window.panes.convergence.backgroundBrush().color()
    dark = QPalette(QColor("#202020"))
    window.setPalette(dark)
    QApplication.processEvents()
    after = window.panes.convergence.backgroundBrush().color()
    assert after.lightness() < 100 < before.lightness()
    axis = window.panes.convergence.plotItem.getAxis("left")
    assert axis.textPen().color().lightness() > 150


def test_the_cell_under_the_mouse_is_read_out_in_both_lanes(comparing: MainWindow) -> None:
    a, b = (comparing.session.lanes[name].step.responses for name in "AB")
    comparing.panes.atlas.hovered.emit((20, 3, 4))
    text = comparing.hover_label.text()
    assert "landmark 20" in text
    final_a, final_b = a.final[20, 3, 4], b.final[20, 3, 4]
    assert f"final: A {final_a:.5g}, B {final_b:.5g}, A−B {final_a - final_b:.3g}" in text
    comparing.panes.atlas.hovered.emit(None)
    assert comparing.hover_label.text() == ""
