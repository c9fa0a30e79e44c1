"""The photo with the fit over it. One item per layer, never one per landmark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.GraphicsScene.mouseEvents import MouseClickEvent
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QTransform
from PySide6.QtWidgets import QGraphicsItem, QLabel

from clnf_engine import ResponseMaps, Step
from clnf_engine.detection.parts import PartFit
from clnf_engine.initial import Box
from clnf_engine.model import ModelPart
from clnf_engine.steps import numbers_of
from clnf_gui.look import Look, Moment
from clnf_gui.theme import (
    BACKDROP,
    GREEN,
    LANE_COLOURS,
    ORANGE,
    PURPLE,
    SELECTION,
    SKY,
    YELLOW,
)
from clnf_gui.views.contours import contours
from clnf_gui.views.items import set_pairs, set_points
from clnf_gui.views.landmark_numbers import LandmarkNumbers
from clnf_gui.views.pens import Pens
from clnf_gui.views.start_box import StartBox

_PICK_RADIUS = 12.0
_TRAIL = 5
"""How many earlier shapes the trail shows."""
_EMPTY = np.zeros((0, 2))
_MAP_OPACITY = 0.6
_TITLE_PX = 8
_TITLE_STYLE = (
    "QLabel {{ color: white; background: rgba(20, 20, 20, 190); border: 2px solid {}; border-radius: 4px; "
    "padding: 3px 8px; font-weight: bold; }}"
)
_TINY = 1e-30
"""Peak of a map that would otherwise have no range of colours."""


class ImageView(pg.GraphicsLayoutWidget):
    """Paints the image, landmarks, contours, mean-shifts and the initial shape, all in image px."""

    landmark_clicked = Signal(object)
    """Index of the landmark under a click, or None."""
    box_dragged = Signal(object)
    """(x, y, width, height) of the starting box, upright, while it is moved or sized, image px."""
    box_turned = Signal(float)
    """Angle of the starting box, radians, clockwise on the screen, while it is turned."""
    box_grabbed = Signal()
    box_released = Signal()
    hovered = Signal(object)
    """(x, y) in image px under the mouse, or None."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(f"Image with landmarks of lane {name}")
        self.setBackground(BACKDROP)
        self.box = self.addViewBox(lockAspect=True, invertY=True, enableMenu=False)
        self.image_item, self.map_item = pg.ImageItem(), pg.ImageItem()
        # Landmarks move over it at every step; kept as it is on the screen, it need not be scaled anew.
        self.image_item.setCacheMode(QGraphicsItem.CacheMode.DeviceCoordinateCache)
        self.map_item.setColorMap(pg.colormap.get("viridis"))
        self.map_item.setOpacity(_MAP_OPACITY)
        self.ghost_item, self.contour_item, self.trail_item = (pg.PlotCurveItem() for _ in range(3))
        self.part_item = pg.PlotCurveItem()
        self.shift_item, self.window_item = pg.PlotCurveItem(), pg.PlotCurveItem()
        self.point_item = pg.ScatterPlotItem(size=6, brush=pg.mkBrush("#ffffff"))
        self.selected_item = pg.ScatterPlotItem(size=16, brush=pg.mkBrush(None), pxMode=True)
        self.truth_item = pg.ScatterPlotItem(size=8, symbol="x", brush=None)
        self.error_item, self.apart_item = pg.PlotCurveItem(), pg.PlotCurveItem()
        self.title = QLabel(self)
        self.title.move(_TITLE_PX, _TITLE_PX)
        self.title.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.title.hide()
        self._name = name
        self.numbers = LandmarkNumbers()
        self.roi = StartBox()
        self.roi.hide()
        self.roi.dragged.connect(self.box_dragged)
        self.roi.turned.connect(self.box_turned)
        self.roi.grabbed.connect(self.box_grabbed)
        self.roi.released.connect(self.box_released)
        self.label = pg.TextItem(color="#ffffff", fill=pg.mkBrush(20, 20, 20, 190), anchor=(-0.15, 1.2))
        for item in (
            self.image_item,
            self.map_item,
            self.window_item,
            self.trail_item,
            self.ghost_item,
            self.contour_item,
            self.part_item,
            self.shift_item,
            self.apart_item,
            self.error_item,
            self.point_item,
            self.truth_item,
            self.roi,
            self.selected_item,
            self.label,
        ):
            self.box.addItem(item)
        self.box.addItem(self.numbers, ignoreBounds=True)
        self.label.hide()
        self.crosshair = [pg.InfiniteLine(angle=angle) for angle in (0, 90)]
        for line in self.crosshair:
            line.hide()
            self.box.addItem(line, ignoreBounds=True)
        self.pens = Pens(self, on_photo=True)
        self._give_pens()
        self.scene().sigMouseMoved.connect(self._on_mouse_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._landmarks = _EMPTY
        self._maps: ResponseMaps | None = None
        self._look = Look()
        self._selection: int | None = None
        self._framed: tuple[QRectF, float] | None = None
        self.box.sigResized.connect(self._reframe)
        self.box.sigRangeChangedManually.connect(self._unframe)

    def _give_pens(self) -> None:
        give, dotted = self.pens.give, Qt.PenStyle.DotLine
        give(self.ghost_item.setPen, "#ffffff", 1.0, dotted)
        give(self.contour_item.setPen, SKY)
        give(self.part_item.setPen, YELLOW)
        give(self.trail_item.setPen, (255, 255, 255, 110))
        give(self.shift_item.setPen, ORANGE, 2.0)
        give(self.window_item.setPen, YELLOW)
        give(self.point_item.setPen, "#10243a")
        give(self.selected_item.setPen, SELECTION, 2.5)
        give(self.truth_item.setPen, GREEN, 2.0)
        give(self.error_item.setPen, GREEN)
        give(self.apart_item.setPen, PURPLE, 2.0)
        give(self.roi.setPen, YELLOW, 2.0)
        for line in self.crosshair:
            give(line.setPen, "#ffffff", 1.0, dotted)

    def show_image(self, rgb: NDArray[np.uint8] | None) -> None:
        """Paint another image, (H, W, 3) uint8 and C-contiguous; None clears the view."""
        if rgb is None:
            self.image_item.clear()
            return
        self.image_item.setImage(rgb, autoLevels=False, levels=None)
        # Pixel centres lie at integers, so the image begins half a pixel before the first.
        self.image_item.setRect(QRectF(-0.5, -0.5, rgb.shape[1], rgb.shape[0]))

    def show_step(
        self, steps: Sequence[Step], index: int, look: Look, moment: Moment, part: ModelPart | None = None
    ) -> None:
        """Paint a Step of a run, and of the others what `look` asks for; an empty run paints nothing but the image.

        Within an iteration the landmarks stay where it began until the update. The run is of `part`, if there is one.
        """
        numbers = numbers_of(steps)
        step, ghost = (numbers[index], numbers[0]) if len(steps) else (None, None)
        before = None if step is None else step.landmarks_before
        self._landmarks = _EMPTY if step is None else step.landmarks
        if before is not None and moment is not Moment.UPDATE:
            self._landmarks = before
        set_points(self.point_item, self._landmarks[_known(self._landmarks)])
        self.numbers.show_points(self._landmarks if look.show_numbers else _EMPTY)
        lines = contours(len(self._landmarks), part)
        set_pairs(self.contour_item, self._landmarks[lines] if look.show_contours else None)
        set_pairs(self.ghost_item, ghost.landmarks[lines] if ghost is not None and look.show_ghost else None)
        set_pairs(self.shift_item, _movement(step, moment, look.shift_scale) if step and look.show_shifts else None)
        solved = moment is Moment.SOLVE or (step is not None and step.iteration is None)
        self.pens.give(self.shift_item.setPen, GREEN if solved else ORANGE, 2.0)
        before_it = numbers[max(index - _TRAIL, 0) : index] if look.show_trail and look.show_contours else ()
        trail = [s.landmarks[lines] for s in before_it if s.iteration is not None]
        set_pairs(self.trail_item, np.concatenate(trail) if trail else None)
        wanted = len(steps) and (look.show_windows or look.show_map)
        self._maps, self._look = steps[index].responses if wanted else None, look
        self._paint_maps()

    def _paint_maps(self) -> None:
        """Paint the windows of the maps, and the map of the selected landmark where it looks."""
        maps, look, selected = self._maps, self._look, self._selection
        if maps is None or (selected is not None and selected >= len(maps.visible)):
            selected = None
        which = None if maps is None else maps.visible.copy()
        if which is not None and selected is not None and not look.windows_all:
            which[np.arange(len(which)) != selected] = False
        set_pairs(self.window_item, _windows(maps, which) if maps and which is not None and look.show_windows else None)
        if maps is None or selected is None or not look.show_map or not maps.visible[selected]:
            self.map_item.clear()
            return
        values = getattr(maps, look.map_kind)[selected]
        placed = np.isfinite(maps.reference_to_image).all() and np.isfinite(maps.base_shape[selected]).all()
        if not placed or not np.isfinite(values).all():
            self.map_item.clear()
            return
        self.map_item.setImage(values, autoLevels=False, levels=(0.0, max(float(np.abs(values).max()), _TINY)))
        self.map_item.setTransform(map_transform(maps, selected))

    def show_truth(self, points: NDArray[np.float64] | None, look: Look) -> None:
        """Paint the true landmarks, image px, and lines from where the landmarks are to where they should be."""
        shown = points if look.show_truth else None
        set_points(self.truth_item, _EMPTY if shown is None else shown[_known(shown)])
        set_pairs(self.error_item, _between(self._landmarks, shown))

    def show_parts(self, parts: Iterable[PartFit], look: Look) -> None:
        """Paint the lines of parts that tell more than the landmarks of the face: eyelids, irises and pupils."""
        own = [fitted for fitted in parts if fitted.part.model.n_landmarks > len(fitted.part.landmark_pairs)]
        lines = [fitted.landmarks[contours(len(fitted.landmarks), fitted.part)] for fitted in own]
        set_pairs(self.part_item, np.concatenate(lines) if lines and look.show_contours else None)

    def show_other(self, points: NDArray[np.float64] | None, look: Look) -> None:
        """Paint lines from every landmark to itself in the other lane, image px; None where there is none."""
        set_pairs(self.apart_item, _between(self._landmarks, points) if look.show_apart else None)

    def show_title(self, text: str, active: bool) -> None:
        """Write over the picture what it is; "" for nothing."""
        self.title.setText(text)
        self.title.setStyleSheet(_TITLE_STYLE.format(LANE_COLOURS[self._name] if active else "transparent"))
        self.title.adjustSize()
        self.title.setVisible(bool(text))

    def show_box(self, box: Box | None, angle: float = 0.0) -> None:
        """Show the starting box, turned about its centre by an angle in radians, to be dragged; None hides it."""
        self.roi.setVisible(box is not None)
        if box is not None:
            self.roi.show_box(box, angle)

    def show_crosshair(self, point: tuple[float, float] | None) -> None:
        """Mark the place, image px, that the mouse points at in the other view."""
        for line, value in zip(self.crosshair, (0.0, 0.0) if point is None else (point[1], point[0]), strict=True):
            line.setVisible(point is not None)
            line.setValue(value)

    def link(self, other: ImageView) -> None:
        """Follow another view, which follows only where a person pans or zooms in this one."""
        # pyqtgraph's own axis links fight with a locked aspect; two views of one size need only the same range.
        other.box.sigRangeChanged.connect(lambda: self.follow(other))
        self.box.sigResized.connect(lambda: self.follow(other))
        self.box.sigRangeChangedManually.connect(lambda: other.follow(self))

    def follow(self, other: ImageView) -> None:
        """Show the same part of the image as another view."""
        if self.isVisible() and other.isVisible() and self.box.viewRect() != other.box.viewRect():
            self._framed = None
            blocked = self.box.blockSignals(True)
            self.box.setRange(other.box.viewRect(), padding=0)
            self.box.blockSignals(blocked)

    def show_selection(self, landmark: int | None) -> None:
        """Ring and number the selected landmark; its map and window are those that can be painted alone."""
        self.numbers.leave_out(landmark)
        if landmark != self._selection:
            self._selection = landmark
            self._paint_maps()
        if landmark is None or landmark not in _known(self._landmarks):
            set_points(self.selected_item, _EMPTY)
            self.label.hide()
            return
        set_points(self.selected_item, self._landmarks[[landmark]])
        self.label.setText(str(landmark))
        self.label.setPos(*self._landmarks[landmark])
        self.label.show()

    def zoom_to_image(self) -> None:
        """Show the whole image."""
        self._frame_on(self.image_item.mapRectToParent(self.image_item.boundingRect()), 0.01)

    def zoom_to_face(self) -> None:
        """Show the landmarks and a margin around them."""
        known = self._landmarks[_known(self._landmarks)]
        if len(known):
            low, high = known.min(axis=0), known.max(axis=0)
            self._frame_on(QRectF(QPointF(*low), QPointF(*high)), 0.12)

    def _frame_on(self, rect: QRectF, padding: float) -> None:
        """Show a part of the image, and keep showing it when the view is resized, until the person pans or zooms."""
        self._framed = (rect, padding)
        self.box.setRange(rect, padding=padding)

    def _reframe(self) -> None:
        if self._framed is not None:
            self._frame_on(*self._framed)

    def _unframe(self) -> None:
        self._framed = None

    def _on_mouse_moved(self, position: QPointF) -> None:
        inside = self.box.sceneBoundingRect().contains(position)
        point = self.box.mapSceneToView(position)
        self.hovered.emit((point.x(), point.y()) if inside else None)

    def _on_clicked(self, event: MouseClickEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or not len(_known(self._landmarks)):
            return
        point = self.box.mapSceneToView(event.scenePos())
        distance = np.linalg.norm(self._landmarks - [point.x(), point.y()], axis=1)
        nearest = int(np.nanargmin(distance))
        pixel = self.box.viewPixelSize()[0]
        self.landmark_clicked.emit(nearest if distance[nearest] <= _PICK_RADIUS * pixel else None)


def _known(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the points that are somewhere; those that a recording leaves out are NaN."""
    return np.flatnonzero(np.isfinite(points).all(axis=1))


def _between(points: NDArray[np.float64], others: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """A segment from every point to its counterpart; None unless each has one."""
    return None if others is None or others.shape != points.shape else np.stack([points, others], axis=1)


def _movement(step: Step, moment: Moment, scale: float) -> NDArray[np.float64] | None:
    """Arrows from where an iteration began: the mean-shifts times `scale`, or what the solution does to landmarks.

    From where a merge or a refit began it is what that does.
    """
    start = step.landmarks_before
    if start is not None and step.iteration is None:
        return _arrows(start, step.landmarks - start)
    if start is None or step.mean_shift is None:
        return None
    return _arrows(start, step.landmarks - start if moment is Moment.SOLVE else scale * step.mean_shift.image)


def _windows(responses: ResponseMaps, which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Outlines in the image of the response maps of some landmarks, (4k, 2 ends, 2)."""
    half = responses.window / 2
    corners = np.array([(-half, -half), (half, -half), (half, half), (-half, half)]) @ responses.reference_to_image.T
    centred = responses.base_shape[which][:, None] + corners
    return np.stack([centred, np.roll(centred, -1, axis=1)], axis=2).reshape(-1, 2, 2)


def map_transform(responses: ResponseMaps, landmark: int) -> QTransform:
    """From a map's picture to image px: its centre lies on the landmark of the base shape.

    A cell (row, column) covers ``[column, column + 1] × [row, row + 1]`` of the picture, so its centre, and with it
    that of the whole map, is half a cell further than its indices.
    """
    ((a, b), (c, d)) = responses.reference_to_image.tolist()
    x, y = responses.base_shape[landmark] - responses.reference_to_image @ np.full(2, responses.window / 2)
    return QTransform(a, c, b, d, float(x), float(y))


def _arrows(start: NDArray[np.float64], shift: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shafts and the two strokes of every head, (3n, 2 ends, 2); the n shafts come first."""
    end = start + shift
    across = np.stack([-shift[:, 1], shift[:, 0]], axis=1)
    strokes = [end - 0.3 * shift + side * 0.18 * across for side in (-1, 1)]
    return np.stack([np.concatenate([start, end, end]), np.concatenate([end, *strokes])], axis=1)
