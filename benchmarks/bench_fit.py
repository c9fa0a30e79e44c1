"""Speed of a default fit with every Step recorded, split into its parts, in milliseconds of CPU on one thread.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_fit.py [--model M] [--image I]

A *unit* is the calibration of `timing`; on the machine where OpenFace's C++ took 11.2 ms a unit was 0.371 ms, so the
C++ takes 30.1 units. Where CLNF_ORACLE names a program, it is measured in turns with the fits here, which is fairer: it
reads a line ``{"image": path, "params": [scale, rx, ry, rz, tx, ty, q…]}`` for every fit, and answers with a line
``{"ms": milliseconds of CPU}``. The figures of other days are in RESULTS.md.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
from timing import as_installed, calibration_ms, median_cpu_ms, model_and_photo

from clnf_engine import FitOptions, Phase, Precision, fit, fit_many, fit_steps, load_model, preset

_CPP_UNITS = 30.1
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


def _oracle_ratio(program: str, image: str, params: np.ndarray, work: Callable[[], object]) -> float:
    """Median CPU time of `work` over that of another program's fit, measured in turns."""
    request = json.dumps({"image": str(Path(image).resolve()), "params": params.tolist()}) + "\n"
    ours, theirs = [], []
    with subprocess.Popen(shlex.split(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as oracle:
        for _ in range(_REPEATS):
            oracle.stdin.write(request)
            oracle.stdin.flush()
            theirs.append(json.loads(oracle.stdout.readline())["ms"])
            start = time.process_time()
            work()
            ours.append(1000 * (time.process_time() - start))
        oracle.stdin.close()
    return float(np.median(ours) / np.median(theirs))


def main() -> None:
    arguments, model, image, initial = model_and_photo(__doc__)
    load_ms = median_cpu_ms(lambda: load_model(arguments.model), repeats=10)
    unit = calibration_ms()
    print(f"model {model.name}: loaded in {load_ms:.0f} ms; calibration {unit:.3f} ms a unit")
    oracle = os.environ.get("CLNF_ORACLE")
    for precision in Precision:
        options = FitOptions(precision=precision)
        total = median_cpu_ms(lambda options=options: fit(image, model, initial, options), _REPEATS)
        parts = _split(image, model, initial, options)
        print(
            f"fit, {precision}: {total:.2f} ms = {total / unit:.1f} units, {total / unit / _CPP_UNITS:.2f} × the C++; "
            + ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
            + f", recording {max(total - sum(parts.values()), 0.0):.2f} ms"
        )
        many = median_cpu_ms(lambda options=options: list(fit_many(repeat(image), model, [initial] * 10, options))) / 10
        wild = replace(preset("openface-wild"), precision=precision)
        wild_ms = median_cpu_ms(lambda options=wild: fit(image, model, initial, options), _REPEATS)
        print(f"  without Steps {many:.2f} ms = {many / total:.2f} of it; wild {wild_ms / unit:.1f} units")
        if oracle:
            ratio = _oracle_ratio(
                oracle, arguments.image, initial.params, lambda o=options: fit(image, model, initial, o)
            )
            print(f"  {ratio:.3f} × {oracle}, in turns")
    command = [sys.executable, "-m", "clnf_engine", "fit", arguments.image, "--model", arguments.model]
    walls = []
    for _ in range(6):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=as_installed())
        walls.append(time.perf_counter() - start)
    print(f"clnf fit of one photo: {np.median(walls[1:]):.2f} s wall in all")  # the first compiles its modules


if __name__ == "__main__":
    main()
