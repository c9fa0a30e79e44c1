"""A small real study of the tiny model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from clnf_engine.io.landmarks import pts_text
from clnf_engine.studies.plan import Study
from clnf_engine.studies.run import run_study
from clnf_engine.studies.variants import Start, grid

from ..tiny_model import tiny_image, true_landmarks

N_PHOTOS = 4


def write_photos(folder: Path) -> Path:
    """Photos of the tiny model's face, each with noise of its own and its true landmarks; and one that is no image."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(4)
    for k in range(N_PHOTOS):
        noisy = tiny_image() + random.normal(0, 6, tiny_image().shape)
        cv2.imwrite(str(folder / f"face{k}.png"), np.clip(noisy, 0, 255).astype(np.uint8))
        (folder / f"face{k}.pts").write_text(pts_text(true_landmarks()))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def small_study(
    folder: Path,
    model: Path,
    axes: Sequence[str] = ("sigma=1,2", "normalization=none,peak"),
    starts: Sequence[str] = ("box:0.1#0", "box:0.1#1"),
) -> Path:
    """The results of a study of such photos, in which one cannot be read."""
    data = write_photos(folder / "faces")
    study = Study(str(data), grid(axes, [], str(model)), tuple(map(Start.of, starts)))
    run_study(study, folder / "results", workers=0)
    return folder / "results"
