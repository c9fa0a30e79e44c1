"""The window through clicks and keys: what is painted is what the Steps hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import Normalization, Phase, Trace, first_divergence
from clnf_gui.__main__ import main
from clnf_gui.commands import COMMANDS
from clnf_gui.icons import icon
from clnf_gui.look import MapKind
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit


def press(window: MainWindow, key: Qt.Key) -> None:
    QTest.keyClick(window, key)
    window.repaint_now()


def click(widget: object, position: QPoint) -> None:
    """A click on a pyqtgraph view; Qt wants to see the mouse arrive first."""
    viewport = widget.viewport()
    QTest.mouseMove(viewport, position)
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, position)
    QApplication.processEvents()


def in_view(view: object, x: float, y: float) -> QPoint:
    """Widget position of a place in a view's data coordinates."""
    return view.mapFromScene(view.box.mapViewToScene(QPointF(x, y)))


def painted_points(window: MainWindow) -> np.ndarray:
    return np.stack(window.image_view.point_item.getData(), axis=1)


def painted_map(window: MainWindow, landmark: int) -> np.ndarray:
    """The cells of one landmark's map as they stand in the atlas image."""
    atlas = window.atlas
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
    assert window.convergence.cursor.value() == session.cursor
    assert window.header.text().startswith(f"{session.cursor + 1} / {len(session.lane.steps)}")
    if step.responses is None:
        assert window.atlas.image_item.image is None
        return
    maps = getattr(step.responses, session.look.map_kind)
    for landmark in (0, 30, 67):
        peak = maps[landmark].max()
        expected = (maps[landmark] / peak if peak > 0 else maps[landmark]).astype(np.float32)
        assert np.allclose(painted_map(window, landmark), expected, rtol=1e-6)
    ends = np.stack(window.image_view.shift_item.getData(), axis=1).reshape(-1, 2, 2)
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
    choose(window.options.normalization, "minmax")
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
    assert window.options.normalization.currentData() == "none"


def test_the_map_buttons_choose_the_maps(qtbot: QtBot, window: MainWindow) -> None:
    for kind in MapKind:
        qtbot.mouseClick(window.map_choice.buttons[kind], Qt.MouseButton.LeftButton)
        window.repaint_now()
        assert window.session.look.map_kind is kind
        assert_painted(window)
    press(window, Qt.Key.Key_1)
    assert window.map_choice.buttons[MapKind.RAW].isChecked()
    assert_painted(window)


def test_a_common_colour_range_paints_the_values_themselves(window: MainWindow) -> None:
    choose(window.map_choice.range, "step")
    window.repaint_now()
    final = window.session.step.responses.final
    assert np.array_equal(painted_map(window, 12), final[12].astype(np.float32))
    assert window.atlas.image_item.levels[1] == final.max()
    assert window.atlas.colour_bar.levels()[1] == final.max()


def test_a_box_typed_in_starts_the_fit_there(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    spin = window.options.box[0]
    spin.setFocus()
    spin.selectAll()
    QTest.keyClicks(spin, "31.5")
    QTest.keyClick(spin, Qt.Key.Key_Return)
    wait_for_fit(qtbot, session)
    assert session.initial.box[0] == 31.5
    window.repaint_now()
    assert_painted(window)


def test_perturbing_and_taking_it_back(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    before = session.initial
    window.options.amount.setValue(4.0)
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert session.initial.seed == 0
    assert "seed 0" in window.options.source.text()
    window.options.amount.setValue(0.0)
    wait_for_fit(qtbot, session)
    assert session.initial is before


def test_clicking_and_dragging_the_timeline_scrubs(window: MainWindow) -> None:
    timeline = window.timeline
    QTest.mousePress(timeline, Qt.MouseButton.LeftButton, pos=timeline.cell(4).center().toPoint())
    assert window.session.cursor == 4
    QTest.mouseMove(timeline, timeline.cell(11).center().toPoint())
    QTest.mouseRelease(timeline, Qt.MouseButton.LeftButton, pos=timeline.cell(11).center().toPoint())
    timeline.scrubbed.emit(11)
    window.repaint_now()
    assert window.session.cursor == 11
    assert_painted(window)


def test_selecting_a_landmark_anywhere_selects_it_everywhere(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    click(window.image_view, in_view(window.image_view, *session.step.landmarks[30]))
    window.repaint_now()
    assert session.selection == 30
    assert np.array_equal(np.stack(window.image_view.selected_item.getData(), axis=1), session.step.landmarks[[30]])
    assert "landmark 30" in window.hover_label.text()
    x, y = window.atlas._corner(48)
    click(window.atlas, in_view(window.atlas, x + 2.5, y + 2.5))
    window.repaint_now()
    assert session.selection == 48
    assert window.image_view.label.toPlainText() == "48"
    corner = (window.atlas.frame.xData.min() + 0.5, window.atlas.frame.yData.min() + 0.5)
    assert corner == window.atlas._corner(48)
    press(window, Qt.Key.Key_Escape)
    assert session.selection is None
    assert len(window.image_view.selected_item.getData()[0]) == 0


def test_clicking_the_convergence_plot_goes_there(window: MainWindow) -> None:
    plot = window.convergence
    scene = plot.plotItem.vb.mapViewToScene(QPointF(8.2, 0.0))
    click(plot, plot.mapFromScene(scene))
    assert window.session.cursor == 8


def test_the_norms_painted_are_the_recorded_ones(window: MainWindow) -> None:
    steps = window.session.lane.steps
    for item, name in (
        (window.convergence.norm_item, "update_norm"),
        (window.convergence.point_item, "update_norm"),
        (window.convergence.change_item, "shape_change"),
    ):
        x, y = item.getData()
        recorded = {k: getattr(step, name) for k, step in enumerate(steps) if getattr(step, name) is not None}
        assert x.tolist() == list(recorded)
        assert np.allclose(10**y, list(recorded.values()), rtol=1e-12)


def test_overlays_switch_off_and_on(window: MainWindow) -> None:
    window.session.move_cursor(5)
    window.repaint_now()
    for key, item in (
        (Qt.Key.Key_G, window.image_view.ghost_item),
        (Qt.Key.Key_S, window.image_view.shift_item),
        (Qt.Key.Key_C, window.image_view.contour_item),
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
        d for d in window.findChildren(type(window.atlas.parent().parent())) if d.windowTitle() == "Response maps"
    )
    dock.hide()
    painted = window.atlas.image_item.image
    window.session.set_look(window.session.look)
    press(window, Qt.Key.Key_PageDown)
    assert window.atlas.image_item.image is painted
    dock.show()
    window.repaint_now()
    assert_painted(window)


def test_closing_during_a_fit_ends_the_thread(window: MainWindow) -> None:
    window.options.iterations.setValue(900)
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
    assert main([str(tmp_path / "no.jpg"), "--model", str(model_file), "--screenshot", str(path)]) == 1
    assert "no.jpg" in capsys.readouterr().err
    assert not path.exists()
