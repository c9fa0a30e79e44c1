"""The response maps of all landmarks as one image: an atlas with gaps between the maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent

from clnf_engine import Step
from clnf_engine.arrays import Floats
from clnf_engine.mean_shift import map_positions
from clnf_engine.steps import numbered_maps
from clnf_gui.look import Look, MapRange, MapSource
from clnf_gui.theme import BACKDROP, GREEN, SELECTION
from clnf_gui.views.hint import Hint, without_maps
from clnf_gui.views.items import set_points
from clnf_gui.views.map_numbers import MapNumbers
from clnf_gui.views.pens import Pens

_GAP = 2
_TINY = 1e-30
"""Half-width of a colour range that would otherwise be empty."""
_MARGIN_PX = 9
_FADED = 0.35
"""Opacity of maps that are not those of the step that is shown."""


class ResponseAtlas(pg.GraphicsLayoutWidget):
    """Paints `ResponseMaps`; a map's value is that of the Step, only its colour may be scaled.

    A Step that has no maps gets those nearest before it, faded, with a sentence that says so.

    Attributes
    ----------
    image_item : ImageItem
        The maps of the Step that is shown, and of no other.
    faded_item : ImageItem
        The maps nearest before a Step that has none.
    """

    landmark_clicked = Signal(object)
    """Index of the landmark whose map was clicked, or None."""
    hovered = Signal(object)
    """(landmark, row, column) of the cell under the mouse, or None."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Response maps of all landmarks")
        self.setBackground(BACKDROP)
        self.box = self.addViewBox(lockAspect=True, invertY=True, enableMenu=False)
        self.image_item, self.faded_item = pg.ImageItem(), pg.ImageItem()
        self.faded_item.setOpacity(_FADED)
        self._sequential, self._diverging = pg.colormap.get("viridis"), pg.colormap.get("CET-D1A")
        self.peak_item = pg.ScatterPlotItem(size=5, symbol="+")
        self.position_item = pg.ScatterPlotItem(size=5, symbol="o", brush=None)
        self.labels, self.frame = MapNumbers(), pg.PlotCurveItem()
        self.pens = Pens(self, on_photo=True)
        self.pens.give(self.peak_item.setPen, "#ff3b30", 1.2)
        self.pens.give(self.position_item.setPen, "#ffffff", 1.4)
        self.pens.give(self.frame.setPen, SELECTION, 2.5)
        self.truth_item = pg.ScatterPlotItem(size=7, symbol="x", brush=None)
        self.pens.give(self.truth_item.setPen, GREEN, 2.0)
        items = (self.image_item, self.faded_item, self.peak_item, self.position_item, self.truth_item, self.frame)
        for item in items:
            self.box.addItem(item)
        self.box.addItem(self.labels, ignoreBounds=True)
        self.colour_bar = pg.ColorBarItem(colorMap=self._sequential, interactive=False, width=12)
        self.addItem(self.colour_bar)
        for axis in ("left", "right"):
            self.colour_bar.getAxis(axis).setPen("#d0d0d0")
            self.colour_bar.getAxis(axis).setTextPen("#d0d0d0")
            self.colour_bar.getAxis(axis).enableAutoSIPrefix(False)
        self._steps: tuple[Step | None, Step | None] = (None, None)
        self._look = Look()
        self._runs: Sequence[Sequence[Step]] = ()
        self._selection: int | None = None
        self._label = ""
        self._colours: pg.ColorMap | None = None
        self._maps: NDArray[np.floating] | None = None
        self._painted: Step | None = None
        """The Step whose maps are painted; of a difference, that of lane A."""
        self._spanned: tuple[object, tuple[float, float]] | None = None
        """Of which runs, all of them in `_runs`, the span of values is known, and what it is."""
        self._columns = 1
        self._tile = 1
        self._large: int | None = None
        """Landmark whose map is shown alone."""
        self._framed = True
        """Whether the view shows what it was told to, and not what a person zoomed or moved it to."""
        self._faded = False
        self.hint = Hint(self)
        self.setToolTip(
            "Click: select the landmark. Double click, or Enter: its map alone; again, or Esc: all maps. "
            "Wheel: zoom. Drag: move."
        )
        self.box.sigResized.connect(self._refill)
        self.box.sigRangeChangedManually.connect(self._keep_in_sight)
        self.scene().sigMouseMoved.connect(self._on_mouse_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)

    def show_steps(self, a: Step | None, b: Step | None, look: Look, runs: Sequence[Sequence[Step]] = ()) -> None:
        """Paint the maps of the Steps of lanes A and B as `look` asks; where there are none, those nearest before.

        Without a second lane `b` is None. `runs` are the runs of the lanes; a colour range may span them.
        """
        self._steps, self._look, self._runs = (a, b), look, runs
        self._faded = False
        if self._paint_maps(a, b):
            self.faded_item.clear()
            self._say("")
            return
        self.image_item.clear()
        step = b if look.map_source is MapSource.B and b is not None else a
        earlier = [_earlier(lane, run) for lane, run in zip((a, b), (*runs, (), ()), strict=False)]
        painted = earlier[1] if look.map_source is MapSource.B and b is not None else earlier[0]
        self._faded = True
        if step is not None and step.responses is not None:
            self._clear()
            unrecorded = any(lane is not None and _maps(lane, look) is None for lane in (a, b))
            self._say("These maps were not recorded" if unrecorded else "The maps of A and B differ in size here")
        elif self._paint_maps(*earlier):
            stage = "" if painted is None else f": the maps of {painted.stage}"
            self._say(f"Faded{stage}. {without_maps(step)}.", low=True)
        else:
            self._clear()
            self._say(without_maps(step))

    def forget(self) -> None:
        """Let go of the runs that are painted."""
        self._steps, self._runs, self._spanned = (None, None), (), None

    def show_truth(self, points: Floats | None) -> None:
        """Mark where in each map the true landmark lies, image px, if it lies there."""
        maps = None if self._painted is None else self._painted.responses
        if points is None or maps is None or self._maps is None or points.shape != maps.base_shape.shape:
            set_points(self.truth_item, np.zeros((0, 2)))
            return
        corners = np.array([self._corner(k) for k in range(len(points))], dtype=float)
        cells = map_positions(points, maps, maps.final.dtype)
        inside = maps.visible & ((cells > -0.5) & (cells < maps.window - 0.5)).all(axis=1)
        set_points(self.truth_item, (corners + cells + 0.5)[inside])

    def _say(self, text: str, low: bool = False) -> None:
        """Show a hint; one at the lower edge gets room below the maps."""
        self.hint.show_text(text, low)
        room = self.hint.height() + _MARGIN_PX if low else 0
        self.ci.layout.setContentsMargins(_MARGIN_PX, _MARGIN_PX, _MARGIN_PX, _MARGIN_PX + room)

    def _paint_maps(self, a: Step | None, b: Step | None) -> bool:
        """Paint the maps of these Steps; False if there are none."""
        look = self._look
        step = b if look.map_source is MapSource.B and b is not None else a
        difference = look.map_source is MapSource.DIFFERENCE and b is not None
        maps = _difference(a, b, look) if difference else _maps(step, look)
        if step is None or maps is None:
            return False
        n, window = maps.shape[0], maps.shape[1]
        columns = self._best_columns(n)
        reshaped = self._maps is None or self._maps.shape != maps.shape or columns != self._columns
        self._maps, self._tile, self._columns, self._painted = maps, window + _GAP, columns, step
        peaks = np.abs(maps).max(axis=(1, 2))
        shown, levels = maps, self._levels((a, b))
        if difference:
            levels = (-max(peaks.max(), _TINY), max(peaks.max(), _TINY))
        elif look.map_range is MapRange.EACH:
            divisor = peaks[:, None, None]
            shown, levels = np.divide(maps, divisor, out=np.zeros_like(maps), where=divisor > 0), (0.0, 1.0)
        self._paint_colours(shown, levels, difference)
        corners = np.array([self._corner(k) for k in range(n)], dtype=float)
        cells = np.abs(maps).reshape(n, -1).argmax(axis=1)
        set_points(self.peak_item, corners + np.stack([cells % window, cells // window], axis=1) + 0.5)
        positions = np.zeros((0, 2)) if step.mean_shift is None else corners + step.mean_shift.position + 0.5
        positions = positions[np.isfinite(positions).all(axis=1)]
        set_points(self.position_item, positions)
        if reshaped:
            self.labels.show_numbers([(k, *self._corner(k)) for k in range(n)], window)
            self._frame_maps()
        return True

    def _paint_colours(self, values: NDArray[np.floating], levels: tuple[float, float], difference: bool) -> None:
        """Paint values as colours, and the bar that tells what the colours mean."""
        colours = self._diverging if difference else self._sequential
        if colours is not self._colours:
            self._colours = colours
            for item in (self.image_item, self.faded_item):
                item.setColorMap(colours)
        item = self.faded_item if self._faded else self.image_item
        item.setImage(self._atlas(values), autoLevels=False, levels=levels)
        each = self._look.map_range is MapRange.EACH and not difference
        label = "A − B" if difference else "of each map's peak" if each else "response"
        if label != self._label:
            self._label = label
            self.colour_bar.setColorMap(colours)
            self.colour_bar.setLabel("right", label)
        if self.colour_bar.levels() != levels:
            self.colour_bar.setLevels(levels)
        self.colour_bar.show()

    def _levels(self, painted: tuple[Step | None, Step | None]) -> tuple[float, float]:
        """The values that the colours span: of the Steps, of the whole run, or as given."""
        look = self._look
        if look.map_range is MapRange.MANUAL:
            low, high = look.manual_range
            return low, max(high, low + _TINY)
        if look.map_range is not MapRange.RUN:
            self._spanned = None
            return _span(painted, look)
        known = [(id(run), len(run)) for run in self._runs], look.map_kind
        if self._spanned is None or self._spanned[0] != known:
            self._spanned = known, _span((step for run in self._runs for step in _with_own_maps(run)), look)
        return self._spanned[1]

    def _clear(self) -> None:
        self._maps = self._painted = None
        for image in (self.image_item, self.faded_item):
            image.clear()
        self.labels.show_numbers([], 0)
        for item in (self.peak_item, self.position_item, self.truth_item):
            set_points(item, np.zeros((0, 2)))
        self.frame.setData([], [])
        self.colour_bar.hide()

    def show_selection(self, landmark: int | None) -> None:
        """Frame the selected landmark's map; where one map is shown alone, it is now this one."""
        moved, self._selection = landmark != self._selection, landmark
        if landmark is None or self._maps is None or landmark >= len(self._maps):
            self.frame.setData([], [])
            return
        x, y = self._corner(landmark)
        x0, y0, x1, y1 = x - 0.5, y - 0.5, x + self._tile - 1.5, y + self._tile - 1.5
        self.frame.setData([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0])
        if moved and self._large is not None:
            self.show_large(landmark)

    # --- zoom ---------------------------------------------------------------------------------

    def show_all(self) -> None:
        """Show all maps."""
        self._large = None
        self._frame_maps()

    def show_large(self, landmark: int) -> None:
        """Show one map alone."""
        self._large = landmark
        self._frame_maps()

    @property
    def shows_all(self) -> bool:
        """Whether the view is neither zoomed nor moved."""
        return self._framed and self._large is None

    def _frame_maps(self) -> None:
        """Bring all maps into sight, or the one that is shown alone."""
        self._framed = True
        if self._maps is None:
            return
        if self._large is not None and self._large < len(self._maps):
            side = self._maps.shape[1]
            self.box.setRange(QRectF(*self._corner(self._large), side, side), padding=0.04)
        else:
            self.box.setRange(self._whole(), padding=0.02)

    def _whole(self) -> QRectF:
        """The rectangle of all maps."""
        n = 0 if self._maps is None else len(self._maps)
        return QRectF(0, 0, self._columns * self._tile - _GAP, math.ceil(n / self._columns) * self._tile - _GAP)

    def _keep_in_sight(self) -> None:
        """After a person has zoomed or moved: no smaller than all maps fit, and some of them in the middle."""
        self._large, self._framed = None, False
        seen, whole = self.box.viewRect(), self._whole()
        if seen.width() > whole.width() and seen.height() > whole.height():
            self.show_all()
            return
        middle = seen.center()
        x = min(max(middle.x(), whole.left()), whole.right())
        y = min(max(middle.y(), whole.top()), whole.bottom())
        if (x, y) != (middle.x(), middle.y()):
            seen.moveCenter(QPointF(x, y))
            self.box.setRange(seen, padding=0)

    def event(self, event: QEvent) -> bool:
        """Esc shows all maps again before it does what it does elsewhere."""
        escape = isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape
        if escape and event.type() == QEvent.Type.ShortcutOverride and not self.shows_all:
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, ev: QKeyEvent) -> None:
        if ev.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._selection is not None:
            self.show_large(self._selection)
        elif ev.key() == Qt.Key.Key_Escape and not self.shows_all:
            self.show_all()
        else:
            super().keyPressEvent(ev)

    # --- geometry -----------------------------------------------------------------------------

    def _best_columns(self, n: int) -> int:
        """The number of columns at which n square maps fill the view best."""
        width, height = max(self.box.width(), 1.0), max(self.box.height(), 1.0)
        return max(range(1, n + 1), key=lambda columns: min(width / columns, height / math.ceil(n / columns)))

    def _refill(self) -> None:
        """Arrange the maps anew when the view's shape asks for it."""
        if self._maps is not None and self._best_columns(len(self._maps)) != self._columns:
            self.show_steps(*self._steps, self._look, self._runs)
            self.show_selection(self._selection)
        elif self._framed:
            self._frame_maps()

    def _corner(self, landmark: int) -> tuple[int, int]:
        """Atlas x and y of the first cell of a map."""
        row, column = divmod(landmark, self._columns)
        return column * self._tile, row * self._tile

    def _atlas(self, maps: NDArray[np.floating]) -> NDArray[np.float32]:
        n, window, _ = maps.shape
        rows = math.ceil(n / self._columns)
        tiles = np.full((rows * self._columns, self._tile, self._tile), np.nan, dtype=np.float32)
        tiles[:n, :window, :window] = maps
        grid = tiles.reshape(rows, self._columns, self._tile, self._tile).swapaxes(1, 2)
        return np.ascontiguousarray(grid.reshape(rows * self._tile, self._columns * self._tile)[:-_GAP, :-_GAP])

    def _cell(self, scene_position: QPointF) -> tuple[int, int, int] | None:
        """(landmark, row, column) at a place of the scene."""
        if self._maps is None or not self.box.sceneBoundingRect().contains(scene_position):
            return None
        point = self.box.mapSceneToView(scene_position)
        map_column, column = divmod(math.floor(point.x()), self._tile)
        map_row, row = divmod(math.floor(point.y()), self._tile)
        landmark = map_row * self._columns + map_column
        n, window = self._maps.shape[:2]
        inside = 0 <= map_column < self._columns and 0 <= landmark < n and row < window and column < window
        return (landmark, row, column) if inside else None

    def _on_mouse_moved(self, position: QPointF) -> None:
        self.hovered.emit(None if self._faded else self._cell(position))

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        cell = self._cell(event.scenePos())
        if not event.double():
            self.landmark_clicked.emit(None if cell is None else cell[0])
        elif not self.shows_all:
            self.show_all()
        elif cell is not None:
            self.show_large(cell[0])


def _with_own_maps(run: Sequence[Step]) -> Iterator[Step]:
    """The first of the Steps that share their maps."""
    seen: set[int | None] = {None}
    for index, key in enumerate(numbered_maps(run)):
        if key not in seen:
            seen.add(key)
            yield run[index]


def _span(steps: Iterable[Step | None], look: Look) -> tuple[float, float]:
    """Lowest and highest value of the maps of Steps; never an empty span."""
    low, high = math.inf, -math.inf
    for step in steps:
        if (maps := _maps(step, look)) is not None:
            low, high = min(low, float(maps.min())), max(high, float(maps.max()))
    return (low, max(high, low + _TINY)) if low <= high else (0.0, _TINY)


def _maps(step: Step | None, look: Look) -> NDArray[np.floating] | None:
    """The maps of a Step that `look` chooses, zero where a landmark has none; None where no landmark has one."""
    if step is None or step.responses is None:
        return None
    maps = getattr(step.responses, look.map_kind)
    missing = np.isnan(maps)
    if not missing.any():
        return maps
    return None if missing.all() else np.where(missing, 0, maps)


def _earlier(step: Step | None, run: Sequence[Step]) -> Step | None:
    """The Step with maps that is nearest before a Step of a run."""
    at = next((k for k in range(len(run) - 1, -1, -1) if run[k] is step), -1)
    return next((run[k] for k in range(at, -1, -1) if run[k].responses is not None), None)


def _difference(a: Step | None, b: Step | None, look: Look) -> NDArray[np.floating] | None:
    """Maps of A minus maps of B; None where one has none or their sizes differ."""
    maps_a, maps_b = _maps(a, look), _maps(b, look)
    if maps_a is None or maps_b is None or maps_a.shape != maps_b.shape:
        return None
    return maps_a - maps_b
