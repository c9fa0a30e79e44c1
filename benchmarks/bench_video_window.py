"""How fast the window shows videos, off screen, in a 1080p window with image, overlay, atlas and frames in sight.

QT_QPA_PLATFORM=offscreen python benchmarks/bench_video_window.py [--model M] [--video V] [--soak FRAMES]

Without a video, one is made of the sample portrait. Soaking repeats its frames in a folder of links.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import cv2
import numpy as np
from PySide6.QtCore import QElapsedTimer, QEventLoop, QTimer
from PySide6.QtWidgets import QApplication
from timing import default_model

from clnf_engine.samples import sample_path
from clnf_gui.qt_setup import make_application
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

_HEARTBEAT_MS = 2
_SCRUBS = 60
_FRAMES = 300


def moving_portrait(folder: Path, frames: int) -> Path:
    """The sample portrait, shifted, turned and scaled over time; 640×480."""
    portrait = cv2.imread(str(sample_path()))
    height, width = portrait.shape[:2]
    for k in range(frames):
        turn = cv2.getRotationMatrix2D((width / 2, 0.35 * height), 8 * np.sin(k / 20), 1 + 0.15 * np.sin(k / 33))
        turn[:, 2] += (320 - width / 2 + 60 * np.sin(k / 25), 200 - 0.35 * height + 25 * np.sin(k / 17))
        picture = cv2.warpAffine(portrait, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(folder / f"{k + 1:05}.jpg"), picture)
    return folder


def _wait(app: QApplication, until: Callable[[], bool]) -> None:
    """Process events as a person's desktop does, asleep when there are none."""
    beat = QTimer(interval=_HEARTBEAT_MS)
    beat.start()
    while not until():
        app.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


@contextmanager
def _gaps() -> Iterator[list[float]]:
    """Seconds between the beats of a timer of the GUI's thread."""
    gaps: list[float] = []
    clock = QElapsedTimer()
    heartbeat = QTimer(interval=_HEARTBEAT_MS)
    heartbeat.timeout.connect(lambda: gaps.append(clock.nsecsElapsed() / 1e9) or clock.restart())
    clock.start()
    heartbeat.start()
    yield gaps
    heartbeat.stop()


@contextmanager
def _painted(window: MainWindow) -> Iterator[set[int]]:
    """Frames whose picture comes to be painted."""
    frames: set[int] = set()
    repaint = window.repaint_now

    def counted() -> None:
        repaint()
        frames.add(window.session.scene.frame)

    window._repaint_timer.timeout.disconnect()
    window._repaint_timer.timeout.connect(counted)
    yield frames
    window._repaint_timer.timeout.disconnect()
    window._repaint_timer.timeout.connect(window.repaint_now)


def _report(what: str, seconds: list[float], limit: str) -> None:
    values = 1000 * np.array(seconds)
    print(f"{what}: median {np.median(values):.0f} ms, 95 % {np.percentile(values, 95):.0f} ms ({limit})", flush=True)


def _memory_mb() -> float:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


def _scrub(app: QApplication, window: MainWindow, count: int) -> list[float]:
    """Go to random frames; the times until each is painted."""
    session, times, rng = window.session, [], random.Random(1)
    for _ in range(count):
        index = (session.scene.frame + rng.randrange(1, len(session.scene.times))) % len(session.scene.times)
        start = time.perf_counter()
        session.frames.go_to(index)
        _wait(app, lambda index=index: session.scene.frame == index)
        window.repaint_now()
        app.processEvents()
        times.append(time.perf_counter() - start)
    return times


def _measure(app: QApplication, window: MainWindow) -> None:
    session = window.session
    with _painted(window) as frames, _gaps() as gaps:
        start = time.perf_counter()
        session.tracker.start()
        _wait(app, lambda: not session.tracker.tracking)
        seconds = time.perf_counter() - start
    n = len(session.scene.times)
    print(f"tracking shown live: {len(frames) / seconds:.0f} frames/s painted, {n / seconds:.0f} tracked (at least 30)")
    print(f"longest time without a heartbeat while tracking: {1000 * max(gaps):.0f} ms (at most 50)", flush=True)
    _report("scrub to a random frame, painted", _scrub(app, window, _SCRUBS), "at most 150 ms")
    session.frames.set_speed(4.0)
    session.frames.go_to(0)
    _wait(app, lambda: not session.busy)
    with _painted(window) as frames:
        start = time.perf_counter()
        session.frames.set_playing(True)
        _wait(app, lambda: not session.frames.playback.on)
        seconds = time.perf_counter() - start
    print(f"playing a tracked video as fast as it goes: {len(frames) / seconds:.0f} frames/s painted (at least 30)")
    session.set_comparing(True)
    session.tracker.start()
    session.tracker.set_chasing(False)
    _wait(app, lambda: session.lanes["B"].results.end > 0)
    with _gaps() as gaps:
        times = _scrub(app, window, _SCRUBS)
    during = "while lane B is tracked" if session.tracker.tracking else "lane B was tracked meanwhile"
    _report(f"scrub to a random frame, two lanes, {during}", times, "at most 150 ms")
    print(f"longest time without a heartbeat meanwhile: {1000 * max(gaps):.0f} ms (at most 50)", flush=True)
    _wait(app, lambda: not session.tracker.tracking and not session.busy)
    session.set_comparing(False)


def _soak(app: QApplication, window: MainWindow, folder: Path, frames: int) -> None:
    """Track a long video in both lanes."""
    pictures = sorted(folder.iterdir())
    with tempfile.TemporaryDirectory() as long:
        for k in range(frames):
            turn, at = divmod(k, len(pictures))
            os.link(pictures[at if turn % 2 == 0 else -1 - at], Path(long) / f"{k + 1:06}.jpg")
        session = window.session
        before = _memory_mb()
        session.open_video(long)
        _wait(app, lambda: session.video is not None and str(session.video.path) == long and not session.busy)
        session.set_comparing(True)
        session.tracker.start()
        session.tracker.set_chasing(False)
        with _gaps() as gaps:
            _wait(app, lambda: not session.tracker.tracking)
        after = _memory_mb()
        scrubs = _scrub(app, window, _SCRUBS)
        print(
            f"memory: {before:.0f} MB, with {frames} frames tracked in two lanes {after:.0f} MB, "
            f"scrubbed {_memory_mb():.0f} MB (at most 400)"
        )
        _report(f"scrub among {frames} frames, two lanes", scrubs, "at most 150 ms")
        print(f"longest time without a heartbeat: {1000 * max(gaps):.0f} ms (at most 50)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--video")
    parser.add_argument("--soak", type=int, default=0, metavar="FRAMES")
    arguments = parser.parse_args()
    if not arguments.model:
        sys.exit("no model: give one by --model")
    app = make_application()
    session = Session()
    window = MainWindow(session)
    window.resize(1920, 1080)
    window.show()
    session.failed.connect(lambda message, _: print(message, file=sys.stderr))
    with tempfile.TemporaryDirectory() as temporary:
        folder = moving_portrait(Path(temporary), _FRAMES)
        session.open_model(arguments.model)
        session.open_video(arguments.video or folder)
        _wait(app, lambda: session.lanes["A"].complete and not session.busy)
        _measure(app, window)
        if arguments.soak:
            _soak(app, window, folder, arguments.soak)
        window.close()


if __name__ == "__main__":
    main()
