"""A clip of the tiny face, a window that has it open, and what a person does with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from engine.detector_tools import FIND_FACES, finds
from engine.tiny_model import start, tiny_model
from engine.video_tools import as_rgb, decoding_threads, face_pictures, write_clip
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from clnf_engine import (
    FitOptions,
    FrameResult,
    Initial,
    Trace,
    TrackOptions,
    first_divergence,
    frame_trace,
    open_video,
    track,
)
from clnf_gui.look import FrameCurves, Worst
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

from ..conftest import TIMEOUT_MS

COUNT = 24
AWAY = range(10, 13)
"""Frames without the face."""


def clip_pictures() -> list[NDArray[np.uint8]]:
    pictures = [as_rgb(picture) for picture in face_pictures(COUNT)]
    noise = np.random.default_rng(2).normal(128, 60, pictures[0].shape)
    for k in AWAY:
        pictures[k] = np.clip(noise, 0, 255).astype(np.uint8)
    return pictures


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "face.mp4", clip_pictures(), crf="12")


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sees the face of the first frame in all of them."""
    monkeypatch.setattr(FIND_FACES, finds(lambda _: [start().box]))


@pytest.fixture(autouse=True)
def no_decoding_survives() -> Iterator[None]:
    yield
    assert not decoding_threads()


@pytest.fixture
def empty(qtbot: QtBot, session: Session, model_file: Path) -> Iterator[MainWindow]:
    """A window with the tiny model and no image."""
    made = MainWindow(session)
    made.resize(1280, 720)
    made.show()
    qtbot.waitExposed(made)
    session.open_model(model_file)
    qtbot.waitUntil(lambda: session.model is not None, timeout=TIMEOUT_MS)
    yield made
    made.close()
    made.deleteLater()


def settle(qtbot: QtBot, window: MainWindow) -> None:
    """Until nothing is under way, and all of it is painted."""
    session = window.session
    qtbot.waitUntil(lambda: not session.busy and not session.tracker.tracking, timeout=TIMEOUT_MS)
    window.repaint_now()
    QApplication.processEvents()
    window.repaint_now()


def open_file(qtbot: QtBot, window: MainWindow, path: Path) -> None:
    window.dialogs.open_file(str(path))
    qtbot.waitUntil(lambda: window.session.video is not None, timeout=TIMEOUT_MS)
    settle(qtbot, window)


@pytest.fixture
def window(qtbot: QtBot, empty: MainWindow, clip: Path) -> MainWindow:
    """A window with the clip open."""
    open_file(qtbot, empty, clip)
    empty.setFocus(Qt.FocusReason.OtherFocusReason)
    return empty


@pytest.fixture
def tracked(qtbot: QtBot, window: MainWindow) -> MainWindow:
    """A window with the clip tracked in lane A."""
    window.session.tracker.start()
    window.session.tracker.set_chasing(False)
    settle(qtbot, window)
    return window


def click_track(qtbot: QtBot, window: MainWindow) -> None:
    assert window.panes.frame_bar.track.isEnabled()
    qtbot.mouseClick(window.panes.frame_bar.track, Qt.MouseButton.LeftButton)


def press(qtbot: QtBot, window: MainWindow, name: str) -> None:
    """Do what a command's key does."""
    window.actions_by_id[name].trigger()
    settle(qtbot, window)


def click_frame(qtbot: QtBot, window: MainWindow, index: int) -> None:
    """Click where a frame is in the plots."""
    view = window.panes.frames
    plot = view.plots[FrameCurves.LIKELIHOOD]
    QApplication.processEvents()
    height = plot.vb.viewRect().center().y()
    position = view.mapFromScene(plot.vb.mapViewToScene(QPointF(index + 1, height)))
    QTest.mouseMove(view.viewport(), position)
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, position)
    settle(qtbot, window)


def painted_points(window: MainWindow, lane: str = "A") -> NDArray[np.float64]:
    return np.stack(window.image_views[lane].point_item.getData(), axis=1)


def same(a: object, b: object) -> bool:
    if isinstance(a, (FrameResult, Initial)):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@cache
def expected(
    clip: Path, options: FitOptions | None = None, tracking: TrackOptions | None = None, first: Initial | None = None
) -> list[FrameResult]:
    """What the engine makes of a clip."""
    with open_video(clip) as source:
        return list(track(source, tiny_model(), options, tracking, first))


def assert_tracked(window: MainWindow, lane: str, results: list[FrameResult]) -> None:
    found = window.session.lanes[lane].results
    assert found is not None
    assert found.end == COUNT
    assert all(same(a, b) for a, b in zip(results, found, strict=True))


def assert_shows(window: MainWindow, clip: Path, index: int, result: FrameResult) -> None:
    """The picture painted is that of the frame, the points are those of its tracked fit, and so is the whole run."""
    session = window.session
    assert (session.scene.frame, session.frames.wanted) == (index, index)
    with open_video(clip) as source:
        assert np.array_equal(window.image_views["A"].image_item.image, source.frame(index).rgb)
        trace = frame_trace(source, tiny_model(), result)
    shown = session.trace("A")
    assert isinstance(shown, Trace)
    assert first_divergence(replace(shown, model_name=trace.model_name), trace) is None
    assert shown.options == result.options
    assert np.array_equal(painted_points(window), session.lanes["A"].step.landmarks)
    assert np.array_equal(shown.landmarks, result.landmarks)


def choose_worst(window: MainWindow, kind: Worst) -> None:
    combo = window.panes.worst_choice
    combo.setCurrentIndex(combo.findData(str(kind)))
    combo.activated.emit(combo.currentIndex())
    window.repaint_now()
