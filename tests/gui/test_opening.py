"""Opening: one thing after the other, and nothing that comes late gets in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine.detector_tools import FIND_FACES, finds
from engine.tiny_model import tiny_image
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions
from clnf_engine.io.images import read_image
from clnf_engine.options import Source
from clnf_gui.session import Session, opener
from clnf_gui.session.document import write_session
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit

FACE = (30.0, 30.0, 90.0, 90.0)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finds a face where that of the photo is not."""
    monkeypatch.setattr(FIND_FACES, finds(lambda _: [FACE]))


def drop(window: MainWindow, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    window.dropEvent(QDropEvent(QPointF(50, 50), action, data, button, Qt.KeyboardModifier.NoModifier))


def settle(qtbot: QtBot, session: Session) -> None:
    qtbot.waitUntil(lambda: not session.busy, timeout=TIMEOUT_MS)


@pytest.fixture
def saved(fitted: Session, tmp_path: Path) -> Path:
    """A session file with a start by hand."""
    path = tmp_path / "kept.json"
    write_session(fitted.document(), path)
    return path


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("image_first", [True, False])
def test_a_session_dropped_with_an_image_keeps_its_start(
    qtbot: QtBot, window: MainWindow, saved: Path, photo: Path, image_first: bool
) -> None:
    session = window.session
    kept = session.lane.initial
    other = saved.with_name("other.png")
    cv2.imwrite(str(other), tiny_image())
    paths = (other, saved) if image_first else (saved, other)
    drop(window, *paths)
    settle(qtbot, session)
    assert session.image.path.resolve() == (photo if image_first else other).resolve()
    if image_first:
        assert session.lane.initial.source is Source.BOX
        assert np.array_equal(session.lane.initial.params, kept.params)
        assert not session.history.can_undo
    else:
        assert session.lane.initial.box == FACE


@pytest.mark.usefixtures("detector")
def test_a_trace_dropped_with_an_image_keeps_its_steps(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session = window.session
    trace = session.trace()
    trace.save(tmp_path / "run.npz")
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), tiny_image())
    drop(window, other, tmp_path / "run.npz")
    settle(qtbot, session)
    assert session.image.path.name == "run.npz"
    assert np.array_equal(session.lane.initial.params, trace.initial.params)
    assert [step.place for step in session.lane.steps] == [step.place for step in trace.steps]
    assert np.array_equal(session.lane.steps[-1].landmarks, trace.landmarks)


@pytest.mark.usefixtures("detector")
def test_a_freshly_opened_photo_has_nothing_to_undo(
    qtbot: QtBot, window: MainWindow, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = window.session
    session.open_image(photo)
    settle(qtbot, session)
    assert session.lane.initial.box == FACE
    assert not session.history.can_undo
    monkeypatch.setattr(FIND_FACES, finds(lambda _: []))
    session.open_image(photo)
    settle(qtbot, session)
    assert not session.history.can_undo
    assert session.lane.initial.source is Source.BOX


def test_undo_of_the_first_drag_brings_the_automatic_box_back(
    qtbot: QtBot, session: Session, model_file: Path, photo: Path, box: tuple
) -> None:
    session.open_model(model_file)
    session.open_image(photo)
    wait_for_fit(qtbot, session)
    automatic = session.lane.initial
    session.starts.from_box(box)
    session.undo()
    wait_for_fit(qtbot, session)
    assert session.lane.initial is automatic
    assert session.trace().complete
    assert not session.history.can_undo


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Reading images named slow… waits until this is called."""
    gate = threading.Event()

    def read(path: Path) -> object:
        if Path(path).name.startswith("slow"):
            gate.wait(TIMEOUT_MS / 1000)
        return read_image(path)

    monkeypatch.setattr(opener, "read_image", read)
    return gate.set


def test_nothing_waits_for_a_photo_that_nobody_wants_any_more(
    qtbot: QtBot, fitted: Session, held: Callable[[], None], photo: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.png"
    cv2.imwrite(str(slow), tiny_image())
    fitted.open_image(slow)
    assert fitted.opener.what == "opening slow.png"
    fitted.open_image(photo)
    settle(qtbot, fitted)
    assert fitted.image.path == photo
    held()
    settle(qtbot, fitted)
    assert fitted.image.path == photo, "what was given up does not come back"


def test_an_opening_can_be_given_up(qtbot: QtBot, fitted: Session, held: Callable[[], None], tmp_path: Path) -> None:
    slow, image = tmp_path / "slow.png", fitted.image
    cv2.imwrite(str(slow), tiny_image())
    fitted.open_image(slow)
    fitted.opener.cancel()
    assert not fitted.busy
    held()
    fitted.set_options(FitOptions(sigma=2.0))
    wait_for_fit(qtbot, fitted)
    assert fitted.image is image


def test_a_model_and_an_image_opened_together_both_come(
    qtbot: QtBot, session: Session, model_file: Path, photo: Path
) -> None:
    for opens in ((session.open_model, model_file), (session.open_image, photo)) * 2:
        opens[0](opens[1])
    wait_for_fit(qtbot, session)
    assert session.model.path.parent == model_file.parent
    assert session.image.path == photo
