"""Columns for the tables of steps, parameters and statistics, and the bars of the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter

from clnf_engine import Phase, Step, Trace
from clnf_engine.accuracy import accuracy
from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.fixed_point import update_parts
from clnf_engine.diagnostics.magnitudes import PERCENTILES, percentiles
from clnf_engine.pdm import PDM
from clnf_engine.steps import describe
from clnf_gui.theme import BLUE, ORANGE
from clnf_gui.views.number_table import NumberTable
from clnf_gui.views.pens import Pens

_GLOBAL_NAMES = ("scale", "rx", "ry", "rz", "tx", "ty")
_KIND_NAMES = {"raw": "raw", "after_sigma": "after Sigma", "shifted": "shifted", "final": "final"}


STEP_TITLES = {
    "step": "step",
    "place": "place",
    "update_norm": "‖Δp‖",
    "shape_change_px": "moved px",
    "update_scale": "Δ scale",
    "update_rotation": "Δ rotation",
    "update_translation_px": "Δ translation",
    "update_shape": "Δ shape",
    "gradient": "gradient",
    "likelihood": "log-likelihood",
    "error_px": "error px",
    "clamped": "clamped",
    "message": "message",
}
"""The title of every column of the step table, by its name in a CSV file."""


def step_values(steps: Sequence[Step], truth: Floats | None = None) -> dict[str, list[Any]]:
    """A row per Step: its place and what it did; the columns by name.

    Parameters
    ----------
    steps : sequence of Step
    truth : (n, 2) float64, optional
        True landmarks, image px; with them there is a column of the mean error.
    """
    known = truth is not None and all(step.landmarks.shape == truth.shape for step in steps)
    errors = (
        {"error_px": [accuracy(step.landmarks, truth).mean for step in steps]} if known and truth is not None else {}
    )
    parts = [update_parts(step) for step in steps]
    return {
        "step": list(range(1, len(steps) + 1)),
        "place": [describe(step) for step in steps],
        "update_norm": [step.update_norm for step in steps],
        "shape_change_px": [step.shape_change for step in steps],
        "update_scale": [p and p.scale for p in parts],
        "update_rotation": [p and p.rotation for p in parts],
        "update_translation_px": [p and p.translation for p in parts],
        "update_shape": [p and p.shape for p in parts],
        "gradient": [p and p.gradient for p in parts],
        "likelihood": [step.likelihood for step in steps],
        **errors,
        "clamped": [None if step.clamped is None else int(step.clamped.sum()) for step in steps],
        "message": [step.message for step in steps],
    }


def step_columns(steps: Sequence[Step], truth: Floats | None = None) -> dict[str, list[Any]]:
    """The columns of `step_values` by title."""
    return {STEP_TITLES[name]: values for name, values in step_values(steps, truth).items()}


def statistics_columns(trace: Trace) -> dict[str, list[Any]]:
    """A row per stage and kind of map: how the values of its cells are distributed."""
    titles = ["min", *(f"{p} %" for p in PERCENTILES), "max", "mean", "std"]
    columns: dict[str, list[Any]] = {"scale": [], "maps": [], **{title: [] for title in titles}}
    for step in trace.select(lambda step: step.phase is Phase.RESPONSES):
        if step.responses is not None and step.stage is not None:
            for kind, values in percentiles(step.responses).items():
                columns["scale"].append(step.stage.scale)
                columns["maps"].append(_KIND_NAMES[kind])
                for title, value in zip(titles, values.tolist(), strict=True):
                    columns[title].append(value)
    return columns


class ParametersView(QSplitter):
    """Paints the parameters of a Step: modes as bars within ±3√λ, everything in a table."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setAccessibleName("Shape modes in standard deviations")
        self.plot.plotItem.setMouseEnabled(x=False, y=False)
        self.plot.plotItem.hideButtons()
        self.plot.plotItem.setLabel("left", "standard deviations")
        self.plot.plotItem.setLabel("bottom", "mode")
        self.bars = pg.BarGraphItem(x=[], height=[], width=0.7, pen=None)
        self.plot.addItem(self.bars)
        self.limits = [pg.InfiniteLine(angle=0) for _ in range(2)]
        self.pens = Pens(self)
        self.pens.fill(lambda colour: self.bars.setOpts(brush=colour), BLUE)
        for line in self.limits:
            self.plot.addItem(line)
            self.pens.give(line.setPen, ORANGE, 1.5, Qt.PenStyle.DashLine)
        self._frame = (0, 0.0)
        self.table = NumberTable("Parameters")
        self.addWidget(self.plot)
        self.addWidget(self.table)
        self.setStretchFactor(0, 3)
        self.setStretchFactor(1, 2)

    def show_step(self, step: Step | None, pdm: PDM | None, clamp_sigmas: float) -> None:
        """Paint a Step's parameters; `clamp_sigmas` is the bound on every mode."""
        if step is None or pdm is None or len(step.params_local) != pdm.n_modes or np.isnan(step.params).any():
            self.bars.setOpts(x=[], height=[])
            self.table.show_columns({})
            return
        deviations = step.params_local / np.sqrt(pdm.variances)
        self.bars.setOpts(x=np.arange(pdm.n_modes), height=deviations, width=0.7)
        for line, value in zip(self.limits, (-clamp_sigmas, clamp_sigmas), strict=True):
            line.setValue(value)
        frame = (pdm.n_modes, min(clamp_sigmas, 100.0) * 1.1)
        if frame != self._frame:
            self._frame = frame
            self.plot.setYRange(-frame[1], frame[1], padding=0)
            self.plot.setXRange(-0.8, frame[0] - 0.2, padding=0.01)
        clamped = np.zeros(len(step.params), dtype=bool) if step.clamped is None else step.clamped
        self.table.show_columns(
            {
                "parameter": [*_GLOBAL_NAMES, *(f"q{k}" for k in range(pdm.n_modes))],
                "value": step.params.tolist(),
                "std": [None] * 6 + deviations.tolist(),
                "clamped": ["clamped" if c else "" for c in clamped],
            }
        )
