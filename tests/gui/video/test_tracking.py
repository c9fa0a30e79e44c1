"""Tracking in the window is the engine's, bit for bit; changed, compared, undone, kept and interrupted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine.tiny_model import start, tiny_model
from engine.video_tools import write_clip
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import (
    FitOptions,
    State,
    TrackOptions,
    first_divergence,
    load_model,
    open_video,
    track,
    turned,
)
from clnf_engine.commandline.main import main as clnf
from clnf_engine.options import Source
from clnf_engine.tracking.past import Past
from clnf_engine.tracking.results import Apart, Results
from clnf_gui.look import FrameCurves, Worst
from clnf_gui.session import Session, shots
from clnf_gui.session.document import write_session
from clnf_gui.session.lanes import Origin
from clnf_gui.views.worst import worst_columns
from clnf_gui.window import MainWindow

from ..conftest import TIMEOUT_MS, set_option
from .conftest import (
    AWAY,
    COUNT,
    assert_shows,
    assert_tracked,
    choose_worst,
    click_frame,
    click_track,
    clip_pictures,
    expected,
    open_file,
    painted_points,
    press,
    same,
    settle,
)

# --- tracking -------------------------------------------------------------------------------------


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
    window.session.changed.connect(lambda _: seen.append(window.session.scene.frame))
    click_track(qtbot, window)
    assert window.session.tracker.chasing
    settle(qtbot, window)
    assert sorted(set(seen)) == list(range(COUNT))
    assert window.session.lane.origin is Origin.TRACKED


def test_tracking_can_be_stopped_and_goes_on(qtbot: QtBot, window: MainWindow, clip: Path) -> None:
    session = window.session
    click_track(qtbot, window)
    qtbot.waitUntil(lambda: session.tracker.tracked > 3, timeout=TIMEOUT_MS)
    press(qtbot, window, "track")
    stopped = session.tracker.tracked
    assert 3 < stopped < COUNT
    assert not session.tracker.tracking
    assert window.panes.frame_bar.track.text() == "Track on"
    click_track(qtbot, window)
    settle(qtbot, window)
    assert_tracked(window, "A", expected(clip))


def test_a_frame_that_is_tracked_while_it_is_shown_is_shown_as_tracked(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    press(qtbot, window, "frame")
    assert session.lane.origin is Origin.ALONE
    session.tracker.start()
    session.tracker.set_chasing(False)
    settle(qtbot, window)
    assert (session.scene.frame, session.lane.origin) == (1, Origin.TRACKED)
    assert "frame 2, tracked" in window.headers["A"].text()


# --- options --------------------------------------------------------------------------------------


def test_another_option_tracks_anew_and_undo_brings_it_back(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 6)
    set_option(tracked, "reg_factor", 5.0)
    assert session.lane.origin is Origin.CHANGED
    assert "not tracked yet with these options" in session.lanes["A"].frame_note(session.scene.frame)
    settle(qtbot, tracked)
    assert session.scene.frame == 6, "the frame stays while tracking begins anew"
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
    first = session.lane.chosen.first
    assert first is not None and first.source is kind
    assert_tracked(tracked, "A", expected(clip, tracking=session.lane.tracking, first=first))


def test_a_start_by_hand_leaves_the_tracking_alone(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session, results = tracked.session, expected(clip)
    click_frame(qtbot, tracked, 7)
    session.starts.from_box(start().box)
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


def test_the_start_of_a_frame_is_turned_by_hand(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    """From where the frame before ended, with the windows of a tracked frame, but for the rotation."""
    session, results = tracked.session, expected(clip)
    click_frame(qtbot, tracked, 7)
    press(qtbot, tracked, "box")
    angle = results[7].initial.rotation[2] + 0.2
    tracked.image_views["A"].roi.turned.emit(angle)
    tracked.image_views["A"].roi.released.emit()
    settle(qtbot, tracked)
    initial = turned(tiny_model(), results[7].initial, (*results[7].initial.rotation[:2], angle))
    np.testing.assert_array_equal(session.lane.initial.params, initial.params)
    assert session.lane.origin is Origin.BY_HAND
    assert session.lane.fit_options == results[7].options
    assert_tracked(tracked, "A", results)
    press(qtbot, tracked, "undo")
    assert_shows(tracked, clip, 7, results[7])


def test_one_turned_box_for_every_frame(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 0)
    assert session.lane.initial.source is Source.DETECTOR
    press(qtbot, tracked, "roll_right")
    session.set_tracking_options(TrackOptions(initialization=Source.BOX))
    settle(qtbot, tracked)
    first = turned(tiny_model(), start(), (0.0, 0.0, math.radians(5)))
    np.testing.assert_allclose(session.lane.chosen.first.params, first.params, rtol=0, atol=1e-12)
    tracking = TrackOptions(initialization=Source.BOX)
    assert_tracked(tracked, "A", expected(clip, tracking=tracking, first=session.lane.chosen.first))


def test_tracking_from_a_frame_and_its_start(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session = tracked.session
    click_frame(qtbot, tracked, 5)
    session.starts.from_box(start().box)
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


# --- comparing ------------------------------------------------------------------------------------


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
    assert session.scene.frame == first
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


def test_the_frames_that_only_one_lane_finds_are_named_after_it(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    """Lane B begins later: what A finds before that is not compared, what B alone finds is said to be B's."""
    session = tracked.session
    press(qtbot, tracked, "compare")
    settle(qtbot, tracked)
    apart = session.tracker.apart
    assert apart is not None and apart.end == COUNT
    both = np.flatnonzero(apart.a.found & apart.b.found)
    for name, frame in (("A", int(both[3])), ("B", int(both[5]))):
        other = apart.b if name == "A" else apart.a
        other.found[frame] = False
        apart.one_only[frame] = True
        apart.distance[frame] = np.nan
    columns = worst_columns(Worst.APART, session.tracker.all_results(), apart)
    named = dict(zip(columns["frame"], columns["face in"], strict=True))
    assert named[int(both[3]) + 1] == "A only" and named[int(both[5]) + 1] == "B only"
    assert named[int(both[0]) + 1] == "both"


def test_what_is_tracked_is_what_both_lanes_have(qtbot: QtBot, tracked: MainWindow) -> None:
    session = tracked.session
    session.tracker.stop()
    press(qtbot, tracked, "compare")
    assert session.lanes["A"].results.end == COUNT and session.lanes["B"].results.end == 0
    assert session.tracker.tracked == 0
    assert session.tracker.can_track
    session.tracker.start()
    settle(qtbot, tracked)
    assert session.tracker.tracked == COUNT


def test_a_tracking_that_failed_is_not_begun_again_by_itself(
    qtbot: QtBot, window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, failed, track_lanes = window.session, [], shots.track_lanes
    session.failed.connect(lambda *words: failed.append(words[0]))

    def breaks(*_: object) -> Iterator[object]:
        raise RuntimeError("out of order")
        yield

    monkeypatch.setattr("clnf_gui.session.tracker.track_lanes", breaks)
    session.tracker.start()
    qtbot.waitUntil(lambda: bool(failed), timeout=TIMEOUT_MS)
    monkeypatch.setattr("clnf_gui.session.tracker.track_lanes", track_lanes)
    session.set_options(FitOptions(sigma=2.5))
    settle(qtbot, window)
    assert "out of order" in failed[0] and len(failed) == 1
    assert session.lane.results.end == 0, "nobody has asked since"
    assert not session.tracker.chasing
    session.tracker.start()
    settle(qtbot, window)
    assert session.tracker.tracked == COUNT


def test_each_lane_begins_with_a_start_of_its_own(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session = tracked.session
    press(qtbot, tracked, "compare")
    tilted = turned(tiny_model(), start(), (0.0, 0.0, 0.2))
    session.choose(session.choices.with_lane("B", options=FitOptions(), first=tilted, begin=2))
    settle(qtbot, tracked)
    assert_tracked(tracked, "A", expected(clip))
    results = session.lanes["B"].results
    assert results.begin == 2 and same(results[2].initial, tilted)
    assert results[1] is None


def test_while_the_other_lane_is_tracked_both_show_the_frame(qtbot: QtBot, tracked: MainWindow, clip: Path) -> None:
    session, results = tracked.session, expected(clip)
    press(qtbot, tracked, "compare")
    session.set_active("B")
    session.set_options(FitOptions(reg_factor=5.0))
    session.tracker.set_chasing(True)
    seen = set()

    def check(_: object) -> None:
        if session.scene.frame not in AWAY and session.scene.frame and session.lanes["A"].complete:
            seen.add(session.scene.frame)
            assert np.array_equal(session.lanes["A"].steps[-1].landmarks, results[session.scene.frame].landmarks)

    session.changed.connect(check)
    settle(qtbot, tracked)
    assert len(seen) > 2


def test_steps_and_frames_do_not_play_at_once(tracked: MainWindow) -> None:
    session = tracked.session
    tracked.actions_by_id["play_video"].trigger()
    tracked.actions_by_id["play"].trigger()
    assert (session.cursor.playback.on, session.frames.playback.on) == (True, False)
    tracked.actions_by_id["play_video"].trigger()
    assert (session.cursor.playback.on, session.frames.playback.on) == (False, True)
    tracked.actions_by_id["play_video"].trigger()


def test_the_same_tracking_does_not_part(qtbot: QtBot, tracked: MainWindow) -> None:
    session, told = tracked.session, []
    press(qtbot, tracked, "compare")
    press(qtbot, tracked, "other_lane")
    session.set_options(session.lanes["A"].options)
    settle(qtbot, tracked)
    session.told.connect(told.append)
    press(qtbot, tracked, "parting")
    assert told[-1] == "A and B stay within 1 px of each other"


# --- damage, closing, files -----------------------------------------------------------------------


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
    assert not empty.session.tracker.can_track
    last = empty.session.scene.frame
    empty.message_bar.hide()
    empty.session.frames.go_to(len(empty.session.scene.times) - 1)
    settle(qtbot, empty)
    assert empty.message_bar.isVisible()
    assert empty.session.scene.frame == empty.session.frames.wanted == last


@pytest.mark.parametrize("what", ["close", "open", "model"])
def test_doing_something_else_while_tracking(
    qtbot: QtBot, window: MainWindow, photo: Path, model_file: Path, what: str
) -> None:
    session = window.session
    click_track(qtbot, window)
    qtbot.waitUntil(lambda: session.tracker.tracked > 1, timeout=TIMEOUT_MS)
    if what == "close":
        window.close()
    elif what == "open":
        window.dialogs.open_file(str(photo))
        qtbot.waitUntil(lambda: session.video is None, timeout=TIMEOUT_MS)
        assert not session.tracker.tracking
    else:
        window.dialogs.open_model(str(model_file))
        qtbot.waitUntil(lambda: session.tracker.tracked < 2 or session.tracker.tracked == COUNT, timeout=TIMEOUT_MS)
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
    session.open_session(tmp_path / "kept.json")
    qtbot.waitUntil(lambda: session.comparing and session.video is not None, timeout=TIMEOUT_MS)
    settle(qtbot, tracked)
    assert session.scene.frame == 9
    assert session.image.path.samefile(clip)
    assert session.lanes["B"].tracking.redetect_interval == 7
    assert session.lanes["A"].options.reg_factor == 11.0
    assert session.cursor.place == document.place
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


# --- a real video ---------------------------------------------------------------------------------


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
    qtbot.waitUntil(lambda: session.tracker.tracked > 20, timeout=TIMEOUT_MS)
    session.tracker.stop()
    settle(qtbot, window)
    model = load_model()
    with open_video(path) as source:
        for result, found in zip(track(source, model), session.lane.results, strict=False):
            assert same(result, found)
    window.close()
    window.deleteLater()
