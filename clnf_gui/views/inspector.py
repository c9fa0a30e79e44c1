"""Everything about one landmark at one Step: its area of interest, every map, the kernel, the neurons, Sigma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtWidgets import QSplitter

from clnf_engine import FitOptions, Model, Step
from clnf_engine.mean_shift import kernel_maps
from clnf_engine.sigma import sigma_matrices
from clnf_gui.theme import BACKDROP, SELECTION
from clnf_gui.views.number_table import NumberTable

_COLUMNS = 4


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


def panels(step: Step, landmark: int, model: Model, options: FitOptions) -> list[Panel]:
    """The pictures of a landmark at a Step; empty for a Step without maps."""
    maps, stage = step.responses, step.stage
    if maps is None or stage is None or stage.view is None:
        return []
    result = [
        Panel("area", maps.area[landmark], grey=True),
        Panel("raw", maps.raw[landmark], is_map=True),
        Panel("after Sigma", maps.after_sigma[landmark], is_map=True),
        Panel("final", maps.final[landmark], is_map=True),
    ]
    if step.mean_shift is not None:
        position = step.mean_shift.position[[landmark]]
        kernel = kernel_maps(position, maps.window, stage.sigma, options.kernel)[0]
        result.append(Panel("kernel", kernel, is_map=True))
        result.append(Panel("product", maps.final[landmark] * kernel, is_map=True))
    sigma = sigma_matrices(model.scales[stage.index], stage.view, maps.window, maps.raw.dtype)
    if sigma is not None and options.sigma_transform:
        result.append(Panel("diag Sigma", sigma[landmark].diagonal().reshape(maps.window, -1)))
        result.append(Panel("Sigma", sigma[landmark]))
    neurons = int(model.scales[stage.index].views[stage.view].neurons[landmark])
    result.append(Panel("NCC", _strip(maps.neuron_ncc[landmark, :neurons])))
    result.append(Panel("outputs", _strip(maps.neuron_output[landmark, :neurons])))
    return result


def numbers(step: Step, landmark: int, model: Model) -> dict[str, float]:
    """Every number of a landmark at a Step."""
    result = {"x, image px": step.landmarks[landmark, 0], "y, image px": step.landmarks[landmark, 1]}
    maps, stage, shift = step.responses, step.stage, step.mean_shift
    if maps is not None and stage is not None and stage.view is not None:
        experts = model.scales[stage.index].views[stage.view]
        result["visible"] = float(maps.visible[landmark])
        for name, array in (("raw", maps.raw), ("after Sigma", maps.after_sigma), ("final", maps.final)):
            result[f"{name} max"] = array[landmark].max()
            result[f"{name} mean"] = array[landmark].mean()
        result["neurons"] = float(experts.neurons[landmark])
        result["Σα"] = experts.sum_alphas[landmark]
        for k, beta in enumerate(experts.betas[landmark]):
            result[f"β{k}"] = beta
        result["patch confidence"] = experts.patch_confidence[landmark]
    if shift is not None:
        result["position dx, cells"], result["position dy, cells"] = shift.position[landmark]
        result["kernel sum"] = shift.kernel_sum[landmark]
        result["shift x, reference px"], result["shift y, reference px"] = shift.reference[landmark]
        result["shift x, image px"], result["shift y, image px"] = shift.image[landmark]
    if step.landmarks_before is not None:
        moved = step.landmarks[landmark] - step.landmarks_before[landmark]
        result["moved x, image px"], result["moved y, image px"] = moved
    if step.weights is not None:
        result["weight"] = step.weights[landmark]
    if step.likelihoods is not None:
        result["likelihood"] = step.likelihoods[landmark]
    return {name: float(value) for name, value in result.items()}


def _strip(maps: NDArray[np.floating]) -> NDArray[np.floating]:
    """Maps side by side with a gap of NaN between them."""
    count, window, _ = maps.shape
    columns = max(1, round(np.sqrt(max(count, 1))))
    rows = -(-count // columns) if count else 1
    tiles = np.full((rows * columns, window + 1, window + 1), np.nan)
    tiles[:count, :window, :window] = maps
    grid = tiles.reshape(rows, columns, window + 1, window + 1).swapaxes(1, 2)
    return grid.reshape(rows * (window + 1), columns * (window + 1))[:-1, :-1]


class InspectorView(QSplitter):
    """Paints the panels of the selected landmark, and its numbers in a table."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Vertical)
        self.pictures = pg.GraphicsLayoutWidget()
        self.pictures.setAccessibleName("Maps of the selected landmark")
        self.pictures.setBackground(BACKDROP)
        self.table = NumberTable("Numbers of the selected landmark")
        self.addWidget(self.pictures)
        self.addWidget(self.table)
        self.setSizes([420, 220])
        self.images: dict[str, pg.ImageItem] = {}
        self._boxes: dict[str, pg.PlotItem] = {}
        self._marks: dict[str, pg.ScatterPlotItem] = {}

    def show_landmark(self, step: Step | None, landmark: int | None, model: Model | None, options: FitOptions) -> None:
        """Paint a landmark at a Step; without one, a hint in place of the pictures."""
        shown = [] if step is None or landmark is None or model is None else panels(step, landmark, model, options)
        if [panel.title for panel in shown] != list(self.images):
            self._lay_out([panel.title for panel in shown], landmark is None)
        position = None
        if step is not None and step.mean_shift is not None and landmark is not None:
            position = step.mean_shift.position[landmark] + 0.5
        for panel in shown:
            item, box = self.images[panel.title], self._boxes[panel.title]
            finite = panel.values[np.isfinite(panel.values)]
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
            levels = (0.0, 255.0) if panel.grey else (low, max(high, low + 1e-30))
            item.setColorMap(pg.colormap.get("CET-L1" if panel.grey else "viridis"))
            item.setImage(panel.values, autoLevels=False, levels=levels)
            item.setRect(QRectF(0, 0, panel.values.shape[1], panel.values.shape[0]))
            box.setTitle(f"{panel.title} ≤ {high:.3g}", size="8pt", color="#d8d8d8")
            box.setRange(QRectF(0, 0, panel.values.shape[1], panel.values.shape[0]), padding=0.02)
            marked = position is not None and panel.is_map
            self._marks[panel.title].setData(pos=[position] if marked else np.zeros((0, 2)))
        if step is None or landmark is None or model is None:
            self.table.show_columns({})
        else:
            found = numbers(step, landmark, model)
            self.table.show_columns({f"landmark {landmark}": list(found), "value": list(found.values())})

    def _lay_out(self, titles: list[str], none_selected: bool) -> None:
        self.pictures.clear()
        self.images, self._boxes, self._marks = {}, {}, {}
        if not titles:
            hint = "Select a landmark: click one in the image or among the maps, or press N"
            self.pictures.addLabel(hint if none_selected else "This step has no response maps", color="#d8d8d8")
        for k, title in enumerate(titles):
            box = self.pictures.addPlot(row=k // _COLUMNS, col=k % _COLUMNS, enableMenu=False)
            box.hideButtons()
            box.hideAxis("left")
            box.hideAxis("bottom")
            box.setMouseEnabled(False, False)
            box.setAspectLocked(True)
            box.invertY(True)
            item = pg.ImageItem()
            mark = pg.ScatterPlotItem(size=7, symbol="o", pen=pg.mkPen(SELECTION, width=2), brush=None)
            box.addItem(item)
            box.addItem(mark)
            self.images[title], self._boxes[title], self._marks[title] = item, box, mark
        for column in range(min(len(titles), _COLUMNS)):
            self.pictures.ci.layout.setColumnStretchFactor(column, 1)
            self.pictures.ci.layout.setColumnPreferredWidth(column, 10)
