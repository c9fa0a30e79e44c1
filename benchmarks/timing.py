"""What the benchmarks share: medians of CPU time on one thread, and a calibration to compare machines by."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clnf_engine.library import shipped_models


def default_model() -> str:
    """OpenFace's general model where the reference data is beside the checkout, else a shipped one, else ""."""
    shared = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    openface = shared / "openface" / "main_clnf_general.txt"
    return str(openface) if openface.is_file() else next(iter(shipped_models()), "")


def median_cpu_ms(work: Callable[[], object], repeats: int = 50) -> float:
    """Median CPU time of a call, milliseconds, after one call that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * float(np.median(times))


def calibration_ms() -> float:
    """A float32 product of 68 pairs (121×121)·(121×7): one unit of this machine's speed."""
    rng = np.random.default_rng(0)
    left = rng.random((68, 121, 121), dtype=np.float32)
    right = rng.random((68, 121, 7), dtype=np.float32)
    return median_cpu_ms(lambda: left @ right, repeats=200)
