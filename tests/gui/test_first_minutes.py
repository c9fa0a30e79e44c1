"""What a person meets in the first minutes: words that end, room for the photo, the next file, a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine.tiny_model import tiny_image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions
from clnf_engine.calibration import Verdict
from clnf_gui import settings
from clnf_gui import window as window_module
from clnf_gui.pane import in_sight
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit


def photos(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        cv2.imwrite(str(path), tiny_image())
    return paths


def open_photo(qtbot: QtBot, window: MainWindow, path: Path) -> None:
    window.dialogs.open_file(str(path))
    qtbot.waitUntil(lambda: window.session.image.path.resolve() == path.resolve(), timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, window.session)
    window.repaint_now()


# --- words ----------------------------------------------------------------------------------------


def test_a_sentence_in_the_status_bar_ends(qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "_TOLD_MS", 50)
    window.session.told.emit("a sentence")
    assert window.statusBar().currentMessage() == "a sentence"
    assert window.run_label.isHidden(), "the sentence has the whole width"
    qtbot.waitUntil(lambda: window.statusBar().currentMessage() == "", timeout=TIMEOUT_MS)
    assert window.run_label.isVisible()


def test_what_is_pointed_at_comes_before_what_was_told(window: MainWindow) -> None:
    window.session.told.emit("a sentence")
    window.image_views["A"].hovered.emit((5.0, 6.0))
    assert window.statusBar().currentMessage() == ""
    assert window.hover_label.text().startswith("pixel (5, 6)")


def test_messages_go_with_their_photo(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    window.session.failed.emit("a fault", "its details")
    window.session.told.emit("a sentence")
    assert window.message_bar.isVisible()
    (path,) = photos(tmp_path, "next.png")
    open_photo(qtbot, window, path)
    assert "a fault" not in window.message_bar.text.text()
    assert window.statusBar().currentMessage() != "a sentence"


def test_a_photo_without_a_face_offers_help_and_is_no_alarm(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    (path,) = photos(tmp_path, "nobody.png")
    open_photo(qtbot, window, path)
    bar = window.message_bar
    assert bar.isVisible()
    assert bar.text.text().startswith("nobody.png: no face found")
    assert bar.help_button.isVisible() and not bar.copy_button.isVisible()
    assert window.image_views["A"].roi.isVisible(), "the box it speaks of is there"
    qtbot.mouseClick(bar.help_button, Qt.MouseButton.LeftButton)
    assert window.session.lab.chosen == "starts"
    qtbot.waitUntil(lambda: not window.session.lab.busy, timeout=TIMEOUT_MS)
    assert window.session.lab.records["starts"].result is not None


@pytest.mark.parametrize(
    ("verdict", "words", "bold"),
    [
        (
            Verdict(True, "probably failed: log-likelihood −1.40", "70 faces"),
            "probably failed: log-likelihood −1.40",
            True,
        ),
        (Verdict(False, "probably worked: log-likelihood 0.54", "70 faces"), "probably worked", False),
        (Verdict(None, "cannot be told: this model has no calibration", "how"), "fitted", False),
    ],
)
def test_the_verdict_on_a_fit_is_in_the_status_bar(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, words: str, bold: bool
) -> None:
    monkeypatch.setattr(Session, "verdict", lambda *_: verdict)
    window.session.changed.emit(window_module.ALL_ASPECTS & ~window_module.Aspect.SOURCE)
    window.repaint_now()
    assert words in window.run_label.text()
    assert ("bold" in window.run_label.styleSheet()) is bold
    assert verdict.sentence in window.run_label.toolTip() and verdict.basis in window.run_label.toolTip()


def test_a_run_beyond_its_budget_says_so(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    session.fits.budget = 200_000
    session.set_options(replace(FitOptions(), responses_every_iteration=True))
    wait_for_fit(qtbot, session)
    window.repaint_now()
    steps = session.lane.steps
    assert steps.n_dropped > 0
    assert f"maps of {steps.n_dropped} of {len(steps)} steps are computed when looked at" in window.run_label.text()
    for index in (3, len(steps) - 2, 5):
        session.cursor.move_cursor(index)
        window.repaint_now()
        assert np.array_equal(window.panes.atlas._maps, session.step.responses.final)


# --- files ----------------------------------------------------------------------------------------


def test_the_next_and_the_previous_photo_of_the_folder(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    first, second, third = photos(tmp_path, "face 2.png", "face 10.png", "face 11.png")
    (tmp_path / "notes.txt").write_text("no photo")
    open_photo(qtbot, window, first)
    for name, expected in (("next_file", second), ("next_file", third), ("next_file", first), ("previous_file", third)):
        window.actions_by_id[name].trigger()
        qtbot.waitUntil(lambda path=expected: window.session.image.path == path, timeout=TIMEOUT_MS)
        wait_for_fit(qtbot, window.session)
        window.repaint_now()


def test_dialogs_begin_where_the_last_file_was(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = photos(tmp_path, "face.png")
    open_photo(qtbot, window, path)
    asked = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *rest: asked.append(rest[2]) or ("", ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *rest: asked.append(rest[2]) or ("", ""))
    window.actions_by_id["open_image"].trigger()
    window.actions_by_id["save_trace"].trigger()
    assert asked == [str(tmp_path), str(tmp_path / "face.npz")]
    assert settings.recent_folders()[0] == str(tmp_path)
    menu = window.menus.folder_menu
    menu.aboutToShow.emit()
    assert next(action.text() for action in menu.actions()) == str(tmp_path)


def test_menus_are_in_groups(window: MainWindow) -> None:
    file_menu = next(menu for menu in window.menuBar().findChildren(QMenu) if menu.title().strip("&") == "File")
    texts = ["—" if action.isSeparator() else action.text() for action in file_menu.actions()]
    groups = " ".join(texts).split("—")
    assert len(groups) >= 5
    assert not any("Open session" in group and "Save session" in group for group in groups)


# --- layout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(1272, 760), (1912, 1040)])
def test_the_photo_has_the_most_of_the_window(window: MainWindow, width: int, height: int) -> None:
    window.resize(width, height)
    window.docks.reset()
    QApplication.processEvents()
    assert window.image_views["A"].width() >= 0.45 * window.width()
    roomy = width > 1600
    assert (not window.panes.inspector.visibleRegion().isEmpty()) is roomy, "what a large window has room for is there"


def test_the_layout_follows_the_size_until_a_person_has_moved_docks(window: MainWindow) -> None:
    def beside(width: int, name: str) -> bool:
        window.resize(width, 900)
        for _ in range(2):  # the layout follows when Qt is through with its own
            QApplication.processEvents()
        return not window.tabifiedDockWidgets(window.docks[name])

    window.docks.raise_("Lab")
    assert [beside(width, "Lab") for width in (1280, 1920, 1280)] == [False, True, False]
    assert in_sight(window.panes.convergence), "it was in front, and the Lab is behind it again"
    window.docks["Magnitudes"].setFloating(True)
    assert not beside(1920, "Lab")
    window.docks.reset()
    assert [beside(width, "Lab") for width in (1920, 1280)] == [True, False]


def test_a_key_after_enter_in_an_option_steps(qtbot: QtBot, window: MainWindow) -> None:
    session, field = window.session, window.options.box[0]
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "31.5")
    QTest.keyClick(field, Qt.Key.Key_Return)
    wait_for_fit(qtbot, session)
    assert session.lane.initial.box[0] == 31.5
    assert not field.hasFocus()
    before = session.lane.cursor
    QTest.keyClick(window, Qt.Key.Key_Right)
    assert session.lane.cursor == before + 1
