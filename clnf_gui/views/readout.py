"""Lines of text about a Step, for the header and the status bar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clnf_engine import Step
from clnf_engine.accuracy import accuracy
from clnf_engine.arrays import Floats
from clnf_engine.steps import describe
from clnf_gui.look import Moment


def step_line(step: Step, moment: Moment) -> str:
    """A Step's place, the moment within it, and what it did."""
    parts = [describe(step) if step.iteration is None or moment is Moment.UPDATE else f"{describe(step)}: {moment}"]
    if step.update_norm is not None and step.shape_change is not None:
        parts.append(f"‖Δp‖ {step.update_norm:.3g}")
        parts.append(f"moved {step.shape_change:.3g} px")
    if step.likelihood is not None:
        parts.append(f"log-likelihood {step.likelihood:.3f}")
    if step.mean_shift is not None and step.mean_shift.empty.any():
        empty = ", ".join(str(k) for k in np.flatnonzero(step.mean_shift.empty))
        parts.append(f"no direction for landmark {empty}")
    if step.message:
        parts.append(step.message)
    return "   ·   ".join(parts)


def landmark_line(step: Step, landmark: int) -> str:
    """The numbers of one landmark at a Step."""
    if landmark >= len(step.landmarks):
        return f"landmark {landmark} is not in this run"
    x, y = step.landmarks[landmark]
    parts = [f"landmark {landmark}", f"({x:.2f}, {y:.2f}) px"]
    if step.responses is not None:
        maps = step.responses
        if not maps.visible[landmark]:
            return "   ".join([*parts, "not visible in this view"])
        kinds = (("raw", maps.raw), ("after Sigma", maps.after_sigma), ("final", maps.final))
        peaks = {name: float(array[landmark].max()) for name, array in kinds}
        known = [f"{name} {peak:.4g}" for name, peak in peaks.items() if not np.isnan(peak)]
        parts += [f"peak: {', '.join(known)}"] if known else []
    if step.mean_shift is not None and np.isfinite(step.mean_shift.image[landmark]).all():
        dx, dy = step.mean_shift.image[landmark]
        parts.append(f"mean-shift ({dx:+.2f}, {dy:+.2f}) px")
    return "   ".join(parts)


def error_line(step: Step, truth: Floats | None, landmark: int | None = None) -> str:
    """How far a Step, or one of its landmarks, is from the truth; "" where that is not known."""
    if truth is None or truth.shape != step.landmarks.shape:
        return ""
    found = accuracy(step.landmarks, truth)
    distance = found.mean if landmark is None else float(found.distances[landmark])
    share = None if found.percent is None else found.percent.mean() if landmark is None else found.percent[landmark]
    return f"error {distance:.2f} px" + ("" if share is None else f" ({share:.2f} %)")


def apart_line(step: Step, other: Step, landmark: int | None = None) -> str:
    """How far the landmarks of two lanes, or one of them, are apart; "" where there are not as many."""
    if step.landmarks.shape != other.landmarks.shape:
        return ""
    distances = accuracy(step.landmarks, other.landmarks).distances
    if landmark is not None:
        return f"A−B {distances[landmark]:.3g} px"
    most = int(distances.argmax())
    return f"A−B {distances.mean():.3g} px, at most {distances[most]:.3g} px ({most})" if distances[most] else "A = B"


def wanted_line(step: Step, landmark: int) -> str:
    """What a landmark's mean-shift asked for, and what the shape model made of it; "" outside of iterations."""
    if step.mean_shift is None or step.landmarks_before is None or np.isnan(step.mean_shift.image[landmark]).any():
        return ""
    (dx, dy), (x, y) = step.mean_shift.image[landmark], step.landmarks[landmark] - step.landmarks_before[landmark]
    return f"mean-shift wanted ({_px(dx)}, {_px(dy)}) px; the model allowed ({_px(x)}, {_px(y)}) px"


def _px(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def cell_line(steps: Mapping[str, Step], landmark: int, row: int, column: int) -> str:
    """The values of all maps in one cell, of every lane, and their difference where there are two."""
    parts = [f"landmark {landmark}", f"cell (row {row}, column {column})"]
    for title, field in (("raw", "raw"), ("after Sigma", "after_sigma"), ("final", "final")):
        values = {
            name: float(getattr(step.responses, field)[landmark, row, column])
            for name, step in steps.items()
            if step.responses is not None and max(row, column) < step.responses.window
        }
        if len(values) > 1:
            a, b = values.values()
            parts.append(f"{title}: A {a:.5g}, B {b:.5g}, A−B {a - b:.3g}")
        else:
            parts += [f"{title} {value:.5g}" for value in values.values()]
    return "   ".join(parts)
