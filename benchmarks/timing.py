"""What the benchmarks share: medians of CPU time on one thread, and a calibration to compare machines by."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


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
