"""A port is followed while it runs, held and let go; whatever ends, nothing hangs and nothing received is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from port.recording import play
from port.test_live import ENDLESS, RECORDERS, ended
from port.traces import recorded
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from clnf_engine import Phase, Trace
from clnf_engine.recorders.clnf_recorder import Recorder
from clnf_engine.stops import parse_stop
from clnf_gui.panels.follow_dialog import FollowDialog
from clnf_gui.window import MainWindow

from .closing import bury
from .conftest import TIMEOUT_MS


@pytest.fixture
def following(qtbot: QtBot, window: MainWindow) -> Iterator[MainWindow]:
    """A window that listens; what it says of failures fails the test."""
    failed: list[str] = []
    window.session.failed.connect(lambda message, _: failed.append(message))
    window.actions_by_id["follow_port"].trigger()
    yield window
    assert failed == []


def started(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def counting(
    folder: Path,
    address: str,
    steps: int,
    hold: bool = False,
    fits: int = 1,
    enough: threading.Event | None = None,
) -> threading.Thread:
    """A port with `steps` iterations in each fit, at most; iteration k has k in its parameters."""

    def run() -> None:
        rec = Recorder(folder, stream=address, hold=hold)
        for _ in range(fits):
            rec.begin(recorded().image, recorded().initial.params)
            rec.stage(window=5)
            for k in range(1, steps + 1):
                rec.iteration("rigid", params=[k, *recorded().initial.params[1:]])
                if enough is not None and enough.is_set():
                    break
            rec.end()

    return started(run)


def press(qtbot: QtBot, window: MainWindow, command: str) -> None:
    """Click a button of the bar as soon as it can be."""
    button = window.live_bar.buttons[command]
    qtbot.waitUntil(button.isEnabled, timeout=TIMEOUT_MS)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_for(qtbot: QtBot, test: Callable[[], Any]) -> None:
    qtbot.waitUntil(lambda: bool(test()), timeout=TIMEOUT_MS)


def wait_held(qtbot: QtBot, window: MainWindow, steps: int) -> None:
    lane = window.session.lanes["A"]
    wait_for(qtbot, lambda: lane.live and len(lane.steps) == steps and window.session.live.held)


def assert_counted(window: MainWindow, steps: int) -> None:
    """Lane A has every step, in order."""
    found = [step.params[0] for step in window.session.lanes["A"].steps if step.phase is Phase.RIGID]
    assert found == list(range(1, len(found) + 1))
    assert len(window.session.lanes["A"].steps) >= steps


def test_the_steps_of_a_port_appear_and_its_run_is_compared_in_the_end(
    qtbot: QtBot, following: MainWindow, tmp_path: Path
) -> None:
    session = following.session
    dialog = following.findChild(FollowDialog)
    assert following.live_bar.text.text() == f"Listening for a port at {session.live.address.split('#')[0]}"
    for name, line in dialog.lines.items():
        qtbot.mouseClick(dialog.copy_buttons[name], Qt.MouseButton.LeftButton)
        assert QApplication.clipboard().text() == line.text()
        assert session.live.address in line.text()
    namespace = {"Recorder": lambda folder, **settings: Recorder(tmp_path / folder, **settings)}
    exec(dialog.lines["Python"].text().replace("hold=True", "hold=False"), namespace)
    thread = started(lambda: play(recorded(), namespace["rec"]))
    wait_for(qtbot, lambda: session.image.path == tmp_path / "run")
    assert not any(dialog.isVisible() for dialog in following.findChildren(FollowDialog))
    wait_for(qtbot, lambda: session.lanes["A"].complete and not session.busy)
    ended(thread)
    lane, trace = session.lanes["A"], Trace.load(tmp_path / "run")
    assert [step.place for step in lane.steps] == [step.place for step in trace.steps]
    np.testing.assert_array_equal(lane.steps[-1].landmarks, trace.landmarks)
    assert lane.step.phase is Phase.END
    assert not lane.live
    assert following.windowTitle() == "run — CLNF Studio"
    assert session.can_diagnose


def test_a_port_is_held_stepped_run_to_a_stop_and_let_go(qtbot: QtBot, following: MainWindow, tmp_path: Path) -> None:
    session, lane = following.session, following.session.lanes["A"]
    thread = counting(tmp_path / "run", session.live.address, 20, hold=True)
    for steps in (1, 2, 3, 4):
        wait_held(qtbot, following, steps)
        assert lane.cursor == steps - 1
        assert not session.can_diagnose
        wait_for(qtbot, lambda: "held" in following.live_bar.text.text())
        press(qtbot, following, "step_port")
    wait_held(qtbot, following, 5)
    following.actions_by_id["first"].trigger()
    press(qtbot, following, "step_port")
    wait_held(qtbot, following, 6)
    assert lane.cursor == 0  # a person who looks elsewhere stays there
    following.actions_by_id["end"].trigger()
    session.cursor.set_stops((parse_stop("at stage 1 rigid 9"),))
    press(qtbot, following, "run_port")
    wait_for(qtbot, lambda: len(lane.steps) == 11 and not session.live.running)
    assert lane.step.iteration == 9
    assert session.live.held
    press(qtbot, following, "run_port")
    wait_for(qtbot, lambda: lane.step.phase is Phase.END and session.live.held)
    press(qtbot, following, "let_port_go")
    ended(thread)
    assert_counted(following, 23)


def test_a_running_port_is_held_and_other_choices_are_undone_without_losing_steps(
    qtbot: QtBot, following: MainWindow, tmp_path: Path
) -> None:
    session, lane = following.session, following.session.lanes["A"]
    enough = threading.Event()
    thread = counting(tmp_path / "run", session.live.address, 90000, enough=enough)
    press(qtbot, following, "hold_port")
    wait_for(qtbot, lambda: session.live.held and len(lane.steps) == session.live.state.steps)
    held_at = len(lane.steps)
    following.actions_by_id["ghost"].trigger()
    press(qtbot, following, "step_port")
    wait_held(qtbot, following, held_at + 1)
    following.actions_by_id["undo"].trigger()
    assert len(lane.steps) == held_at + 1
    enough.set()
    press(qtbot, following, "let_port_go")
    ended(thread)
    wait_for(qtbot, lambda: lane.complete and not session.busy)
    assert_counted(following, held_at + 2)


def test_the_next_fit_waits_for_a_person_who_looks_at_an_earlier_step(
    qtbot: QtBot, following: MainWindow, tmp_path: Path
) -> None:
    session, lane = following.session, following.session.lanes["A"]
    thread = counting(tmp_path / "run", session.live.address, 3, hold=True, fits=2)
    press(qtbot, following, "run_port")
    wait_held(qtbot, following, 6)
    following.actions_by_id["first"].trigger()
    press(qtbot, following, "step_port")
    wait_for(qtbot, lambda: session.live.waiting is not None)
    assert (session.image.path.name, lane.cursor) == ("run", 0)
    wait_for(qtbot, lambda: "To the end" in following.live_bar.text.text())
    following.actions_by_id["end"].trigger()
    wait_for(qtbot, lambda: session.image.path.name == "run_2")
    wait_held(qtbot, following, 1)
    press(qtbot, following, "let_port_go")
    wait_for(qtbot, lambda: lane.complete and not session.busy)
    ended(thread)
    assert_counted(following, 6)


def test_a_port_that_is_started_again_is_followed_where_it_was_looked_at(
    qtbot: QtBot, following: MainWindow, tmp_path: Path
) -> None:
    session, lane = following.session, following.session.lanes["A"]
    for steps in (5, 7):
        ended(counting(tmp_path / "run", session.live.address, steps))
        wait_for(qtbot, lambda: not lane.live and lane.complete and not session.busy and len(lane.steps) == steps + 3)  # noqa: B023
        if steps == 5:
            session.cursor.move_cursor(3)
            place = lane.place
    assert lane.place == place
    assert_counted(following, 10)


@pytest.mark.parametrize("what", ["another photo", "no more following", "the window is closed"])
def test_a_held_port_is_let_go(qtbot: QtBot, following: MainWindow, tmp_path: Path, photo: Path, what: str) -> None:
    session = following.session
    thread = counting(tmp_path / "run", session.live.address, 50, hold=True)
    wait_held(qtbot, following, 1)
    if what == "another photo":
        session.open_image(photo)
        wait_for(qtbot, lambda: session.image.path == photo)
    elif what == "no more following":
        press(qtbot, following, "stop_following")
        wait_for(qtbot, following.live_bar.isHidden)
    else:
        following.close()
    ended(thread)
    assert len(Trace.load(tmp_path / "run").steps) == 53
    if what == "another photo":
        assert session.image.path == photo
        following.actions_by_id["follow_port"].trigger()  # which follows it again
        wait_for(qtbot, lambda: len(session.lanes["A"].steps) == 53)
    bury(rounds=1)


def test_another_model_is_opened_meanwhile(
    qtbot: QtBot, following: MainWindow, tmp_path: Path, model_file: Path
) -> None:
    session, lane, before = following.session, following.session.lanes["A"], following.session.model
    thread = counting(tmp_path / "run", session.live.address, 50, hold=True)
    wait_held(qtbot, following, 1)
    press(qtbot, following, "step_port")
    wait_held(qtbot, following, 2)
    session.open_model(model_file)
    wait_for(qtbot, lambda: session.model is not before)
    wait_held(qtbot, following, 2)
    press(qtbot, following, "let_port_go")
    wait_for(qtbot, lambda: lane.complete and not session.busy)
    ended(thread)
    assert_counted(following, 53)


def test_a_port_that_is_killed_leaves_what_was_received(qtbot: QtBot, following: MainWindow, tmp_path: Path) -> None:
    session, lane, chosen = following.session, following.session.lanes["A"], random.Random(5)
    for k in range(3):
        folder, moment = tmp_path / f"run{k}", chosen.randrange(2, 200)
        words = [sys.executable, "-S", "-c", ENDLESS, str(RECORDERS), str(folder), session.live.address]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
            wait_for(qtbot, lambda: lane.live and session.image.path == folder and len(lane.steps) >= moment)  # noqa: B023
            process.kill()
        heard = session.live.state.steps
        wait_for(qtbot, lambda: not lane.live and not session.busy)
        assert len(lane.steps) >= heard
        assert len(lane.steps) <= len(Trace.load(folder).steps)
        wait_for(qtbot, lambda: "has gone" in following.live_bar.text.text())


def test_a_folder_that_is_no_trace_is_told_of_once_and_the_port_runs_on(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    session, failed = window.session, []
    session.failed.connect(lambda message, _: failed.append(message))
    window.actions_by_id["follow_port"].trigger()
    rec = Recorder(tmp_path / "run", stream=session.live.address)
    rec.begin(recorded().image, recorded().initial.params)
    wait_for(qtbot, lambda: session.lanes["A"].live)
    rec._fit._lines.write(b"nonsense\n")
    rec.stage(window=5)
    for _ in range(3):
        rec.iteration("rigid", params=recorded().initial.params)
    wait_for(qtbot, lambda: failed)
    rec.end()
    wait_for(qtbot, lambda: session.live.state.steps == 6)
    assert len(failed) == 1
    assert "line 3 is not JSON" in failed[0]
    assert len(session.lanes["A"].steps) == 1
