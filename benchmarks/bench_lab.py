"""How long every diagnostic takes on one photo, wall seconds on all processors, for OpenFace's fit and a chaotic port.

    python benchmarks/bench_lab.py [--model M] [--image I]

The limits: 20 s for all of them on two processors, 1 s for those that run few fits.
"""

from __future__ import annotations

import argparse
import sys
import time

import matplotlib.cbook
import numpy as np
from timing import default_model

from clnf_engine import fit, initials_from_detector, load_model, preset
from clnf_engine.diagnostics.tools import TOOLS, diagnose
from clnf_engine.io.images import read_image

_REPEATS = 3
_LIMIT_S = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--image", default=str(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    arguments = parser.parse_args()
    if not arguments.model:
        sys.exit("no model: give one by --model")
    model, image = load_model(arguments.model), read_image(arguments.image).gray
    initial = initials_from_detector(model, image)[0]
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
