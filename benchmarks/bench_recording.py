"""What a Recording costs: the time to append a Step, to compute one again and to iterate, and the bytes it holds.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_recording.py [--model M] [--image I]

Milliseconds of CPU on one thread. A default fit drops nothing; a long one with maps of its own in every iteration does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from timing import median_cpu_ms, model_and_photo

from clnf_engine import FitOptions, Recording, fit_steps

_MEGABYTE = 1 << 20
_RUNS = {
    "default": FitOptions(),
    "60 iterations": FitOptions(max_iterations=60, convergence_px=0.0),
    "60 iterations, maps in every one": FitOptions(max_iterations=60, responses_every_iteration=True),
}


def main() -> None:
    _, model, image, initial = model_and_photo(__doc__)
    for name, options in _RUNS.items():
        steps = tuple(fit_steps(image, model, initial, options))

        def recorded(budget: int, options: FitOptions = options, steps: tuple = steps) -> Recording:
            recording = Recording(image, model, initial, options, budget)
            for step in steps:
                recording.append(step)
            return recording

        plain = median_cpu_ms(lambda options=options: tuple(fit_steps(image, model, initial, options)), 5)
        appending = median_cpu_ms(lambda: recorded(1 << 40), 20)
        whole = recorded(1 << 40)
        print(
            f"{name}: {len(steps)} steps, {whole.held_bytes / _MEGABYTE:.1f} MB; fit {plain:.1f} ms, "
            f"recording it {appending:.2f} ms ({1000 * appending / len(steps):.1f} µs a step)"
        )
        del steps, whole
        for budget in (0, 64 * _MEGABYTE):
            recording = Recording(image, model, initial, options, budget)
            for step in fit_steps(image, model, initial, options):
                recording.append(step)
            del step
            iterating = _ms(lambda r=recording: deque(r, 0))
            reading = _ms(lambda r=recording: deque(r.numbers, 0))
            print(
                f"  budget {budget / _MEGABYTE:.0f} MB: {recording.n_dropped} dropped; one step by index "
                f"{_indexing_ms(recording):.2f} ms, iterating {iterating:.0f} ms, its numbers {reading:.2f} ms"
            )


def _indexing_ms(recording: Recording) -> float:
    """Median time to index a Step, in random order."""
    times = []
    for index in np.random.default_rng(0).permutation(len(recording))[:60].tolist():
        times.append(_ms(lambda index=index: recording[index]))
    return float(np.median(times))


def _ms(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


if __name__ == "__main__":
    main()
