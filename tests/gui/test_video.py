"""Videos through clicks and keys: opened, tracked, scrubbed, played, compared, and closed at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from engine.tiny_model import start, tiny_model
from engine.video_tools import as_rgb, decoding_threads, face_pictures, write_clip, write_folder
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import (
    FitOptions,
    FrameResult,
    Initial,
    State,
    Trace,
    TrackOptions,
    first_divergence,
    frame_trace,
    load_model,
    open_video,
    track,
)
from clnf_engine.cli import main as clnf
from clnf_engine.options import Source
from clnf_engine.tracking.results import Apart, Results
from clnf_engine.tracking.track import Past
from clnf_gui import shots
from clnf_gui.lane import Origin
from clnf_gui.look import FrameCurves, Worst
from clnf_gui.session import Session
from clnf_gui.session_file import read_session, write_session
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, set_option
from .test_panes import click_row
from .test_window import drag

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
    monkeypatch.setattr("clnf_engine.initial.detect_faces", lambda _: [start().box])


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
    qtbot.waitUntil(lambda: not session.busy and not session.tracking, timeout=TIMEOUT_MS)
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
    window.session.start_tracking()
    window.session.set_chasing(False)
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
    assert (session.frame, session.wanted) == (index, index)
    with open_video(clip) as source:
        assert np.array_equal(window.image_views["A"].image_item.image, source.frame(index).rgb)
        trace = frame_trace(source, tiny_model(), result)
    shown = session.trace("A")
    assert isinstance(shown, Trace)
    assert first_divergence(replace(shown, model_name=trace.model_name), trace) is None
    assert shown.options == result.options
    assert np.array_equal(painted_points(window), session.lanes["A"].step.landmarks)
    assert np.array_equal(shown.landmarks, result.landmarks)


# --- opening ----------------------------------------------------------------------------------------


def test_a_video_opens_on_its_first_frame_with_a_fit(window: MainWindow, clip: Path) -> None:
    session = window.session
    with open_video(clip) as source:
        assert np.array_equal(window.image_views["A"].image_item.image, source.frame(0).rgb)
    assert session.lane.origin is Origin.ALONE
    assert session.lane.complete
    assert session.step.responses is not None, "the atlas has something to show"
    assert "frame 1, not tracked yet" in window.headers["A"].text()
    assert window.panes.frames.isVisible()
    assert window.options.track.isVisible()
    assert window.windowTitle().startswith(clip.name)


def test_a_folder_of_images_is_a_video(qtbot: QtBot, empty: MainWindow, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", face_pictures(3))
    open_file(qtbot, empty, folder)
    assert len(empty.session.times) == 3
    press(qtbot, empty, "last_frame")
    assert empty.session.frame == 2


def test_an_image_takes_the_place_of_a_video(
    qtbot: QtBot, tracked: MainWindow, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, source = tracked.session, tracked.session.video
    tracked.dialogs.open_file(str(photo))
    qtbot.waitUntil(lambda: session.video is None and session.lane.complete, timeout=TIMEOUT_MS)
    settle(qtbot, tracked)
    qtbot.waitUntil(lambda: not session._unclosed, timeout=TIMEOUT_MS)
    with pytest.raises(ValueError, match="closed"):
        source.frame(0)
    assert not tracked.options.track.isVisible()
    assert tracked.headers["A"].text().startswith("2 / ")
    assert tracked.panes.frames.bars["A"].getData()[0] is None or not len(tracked.panes.frames.bars["A"].getData()[0])
    assert not tracked.actions_by_id["track"].isEnabled()


def test_what_is_no_video_changes_nothing(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    before = window.session.video
    window.dialogs.open_file(str(bad))
    qtbot.waitUntil(window.message_bar.isVisible, timeout=TIMEOUT_MS)
    assert "bad.mp4" in window.message_bar.text.text()
    assert window.session.video is before


# --- tracking ---------------------------------------------------------------------------------------


def test_a_tracking_is_the_engines_bit_for_bit(qtbot: QtBot, window: MainWindow, clip: Path) -> None:
    click_track(qtbot, window)
    settle(qtbot, window)
    tracked, results = window, expected(clip)
    assert {result.state for result in results} == {State.DETECTED, State.TRACKED, State.LOST}
    assert_tracked(tracked, "A", results)
    view = tracked.panes.frames
    x, y = view.curves[FrameCurves.LIKELIHOOD, "A"].getOriginalDataset()
    assert x.tolist() == list(range(1, COUNT + 1))
    assert np.array_equal(y, [result.likelihood for result in results])
    lost = [k + 1 for k in range(COUNT) if results[k].state is State.LOST]
    assert view.marks["A", State.LOST].getData()[0].tolist() == lost
    assert view.bars["A"].getData()[0].tolist() == [0.5, COUNT + 0.5]
    assert tracked.panes.frame_bar.state.text() == "all tracked"
    assert not tracked.panes.frame_bar.track.isEnabled()


def test_while_tracking_every_frame_is_shown(qtbot: QtBot, window: MainWindow) -> None:
    seen = []
    window.session.changed.connect(lambda _: seen.append(window.session.frame))
    click_track(qtbot, window)
    assert window.session.chasing
    settle(qtbot, window)
    assert sorted(set(seen)) == list(range(COUNT))
    assert window.session.lane.origin is Origin.TRACKED


def test_tracking_can_be_stopped_and_goes_on(qtbot: QtBot, window: MainWindow, clip: Path) -> None:
    session = window.session
    click_track(qtbot, window)
    qtbot.waitUntil(lambda: session.tracked > 3, timeout=TIMEOUT_MS)
    press(qtbot, window, "track")
    stopped = session.tracked
    assert 3 < stopped < COUNT
    assert not session.tracking
    assert window.panes.frame_bar.track.text() == "Track on"
    click_track(qtbot, window)
    settle(qtbot, window)
    assert_tracked(window, "A", expected(clip))


def test_a_frame_that_is_tracked_while_it_is_shown_is_shown_as_tracked(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    press(qtbot, window, "frame")
    assert session.lane.origin is Origin.ALONE
    session.start_tracking()
    session.set_chasing(False)
    settle(qtbot, window)
    assert (session.frame, session.lane.origin) == (1, Origin.TRACKED)
    assert "frame 2, tracked" in window.headers["A"].text()


# --- going to a frame -------------------------------------------------------------------------------


def test_a_click_in_the_plots_goes_to_the_frame(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    results = expected(clip)
    for index in (17, 3, 11, 23, 0):
        click_frame(qtbot, tracked, index)
        assert_shows(tracked, clip, index, results[index])
        assert {line.value() for line in tracked.panes.frames.cursors} == {index + 1}
        assert tracked.panes.frame_bar.number.value() == index + 1


def test_dragging_in_the_plots_scrubs(qtbot: QtBot, tracked: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pg.CONFIG_OPTIONS, "mouseRateLimit", 0)  # or moves of one moment are left out
    view = tracked.panes.frames
    box = view.plots[FrameCurves.JUMP].vb
    height = box.viewRect().center().y()
    a, b = (view.mapFromScene(box.mapViewToScene(QPointF(k, height))) for k in (3, 20))
    QTest.mouseMove(view.viewport(), a)
    QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, a)
    for share in (0.3, 0.6, 1.0):
        drag(view.viewport(), QPointF(a) + share * QPointF(b - a))
    QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, b)
    settle(qtbot, tracked)
    assert tracked.session.frame == 19


def test_the_wheel_zooms_and_a_double_click_shows_all(tracked: MainWindow) -> None:
    view = tracked.panes.frames
    view.strip.vb.setXRange(5, 14, padding=0)
    tracked.session.go_to_frame(20)
    tracked.repaint_now()
    low, high = view.strip.vb.viewRange()[0]
    assert low < 21 < high, "the cursor stays in sight"
    assert high - low == pytest.approx(9)
    view.strip.vb.unzoomed.emit()
    assert view.strip.vb.viewRange()[0] == pytest.approx([0.5, COUNT + 0.5])


def test_only_the_newest_wish_for_a_frame_counts(
    qtbot: QtBot, tracked: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    take = shots.take_shot
    monkeypatch.setattr(
        "clnf_gui.video.take_shot", lambda source, index, *rest: taken.append(index) or take(source, index, *rest)
    )
    for index in (*range(COUNT), 5, 15, 7):
        tracked.session.go_to_frame(index)
    settle(qtbot, tracked)
    assert tracked.session.frame == 7
    assert taken == [0, 7]


def test_frames_by_key_and_number(qtbot: QtBot, tracked: MainWindow) -> None:
    session = tracked.session
    for name, index in (("last_frame", COUNT - 1), ("frame", COUNT - 1), ("frame_back", COUNT - 2), ("first_frame", 0)):
        press(qtbot, tracked, name)
        assert session.frame == index
    QTest.keyClick(tracked, Qt.Key.Key_Period)
    settle(qtbot, tracked)
    assert session.frame == 1
    press(qtbot, tracked, "go_to_frame")
    number = tracked.panes.frame_bar.number
    QTest.keyClicks(number, "13")
    QTest.keyClick(number, Qt.Key.Key_Return)
    settle(qtbot, tracked)
    assert session.frame == 12


def test_the_place_in_the_fit_is_kept_from_frame_to_frame(qtbot: QtBot, tracked: MainWindow) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 4)
    session.move_to((1, session.step.phase, 2))
    press(qtbot, tracked, "frame")
    assert session.step.place == (1, session.step.phase, 2)


def test_a_frame_without_a_face_says_so(qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clnf_engine.initial.detect_faces", lambda _: [])
    press(qtbot, window, "frame")
    assert len(painted_points(window)) == 0
    assert "no face found" in window.headers["A"].text()
    assert window.options.isEnabled()
    window.session.start_from_box(start().box)
    settle(qtbot, window)
    assert len(painted_points(window)) == 68
    assert window.session.lane.origin is Origin.BY_HAND


# --- worst frames -----------------------------------------------------------------------------------


def choose_worst(window: MainWindow, kind: Worst) -> None:
    combo = window.panes.worst_choice
    combo.setCurrentIndex(combo.findData(str(kind)))
    combo.activated.emit(combo.currentIndex())
    window.repaint_now()


def test_a_click_on_a_worst_frame_goes_there(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    results = expected(clip)
    columns = Results(COUNT, tiny_model())
    for result in results:
        columns.append(result)
    likelihood = [result.likelihood for result in results]
    first = {
        Worst.JUMP: int(np.nanargmax(columns.jump)),
        Worst.LIKELIHOOD: int(np.argmin(likelihood)),
        Worst.UNSETTLED: int(np.argmax([result.shape_change for result in results])),
        Worst.LOST: AWAY[0],
    }
    for kind, index in first.items():
        choose_worst(tracked, kind)
        assert tracked.panes.worst.cell(0, "frame") == str(index + 1)
        click_row(tracked.panes.worst, 0)
        settle(qtbot, tracked)
        assert tracked.session.frame == index
    assert tracked.panes.worst.cell(0, "state") == "lost"
    choose_worst(tracked, Worst.APART)
    assert tracked.panes.worst.model().rowCount() == 0


# --- options ----------------------------------------------------------------------------------------


def test_another_option_tracks_anew_and_undo_brings_it_back(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 6)
    set_option(tracked, "reg_factor", 5.0)
    assert session.lane.origin is Origin.CHANGED
    assert "not tracked yet with these options" in session.frame_note("A")
    settle(qtbot, tracked)
    assert session.frame == 6, "the frame stays while tracking begins anew"
    assert session.lane.origin is Origin.TRACKED
    changed = expected(clip, FitOptions(reg_factor=5.0))
    assert_tracked(tracked, "A", changed)
    assert_shows(tracked, clip, 6, changed[6])
    press(qtbot, tracked, "undo")
    assert_tracked(tracked, "A", expected(clip))
    assert_shows(tracked, clip, 6, expected(clip)[6])


def test_options_of_tracking(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    panel = tracked.options.track
    panel.threshold.setValue(1.0)
    settle(qtbot, tracked)
    tracking = TrackOptions(min_likelihood=1.0)
    assert_tracked(tracked, "A", expected(clip, tracking=tracking))
    panel.interval.setValue(2)
    panel.windows.setText("0, 0, 9, 7")
    panel.windows.editingFinished.emit()
    settle(qtbot, tracked)
    tracking = replace(tracking, redetect_interval=2, tracked_windows=(0, 0, 9, 7))
    assert_tracked(tracked, "A", expected(clip, tracking=tracking))
    panel.initialization.setCurrentIndex(panel.initialization.findData("detector"))
    panel.initialization.activated.emit(panel.initialization.currentIndex())
    settle(qtbot, tracked)
    tracking = replace(tracking, initialization=Source.DETECTOR)
    assert_tracked(tracked, "A", expected(clip, tracking=tracking))
    for _ in range(4):
        press(qtbot, tracked, "undo")
    assert tracked.session.lane.tracking == TrackOptions()
    assert panel.windows.text() == ""
    assert panel.threshold.value() == -0.5
    panel.windows.setText("4")
    panel.windows.editingFinished.emit()
    assert "windows" in tracked.options.problem.text()


@pytest.mark.parametrize("kind", [Source.BOX, Source.LANDMARKS])
def test_every_frame_from_what_is_shown(qtbot: QtBot, tracked: MainWindow, clip: Path, kind: Source) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 2)
    session.set_tracking_options(TrackOptions(initialization=kind))
    settle(qtbot, tracked)
    first = session.lane.first
    assert first is not None and first.source is kind
    assert_tracked(tracked, "A", expected(clip, tracking=session.lane.tracking, first=first))


def test_a_start_by_hand_leaves_the_tracking_alone(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session, results = tracked.session, expected(clip)
    click_frame(qtbot, tracked, 7)
    session.start_from_box(start().box)
    settle(qtbot, tracked)
    assert session.lane.origin is Origin.BY_HAND
    assert "by hand" in tracked.headers["A"].text()
    assert_tracked(tracked, "A", results)
    press(qtbot, tracked, "undo")
    assert_shows(tracked, clip, 7, results[7])
    press(qtbot, tracked, "redo")
    assert session.lane.origin is Origin.BY_HAND
    click_frame(qtbot, tracked, 7)
    assert_shows(tracked, clip, 7, results[7])


def test_tracking_from_a_frame_and_its_start(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 5)
    session.start_from_box(start().box)
    settle(qtbot, tracked)
    first = session.lane.initial
    press(qtbot, tracked, "track_from_here")
    found = session.lane.results
    assert (found.begin, found.end) == (5, COUNT)
    assert found.state(4) is None
    assert tracked.options.track.begin.text() == "at frame 6, with a start of yours"
    with open_video(clip) as source:
        results = list(track(source, tiny_model(), first=first, past=Past(5)))
    assert all(same(a, b) for a, b in zip(results, found, strict=True))
    press(qtbot, tracked, "undo")
    assert_tracked(tracked, "A", expected(clip))


# --- comparing --------------------------------------------------------------------------------------


def test_two_trackings_are_compared(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session, told = tracked.session, []
    session.told.connect(told.append)
    press(qtbot, tracked, "compare")
    session.set_active("B")
    session.set_options(FitOptions())
    session.set_tracking_options(TrackOptions(initialization=Source.DETECTOR))
    settle(qtbot, tracked)
    a, b = expected(clip), expected(clip, tracking=session.lanes["B"].tracking)
    assert_tracked(tracked, "A", a)
    assert_tracked(tracked, "B", b)
    columns = Results(COUNT, tiny_model()), Results(COUNT, tiny_model())
    for results, column in ((a, columns[0]), (b, columns[1])):
        for result in results:
            column.append(result)
    apart = Apart(*columns)
    apart.update()
    first = apart.parting(1.0)
    assert first is not None
    press(qtbot, tracked, "parting")
    assert session.frame == first
    assert f"part at frame {first + 1}" in told[-1]
    view = tracked.panes.frames
    assert view.plots[FrameCurves.APART].isVisible()
    _, y = view.curves[FrameCurves.APART, "A"].getOriginalDataset()
    known = apart.distance > 0
    np.testing.assert_allclose(y[known], np.log10(apart.distance[known]))
    choose_worst(tracked, Worst.APART)
    worst = [int(tracked.panes.worst.cell(row, "frame")) - 1 for row in range(3)]
    only = np.flatnonzero(apart.one_only)
    order = [*only.tolist(), *np.argsort(-np.nan_to_num(apart.distance)).tolist()]
    assert worst == order[:3]
    assert np.array_equal(painted_points(tracked, "B"), session.lanes["B"].step.landmarks)
    press(qtbot, tracked, "compare")
    assert not view.plots[FrameCurves.APART].isVisible()
    assert not tracked.actions_by_id["parting"].isEnabled()


def test_while_the_other_lane_is_tracked_both_show_the_frame(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session, results = tracked.session, expected(clip)
    press(qtbot, tracked, "compare")
    session.set_active("B")
    session.set_options(FitOptions(reg_factor=5.0))
    session.set_chasing(True)
    seen = set()

    def check(_: object) -> None:
        if session.frame not in AWAY and session.frame and session.lanes["A"].complete:
            seen.add(session.frame)
            assert np.array_equal(session.lanes["A"].steps[-1].landmarks, results[session.frame].landmarks)

    session.changed.connect(check)
    settle(qtbot, tracked)
    assert len(seen) > 2


def test_steps_and_frames_do_not_play_at_once(tracked: MainWindow) -> None:
    session = tracked.session
    tracked.actions_by_id["play_video"].trigger()
    tracked.actions_by_id["play"].trigger()
    assert (session.playing, session.video_playing) == (True, False)
    tracked.actions_by_id["play_video"].trigger()
    assert (session.playing, session.video_playing) == (False, True)
    tracked.actions_by_id["play_video"].trigger()


def test_the_same_tracking_does_not_part(qtbot: QtBot, tracked: MainWindow) -> None:
    session, told = tracked.session, []
    session.lanes["B"].options = FitOptions()
    press(qtbot, tracked, "compare")
    session.told.connect(told.append)
    press(qtbot, tracked, "parting")
    assert told[-1] == "A and B stay within 1 px of each other"


# --- playing ----------------------------------------------------------------------------------------


def test_playing_ends_with_the_last_frame(qtbot: QtBot, tracked: MainWindow) -> None:
    session, seen = tracked.session, []
    press(qtbot, tracked, "first_frame")
    for _ in range(2):
        tracked.actions_by_id["faster"].trigger()
    assert session.speed == 4.0
    session.changed.connect(lambda _: seen.append(session.frame))
    tracked.actions_by_id["play_video"].trigger()
    assert session.video_playing
    qtbot.waitUntil(lambda: not session.video_playing, timeout=TIMEOUT_MS)
    settle(qtbot, tracked)
    assert session.frame == COUNT - 1
    assert seen == sorted(seen), "never back"
    assert len(set(seen)) > 3
    press(qtbot, tracked, "slower")
    assert session.speed == tracked.panes.frame_bar.speed.currentData() == 2.0


def test_closing_while_playing(tracked: MainWindow) -> None:
    tracked.session.set_video_playing(True)
    tracked.close()


# --- damage, closing, files -------------------------------------------------------------------------


def test_of_a_truncated_video_what_decodes_is_tracked(
    qtbot: QtBot, empty: MainWindow, clip: Path, tmp_path: Path
) -> None:
    whole = write_clip(tmp_path / "whole.mp4", clip_pictures(), faststart=True, crf="12").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    open_file(qtbot, empty, cut)
    click_track(qtbot, empty)
    settle(qtbot, empty)
    assert empty.message_bar.isVisible()
    assert "cannot be decoded" in empty.message_bar.text.text()
    results = empty.session.lane.results
    assert 3 < len(list(results)) < COUNT
    assert not empty.session.can_track
    last = empty.session.frame
    empty.message_bar.hide()
    empty.session.go_to_frame(len(empty.session.times) - 1)
    settle(qtbot, empty)
    assert empty.message_bar.isVisible()
    assert empty.session.frame == empty.session.wanted == last


@pytest.mark.parametrize("what", ["close", "open", "model"])
def test_doing_something_else_while_tracking(
    qtbot: QtBot, window: MainWindow, photo: Path, model_file: Path, what: str
) -> None:
    session = window.session
    click_track(qtbot, window)
    qtbot.waitUntil(lambda: session.tracked > 1, timeout=TIMEOUT_MS)
    if what == "close":
        window.close()
    elif what == "open":
        window.dialogs.open_file(str(photo))
        qtbot.waitUntil(lambda: session.video is None, timeout=TIMEOUT_MS)
        assert not session.tracking
    else:
        window.dialogs.open_model(str(model_file))
        qtbot.waitUntil(lambda: session.tracked < 2 or session.tracked == COUNT, timeout=TIMEOUT_MS)
        settle(qtbot, window)


def test_a_session_with_a_video_opens_again(qtbot: QtBot, tracked: MainWindow, tmp_path: Path, clip: Path) -> None:
    session = tracked.session
    press(qtbot, tracked, "compare")
    session.set_active("B")
    session.set_tracking_options(TrackOptions(redetect_interval=7))
    session.set_active("A")
    session.set_options(FitOptions(reg_factor=11.0))
    click_frame(qtbot, tracked, 9)
    document = session.document()
    write_session(document, tmp_path / "kept.json")
    tracked.session.set_comparing(False)
    session.open_document(read_session(tmp_path / "kept.json"))
    qtbot.waitUntil(lambda: session.comparing and session.video is not None, timeout=TIMEOUT_MS)
    settle(qtbot, tracked)
    assert session.frame == 9
    assert session.image.path.samefile(clip)
    assert session.lanes["B"].tracking.redetect_interval == 7
    assert session.lanes["A"].options.reg_factor == 11.0
    assert session.place == document.place
    assert all(session.lanes[name].complete for name in "AB")


def test_the_tracking_is_exported_as_the_command_writes_it(
    qtbot: QtBot, tracked: MainWindow, clip: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "window.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(out), ""))
    with qtbot.waitSignal(tracked.session.told, timeout=TIMEOUT_MS):
        tracked.actions_by_id["export_track"].trigger()
    assert clnf(["track", str(clip), "--model", str(model_file), "-o", str(tmp_path / "command.csv")]) == 0
    assert out.read_text() == (tmp_path / "command.csv").read_text()


def test_copied_python_names_the_frame(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    click_frame(qtbot, tracked, 8)
    tracked.actions_by_id["copy_python"].trigger()
    text = QApplication.clipboard().text()
    assert f"open_video({str(clip)!r}).frame(8).gray" in text
    namespace: dict[str, object] = {}
    exec(text, namespace)
    assert first_divergence(namespace["trace"], tracked.session.trace("A")) is None


# --- a real video -----------------------------------------------------------------------------------


def test_a_real_video(qtbot: QtBot, session: Session, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared / "samples" / "default.wmv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    monkeypatch.undo()
    window = MainWindow(session)
    window.show()
    session.open_model("portrait68")
    open_file(qtbot, window, path)
    click_track(qtbot, window)
    qtbot.waitUntil(lambda: session.tracked > 20, timeout=TIMEOUT_MS)
    session.stop_tracking()
    settle(qtbot, window)
    model = load_model()
    with open_video(path) as source:
        for result, found in zip(track(source, model), session.lane.results, strict=False):
            assert same(result, found)
    window.close()
    window.deleteLater()
