"""The port of docs/ports.md: a fit with two mistakes that its author does not know of, recorded; and as it is repaired.

python scripts/ports.py FOLDER writes faulty.npz, half.npz and repaired.npz there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine import FitOptions, fit, initials_from_detector, load_model, sample

OPTIONS = FitOptions(kernel="exact")
"""The port computes its kernels rather than look them up; so its runs end alike on every machine, mistakes and all."""

UPDATED = (0, 4, 5)
"""Scale and translation, which an update adds to."""


def position(landmarks: Any, base_shape: Any, image_to_reference: Any, window: int) -> Any:
    """Where landmarks stand in their maps: the offset stays in image px."""
    return np.clip(landmarks - base_shape + (window - 1) / 2, 0, window - 0.1)


def update(params: Any, delta: Any) -> Any:
    """Parameters after a step: the angles are read from the wrong corner of the matrix."""
    moved = params.copy()
    moved[list(UPDATED)] += delta[list(UPDATED)]
    moved[6 : len(delta)] += delta[6:]
    u, _, vt = np.linalg.svd(np.eye(3) + np.cross(np.eye(3), delta[1:4]))
    r = _rotation(*params[1:4]) @ u @ vt
    moved[1:4] = np.arctan2(-r[2, 1], r[2, 2]), np.arcsin(r[2, 0]), np.arctan2(-r[1, 0], r[0, 0])
    return moved


def _rotation(rx: float, ry: float, rz: float) -> Any:
    (a, b, c), (d, e, f) = np.cos([rx, ry, rz]), np.sin([rx, ry, rz])
    return (
        np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
        @ np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
        @ np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    )


RUNS: dict[str, dict[str, Any]] = {
    "faulty": {"position": position, "update": update},
    "half": {"position": position},
    "repaired": {},
}
"""Each recording and what its port does in its own way."""


def main(folder: str) -> None:
    """Record the port before, during and after its repair."""
    model = load_model()
    gray = sample("portrait").gray
    start = initials_from_detector(model, gray)[0]
    for name, own in RUNS.items():
        trace = fit(gray, model, start, OPTIONS, replace=own)
        trace.save(Path(folder) / f"{name}.npz")
        last = next(step.update_norm for step in reversed(trace.steps) if step.update_norm is not None)
        print(f"{name}: final update {last:.3f}, log-likelihood {trace.likelihood:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
