"""KDE: the kernel's bandwidth, and the table of kernels against the kernel evaluated where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Floats, read_only_fields
from clnf_engine.deviations import without_deviations
from clnf_engine.diagnostics.finding import Finding, Plot, Style, Table
from clnf_engine.fitting import fit
from clnf_engine.mean_shift import TABLE_STEP, mean_shift
from clnf_engine.model import Model
from clnf_engine.operations import functions_of
from clnf_engine.options import Kernel
from clnf_engine.steps import ResponseMaps, Stage
from clnf_engine.trace import Trace, landmark_distance

LANDMARK_LIMIT_PX = 0.5
"""Final landmarks that differ by more end elsewhere, image px."""


_PER_CELL = 40
"""Places per cell along a section; the table has ten."""


@dataclass(frozen=True)
class Bandwidth:
    """The bandwidth of a stage's kernel, reference px: as used, and as the stage's scale asks for."""

    stage: Stage
    asked: float

    @property
    def right(self) -> bool:
        """Whether they are the same."""
        return self.stage.sigma == self.asked


@dataclass(frozen=True, eq=False)
class Section:
    """The mean-shift of one landmark along a row of its map, through where it stood in the run's last iteration.

    Attributes
    ----------
    landmark : int
    x : (k,) float64
        Places, cells.
    table, exact : (k,) float64
        The shift along the row by either kernel, reference px; where it falls through zero the landmark would rest.
    """

    landmark: int
    x: Floats
    table: Floats
    exact: Floats


@dataclass(frozen=True, eq=False)
class KernelFinding(Finding):
    """What the kernel table does to the mean-shifts, and whether the bandwidths are right.

    Attributes
    ----------
    bandwidths : tuple of Bandwidth
        Per stage.
    shift_difference : (n,) float64
        Per landmark, largest difference between its mean-shift by the table and by the exact kernel, at the positions
        of the run, reference px.
    final_distance : float
        Largest distance between a final landmark of the fit with the table and with the exact kernel, image px.
    section : Section or None
        Of the landmark that differs most; None without mean-shifts.
    """

    question: ClassVar[str] = "Does the kernel change where the fit ends?"
    wanted: ClassVar[bool | None] = False
    provenance: ClassVar[str] = (
        "The fit's own mean-shift at the positions it visited, with either kernel, and the fit run with either."
    )

    bandwidths: tuple[Bandwidth, ...]
    shift_difference: Floats
    final_distance: float
    section: Section | None

    @property
    def answer(self) -> bool | None:
        """Whether the table moves the end, or a bandwidth is stale."""
        if not self.bandwidths:
            return None
        return self.final_distance > LANDMARK_LIMIT_PX or not all(b.right for b in self.bandwidths)

    @property
    def verdict(self) -> str:
        """By how much, and which bandwidths are stale."""
        if not self.bandwidths:
            return "It cannot be told: no stage was run."
        stale = [
            f"{b.stage} uses σ {b.stage.sigma:.4g} where its scale asks for {b.asked:.4g}"
            for b in self.bandwidths
            if not b.right
        ]
        table = (
            f"the table of {TABLE_STEP:g} px steps changes a mean-shift by up to {self.shift_difference.max():.2g} "
            f"reference px and the final landmarks by {self.final_distance:.2g} px"
        )
        if not self.answer:
            return f"No: {table}; every bandwidth is that of its scale."
        return f"Yes: {'; '.join([*stale, table])}."

    def tables(self) -> tuple[Table, ...]:
        """Bandwidths per stage; differences per landmark."""
        stages = tuple((f"{b.stage}", b.stage.sigma, b.asked, b.right) for b in self.bandwidths)
        landmarks = tuple(enumerate(self.shift_difference.tolist()))
        return (
            Table("Bandwidth", ("stage", "σ used, px", "σ of its scale, px", "right"), stages),
            Table(
                "Table against exact kernel",
                ("landmark", "largest difference of the mean-shift, reference px"),
                landmarks,
                tuple(range(len(landmarks))),
            ),
        )

    def plots(self) -> tuple[Plot, ...]:
        """Differences per landmark; the mean-shift along a row of the map that differs most."""
        x = np.arange(len(self.shift_difference), dtype=np.float64)
        series = {"table − exact": self.shift_difference}
        names = tuple(map(str, range(len(x))))
        title = "Table against exact kernel"
        bars = Plot(title, "landmark", "reference px", x, series, names, style=Style.BARS)
        if self.section is None:
            return (bars,)
        section = self.section
        series = {"table": section.table, "exact": section.exact}
        title = f"Mean-shift of landmark {section.landmark} along a row of its map"
        return bars, Plot(title, "x, cells", "shift x, reference px", section.x, series)


def kernel_check(trace: Trace, model: Model) -> KernelFinding:
    """Compare OpenFace's kernel table with the exact kernel, and the bandwidths with those of the scales.

    Parameters
    ----------
    trace : Trace
    model : Model
        The one that made it.

    Returns
    -------
    KernelFinding
    """
    openface = functions_of(without_deviations(trace.options))
    bandwidths = tuple(
        Bandwidth(summary.stage, openface.adapted(summary.stage.scale, summary.stage.scale)[0])
        for summary in trace.stages
        if not summary.stage.skipped
    )
    difference = np.zeros(len(trace.landmarks))
    for step in trace.steps:
        if step.mean_shift is not None and step.responses is not None and step.stage is not None:
            table, exact = (
                mean_shift(step.mean_shift.position, step.responses, step.stage.sigma, kernel).reference
                for kernel in (Kernel.TABLE, Kernel.EXACT)
            )
            np.maximum(difference, np.linalg.norm(table - exact, axis=1), out=difference)
    ends = [
        trace.landmarks
        if trace.options.kernel is kernel
        else fit(trace.image, model, trace.initial, replace(trace.options, kernel=kernel)).landmarks
        for kernel in (Kernel.TABLE, Kernel.EXACT)
    ]
    distance = landmark_distance(*ends)
    return read_only_fields(KernelFinding(bandwidths, difference, distance, _section(trace, int(difference.argmax()))))


def _section(trace: Trace, landmark: int) -> Section | None:
    numbers = trace.numbers
    last = next((index for index in reversed(range(len(numbers))) if numbers[index].mean_shift is not None), None)
    step = None if last is None else trace.steps[last]
    if step is None or step.mean_shift is None or step.responses is None or step.stage is None:
        return None
    x = np.arange((step.responses.window - 1) * _PER_CELL + 1) / _PER_CELL
    places = np.stack([x, np.full_like(x, step.mean_shift.position[landmark, 1])], axis=-1)
    table, exact = (
        mean_shift_field(step.responses, landmark, places, step.stage.sigma, kernel)[:, 0]
        for kernel in (Kernel.TABLE, Kernel.EXACT)
    )
    return Section(landmark, x, table, exact)


def mean_shift_field(responses: ResponseMaps, landmark: int, positions: Floats, sigma: float, kernel: Kernel) -> Floats:
    """The mean-shift that one landmark would have from other places in its map.

    Parameters
    ----------
    responses : ResponseMaps
    landmark : int
    positions : (…, 2) float64
        (x, y) in cells.
    sigma : float
        Reference px.
    kernel : Kernel

    Returns
    -------
    (…, 2) float64
        Reference px.
    """
    points = positions.reshape(-1, 2).astype(responses.final.dtype)
    maps = np.broadcast_to(responses.final[landmark], (len(points), responses.window, responses.window))
    everywhere = replace(responses, final=maps, visible=np.ones(len(points), dtype=bool))
    shifts = mean_shift(points, everywhere, sigma, kernel).reference
    return shifts.reshape(positions.shape).astype(np.float64)


def map_grid(window: int, per_cell: int) -> Floats:
    """Places all over a map, (g, g, 2) float64 with g = (window − 1)·per_cell + 1: row, column, (x, y) in cells."""
    axis = np.arange((window - 1) * per_cell + 1) / per_cell
    return np.stack(np.meshgrid(axis, axis), axis=-1)
