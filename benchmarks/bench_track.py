"""Speed of tracking a face through a 640×480 video, in frames per second of one core, split into its parts.

    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_track.py [--model M] [--video V] [--soak FRAMES]

CPU time of all threads is counted, so decoding ahead in another thread does not look like speed. With ``--soak`` the
video is repeated to that many frames, and the memory of the process is printed on the way.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from timing import calibration_ms, default_model

from clnf_engine import FitOptions, Model, TrackOptions, load_model, track
from clnf_engine.io.clip import Clip
from clnf_engine.io.frames import Develop, Frame
from clnf_engine.io.images import read_image
from clnf_engine.io.video import VideoSource, open_video
from clnf_engine.io.video_writer import write_video
from clnf_engine.samples import sample_path
from clnf_engine.tracking.journal import Journal, Row, run_name

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class _Repeated:
    """A reader that begins again at the end, until it has read so many frames."""

    damage = ""

    def __init__(self, clip: Clip, frames: int) -> None:
        self._clip = clip
        self.promised = frames
        turn = clip.times[-1] + clip.times[1]
        self.times = [k // len(clip.times) * turn + clip.times[k % len(clip.times)] for k in range(frames)]

    def anchor(self, number: int) -> int:
        return number

    def read(self, start: int) -> Iterator[tuple[int, Develop]]:
        while start < self.promised:
            for number, develop in self._clip.read(start % len(self._clip.times)):
                index = start - start % len(self._clip.times) + number
                if index < self.promised:
                    yield index, partial(self._moved, index, develop)
            start += len(self._clip.times) - start % len(self._clip.times)

    def twin(self) -> _Repeated:
        return _Repeated(self._clip.twin(), self.promised)

    def close(self) -> None:
        self._clip.close()

    def _moved(self, index: int, develop: Develop) -> Frame:
        return replace(develop(), index=index, timestamp=self.times[index])


def _video(folder: Path) -> Path:
    """A sample of the reference data where it is, else a portrait that moves."""
    shared = Path(os.environ.get("CLNF_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    sample = shared / "samples" / "default.wmv"
    if sample.is_file():
        return sample
    photo = read_image(sample_path()).rgb
    large = cv2.copyMakeBorder(photo, 60, 60, 160, 160, cv2.BORDER_REPLICATE)
    shifts = (np.array([60, 30]) + 30 * np.array([np.sin(k / 15), np.cos(k / 11)]) for k in range(300))
    views = (large[round(y) : round(y) + 480, round(x) : round(x) + 640] for x, y in shifts)
    write_video(folder / "moving.mp4", ((k / 30, np.ascontiguousarray(view)) for k, view in enumerate(views)))
    return folder / "moving.mp4"


def _speed(path: Path, model: Model, folder: Path) -> None:
    with open_video(path) as source:
        begin = time.process_time()
        frames = sum(1 for _ in source.frames())
        decoding = time.process_time() - begin
        begin, wall = time.process_time(), time.perf_counter()
        results = list(track(source, model))
        total, wall = time.process_time() - begin, time.perf_counter() - wall
        run = run_name(source, model, FitOptions(), TrackOptions(), None)
        begin = time.process_time()
        with Journal(folder / "speed.csv", source, model, run) as journal:
            for result in results:
                journal.append(Row.of(result, model, TrackOptions(), run))
        writing = time.process_time() - begin
    states = ", ".join(f"{count} {state}" for state, count in Counter(result.state for result in results).items())
    print(f"{path.name}: {frames} frames of {results[0].size[0]}×{results[0].size[1]}; {states}")
    decode_ms, fit_ms, write_ms = (1000 * part / frames for part in (decoding, total - decoding, writing))
    print(f"per frame: decoding, RGB and grey {decode_ms:.2f} ms, fit {fit_ms:.2f} ms, pose and row {write_ms:.2f} ms")
    print(f"tracking: {frames / total:.0f} frames/s of one core, {frames / wall:.0f} frames/s by the clock")
    print(f"with the file: {frames / (total + writing):.0f} frames/s of one core")


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB


def _soak(path: Path, model: Model, folder: Path, frames: int) -> None:
    with VideoSource(path, _Repeated(Clip(path), frames)) as source:
        run = run_name(source, model, FitOptions(), TrackOptions(), None)
        with Journal(folder / "soak.csv", source, model, run) as journal:
            for number, result in enumerate(track(source, model), start=1):
                journal.append(Row.of(result, model, TrackOptions(), run))
                if number % max(1, frames // 10) == 0:
                    print(f"{number} frames: {_resident_mb():.0f} MB", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"{journal.rows} frames tracked, {journal.found} with a face; at most {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--video", type=Path)
    parser.add_argument("--soak", type=int, default=0, metavar="FRAMES")
    arguments = parser.parse_args()
    if not arguments.model:
        sys.exit("no model: give one by --model")
    model = load_model(arguments.model)
    print(f"model {model.name}; calibration {calibration_ms():.3f} ms a unit")
    with tempfile.TemporaryDirectory() as name:
        path = arguments.video or _video(Path(name))
        if arguments.soak:
            _soak(path, model, Path(name), arguments.soak)
        else:
            _speed(path, model, Path(name))


if __name__ == "__main__":
    main()
