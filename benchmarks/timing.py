"""What the benchmarks share: a model and a photo, medians of CPU time on one thread, and a unit of machines' speed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clnf_engine import Initial, Model, initials_from_detector, load_model
from clnf_engine.io.images import read_image
from clnf_engine.library import shipped_models
from clnf_engine.samples import sample_path


def default_model() -> str:
    """OpenFace's general model where the reference data is beside the checkout, else a shipped one, else ""."""
    shared = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    openface = shared / "openface" / "main_clnf_general.txt"
    return str(openface) if openface.is_file() else next(iter(shipped_models()), "")


def model_and_photo(description: str) -> tuple[argparse.Namespace, Model, np.ndarray, Initial]:
    """The arguments ``--model`` and ``--image``, what they name, and the start at the largest face."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--image", default=str(sample_path()))
    arguments = parser.parse_args()
    if not arguments.model:
        sys.exit("no model: give one by --model")
    model, image = load_model(arguments.model), read_image(arguments.image).gray
    return arguments, model, image, initials_from_detector(model, image)[0]


def as_installed() -> dict[str, str]:
    """The environment of a program whose modules are compiled once, as after an installation, not at every start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


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
