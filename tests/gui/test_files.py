"""Sessions, traces, exports, recent files, drops, the palette and the layout."""

from __future__ import annotations

import csv
import io
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDockWidget, QFileDialog, QInputDialog
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Normalization, Phase, first_divergence
from clnf_gui.look import Look, MapKind
from clnf_gui.panels.palette import Palette
from clnf_gui.session import Session
from clnf_gui.session.document import VERSION
from clnf_gui.settings import recent_files
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, shown_option, wait_for_fit


@pytest.fixture
def save_to(monkeypatch: pytest.MonkeyPatch) -> object:
    """Answer the next file dialog with a path."""

    def answer(path: Path) -> Path:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
        return path

    return answer


def busy_session(qtbot: QtBot, window: MainWindow) -> None:
    """Give a session something of everything to keep."""
    session = window.session
    session.set_comparing(True)
    session.set_active("B")
    session.set_options(FitOptions(normalization=Normalization.SUM, sigma=1.75))
    session.starts.perturb(seed=4, amount=0.03)
    wait_for_fit(qtbot, session)
    session.set_look(Look(map_kind=MapKind.RAW, show_ghost=False, pinned=(3, 40), manual_range=(0.5, 2.0), target=0.25))
    session.select(12)
    session.cursor.move_to((1, Phase.NONRIGID, 2))


def test_a_session_saved_closed_and_opened_again_is_identical(
    qtbot: QtBot, window: MainWindow, save_to: object, tmp_path: Path, qapp: object
) -> None:
    busy_session(qtbot, window)
    before = window.session
    path = save_to(tmp_path / "kept")
    window.actions_by_id["save_session"].trigger()
    path = path.with_suffix(".json")
    assert not Path(json.loads(path.read_text())["image"]).is_absolute()
    window.close()
    session = Session()
    again = MainWindow(session)
    again.show()
    save_to(path)
    again.actions_by_id["open_session"].trigger()
    qtbot.waitUntil(lambda: session.comparing, timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, session)
    again.repaint_now()
    for name in "AB":
        assert first_divergence(before.trace(name), session.trace(name)) is None
        assert before.lanes[name].options == session.lanes[name].options
    assert (session.active, session.look, session.selection) == ("B", before.look, 12)
    assert session.step.place == (1, Phase.NONRIGID, 2)
    assert shown_option(again, "normalization") == "sum"
    again.close()
    again.deleteLater()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format": "x"}, "format"),
        ({"version": VERSION + 1}, "version"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"lanes": []}, "lanes"),
        ({"place": [0, "sideways", 1]}, "sideways"),
        ({"stops": ["whenever"]}, "whenever"),
        ({"image": "gone.png"}, "gone.png"),
        ({"look": {"map_kind": "green"}}, "green"),
    ],
)
def test_a_broken_session_file_changes_nothing(
    qtbot: QtBot, window: MainWindow, save_to: object, tmp_path: Path, change: dict, word: str
) -> None:
    session = window.session
    path = save_to(tmp_path / "kept.json")
    window.actions_by_id["save_session"].trigger()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    steps = session.lane.steps
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS) as failure:
        window.actions_by_id["open_session"].trigger()
    assert word in failure.args[0]
    assert session.lane.steps is steps


def test_a_saved_trace_opens_as_it_was_and_can_be_run_anew(
    qtbot: QtBot, window: MainWindow, save_to: object, tmp_path: Path
) -> None:
    session = window.session
    original = session.trace()
    path = save_to(tmp_path / "run.npz")
    window.actions_by_id["save_trace"].trigger()
    session.set_options(FitOptions(sigma=3.0))
    wait_for_fit(qtbot, session)
    window.actions_by_id["open_trace"].trigger()
    qtbot.waitUntil(lambda: session.image.path == path, timeout=TIMEOUT_MS)
    window.repaint_now()
    assert first_divergence(original, session.trace()) is None
    assert np.array_equal(window.image_views["A"].image_item.image[:, :, 1], original.image)
    session.set_options(FitOptions(sigma=3.0))
    wait_for_fit(qtbot, session)
    assert session.lane.steps[1].stage.sigma == 3.0


def test_a_trace_opened_while_comparing_is_shown_alone(
    qtbot: QtBot, window: MainWindow, save_to: object, tmp_path: Path
) -> None:
    """Lane B would show a run of the photo that was open before."""
    session = window.session
    path = save_to(tmp_path / "run.npz")
    window.actions_by_id["save_trace"].trigger()
    window.actions_by_id["compare"].trigger()
    session.set_active("B")
    wait_for_fit(qtbot, session)
    window.actions_by_id["open_trace"].trigger()
    qtbot.waitUntil(lambda: session.image.path == path, timeout=TIMEOUT_MS)
    window.repaint_now()
    assert (session.comparing, session.active, session.lane.recorded.path) == (False, "A", path)
    assert not window.image_views["B"].isVisible()


def test_a_perturbation_can_be_taken_back_after_a_session_is_opened_again(
    qtbot: QtBot, window: MainWindow, save_to: object, tmp_path: Path
) -> None:
    session = window.session
    save_to(tmp_path / "kept.json")
    before = session.starts.of("A")
    session.starts.perturb(seed=4, amount=0.1)
    wait_for_fit(qtbot, session)
    perturbed = session.starts.of("A")
    window.actions_by_id["save_session"].trigger()
    window.actions_by_id["open_session"].trigger()
    qtbot.waitUntil(lambda: session.choices.a.start is not None and not session.busy, timeout=TIMEOUT_MS)
    kept = session.choices.a.start
    assert np.array_equal(kept.base.params, before.initial.params)
    assert np.array_equal(kept.initial.params, perturbed.initial.params)
    assert not np.array_equal(kept.base.params, kept.initial.params)


def test_the_step_table_is_exported_in_full(window: MainWindow, save_to: object, tmp_path: Path) -> None:
    save_to(tmp_path / "steps.csv")
    window.actions_by_id["export_steps"].trigger()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "steps.csv").read_text())))
    steps = window.session.lane.steps
    assert len(rows) == len(steps)
    for row, step in zip(rows, steps, strict=True):
        for name, value in (("update_norm", step.update_norm), ("shape_change_px", step.shape_change)):
            assert row[name] == ("" if value is None else repr(value))
        shape = "" if step.delta is None else float(np.linalg.norm(step.delta[6:]))
        assert row["update_shape"] == ("" if shape == "" else repr(shape))
    assert all(re.fullmatch("[a-z_]+", name) for name in rows[0]), "a name that scripts must quote"


@pytest.mark.parametrize("view", ["The whole window", "Image, lane A", "Magnitudes"])
def test_any_view_is_exported_at_twice_its_size(
    window: MainWindow, save_to: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, view: str
) -> None:
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: (view, True))
    save_to(tmp_path / "view.png")
    window.actions_by_id["export_picture"].trigger()
    widget = {
        "The whole window": window,
        "Image, lane A": window.image_views["A"],
        "Magnitudes": window.panes.magnitudes,
    }[view]
    picture = QImage(str(tmp_path / "view.png"))
    assert (picture.width(), picture.height()) == (2 * widget.width(), 2 * widget.height())


def exported(qtbot: QtBot, window: MainWindow, path: Path) -> str:
    """The report, written in the background."""
    window.repaint_now()  # which enables what can be done with a run that has just ended
    with qtbot.waitSignal(window.session.told, timeout=TIMEOUT_MS, check_params_cb=lambda text: str(path) in text):
        window.actions_by_id["export_report"].trigger()
    return path.read_text(encoding="utf-8")


def test_the_report_is_one_file_that_names_the_step(
    qtbot: QtBot, window: MainWindow, save_to: object, tmp_path: Path
) -> None:
    session = window.session
    session.cursor.move_to((0, Phase.NONRIGID, 3))
    session.select(40)
    page = exported(qtbot, window, save_to(tmp_path / "report.html"))
    (row,) = re.findall(r'<tr class="here">(.*?)</tr>', page)
    cells = re.findall("<td[^>]*>([^<]*)</td>", row)
    assert cells[0] == str(session.lane.steps.index(session.step) + 1)
    assert cells[1] in page.partition("<h2>")[0]
    assert "non-rigid 3" in cells[1]
    assert cells[2] == f"{session.step.update_norm:.4g}"
    assert page.count("data:image/png;base64,") >= 4
    assert "http" not in page


def test_the_report_of_a_hostile_file_name_is_harmless(
    qtbot: QtBot, window: MainWindow, photo: Path, save_to: object, tmp_path: Path
) -> None:
    name = '<img src=x onerror="alert(1)">\x1b&.png'
    (tmp_path / name).write_bytes(photo.read_bytes())
    window.session.open_image(tmp_path / name)
    wait_for_fit(qtbot, window.session)
    page = exported(qtbot, window, save_to(tmp_path / "report.html"))
    assert "<img src=x" not in page
    assert "\x1b" not in page
    title = "<h1>CLNF fit of &lt;img src=x onerror=&#34;alert(1)&#34;&gt;\\x1b&amp;.png</h1>"
    assert title in page


def test_copy_as_python_repeats_the_run_bit_for_bit(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session = window.session
    session.set_options(FitOptions(normalization=Normalization.MINMAX, windows=(9, 7), sigma=1.3))
    session.starts.perturb(seed=2, amount=0.02)
    wait_for_fit(qtbot, session)
    session.cursor.move_to((1, Phase.RIGID, 2))
    window.actions_by_id["copy_python"].trigger()
    program = tmp_path / "repeat.py"
    program.write_text(QGuiApplication.clipboard().text())
    found = runpy.run_path(str(program))
    assert first_divergence(found["trace"], session.trace()) is None
    assert np.array_equal(found["step"].landmarks, session.step.landmarks)


def test_what_cannot_be_written_is_told(
    qtbot: QtBot, window: MainWindow, save_to: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: ("The whole window", True))
    for command in ("save_session", "export_steps", "export_picture", "export_report"):
        window.message_bar.hide()
        save_to(tmp_path / "none" / "file.x")
        window.actions_by_id[command].trigger()
        qtbot.waitUntil(window.message_bar.isVisible, timeout=TIMEOUT_MS)
        assert "file.x" in window.message_bar.text.text()


def test_files_are_dropped_on_the_window_and_remembered(
    qtbot: QtBot, window: MainWindow, photo: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "other.png"
    copy.write_bytes(photo.read_bytes())
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(copy))])
    event = QDropEvent(
        QPoint(100, 100),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dropEvent(event)
    qtbot.waitUntil(lambda: window.session.image.path == copy, timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, window.session)
    assert recent_files() == [str(copy)]
    window.menus.recent_menu.aboutToShow.emit()
    assert [action.text() for action in window.menus.recent_menu.actions()] == [str(copy)]


def test_the_palette_finds_and_runs_a_command(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_by_id["palette"].trigger()
    palette = window.findChild(Palette)
    QTest.keyClicks(palette.text, "stage forw")
    assert palette.list.count() == 1
    QTest.keyClick(palette.text, Qt.Key.Key_Return)
    assert window.session.step.place == (1, Phase.RESPONSES, None)


def test_the_palettes_arrows_move_through_the_list(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_by_id["palette"].trigger()
    palette = window.findChild(Palette)
    qtbot.waitUntil(palette.text.hasFocus, timeout=TIMEOUT_MS)
    assert palette.list.count() > 20
    QTest.keyClick(palette.text, Qt.Key.Key_Down)
    QTest.keyClick(palette.text, Qt.Key.Key_Down)
    QTest.keyClick(palette.text, Qt.Key.Key_Up)
    assert palette.list.currentRow() == 1
    palette.reject()


def test_resetting_the_layout_brings_closed_docks_back(window: MainWindow) -> None:
    docks = window.findChildren(QDockWidget)
    for dock in docks:
        dock.close()
    window.actions_by_id["reset_layout"].trigger()
    assert all(not dock.isHidden() for dock in docks)


def test_the_model_menu_lists_the_shipped_model_recent_ones_and_open(
    qtbot: QtBot, window: MainWindow, model_file: Path
) -> None:
    session = window.session
    window.dialogs.open_model(str(model_file))
    wait_for_fit(qtbot, session)
    window.menus.model_menu.aboutToShow.emit()
    texts = [action.text() for action in window.menus.model_menu.actions() if not action.isSeparator()]
    assert texts == ["portrait68 (shipped)", str(model_file), "Open model…"]
    window.menus.model_menu.actions()[0].trigger()
    qtbot.waitUntil(lambda: session.model.name == "main_portrait68", timeout=TIMEOUT_MS)
    wait_for_fit(qtbot, session)
    assert session.step.landmarks.shape == (68, 2)
    window.menus.model_menu.aboutToShow.emit()
    assert [a.text() for a in window.menus.model_menu.actions() if not a.isSeparator()] == texts
