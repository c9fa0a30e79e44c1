"""Parts, eyes, hypotheses and validation in the window: the tree of fits, and what is painted of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine.tiny_model import tiny_image, tiny_model_with_parts, true_landmarks
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QTreeWidgetItem
from pytestqt.qtbot import QtBot

from clnf_engine import DetectionOptions, FitOptions, Phase, Trace, detect, initial_from_box
from clnf_engine.detection.tree import WHOLE, Node
from clnf_engine.io.landmarks import pts_text
from clnf_engine.io.openface import write_model
from clnf_engine.presets import PROGRAMS
from clnf_gui.option_titles import lane_labels
from clnf_gui.session import Session
from clnf_gui.session.choices import Choices, LaneChoices
from clnf_gui.session.document import read_session, write_session
from clnf_gui.views.contours import CONTOURS_OF_EYE, contours
from clnf_gui.window import MainWindow

from .conftest import wait_for_fit
from .test_plugins import damped

EYES = DetectionOptions(eye_parts=True, validate=False)
MERGED, REFITTED = (None, Phase.MERGE, None), (None, Phase.REFIT, None)


@pytest.fixture(scope="module")
def parted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tiny_model_with_parts(), tmp_path_factory.mktemp("parted"))


@pytest.fixture
def parted(qtbot: QtBot, window: MainWindow, parted_file: Path, box: tuple) -> MainWindow:
    """A window with the model that has parts, the pane of the fits in sight."""
    session = window.session
    session.open_model(parted_file)
    qtbot.waitUntil(lambda: session.model is not None and bool(session.model.parts))
    wait_for_fit(qtbot, session)
    session.starts.from_box(box)
    wait_for_fit(qtbot, session)
    window.docks.raise_("Fits")
    settle(qtbot, window)
    return window


def settle(qtbot: QtBot, window: MainWindow) -> None:
    wait_for_fit(qtbot, window.session)
    QApplication.processEvents()
    window.repaint_now()


def switch(qtbot: QtBot, window: MainWindow, *names: str) -> None:
    """Click switches above the tree."""
    for name in names:
        widget = window.panes.detection.switches[name]
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=QPoint(8, widget.height() // 2))
        settle(qtbot, window)


def row(window: MainWindow, title: str, nth: int = 0) -> QTreeWidgetItem:
    how = Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive
    return window.panes.fits.findItems(title, how)[nth]


def click(window: MainWindow, title: str, nth: int = 0) -> None:
    """Click a row of the tree."""
    tree, item = window.panes.fits, row(window, title, nth)
    tree.scrollToItem(item)
    place = tree.visualItemRect(item).center()
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    window.repaint_now()


def painted(window: MainWindow, lane: str = "A") -> np.ndarray:
    points = window.image_views[lane].point_item.data
    return np.stack([points["x"], points["y"]], axis=1)


def segments(item: object) -> int:
    return 0 if not item.isVisible() else len(item.xData) // 2


# --- the switches -----------------------------------------------------------------------------------


def test_nothing_is_done_around_a_fit_by_default(window: MainWindow) -> None:
    session = window.session
    assert (session.lane.detection, session.choices.a.detection, session.cursor.node) == (None, None, WHOLE)
    assert segments(window.image_views["A"].part_item) == 0
    window.docks.raise_("Fits")
    window.repaint_now()
    assert "Nothing is done around the fit" in window.panes.fits.hint.text()
    assert not window.panes.fits.rows_shown()
    for name, reason in (("parts", "has no parts"), ("eye_parts", "for the eyes"), ("validate", "no validator")):
        assert not window.panes.detection.switches[name].isEnabled()
        assert reason in window.panes.detection.switches[name].toolTip()
    assert window.panes.detection.switches["hypotheses"].isEnabled()


def test_the_end_of_a_detection_is_shown_and_undone(qtbot: QtBot, parted: MainWindow) -> None:
    session, before = parted.session, parted.session.lane.numbers[-1].landmarks
    switch(qtbot, parted, "eye_parts")
    assert session.choices.a.detection == EYES  # eyes need parts
    expected = detect(tiny_image(), session.model, session.starts.of("A").initial, FitOptions(), EYES)
    assert session.lane.place == REFITTED
    np.testing.assert_array_equal(session.step.landmarks, expected.landmarks)
    np.testing.assert_array_equal(painted(parted), expected.landmarks)
    assert "refit" in parted.headers["A"].text()
    assert segments(parted.image_views["A"].part_item) == 2 * len(CONTOURS_OF_EYE)
    parted.actions_by_id["undo"].trigger()
    settle(qtbot, parted)
    assert (session.choices.a.detection, session.lane.detection) == (None, None)
    np.testing.assert_array_equal(painted(parted), before)
    assert segments(parted.image_views["A"].part_item) == 0
    assert not parted.panes.fits.rows_shown()
    parted.actions_by_id["redo"].trigger()
    settle(qtbot, parted)
    np.testing.assert_array_equal(painted(parted), expected.landmarks)


def test_switches_mirror_what_is_chosen(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "eye_parts", "hypotheses", "validate")
    bar, session = parted.panes.detection, parted.session
    bar.margin.setValue(0.05)
    settle(qtbot, parted)
    assert session.choices.a.detection == DetectionOptions(eye_parts=True, hypotheses=True, hypothesis_margin=0.05)
    assert "a face, says the validator (certainty −0.75)" in parted.run_label.text()
    switch(qtbot, parted, "parts")  # the eyes go with them
    assert not bar.switches["eye_parts"].isChecked()
    switch(qtbot, parted, "hypotheses", "validate")
    assert session.choices.a.detection is None
    assert not bar.margin.isEnabled()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_a_preset(program: str, qtbot: QtBot, parted: MainWindow) -> None:
    session, preset = parted.session, parted.options.preset
    preset.setCurrentText(program)
    preset.textActivated.emit(program)
    settle(qtbot, parted)
    assert session.choices.a.detection == PROGRAMS[program].detection
    assert session.lane.detection is not None
    assert preset.currentText() == program
    switch(qtbot, parted, "eye_parts")
    assert preset.currentText() == "openface"  # whose fits these are still
    preset.textActivated.emit("openface-wild")
    settle(qtbot, parted)
    assert session.choices.a.detection == replace(PROGRAMS[program].detection, eye_parts=True)
    for name in (program, "openface"):
        preset.textActivated.emit(name)
        settle(qtbot, parted)
    assert (session.choices.a.detection, preset.currentText()) == (None, "openface")


def test_functions_of_a_file_make_fits_alone(qtbot: QtBot, parted: MainWindow, tmp_path: Path) -> None:
    session, file = parted.session, tmp_path / "mine.py"
    damped(file)
    switch(qtbot, parted, "parts")
    session.plugins.use(file)
    settle(qtbot, parted)
    assert session.lanes["B"].functions == file
    assert session.lanes["B"].detection is None
    assert not parted.panes.detection.switches["parts"].isEnabled()
    assert "mine.py" in parted.panes.detection.switches["parts"].toolTip()
    session.set_active("A")
    parted.repaint_now()
    assert parted.panes.detection.switches["parts"].isEnabled()


def test_lanes_are_told_apart_by_what_is_done_around_their_fits() -> None:
    a = LaneChoices(detection=PROGRAMS["openface-image"].detection)
    assert lane_labels(Choices(a, LaneChoices(detection=EYES), True)) == {
        "A": "A · openface-image",
        "B": "B · openface + parts, eyes",
    }


# --- the tree ---------------------------------------------------------------------------------------


def test_every_node_is_stepped_through_like_a_run(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "eye_parts")
    session, view = parted.session, parted.image_views["A"]
    detection = session.lane.detection
    titles = [texts[0] for texts in parted.panes.fits.rows_shown()]
    assert titles == ["Whole detection", "Main fit", "inner", "left eye", "right eye", "Merge", "Refit"]
    for title, name, n in (("inner", "inner", 51), ("left eye", "left_eye_28", 28), ("right eye", "right_eye_28", 28)):
        click(parted, title)
        QTest.keyClick(parted, Qt.Key.Key_End)
        parted.repaint_now()
        part = detection.parts[name]
        assert (session.cursor.node, session.lane.node) == (Node(None, name), Node(None, name))
        assert session.model_of() is part.part.model
        np.testing.assert_array_equal(painted(parted), part.landmarks)
        assert segments(view.contour_item) == len(contours(n, part.part))
        assert segments(view.part_item) == 0
        QTest.keyClick(parted, Qt.Key.Key_Home)
        parted.repaint_now()
        np.testing.assert_array_equal(painted(parted), part.trace.steps[0].landmarks)
        QTest.keyClick(parted, Qt.Key.Key_Right)
        parted.repaint_now()
        maps = session.step.responses.final
        assert len(maps) == n
        assert np.isfinite(parted.panes.atlas.image_item.image).sum() == maps.size  # gaps are NaN
        assert session.step is part.trace.steps[1]
        assert session.subject().runs["A"] is part.trace
        assert session.subject().model is part.part.model
        assert parted.headers["A"].text().startswith(f"{title}   ·   2 / ")
        assert parted.panes.fits.currentItem().text(0) == title
    click(parted, "Main fit")
    assert session.lane.place == (None, Phase.END, None)
    np.testing.assert_array_equal(painted(parted), detection.trace.landmarks)
    click(parted, "Merge")
    np.testing.assert_array_equal(painted(parted), detection.merged)
    moved = np.linalg.norm(detection.merged - detection.trace.landmarks, axis=1)
    assert segments(view.shift_item) == 3 * 68  # an arrow of three lines each
    assert f"at most by {moved.max():.2f} px" in parted.headers["A"].text()
    assert row(parted, "Merge").text(3) == f"{moved.mean():.2f}, {moved.max():.2f}"
    assert parted.panes.fits.currentItem().text(0) == "Merge"
    QTest.keyClick(parted, Qt.Key.Key_Right)
    parted.repaint_now()
    assert parted.panes.fits.currentItem().text(0) == "Refit"
    np.testing.assert_array_equal(painted(parted), detection.landmarks)
    click(parted, "left eye")
    click(parted, "Whole detection")
    assert (session.lane.place, parted.panes.fits.currentItem().text(0)) == (REFITTED, "Whole detection")
    session.set_options(FitOptions(sigma=1.6))
    settle(qtbot, parted)
    assert parted.panes.fits.currentItem().text(0) == "Whole detection"


def test_keys_go_from_fit_to_fit(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "parts")
    session = parted.session
    click(parted, "Main fit")
    seen = []
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up):
        QTest.keyClick(parted, key, Qt.KeyboardModifier.AltModifier)
        parted.repaint_now()
        seen.append(parted.panes.fits.currentItem().text(0))
    assert seen == ["inner", "Merge", "Refit", "Merge"]
    QTest.keyClick(parted.panes.fits, Qt.Key.Key_Up)  # the tree's own keys
    parted.repaint_now()
    assert session.lane.node == Node(None, "inner")


def test_hypotheses_are_branches_and_the_chosen_one_is_open(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "parts", "hypotheses")
    detection, tree = parted.session.lane.detection, parted.panes.fits
    whole = tree.topLevelItem(0)
    branches = [whole.child(k) for k in range(whole.childCount())]
    assert len(branches) == 5
    assert [item.isExpanded() for item in branches] == [k == detection.chosen for k in range(5)]
    assert [item.text(0).startswith("● ") for item in branches] == [k == detection.chosen for k in range(5)]
    for k, (item, hypothesis) in enumerate(zip(branches, detection.hypotheses, strict=True)):
        assert item.text(1) == f"{hypothesis.likelihood:.3f}".replace("-", "−")
        item.setExpanded(True)
        click(parted, "inner", k)
        np.testing.assert_array_equal(painted(parted), hypothesis.parts["inner"].landmarks)
    parted.session.set_options(FitOptions(sigma=1.6))
    settle(qtbot, parted)
    branches = [tree.topLevelItem(0).child(k) for k in range(5)]
    assert all(item.isExpanded() for item in branches)  # as the person has left them
    detection = parted.session.lane.detection
    click(parted, branches[3].text(0))
    np.testing.assert_array_equal(painted(parted), detection.hypotheses[3].landmarks)
    assert parted.session.subject().runs["A"] is detection.hypotheses[3].trace


def test_a_model_without_parts_has_hypotheses_only(qtbot: QtBot, window: MainWindow) -> None:
    window.docks.raise_("Fits")
    settle(qtbot, window)
    switch(qtbot, window, "hypotheses")
    found = window.session.lane.detection
    titles = [texts[0] for texts in window.panes.fits.rows_shown()]
    assert len(titles) == 6
    click(window, titles[4])
    assert window.session.lane.node == Node(3)
    np.testing.assert_array_equal(painted(window), found.hypotheses[3].landmarks)


def test_the_same_landmark_stays_selected(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "eye_parts")
    session = parted.session
    session.select(37)
    click(parted, "left eye")
    assert session.selection == 10
    session.cursor.move_cursor(1)
    parted.docks.raise_("Landmark")
    parted.repaint_now()
    assert parted.panes.inspector.panels
    click(parted, "inner")
    assert session.selection == 20
    session.select(0)
    click(parted, "right eye")
    assert session.selection is None


def test_the_pane_tells_the_error_of_every_fit(
    qtbot: QtBot, parted: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(qtbot, parted, "eye_parts")
    assert parted.panes.fits.isColumnHidden(4)
    path = tmp_path / "true.pts"
    path.write_text(pts_text(true_landmarks()))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    parted.actions_by_id["open_truth"].trigger()
    parted.repaint_now()
    detection, truth = parted.session.lane.detection, true_landmarks()
    shared = np.linalg.norm(detection.parts["left_eye_28"].landmarks[8:20:2] - truth[36:42], axis=1)
    assert not parted.panes.fits.isColumnHidden(4)
    assert row(parted, "left eye").text(4) == f"{shared.mean():.2f}"
    click(parted, "left eye")
    assert f"error {shared.mean():.2f} px" in parted.headers["A"].text()
    assert len(parted.image_views["A"].truth_item.data) == 6
    for pane in parted.panes.all:  # none of them minds that most landmarks have no truth
        pane.show(parted.session)
    assert f"{shared.mean():.4g}" in parted.dialogs.report()().decode()


# --- comparing --------------------------------------------------------------------------------------


def test_lanes_are_compared_at_every_node(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "eye_parts")
    session = parted.session
    parted.actions_by_id["compare"].trigger()
    parted.actions_by_id["other_lane"].trigger()
    settle(qtbot, parted)
    assert session.lanes["B"].detection is None
    click(parted, "left eye")
    assert len(painted(parted, "A")) == 28
    assert len(painted(parted, "B")) == 68  # which has no such node
    for pane in parted.panes.all:
        pane.show(session)
    session.set_active("A")
    session.select(10)
    parted.repaint_now()
    assert [view.label.toPlainText() for view in parted.image_views.values()] == ["10", "37"]
    parted.image_views["B"].landmark_clicked.emit(39)
    assert session.selection == 14
    parted.image_views["B"].landmark_clicked.emit(5)
    assert session.selection is None
    session.set_active("B")
    session.set_detection(EYES, FitOptions(sigma=2.5))
    settle(qtbot, parted)
    session.show_node(Node(None, "left_eye_28"))
    settle(qtbot, parted)
    a, b = (session.lanes[name] for name in "AB")
    assert a.node == b.node == Node(None, "left_eye_28")
    assert len(painted(parted, "B")) == 28
    assert set(session.subject().runs) == {"A", "B"}
    assert "A−B" in parted.headers["B"].text()
    tree = parted.panes.fits
    assert [tree.topLevelItem(k).text(0) for k in range(2)] == ["Lane A", "Lane B"]
    click(parted, "right eye", 0)
    assert (session.active, a.node.part, b.node.part) == ("A", "right_eye_28", "right_eye_28")
    assert row(parted, "right eye", 0).isSelected()


# --- what stays -------------------------------------------------------------------------------------


def test_a_refit_keeps_the_node_and_never_shows_another_between(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "eye_parts")
    click(parted, "left eye")
    session, lengths = parted.session, set()
    session.changed.connect(lambda _: lengths.add(len(session.step.landmarks)))
    x, y, width, height = session.starts.now.initial.box
    for dx in (1.0, 2.0, 3.0):
        session.starts.from_box((x + dx, y, width, height))
    settle(qtbot, parted)
    assert lengths == {28}
    assert session.lane.node == Node(None, "left_eye_28")
    assert session.lane.initial is session.lane.detection.parts["left_eye_28"].start


def test_a_session_keeps_the_options_and_the_node(
    qtbot: QtBot, parted: MainWindow, session: Session, tmp_path: Path
) -> None:
    switch(qtbot, parted, "eye_parts", "hypotheses")
    session.show_node(Node(2, "right_eye_28"))
    session.cursor.move_cursor(1)
    points = session.step.landmarks
    path = tmp_path / "session.json"
    write_session(session.document(), path)
    assert read_session(path).node == Node(2, "right_eye_28")
    switch(qtbot, parted, "hypotheses", "parts")
    assert session.lane.detection is None
    session.open_session(path)
    qtbot.waitUntil(lambda: session.lane.detection is not None and not session.busy)
    settle(qtbot, parted)
    assert session.choices.a.detection == replace(EYES, hypotheses=True)
    assert session.lane.node == Node(2, "right_eye_28")
    np.testing.assert_array_equal(session.step.landmarks, points)
    np.testing.assert_array_equal(painted(parted), points)


def test_this_result_starts_from_the_whole_detection(qtbot: QtBot, parted: MainWindow) -> None:
    switch(qtbot, parted, "eye_parts")
    session = parted.session
    end = session.lane.detection.params
    click(parted, "left eye")
    session.starts.from_result()
    settle(qtbot, parted)
    np.testing.assert_array_equal(session.starts.now.initial.params, end)
    session.starts.offer(session.lane.detection.parts["left_eye_28"].start)
    assert "start of a part" in parted.message_bar.text.text()


def test_a_photo_without_a_face_has_its_tree_all_the_same(qtbot: QtBot, parted: MainWindow, tmp_path: Path) -> None:
    switch(qtbot, parted, "eye_parts", "validate")
    path = tmp_path / "nothing.png"
    cv2.imwrite(str(path), np.full((120, 160), 128, dtype=np.uint8))
    session = parted.session
    session.open_image(path)
    qtbot.waitUntil(lambda: session.image.path == path and session.lane.complete and not session.busy)
    settle(qtbot, parted)
    assert session.scene.faces == ()
    assert session.note[1] == "find_start"
    assert [texts[0] for texts in parted.panes.fits.rows_shown()][:2] == ["Whole detection", "Main fit"]
    click(parted, "left eye")
    for pane in parted.panes.all:
        pane.show(session)


def test_a_trace_is_saved_of_the_node_that_is_shown(
    qtbot: QtBot, parted: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(qtbot, parted, "parts")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "run.npz"), ""))
    for title, n in (("Refit", 68), ("inner", 51)):
        click(parted, title)
        parted.actions_by_id["save_trace"].trigger()
        saved = Trace.load(tmp_path / "run.npz")
        assert (saved.steps[-1].phase, saved.landmarks.shape) == (Phase.END, (n, 2))


@pytest.mark.parametrize("title", ["Refit", "left eye"])
def test_the_program_that_is_copied_repeats_the_detection(
    title: str, qtbot: QtBot, parted: MainWindow, capsys: pytest.CaptureFixture[str]
) -> None:
    switch(qtbot, parted, "eye_parts", "hypotheses")
    click(parted, title, parted.session.lane.detection.chosen)
    parted.actions_by_id["copy_python"].trigger()
    names: dict[str, object] = {}
    exec(compile(QApplication.clipboard().text(), "copied", "exec"), names)
    np.testing.assert_array_equal(names["found"].landmarks, parted.session.lane.detection.landmarks)
    np.testing.assert_array_equal(names["step"].landmarks, parted.session.step.landmarks)


# --- against the C++ --------------------------------------------------------------------------------

SHARED = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")
GOLDEN = SHARED / "golden_detector" / "dev_parts_sample2_x2.npz"


@pytest.fixture
def golden(tmp_path: Path) -> Iterator[tuple[dict, Path]]:
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN} is not here: it is not passed on")
    with np.load(GOLDEN) as archive:
        values = {name: archive[name] for name in archive.files}
    path = tmp_path / "golden.png"
    cv2.imwrite(str(path), values["gray"])
    return values, path


def test_the_window_ends_where_openface_does(qtbot: QtBot, window: MainWindow, golden: tuple[dict, Path]) -> None:
    values, path = golden
    session = window.session
    session.open_model(SHARED / "openface" / str(values["model"]))
    qtbot.waitUntil(lambda: session.model is not None and bool(session.model.parts), timeout=30_000)
    session.open_image(path)
    qtbot.waitUntil(lambda: session.image.path == path and not session.busy, timeout=30_000)
    session.starts.set(initial_from_box(session.model, tuple(values["box"].tolist())))
    wait_for_fit(qtbot, session)
    window.docks.raise_("Fits")
    settle(qtbot, window)
    switch(qtbot, window, "eye_parts" if values["eye_parts"] else "parts")
    np.testing.assert_allclose(painted(window), values["final_landmarks"], rtol=0, atol=1e-3)
    click(window, "Merge")
    np.testing.assert_allclose(painted(window), values["merged_landmarks"], rtol=0, atol=1e-3)
    click(window, "left eye")
    np.testing.assert_allclose(painted(window), values["left_eye_28/end_landmarks"], rtol=0, atol=1e-3)
    QTest.keyClick(window, Qt.Key.Key_Home)
    window.repaint_now()
    np.testing.assert_allclose(painted(window), values["left_eye_28/start_landmarks"], rtol=0, atol=1e-3)
