"""How long every diagnostic takes on one photo, wall seconds on all processors, for OpenFace's fit and a chaotic port.

    python benchmarks/bench_lab.py [--model M] [--image I]

The limits: 20 s for all of them on two processors, 1 s for those that run few fits.
"""

from __future__ import annotations

import time

import numpy as np
from timing import model_and_photo

from clnf_engine import fit, preset
from clnf_engine.diagnostics.tools import TOOLS, diagnose

_REPEATS = 3
_LIMIT_S = 20.0


def main() -> None:
    _, model, image, initial = model_and_photo(__doc__)
    for name in ("openface", "pyclnf-2025-11"):
        trace = fit(image, model, initial, preset(name))
        seconds = {tool: [] for tool in TOOLS}
        for _ in range(_REPEATS):
            last = time.perf_counter()
            for tool, _finding in diagnose(trace, model):
                now = time.perf_counter()
                seconds[tool.name].append(now - last)
                last = now
        medians = {tool: float(np.median(times)) for tool, times in seconds.items()}
        total = sum(medians.values())
        each = ", ".join(f"{tool} {median:.2f}" for tool, median in medians.items())
        print(f"{name}: all tools {total:.1f} s = {total / _LIMIT_S:.2f} × the limit; {each}")


if __name__ == "__main__":  # jitter starts processes, which import this file
    main()
