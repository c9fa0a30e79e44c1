"""Lines on fine screens, and in both themes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PySide6.QtGui import QColor, QFontMetrics, QPalette
from PySide6.QtWidgets import QApplication

from clnf_engine import Phase, Step
from clnf_engine.steps import Stage
from clnf_gui import theme
from clnf_gui.look import Look
from clnf_gui.qt_setup import _palette, set_theme
from clnf_gui.views.axes import NameAxis, SparseDecadeAxis
from clnf_gui.views.convergence import ConvergenceView
from clnf_gui.window import MainWindow

from .test_window import comparing  # noqa: F401  a fixture

_HUES = ("ORANGE", "SKY", "GREEN", "BLUE", "VERMILION", "PURPLE", "SELECTION")


def luminance(colour: QColor) -> float:
    """Relative luminance of sRGB, WCAG 2.2."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]
    return float(np.dot([0.2126, 0.7152, 0.0722], parts))


def contrast(a: QColor, b: QColor) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_has_the_contrast_that_wcag_says() -> None:
    assert contrast(QColor("white"), QColor("black")) == pytest.approx(21.0)
    assert contrast(QColor("#777777"), QColor("white")) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("hue", _HUES)
def test_curves_can_be_seen_on_the_ground_of_both_themes(qapp: object, hue: str, dark: bool) -> None:
    palette = _palette(dark)
    assert theme.is_dark(palette) is dark
    ground = palette.color(QPalette.ColorRole.Base)
    assert contrast(QColor(theme.readable(getattr(theme, hue), dark)), ground) >= 3.0


@pytest.mark.parametrize("dark", [False, True])
def test_hues_stay_apart(dark: bool) -> None:
    assert len({theme.readable(getattr(theme, hue), dark) for hue in _HUES}) == len(_HUES)


@pytest.fixture
def own_theme() -> Iterator[None]:
    yield
    set_theme("system")


@pytest.mark.usefixtures("own_theme")
def test_curves_follow_a_change_of_the_theme(window: MainWindow) -> None:
    view = window.panes.convergence
    curve = view.curve_items["A"][0]
    for name in ("light", "dark", "system", "dark", "light"):
        window.actions_by_id[f"theme_{name}"].trigger()
        QApplication.processEvents()
        colour = theme.readable(theme.BLUE, name == "dark")
        assert curve.opts["pen"].color() == QColor(colour)
        assert colour in view.plotItem.titleLabel.text


_SCALED = """
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter, QColor
from clnf_gui.qt_setup import make_application
app = make_application("light")
from clnf_gui.views.image_view import ImageView
from clnf_gui.views.convergence import ConvergenceView
import numpy as np
view = ImageView("A")
view.resize(200, 200)
view.show()
view.box.setRange(QRectF(0, 0, 10, 10), padding=0)
view.contour_item.setData(np.array([-50.0, 50.0]), np.array([5.02, 5.02]), antialias=False)
app.processEvents()
picture = view.grab().toImage()
column = [picture.pixelColor(picture.width() // 2, y) for y in range(picture.height())]
print(view.devicePixelRatioF(), sum(c.blue() > 200 and c.red() < 150 for c in column))
print(ConvergenceView().curve_items["A"][0].opts["pen"].widthF(), view.roi.pen.widthF())
"""


@pytest.mark.parametrize("scale", [1, 2])
def test_lines_are_as_wide_on_a_fine_screen(scale: int) -> None:
    environment = os.environ | {"QT_SCALE_FACTOR": str(scale), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", _SCALED], env=environment, capture_output=True, text=True, check=True)
    ratio, rows, curve, roi = (float(word) for word in done.stdout.split())
    assert ratio == scale
    assert rows == scale
    assert (curve, roi) == (1.5 * scale, 2.0 * scale)


def long_run(seed: int, iterations: int) -> list[Step]:
    """Three stages of two phases of so many iterations, with nothing but norms."""
    made = np.random.default_rng(seed)
    stages = [Stage(k, 0.25 + 0.1 * k, 11 - 2 * k, 0, 1.5, 25.0, 0.0, "", k, True) for k in range(3)]
    shape, params = np.zeros((68, 2)), np.zeros(40)
    return [
        Step(phase, params, shape, stage, k, update_norm=float(made.random()), shape_change=float(made.random()))
        for stage in stages
        for phase in (Phase.RIGID, Phase.NONRIGID)
        for k in range(1, iterations + 1)
    ]


def test_a_long_run_has_a_handful_of_symbols(qapp: object) -> None:
    view, steps = ConvergenceView(), long_run(0, 300)
    view.show_runs({"A": steps}, [step.place for step in steps], 0.01, Look())
    points = view.point_items["A"]
    assert len(points.getData()[0]) == 1800
    assert len({id(brush) for brush in points.data["brush"]}) == 6
    assert len(points.fragmentAtlas) <= 12
    assert not view.curve_items["A"][0].opts["antialias"]


def test_points_have_the_colours_of_their_steps(window: MainWindow) -> None:
    points = window.panes.convergence.point_items["A"]
    steps = [step for step in window.session.lane.steps if step.update_norm]
    assert [brush.color() for brush in points.data["brush"]] == [theme.step_colour(step) for step in steps]


def test_lane_a_shows_under_lane_b(comparing: MainWindow) -> None:  # noqa: F811
    view = comparing.panes.convergence
    a, b = (view.curve_items[name][0] for name in "AB")
    assert a.opts["pen"].widthF() >= b.opts["pen"].widthF() + 2
    assert view.point_items["A"].opts["size"] >= view.point_items["B"].opts["size"] + 4
    assert view.items().index(b) < view.items().index(a)  # the scene lists what is on top first
    steps = {name: lane.steps for name, lane in comparing.session.lanes.items()}
    places = comparing.session.cursor.places()
    view.show_runs(steps, places, 0.01, Look(), {"A": "A", "B": "B · normalization <peak>"})
    assert "B · normalization &lt;peak&gt;" in view.plotItem.titleLabel.text
    view.show_runs({"A": steps["A"]}, places, 0.01, Look())
    assert a.opts["pen"].widthF() == 1.5


@pytest.mark.parametrize(("orientation", "size"), [("bottom", 150), ("bottom", 420), ("left", 90)])
@pytest.mark.parametrize("span", [(-12.0, 0.5), (-3.2, -2.9), (-30.0, 3.0)])
def test_decades_do_not_overprint(qapp: object, orientation: str, size: int, span: tuple[float, float]) -> None:
    axis = SparseDecadeAxis(orientation)
    ((_, ticks),) = axis.tickValues(*span, size)
    metrics = QFontMetrics(QApplication.font())
    texts = axis.logTickStrings(list(ticks), 1.0, 1.0)
    room = metrics.height() if orientation == "left" else max(metrics.horizontalAdvance(text) for text in texts)
    apart = np.diff(ticks) * size / (span[1] - span[0])
    assert len(ticks)
    assert (apart >= room).all()


@pytest.mark.parametrize("size", [60, 150, 900])
def test_names_under_bars_do_not_overprint(qapp: object, size: int) -> None:
    names = tuple(map(str, range(68)))
    axis = NameAxis("bottom", np.arange(68.0), names)
    ((_, ticks),) = axis.tickValues(-0.5, 67.5, size)
    texts = axis.tickStrings(list(ticks), 1.0, 1.0)
    assert texts == [names[round(tick)] for tick in ticks]
    room = max(QFontMetrics(QApplication.font()).horizontalAdvance(text) for text in texts)
    assert len(ticks) * room < size or len(ticks) == 1
