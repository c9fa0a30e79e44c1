"""The Lab through clicks: what its tools found is shown, followed, marked when out of date, and can be cancelled."""

from __future__ import annotations

import html
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Phase, preset
from clnf_engine.deviations import DEVIATIONS, without_deviations
from clnf_engine.diagnostics.finding import Finding, Plot, Style, Table
from clnf_engine.diagnostics.tools import TOOLS, Tool
from clnf_engine.options import option_defaults
from clnf_engine.steps import Place
from clnf_gui.session import Session
from clnf_gui.session import lab as lab_module
from clnf_gui.session.lab import Activity
from clnf_gui.views.finding_plot import FindingPlot
from clnf_gui.views.number_table import NumberTable
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, option_widget, set_option, wait_for_fit
from .test_panes import click_row, show

PLACE: Place = (1, Phase.RIGID, 2)


@dataclass(frozen=True, eq=False)
class _Finding(Finding):
    question: ClassVar[str] = "Is it so?"
    provenance: ClassVar[str] = "Made up."

    answer: bool | None = True

    @property
    def verdict(self) -> str:
        return "Yes: <it> is so."

    def tables(self) -> tuple[Table, ...]:
        return (
            Table("Rows", ("what", "x", "so"), (("b", 2.0, True), ("a", 1.0, False)), (30, PLACE)),
            Table("Others", ("what",), (("c",), ("d",)), ("sum_guard", None)),
        )

    def plots(self) -> tuple[Plot, ...]:
        x = np.arange(3.0)
        series = {"up": np.array([1.0, 10.0, 100.0]), "down": np.array([0.1, np.nan, 0.0])}
        return (
            Plot("Lines", "k", "px", x, series, log_y=True),
            Plot("Bars", "k", "px", x, series, ("0", "1", "2"), True, Style.BARS),
            Plot("Lying bars", "k", "px", x, series, ("the first", "the second", "the third"), False, Style.BARS),
            Plot("Nothing", "k", "px", x, {"none": np.zeros(3)}, log_y=True),
        )


class Slow:
    """A tool that goes on until it is cancelled or let go."""

    def __init__(self) -> None:
        self.running, self.released, self.ended = (threading.Event() for _ in range(3))

    def __call__(self, *arguments: object) -> _Finding:
        *_, progress = arguments
        self.running.set()
        try:
            while not self.released.wait(0.005):
                progress(3, 7)
        finally:
            self.ended.set()
        return _Finding()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """Two tools in the place of all: a quick one and one that waits."""
    made = Slow()
    quick = Tool("quick", "Quick", _Finding, False, lambda *_: _Finding())
    monkeypatch.setattr(lab_module, "TOOLS", {"quick": quick, "slow": Tool("slow", "Slow", _Finding, True, made)})
    yield made
    made.released.set()


@pytest.fixture
def lab(slow: Slow, window: MainWindow) -> MainWindow:
    """The window with the Lab of two tools in front."""
    show(window, "Lab")
    return window


def choose(window: MainWindow, name: str) -> None:
    """Click a tool in the list."""
    tools = window.panes.tools
    rectangle = tools.list.visualItemRect(tools._rows[name])
    QTest.mouseClick(tools.list.viewport(), Qt.MouseButton.LeftButton, pos=rectangle.center())
    window.repaint_now()


def state(window: MainWindow, name: str) -> str:
    window.repaint_now()
    return window.panes.tools._rows[name].text(1)


def press(qtbot: QtBot, button: object) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_for_lab(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: not window.session.lab.busy, timeout=TIMEOUT_MS)
    window.repaint_now()


def table(window: MainWindow) -> NumberTable:
    """The table in sight."""
    found = window.panes.finding.tables.stack.currentWidget()
    assert isinstance(found, NumberTable)
    return found


def figure(window: MainWindow, title: str) -> FindingPlot:
    pages = window.panes.finding.plots
    pages.choice.setCurrentText(title)
    found = pages.stack.currentWidget()
    assert isinstance(found, FindingPlot)
    return found


def words(window: MainWindow) -> str:
    return window.panes.finding.words.toPlainText()


# --- running --------------------------------------------------------------------------------------


def test_running_a_tool_shows_its_verdict_table_and_figures(qtbot: QtBot, lab: MainWindow) -> None:
    assert state(lab, "quick") == "not run"
    assert "Is it so?" in words(lab)
    assert "Not run yet. F5 runs it" in words(lab)
    assert not lab.panes.finding.tables.isVisible()
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    assert state(lab, "quick") == "yes"
    assert "Yes: <it> is so." in words(lab)
    assert "Made up." in words(lab)
    assert table(lab).isVisible()
    assert [table(lab).cell(k, "x") for k in range(2)] == ["2", "1"]
    assert [table(lab).cell(k, "so") for k in range(2)] == ["yes", "no"]
    table(lab).sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert table(lab).shown_rows() == [1, 0]
    x, y = figure(lab, "Lines").items["up"].getData()
    assert x.tolist() == [0, 1, 2]
    assert np.allclose(10**y, [1, 10, 100])
    assert figure(lab, "Lines").items["down"].getData()[0].tolist() == [0]
    assert "Yes: <it> is so." in lab.panes.log.toPlainText()


def test_bars_end_at_their_values_upright_or_lying(qtbot: QtBot, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    upright = figure(lab, "Bars").items
    for name, values in (("up", [1, 10, 100]), ("down", [0.1])):
        tops = (upright[name].opts["y0"] + upright[name].opts["height"])[: len(values)]
        assert np.allclose(10**tops, values)
    assert upright["down"].opts["height"].tolist()[1:] == [0, 0]
    lying = figure(lab, "Lying bars").items["up"].opts
    assert (lying["x0"] + lying["width"]).tolist() == [1, 10, 100]
    assert "nothing to show" in figure(lab, "Nothing").legend.text()


def test_figures_made_after_a_change_of_theme_have_its_colours(qtbot: QtBot, lab: MainWindow) -> None:
    lab.setPalette(QPalette(QColor("#202020")))
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    plot = figure(lab, "Bars").plot
    assert plot.backgroundBrush().color().lightness() < 100
    assert plot.plotItem.getAxis("left").textPen().color().lightness() > 150


def test_run_all_runs_every_tool_one_after_another_and_tells_how_far(qtbot: QtBot, slow: Slow, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run_all)
    qtbot.waitUntil(lambda: state(lab, "slow") == "running 3 of 7", timeout=TIMEOUT_MS)
    assert state(lab, "quick") == "yes"
    assert lab.panes.tools.progress.isVisible()
    assert (lab.panes.tools.progress.value(), lab.panes.tools.progress.maximum()) == (3, 7)
    choose(lab, "slow")
    assert "Running 3 of 7…" in words(lab)
    slow.released.set()
    wait_for_lab(qtbot, lab)
    assert state(lab, "slow") == "yes"
    assert not lab.panes.tools.progress.isVisible()
    assert not lab.panes.tools.cancel.isEnabled()


def test_a_running_tool_keeps_no_fit_waiting(qtbot: QtBot, slow: Slow, lab: MainWindow) -> None:
    lab.actions_by_id["run_all_tools"].trigger()
    assert slow.running.wait(TIMEOUT_MS / 1000)
    set_option(lab, "sigma", 2.0)
    wait_for_fit(qtbot, lab.session)
    assert lab.session.lane.options.sigma == 2.0
    assert not slow.ended.is_set()
    slow.released.set()
    wait_for_lab(qtbot, lab)
    assert state(lab, "slow") == "yes, out of date"


def test_cancelling_ends_what_runs_and_keeps_what_was_found(qtbot: QtBot, slow: Slow, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run_all)
    assert slow.running.wait(TIMEOUT_MS / 1000)
    qtbot.waitUntil(lambda: state(lab, "quick") == "yes", timeout=TIMEOUT_MS)
    press(qtbot, lab.panes.tools.cancel)
    assert slow.ended.wait(TIMEOUT_MS / 1000)
    assert not lab.session.lab.busy
    assert state(lab, "slow") == "not run"
    assert state(lab, "quick") == "yes"
    slow.released.set()
    lab.actions_by_id["run_tool"].trigger()  # the thread goes on
    wait_for_lab(qtbot, lab)
    assert lab.session.lab.records["slow"].result is None


def test_an_answer_that_nobody_waits_for_is_dropped(qtbot: QtBot, slow: Slow, lab: MainWindow) -> None:
    record = lab.session.lab.records["slow"]
    lab.session.diagnose(["slow"])
    assert slow.running.wait(TIMEOUT_MS / 1000)
    slow.released.set()
    assert slow.ended.wait(TIMEOUT_MS / 1000)  # its answer lies in the queue of this thread
    lab.session.lab.cancel()
    lab.session.diagnose(["quick"])
    wait_for_lab(qtbot, lab)
    assert record.result is None


def test_a_tool_that_fails_says_so_and_the_others_run(qtbot: QtBot, lab: MainWindow) -> None:
    def broken(*_: object) -> Finding:
        raise ZeroDivisionError("no division")

    record = lab.session.lab.records["slow"]
    record.tool = replace(record.tool, run=broken)
    lab.session.diagnose(["slow", "quick"])
    wait_for_lab(qtbot, lab)
    assert state(lab, "slow") == "failed"
    assert state(lab, "quick") == "yes"
    assert "Slow: internal error: ZeroDivisionError" in lab.message_bar.text.text()
    choose(lab, "slow")
    assert "no division" in words(lab)


def test_closing_the_window_while_a_tool_runs_ends_its_thread(slow: Slow, lab: MainWindow) -> None:
    lab.session.diagnose(["slow"])
    assert slow.running.wait(TIMEOUT_MS / 1000)
    lab.close()
    assert slow.ended.is_set()


def test_nothing_runs_before_the_fits_are_finished(qtbot: QtBot, lab: MainWindow) -> None:
    set_option(lab, "max_iterations", 700)
    lab.repaint_now()
    assert not lab.session.can_diagnose
    assert not lab.panes.tools.run.isEnabled()
    assert not lab.actions_by_id["run_tool"].isEnabled()
    lab.session.diagnose(["quick"])
    assert lab.session.lab.records["quick"].activity is Activity.NONE
    set_option(lab, "max_iterations", 2)
    wait_for_fit(qtbot, lab.session)
    lab.repaint_now()
    assert lab.actions_by_id["run_tool"].isEnabled()


def test_commands_bring_the_lab_to_the_front_and_put_it_away(qtbot: QtBot, slow: Slow, window: MainWindow) -> None:
    tools = window.panes.tools
    show(window, "Convergence")
    assert tools.visibleRegion().isEmpty()
    for visible in (True, False, True):
        window.actions_by_id["lab"].trigger()
        QApplication.processEvents()
        assert tools.visibleRegion().isEmpty() is not visible
    show(window, "Convergence")
    QTest.keyClick(window, Qt.Key.Key_F5)
    QApplication.processEvents()
    assert not tools.visibleRegion().isEmpty()
    wait_for_lab(qtbot, window)
    assert state(window, "quick") == "yes"


# --- the report -----------------------------------------------------------------------------------


def test_the_report_holds_what_was_found_and_how_to_find_it_again(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, export = window.session, window.actions_by_id["export_lab_report"]
    path = tmp_path / "why.html"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    session.set_comparing(True)
    wait_for_fit(qtbot, session)
    assert not export.isEnabled()
    session.diagnose(["round_trips", "divergence"])
    wait_for_lab(qtbot, window)
    with qtbot.waitSignal(session.told, timeout=TIMEOUT_MS) as told:
        export.trigger()
    assert told.args == [f"saved {path}"]
    page = html.unescape(path.read_text(encoding="utf-8"))
    found = [session.lab.records[name].result.finding for name in ("round_trips", "divergence")]
    for finding in found:
        assert finding.verdict in page
    program = page.split("<pre>")[1].split("</pre>")[0]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"Round trips {found[0].verdict}", f"First divergence {found[1].verdict}"]
    session.set_options(FitOptions(sigma=2.0))
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert not export.isEnabled()


def test_a_report_that_cannot_be_written_is_told(
    qtbot: QtBot, lab: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "no" / "why.html"), ""))
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    with qtbot.waitSignal(lab.session.failed, timeout=TIMEOUT_MS):
        lab.actions_by_id["export_lab_report"].trigger()
    assert "why.html" in lab.message_bar.text.text()


# --- out of date ----------------------------------------------------------------------------------


def test_a_finding_about_other_options_is_out_of_date_until_they_are_back(qtbot: QtBot, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    set_option(lab, "sigma", 2.0)
    wait_for_fit(qtbot, lab.session)
    assert state(lab, "quick") == "yes, out of date"
    assert "Out of date" in words(lab)
    assert "Yes: <it> is so." in words(lab)
    lab.actions_by_id["undo"].trigger()
    wait_for_fit(qtbot, lab.session)
    assert state(lab, "quick") == "yes"
    assert "Out of date" not in words(lab)
    lab.options.box[0].setValue(31.0)
    wait_for_fit(qtbot, lab.session)
    assert state(lab, "quick") == "yes, out of date"


def test_lane_b_concerns_the_tools_that_compare(qtbot: QtBot, slow: Slow, lab: MainWindow) -> None:
    slow.released.set()
    press(qtbot, lab.panes.tools.run_all)
    wait_for_lab(qtbot, lab)
    lab.actions_by_id["compare"].trigger()
    wait_for_fit(qtbot, lab.session)
    assert state(lab, "quick") == "yes"
    assert state(lab, "slow") == "yes, out of date"
    press(qtbot, lab.panes.tools.run_all)
    wait_for_lab(qtbot, lab)
    runs = lab.session.lab.records["slow"].result.basis.runs
    assert {name: made.options for name, made in runs.items()} == {
        name: lane.options for name, lane in lab.session.lanes.items()
    }
    assert state(lab, "slow") == "yes"


# --- links ----------------------------------------------------------------------------------------


def test_a_row_about_a_landmark_selects_it_and_one_about_a_step_goes_there(qtbot: QtBot, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    assert "landmark" in lab.panes.finding.tables.hint.text()
    click_row(table(lab), 0)
    assert lab.session.selection == 30
    click_row(table(lab), 1)
    assert lab.session.step.place == PLACE
    lab.session.cursor.move_cursor(0)
    table(lab).sortByColumn(1, Qt.SortOrder.AscendingOrder)
    click_row(table(lab), 0)
    assert lab.session.step.place == PLACE


def test_a_landmark_selected_elsewhere_is_marked_in_the_table(qtbot: QtBot, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    table(lab).clearSelection()
    lab.session.select(30)
    lab.repaint_now()
    assert [index.row() for index in table(lab).selectionModel().selectedRows()] == [0]


def test_a_row_without_a_link_goes_nowhere(qtbot: QtBot, lab: MainWindow) -> None:
    press(qtbot, lab.panes.tools.run)
    wait_for_lab(qtbot, lab)
    lab.panes.finding.tables.choice.setCurrentText("Others")
    click_row(table(lab), 1)
    assert not lab.session.comparing


def test_a_row_of_the_ablation_opens_b_with_exactly_that_deviation(qtbot: QtBot, window: MainWindow) -> None:
    session = window.session
    options = replace(FitOptions(), sigma=1.25, sigma_off=True, step_damping=0.5)
    session.set_options(options)
    wait_for_fit(qtbot, session)
    show(window, "Lab")
    choose(window, "ablation")
    press(qtbot, window.panes.tools.run)
    wait_for_lab(qtbot, window)
    finding = session.lab.records["ablation"].result.finding
    assert finding.verdict in words(window)
    for name, value in (("step_damping", 0.5), ("single_phase", True)):
        row = [found.name for found in finding.rows].index(name)
        table(window).scrollTo(table(window).model().index(row, 0))
        click_row(table(window), row)
        wait_for_fit(qtbot, session)
        window.repaint_now()
        assert session.comparing
        assert session.active == "B"
        assert session.lanes["A"].options == options
        assert session.lanes["B"].options == replace(without_deviations(options), **{name: value})
        assert session.lanes["A"].initial is session.starts.of("B").initial
        assert state(window, "ablation") == ("yes" if finding.answer else "no")
        assert window.options.tree.deviations.opts["title"] == "Deviations from OpenFace: 1 on"
    window.actions_by_id["undo"].trigger()
    assert session.lanes["B"].options.step_damping == 0.5
    window.actions_by_id["undo"].trigger()
    assert not session.comparing
    assert session.lanes["A"].options == options


def test_every_tool_runs_and_is_painted(qtbot: QtBot, window: MainWindow) -> None:
    show(window, "Lab")
    press(qtbot, window.panes.tools.run_all)
    wait_for_lab(qtbot, window)
    for name, record in window.session.lab.records.items():
        choose(window, name)
        assert record.problem == ""
        assert record.result.finding.verdict in words(window)
        pages = window.panes.finding
        assert pages.tables.stack.count() == len(record.result.strips) + len(record.result.tables)
        assert pages.plots.stack.count() == len(record.result.strips) + len(record.result.plots)
        for found in record.result.plots:
            figure(window, found.title).grab()
    assert list(window.session.lab.records) == list(TOOLS)


# --- deviations -----------------------------------------------------------------------------------


def test_every_option_has_a_row_and_every_deviation_tells_what_it_breaks(window: MainWindow) -> None:
    tree = window.options.tree
    assert set(tree.rows) == set(option_defaults()) == {field.name for field in fields(FitOptions)}
    assert {child.name() for child in tree.deviations.children()} == set(DEVIATIONS)
    for name, deviation in DEVIATIONS.items():
        tip = next(iter(tree.rows[name].items)).toolTip(0)
        for text in (deviation.breaks, deviation.shows):
            assert text.replace("'", "&#x27;") in tip
        assert option_widget(window, name).toolTip() == tip


def test_ticking_a_deviation_refits_with_it(qtbot: QtBot, window: MainWindow) -> None:
    session, tree = window.session, window.options.tree
    window.findChild(type(tree)).scrollToItem(next(iter(tree.rows["single_phase"].items)))
    box = option_widget(window, "single_phase")
    box.click()
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert session.lane.options == FitOptions(single_phase=True)
    assert all(step.phase is not Phase.RIGID for step in session.lane.steps)
    assert tree.deviations.opts["title"] == "Deviations from OpenFace: 1 on"
    assert tree.rows["single_phase"].opts["title"].startswith("●")


def test_the_preset_of_the_port_shows_its_deviations(qtbot: QtBot, window: MainWindow) -> None:
    window.options.preset.textActivated.emit("pyclnf-2025-11")
    wait_for_fit(qtbot, window.session)
    window.repaint_now()
    options = preset("pyclnf-2025-11")
    for name in DEVIATIONS:
        widget = option_widget(window, name)
        shown = widget.value() if name == "step_damping" else widget.isChecked()
        assert shown == getattr(options, name), name
        assert not window.options.tree.rows[name].opts["title"].startswith("●")
    assert window.options.tree.deviations.opts["title"] == "Deviations from OpenFace: 9 on"
    assert window.options.preset.currentText() == "pyclnf-2025-11"


def test_a_link_to_a_landmark_the_model_lacks_is_left_alone(fitted: Session) -> None:
    fitted.follow(10_000)
    assert fitted.selection is None


# --- good news ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "answer", "words"),
    [
        (True, True, "✓ as it should be"),
        (False, False, "✓ as it should be"),
        (True, False, "! look here"),
        (False, True, "! look here"),
        (None, True, "–"),
        (True, None, "–"),
    ],
)
def test_the_list_says_whether_an_answer_is_good_news(
    qtbot: QtBot,
    lab: MainWindow,
    monkeypatch: pytest.MonkeyPatch,
    wanted: bool | None,
    answer: bool | None,
    words: str,
) -> None:
    monkeypatch.setattr(_Finding, "wanted", wanted)
    monkeypatch.setattr(_Finding, "answer", answer)
    monkeypatch.setattr(_Finding, "__init__", lambda self: None)
    tools = lab.panes.tools
    item = tools._rows["quick"]
    assert item.text(2) == ""
    choose(lab, "quick")
    press(qtbot, tools.run)
    wait_for_lab(qtbot, lab)
    assert item.text(2) == words
    assert item.toolTip(2) == "Is it so?"
    header = tools.list.header()
    assert header.visualIndex(2) < header.visualIndex(1)
    assert header.length() <= tools.list.viewport().width()
    colours = {item.foreground(column).color().name() for column in (1, 2)}
    assert (len(colours) == 1) is (words == "–")


def test_news_that_are_out_of_date_are_none(qtbot: QtBot, lab: MainWindow) -> None:
    tools = lab.panes.tools
    choose(lab, "quick")
    press(qtbot, tools.run)
    wait_for_lab(qtbot, lab)
    lab.session.set_options(FitOptions(sigma=2.0))
    wait_for_fit(qtbot, lab.session)
    assert "out of date" in state(lab, "quick")
    assert tools._rows["quick"].text(2) == ""


@pytest.mark.parametrize("name", list(TOOLS))
def test_every_tool_declares_which_answer_is_well(name: str) -> None:
    finding = TOOLS[name].finding
    assert ("wanted" in vars(finding)) is (name != "divergence")
