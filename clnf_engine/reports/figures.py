"""Figures of a report: plots as SVG that takes the page's colours, the photo as PNG. The same input, the same bytes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Plot, State, Strip, Style
from clnf_engine.steps import Phase
from clnf_engine.trace import Trace

_INK = "#0a0b0c"
"""Stands for the colour of the page's text, which a figure cannot know."""

_SERIES = ("#3b82e0", "#e5673a", "#1fa37a", "#a15fd6", "#c79a1b", "#d6497f", "#5f8f9e", "#8a8a3c")
"""Colours that can be told from a white page and from a black one."""

_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))

INITIAL_MARK = ("○", "o", "#ffa31a")
FINAL_MARKS = (("●", "o", "#28b4ff"), ("×", "x", "#ff5aa8"))
"""Marks of landmarks on the photo: as text, as matplotlib's marker, and their colour."""

_MARKED = 60
"""Curves of so many points have marks at them."""

_SHORT_TICKS = 4
"""Bars are upright under names of at most so many characters."""

_MARGIN = 0.3
"""Of the photo around all landmarks, as a fraction of their extent."""

_FAR = 1e6
"""Landmarks further away than this, image px, or nowhere, are not looked for on the photo."""

_PHOTO_INCHES = 6.0


def _style() -> AbstractContextManager[None]:
    """Matplotlib as it is shipped, whatever the user's settings, with text left as text."""
    ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    changes = {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "clnf",
        "text.parse_math": False,
    }
    return matplotlib.style.context(["default", changes | dict.fromkeys(ink, _INK)])


# --- plots ------------------------------------------------------------------------------------------


def plot_svg(plot: Plot, name: str) -> str:
    """A plot as an ``<svg>`` element.

    Parameters
    ----------
    plot : Plot
    name : str
        Of letters, digits and ``-``; unlike that of any other figure on the page.
    """
    with _style():
        across = plot.style is Style.BARS and any(len(tick) > _SHORT_TICKS for tick in plot.ticks)
        height = 1.0 + max(0.2, 0.08 * len(plot.series)) * len(plot.x) if across else 3.0
        figure = Figure(figsize=(8.0, height), layout="constrained")
        axes = figure.add_subplot()
        if plot.style is Style.BARS:
            _bars(axes, plot, across)
        else:
            _lines(axes, plot)
        if len(plot.series) > 1:
            figure.legend(loc="outside upper left", ncols=4)
        return _svg(figure, name)


def strip_svg(strip: Strip, name: str) -> str:
    """A strip as an ``<svg>`` element; what was not recorded is left empty.

    Parameters
    ----------
    strip : Strip
    name : str
        As for `plot_svg`.
    """
    with _style():
        figure = Figure(figsize=(8.0, 1.0 + 0.17 * len(strip.rows)), layout="constrained")
        axes = figure.add_subplot()
        columns = {place: k for k, place in enumerate(strip.places)}
        rows = {row: k for k, row in enumerate(strip.rows)}
        for state, (colour, hatch) in _STATES.items():
            cells = [(rows[row], columns[place]) for (row, place), found in strip.states.items() if found is state]
            at, left = ([cell[k] for cell in cells] for k in (0, 1))
            if cells:
                axes.barh(at, 0.9, 0.8, [x - 0.45 for x in left], color=colour, hatch=hatch, lw=0, label=state.value)
        axes.set_yticks(range(len(strip.rows)), strip.rows, fontsize=7)
        begins = [k for k, place in enumerate(strip.places) if k == 0 or place[0] != strip.places[k - 1][0]]
        names = [f"stage {stage + 1}" if stage is not None else "" for stage in (strip.places[k][0] for k in begins)]
        axes.set_xticks([k - 0.5 for k in begins], names, fontsize=7, ha="left")
        axes.set_xlim(-0.6, len(strip.places) - 0.4)
        axes.set_ylim(len(strip.rows) - 0.4, -0.6)
        figure.legend(loc="outside upper left", ncols=4)
        return _svg(figure, name)


_STATES = {
    State.CONFORMS: ("#3b82e0", ""),
    State.FAILS: ("#e5673a", ""),
    State.FOLLOWS: ("#e5673a80", "////"),
    State.UNTESTED: ("#3b82e050", ""),
}
"""Colour and hatching; blue and orange are told apart by everyone."""


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    unwritten = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=unwritten)
    return _inline(buffer.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: no headers, names of its own, colours and font of the page."""
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor").replace("'DejaVu Sans', sans-serif", "inherit")
    svg = re.sub(r"<defs>\s*<style.*?</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", svg, count=3)
    svg = re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", '<svg role="img"', 1).strip()


def _lines(axes: Axes, plot: Plot) -> None:
    for k, (label, values) in enumerate(plot.series.items()):
        colour, dashes = _SERIES[k % len(_SERIES)], _DASHES[k % len(_DASHES)]
        marker = "o" if len(plot.x) <= _MARKED else ""
        axes.plot(plot.x, values, color=colour, ls=dashes, lw=1.2, marker=marker, markersize=2.5, label=label)
    if plot.ticks:
        every = _every(plot, 12)
        axes.set_xticks(plot.x[::every], plot.ticks[::every], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(alpha=0.25)
    if _lowest(plot) is not None:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)


def _bars(axes: Axes, plot: Plot, across: bool) -> None:
    lowest = _lowest(plot)
    foot = 0.0 if lowest is None else 10 ** math.floor(math.log10(lowest) - 0.1)
    thickness = 0.8 / len(plot.series)
    for k, (label, values) in enumerate(plot.series.items()):
        at = plot.x + (k - (len(plot.series) - 1) / 2) * thickness
        colour = _SERIES[k % len(_SERIES)]
        lengths = np.nan_to_num(values - foot)  # a gap is a bar of no length: its name keeps its place
        if across:
            axes.barh(at, lengths, thickness, left=foot, color=colour, label=label)
        else:
            axes.bar(at, lengths, thickness, bottom=foot, color=colour, label=label)
    names, numbers = (axes.yaxis, axes.xaxis) if across else (axes.xaxis, axes.yaxis)
    if plot.ticks:
        every = 1 if across else _every(plot, 40)
        names.set_ticks(plot.x[::every], plot.ticks[::every], fontsize=9 if across else 7)
    names.set_label_text(plot.x_label)
    numbers.set_label_text(plot.y_label)
    numbers.grid(alpha=0.25)
    axes.set_axisbelow(True)
    if across:
        axes.margins(y=0.01)
        axes.invert_yaxis()  # the first on top
    else:
        axes.margins(x=0.01)
    if lowest is not None:
        (axes.set_xscale if across else axes.set_yscale)("log")
        (axes.set_xlim if across else axes.set_ylim)(foot)
        _plain_ticks(numbers)


def _every(plot: Plot, most: int) -> int:
    """Every how many names leave room for `most` of them."""
    return -(-len(plot.ticks) // most)


def _lowest(plot: Plot) -> float | None:
    """The lowest value of a logarithmic axis; None where the values do not span a decade and an ordinary one is due."""
    values = np.concatenate([values[values > 0] for values in plot.series.values()])
    logarithmic = plot.log_y and values.size > 0 and values.max() >= 10 * values.min()
    return float(values.min()) if logarithmic else None


def _plain_ticks(axis: Axis) -> None:
    """1e-05 in place of a typeset power of ten, which needs a font of its own."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(LogFormatter())


# --- the photo --------------------------------------------------------------------------------------


def photo_png(runs: Mapping[str, Trace]) -> bytes:
    """The face as the fit sees it, with the landmarks of runs on one image before and after, as a PNG file."""
    traces = tuple(runs.values())
    image, start = traces[0].image, traces[0].numbers[0]
    first = start.landmarks if start.phase is Phase.INITIAL else np.zeros((0, 2))
    left, top, right, bottom = _crop(np.concatenate([first, *(trace.landmarks for trace in traces)]), image.shape)
    width, height = right - left, bottom - top
    with _style():
        size = _PHOTO_INCHES / max(width, height)
        figure = Figure(figsize=(width * size, height * size), dpi=160)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
        extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
        axes.imshow(image[top:bottom, left:right], cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        axes.set_axis_off()
        axes.plot(*first.T, INITIAL_MARK[1], color=INITIAL_MARK[2], markersize=5, markerfacecolor="none")
        for trace, (_, marker, colour) in zip(traces, FINAL_MARKS, strict=False):
            axes.plot(*trace.landmarks.T, marker, color=colour, markersize=4)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _crop(points: Floats, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of an image around points; all of it where they lie outside."""
    size = np.array(shape[::-1])
    points = points[(np.abs(points) < _FAR).all(axis=1)]
    if points.size == 0 or (points.max(axis=0) < 0).any() or (points.min(axis=0) > size - 1).any():
        return 0, 0, int(size[0]), int(size[1])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * (high - low).max() + 1
    left, top = (int(v) for v in np.clip(low - margin, 0, size - 1))
    right, bottom = (int(v) for v in np.clip(high + margin, 0, size - 1) + 1)
    return left, top, right, bottom
