"""Traces of a faulty port in the window: kept beside the engine's run, checked, and looked at cell by cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine.tiny_model import micro_model
from port.faces import FACES
from port.traces import faulty, last_iterations, only_final_maps, only_landmarks
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Model, Phase, Trace, fit
from clnf_engine.checking.evaluation import Evaluation
from clnf_engine.diagnostics.conformance import conformance
from clnf_engine.diagnostics.finding import State
from clnf_engine.io.openface import write_model
from clnf_engine.steps import Place
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.choices import Choices, Recorded, Start, beside_recorded, consequences
from clnf_gui.session.document import read_session, write_session
from clnf_gui.views.evaluation_view import EvaluationView
from clnf_gui.views.strip_view import StripView
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, option_widget, set_option, wait_for_fit
from .test_panes import show

EULER, NO_SIGMA = "update_reads_the_transposed_matrix", "sigma_left_out"


def port_trace(model: Model, names: str = EULER) -> Trace:
    """What a port with mistakes records of a short fit."""
    face = FACES["tiny"]
    port = faulty(tuple(names.split()), model, FitOptions(**face.options))
    return port.fit(face.image(), face.box, face.angles)


def opened(qtbot: QtBot, window: MainWindow, trace: Trace, path: Path) -> None:
    """Save a trace, open it in the window, and wait until all that it brings about has ended."""
    trace.save(path)
    window.dialogs.open_file(str(path))
    session = window.session
    qtbot.waitUntil(lambda: session.choices.a.recorded is not None, timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: not session.busy and not session.lab.busy, timeout=3 * TIMEOUT_MS)
    window.repaint_now()


@pytest.fixture
def ported(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> MainWindow:
    """The window with the trace of a port that reads the Euler angles from the transposed matrix, in the Lab."""
    opened(qtbot, window, port_trace(window.session.model), tmp_path / "port.npz")
    show(window, "Lab")
    return window


def strip(window: MainWindow) -> StripView:
    found = window.panes.finding.tables.stack.currentWidget()
    assert isinstance(found, StripView)
    return found


def evaluation(window: MainWindow) -> EvaluationView:
    found = window.panes.finding.plots.stack.currentWidget()
    assert isinstance(found, EvaluationView) and found.isVisible()
    return found


def click_cell(qtbot: QtBot, window: MainWindow, row: str, place: Place) -> None:
    cells = strip(window).cells
    where = cells.cell(row, place).center().toPoint()
    QTest.mouseClick(cells, Qt.MouseButton.LeftButton, pos=where)
    looked_at(qtbot, window)


def looked_at(qtbot: QtBot, window: MainWindow) -> None:
    """Wait until what is looked at has been recomputed."""
    session = window.session
    window.repaint_now()
    wanted = (
        session.lab.records["conformance"]
        .result.strips[0]
        .place_at(session.evaluations.operation, session.cursor.place)
    )
    qtbot.waitUntil(
        lambda: (
            session.evaluations.of == session.evaluations.operation
            and session.evaluations.found is not None
            and session.evaluations.found.place == wanted
        ),
        timeout=TIMEOUT_MS,
    )
    window.repaint_now()


def told(window: MainWindow) -> str:
    return window.panes.log.toPlainText()


# --- opening --------------------------------------------------------------------------------------


def test_a_foreign_trace_is_shown_beside_the_engines_run_and_checked(ported: MainWindow) -> None:
    session = ported.session
    a, b = session.lanes["A"], session.lanes["B"]
    trace = Trace.load(a.recorded.path)
    assert session.comparing and session.active == "A"
    assert [step.place for step in a.steps] == [step.place for step in trace.steps]
    np.testing.assert_array_equal(a.numbers[-1].landmarks, trace.landmarks)
    own = fit(trace.image, session.model, trace.initial, trace.options)
    np.testing.assert_array_equal(b.numbers[-1].landmarks, own.landmarks)
    assert ported.panes.tools.list.currentItem().text(0) == "Conformance"
    words = ported.panes.finding.words.toPlainText()
    assert "Lane A: No. The Euler angles are read from the transposed matrix (update, from stage 1 rigid 1" in words
    assert ported.image_views["A"].title.text().startswith("A · recorded: port.npz")
    assert "lane B is the engine's run from the same start" in told(ported)


def test_nothing_is_said_of_a_foreign_run_that_holds_for_the_engines_alone(ported: MainWindow) -> None:
    """No verdict from a calibration, no time, no kernel and no Sigma that the port may not have."""
    session = ported.session
    session.cursor.move_to((0, Phase.RIGID, 1))
    session.select(20)
    show(ported, "Landmark")
    assert ported.run_label.text().endswith("recorded run, foreign")
    assert session.verdict("A").failed is None and "foreign" in session.verdict("A").text
    titles = [panel.title for panel in ported.panes.inspector.panels]
    assert {"area", "raw", "after Sigma", "final"} <= set(titles)
    assert not {"kernel", "product", "shift, px", "Sigma", "diag Sigma"} & set(titles)
    session.set_active("B")
    ported.repaint_now()
    assert {"kernel", "product"} <= {panel.title for panel in ported.panes.inspector.panels}
    assert "ms" in ported.run_label.text()


def test_a_run_of_our_own_opens_alone(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    opened(qtbot, window, window.session.trace(), tmp_path / "own.npz")
    assert not window.session.comparing
    assert window.session.lab.records["conformance"].result is None
    assert "recorded run   ·" in window.run_label.text() and "foreign" not in window.run_label.text()


def test_a_clean_port_conforms(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    trace = port_trace(window.session.model, "")
    hair = replace(trace.steps[-1], landmarks=trace.landmarks + 1e-5)  # foreign by less than a check minds
    opened(qtbot, window, replace(trace, steps=(*trace.steps[:-1], hair)), tmp_path / "clean.npz")
    show(window, "Lab")
    assert "Lane A: Yes." in window.panes.finding.words.toPlainText()
    assert State.FAILS not in strip(window).cells.strip.states.values()


def test_a_trace_of_another_model_asks_for_it(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = micro_model()
    main = write_model(model, tmp_path / "micro")
    start = replace(window.session.starts.of("A").initial, params=np.array([0.6, 0, 0, 0, 70, 70, 0.0, 0.0]))
    trace = fit(FACES["tiny"].image(), model, start, FitOptions(euler_transposed=True))
    opened(qtbot, window, replace(trace, options=FitOptions()), tmp_path / "port.npz")
    assert "made with another model than tiny" in window.message_bar.text.text()
    assert not window.session.comparing and window.session.lab.records["conformance"].result is None
    show(window, "Parameters")
    assert window.panes.parameters.table.model().rowCount() == 0, "the bounds of another model say nothing"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(main), ""))
    qtbot.mouseClick(window.message_bar.help_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.comparing and not window.session.busy, timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: not window.session.lab.busy, timeout=TIMEOUT_MS)
    window.repaint_now()
    assert window.message_bar.isHidden()
    assert [len(window.session.lanes[name].steps[0].params) for name in "AB"] == [8, 8]
    assert "Euler angles" in window.session.lab.records["conformance"].result.finding.verdict


# --- cell by cell ---------------------------------------------------------------------------------


def test_a_click_on_a_cell_goes_there_and_shows_both_values(qtbot: QtBot, ported: MainWindow) -> None:
    place = (1, Phase.NONRIGID, 2)
    click_cell(qtbot, ported, "update", place)
    session, view = ported.session, evaluation(ported)
    assert session.cursor.place == place
    step = session.lanes["A"].step
    columns = view.table._model.columns
    np.testing.assert_array_equal(columns[1], step.params)
    np.testing.assert_allclose(np.array(columns[1]) - columns[2], columns[3], atol=1e-12)
    # Of a small rotation, the transposed matrix is the one turned back.
    np.testing.assert_allclose(columns[1][1:4], -np.array(columns[2][1:4]), atol=2e-2)
    assert columns[1][0] == columns[2][0]
    assert view.words.text().startswith("update, stage 2 non-rigid 2: params differs by")
    image = strip(ported).cells.grab().toImage()
    ratio = image.devicePixelRatio()
    spot = strip(ported).cells.cell("update", (0, Phase.RIGID, 1)).center() * ratio
    calm = strip(ported).cells.cell("hessian", (0, Phase.RIGID, 1)).center() * ratio
    wrong, right = (QColor(image.pixel(point.toPoint())) for point in (spot, calm))
    assert wrong.red() > 2 * wrong.blue() and right.blue() > 2 * right.red()


def test_stepping_keeps_the_operation(qtbot: QtBot, ported: MainWindow) -> None:
    click_cell(qtbot, ported, "update", (0, Phase.RIGID, 1))
    ported.setFocus()
    QTest.keyClick(ported, Qt.Key.Key_Right)
    assert ported.session.cursor.place == (0, Phase.RIGID, 2)
    looked_at(qtbot, ported)
    assert ported.session.evaluations.found.place == (0, Phase.RIGID, 2)
    cells = strip(ported).cells
    cells.setFocus()
    QTest.keyClick(cells, Qt.Key.Key_Up)
    looked_at(qtbot, ported)
    assert ported.session.evaluations.operation == "delta"
    assert ported.session.cursor.place == (0, Phase.RIGID, 2), "up and down are the strip's"
    assert evaluation(ported).words.text().startswith("delta, stage 1 rigid 2: delta as it should be")
    ported.session.cursor.move_to((None, Phase.END, None))
    ported.repaint_now()
    assert "delta is not recorded at end" in evaluation(ported).words.text()


def test_maps_are_shown_at_the_landmark_where_they_are_worst(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    opened(qtbot, window, port_trace(window.session.model, NO_SIGMA), tmp_path / "port.npz")
    show(window, "Lab")
    click_cell(qtbot, window, "sigma", (0, Phase.RESPONSES, None))
    session, view = window.session, evaluation(window)
    found = session.evaluations.found
    assert session.selection == found.landmark
    maps = session.lanes["A"].step.responses
    apart = np.abs(found.recomputed - maps.raw).reshape(len(maps.raw), -1).max(axis=1)
    assert session.selection == int(np.argmax(apart))
    np.testing.assert_array_equal(view.images[0].image, maps.raw[session.selection].astype(np.float32))
    np.testing.assert_array_equal(view.images[1].image, found.recomputed[session.selection].astype(np.float32))
    np.testing.assert_allclose(view.images[2].image, view.images[0].image - view.images[1].image, atol=1e-6)
    assert list(view.images[0].levels) == list(view.images[1].levels), "both in one range"
    assert view.images[2].levels[0] == -view.images[2].levels[1]
    QApplication.processEvents()
    assert view.boxes[2].sceneBoundingRect().right() <= view._pictures.width(), "all three are in sight"
    session.select(3)
    window.repaint_now()
    np.testing.assert_array_equal(view.images[0].image, maps.raw[3].astype(np.float32))
    centre = view.boxes[0].mapViewToScene(view.boxes[0].viewRect().center())
    view._pictures.scene().sigMouseMoved.emit(centre)
    row, column = map(int, re.findall(r"row (\d+), column (\d+)", view.readout.text())[0])
    assert f"recorded {maps.raw[3][row, column]:.4g}" in view.readout.text()


def test_every_kind_of_value_is_shown(qtbot: QtBot, ported: MainWindow) -> None:
    def look(operation: str) -> tuple[EvaluationView, Evaluation]:
        click_cell(qtbot, ported, operation, (0, Phase.RIGID, 2))
        return evaluation(ported), ported.session.evaluations.found

    view, found = look("mean_shift_image")
    (x, y), at = view.arrows[0].getData(), ported.session.lanes["A"].step.landmarks
    vectors = np.stack([x[1::2] - x[::2], y[1::2] - y[::2]], axis=1)
    np.testing.assert_allclose(np.stack([x[::2], y[::2]], axis=1), at)
    factor = vectors.ravel() @ found.recorded.ravel() / (found.recorded**2).sum()
    np.testing.assert_allclose(vectors, factor * found.recorded, atol=1e-9)
    view, found = look("base_shape")
    np.testing.assert_array_equal(np.stack(view.dots[0].getData(), axis=1), found.recorded)
    view, found = look("weights")
    assert view.table._model.columns[1] == found.recorded.tolist()
    view, found = look("jacobian")
    np.testing.assert_allclose(np.abs(view.images[1].image).max(axis=0), 1, rtol=1e-6)
    view, found = look("neuron")
    side = ported.session.lanes["A"].step.stage.window
    assert view.images[0].image.shape[0] % (side + 1) == side, "neurons side by side, with gaps"


def test_cells_tell_what_they_are_and_names_lead_to_the_first_that_fails(qtbot: QtBot, ported: MainWindow) -> None:
    cells = strip(ported).cells
    assert "update, stage 1 rigid 1: fails" in cells._words("update", (0, Phase.RIGID, 1))
    assert "init, stage 1 rigid 1: not recorded" in cells._words("init", (0, Phase.RIGID, 1))
    y = cells.row_rectangle("update").center().y()
    QTest.mouseClick(cells, Qt.MouseButton.LeftButton, pos=QPoint(5, round(y)))
    looked_at(qtbot, ported)
    assert ported.session.cursor.place == (0, Phase.RIGID, 1)
    for state in strip(ported).cells.strip.states.values():
        assert state.value in strip(ported).legend.text()
    ported.setPalette(QPalette(QColor("#202020")))
    QApplication.processEvents()
    assert strip(ported).cells.grab().toImage().size() == strip(ported).cells.size()


PARTS: dict[str, Callable[[Trace], Trace]] = {
    "five arrays": only_landmarks,
    "final maps": only_final_maps,
    "last iterations": last_iterations,
    "rows of NaN": lambda trace: replace(
        trace,
        steps=tuple(
            s
            if s.mean_shift is None
            else replace(s, mean_shift=replace(s.mean_shift, image=_holed(s.mean_shift.image)))
            for s in trace.steps
        ),
    ),
}


def _holed(values: np.ndarray) -> np.ndarray:
    result = np.array(values, dtype=np.float64)
    result[10:20] = np.nan
    return result


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_run_is_checked_and_looked_at(qtbot: QtBot, window: MainWindow, tmp_path: Path, part: str) -> None:
    session, failures = window.session, []
    session.failed.connect(lambda message, _: failures.append(message))
    opened(qtbot, window, PARTS[part](port_trace(session.model, NO_SIGMA)), tmp_path / "part.npz")
    show(window, "Lab")
    view = strip(window).cells
    assert State.FAILS in view.strip.states.values()
    for row in ("project", "schedule", "base_shape", "ncc", "normalise", "mean_shift_image", "hessian", "update"):
        here = [place for place in view.strip.places if (row, place) in view.strip.states]
        for place in here[-1:]:
            click_cell(qtbot, window, row, place) if row != "schedule" else session.look_at(row, place)
    for step in session.lane.numbers:
        session.cursor.move_to(step.place)
        window.repaint_now()
    window.grab()
    assert failures == []


def test_a_result_is_not_taken_for_that_of_the_engines_run(ported: MainWindow) -> None:
    """The engine's run has the same image, start and options."""
    session = ported.session
    session.set_active("B")
    assert [result.verdict(True)[:6] for _, result in session.results()] == ["Lane A"], "still true, and says of which"
    session.swap_lanes()
    assert session.results() == ()
    ported.repaint_now()
    assert ported.session.evaluations.found is None
    session.set_active("A")
    assert session.results() == (), "lane A is the engine's now"


# --- recorded runs are kept -----------------------------------------------------------------------


def test_an_option_runs_in_the_other_lane_and_undo_takes_it_back(qtbot: QtBot, ported: MainWindow) -> None:
    session = ported.session
    kept = session.choices.a.recorded
    before = session.lanes["B"].numbers[-1].landmarks
    set_option(ported, "sigma", 2.0)
    wait_for_fit(qtbot, session)
    assert session.choices.a.recorded is kept and session.lanes["A"].recorded is kept
    assert session.active == "B" and session.lanes["B"].options.sigma == 2.0 and session.lanes["A"].options.sigma != 2.0
    assert "lane A keeps the recorded run; lane B runs with what you have changed" in told(ported)
    assert np.abs(session.lanes["B"].numbers[-1].landmarks - before).max() > 1e-3
    ported.repaint_now()
    ported.actions_by_id["undo"].trigger()
    wait_for_fit(qtbot, session)
    ported.repaint_now()
    assert session.active == "A" and session.choices.b.options == session.choices.a.options
    np.testing.assert_array_equal(session.lanes["B"].numbers[-1].landmarks, before)
    assert option_widget(ported, "sigma").value() == kept.trace.options.sigma


def test_a_box_dragged_over_a_recorded_run_starts_the_other_lane(qtbot: QtBot, ported: MainWindow) -> None:
    session = ported.session
    kept, box = session.choices.a.recorded, session.starts.of("A").initial.box
    ported.image_views["A"].box_dragged.emit((box[0] + 8, box[1], box[2], box[3]))
    wait_for_fit(qtbot, session)
    assert session.choices.a.recorded is kept and session.choices.a.start.initial is kept.trace.initial
    assert session.active == "B" and session.starts.of("B").initial.box[0] == pytest.approx(box[0] + 8, abs=1e-6)
    assert session.history.can_undo


def test_a_recorded_run_can_be_in_lane_b(qtbot: QtBot, ported: MainWindow) -> None:
    session = ported.session
    kept = session.choices.a.recorded
    ported.actions_by_id["swap"].trigger()
    wait_for_fit(qtbot, session)
    assert session.choices.b.recorded is kept and session.lanes["B"].recorded is kept
    assert session.choices.a.recorded is None and session.lanes["A"].recorded is None
    session.set_active("B")
    set_option(ported, "reg_factor", 3.0)
    wait_for_fit(qtbot, session)
    assert session.choices.b.recorded is kept and session.lanes["A"].options.reg_factor == 3.0
    session.try_deviation("sum_guard", "B")
    wait_for_fit(qtbot, session)
    assert session.choices.b.recorded is kept and session.choices.a.options.sum_guard
    session.undo()
    session.undo()
    session.undo()
    wait_for_fit(qtbot, session)
    assert session.choices.a.recorded is kept and session.lanes["A"].recorded is kept


def test_a_session_file_keeps_recorded_runs(qtbot: QtBot, ported: MainWindow, tmp_path: Path, photo: Path) -> None:
    session = ported.session
    set_option(ported, "sigma", 2.0)
    session.swap_lanes()
    wait_for_fit(qtbot, session)
    ends = {name: session.lanes[name].numbers[-1].landmarks for name in "AB"}
    document = session.document()
    write_session(document, tmp_path / "kept.json")
    assert '"version": 3' in (tmp_path / "kept.json").read_text("utf-8")
    assert read_session(tmp_path / "kept.json").recorded["B"].resolve() == (tmp_path / "port.npz").resolve()
    session.open_image(photo)
    wait_for_fit(qtbot, session)
    assert session.choices.b.recorded is None
    session.open_session(tmp_path / "kept.json")
    qtbot.waitUntil(lambda: session.choices.b.recorded is not None, timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, session)
    for name, landmarks in ends.items():
        np.testing.assert_array_equal(session.lanes[name].numbers[-1].landmarks, landmarks)
    assert session.lanes["B"].recorded is not None and session.lanes["B"].foreign
    (tmp_path / "port.npz").unlink()
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS) as failure:
        session.open_session(tmp_path / "kept.json")
    assert "port.npz" in failure.args[0]


def test_the_copied_program_reads_the_recorded_run(ported: MainWindow) -> None:
    ported.session.cursor.move_to((0, Phase.RIGID, 2))
    for name in ported.session.shown:
        ported.session.set_active(name)
        ported.actions_by_id["copy_python"].trigger()
        space: dict = {}
        exec(QApplication.clipboard().text().replace("print(", "("), space)
        run = ported.session.lanes[name].numbers[-1]
        np.testing.assert_array_equal(space["trace"].landmarks, run.landmarks)
        assert space["step"].place == (0, Phase.RIGID, 2)


def test_the_report_of_the_lab_shows_the_strip_and_judges_no_foreign_run(
    qtbot: QtBot, ported: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lab.html"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(out), ""))
    ported.actions_by_id["export_lab_report"].trigger()
    qtbot.waitUntil(lambda: f"saved {out}" in told(ported), timeout=TIMEOUT_MS)
    text = out.read_text("utf-8")
    assert "Operations × steps" in text and "The Euler angles are read from the transposed matrix" in text
    assert "Trace.load(" in text and "<svg" in text
    assert "The fit A" not in text


# --- without a window -----------------------------------------------------------------------------


def _recorded() -> Recorded:
    return Recorded(Path("port.npz"), None, ())


def test_what_is_wanted_of_a_recorded_lane_goes_to_the_other() -> None:
    start, other = (Start(object(), object()) for _ in range(2))
    kept = _recorded()
    old = Choices().with_lane("A", recorded=kept, start=start)
    for wanted in (old.with_lane("A", options=FitOptions(sigma=2.0)), old.with_lane("A", start=other)):
        new, said = beside_recorded(old, wanted)
        assert new.a == old.a and new.comparing and new.active == "B" and "lane A keeps" in said
        assert (new.b.options, new.b.start, new.b.recorded) == (wanted.a.options, wanted.a.start, None)
        assert consequences(old, new, None).refit == {"B"}
    for same in (old, old.swapped(), replace(old, comparing=True), old.with_lane("B", options=FitOptions(sigma=2.0))):
        assert beside_recorded(old, same) == (same, "")
    assert old.swapped().b.start is start, "it stays where it was recorded from"
    both = old.with_lane("B", recorded=_recorded())
    new, said = beside_recorded(both, both.with_lane("B", options=FitOptions(sigma=2.0)))
    assert new is both and "both lanes hold recorded runs" in said


def test_a_recorded_run_is_shown_when_it_is_chosen_and_no_more_when_it_is_not() -> None:
    old, kept = Choices(comparing=True), _recorded()
    found = consequences(old, old.with_lane("B", recorded=kept), None)
    assert found.refit == {"B"} and found.aspects == Aspect(0)


def test_the_numbers_of_the_window_are_those_of_the_check(qtbot: QtBot, ported: MainWindow) -> None:
    session = ported.session
    trace = session.choices.a.recorded.trace
    direct = conformance(trace, session.model)
    assert direct.verdict == session.lab.records["conformance"].result.finding.verdict
    click_cell(qtbot, ported, "update", (0, Phase.RIGID, 2))
    again = direct.evaluation(trace, session.model, "update", (0, Phase.RIGID, 2))
    np.testing.assert_array_equal(session.evaluations.found.recomputed, again.recomputed)
