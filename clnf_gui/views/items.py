"""Giving items of a plot what they show.

An item that gets what it has already is not painted anew, and of one that has nothing the scene asks nothing.
"""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray


def set_points(item: pg.ScatterPlotItem, points: NDArray[np.floating]) -> None:
    """Give a scatter item its points, (n, 2)."""
    if not _same(item.data["x"], item.data["y"], points):
        item.setData(pos=points)
    item.setVisible(len(points) > 0)


def set_pairs(item: pg.PlotCurveItem, segments: NDArray[np.float64] | None) -> None:
    """Give a curve item separate segments, (k, 2 ends, 2), or none; those with an end that is NaN are left out."""
    known = None if segments is None else segments[np.isfinite(segments).all(axis=(1, 2))]
    points = np.zeros((0, 2)) if known is None else known.reshape(-1, 2)
    if item.xData is None or not _same(item.xData, item.yData, points):
        item.setData(points[:, 0], points[:, 1], connect="pairs")
    item.setVisible(len(points) > 0)


def fit_y(plot: pg.PlotItem) -> None:
    """Let the y axis hold what is shown, and stay as it is until the next time: a moving cursor changes nothing."""
    plot.enableAutoRange(axis="y")
    plot.vb.updateAutoRange()
    plot.disableAutoRange(axis="y")


def _same(x: NDArray[np.floating], y: NDArray[np.floating], points: NDArray[np.floating]) -> bool:
    return np.array_equal(x, points[:, 0]) and np.array_equal(y, points[:, 1])
