"""Videos through clicks and keys: opened, scrubbed, played, and closed at any moment."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyqtgraph as pg
import pytest
from engine.detector_tools import FIND_FACES, finds
from engine.tiny_model import start, tiny_model
from engine.video_tools import face_pictures, write_folder
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from clnf_engine import DetectionOptions, FitOptions, Phase, TrackOptions, open_video
from clnf_engine.presets import PROGRAMS
from clnf_engine.tracking.past import Past
from clnf_engine.tracking.results import Results
from clnf_gui.look import FrameCurves, Worst
from clnf_gui.session import shots
from clnf_gui.session.lanes import Origin
from clnf_gui.window import MainWindow
from clnf_gui.worker import Stale

from ..conftest import TIMEOUT_MS
from ..test_panes import click_row
from ..test_window import drag
from .conftest import (
    AWAY,
    COUNT,
    assert_shows,
    choose_worst,
    click_frame,
    expected,
    open_file,
    painted_points,
    press,
    same,
    settle,
)

# --- opening --------------------------------------------------------------------------------------


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


def test_a_video_is_tracked_by_fits_alone(qtbot: QtBot, window: MainWindow, clip: Path, photo: Path) -> None:
    session = window.session
    window.dialogs.open_file(str(photo))
    qtbot.waitUntil(lambda: session.video is None and session.lane.complete, timeout=TIMEOUT_MS)
    session.set_detection(DetectionOptions(parts=False, hypotheses=True))
    qtbot.waitUntil(lambda: session.lane.detection is not None, timeout=TIMEOUT_MS)
    open_file(qtbot, window, clip)
    window.docks.raise_("Fits")
    settle(qtbot, window)
    assert (session.choices.a.detection, session.lane.detection) == (None, None)
    assert "main fits alone" in window.panes.fits.hint.text()
    assert not any(switch.isEnabled() for switch in window.panes.detection.switches.values())
    items = window.options.preset.model()
    chosen = [items.item(k).text() for k in range(items.rowCount()) if items.item(k).isEnabled()]
    assert "openface" in chosen
    assert not set(PROGRAMS) & set(chosen)


def test_a_folder_of_images_is_a_video(qtbot: QtBot, empty: MainWindow, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", face_pictures(3))
    open_file(qtbot, empty, folder)
    assert len(empty.session.scene.times) == 3
    press(qtbot, empty, "last_frame")
    assert empty.session.scene.frame == 2


def test_an_image_takes_the_place_of_a_video(
    qtbot: QtBot, tracked: MainWindow, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, source = tracked.session, tracked.session.video
    tracked.dialogs.open_file(str(photo))
    qtbot.waitUntil(lambda: session.video is None and session.lane.complete, timeout=TIMEOUT_MS)
    settle(qtbot, tracked)
    qtbot.waitUntil(lambda: not session.frames.closing, timeout=TIMEOUT_MS)
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


# --- going to a frame -----------------------------------------------------------------------------


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
    assert tracked.session.scene.frame == 19


def test_the_wheel_zooms_and_a_double_click_shows_all(tracked: MainWindow) -> None:
    view = tracked.panes.frames
    view.strip.vb.setXRange(5, 14, padding=0)
    tracked.session.frames.go_to(20)
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
        "clnf_gui.session.frames.take_shot",
        lambda source, index, *rest: taken.append(index) or take(source, index, *rest),
    )
    for index in (*range(COUNT), 5, 15, 7):
        tracked.session.frames.go_to(index)
    settle(qtbot, tracked)
    assert tracked.session.scene.frame == 7
    assert taken == [0, 7]


def test_frames_by_key_and_number(qtbot: QtBot, tracked: MainWindow) -> None:
    session = tracked.session
    for name, index in (("last_frame", COUNT - 1), ("frame", COUNT - 1), ("frame_back", COUNT - 2), ("first_frame", 0)):
        press(qtbot, tracked, name)
        assert session.scene.frame == index
    QTest.keyClick(tracked, Qt.Key.Key_Period)
    settle(qtbot, tracked)
    assert session.scene.frame == 1
    press(qtbot, tracked, "go_to_frame")
    number = tracked.panes.frame_bar.number
    QTest.keyClicks(number, "13")
    QTest.keyClick(number, Qt.Key.Key_Return)
    settle(qtbot, tracked)
    assert session.scene.frame == 12


def test_the_place_in_the_fit_is_kept_from_frame_to_frame(qtbot: QtBot, tracked: MainWindow) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 4)
    session.cursor.move_to((1, session.step.phase, 2))
    press(qtbot, tracked, "frame")
    assert session.step.place == (1, session.step.phase, 2)


def test_a_stage_that_a_small_face_skips_does_not_empty_the_maps(qtbot: QtBot, tracked: MainWindow) -> None:
    session = tracked.session
    session.cursor.move_to((1, Phase.NONRIGID, 5))
    session.set_options(FitOptions(windows=(11, 0, 0, 0)))
    settle(qtbot, tracked)
    click_frame(qtbot, tracked, 4)
    assert session.lane.steps[-2].phase is Phase.SKIPPED
    assert session.step.place[:2] == (0, Phase.NONRIGID)
    assert session.step.responses is not None


def test_a_frame_without_a_face_says_so(qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FIND_FACES, finds(lambda _: []))
    press(qtbot, window, "frame")
    assert len(painted_points(window)) == 0
    assert "no face found" in window.headers["A"].text()
    assert window.options.isEnabled()
    window.session.starts.from_box(start().box)
    settle(qtbot, window)
    assert len(painted_points(window)) == 68
    assert window.session.lane.origin is Origin.BY_HAND


# --- worst frames ---------------------------------------------------------------------------------


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
        assert tracked.session.scene.frame == index
    assert tracked.panes.worst.cell(0, "state") == "lost"
    choose_worst(tracked, Worst.APART)
    assert tracked.panes.worst.model().rowCount() == 0


def test_the_fit_of_a_tracking_that_is_out_of_date_is_made_anew(
    qtbot: QtBot, tracked: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other options come while the fit of a frame is under way: the frame is shown, and its fit is another."""
    session, made, go_on, seen = tracked.session, threading.Event(), threading.Event(), []
    take = shots.take_shot

    def late(*words: object) -> Iterator[shots.Shot]:
        found = list(take(*words))
        made.set()
        go_on.wait(TIMEOUT_MS / 1000)
        yield from found

    monkeypatch.setattr("clnf_gui.session.frames.take_shot", late)
    session.frames.go_to(5)
    qtbot.waitUntil(made.is_set, timeout=TIMEOUT_MS)
    session.set_options(FitOptions(sigma=2.5))
    qtbot.waitUntil(lambda: session.lane.fit_options.sigma == 2.5 and session.lane.complete, timeout=TIMEOUT_MS)
    session.changed.connect(lambda _: seen.append((session.scene.frame, session.lane.fit_options.sigma)))
    go_on.set()
    settle(qtbot, tracked)
    assert {sigma for frame, sigma in seen if frame == 5} == {2.5}
    assert session.scene.frame == 5
    assert same(session.lane.initial, session.lane.results[5].initial)


# --- playing --------------------------------------------------------------------------------------


class Clock:
    """In the place of `time`: so many seconds go by between two looks at it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def monotonic(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize("frames_late", [0.5, 5])
def test_playing_ends_with_the_last_frame(
    qtbot: QtBot, tracked: MainWindow, monkeypatch: pytest.MonkeyPatch, frames_late: float
) -> None:
    """A machine that keeps up shows every frame, one that does not leaves out those that would come too late."""
    session, seen = tracked.session, []
    press(qtbot, tracked, "first_frame")
    for _ in range(2):
        tracked.actions_by_id["faster"].trigger()
    assert session.frames.speed == 4.0
    monkeypatch.setattr("clnf_gui.session.frames.time", Clock(frames_late * 1.001 * session.scene.times[1] / 4.0))
    session.changed.connect(lambda _: seen.append(session.scene.frame))
    tracked.actions_by_id["play_video"].trigger()
    assert session.frames.playback.on
    qtbot.waitUntil(lambda: not session.frames.playback.on, timeout=TIMEOUT_MS)
    settle(qtbot, tracked)
    assert session.scene.frame == COUNT - 1
    assert list(dict.fromkeys(seen)) == sorted({*range(0, COUNT, math.ceil(frames_late)), COUNT - 1})
    press(qtbot, tracked, "slower")
    assert session.frames.speed == tracked.panes.frame_bar.speed.currentData() == 2.0


def test_closing_while_playing(tracked: MainWindow) -> None:
    tracked.session.frames.set_playing(True)
    tracked.close()


class Patience:
    """A check that ends the work once it was called so many times."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            raise Stale


ENDLESS = FitOptions(max_iterations=1000, convergence_px=0, responses_every_iteration=True)


@pytest.mark.parametrize("watched", [True, False])
def test_a_long_fit_of_a_frame_ends_when_nobody_waits_for_it(clip: Path, watched: bool) -> None:
    gate, tracking = shots.Gate(), TrackOptions()
    gate.watch(watched)
    with open_video(clip) as source:
        task = shots.Task(Results(len(source), tiny_model()), ENDLESS, tracking, None, Past())
        with pytest.raises(Stale):
            list(shots.track_lanes(source, tiny_model(), {"A": task}, gate, Patience(8)))
        wish = shots.Wish(None, None, ENDLESS, tracking, None)
        with pytest.raises(Stale):
            list(shots.take_shot(source, 0, tiny_model(), {"A": wish}, Patience(8)))
