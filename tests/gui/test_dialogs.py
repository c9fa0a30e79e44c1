"""Dialogs that are cancelled, that have nothing to save, and the way to the next photo."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog
from pytestqt.qtbot import QtBot

from clnf_gui import settings
from clnf_gui.dialogs import WindowDialogs
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS

OPENING = ("image", "frames_folder", "model", "landmarks", "truth", "session", "trace", "functions")
SAVING = ("session_path", "trace_path", "steps_path", "track_path", "picture_path", "report_path", "lab_report_path")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the dialogs that opened; every one is cancelled."""
    titles: list[str] = []

    def cancelled(answer: object) -> object:
        return staticmethod(lambda _, title, *__: titles.append(title) or answer)

    for name in ("getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(QFileDialog, name, cancelled(("", "")))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", cancelled(""))
    monkeypatch.setattr(QInputDialog, "getItem", cancelled(("", False)))
    return titles


@pytest.fixture
def said(window: MainWindow) -> list[str]:
    words: list[str] = []
    window.session.told.connect(words.append)
    window.session.failed.connect(lambda sentence, _: words.append(sentence))
    return words


def test_every_dialog_can_be_cancelled(window: MainWindow, asked: list[str], said: list[str]) -> None:
    session = window.session
    choices, steps, folder = session.choices, session.lane.steps, settings.folder()
    for name in (*OPENING, *SAVING):
        getattr(window.dialogs, f"ask_{name}")()
    assert len(asked) == len(OPENING) + len(SAVING) - 1, "there is no tracking to save"
    assert (session.choices, settings.folder(), said) == (choices, folder, [])
    assert session.lane.steps is steps and not session.busy


def test_without_a_run_there_is_nothing_to_save(
    qtbot: QtBot, session: Session, asked: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    empty, failed = MainWindow(session), []
    session.failed.connect(lambda sentence, _: failed.append(sentence))
    QGuiApplication.clipboard().setText("kept")
    for name in ("session_path", "trace_path", "steps_path", "track_path", "lab_report_path"):
        getattr(empty.dialogs, f"ask_{name}")()
    empty.dialogs.copy_python()
    empty.dialogs.open_neighbour(1)
    assert asked == [] and QGuiApplication.clipboard().text() == "kept"
    monkeypatch.setattr(WindowDialogs, "_ask_path", lambda *_: tmp_path / "why.html")
    empty.dialogs.ask_report_path()
    assert failed == ["there is no step to report on any more: another file has been opened"]
    assert list(tmp_path.glob("*.html")) == []
    empty.close()
    empty.deleteLater()


def test_the_next_photo_of_a_folder(qtbot: QtBot, window: MainWindow, said: list[str], tmp_path: Path) -> None:
    session, folder = window.session, tmp_path / "photos"
    folder.mkdir()
    for name in ("face 2.png", "face 10.png"):
        shutil.copy(session.image.path, folder / name)
    window.dialogs.open_file(str(folder / "face 2.png"))
    qtbot.waitUntil(lambda: session.image.path.name == "face 2.png" and not session.busy, timeout=TIMEOUT_MS)
    window.dialogs.open_neighbour(1)
    qtbot.waitUntil(lambda: session.image.path.name == "face 10.png" and not session.busy, timeout=TIMEOUT_MS)
    (folder / "face 2.png").unlink()
    window.dialogs.open_neighbour(-1)
    assert said[-1] == f"{folder}: holds no other image or video"
    shutil.rmtree(folder)
    window.dialogs.open_neighbour(1)
    assert said[-1].startswith(f"{folder}: cannot be listed (")
