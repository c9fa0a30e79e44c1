"""The window opens recordings that lack whatever another program did not write: it draws what there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QDockWidget
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Phase, Trace
from clnf_engine.io.trace_folder import LINES
from clnf_engine.steps import ResponseMaps, Step
from clnf_gui.look import Curves, Look, MapKind, MapRange
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit

KEPT = ("phase", "stage", "iteration", "params", "landmarks", "message")


def stripped(trace: Trace, *kept: str) -> Trace:
    """Only some values of every Step."""
    gone = dict.fromkeys(name for name in Step.__dataclass_fields__ if name not in (*KEPT, *kept))
    return replace(trace, steps=tuple(replace(step, **gone) for step in trace.steps))


def with_maps(trace: Trace, *kept: str) -> Trace:
    """Only some of the maps, and nothing else."""
    gone = dict.fromkeys(name for name in ResponseMaps.__dataclass_fields__ if name not in kept)
    cache = {id(step.responses): replace(step.responses, **gone) for step in trace.steps if step.responses is not None}
    few = stripped(trace, "responses")
    return replace(few, steps=tuple(replace(s, responses=cache.get(id(s.responses))) for s in few.steps))


def without_shifts(trace: Trace, *gone: str) -> Trace:
    return replace(
        trace,
        steps=tuple(
            s if s.mean_shift is None else replace(s, mean_shift=replace(s.mean_shift, **dict.fromkeys(gone)))
            for s in trace.steps
        ),
    )


def few_landmarks(trace: Trace) -> Trace:
    def hidden(step: Step) -> Step:
        points = step.landmarks.copy()
        points[10:40] = np.nan
        return replace(step, landmarks=points)

    return replace(stripped(trace), steps=tuple(hidden(step) for step in stripped(trace).steps))


def nowhere(trace: Trace, name: str) -> Trace:
    few = stripped(trace)
    return replace(few, steps=tuple(replace(s, **{name: np.full_like(getattr(s, name), np.nan)}) for s in few.steps))


PARTS: dict[str, Callable[[Trace], Trace]] = {
    "five arrays": stripped,
    "landmarks alone": lambda trace: nowhere(trace, "params"),
    "params alone": lambda trace: nowhere(trace, "landmarks"),
    "some landmarks": few_landmarks,
    "delta": lambda trace: stripped(trace, "delta"),
    "gradient": lambda trace: stripped(trace, "delta", "gradient", "update_norm"),
    "final maps alone": lambda trace: with_maps(trace, "final"),
    "raw maps, and where they are": lambda trace: with_maps(
        trace, "raw", "base_shape", "reference_to_image", "visible"
    ),
    "shapes alone": lambda trace: with_maps(trace, "base_shape", "reference_shape"),
    "no positions": lambda trace: without_shifts(trace, "position", "kernel_sum", "empty"),
    "no shifts": lambda trace: without_shifts(trace, "image", "reference"),
    "iterations alone": lambda trace: replace(trace, steps=trace.steps[2:-1]),
    "one step": lambda trace: replace(stripped(trace), steps=stripped(trace).steps[5:6]),
    "stages untold": lambda trace: replace(
        trace,
        steps=tuple(
            s if s.stage is None else replace(s, stage=replace(s.stage, scale=np.nan, sigma=np.nan, view=None))
            for s in trace.steps
        ),
    ),
    "views of another model": lambda trace: replace(
        trace,
        steps=tuple(
            s if s.stage is None else replace(s, stage=replace(s.stage, view=99, patch_scale=7)) for s in trace.steps
        ),
    ),
}


def opened(qtbot: QtBot, window: MainWindow, path: Path) -> None:
    """Open a trace in the window and wait for it."""
    window.dialogs.open_file(str(path))
    qtbot.waitUntil(lambda: window.session.image.path == path, timeout=TIMEOUT_MS)
    window.repaint_now()


def show_everything(window: MainWindow) -> None:
    """Bring every pane to the front, one after the other, at every step, with a landmark selected and without."""
    session = window.session
    for dock in window.findChildren(QDockWidget):
        dock.show()
        dock.raise_()
        window.repaint_now()
    for landmark in (None, 20, 50):
        session.select(landmark)
        for step in session.lane.numbers:
            session.cursor.move_to(step.place)
            window.repaint_now()


@pytest.mark.parametrize("name", PARTS)
def test_the_window_shows_a_part_of_a_run(qtbot: QtBot, window: MainWindow, tmp_path: Path, name: str) -> None:
    session = window.session
    part = PARTS[name](session.trace())
    failures: list[str] = []
    session.failed.connect(lambda message, _: failures.append(message))
    part.save(tmp_path / "part.npz")
    opened(qtbot, window, tmp_path / "part.npz")
    assert len(session.lane.steps) == len(part.steps)
    show_everything(window)
    looks = [Look(map_kind=kind, map_range=range_) for kind in MapKind for range_ in (MapRange.EACH, MapRange.RUN)]
    looks += [Look(curves=curves) for curves in (Curves.NORM, Curves.PARTS, Curves.GRADIENT)]
    looks += [Look(show_windows=True, windows_all=True, show_map=True, show_trail=True, show_numbers=True)]
    for look in looks:
        session.set_look(look)
        window.repaint_now()
    window.image_views["A"].zoom_to_face()
    window.grab()
    assert failures == []


def test_five_arrays_are_drawn(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session = window.session
    whole = session.trace()
    stripped(whole).save(tmp_path / "five.npz")
    opened(qtbot, window, tmp_path / "five.npz")
    place = (1, Phase.NONRIGID, 2)
    session.cursor.move_to(place)
    window.repaint_now()
    step = next(step for step in whole.steps if step.place == place)
    points = window.image_views["A"].point_item.data
    np.testing.assert_array_equal(np.stack([points["x"], points["y"]], axis=1), step.landmarks)
    assert len(window.image_views["A"].contour_item.getData()[0]) > 50
    # The change of the shape is drawn from the landmarks alone.
    (_, y), expected = (
        window.panes.convergence.curve_items["A"][1].getData(),
        [s.shape_change for s in whole.steps if s.iteration is not None],
    )
    np.testing.assert_allclose(10**y, expected, rtol=1e-9)
    assert window.panes.atlas.hint.isVisibleTo(window.panes.atlas) and window.panes.atlas.hint.text()
    assert session.trace().steps[4].shape_change is None, "what was recorded stays as it is"


def test_parameters_alone_are_projected_by_the_model(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    whole = window.session.trace()
    nowhere(whole, "landmarks").save(tmp_path / "params.npz")
    opened(qtbot, window, tmp_path / "params.npz")
    for step, original in zip(window.session.lane.steps, whole.steps, strict=True):
        np.testing.assert_allclose(step.landmarks, original.landmarks, atol=1e-9)


def test_maps_that_are_not_recorded_are_said_to_be(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session = window.session
    with_maps(session.trace(), "final").save(tmp_path / "final.npz")
    opened(qtbot, window, tmp_path / "final.npz")
    session.cursor.move_to((0, Phase.RIGID, 1))
    session.set_look(Look(map_kind=MapKind.FINAL))
    window.repaint_now()
    assert window.panes.atlas.hint.text() == ""
    session.set_look(Look(map_kind=MapKind.RAW))
    window.repaint_now()
    assert "not recorded" in window.panes.atlas.hint.text()


def test_a_folder_is_opened_and_what_was_left_out_is_told(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session, told = window.session, []
    session.told.connect(told.append)
    whole = session.trace()
    folder = tmp_path / "run"
    folder.mkdir()
    np.save(folder / "image.npy", whole.image)
    start = {"params": whole.initial.params.tolist()}
    lines = [{"format": "clnf-trace", "version": 2, "image": "image.npy", "initial_params": start["params"]}]
    lines += [
        {"phase": "initial", **start},
        {"phase": "rigid", "iteration": 1, "params": whole.steps[2].params.tolist()},
    ]
    (folder / LINES).write_text("\n".join(map(json.dumps, lines)) + '\n{"phase"')
    opened(qtbot, window, folder)
    np.testing.assert_allclose(session.lane.steps[1].landmarks, whole.steps[2].landmarks, atol=1e-9)
    assert any("line 4, is torn" in line for line in told)
    session.set_options(FitOptions(sigma=2.0))
    wait_for_fit(qtbot, session)
    assert session.trace().fingerprint == session.model.fingerprint and len(session.lane.steps) > 10


def test_a_run_without_a_start_is_shown_and_not_run(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session = window.session
    part = replace(session.trace(), initial=type(session.trace().initial).unknown(10))
    replace(part, steps=part.steps[2:]).save(tmp_path / "part.npz")
    opened(qtbot, window, tmp_path / "part.npz")
    assert session.starts.of("A") is None and len(session.lane.steps) == len(part.steps) - 2


def test_the_lab_says_that_a_run_is_foreign(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    """A run with transposed Euler angles whose options do not tell: the round trips are those of our own fit."""
    session = window.session
    session.set_options(FitOptions(euler_transposed=True))
    wait_for_fit(qtbot, session)
    port = stripped(replace(session.trace(), options=FitOptions()))
    replace(port, steps=port.steps[:-1]).save(tmp_path / "port.npz")
    opened(qtbot, window, tmp_path / "port.npz")
    wait_for_fit(qtbot, session)
    session.diagnose(["round_trips", "fixed_point"])  # after the check that opening began
    qtbot.waitUntil(lambda: session.lab.records["fixed_point"].result is not None, timeout=3 * TIMEOUT_MS)
    trips, converged = (session.lab.records[name].result.finding for name in ("round_trips", "fixed_point"))
    assert trips.answer is True and "not about the recorded run, which is foreign: at stage 1" in trips.verdict
    assert converged.answer is None, "without updates"


def test_a_recorded_run_of_other_landmarks_is_not_compared(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session, told = window.session, []
    session.told.connect(told.append)
    few = stripped(session.trace())
    three = replace(few, steps=tuple(replace(step, landmarks=step.landmarks[:3]) for step in few.steps))
    three.save(tmp_path / "three.npz")
    opened(qtbot, window, tmp_path / "three.npz")
    session.set_comparing(True)
    wait_for_fit(qtbot, session)
    show_everything(window)
    session.go_to_divergence()
    assert "68 and 3 landmarks" in told[-1] or "3 and 68 landmarks" in told[-1]
