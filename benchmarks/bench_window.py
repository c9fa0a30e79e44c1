"""How fast the window answers, off screen, with both lanes; medians in ms.

In tabs in a window that has no room for more, as a window of 1080p opens, and with every pane in a window of its own.

QT_QPA_PLATFORM=offscreen python benchmarks/bench_window.py [--model M]
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import time
from dataclasses import replace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
from PySide6.QtCore import QElapsedTimer, QTimer
from PySide6.QtWidgets import QApplication, QDockWidget
from timing import default_model

from clnf_engine import FitOptions, Normalization, Phase, Step
from clnf_engine.samples import sample_path
from clnf_engine.steps import Stage
from clnf_gui.look import Look
from clnf_gui.qt_setup import make_application
from clnf_gui.session import Session
from clnf_gui.views.convergence import ConvergenceView
from clnf_gui.window import MainWindow

_HEARTBEAT_MS = 2


def _wait_for_fit(app: QApplication, session: Session) -> None:
    while session.busy or not all(session.lanes[name].complete for name in session.shown):
        app.processEvents()


def _paint(app: QApplication, window: MainWindow) -> None:
    """Repaint what changed, down to the pixels."""
    window.repaint_now()
    app.processEvents()


def _untab(window: MainWindow) -> None:
    """Every dock in sight at once, none behind another."""
    for dock in window.findChildren(QDockWidget):
        dock.setFloating(True)
        dock.resize(620, 420)
        dock.show()


def _measure(app: QApplication, window: MainWindow, layout: str) -> None:
    """Time stepping, scrubbing and option changes, both lanes shown."""
    session = window.session
    _paint(app, window)
    times = []
    for k in range(240):
        start = time.perf_counter()
        session.cursor.move_by_step(1 if (k // 30) % 2 == 0 else -1)
        _paint(app, window)
        times.append(time.perf_counter() - start)
    _report(f"step to painted, both lanes, {layout}", times, "at most 16 ms")
    places = session.cursor.places()
    start = time.perf_counter()
    for place in places * 4:
        session.cursor.move_to(place)
        _paint(app, window)
    rate = 4 * len(places) / (time.perf_counter() - start)
    print(f"scrubbing {len(places)} places, {layout}: {rate:.0f} steps/s (at least 70)")
    times = []
    for k in range(60):
        start = time.perf_counter()
        session.set_options(FitOptions(normalization=list(Normalization)[k % 5]))
        _wait_for_fit(app, session)
        _paint(app, window)
        times.append(time.perf_counter() - start)
    _report(f"option change to refitted and painted, {layout}", times, "at most 60 ms")


def _long_run(app: QApplication) -> None:
    """Time the convergence pane on a run of 6000 iterations, as 1000 a phase make."""
    stages = [Stage(k, 0.25 + 0.1 * k, 11 - 2 * k, 0, 1.5, 25.0, 0.0, "", k, True) for k in range(3)]
    norms = iter(np.exp(np.random.default_rng(0).normal(size=(6000, 2)) - np.arange(6000)[:, None] % 1000 / 200))
    steps = [
        Step(phase, np.zeros(40), np.zeros((68, 2)), stage, k, update_norm=float(norm), shape_change=float(change))
        for stage in stages
        for phase in (Phase.RIGID, Phase.NONRIGID)
        for k, (norm, change) in zip(range(1, 1001), norms, strict=False)
    ]
    view, places, times = ConvergenceView(), [step.place for step in steps], []
    view.resize(1000, 250)
    view.show()
    for _ in range(20):
        start = time.perf_counter()
        view.show_runs({"A": steps}, places, 0.01, Look())
        view.viewport().repaint()
        times.append(time.perf_counter() - start)
    view.close()
    _report("convergence of 6000 iterations", times, "at most 50 ms")


def _report(what: str, seconds: list[float], limit: str) -> None:
    values = 1000 * np.array(seconds)
    print(f"{what}: median {np.median(values):.1f} ms, 95 % {np.percentile(values, 95):.1f} ms ({limit})")


def _memory_mb() -> float:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--changes", type=int, default=500)
    arguments = parser.parse_args()
    if not arguments.model:
        sys.exit("no model: give one by --model")
    app = make_application()
    session = Session()
    window = MainWindow(session)
    window.resize(1590, 1080)
    window.show()
    session.open_model(arguments.model)
    session.open_image(sample_path())
    _wait_for_fit(app, session)
    _paint(app, window)
    session.set_comparing(True)
    _wait_for_fit(app, session)
    session.select(30)
    _paint(app, window)
    gc.freeze()  # as the program does when its window has been made
    places = session.cursor.places()
    _long_run(app)
    _measure(app, window, "docks in tabs")
    window.resize(1920, 1080)
    _paint(app, window)
    _measure(app, window, "1080p, the Lab and a landmark in sight")
    gaps: list[float] = []
    clock = QElapsedTimer()
    heartbeat = QTimer(interval=_HEARTBEAT_MS)
    heartbeat.timeout.connect(lambda: gaps.append(clock.nsecsElapsed() / 1e9) or clock.restart())
    clock.start()
    heartbeat.start()
    for k in range(60):
        session.set_options(replace(FitOptions(), max_iterations=5 + k % 20, convergence_px=0.0))
        _wait_for_fit(app, session)
        _paint(app, window)
    heartbeat.stop()
    print(f"longest time without a heartbeat while fits run: {1000 * max(gaps):.0f} ms (at most 25)")
    _untab(window)
    _measure(app, window, "every pane in a window of its own")

    session.set_options(FitOptions())
    _wait_for_fit(app, session)
    before = _memory_mb()
    for k in range(arguments.steps):
        session.cursor.move_to(places[k % len(places)])
        _paint(app, window)
    after_steps = _memory_mb()
    for k in range(arguments.changes):
        session.set_options(FitOptions(sigma=1.0 + (k % 50) / 50))
        _wait_for_fit(app, session)
        _paint(app, window)
    session.history.clear()
    print(
        f"memory: {before:.0f} MB, after {arguments.steps} steps {after_steps:.0f} MB, "
        f"after {arguments.changes} option changes {_memory_mb():.0f} MB"
    )
    window.close()


if __name__ == "__main__":
    main()
