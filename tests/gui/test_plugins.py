"""B: with functions of my own: run beside lane A in a process of its own, anew when saved, never without consent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from engine.plugins.files import damped
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, fit
from clnf_gui.export import python_source
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, set_option, wait_for_fit


def choose(window: MainWindow, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose a file in the dialog of the command, as a person does."""
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(file), ""))
    window.actions_by_id["functions"].trigger()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return damped(tmp_path / "mine.py")


@pytest.fixture
def running(qtbot: QtBot, window: MainWindow, file: Path, monkeypatch: pytest.MonkeyPatch) -> MainWindow:
    """A window whose lane B has run the functions of a file."""
    choose(window, file, monkeypatch)
    wait_for_fit(qtbot, window.session)
    window.repaint_now()
    return window


def b_ends_like(session: Session, **options: object) -> bool:
    """Whether lane B ended where the engine's fit with these options does."""
    b = session.lanes["B"]
    if not b.complete or session.busy:
        return False
    expected = fit(session.image.gray, session.model, b.initial, FitOptions(**options))
    return np.array_equal(b.steps[-1].landmarks, expected.landmarks)


def test_lane_b_runs_them_and_the_cursor_goes_to_where_the_lanes_part(
    qtbot: QtBot, window: MainWindow, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, told = window.session, []
    session.told.connect(told.append)
    before = session.lanes["A"].run
    choose(window, file, monkeypatch)
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert session.lanes["A"].run == before
    assert session.lanes["B"].options == FitOptions()
    assert b_ends_like(session, step_damping=0.75)
    assert session.cursor.place == (0, "rigid", 1)
    assert any(line.startswith("Do A and B part? Yes: the landmarks part") for line in told)
    titles = {name: view.title.text() for name, view in window.image_views.items()}
    assert titles == {"A": "A · openface", "B": "B · openface, functions of mine.py"}
    assert "cannot be told: the fit has functions of mine.py" in session.verdict("B").text
    source = python_source(
        session.trace("B"), "B", session.image.path, session.model.path, session.step.place, None, {}
    )
    space: dict[str, object] = {}
    exec(source, space)
    assert np.array_equal(space["trace"].landmarks, session.lanes["B"].steps[-1].landmarks)
    window.actions_by_id["undo"].trigger()
    assert not session.comparing and session.choices.b.functions is None
    window.actions_by_id["redo"].trigger()
    wait_for_fit(qtbot, session)
    assert b_ends_like(session, step_damping=0.75)
    window.actions_by_id["no_functions"].trigger()
    wait_for_fit(qtbot, session)
    assert b_ends_like(session)


def test_a_saved_file_runs_anew_and_a_broken_one_says_where(qtbot: QtBot, running: MainWindow, file: Path) -> None:
    session = running.session
    running.actions_by_id["end"].trigger()
    place, steps_of_a = session.cursor.place, session.lanes["A"].run
    damped(file, 0.5)
    qtbot.waitUntil(lambda: b_ends_like(session, step_damping=0.5), timeout=TIMEOUT_MS)
    other = file.with_name("mine.py~")
    other.write_text("\n\ndef update(params, delta:\n    return params\n")
    os.replace(other, file)  # as editors do that keep the old file till the new one is whole
    said = f"{file}, line 3: is not Python: '(' was never closed"
    qtbot.waitUntil(lambda: running.message_bar.text.text() == said, timeout=TIMEOUT_MS)
    assert len(session.lanes["B"].steps) == 0
    running.repaint_now()
    os.replace(damped(other, 0.8), file)
    qtbot.waitUntil(lambda: b_ends_like(session, step_damping=0.8), timeout=TIMEOUT_MS)
    assert not running.message_bar.isVisible()
    assert (session.cursor.place, session.lanes["A"].run) == (place, steps_of_a)


def test_an_endless_loop_keeps_nothing_waiting(
    qtbot: QtBot, window: MainWindow, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, told = window.session, []
    session.told.connect(told.append)
    file.write_text("STEP_SECONDS = 600\ndef update(params, delta):\n    print('on and on')\n    while True: pass\n")
    choose(window, file, monkeypatch)
    qtbot.waitUntil(lambda: "mine.py: on and on" in told, timeout=TIMEOUT_MS)
    window.options.lane_buttons["A"].click()
    window.repaint_now()
    set_option(window, "sigma", 2.0)
    qtbot.waitUntil(lambda: session.finished("A") and session.lanes["A"].fit_options.sigma == 2.0, timeout=TIMEOUT_MS)
    assert "B" in session.fits.under_way
    file.write_text(file.read_text().replace("600", "0.3"))
    said = f"{file}, line 4, update: a step took longer than 0.3 s"
    qtbot.waitUntil(lambda: said in window.message_bar.text.text(), timeout=TIMEOUT_MS)
    assert session.finished("A")


MARKED = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


def drop(window: MainWindow, file: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file))])
    copy, button, key = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPoint(100, 100), copy, data, button, key))


@pytest.mark.parametrize("came", ["dropped", "in a session"])
def test_a_file_that_came_from_elsewhere_runs_when_the_person_has_agreed(
    qtbot: QtBot, window: MainWindow, file: Path, tmp_path: Path, came: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = window.session
    file.write_text(MARKED + file.read_text())
    if came == "dropped":
        drop(window, file)
    else:
        saved = tmp_path / "saved.json"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(saved), ""))
        window.actions_by_id["save_session"].trigger()
        content = json.loads(saved.read_text())
        assert (content["version"], content["functions"]) == (1, {})
        saved.write_text(json.dumps(content | {"version": 4, "functions": {"B": "mine.py"}, "comparing": True}))
        drop(window, saved)
        qtbot.waitUntil(lambda: session.comparing and not session.busy, timeout=TIMEOUT_MS)
    window.repaint_now()
    assert session.choices.b.functions == file and len(session.lanes["B"].steps) == 0
    assert window.message_bar.isVisible() and f"Lane B is to run {file}, a program" in window.message_bar.text.text()
    assert not (tmp_path / "ran").exists()
    qtbot.mouseClick(window.message_bar.help_button, Qt.MouseButton.LeftButton)
    wait_for_fit(qtbot, session)
    assert (tmp_path / "ran").exists()
    window.repaint_now()
    assert not window.message_bar.isVisible()
    assert b_ends_like(session, **vars(session.lanes["B"].options) | {"step_damping": 0.75})


def test_a_session_keeps_the_file_by_its_path(
    qtbot: QtBot, running: MainWindow, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "saved.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(saved), ""))
    running.actions_by_id["save_session"].trigger()
    content = json.loads(saved.read_text())
    assert (content["version"], content["functions"]) == (4, {"B": "mine.py"})
    chosen = running.session.choices
    running.session.open_session(saved)
    qtbot.waitUntil(lambda: running.session.choices.b is not chosen.b, timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, running.session)  # it is allowed already
    assert running.session.choices.b.functions == file
    assert b_ends_like(running.session, step_damping=0.75)
