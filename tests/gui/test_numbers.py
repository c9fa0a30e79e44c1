"""Numbers and titles over pictures: nothing of them is left behind, and none lies over another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget

from clnf_gui.views.landmark_numbers import LandmarkNumbers, apart, outwards, text_boxes
from clnf_gui.views.screen_text import ScreenText
from clnf_gui.window import MainWindow

from .test_panes import show


def on_screen(widget: QWidget) -> QImage:
    """What the screen shows of a widget; unlike `grab`, this paints nothing anew."""
    QApplication.processEvents()
    picture = widget.screen().grabWindow(widget.window().winId())
    corner = widget.mapTo(widget.window(), widget.rect().topLeft())
    return picture.toImage().copy(corner.x(), corner.y(), widget.width(), widget.height())


def assert_nothing_is_left_behind(view: QWidget, changes: list[Callable[[], object]], window: MainWindow) -> None:
    """After every change, what is on the screen is what painting the whole view gives."""
    for change in changes:
        change()
        window.repaint_now()
        QApplication.processEvents()  # a sentence that comes or goes moves what is beside it
        shown = on_screen(view)
        view.viewport().update()
        assert shown == on_screen(view)


def test_no_number_is_left_behind_in_the_photo(window: MainWindow) -> None:
    session, view = window.session, window.image_views["A"]
    points = session.lane.steps[-1].landmarks
    view.box.setRange(QRectF(QPointF(*points.min(axis=0)), QPointF(*points.max(axis=0))), padding=-0.25)
    session.select(None)
    zoom = [lambda f=f: view.box.scaleBy((f, f)) for f in (0.5, 1.3, 3.0)]
    pan = [lambda: view.box.translateBy(x=3.0, y=-2.0)]
    assert_nothing_is_left_behind(view, [*[lambda: session.cursor.move_by_step(1)] * 9, *zoom, *pan], window)


def test_no_number_is_left_behind_in_the_maps(window: MainWindow) -> None:
    session, atlas = window.session, window.panes.atlas
    steps = [
        lambda: session.cursor.move_by_stage(1),
        lambda: session.cursor.move_by_stage(-1),
        lambda: session.select(5),
    ]
    zoom = [lambda f=f: atlas.box.scaleBy((f, f)) for f in (0.3, 1.5, 4.0)]
    assert_nothing_is_left_behind(atlas, [*steps, *zoom], window)


def test_no_title_is_left_behind_in_the_inspector(window: MainWindow) -> None:
    session, view = window.session, window.panes.inspector
    show(window, "Landmark")
    session.select(30)
    steps = [lambda: session.cursor.move_by_step(1)] * 3 + [
        lambda: session.cursor.move_by_stage(1),
        lambda: session.select(3),
    ]
    assert_nothing_is_left_behind(view.pictures, [*steps, lambda: session.cursor.move_cursor(0)], window)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_room_for_texts_is_the_same_on_the_screen_at_every_zoom(window: MainWindow, scale: float) -> None:
    view = window.image_views["A"]
    view.box.setRange(QRectF(20, 20, 100 * scale, 100 * scale), padding=0)
    QApplication.processEvents()
    numbers: ScreenText = view.numbers
    places = view.box.mapViewToScene(numbers.places().bottomRight())
    corner = view.box.mapViewToScene(numbers.boundingRect().bottomRight())
    assert corner.x() - places.x() == pytest.approx(30.0)
    assert corner.y() - places.y() == pytest.approx(30.0)


def test_numbers_stand_away_from_their_part_of_the_face(window: MainWindow) -> None:
    points = window.session.lane.steps[-1].landmarks
    directions = outwards(points)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1.0)
    for begin, end, sign in ((36, 42, 1), (42, 48, 1), (48, 60, 1), (60, 68, -1)):
        away = points[begin:end] - points[begin:end].mean(axis=0)
        assert (sign * (away * directions[begin:end]).sum(axis=1) > 0).all()


def test_a_text_beside_a_point_does_not_cover_it() -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    boxes = text_boxes(np.zeros((12, 2)), directions, np.tile([14.0, 9.0], (12, 1)))
    assert np.allclose(boxes[:, 2:] - boxes[:, :2], (14.0, 9.0))
    inside = (boxes[:, 0] < 0) & (boxes[:, 2] > 0) & (boxes[:, 1] < 0) & (boxes[:, 3] > 0)
    assert not inside.any()
    assert np.allclose(boxes[0], (5.0, -4.5, 19.0, 4.5))


def test_texts_that_would_overlap_are_left_out() -> None:
    boxes = np.array([(0, 0, 10, 8), (9, 0, 19, 8), (10, 0, 20, 8), (0, 7, 5, 15), (0, 8, 5, 16)], dtype=float)
    assert apart(boxes, np.zeros((0, 2))) == [0, 2, 4]


def test_a_number_that_would_cover_a_point_is_left_out() -> None:
    boxes = np.array([(0, 0, 10, 8), (20, 0, 30, 8)], dtype=float)
    assert apart(boxes, np.array([(25.0, 4.0), (10.0, 4.0)])) == [0]


def test_a_point_that_is_not_known_has_no_number_and_spoils_no_other() -> None:
    points = np.array([(0.0, 0.0), (np.nan, np.nan), (40.0, 0.0)])
    directions = outwards(points)
    assert np.allclose(directions[[0, 2]], [(-1.0, 0.0), (1.0, 0.0)])
    assert apart(text_boxes(points, directions, np.tile([14.0, 9.0], (3, 1))), points) == [0, 2]


def test_without_points_there_is_nothing_to_paint(qapp: object) -> None:
    numbers = LandmarkNumbers()
    numbers.show_points(np.zeros((0, 2)))
    assert numbers.boundingRect().isNull()
