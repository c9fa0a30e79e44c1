"""A small data set of the tiny face, and what the tests of studies ask of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from clnf_engine import Study
from clnf_engine.io.landmarks import pts_text
from clnf_engine.studies.parts import TIMES, scan
from clnf_engine.studies.variants import Start, grid

from ..cli_tools import save
from ..tiny_model import tiny_image, true_landmarks

QUICK = ("max_iterations=1", "windows=7,7")
"""Options with which a fit of the tiny model takes a millisecond."""


def write_faces(folder: Path, count: int = 3) -> Path:
    """Photos of the tiny face, each shifted by some pixels, with their truth."""
    for k in range(count):
        shift = np.float32([[1, 0, k], [0, 1, -k]])
        photo = cv2.warpAffine(tiny_image(), shift, tiny_image().shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        save(folder / f"face{k}.png", photo)
        (folder / f"face{k}.pts").write_text(pts_text(true_landmarks() + np.array([k, -k])))
    return folder


def small_study(data: Path, model: str, *axes: str, start: str = "box:0.05") -> Study:
    return Study(str(data), grid(axes or ("sigma=1,2",), QUICK, model), (Start.of(start),))


def rows_of(results: Path) -> list[dict[str, Any]]:
    """All rows, with all their columns but the times, sorted by their ids."""
    rows = [row for part in scan(results) for row in pq.read_table(part.path).to_pylist()]
    return sorted(({k: v for k, v in row.items() if k not in TIMES} for row in rows), key=lambda row: str(row["row"]))
