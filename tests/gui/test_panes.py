"""The docked panes: what they paint equals what the Steps hold."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDockWidget, QTabBar
from pytestqt.qtbot import QtBot

from clnf_engine import FitOptions, Phase
from clnf_engine.diagnostics.fixed_point import update_parts
from clnf_engine.diagnostics.magnitudes import magnitudes
from clnf_engine.mean_shift import kernel_maps
from clnf_engine.sigma import sigma_matrices
from clnf_gui.views.number_table import NumberTable
from clnf_gui.window import MainWindow

from .conftest import TIMEOUT_MS, wait_for_fit


def show(window: MainWindow, title: str) -> None:
    """Bring a pane to the front."""
    next(dock for dock in window.findChildren(QDockWidget) if dock.windowTitle() == title).raise_()
    QApplication.processEvents()
    window.repaint_now()


def click_row(table: NumberTable, row: int) -> None:
    """Click the painted row of a table."""
    rectangle = table.visualRect(table.model().index(row, 0))
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=rectangle.center())


def test_the_inspector_asks_for_a_landmark_then_shows_all_of_it(window: MainWindow) -> None:
    session, view = window.session, window.panes.inspector
    show(window, "Landmark")
    assert view.panels == []
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    session.select(30)
    window.repaint_now()
    step = session.step
    maps, shift = step.responses, step.mean_shift
    kernel = kernel_maps(shift.position[[30]], maps.window, step.stage.sigma, session.lane.options.kernel)[0]
    sigma = sigma_matrices(session.model.scales[0], step.stage.view, maps.window)[30]
    expected = {
        "area": maps.area[30],
        "raw": maps.raw[30],
        "after Sigma": maps.after_sigma[30],
        "final": maps.final[30],
        "kernel": kernel,
        "product": maps.final[30] * kernel,
        "diag Sigma": sigma.diagonal().reshape(11, 11),
        "Sigma": sigma,
    }
    found = {panel.title: panel.values for panel in view.panels}
    for title, values in expected.items():
        assert np.array_equal(found[title], values), title
    neurons = int(session.model.scales[0].views[step.stage.view].neurons[30])
    for title, values in (("NCC", maps.neuron_ncc[30]), ("outputs", maps.neuron_output[30])):
        assert np.isclose(np.nansum(found[title]), values[:neurons].sum())
        assert np.array_equal(found[title][:11, :11], values[0])
    row = [view.table.cell(k, "landmark 30") for k in range(len(view.table.shown_rows()))].index("x, image px")
    assert view.table.cell(row, "value") == f"{step.landmarks[30, 0]:.4g}"


def test_the_inspectors_pixels_are_the_values_colours(window: MainWindow) -> None:
    """Every cell is a block in the colour that viridis (or grey) gives its value; marks lie at the position."""
    session, view = window.session, window.panes.inspector
    show(window, "Landmark")
    session.select(30)
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    window.repaint_now()
    titles = {text.split(" ≤")[0]: (x, y) for text, x, y in view.titles._titles}
    viridis = pg.colormap.get("viridis").getLookupTable(nPts=256)[:, :3]
    maps = session.step.responses
    x, y = titles["final"]
    final = maps.final[30]
    scaled = (final - final.min()) / (final.max() - final.min())
    block = 132 // 11
    for row, column in ((0, 0), (5, 5), (10, 3)):
        pixel = view.image_item.image[y + block * row + 2, x + block * column + 2]
        assert np.array_equal(pixel[:3], viridis[int(scaled[row, column] * 255)])
    x, y = titles["area"]
    assert view.image_item.image[y + 2, x + 2, 0] == int(maps.area[30, 0, 0])
    position = session.step.mean_shift.position[30]
    marks = np.stack(view.mark_item.getData(), axis=1)
    assert len(marks) == 5
    assert any(np.allclose(mark, titles["final"] + (position + 0.5) * block) for mark in marks)


def test_the_inspector_follows_the_cursor(window: MainWindow) -> None:
    session, view = window.session, window.panes.inspector
    show(window, "Landmark")
    session.select(5)
    session.cursor.move_to((0, Phase.RESPONSES, None))
    window.repaint_now()
    assert "kernel" not in {panel.title for panel in view.panels}  # no iteration, no position
    session.cursor.move_to((1, Phase.RIGID, 1))
    window.repaint_now()
    found = {panel.title: panel.values for panel in view.panels}
    assert found["final"].shape == (9, 9)
    assert "kernel" in found
    session.cursor.move_to((None, Phase.END, None))
    window.repaint_now()
    assert view.panels == []
    assert view.image_item.image is None


def test_magnitudes_bars_and_table_are_the_diagnostics_numbers(window: MainWindow) -> None:
    session, view = window.session, window.panes.magnitudes
    show(window, "Magnitudes")
    session.select(10)
    window.repaint_now()
    found = magnitudes(session.step, session.model)
    for bars, values in ((view.raw_bars, found.raw_max), (view.sigma_bars, found.after_sigma_max)):
        tops = bars.opts["y0"] + bars.opts["height"]
        assert np.allclose(10**tops, values)
    for landmark in (0, 10, 67):
        assert view.table.cell(landmark, "raw max") == f"{found.raw_max[landmark]:.4g}"
        assert view.table.cell(landmark, "attenuation") == f"{found.attenuation[landmark]:.4g}"
    assert len(view.weak_item.getData()[0]) == found.weak.sum()
    assert view.selected_item.value() == 10


def test_sorting_the_magnitudes_and_clicking_a_row_selects_that_landmark(window: MainWindow) -> None:
    session, table = window.session, window.panes.magnitudes.table
    show(window, "Magnitudes")
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    found = magnitudes(session.step, session.model)
    strongest = int(np.argmax(found.raw_max))
    assert table.shown_rows()[0] == strongest
    click_row(table, 0)
    assert session.selection == strongest


def test_the_step_table_lists_every_step_and_goes_there(window: MainWindow) -> None:
    session, table = window.session, window.panes.steps
    show(window, "Steps")
    assert len(table.shown_rows()) == len(session.lane.steps)
    for k, step in enumerate(session.lane.steps):
        norm = "" if step.update_norm is None else f"{step.update_norm:.4g}"
        assert table.cell(k, "‖Δp‖") == norm
    row = [step.place for step in session.lane.steps].index((1, Phase.RIGID, 3))
    table.scrollTo(table.model().index(row, 0))
    click_row(table, row)
    assert session.step.place == (1, Phase.RIGID, 3)


def test_statistics_have_a_row_per_stage_and_kind(window: MainWindow) -> None:
    session, table = window.session, window.panes.statistics
    show(window, "Statistics")
    stages = [step for step in session.lane.steps if step.phase is Phase.RESPONSES]
    assert len(table.shown_rows()) == 4 * len(stages)
    assert table.cell(0, "max") == f"{stages[0].responses.raw.max():.4g}"
    assert table.cell(7, "mean") == f"{stages[1].responses.final.mean():.4g}"


def test_parameters_are_those_of_the_step(qtbot: QtBot, window: MainWindow) -> None:
    session, view = window.session, window.panes.parameters
    session.cursor.move_to((None, Phase.END, None))
    show(window, "Parameters")
    step, pdm = session.step, session.model.pdm
    assert np.array_equal(view.bars.opts["height"], step.params_local / np.sqrt(pdm.variances))
    assert view.table.cell(0, "value") == f"{step.params[0]:.4g}"
    assert sorted(line.value() for line in view.limits) == [-3.0, 3.0]
    session.set_options(FitOptions(clamp_sigmas=0.001))
    wait_for_fit(qtbot, session)
    session.cursor.move_to((1, Phase.NONRIGID, 5))
    window.repaint_now()
    clamped = session.step.clamped
    assert clamped.any()
    for k in range(len(clamped)):
        assert view.table.cell(k, "clamped") == ("clamped" if clamped[k] else "")


def test_the_convergence_pane_shows_the_parts_the_gradient_and_a_target(window: MainWindow) -> None:
    pane, choice, steps = window.panes.convergence, window.panes.curve_choice, window.session.lane.steps
    parts = [part for step in steps if (part := update_parts(step)) is not None]
    for data, names in (("parts", ("shape", "translation", "rotation", "scale")), ("gradient", ("gradient",))):
        choice.curves.setCurrentIndex(choice.curves.findData(data))
        choice.curves.activated.emit(choice.curves.currentIndex())
        window.repaint_now()
        for item, name in zip(pane.curve_items["A"], names, strict=False):
            recorded = [value for part in parts if (value := getattr(part, name)) > 0]
            assert np.allclose(10 ** item.getData()[1], recorded)
        assert all(not len(item.getData()[0]) for item in pane.curve_items["A"][len(names) :])
        assert not pane.rule.isVisible()
    assert not pane.target.isVisible()
    choice.target.setValue(0.005)
    window.repaint_now()
    assert pane.target.isVisible()
    assert np.isclose(10 ** pane.target.value(), 0.005)


def test_colours_can_span_the_whole_run_or_a_range_of_ones_own(window: MainWindow) -> None:
    session, atlas, choice = window.session, window.panes.atlas, window.panes.map_choice

    def choose_range(data: str) -> None:
        choice.range.setCurrentIndex(choice.range.findData(data))
        choice.range.activated.emit(choice.range.currentIndex())
        window.repaint_now()

    finals = [step.responses.final for step in session.lane.steps if step.phase is Phase.RESPONSES]
    choose_range("run")
    expected = (min(m.min() for m in finals), max(m.max() for m in finals))
    assert tuple(atlas.image_item.levels) == expected
    session.cursor.move_to((1, Phase.RESPONSES, None))
    window.repaint_now()
    assert tuple(atlas.image_item.levels) == expected
    assert not choice.bounds[0].isVisible()
    choose_range("manual")
    choice.bounds[1].setValue(0.25)
    window.repaint_now()
    assert choice.bounds[0].isVisible()
    assert tuple(atlas.image_item.levels) == (0.0, 0.25)


def test_arrows_can_be_made_longer_and_shorter(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    session.cursor.move_to((0, Phase.RIGID, 2))
    for command, factor in (("longer_shifts", 1.5), ("longer_shifts", 2.25), ("shorter_shifts", 1.5)):
        window.actions_by_id[command].trigger()
        window.repaint_now()
        step = session.step
        ends = np.stack(view.shift_item.getData(), axis=1).reshape(-1, 2, 2)[: len(step.landmarks)]
        assert np.allclose(ends[:, 1] - ends[:, 0], factor * step.mean_shift.image)


def test_a_pinned_inspector_stays_and_follows_the_cursor(window: MainWindow) -> None:
    session = window.session
    session.select(30)
    window.repaint_now()
    window.actions_by_id["pin"].trigger()
    session.select(5)
    session.cursor.move_to((1, Phase.NONRIGID, 2))
    window.repaint_now()
    view = window.pins.docks[30].widget()
    found = {panel.title: panel.values for panel in view.panels}
    assert np.array_equal(found["final"], session.step.responses.final[30])
    assert not window.actions_by_id["pin"].isChecked()
    session.select(30)
    window.repaint_now()
    assert window.actions_by_id["pin"].isChecked()
    window.actions_by_id["pin"].trigger()
    window.repaint_now()
    assert window.pins.docks == {}
    window.actions_by_id["undo"].trigger()
    window.repaint_now()
    assert list(window.pins.docks) == [30]


def test_a_pane_behind_others_is_painted_when_its_tab_is_chosen(qtbot: QtBot, window: MainWindow) -> None:
    session, table = window.session, window.panes.steps
    show(window, "Steps")
    before = len(table.shown_rows())
    show(window, "Convergence")
    session.set_options(FitOptions(max_iterations=2))
    wait_for_fit(qtbot, session)
    window.repaint_now()
    assert len(table.shown_rows()) == before
    bars = [(bar, [bar.tabText(k) for k in range(bar.count())]) for bar in window.findChildren(QTabBar)]
    bar, tab = next((bar, titles.index("Steps")) for bar, titles in bars if "Steps" in titles)
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(tab).center())
    qtbot.waitUntil(lambda: len(table.shown_rows()) == len(session.lane.steps), timeout=TIMEOUT_MS)


def test_the_log_keeps_what_was_told(qtbot: QtBot, window: MainWindow) -> None:
    window.session.told.emit("a word")
    window.session.failed.emit("a fault", "its details")
    assert window.panes.log.toPlainText() == "a word\na fault\nits details"


@pytest.mark.parametrize("title", ["Landmark", "Lab", "Magnitudes", "Statistics", "Parameters", "Steps", "Log"])
def test_every_pane_can_be_shown_without_a_fit(qapp: object, qtbot: QtBot, session: object, title: str) -> None:
    window = MainWindow(session)
    window.show()
    show(window, title)
    session.select(3)
    window.repaint_now()
    window.close()
    window.deleteLater()
