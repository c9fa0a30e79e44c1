"""Run a study: here, on processes of this machine, or on a cluster.

Tasks are submitted a few per worker at a time, so that a list of photos of any length takes the same memory, and each
part is written when it arrives, so that a kill loses no more than what is under way. Rows are pure, and so a task whose
worker died is done again, elsewhere. One that takes several workers with it is split into single photos; a photo that
does so again, alone on the cluster, gets rows that say so. Anything else that fails stops the study, and no row tells
of it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from tqdm import tqdm

from clnf_engine.errors import StudyError
from clnf_engine.io.files import exclusive, reason
from clnf_engine.kernels.ready import make_ready
from clnf_engine.processes import processors
from clnf_engine.studies.cluster import (
    POLL_SECONDS,
    Cluster,
    Watch,
    admitted,
    connected,
    deaf,
    embedded,
    require_dask,
    result_of,
)
from clnf_engine.studies.data import STUDY_FILE, count_photos, photos
from clnf_engine.studies.making import Made, failed_part, fit_part, write_part
from clnf_engine.studies.parts import PARTS, Part, read_study, require_pyarrow, scan, set_aside, write_study
from clnf_engine.studies.plan import Done, Study, Task, tasks
from clnf_engine.studies.resuming import done_of, drop_photos, without_fit
from clnf_engine.studies.variants import ARITHMETIC

_PER_WORKER = 3
"""Tasks that are submitted per worker: one at work, the others there when it ends."""

_FIRST_GUESS = 0.01
"""Seconds of a fit, before the first are done."""

_MAX_PHOTOS = 256
"""Of a task."""


@dataclass
class Outcome:
    """What a run of a study did.

    Attributes
    ----------
    rows, failures : int
        That were made, and those of them with a `Row.failure`.
    before : int
        Fits that were there already, of those asked for.
    notes : list of str
        Sentences on what a person should know: parts that could not be read, kernels that differ, ….
    """

    rows: int = 0
    failures: int = 0
    before: int = 0
    notes: list[str] = field(default_factory=list)


def run_study(
    study: Study,
    results: str | os.PathLike[str],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    outcome: Outcome | None = None,
) -> Outcome:
    """Make all rows of a study that are not there yet.

    A script that calls it with processes, as by default, needs ``if __name__ == "__main__":`` around the call.

    Parameters
    ----------
    study : Study
        Where there are results of an earlier run already, its variants and starts are added to theirs.
    results : path-like
        Folder of the results; made if needed. See `clnf_engine.studies.parts`.
    workers : int, optional
        Processes on this machine, each of one thread: a Dask cluster of its own, which listens to this machine alone;
        as many as processors by default. 0: here, one fit after the other, without Dask.
    scheduler : str, optional
        Address of a Dask cluster to run on instead, ``tcp://host:8786``, whose workers have this program, too.
    retry_failed : bool
        Make rows again that have no fit.
    outcome : Outcome, optional
        Is filled while the study runs; of use when that is interrupted.

    Returns
    -------
    Outcome

    Raises
    ------
    ClnfError
        When the study cannot go on: the results are another study's, or are written by another process; there is no
        such cluster, or its workers cannot do it. All parts that were done are there.

    Examples
    --------
    >>> from shutil import copy
    >>> from clnf_engine import Study, grid, run_study, sample
    >>> photo = copy(sample("portrait").path, "portrait.jpg")
    >>> study = Study(photo, grid(["sigma=1,1.5,2"]))
    >>> run_study(study, "results", workers=0).rows
    3
    """
    outcome, folder = outcome or Outcome(), Path(results)
    require_pyarrow()
    if scheduler is not None or workers != 0:
        require_dask()
    count = count_photos(study.data)
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder}: cannot be made a folder for the results ({reason(error)})") from error
    with exclusive(folder / STUDY_FILE):
        study = _recorded(study, folder)
        parts, done = _what_is_there(folder, outcome, retry_failed)
        size = _Size()
        todo = tasks(study, done, size.photos, lambda image: _drop(folder, parts, image))
        outcome.before = _fits_done(study, done)
        total = count * len(study.variants) * len(study.starts)
        kernels = {part.footer["kernel"] for part in parts}
        with tqdm(total=total, initial=outcome.before, desc="study", unit="fit", disable=None, leave=False) as bar:

            def keep(task: Task, made: Made) -> None:
                write_part(folder, made.name, made.content)
                outcome.rows += made.n_rows
                outcome.failures += made.n_failures
                kernels.add(made.kernel)
                size.learn(task, made)
                bar.update(task.count)

            first = next(todo, None)  # nothing is started where nothing is to be done
            todo = chain([] if first is None else [first], todo)
            if first is None or (scheduler is None and workers == 0):
                for task in todo:
                    keep(task, fit_part(task))
            else:
                with _cluster(study, workers, scheduler, outcome) as cluster:
                    _run_on(cluster, todo, keep, size)
    if len(kernels) > 1:
        outcome.notes.append(
            f"fits of {len(kernels)} kernels are mixed, which differ in their last bits: {' | '.join(sorted(kernels))}"
        )
    return outcome


# --- what is there ----------------------------------------------------------------------------------


def _recorded(study: Study, results: Path) -> Study:
    """The study with the names that its variants have in the results, where it is written down now."""
    whole = study
    if (results / STUDY_FILE).exists():
        before = read_study(results)
        try:
            whole = before.extended(study)
        except StudyError as error:
            raise StudyError(f"{results}: {error}") from None
        study = study.named_as(before)
        if whole == before:
            return study
    write_study(results, whole)
    return study


def _what_is_there(results: Path, outcome: Outcome, retry_failed: bool) -> tuple[list[Part], Done]:
    """Parts that hold, and what they have rows of; what cannot be read is put aside."""

    def unreadable(path: Path, problem: str) -> None:
        outcome.notes.append(f"{path}: {problem}; it is now {set_aside(results, path)}, and its rows are made again")

    parts = []
    for part in scan(results, unreadable):
        if part.footer["arithmetic"] == ARITHMETIC:
            parts.append(part)
        else:
            unreadable(part.path, "made by another version of the arithmetic")
    if retry_failed:
        parts = [left for part in parts if (left := drop_photos(results, part, without_fit(part))) is not None]
    return done_of(results, parts)


def _drop(results: Path, parts: list[Part], image: str) -> None:
    """Take the rows of an image that are out of date out of all parts."""
    parts[:] = [left for part in parts if (left := drop_photos(results, part, {image})) is not None]


def _fits_done(study: Study, done: Done) -> int:
    asked = {(variant.id, start.name) for variant in study.variants for start in study.starts}
    return sum(len(asked & ways) for ways in done.ways.values())


class _Size:
    """How many photos a task has: about a second's worth, more where a scheduler has many workers to feed.

    Attributes
    ----------
    slots : int
        Threads of all workers.
    """

    def __init__(self) -> None:
        self.slots = 1
        self._per_fit = _FIRST_GUESS

    def photos(self, task: Task) -> int:
        """Of a task with these variants and starts."""
        seconds = min(max(1.0, self.slots / 25), 10.0)
        return min(max(1, round(seconds / (self._per_fit * task.ways))), _MAX_PHOTOS)

    def learn(self, task: Task, made: Made) -> None:
        """Take note of how long a task took."""
        if made.seconds > 0 and not task.photos[0].video:
            self._per_fit = max(0.8 * self._per_fit + 0.2 * made.seconds / task.count, 1e-5)


# --- on a cluster -----------------------------------------------------------------------------------


@contextmanager
def _cluster(study: Study, workers: int | None, scheduler: str | None, outcome: Outcome) -> Iterator[Cluster]:
    if scheduler is None:
        for precision in {variant.fit.precision for variant in study.variants}:
            make_ready(np.dtype(str(precision)))  # once, and not by every process
        with embedded(workers or processors()) as cluster:
            yield cluster
        return
    with connected(scheduler) as client:
        photo = next((photo for photo in islice(photos(study.data), 100) if not photo.problem), None)
        models = {variant.model for variant in study.variants}
        file = None if photo is None else (photo.file, "" if photo.video else photo.image)
        sees = admitted(client, models, file)
        if max(client.nthreads().values(), default=1) > 1:
            outcome.notes.append("workers have several threads, which hinder each other; start them with --nthreads 1")
        yield Cluster(client, sees)


def _run_on(cluster: Cluster, todo: Iterator[Task], keep: Callable[[Task, Made], None], size: _Size) -> None:
    """Have a cluster do tasks, a few per worker at a time."""
    client = cluster.client
    again: deque[Task] = deque()
    suspects: deque[Task] = deque()
    waiting: dict[str, tuple[Any, Task]] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    watch = Watch(cluster)
    more = True

    def submit(task: Task) -> None:
        future = client.submit(fit_part, task if cluster.sees else task.with_data(), pure=False)
        waiting[future.key] = future, task
        future.add_done_callback(ended.put)

    try:
        while more or again or suspects or waiting:
            size.slots = watch.slots()
            while (more or again) and len(waiting) < _PER_WORKER * max(size.slots, 1):
                task = again.popleft() if again else next(todo, None)
                if task is None:
                    more = False
                else:
                    submit(task)
            if not waiting and suspects:  # alone, so that no other can be what kills the worker
                submit(suspects[0])
            try:
                future = ended.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            _, task = waiting.pop(future.key)
            made = result_of(future)
            alone = bool(suspects) and task is suspects[0]
            if alone:
                suspects.popleft()
            if made is not None:
                keep(task, made)
            elif len(task.photos) > 1:
                again.extend(task.split())
            elif alone:
                keep(task, failed_part(task, "its worker died whenever it was fitted, perhaps for lack of memory"))
            else:
                suspects.append(task)
    finally:
        if waiting:
            with deaf():
                client.cancel([future for future, _ in waiting.values()], force=True)
