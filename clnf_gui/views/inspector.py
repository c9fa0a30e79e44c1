"""Everything about one landmark at one Step: its area of interest, every map, the kernel, the neurons, Sigma."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSplitter, QStyleOptionGraphicsItem, QVBoxLayout, QWidget

from clnf_engine import FitOptions, Kernel, Model, ResponseMaps, Step
from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.kernel import map_grid, mean_shift_field
from clnf_engine.mean_shift import kernel_maps
from clnf_engine.model import PatchExperts
from clnf_engine.sigma import sigma_matrices
from clnf_gui.theme import BACKDROP, SELECTION
from clnf_gui.views.hint import Hint, without_maps
from clnf_gui.views.items import set_points
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.pens import Pens
from clnf_gui.views.readout import apart_line, error_line, wanted_line
from clnf_gui.views.screen_text import ScreenText

_TILE = 132
"""Side of a panel, pixels of the composed picture; whole multiples of 11 cells stay sharp."""
_TITLE = 24
_GAP = 10
_TITLE_PX = 16.0
"""Height of a title on the screen."""
_COLUMN_PX = 250
"""Width of a table of names and values, px."""
_PER_CELL = 4
"""Places per cell at which the mean-shift field is shown."""
_VIRIDIS = pg.colormap.get("viridis").getLookupTable(nPts=256)[:, :3].astype(np.uint8)
_GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


@dataclass(frozen=True)
class Panel:
    """One picture of the inspector.

    Attributes
    ----------
    title : str
    values : (h, w)
        What is painted; NaN is a gap.
    grey : bool
        Grey levels rather than viridis.
    is_map : bool
        A response map, in which the landmark's position can be marked.
    """

    title: str
    values: NDArray[np.floating]
    grey: bool = False
    is_map: bool = False


def panels(step: Step, landmark: int, model: Model | None, options: FitOptions | None) -> list[Panel]:
    """The pictures of a landmark at a Step; empty for a Step without maps.

    Without options, as of a run that is not the engine's, there is only what was recorded: no kernel, no Sigma.
    """
    maps, stage = step.responses, step.stage
    if maps is None or stage is None or landmark >= len(maps.final):
        return []
    result = _recorded_panels(step, landmark, options)
    experts = _experts(step, model)
    if experts is None or stage.view is None or model is None:
        return result
    sigma = sigma_matrices(model.scales[stage.patch_scale], stage.view, maps.window, maps.raw.dtype)
    if sigma is not None and stage.sigma_transform and options is not None:
        result.append(Panel("diag Sigma", sigma[landmark].diagonal().reshape(maps.window, -1)))
        result.append(Panel("Sigma", sigma[landmark]))
    neurons = int(experts.neurons[landmark])
    if maps.neuron_ncc.shape[1] and maps.neuron_output.shape[1]:
        result.append(Panel("NCC", _strip(maps.neuron_ncc[landmark, :neurons])))
        result.append(Panel("outputs", _strip(maps.neuron_output[landmark, :neurons])))
    return result


def _experts(step: Step, model: Model | None) -> PatchExperts | None:
    """The experts of a Step's view; None where the model has none for what was recorded."""
    stage = step.stage
    if stage is None or stage.view is None or model is None or model.n_landmarks != len(step.landmarks):
        return None
    scales = model.scales[stage.patch_scale : stage.patch_scale + 1] if stage.patch_scale >= 0 else ()
    return scales[0].views[stage.view] if scales and 0 <= stage.view < len(scales[0].views) else None


def _recorded_panels(step: Step, landmark: int, options: FitOptions | None) -> list[Panel]:
    """The pictures of what a Step holds, but for the neurons; those that were not recorded are left out."""
    maps, stage = step.responses, step.stage
    assert maps is not None and stage is not None
    result = [
        Panel("area", maps.area[landmark], grey=True),
        Panel("raw", maps.raw[landmark], is_map=True),
        Panel("after Sigma", maps.after_sigma[landmark], is_map=True),
        Panel("final", maps.final[landmark], is_map=True),
    ]
    result = [panel for panel in result if not np.isnan(panel.values).all()]
    if options is None:
        return result
    known = bool(np.isfinite(maps.final[landmark]).all() and np.isfinite(stage.sigma))
    if step.mean_shift is not None and known and np.isfinite(step.mean_shift.position[landmark]).all():
        position = step.mean_shift.position[[landmark]]
        kernel = kernel_maps(position, maps.window, stage.sigma, options.kernel)[0]
        result.append(Panel("kernel", kernel, is_map=True))
        result.append(Panel("product", maps.final[landmark] * kernel, is_map=True))
    if known and np.isfinite(maps.reference_to_image).all():
        result += _field_panels(maps, landmark, stage.sigma, options.kernel)
    return result


@lru_cache(maxsize=8)
def _field_panels(maps: ResponseMaps, landmark: int, sigma: float, kernel: Kernel) -> tuple[Panel, ...]:
    """How far the mean-shift moves the landmark from everywhere in its map; what the kernel table does to that."""
    places = map_grid(maps.window, _PER_CELL)
    shifts, exact = (mean_shift_field(maps, landmark, places, sigma, k) for k in (kernel, Kernel.EXACT))
    length, difference = (np.linalg.norm(field, axis=-1) for field in (shifts, shifts - exact))
    found = (Panel("shift, px", length), Panel("table − exact", difference))
    return found[:1] if kernel is Kernel.EXACT else found


def numbers(step: Step, landmark: int, model: Model | None) -> dict[str, float]:
    """Every number of a landmark at a Step: first what it wanted to do and what it did."""
    result = {}
    maps, shift = step.responses, step.mean_shift
    if shift is not None:
        result["shift x, image px"], result["shift y, image px"] = shift.image[landmark]
    if landmark >= len(step.landmarks):
        return {}
    if step.landmarks_before is not None:
        moved = step.landmarks[landmark] - step.landmarks_before[landmark]
        result["moved x, image px"], result["moved y, image px"] = moved
    result["x, image px"], result["y, image px"] = step.landmarks[landmark]
    if shift is not None:
        result["position dx, cells"], result["position dy, cells"] = shift.position[landmark]
        result["kernel sum"] = shift.kernel_sum[landmark]
        result["shift x, reference px"], result["shift y, reference px"] = shift.reference[landmark]
    if step.weights is not None:
        result["weight"] = step.weights[landmark]
    if step.likelihoods is not None:
        result["likelihood"] = step.likelihoods[landmark]
    experts = _experts(step, model)
    if maps is not None and experts is not None:
        result["visible"] = float(maps.visible[landmark])
        for name, array in (("raw", maps.raw), ("after Sigma", maps.after_sigma), ("final", maps.final)):
            result[f"{name} max"] = array[landmark].max()
            result[f"{name} mean"] = array[landmark].mean()
        result["neurons"] = float(experts.neurons[landmark])
        result["Σα"] = experts.sum_alphas[landmark]
        for k, beta in enumerate(experts.betas[landmark]):
            result[f"β{k}"] = beta
        result["patch confidence"] = experts.patch_confidence[landmark]
    return {name: float(value) for name, value in result.items() if not np.isnan(value)}


def _strip(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Maps side by side with a gap of NaN between them."""
    count, window, _ = maps.shape
    columns = max(1, round(np.sqrt(max(count, 1))))
    rows = -(-count // columns) if count else 1
    tiles = np.full((rows * columns, window + 1, window + 1), np.nan)
    tiles[:count, :window, :window] = maps
    grid = tiles.reshape(rows, columns, window + 1, window + 1).swapaxes(1, 2)
    return grid.reshape(rows * (window + 1), columns * (window + 1))[:-1, :-1]


class _Numbers(QWidget):
    """Names and values as one table, or as two beside each other where there is room for both."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = (NumberTable("Numbers of the landmark"), NumberTable("More numbers of the landmark"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for table in self.tables:
            table.horizontalHeader().setStretchLastSection(True)
            layout.addWidget(table, 1)
        self._name_px = self.fontMetrics().horizontalAdvance("shift x, reference px") + 14
        self._title = ""
        self._values: dict[str, float] = {}

    def show_values(self, title: str, values: dict[str, float]) -> None:
        """Show values by name."""
        self._title, self._values = title, values
        self._fill()

    def _fill(self) -> None:
        first, second = self.tables
        wide = self.width() >= 2 * _COLUMN_PX and len(self._values) > 1
        names = list(self._values)
        half = (len(names) + 1) // 2 if wide else len(names)
        second.setVisible(wide)
        for table, part in ((first, names[:half]), (second, names[half:])):
            values = [self._values[name] for name in part]
            table.show_columns({self._title: part, "value": values} if self._values else {})
            table.setColumnWidth(0, max(table.columnWidth(0), self._name_px))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fill()


class InspectorView(QSplitter):
    """Paints the panels of a landmark as one image; below, what it wanted and was allowed, and its numbers."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Vertical)
        self.pictures = pg.GraphicsLayoutWidget()
        self.pictures.setAccessibleName("Maps of the selected landmark")
        self.pictures.setBackground(BACKDROP)
        self.box = self.pictures.addViewBox(lockAspect=True, invertY=True, enableMenu=False)
        self.box.setMouseEnabled(False, False)
        self.image_item = pg.ImageItem()
        self.titles = _Titles()
        self.mark_item = pg.ScatterPlotItem(size=7, symbol="o", brush=None)
        self.pens = Pens(self, on_photo=True)
        self.pens.give(self.mark_item.setPen, SELECTION, 2.0)
        for item in (self.image_item, self.titles, self.mark_item):
            self.box.addItem(item, ignoreBounds=True)
        self.hint = Hint(self.pictures)
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.sentence.setMargin(4)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.numbers = _Numbers()
        self.table = self.numbers.tables[0]
        below = QWidget()
        layout = QVBoxLayout(below)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.sentence)
        layout.addWidget(self.numbers, 1)
        layout.addStretch(0)
        self.addWidget(self.pictures)
        self.addWidget(below)
        self.setSizes([420, 220])
        self.panels: list[Panel] = []
        self._position: NDArray[np.floating] | None = None
        self.box.sigResized.connect(self._lay_out)

    def show_landmark(
        self,
        step: Step | None,
        landmark: int | None,
        model: Model | None,
        options: FitOptions | None,
        truth: Floats | None = None,
        other: Step | None = None,
    ) -> None:
        """Paint a landmark at a Step; where there is nothing to paint, a hint in place of the pictures.

        `options` are those of an engine's run, None for one of another program, which may have another kernel;
        `truth` are the true landmarks, image px; `other` is the Step of the lane that is compared with.
        """
        position, self.panels, hint, sentence = None, [], "", ""
        if landmark is None:
            hint = "Select a landmark: click one in the image or among the maps, or press N"
        if step is None or landmark is None:
            hint = hint or without_maps(None)
            self.numbers.show_values("", {})
            self.numbers.hide()  # what is around it stays: Qt takes a widget that its children cover for out of sight
        else:
            self.numbers.show()
            self.panels = panels(step, landmark, model, options)
            hint = "" if self.panels else without_maps(step)
            self.numbers.show_values(f"landmark {landmark}", numbers(step, landmark, model))
            there, shift = landmark < len(step.landmarks), step.mean_shift
            position = shift.position[landmark] + 0.5 if shift is not None and there else None
            told = [wanted_line(step, landmark), error_line(step, truth, landmark)] if there else []
            told.append("" if other is None or not there else apart_line(step, other, landmark))
            sentence = "   ·   ".join(filter(None, told))
        self.hint.show_text(hint)
        self.sentence.setText(sentence)
        self.sentence.setVisible(bool(sentence))
        self._position = position
        self._lay_out()

    def _lay_out(self) -> None:
        """Compose all panels into one picture that fills the view."""
        count = len(self.panels)
        if not count:
            self.image_item.clear()
            set_points(self.mark_item, np.zeros((0, 2)))
            self.titles.show_titles([], 0)
            self.box.setRange(QRectF(0, 0, 100, 100), padding=0)
            return
        width, height = max(self.box.width(), 1.0), max(self.box.height(), 1.0)
        columns = max(
            range(1, count + 1), key=lambda c: min(width / c / _TILE, height / -(-count // c) / (_TILE + _TITLE))
        )
        rows = -(-count // columns)
        pitch = (_TILE + _TITLE, _TILE + _GAP)
        canvas = np.zeros((rows * pitch[0], columns * pitch[1], 4), dtype=np.uint8)
        marks, titles = [], []
        for k, panel in enumerate(self.panels):
            top, left = (k // columns) * pitch[0] + _TITLE, (k % columns) * pitch[1]
            tile, scale = _painted(panel)
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            finite = panel.values[np.isfinite(panel.values)]
            titles.append((f"{panel.title} ≤ {finite.max():.3g}" if finite.size else panel.title, left, top))
            if panel.is_map and self._position is not None and np.isfinite(self._position).all():
                marks.append(np.array([left, top]) + self._position * scale)
        self.image_item.setImage(canvas, autoLevels=False, levels=None)
        set_points(self.mark_item, np.array(marks) if marks else np.zeros((0, 2)))
        self.titles.show_titles(titles, _TILE)
        self.box.setRange(QRectF(0, 0, canvas.shape[1], canvas.shape[0]), padding=0.01)


def _painted(panel: Panel) -> tuple[NDArray[np.uint8], float]:
    """A panel as RGBA pixels of about `_TILE`, every cell a block, and the pixels of a cell."""
    values = panel.values
    finite = np.isfinite(values)
    low, high = 0.0, 255.0
    if not panel.grey and finite.any():
        low, high = float(values[finite].min()), float(values[finite].max())
    scaled = np.where(finite, (values - low) / max(high - low, 1e-30), 0.0)
    colours = _GREY if panel.grey else _VIRIDIS
    cells = np.empty((*values.shape, 4), dtype=np.uint8)
    cells[..., :3] = colours[np.clip(scaled * 255, 0, 255).astype(np.uint8)]
    cells[..., 3] = np.where(finite, 255, 0)
    side = max(values.shape)
    if side > _TILE:
        return cells[: side // 2 * 2 : 2, ::2][:_TILE, :_TILE], 0.5
    block = _TILE // side
    return cells.repeat(block, axis=0).repeat(block, axis=1), float(block)


class _Titles(ScreenText):
    """The titles of all panels as one item."""

    def __init__(self) -> None:
        super().__init__(_TITLE_PX)
        self._titles: list[tuple[str, int, int]] = []
        self._tile = 0

    def show_titles(self, titles: list[tuple[str, int, int]], tile: int) -> None:
        """Paint (text, x, y) above panels of a tile's size."""
        self._titles, self._tile = titles, tile
        right, bottom = (max(sides, default=-tile) for sides in ([x for _, x, _ in titles], [y for _, _, y in titles]))
        self.show_places(QRectF(0, 0, right + tile, bottom + tile))

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        transform = painter.transform()
        painter.resetTransform()
        painter.setPen(QColor("#d8d8d8"))
        font = QFont(painter.font())
        font.setPixelSize(11)
        painter.setFont(font)
        metrics, width = painter.fontMetrics(), self._tile * transform.m11()
        for text, x, y in self._titles:
            fitting = text if metrics.horizontalAdvance(text) <= width else text.partition(" ≤")[0]
            shown = metrics.elidedText(fitting, Qt.TextElideMode.ElideRight, int(width))
            painter.drawText(transform.map(QPointF(x, y)) + QPointF(1, -4), shown)
        painter.setTransform(transform)
