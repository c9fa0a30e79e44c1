"""What other programs print of a fit opens like a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from port.foreign_files import cpp_trace, history, openface_csv, response_files
from port.traces import recorded
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import Phase
from clnf_gui.opening import open_file
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS
from .test_partial_traces import show_everything

SOURCES: dict[str, Callable[[Path], Path]] = {
    "image.csv": lambda folder: openface_csv(folder / "image.csv", recorded()),
    "cpp_trace.txt": lambda folder: cpp_trace(folder / "cpp_trace.txt", recorded()),
    "history.json": lambda folder: history(folder / "history.json", recorded()),
    "responses": lambda folder: response_files(folder / "responses", recorded()),
}


@pytest.mark.parametrize("name", SOURCES)
def test_it_opens_and_every_step_is_shown(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, told = window.session, []
    session.told.connect(told.append)
    failed: list[str] = []
    session.failed.connect(lambda message, _: failed.append(message))
    source = SOURCES[name](tmp_path)
    cv2.imwrite(str(tmp_path / f"{source.stem}.png"), recorded().image)
    if source.is_dir():
        open_file(session, str(source))
    else:
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(source), ""))
        window.actions_by_id["open_trace"].trigger()
    qtbot.waitUntil(lambda: not session.busy, timeout=TIMEOUT_MS)
    assert failed == []
    trace = session.trace()
    assert session.image.path == source
    if not source.is_dir():
        np.testing.assert_array_equal(session.image.gray, recorded().image)
    phases = {step.phase for step in trace.steps}
    expected = {"image.csv": Phase.END, "responses": Phase.RESPONSES}.get(name, Phase.NONRIGID)
    assert expected in phases
    assert any("place in a trace" in line or "final ones" in line for line in told)
    show_everything(window)
    assert failed == []
