"""The Studies pane: a small real study is opened, looked through, and its faces come into the lanes."""

from __future__ import annotations

import csv
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine.studies.small import N_PHOTOS, small_study
from engine.tiny_model import true_landmarks
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialogButtonBox, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine.accuracy import accuracy
from clnf_engine.studies.faces import Filter
from clnf_engine.studies.reading import read_row
from clnf_engine.studies.rows import Row
from clnf_gui.opening import open_file
from clnf_gui.panels.study_dialog import StudyDialog
from clnf_gui.session import Session
from clnf_gui.session.study_run import StudyRun
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    return small_study(tmp_path_factory.mktemp("study"), model_file)


def wait_for_study(qtbot: QtBot, session: Session) -> None:
    qtbot.waitUntil(lambda: session.studies.summary is not None and not session.studies.reading, timeout=TIMEOUT_MS)


@pytest.fixture
def study(qtbot: QtBot, window: MainWindow, results: Path) -> MainWindow:
    open_file(window.session, str(results))
    wait_for_study(qtbot, window.session)
    QApplication.processEvents()
    window.repaint_now()
    return window


def paint(window: MainWindow) -> None:
    window.repaint_now()
    QApplication.processEvents()


def photo_pair(window: MainWindow) -> int:
    """A face that both variants have fitted."""
    return int(np.flatnonzero(np.isfinite(window.session.studies.faces.values).all(axis=0))[3])


def click_dot(window: MainWindow, pair: int) -> None:
    """Click where the dot of a face is painted."""
    scatter, faces = window.panes.study.scatter, window.session.studies.faces
    place = scatter.plotItem.vb.mapViewToScene(QPointF(*faces.values[:, pair]))
    QTest.mouseClick(scatter.viewport(), Qt.MouseButton.LeftButton, pos=scatter.mapFromScene(place))


def choose(combo: object, text: str) -> None:
    """Choose an entry of a combo box, as a person does."""
    index = combo.findText(text)
    assert index >= 0
    combo.setCurrentIndex(index)
    combo.activated.emit(index)


def rows_of(window: MainWindow, pair: int) -> list:
    """The rows of a face in A and B, read from their files."""
    studies = window.session.studies
    columns, parts = studies.results.columns, studies.results.parts
    return [read_row(parts[columns.part[k]], int(columns.position[k])) for k in studies.faces.rows[:, pair]]


# --- what is painted ------------------------------------------------------------------------------


def test_a_dropped_folder_of_results_opens_in_front_with_its_verdict(study: MainWindow) -> None:
    studies, view = study.session.studies, study.panes.study
    assert not view.visibleRegion().isEmpty()
    assert studies.summary.verdict in view.words.toPlainText()
    assert "normalization makes no difference" in view.words.toPlainText()
    assert [view.variants.cell(k, "variant") for k in range(4)] == list(studies.summary.names)
    assert view.variants.cell(1, "same as").startswith("sigma=1 normalization=none: 8 of 8 fits")
    assert study.panes.study_bar.a.currentText() == "sigma=1 normalization=none"


def test_a_study_that_was_read_before_there_was_a_window_is_in_front(study: MainWindow) -> None:
    later = MainWindow(study.session)
    later.show()
    paint(later)
    assert not later.panes.study.visibleRegion().isEmpty()
    later.close()
    later.deleteLater()


def test_every_face_is_a_dot_and_the_curves_are_those_of_the_study(study: MainWindow) -> None:
    studies, view = study.session.studies, study.panes.study
    known = np.isfinite(studies.faces.values).all(axis=0)
    x, y = view.scatter.dots.getData()
    assert known.sum() == 2 * N_PHOTOS
    assert np.array_equal([x, y], studies.faces.values[:, known])
    expected_x, shares = studies.summary.curves()
    for name, item in view.curves.curves.items():
        assert np.array_equal(item.getData(), [expected_x, shares[name]])
    assert set(view.curves.curves) == set(studies.summary.names)


def test_another_variant_is_compared_by_a_click_on_its_row_and_another_baseline_by_choice(
    qtbot: QtBot, study: MainWindow
) -> None:
    studies, view, bar = study.session.studies, study.panes.study, study.panes.study_bar
    view.variants.row_clicked.emit(2)
    paint(study)
    assert (studies.a, studies.b) == (0, 2)
    assert bar.b.currentText() == studies.summary.names[2]
    before = studies.summary.differences[2].mean
    choose(bar.a, studies.summary.names[2])  # each takes the other's place
    wait_for_study(qtbot, study.session)
    paint(study)
    assert (studies.a, studies.b) == (2, 0)
    assert studies.summary.differences[0].mean == -before
    assert np.array_equal(view.scatter.dots.getData(), studies.faces.values[:, view.scatter._known])


def test_a_region_has_its_own_errors(qtbot: QtBot, study: MainWindow) -> None:
    studies = study.session.studies
    choose(study.panes.study_bar.region, "mouth")
    wait_for_study(qtbot, study.session)
    truth = true_landmarks()
    for pair in (photo_pair(study), int(studies.faces.rows.shape[1]) - 1):
        for value, row in zip(studies.faces.values[:, pair], rows_of(study, pair), strict=True):
            if row.landmarks is not None:
                assert value == accuracy(row.landmarks, truth).regions["mouth"]
    assert "(mouth)" in studies.summary.error_title


def test_filters_list_the_faces_they_name(study: MainWindow) -> None:
    studies, bar = study.session.studies, study.panes.study_bar
    studies.choose(b=2)
    change = studies.faces.change
    for text, wanted in (("got worse from A to B", change > 0), ("got better from A to B", change < 0)):
        choose(bar.filter, text)
        assert sorted(studies.listed) == np.flatnonzero(wanted).tolist()
    choose(bar.filter, "changed most")
    assert np.all(np.diff(np.abs(change[studies.listed])) <= 0)
    choose(bar.filter, "worst in B")
    assert np.all(np.diff(studies.faces.values[1, studies.listed]) <= 0)
    choose(bar.filter, "failed")
    paint(study)
    assert [studies.faces.face_text(k).split(",")[0] for k in studies.listed] == ["broken.png"] * 2
    table = study.panes.study.faces
    assert "not an image" in table.cell(0, "A failed")
    assert bar.note.text() == f"2 of {len(change)}"


def test_pointing_at_a_dot_tells_photo_and_errors(study: MainWindow) -> None:
    pair = photo_pair(study)
    study.panes.study.scatter.pair_hovered.emit(pair)
    faces = study.session.studies.faces
    text = study.hover_label.text()
    assert faces.face_text(pair) in text
    for lane, value in zip("AB", faces.values[:, pair], strict=True):
        assert f"{lane} {value:.2f} %" in text
    study.panes.study.scatter.pair_hovered.emit(None)
    assert faces.face_text(pair) not in study.hover_label.text()


# --- into the lanes -------------------------------------------------------------------------------


def test_a_click_on_a_dot_shows_both_fits_of_the_study_bit_for_bit(qtbot: QtBot, study: MainWindow) -> None:
    session = study.session
    session.studies.choose(b=2)
    paint(study)
    pair = photo_pair(study)
    click_dot(study, pair)
    shown = session.studies.pair
    assert np.array_equal(session.studies.faces.values[:, shown], session.studies.faces.values[:, pair])
    qtbot.waitUntil(lambda: bool(session.studies.note), timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, session)
    paint(study)
    rows = rows_of(study, shown)
    assert session.comparing
    assert session.image.path.name == rows[0].photo
    for name, row in zip("AB", rows, strict=True):
        lane = session.lanes[name]
        assert np.array_equal(lane.steps[0].landmarks, session.lanes["A"].steps[0].landmarks)
        assert np.array_equal(lane.initial.params, row.initial.params)
        assert np.array_equal(lane.steps[-1].landmarks, row.landmarks)
        assert study.image_views[name].isVisible()
    assert session.lanes["B"].options == replace(session.lanes["A"].options, sigma=2.0)
    assert session.studies.note == "Lanes A and B are the study's fits, bit for bit"
    assert study.panes.study.note.text() == session.studies.note
    assert session.scene.truth is not None
    x, y = study.panes.study.scatter.ring.getData()
    assert [x[0], y[0]] == session.studies.faces.values[:, shown].tolist()


def test_a_click_on_a_listed_face_opens_it_and_the_next_click_the_next(qtbot: QtBot, study: MainWindow) -> None:
    session, table = study.session, study.panes.study.faces
    for row in (0, 1):
        table.scrollTo(table.model().index(row, 0))
        place = table.visualRect(table.model().index(row, 0)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        pair = int(session.studies.listed[row])
        assert session.studies.pair == pair
        qtbot.waitUntil(lambda: bool(session.studies.note), timeout=TIMEOUT_MS)
        wait_for_fit(qtbot, session)
        paint(study)
        assert np.array_equal(session.lanes["B"].steps[-1].landmarks, rows_of(study, pair)[1].landmarks)


def test_the_lanes_go_on_like_any_others(qtbot: QtBot, study: MainWindow) -> None:
    session = study.session
    session.studies.show(photo_pair(study))
    qtbot.waitUntil(lambda: bool(session.studies.note), timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, session)
    options = session.lanes["A"].options
    note = session.studies.note
    session.set_options(replace(options, sigma=1.25))
    wait_for_fit(qtbot, session)
    assert session.studies.note == ""  # lane A is another fit now
    session.undo()
    wait_for_fit(qtbot, session)
    assert session.lanes["A"].options == options
    assert session.studies.note == note
    assert not session.history.can_undo  # opening a face begins anew, as opening a photo does


def test_another_photo_is_no_face_of_the_study(qtbot: QtBot, study: MainWindow, photo: Path) -> None:
    session = study.session
    session.studies.show(photo_pair(study))
    qtbot.waitUntil(lambda: bool(session.studies.note), timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, session)
    paint(study)
    assert study.panes.study.note.text() == session.studies.note
    session.open_image(photo)
    wait_for_fit(qtbot, session)
    paint(study)
    assert study.panes.study.note.text() == ""
    assert len(study.panes.study.scatter.ring.getData()[0]) == 0


def test_a_fit_that_is_another_now_is_told(qtbot: QtBot, study: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose landmarks are others than the engine's: as if another engine had made it."""

    def other(*where: object) -> Row:
        row = read_row(*where)
        return (
            row if row.variant.startswith("sigma=1 normalization=none") else replace(row, landmarks=row.landmarks + 3)
        )

    monkeypatch.setattr("clnf_gui.session.studies.read_row", other)
    session = study.session
    session.studies.show(photo_pair(study))
    qtbot.waitUntil(lambda: "B: " in session.studies.note, timeout=TIMEOUT_MS)
    a, b = sorted(session.studies.note.split("; "))
    assert a == "A: the study's fit, bit for bit"
    assert b == "B: ends 4.2 px from the study's fit: the engine gives other numbers now"


def test_a_photo_that_changed_is_not_shown_as_that_of_the_study(qtbot: QtBot, study: MainWindow, results: Path) -> None:
    session = study.session
    pair = photo_pair(study)
    path = results.parent / "faces" / rows_of(study, pair)[0].photo
    before = path.read_bytes()
    image = session.image
    try:
        path.write_bytes(before + b" ")
        with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS) as failed:
            session.studies.show(pair)
    finally:
        path.write_bytes(before)
    assert "changed since it was fitted" in failed.args[0]
    assert session.image is image


def test_a_face_without_a_fit_says_why(qtbot: QtBot, study: MainWindow) -> None:
    session = study.session
    session.studies.set_filter(Filter.FAILED)
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS) as failed:
        session.studies.show(int(session.studies.listed[0]))
    assert "broken.png" in failed.args[0]


# --- opening and saving ---------------------------------------------------------------------------


def test_what_is_no_study_is_told(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    with qtbot.waitSignal(window.session.failed, timeout=TIMEOUT_MS) as failed:
        window.session.studies.open(tmp_path)
    assert "study.json" in failed.args[0]
    (tmp_path / "study.json").write_text("{}")
    with qtbot.waitSignal(window.session.failed, timeout=TIMEOUT_MS) as failed:
        window.session.studies.open(tmp_path)
    assert "not a study" in failed.args[0]
    assert not window.session.studies.reading


def test_the_command_opens_a_folder_and_the_export_has_what_is_listed(
    qtbot: QtBot, window: MainWindow, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, path = window.session, tmp_path / "faces.csv"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(results))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    window.menus.update()
    assert not window.actions_by_id["export_faces"].isEnabled()
    window.actions_by_id["open_study"].trigger()
    wait_for_study(qtbot, session)
    session.studies.set_filter(Filter.FAILED)
    window.repaint_now()
    with qtbot.waitSignal(session.told, timeout=TIMEOUT_MS, check_params_cb=lambda text: text == f"saved {path}"):
        window.actions_by_id["export_faces"].trigger()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == ["broken.png"] * 2
    assert {row["start"] for row in rows} == set(session.studies.results.columns.starts)


def test_many_faces_are_counted_in_cells_and_still_found(
    qtbot: QtBot, study: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clnf_gui.views.face_scatter._MOST_DOTS", 3)
    scatter = study.panes.study.scatter
    study.session.studies.choose(b=2)
    paint(study)
    assert scatter.cells.isVisible()
    assert np.nansum(np.expm1(scatter.cells.image)) == pytest.approx(2 * N_PHOTOS, abs=1)
    with qtbot.waitSignal(scatter.pair_clicked, timeout=TIMEOUT_MS):
        click_dot(study, photo_pair(study))


# --- making one -----------------------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies run in one process, which takes less time to start than a cluster."""
    start = StudyRun.start
    monkeypatch.setattr(StudyRun, "start", lambda run, words, path: start(run, [*words, "--workers", "0"], path))


def ask_for_study(window: MainWindow, results: Path, folder: Path) -> StudyDialog:
    window.menus.update()
    window.actions_by_id["run_study"].trigger()
    dialog = next(dialog for dialog in window.findChildren(StudyDialog) if dialog.isVisible())
    dialog.data.setText(str(results.parent / "faces"))
    dialog.results.setText(str(folder))
    dialog.axes.setPlainText("sigma=1,1.25")
    dialog.start.setCurrentIndex(dialog.start.findData("box"))
    dialog.start.activated.emit(dialog.start.currentIndex())
    return dialog


@pytest.mark.usefixtures("alone")
def test_a_study_is_run_from_the_window_and_opened(
    qtbot: QtBot, window: MainWindow, results: Path, model_file: Path, tmp_path: Path
) -> None:
    session, dialog = window.session, ask_for_study(window, results, tmp_path / "new")
    words = ["clnf", "study", "run", str(results.parent / "faces"), "-o", str(tmp_path / "new")]
    words += ["--model", str(model_file), "--start", "box", "-G", "sigma=1,1.25"]
    assert shlex.split(dialog.command.text()) == words
    dialog.buttons.button(QDialogButtonBox.StandardButton.Ok).click()
    window.repaint_now()
    assert "studying" in window.panes.study_bar.note.text()
    assert not window.actions_by_id["run_study"].isEnabled()
    qtbot.waitUntil(lambda: session.studies.run.results is None, timeout=3 * TIMEOUT_MS)
    wait_for_study(qtbot, session)
    assert session.studies.summary.names == ("sigma=1", "sigma=1.25")
    assert len(session.studies.results.columns) == 2 * (N_PHOTOS + 1)


@pytest.mark.usefixtures("alone")
def test_a_study_that_cannot_be_run_says_why_and_one_that_is_stopped_is_no_failure(
    qtbot: QtBot, window: MainWindow, results: Path, tmp_path: Path
) -> None:
    run = window.session.studies.run
    with qtbot.waitSignal(window.session.failed, timeout=TIMEOUT_MS) as failed:
        run.start(["study", "run", str(tmp_path / "none"), "-o", str(tmp_path / "r")], tmp_path / "r")
    assert (
        failed.args[0] == f"{tmp_path / 'none'}: no photo or video there; expected a folder of some, a glob, or a "
        "list of paths"
    )
    dialog = ask_for_study(window, results, tmp_path / "new")
    dialog.accept()
    with qtbot.waitSignal(window.session.told, timeout=TIMEOUT_MS) as told:
        window.menus.update()
        window.actions_by_id["stop_study"].trigger()
    assert "stopped" in told.args[0]
    assert run.results is None
