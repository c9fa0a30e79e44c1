"""Fixtures of the window's tests: a tiny model and photo, isolated settings, and no thread left behind."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from engine.tiny_model import tiny_image, tiny_model, true_landmarks
from PySide6.QtCore import QSettings, Qt, QThread
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from clnf_engine.io.openface import write_model
from clnf_gui.qt_setup import make_application
from clnf_gui.session import Session
from clnf_gui.window import MainWindow
from clnf_gui.worker import Worker

from .closing import bury
from .monkey_watch import peak_mb, share_heaps

TIMEOUT_MS = 20_000
PEAK_MB = 600
"""All tests of the window together need less; one that keeps its windows would need gigabytes."""

share_heaps()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that needed too much memory; where other tests ran too, nobody knows who needed it."""
    here = Path(__file__).parent
    if not session.items or not all(item.path.is_relative_to(here) for item in session.items):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nmemory of the window's tests: {peak_mb():.0f} MB at most, of {PEAK_MB}")
    if peak_mb() > PEAK_MB and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def measured_threads() -> Iterator[None]:
    """Let coverage follow the threads of Workers: Python has not started them, so nobody tells it of them."""
    run, trace = Worker._run, threading.gettrace()

    def traced(self: Worker, *words: object) -> None:
        sys.settrace(trace)
        run(self, *words)

    if trace is not None:
        Worker._run = traced  # type: ignore[method-assign]
    yield
    Worker._run = run  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def qapp() -> object:
    return make_application()


@pytest.fixture(autouse=True)
def isolated_settings(tmp_path: Path) -> None:
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture(autouse=True)
def nothing_is_left(qapp: object) -> None:
    """Free the window of the test before, which nobody holds any more; the program does so once a second."""
    bury(rounds=1)


@pytest.fixture(autouse=True)
def no_thread_survives(qapp: object) -> Iterator[None]:
    yield
    running = [thread for thread in gc.get_objects() if isinstance(thread, QThread) and thread.isRunning()]
    assert not running


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tiny_model(), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's face, which no detector takes for one."""
    path = tmp_path_factory.mktemp("photo") / "face.png"
    cv2.imwrite(str(path), tiny_image())
    return path


@pytest.fixture
def box() -> tuple[float, float, float, float]:
    """Around the face in the photo."""
    low, high = true_landmarks().min(axis=0), true_landmarks().max(axis=0)
    return (*low.tolist(), *(high - low).tolist())


@pytest.fixture
def session(qapp: object) -> Iterator[Session]:
    made = Session()
    yield made
    made.shut_down()
    made.deleteLater()


def wait_for_fit(qtbot: QtBot, session: Session) -> None:
    """Until the newest fit is complete."""
    qtbot.waitUntil(
        lambda: not session.busy and all(session.lanes[name].complete for name in session.shown), timeout=TIMEOUT_MS
    )


@pytest.fixture
def fitted(qtbot: QtBot, session: Session, model_file: Path, photo: Path, box: tuple) -> Session:
    """A session that has fitted the photo from the right box."""
    session.open_model(model_file)
    session.open_image(photo)
    wait_for_fit(qtbot, session)
    session.starts.from_box(box)
    session.set_look(replace(session.look, show_box=False))
    wait_for_fit(qtbot, session)
    return session


@pytest.fixture
def window(qtbot: QtBot, fitted: Session) -> Iterator[MainWindow]:
    made = MainWindow(fitted)
    made.resize(1280, 720)
    made.show()
    qtbot.waitExposed(made)
    made.message_bar.hide()
    made.repaint_now()
    QApplication.processEvents()  # the layout settles, and the zoom with it
    made.setFocus(Qt.FocusReason.OtherFocusReason)
    yield made
    made.close()
    made.deleteLater()


def option_widget(window: MainWindow, name: str) -> QWidget:
    """The editor of an option in the options tree."""
    return next(iter(window.options.tree.rows[name].items)).widget


def set_option(window: MainWindow, name: str, value: object) -> None:
    """Change an option through its editor, as a person does."""
    widget = option_widget(window, name)
    if isinstance(widget, QComboBox):
        widget.setCurrentText(str(value))
    elif isinstance(widget, QCheckBox):
        widget.setChecked(bool(value))
    elif isinstance(widget, QLineEdit):
        widget.setText(str(value))
        widget.editingFinished.emit()
    else:
        widget.setValue(value)
        widget.editingFinishedEvent()


def shown_option(window: MainWindow, name: str) -> object:
    """What the options tree shows for an option."""
    widget = option_widget(window, name)
    if isinstance(widget, QComboBox):
        return widget.currentText()
    if isinstance(widget, QCheckBox):
        return widget.isChecked()
    return widget.text() if isinstance(widget, QLineEdit) else widget.value()
