"""The response atlas beyond its maps: steps without maps, one map alone, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from clnf_engine import FitOptions, Phase
from clnf_gui.look import Look, MapKind, MapRange, MapSource
from clnf_gui.views.response_atlas import ResponseAtlas
from clnf_gui.window import MainWindow

from .conftest import wait_for_fit
from .test_panes import show
from .test_window import press


def cell(atlas: ResponseAtlas, landmark: int) -> QPoint:
    """Where the middle of a landmark's map is painted."""
    x, y = atlas._corner(landmark)
    return atlas.mapFromScene(atlas.box.mapViewToScene(QPointF(x + 4.5, y + 4.5)))


def double_click(atlas: ResponseAtlas, position: QPoint) -> None:
    viewport = atlas.viewport()
    QTest.mouseMove(viewport, position)
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=position)
    QTest.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=position)  # without the release that ends it
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=position)
    QApplication.processEvents()


def whole(atlas: ResponseAtlas) -> QRectF:
    return atlas.image_item.mapRectToParent(atlas.image_item.boundingRect())


@pytest.fixture
def atlas(window: MainWindow) -> ResponseAtlas:
    window.session.cursor.move_to((0, Phase.RESPONSES, None))
    window.repaint_now()
    QApplication.processEvents()  # the layout settles
    return window.panes.atlas


def test_crosses_lie_on_the_middles_of_cells(window: MainWindow, atlas: ResponseAtlas) -> None:
    """The peak on the cell that holds it; the landmark's position as far from the map's middle as the engine says."""
    session = window.session
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    window.repaint_now()
    step = session.step
    maps, window_size = step.responses.final, step.responses.window
    peaks = np.stack(atlas.peak_item.getData(), axis=1)
    positions = np.stack(atlas.position_item.getData(), axis=1)
    for landmark in (0, 30, 67):
        left, top = atlas._corner(landmark)
        row, column = np.unravel_index(np.argmax(maps[landmark]), maps[landmark].shape)
        assert tuple(peaks[landmark]) == (left + column + 0.5, top + row + 0.5)
        shift = step.landmarks_before[landmark] - step.responses.base_shape[landmark]
        from_middle = step.responses.image_to_reference @ shift
        expected = np.array([left, top]) + window_size / 2 + from_middle
        assert np.allclose(positions[landmark], expected, atol=1e-3)


def test_colours_of_a_whole_run_span_both_lanes(qtbot: object, window: MainWindow, atlas: ResponseAtlas) -> None:
    session = window.session
    session.set_comparing(True)
    session.set_active("B")
    session.set_options(FitOptions(response_gain=2.0))
    wait_for_fit(qtbot, session)
    session.set_look(replace(session.look, map_range=MapRange.RUN, map_kind=MapKind.FINAL))
    window.repaint_now()
    highest = {
        name: max(step.responses.final.max() for step in session.lanes[name].steps if step.responses is not None)
        for name in "AB"
    }
    assert highest["B"] > highest["A"]
    assert atlas.colour_bar.levels()[1] == pytest.approx(max(highest.values()))


# --- steps without maps ---------------------------------------------------------------------------


def test_the_end_shows_the_last_maps_faded_and_says_so(window: MainWindow, atlas: ResponseAtlas) -> None:
    press(window, Qt.Key.Key_End)
    last = window.session.lane.steps[-2]
    final = last.responses.final[40]
    x, y = atlas._corner(40)
    side = len(final)
    assert np.allclose(atlas.faded_item.image[y : y + side, x : x + side], final / final.max(), rtol=1e-6)
    assert atlas.faded_item.opacity() < 0.5
    assert atlas.image_item.image is None
    assert atlas.hint.isVisible()
    assert str(last.stage) in atlas.hint.text()
    assert "←" in atlas.hint.text()
    assert atlas.colour_bar.isVisible()
    press(window, Qt.Key.Key_Left)
    assert atlas.faded_item.image is None
    assert not atlas.hint.isVisible()


def test_the_start_has_a_sentence_in_place_of_maps(window: MainWindow, atlas: ResponseAtlas) -> None:
    press(window, Qt.Key.Key_Home)
    assert atlas.image_item.image is None
    assert atlas.faded_item.image is None
    assert not atlas.colour_bar.isVisible()
    assert atlas.hint.isVisible()
    assert atlas.rect().contains(atlas.hint.geometry())
    assert "press →" in atlas.hint.text()
    press(window, Qt.Key.Key_Right)
    assert atlas.colour_bar.isVisible()


def test_a_stage_that_is_left_out_shows_the_maps_before_it(qtbot: object, window: MainWindow) -> None:
    session, atlas = window.session, window.panes.atlas
    session.set_options(FitOptions(windows=(11, 0)))
    wait_for_fit(qtbot, session)
    session.cursor.move_to((1, Phase.SKIPPED, None))
    window.repaint_now()
    assert session.step.phase is Phase.SKIPPED
    assert "skipped" in atlas.hint.text()
    assert "stage 1 (" in atlas.hint.text()


def test_hovering_faded_maps_reads_out_nothing(window: MainWindow, atlas: ResponseAtlas) -> None:
    seen = []
    atlas.hovered.connect(seen.append)
    press(window, Qt.Key.Key_End)
    atlas._on_mouse_moved(atlas.box.mapViewToScene(QPointF(3.5, 3.5)))
    press(window, Qt.Key.Key_Left)
    atlas._on_mouse_moved(atlas.box.mapViewToScene(QPointF(3.5, 3.5)))
    assert seen == [None, (0, 3, 3)]


def test_maps_of_different_sizes_have_no_difference(window: MainWindow) -> None:
    steps = window.session.lane.steps
    a, b = (next(s for s in steps if s.place == (k, Phase.RESPONSES, None)) for k in (0, 1))
    atlas = window.panes.atlas
    atlas.show_steps(a, b, Look(map_source=MapSource.DIFFERENCE), (steps, steps))
    assert "differ in size" in atlas.hint.text()
    assert atlas.faded_item.image is None


# --- one map alone --------------------------------------------------------------------------------


def test_a_double_click_shows_one_map_alone_and_another_all(window: MainWindow, atlas: ResponseAtlas) -> None:
    before = atlas.box.viewRect()
    double_click(atlas, cell(atlas, 30))
    x, y = atlas._corner(30)
    side = window.session.step.responses.window
    seen = atlas.box.viewRect()
    assert seen.contains(QRectF(x, y, side, side))
    assert min(seen.width(), seen.height()) < 1.2 * side
    assert window.session.selection == 30
    double_click(atlas, atlas.viewport().rect().center())
    assert atlas.box.viewRect() == before


@pytest.mark.parametrize("way_back", [Qt.Key.Key_Escape, "double click"])
def test_enter_shows_the_selected_map_alone(window: MainWindow, atlas: ResponseAtlas, way_back: object) -> None:
    window.session.select(12)
    window.repaint_now()
    QApplication.processEvents()
    before = atlas.box.viewRect()
    atlas.setFocus()
    QTest.keyClick(atlas, Qt.Key.Key_Return)
    assert atlas.box.viewRect().width() < before.width() / 3
    if way_back == "double click":
        double_click(atlas, atlas.viewport().rect().center())
    else:
        QTest.keyClick(atlas, way_back)
        assert window.session.selection == 12  # the first Esc brings the maps back, the next takes the selection away
    assert atlas.box.viewRect() == before


def test_the_map_alone_follows_the_selection_and_the_stage(window: MainWindow, atlas: ResponseAtlas) -> None:
    window.session.select(12)
    window.repaint_now()
    atlas.setFocus()
    QTest.keyClick(atlas, Qt.Key.Key_Return)
    for change in (lambda: window.session.select(13), lambda: window.session.cursor.move_to((1, Phase.RIGID, 1))):
        change()
        window.repaint_now()
        middle, side = atlas.box.viewRect().center(), window.session.step.responses.window
        assert (middle.x(), middle.y()) == pytest.approx(np.add(atlas._corner(13), side / 2))


def test_maps_cannot_be_dragged_out_of_sight_or_shrunk(atlas: ResponseAtlas) -> None:
    box = atlas.box
    box.scaleBy((0.2, 0.2))
    for shift in ((1e4, 0.0), (-1e4, 1e4), (0.0, -1e4)):
        box.translateBy(*shift)
        box.sigRangeChangedManually.emit((True, True))
        assert whole(atlas).adjusted(-1e-6, -1e-6, 1e-6, 1e-6).contains(box.viewRect().center())
    box.scaleBy((100, 100))
    box.sigRangeChangedManually.emit((True, True))
    assert atlas.shows_all
    assert box.viewRect().width() < 2 * max(whole(atlas).width(), whole(atlas).height() * box.width() / box.height())


def test_the_tool_tip_tells_how(atlas: ResponseAtlas) -> None:
    for word in ("Double click", "Enter", "Esc", "all maps"):
        assert word in atlas.toolTip()


# --- the inspector's hints ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("landmark", "place", "words"),
    [
        (None, (0, Phase.RIGID, 1), "press N"),
        (30, (None, Phase.INITIAL, None), "press →"),
        (30, (None, Phase.END, None), "press ←"),
    ],
)
def test_the_inspector_says_what_to_do(window: MainWindow, landmark: int | None, place: tuple, words: str) -> None:
    view = window.panes.inspector
    show(window, "Landmark")
    window.session.select(landmark)
    window.session.cursor.move_to(place)
    window.repaint_now()
    assert view.hint.isVisible()
    assert view.pictures.rect().contains(view.hint.geometry())
    assert words in view.hint.text()
    window.session.select(30)
    window.session.cursor.move_to((0, Phase.RIGID, 1))
    window.repaint_now()
    assert not view.hint.isVisible()
    assert isinstance(view.panels[0].values, np.ndarray)


def test_the_inspector_says_what_the_mean_shift_wanted_and_got(window: MainWindow) -> None:
    session, view = window.session, window.panes.inspector
    show(window, "Landmark")
    session.select(30)
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    window.repaint_now()
    step = session.step
    (dx, dy), (x, y) = step.mean_shift.image[30], step.landmarks[30] - step.landmarks_before[30]
    numbers = f"wanted ({dx:+.2f}, {dy:+.2f}) px; the model allowed ({x:+.2f}, {y:+.2f}) px".replace("-", "−")
    assert view.sentence.text() == f"mean-shift {numbers}"
    names = [view.table.cell(k, "landmark 30") for k in range(4)]
    assert names == ["shift x, image px", "shift y, image px", "moved x, image px", "moved y, image px"]
    assert view.table.cell(3, "value") == f"{y:.4g}"
    session.cursor.move_to((0, Phase.RESPONSES, None))
    window.repaint_now()
    assert not view.sentence.isVisible()


def test_the_inspectors_numbers_use_the_width(window: MainWindow) -> None:
    session, numbers = window.session, window.panes.inspector.numbers
    show(window, "Landmark")
    session.select(30)
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    window.repaint_now()
    first, second = numbers.tables
    assert second.isHidden()
    count = len(first.shown_rows())
    window.resize(1900, 800)
    window.resizeDocks([window.docks["Landmark"]], [700], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    assert not second.isHidden()
    assert (len(first.shown_rows()), len(second.shown_rows())) == ((count + 1) // 2, count // 2)


def test_magnitudes_say_why_there_are_none(window: MainWindow) -> None:
    view = window.panes.magnitudes
    show(window, "Magnitudes")
    press(window, Qt.Key.Key_End)
    assert view.hint.isVisible()
    press(window, Qt.Key.Key_Left)
    assert not view.hint.isVisible()
