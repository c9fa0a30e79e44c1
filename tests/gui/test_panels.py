"""Dialogs and editors: shortcuts, the palette, stop conditions, and where the keys go after a value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QDialogButtonBox, QDoubleSpinBox, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from clnf_engine.stops import EXAMPLES, parse_stop
from clnf_gui.commands import COMMANDS, command
from clnf_gui.panels.editor_keys import EditorKeys
from clnf_gui.panels.palette import Palette, rank
from clnf_gui.panels.shortcuts import ShortcutsDialog
from clnf_gui.panels.stop_dialog import StopDialog
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, option_widget, wait_for_fit

# --- shortcuts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height", "columns"), [(640, 480, 1), (1280, 800, 2), (3840, 2160, 2)])
def test_the_shortcuts_fit_any_screen(qtbot: QtBot, width: int, height: int, columns: int) -> None:
    dialog = ShortcutsDialog(COMMANDS, None, QRect(0, 0, width, height))
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.height() <= 0.8 * height
    assert dialog.width() <= 0.8 * width
    close = dialog.buttons.button(QDialogButtonBox.StandardButton.Close)
    assert dialog.rect().contains(QRect(close.mapTo(dialog, close.rect().topLeft()), close.size()))
    assert len({group.x() for group in dialog.groups}) == columns
    assert dialog.area.verticalScrollBar().maximum() == 0 or dialog.height() > 0.75 * height
    assert dialog.area.horizontalScrollBar().maximum() == 0


def test_every_shortcut_is_listed_under_its_menu(qtbot: QtBot) -> None:
    dialog = ShortcutsDialog(COMMANDS)
    qtbot.addWidget(dialog)
    listed = {(group.title(), label.text()) for group in dialog.groups for label in group.findChildren(QLabel)}
    for entry in COMMANDS:
        if entry.shortcut:
            assert {(entry.menu, entry.keys), (entry.menu, entry.text.rstrip("…"))} <= listed


def test_f1_opens_them_and_esc_closes(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_by_id["help"].trigger()
    dialog = window.findChild(ShortcutsDialog)
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow, timeout=TIMEOUT_MS)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


# --- the palette ----------------------------------------------------------------------------------


def test_words_are_found_in_any_order_and_letters_scattered() -> None:
    text = "Video Track, or stop tracking"
    assert rank("", text) == rank("track", text) == rank("track video", text) == rank("stop track", text) == 0
    assert rank("rack", text) == 1
    assert rank("trkg", text) == 5
    assert rank("track x", text) is None
    assert rank("tg", text) is None


@pytest.fixture
def palette(window: MainWindow) -> Palette:
    window.actions_by_id["palette"].trigger()
    return window.findChild(Palette)


def listed(palette: Palette) -> list[str]:
    return [palette.list.item(k).text() for k in range(palette.list.count())]


def test_what_cannot_be_run_is_listed_in_grey_with_the_reason(palette: Palette, window: MainWindow) -> None:
    QTest.keyClicks(palette.text, "track")
    texts = listed(palette)
    assert command("track").text in texts
    item = palette.list.item(texts.index(command("track").text))
    assert not item.flags() & Qt.ItemFlag.ItemIsEnabled
    assert "video" in item.toolTip()
    QTest.keyClick(palette.text, Qt.Key.Key_Return)
    assert palette.isVisible()
    assert not window.session.tracker.tracking


def test_the_best_answer_comes_first(palette: Palette) -> None:
    QTest.keyClicks(palette.text, "forward phase")
    assert listed(palette)[0] == "Phase forward"


def test_the_palettes_arrows_leave_out_what_cannot_be_run(palette: Palette, window: MainWindow) -> None:
    assert len(listed(palette)) == len(COMMANDS)
    for _ in COMMANDS:
        item = palette.list.currentItem()
        assert item.flags() & Qt.ItemFlag.ItemIsEnabled
        QTest.keyClick(palette.text, Qt.Key.Key_Down)
    enabled = [row.text for row in COMMANDS if window.actions_by_id[row.id].isEnabled()]
    assert palette.list.currentItem().text() == enabled[-1]


def test_play_and_run_are_explained(window: MainWindow) -> None:
    assert "step by step" in window.actions_by_id["play"].toolTip()
    assert "at once" in window.actions_by_id["run"].toolTip()


# --- stop conditions ------------------------------------------------------------------------------


@pytest.fixture
def stops(qtbot: QtBot) -> StopDialog:
    dialog = StopDialog((parse_stop("any clamp"),))
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    return dialog


def test_every_example_can_be_clicked(stops: StopDialog) -> None:
    for k in range(len(EXAMPLES)):
        stops.examples.linkActivated.emit(str(k))
    assert stops.text.toPlainText().splitlines() == ["any clamp", *EXAMPLES]
    assert all(f'href="{k}"' in stops.examples.text() for k in range(len(EXAMPLES)))
    chosen = []
    stops.stops_chosen.connect(chosen.append)
    stops.accept()
    assert [stop.text for stop in chosen[0]] == ["any clamp", *EXAMPLES]


def test_wrong_lines_are_marked_and_named(stops: StopDialog) -> None:
    stops.text.setPlainText("any clamp\nnonsense\n\nany empty\nmore nonsense")
    stops.accept()
    assert stops.isVisible()
    marked = [selection.cursor.selectedText() for selection in stops.text.extraSelections()]
    assert marked == ["nonsense", "more nonsense"]
    assert "Line 2: “nonsense”" in stops.problem.text()
    assert "Line 5: “more nonsense”" in stops.problem.text()


def test_the_line_that_is_being_written_is_not_yet_wrong(stops: StopDialog) -> None:
    stops.text.clear()
    QTest.keyClicks(stops.text, "any cla")
    assert stops.text.extraSelections() == []
    QTest.keyClick(stops.text, Qt.Key.Key_Return)
    assert [selection.cursor.selectedText() for selection in stops.text.extraSelections()] == ["any cla"]


# --- Enter and Esc --------------------------------------------------------------------------------


def type_into(editor: QWidget, text: str, end: Qt.Key) -> None:
    editor.setFocus()
    line = editor if isinstance(editor, QLineEdit) else editor.findChild(QLineEdit)
    line.selectAll()
    QTest.keyClicks(editor, text)
    QTest.keyClick(editor, end)


_EDITORS: dict[str, tuple[Callable[[MainWindow], QWidget], str]] = {
    "box": (lambda window: window.options.box[0], "33.5"),
    "amount": (lambda window: window.options.amount, "2.5"),
    "windows": (lambda window: option_widget(window, "windows"), "9, 7"),
    "sigma": (lambda window: option_widget(window, "sigma"), "2.25"),
    "iterations": (lambda window: option_widget(window, "max_iterations"), "4"),
}


@pytest.mark.parametrize("name", list(_EDITORS))
def test_enter_applies_a_value_once_and_gives_the_keys_back(qtbot: QtBot, window: MainWindow, name: str) -> None:
    session, applied = window.session, []
    for signal in (window.options.options_chosen, window.options.box_chosen, window.options.perturbation_chosen):
        signal.connect(lambda *values: applied.append(values))
    find, text = _EDITORS[name]
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=TIMEOUT_MS)
    type_into(find(window), text, Qt.Key.Key_Return)
    assert len(applied) == 1
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert window.image_views["A"].hasFocus()
    assert len(applied) == 1
    session.cursor.move_cursor(3)
    QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Right)
    assert session.lane.cursor == 4


@pytest.mark.parametrize("name", list(_EDITORS))
def test_esc_puts_the_value_back_and_gives_the_keys_back(qtbot: QtBot, window: MainWindow, name: str) -> None:
    session, applied = window.session, []
    for signal in (window.options.options_chosen, window.options.box_chosen, window.options.perturbation_chosen):
        signal.connect(lambda *values: applied.append(values))
    session.select(4)
    find, text = _EDITORS[name]
    editor = find(window)
    line = editor if isinstance(editor, QLineEdit) else editor.findChild(QLineEdit)
    before = line.text()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=TIMEOUT_MS)
    type_into(editor, text, Qt.Key.Key_Escape)
    assert window.image_views["A"].hasFocus()
    assert line.text() == before
    assert applied == []
    assert session.selection == 4


def test_the_speed_of_playing_lets_the_keys_go_too(qtbot: QtBot, window: MainWindow) -> None:
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=TIMEOUT_MS)
    type_into(window.menus.speed, "20", Qt.Key.Key_Return)
    assert window.menus.speed.value() == 20.0
    assert window.image_views["A"].hasFocus()


def test_tab_walks_through_the_fields(qtbot: QtBot, window: MainWindow) -> None:
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=TIMEOUT_MS)
    window.options.box[0].setFocus()
    QTest.keyClick(window.options.box[0], Qt.Key.Key_Tab)
    assert window.options.box[1].hasFocus()


def test_a_choice_from_a_list_gives_the_keys_back(qtbot: QtBot) -> None:
    panel = QWidget()
    qtbot.addWidget(panel)
    combo, other = QComboBox(panel), QDoubleSpinBox(panel)
    combo.addItems(["one", "two"])
    other.move(0, 40)
    keys = EditorKeys(panel)
    panel.show()
    panel.activateWindow()
    qtbot.waitUntil(panel.isActiveWindow, timeout=TIMEOUT_MS)
    combo.setFocus()
    QTest.keyClick(combo, Qt.Key.Key_Down)
    assert combo.currentText() == "two"
    combo.showPopup()
    with qtbot.waitSignal(keys.done, timeout=TIMEOUT_MS):
        QTest.keyClick(combo.view(), Qt.Key.Key_Return)
