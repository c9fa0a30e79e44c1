"""Drawn faces of random shape, with their true landmarks and depth: annotations that need no photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from clnf_engine import load_model
from clnf_engine.io.landmarks import pts_text
from clnf_engine.pdm import landmarks, rotation_matrix

SIZE = 220
_SHIFT = 4  # fractional bits of the drawing


def write_faces(folder: Path, count: int, seed: int) -> Path:
    """Write `count` faces as images, `.pts` and `.xyz` files."""
    folder.mkdir(parents=True, exist_ok=True)
    pdm = load_model().pdm
    rng = np.random.default_rng(seed)
    for k in range(count):
        params = np.zeros(6 + pdm.n_modes)
        params[6:] = np.sqrt(pdm.variances) * rng.uniform(-1.2, 1.2, pdm.n_modes)
        params[0] = rng.uniform(0.95, 1.1)
        params[1:4] = rng.uniform(-0.12, 0.12, 3)
        params[4:6] = SIZE / 2 + rng.uniform(-8, 8, 2)
        points = landmarks(pdm, params)
        depth = params[0] * (rotation_matrix(params[1:4]) @ (pdm.mean + pdm.modes @ params[6:]).reshape(3, -1))[2]
        good, data = cv2.imencode(".png", draw(points, rng))
        assert good
        (folder / f"face{k:02d}.png").write_bytes(data.tobytes())
        (folder / f"face{k:02d}.pts").write_text(pts_text(points))
        rows = (f"{x!r} {y!r} {z!r}\n" for x, y, z in np.column_stack([points, depth]).tolist())
        (folder / f"face{k:02d}.xyz").write_text("".join(rows))
    return folder


def draw(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face with these landmarks, in grey levels."""
    image = np.full((SIZE, SIZE), 70, np.uint8)
    fixed = np.rint(points * 2**_SHIFT).astype(np.int32)
    centre = points[27:31].mean(axis=0)
    forehead = np.rint((centre + 1.6 * (points[17:27][::-1] - centre)) * 2**_SHIFT).astype(np.int32)
    fill(image, np.concatenate([fixed[:17], forehead]), 185)
    for brow in (fixed[17:22], fixed[22:27]):
        cv2.polylines(image, [brow], False, 60, 4, cv2.LINE_AA, _SHIFT)
    cv2.polylines(image, [fixed[27:31]], False, 225, 3, cv2.LINE_AA, _SHIFT)
    cv2.polylines(image, [fixed[31:36]], False, 95, 3, cv2.LINE_AA, _SHIFT)
    for eye in (fixed[36:42], fixed[42:48]):
        fill(image, eye, 240)
        middle = tuple(int(v) for v in eye.mean(axis=0))
        cv2.circle(image, middle, 4 * 2**_SHIFT, 30, -1, cv2.LINE_AA, _SHIFT)
    fill(image, fixed[48:60], 120)
    fill(image, fixed[60:68], 50)
    noisy = cv2.GaussianBlur(image, (0, 0), 0.8) + rng.normal(0, 4, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def fill(image: np.ndarray, polygon: np.ndarray, level: int) -> None:
    cv2.fillPoly(image, [polygon], level, cv2.LINE_AA, _SHIFT)
