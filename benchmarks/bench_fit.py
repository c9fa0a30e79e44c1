"""Speed of a default fit with every Step recorded, split into its parts, in milliseconds of CPU on one thread.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_fit.py [--model M] [--image I]

A *unit* is the calibration of `timing`; on the machine where OpenFace's C++ took 10.7 ms a unit was 0.366 ms, so the
C++ takes 29.2 units.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace

import numpy as np
from timing import calibration_ms, median_cpu_ms, model_and_photo

from clnf_engine import FitOptions, Phase, Precision, fit, fit_steps, load_model

_CPP_UNITS = 29.2
_REPEATS = 60


def _split(image: np.ndarray, model: object, initial: object, options: FitOptions) -> dict[str, float]:
    """Median milliseconds per fit spent before each kind of Step."""
    runs: dict[str, list[float]] = defaultdict(list)
    for _ in range(_REPEATS):
        sums: dict[str, float] = defaultdict(float)
        last = time.process_time()
        for step in fit_steps(image, model, initial, options):
            now = time.process_time()
            sums[step.phase if step.phase in (Phase.RESPONSES, Phase.RIGID, Phase.NONRIGID) else "other"] += now - last
            last = time.process_time()
        for name, seconds in sums.items():
            runs[str(name)].append(1000 * seconds)
    return {name: float(np.median(values)) for name, values in runs.items()}


def main() -> None:
    arguments, model, image, initial = model_and_photo(__doc__)
    load_ms = median_cpu_ms(lambda: load_model(arguments.model), repeats=10)
    unit = calibration_ms()
    print(f"model {model.name}: loaded in {load_ms:.0f} ms; calibration {unit:.3f} ms a unit")
    for precision in Precision:
        options = replace(FitOptions(), precision=precision)
        total = median_cpu_ms(lambda options=options: fit(image, model, initial, options), _REPEATS)
        parts = _split(image, model, initial, options)
        print(
            f"fit, {precision}: {total:.2f} ms = {total / unit:.1f} units, {total / unit / _CPP_UNITS:.2f} × the C++; "
            + ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
            + f", recording {max(total - sum(parts.values()), 0.0):.2f} ms"
        )
    command = [sys.executable, "-m", "clnf_engine", "fit", arguments.image, "--model", arguments.model]
    walls = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - start)
    print(f"clnf fit of one photo: {np.median(walls):.2f} s wall in all")


if __name__ == "__main__":
    main()
