"""A closed window is freed, whatever was done in it."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine.detector_tools import FIND_FACES, finds
from engine.tiny_model import start
from engine.video_tools import as_rgb, face_pictures, write_clip
from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QDockWidget, QMenu, QMessageBox
from pytestqt.qtbot import QtBot

from clnf_gui.__main__ import main
from clnf_gui.session import Session
from clnf_gui.views.finding_plot import FindingPlot
from clnf_gui.views.strip_view import StripView
from clnf_gui.window import MainWindow
from clnf_gui.worker import Worker

from .closing import Traces, bury, close, survivors, traces_of
from .conftest import TIMEOUT_MS, set_option, wait_for_fit

Files = dict[str, Path]
Use = Callable[[QtBot, MainWindow, Files], None]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, model_file: Path, photo: Path) -> Files:
    frames = [as_rgb(picture) for picture in face_pictures(6)]
    clip = write_clip(tmp_path_factory.mktemp("clip") / "face.mp4", frames, crf="12")
    return {"model": model_file, "photo": photo, "clip": clip}


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FIND_FACES, finds(lambda _: [start().box]))


def nothing(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    """As it was opened."""


def an_image(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    session = window.session
    session.open_model(files["model"])
    session.open_image(files["photo"])
    wait_for_fit(qtbot, session)
    window.repaint_now()


def two_lanes(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    an_image(qtbot, window, files)
    window.actions_by_id["compare"].trigger()
    window.session.set_active("B")
    window.repaint_now()
    set_option(window, "sigma", 2.0)
    wait_for_fit(qtbot, window.session)
    window.session.swap_lanes()
    window.repaint_now()


def a_tracked_video(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    session = window.session
    session.open_model(files["model"])
    session.open_video(files["clip"])
    qtbot.waitUntil(lambda: session.video is not None and not session.busy, timeout=TIMEOUT_MS)
    window.actions_by_id["track"].trigger()
    qtbot.waitUntil(lambda: not session.tracker.tracking and not session.busy, timeout=TIMEOUT_MS)
    assert not session.tracker.can_track
    window.actions_by_id["play_video"].trigger()
    qtbot.waitUntil(lambda: not session.frames.playback.on and not session.busy, timeout=TIMEOUT_MS)
    window.repaint_now()


def a_lab_that_ran(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    an_image(qtbot, window, files)
    session = window.session
    window.dialogs.raise_lab()
    for tool, painted in (("magnitudes", FindingPlot), ("conformance", StripView)):
        session.lab.choose(tool)
        window.actions_by_id["run_tool"].trigger()
        qtbot.waitUntil(lambda: not session.lab.busy, timeout=TIMEOUT_MS)
        QApplication.processEvents()
        window.repaint_now()
        assert window.findChildren(painted)
    session.look_at("raw", session.cursor.place)
    window.repaint_now()
    qtbot.waitUntil(lambda: session.evaluations.found is not None, timeout=TIMEOUT_MS)
    window.repaint_now()


def a_lab_that_is_busy(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    an_image(qtbot, window, files)
    window.actions_by_id["run_all_tools"].trigger()
    assert window.session.lab.busy


def pins_and_torn_off_docks(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    an_image(qtbot, window, files)
    for landmark in (30, 36, 30, 48):  # the second time, it is taken away
        window.session.select(landmark)
        window.actions_by_id["pin"].trigger()
        window.repaint_now()
    docks = {dock.windowTitle(): dock for dock in window.findChildren(QDockWidget)}
    for title in ("Convergence", "Landmark"):
        docks[title].setFloating(True)
        docks[title].show()
    QApplication.processEvents()
    window.repaint_now()


def dialogs_and_menus(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    an_image(qtbot, window, files)
    for name in ("stops", "palette", "help", "about"):
        window.actions_by_id[name].trigger()
    assert len(window.findChildren(QDialog)) == 4
    for box in window.findChildren(QMessageBox):
        QTest.keyClick(box, Qt.Key.Key_Escape)
    for menu in window.findChildren(QMenu):
        menu.aboutToShow.emit()


def a_failure_and_another_theme(qtbot: QtBot, window: MainWindow, files: Files) -> None:
    an_image(qtbot, window, files)
    window.session.open_image(files["photo"].parent)
    qtbot.waitUntil(lambda: not window.session.busy, timeout=TIMEOUT_MS)
    assert window.message_bar.isVisible()
    assert window.panes.log.toPlainText()
    window.setPalette(QPalette(Qt.GlobalColor.darkGray))
    window.session.undo()
    window.session.set_look(replace(window.session.look, show_box=True))
    window.repaint_now()


def closed_after(qtbot: QtBot, use: Use, files: Files) -> Traces:
    """What is known of a window that was used and closed; nothing here keeps it."""
    window = MainWindow(Session())
    window.resize(1280, 720)
    window.show()
    qtbot.waitExposed(window)
    use(qtbot, window, files)
    traces = traces_of(window)
    close(window)
    return traces


@pytest.mark.parametrize(
    "use",
    [
        nothing,
        an_image,
        two_lanes,
        a_tracked_video,
        a_lab_that_ran,
        a_lab_that_is_busy,
        pins_and_torn_off_docks,
        dialogs_and_menus,
        a_failure_and_another_theme,
    ],
)
def test_a_closed_window_is_freed(qtbot: QtBot, files: Files, use: Use) -> None:
    traces = closed_after(qtbot, use, files)
    assert len(traces) > 500
    bury()
    assert sorted(survivors(traces)) == []


class Owner:
    """Has a job done that knows it, as the Lab does."""

    def __init__(self) -> None:
        self.worker = Worker("test")

    def job(self) -> Iterator[int]:
        yield 1


def test_a_job_that_was_never_begun_is_freed_with_its_owner(qapp: object) -> None:
    gone = []
    for _ in range(20):  # now and then a thread begins a job before it ends
        owner = Owner()
        owner.worker.submit("test", owner.job)
        owner.worker.shut_down()
        gone.append(weakref.ref(owner))
    del owner
    bury()
    assert [trace() for trace in gone if trace() is not None] == []


def test_a_screenshot_leaves_no_window_and_no_session(
    qapp: object, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "excepthook", sys.excepthook)  # a window is told what nobody caught
        assert main([str(files["photo"]), "--model", str(files["model"]), "--screenshot", str(tmp_path / "a.png")]) == 0
    bury()
    assert [type(thing).__name__ for thing in gc.get_objects() if type(thing) in (MainWindow, Session)] == []
