"""Jacobian: whether it is the derivative of the landmarks through the very update rule that applies its solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clnf_engine.arrays import Floats, read_only_fields
from clnf_engine.diagnostics.finding import Finding, Plot, Style, Table
from clnf_engine.model import Model
from clnf_engine.operations import functions_of
from clnf_engine.pdm import RIGID, landmarks
from clnf_engine.trace import Trace

POSES = ((0.0, 0.0, 0.0), (0.10, -0.20, 0.05), (0.30, 0.40, -0.20), (-0.30, -0.50, 0.10), (0.0, 0.70, 0.30))
"""Rotations (rx, ry, rz), radians, at which pieces are tested; the first is the neutral one."""

TOLERANCE = 1e-6
"""Largest relative error of a right column."""

STEPS = (1e-4, 1e-5, 1e-3)
"""Half-widths of the central differences: for the scale, the rotation, and translation and modes."""

_NAMES = ("scale", "wx", "wy", "wz", "tx", "ty")


def posed(trace: Trace, pose: tuple[float, float, float]) -> Floats:
    """The final parameters of a run with another rotation, (6 + m,) float64."""
    params = trace.numbers[-1].params.copy()
    params[1:4] = pose
    return params


@dataclass(frozen=True, eq=False)
class JacobianFinding(Finding):
    """Relative errors of the Jacobian's columns.

    Attributes
    ----------
    poses : tuple of (rx, ry, rz)
        Radians.
    errors : (poses, 6 + m) float64
        Largest error of a column's elements over its largest element.
    """

    question: ClassVar[str] = "Is the Jacobian the derivative of this update rule?"
    wanted: ClassVar[bool | None] = True
    provenance: ClassVar[str] = (
        "The fit's own Jacobian against central differences of the fit's own update and projection, float64."
    )

    poses: tuple[tuple[float, float, float], ...]
    errors: Floats

    @property
    def answer(self) -> bool:
        """Whether every column at every pose is right."""
        return bool((self.errors <= TOLERANCE).all())

    @property
    def verdict(self) -> str:
        """The worst column."""
        if self.answer:
            return f"Yes: at {len(self.poses)} poses no column is wrong by more than {self.errors.max():.1g} of itself."
        wrong = self.errors > TOLERANCE
        names = [_NAMES[k] for k in np.flatnonzero(wrong[:, :RIGID].any(axis=0))]
        modes = int(wrong[:, RIGID:].any(axis=0).sum())
        names += [f"{modes} of {wrong.shape[1] - RIGID} modes"] if modes else []
        pose, column = np.unravel_index(np.argmax(self.errors), self.errors.shape)
        poses = f"{int(wrong.any(axis=1).sum())} of {len(self.poses)} poses"
        neutral = "also at the neutral pose" if wrong[0].any() else "but not at the neutral pose"
        name = _NAMES[column] if column < RIGID else f"mode {column - RIGID}"
        where = "({:g}, {:g}, {:g})".format(*self.poses[pose])
        return (
            f"No: wrong are {', '.join(names)}, at {poses}, {neutral}; "
            f"the worst is {name} at {where}, by {self.errors[pose, column]:.2g} of itself."
        )

    def tables(self) -> tuple[Table, ...]:
        """Global columns and the worst mode, per pose."""
        columns = ("pose rx, ry, rz", *_NAMES, "worst mode", "right")
        rows = tuple(
            (
                "{:g}, {:g}, {:g}".format(*pose),
                *errors[:RIGID].tolist(),
                _worst(errors[RIGID:]),
                bool((errors <= TOLERANCE).all()),
            )
            for pose, errors in zip(self.poses, self.errors, strict=True)
        )
        return (Table("Relative error of the columns", columns, rows),)

    def plots(self) -> tuple[Plot, ...]:
        """The global columns as bars, a series per pose."""
        x = np.arange(RIGID, dtype=np.float64)
        series = {
            "({:g}, {:g}, {:g})".format(*pose): np.maximum(errors[:RIGID], 1e-12)
            for pose, errors in zip(self.poses, self.errors, strict=True)
        }
        return (Plot("Relative error per column", "column", "relative error", x, series, _NAMES, True, Style.BARS),)


def _worst(errors: Floats) -> float | None:
    return float(errors.max()) if errors.size else None


def jacobian_check(trace: Trace, model: Model) -> JacobianFinding:
    """Compare the Jacobian of a fit with the derivative through its update rule, at `POSES`.

    Parameters
    ----------
    trace : Trace
        Gives the options, and the size and shape of the face.
    model : Model
        The one that made it.

    Returns
    -------
    JacobianFinding
    """
    errors = []
    functions = functions_of(trace.options)
    visible, dtype = np.ones(model.n_landmarks, dtype=bool), np.dtype(trace.options.precision)
    for pose in POSES:
        params = posed(trace, pose)
        params[4:6] = 0.0  # where the face is does not matter, and small numbers round less
        analytic = functions["jacobian"](params, False, visible, model.pdm, dtype).astype(np.float64)
        numeric = np.empty_like(analytic)
        for column in range(analytic.shape[1]):
            step = np.zeros(len(params))
            step[column] = STEPS[0] if column == 0 else STEPS[1] if column < 4 else STEPS[2]
            ends = [landmarks(model.pdm, functions["update"](params, sign * step)) for sign in (1, -1)]
            numeric[:, column] = ((ends[0] - ends[1]) / (2 * step[column])).T.ravel()
        size = np.abs(numeric).max(axis=0)
        difference = np.abs(analytic - numeric).max(axis=0)
        errors.append(np.divide(difference, size, out=np.zeros_like(size), where=size > 0))
    return read_only_fields(JacobianFinding(POSES, np.array(errors)))
