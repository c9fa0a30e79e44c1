"""One operation at one step: what was recorded, what is recomputed, and the difference, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QGridLayout, QHeaderView, QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from clnf_engine.arrays import Array, Floats
from clnf_engine.operations import OPERATIONS
from clnf_engine.steps import place_text
from clnf_gui.theme import BACKDROP, SELECTION, SKY
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.pens import Pens
from clnf_gui.views.strip_view import smaller

if TYPE_CHECKING:
    from clnf_engine.checking.evaluation import Evaluation

TITLES = ("recorded", "recomputed", "difference")
_HINT = (
    "Click a cell to see what was recorded at that step, what is recomputed from its own inputs, and the difference."
)
_SHIFTS = ("mean_shift", "mean_shift_image")
_GLOBAL = ("scale", "rx", "ry", "rz", "tx", "ty")
_OF_PARAMETERS = ("params", "moved", "delta", "gradient")
_ADAPTED = ("sigma", "reg_factor", "weight_factor")
_FEW = 9
"""A matrix of no more elements is shown as numbers."""
_ARROW_SHARE = 0.12
"""Length of the longest arrow, as a part of the shape's extent."""
_TEXT = "#d0d0d0"
_SPACE = 4
"""Beside a picture, px."""


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Three matrices to be painted, and how.

    Attributes
    ----------
    values : tuple of (h, w) float64
        Recorded, recomputed, difference.
    about : str
        Of what they are.
    signed : bool
        Whether their colours are centred on 0.
    square : bool
        Whether a cell is as wide as it is high.
    """

    values: tuple[Floats, ...]
    about: str
    signed: bool
    square: bool


class EvaluationView(QWidget):
    """Paints an `Evaluation`: maps and matrices as pictures, points and shifts as arrows, the rest as numbers.

    Attributes
    ----------
    words : QLabel
    images : list of ImageItem
        Recorded, recomputed and difference.
    arrows : list of PlotCurveItem
    dots : list of ScatterPlotItem
    table : NumberTable
    """

    def __init__(self) -> None:
        super().__init__()
        self.words, self.readout = QLabel(_HINT, wordWrap=True), QLabel(wordWrap=True)
        for label in (self.words, self.readout):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._stack = QStackedWidget()
        self._pictures, self.table, self._nothing = pg.GraphicsLayoutWidget(), NumberTable("Values"), QWidget()
        self._pictures.setAccessibleName("Recorded, recomputed and difference")
        for widget in (self.table, self.table.horizontalHeader()):
            widget.setFont(smaller(widget.font()))
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self._pictures.setBackground(BACKDROP)
        self._pictures.ci.layout.setContentsMargins(_SPACE, _SPACE, _SPACE, _SPACE)
        self._pictures.ci.layout.setHorizontalSpacing(_SPACE)
        self.titles = [QLabel() for _ in TITLES]
        self._page = QWidget()
        grid = QGridLayout(self._page)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        grid.addWidget(self._pictures, 1, 0, 1, len(TITLES))
        grid.setRowStretch(1, 1)
        for k, title in enumerate(self.titles):
            title.setFont(smaller(title.font()))
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            grid.addWidget(title, 0, k)
            grid.setColumnStretch(k, 1)
        for page in (self._nothing, self._page, self.table):
            self._stack.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setSpacing(2)
        layout.addWidget(self.words)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self.readout)
        self.boxes = [self._pictures.addViewBox(row=0, col=k, invertY=True, enableMenu=False) for k in range(3)]
        self.images: list[pg.ImageItem] = []
        self.dots: list[pg.ScatterPlotItem] = []
        self.arrows: list[pg.PlotCurveItem] = []
        self.marks: list[pg.ScatterPlotItem] = []
        self.pens = Pens(self, on_photo=True)
        for box in self.boxes:
            image, arrows = pg.ImageItem(), pg.PlotCurveItem(connect="pairs")
            dots, mark = pg.ScatterPlotItem(size=4, pen=None, brush=_TEXT), pg.ScatterPlotItem(size=11, brush=None)
            self.pens.give(arrows.setPen, SKY, 1.5)
            self.pens.give(mark.setPen, SELECTION, 2.0)
            for item, found in ((image, self.images), (dots, self.dots), (arrows, self.arrows), (mark, self.marks)):
                box.addItem(item)
                found.append(item)
            box.setXLink(self.boxes[0])
            box.setYLink(self.boxes[0])
        self._sequential, self._diverging = pg.colormap.get("viridis"), pg.colormap.get("CET-D1A")
        self._pictures.scene().sigMouseMoved.connect(self._read_out)
        self._painted: _Pictures | None = None
        self._shown: tuple[Any, ...] = ()

    def show_evaluation(
        self, operation: str, found: Evaluation | None, note: str, landmark: int | None, points: Floats | None
    ) -> None:
        """Paint an evaluation, or say why there is none.

        Parameters
        ----------
        operation : str
            That is looked at; a later one may give the value that it is judged by.
        found : Evaluation or None
        note : str
        landmark : int or None
            That is selected; without one, that where the values differ most is shown.
        points : (n, 2) float64 or None
            Where the landmarks are: shifts begin there.
        """
        shown = operation, found, note, landmark, None if points is None else id(points)
        if shown == self._shown:
            return
        self._shown = shown
        self._painted = None
        self.readout.clear()
        if found is None:
            self.words.setText(note or _HINT)
            self._stack.setCurrentWidget(self._nothing)
            return
        self.words.setText(_sentence(operation, found))
        if found.difference is None:
            self._stack.setCurrentWidget(self._nothing)
        elif _is_table(found):
            self.table.show_columns(_columns(found))
            self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
            self._stack.setCurrentWidget(self.table)
        else:
            self._stack.setCurrentWidget(self._page)
            if found.recorded.ndim == 2 and found.recorded.shape[1] == 2:
                self._paint_points(found, landmark, points)
            else:
                self._paint_pictures(_pictures_of(found, landmark))

    def _paint_pictures(self, pictures: _Pictures) -> None:
        self._painted = pictures
        for item in (*self.dots, *self.arrows, *self.marks):
            item.setVisible(False)
        recorded, recomputed, difference = pictures.values
        both = np.concatenate([recorded.ravel(), recomputed.ravel()])
        low, high = _ends(both)
        if pictures.signed:
            low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
        apart = max(map(abs, _ends(difference)))
        for k, values in enumerate(pictures.values):
            ends = (-apart, apart) if k == 2 else (low, high)
            ends = ends if ends[0] < ends[1] else (ends[0] - 1e-30, ends[1] + 1e-30)
            self.images[k].setImage(values.astype(np.float32), levels=ends)
            self.images[k].setColorMap(self._diverging if k == 2 or pictures.signed else self._sequential)
            self.images[k].setVisible(True)
            self._write_title(k, f"±{apart:.3g}" if k == 2 else f"{low:.3g} … {high:.3g}")
            self.boxes[k].setAspectLocked(pictures.square)
        self.readout.setText(pictures.about)
        height, width = recorded.shape
        self.boxes[0].setRange(xRange=(0, width), yRange=(0, height), padding=0.02)

    def _paint_points(self, found: Evaluation, landmark: int | None, points: Floats | None) -> None:
        for item in self.images:
            item.setVisible(False)
        values = [found.recorded, found.recomputed, *_of(found.difference)]
        places, vectors = [values[0], values[1], values[1]], [None, None, values[2]]
        if found.operation in _SHIFTS and points is not None and points.shape == found.recorded.shape:
            places, vectors = [points] * 3, [*values]
        extent = float(np.ptp(places[1][np.isfinite(places[1]).all(axis=1)], axis=0).max(initial=0.0)) or 1.0
        lengths = [np.nan_to_num(np.linalg.norm(v, axis=1)).max(initial=0.0) for v in vectors if v is not None]
        factor = _factor(_ARROW_SHARE * extent / (max(lengths) or 1.0))
        for k, (at, vector) in enumerate(zip(places, vectors, strict=True)):
            known = np.isfinite(at).all(axis=1)
            self.dots[k].setData(*at[known].T)
            self.dots[k].setVisible(True)
            chosen = at[[landmark]] if landmark is not None and landmark < len(at) and known[landmark] else at[:0]
            self.marks[k].setData(*chosen.T)
            self.marks[k].setVisible(True)
            self.arrows[k].setVisible(vector is not None)
            if vector is not None:
                whole = known & np.isfinite(vector).all(axis=1)
                ends = np.stack([at[whole], at[whole] + factor * vector[whole]], axis=1).reshape(-1, 2)
                self.arrows[k].setData(ends[:, 0], ends[:, 1])
            self._write_title(k, "" if vector is None else f"arrows ×{factor:g}")
            self.boxes[k].setAspectLocked(True)
        known = np.isfinite(places[1]).all(axis=1)
        low, high = places[1][known].min(axis=0), places[1][known].max(axis=0)
        self.boxes[0].setRange(xRange=(low[0], high[0]), yRange=(low[1], high[1]), padding=0.08)
        self.readout.setText(_landmark_words(found, landmark))

    def _write_title(self, k: int, below: str) -> None:
        """The title of a picture in two lines, so that it is no wider than the picture."""
        self.titles[k].setText(f"{TITLES[k]}\n{below}")

    def _read_out(self, position: QPointF) -> None:
        """The values of the cell under the mouse."""
        if self._painted is None:
            return
        for box in self.boxes:
            if box.sceneBoundingRect().contains(position):
                at = box.mapSceneToView(position)
                row, column = int(np.floor(at.y())), int(np.floor(at.x()))
                height, width = self._painted.values[0].shape
                if 0 <= row < height and 0 <= column < width:
                    told = (f"{t} {v[row, column]:.4g}" for t, v in zip(TITLES, self._painted.values, strict=True))
                    self.readout.setText(f"row {row}, column {column}: {', '.join(told)}")
                    return
        self.readout.setText(self._painted.about)


def _of(array: Array | None) -> list[Array]:
    return [] if array is None else [array]


def _sentence(operation: str, found: Evaluation) -> str:
    where = f"{operation}, {place_text(found.place)}: {found.name}"
    unit = OPERATIONS[found.operation].unit
    if found.difference is None:
        return f"{where} recorded with shape {found.recorded.shape}, recomputed with {found.recomputed.shape}."
    if found.conforms:
        return f"{where} as it should be, within {found.error:.2g} ({unit})."
    worst = "" if found.landmark is None else f", most at landmark {found.landmark}"
    return f"{where} differs by {found.error:.3g} ({unit}){worst}."


def _landmark_words(found: Evaluation, landmark: int | None) -> str:
    if landmark is None or landmark >= len(found.recorded):
        return ""
    pairs = zip(TITLES, (found.recorded, found.recomputed, found.difference), strict=True)
    told = ", ".join(f"{title} ({v[landmark][0]:.4g}, {v[landmark][1]:.4g})" for title, v in pairs if v is not None)
    return f"landmark {landmark}: {told}"


def _is_table(found: Evaluation) -> bool:
    return found.recorded.ndim < 2 or found.recorded.size <= _FEW


def _columns(found: Evaluation) -> dict[str, list[Any]]:
    values = [np.asarray(v).ravel().tolist() for v in (found.recorded, found.recomputed, found.difference)]
    return {"": _names(found, len(values[0])), **dict(zip(TITLES, values, strict=True))}


def _names(found: Evaluation, count: int) -> list[str]:
    if found.name in _OF_PARAMETERS:
        return [*_GLOBAL, *(f"q{k}" for k in range(count - len(_GLOBAL)))][:count]
    if found.name == "adapted":
        return list(_ADAPTED)
    if found.recorded.ndim == 2:
        return [f"row {r}, column {c}" for r, c in np.ndindex(found.recorded.shape)]
    return [found.name] if count == 1 else [str(k) for k in range(count)]


def _pictures_of(found: Evaluation, landmark: int | None) -> _Pictures:
    """What is painted of maps or of a matrix."""
    arrays = [found.recorded, found.recomputed, *_of(found.difference)]
    if found.recorded.ndim > 2:
        n = len(found.recorded)
        shown = landmark if landmark is not None and landmark < n else found.landmark or 0
        maps = [_side_by_side(array[shown]) for array in arrays]
        about = f"landmark {shown}" + (", a map per neuron" if found.recorded.ndim == 4 else "")
        return _Pictures(tuple(maps), about, signed=found.name == "neuron_ncc", square=True)
    sizes, about = _sizes(found)
    return _Pictures(tuple(array / sizes for array in arrays), about, signed=True, square=False)


def _side_by_side(maps: Floats) -> Floats:
    """The maps of several neurons, one beside the other with gaps; those of no neuron are left out."""
    if maps.ndim == 2:
        return maps
    kept = [m for m in maps if np.nan_to_num(m).any()] or [maps[0]]
    across = int(np.ceil(np.sqrt(len(kept))))
    height, width = maps.shape[1] + 1, maps.shape[2] + 1
    result = np.full((-(-len(kept) // across) * height - 1, across * width - 1), np.nan)
    for k, one in enumerate(kept):
        row, column = divmod(k, across)
        result[row * height : row * height + height - 1, column * width : column * width + width - 1] = one
    return result


def _sizes(found: Evaluation) -> tuple[Floats, str]:
    """By what a matrix is divided so that all of it can be seen, and what is said of that."""
    right = np.abs(np.nan_to_num(found.recomputed))
    if found.name == "hessian":
        size = np.sqrt(np.diagonal(right))
        return _positive(np.outer(size, size)), "element i, j over √(Hᵢᵢ·Hⱼⱼ)"
    if found.name == "jacobian":
        return _positive(right.max(axis=0, keepdims=True)), "each column over its largest element; rows x, then y"
    return np.ones((1, 1)), ""


def _positive(sizes: Floats) -> Floats:
    return np.where(sizes > 0, sizes, 1.0)


def _ends(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _factor(wanted: float) -> float:
    """1, 2 or 5 times a power of ten, not above what is wanted."""
    power = 10.0 ** np.floor(np.log10(wanted)) if 0 < wanted < np.inf else 1.0
    return float(power * max(step for step in (1, 2, 5) if step * power <= wanted * 1.0001 or step == 1))
