"""Run a study: here, on processes of this machine, or on a cluster; the only module that knows Dask.

Tasks are submitted a few per worker at a time, so that a list of photos of any length takes the same memory, and each
part is written when it arrives, so that a kill loses no more than what is under way. Rows are pure, and so a task whose
worker died is done again, elsewhere. One that takes several workers with it is split into single photos; a photo that
does so again, alone on the cluster, gets rows that say so. Anything else that fails stops the study, and no row tells
of it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import numpy as np
from tqdm import tqdm

from clnf_engine import __version__
from clnf_engine.errors import ClnfError, StudyError, one_line
from clnf_engine.io.files import exclusive, reason
from clnf_engine.kernels.ready import make_ready
from clnf_engine.processes import processors, starting_deaf_processes
from clnf_engine.studies.data import STUDY_FILE, count_photos, photos
from clnf_engine.studies.parts import (
    INSTALL,
    PARTS,
    Made,
    Part,
    done_of,
    drop_photos,
    failed_part,
    fit_part,
    read_study,
    require_pyarrow,
    scan,
    set_aside,
    without_fit,
    write_part,
    write_study,
)
from clnf_engine.studies.plan import Done, Study, Task, tasks

_PER_WORKER = 3
"""Tasks that are submitted per worker: one at work, the others there when it ends."""

_FIRST_GUESS = 0.01
"""Seconds of a fit, before the first are done."""

_MAX_PHOTOS = 256
"""Of a task."""

_CONNECT_SECONDS = 10.0
_WORKERS_SECONDS = 60.0
"""So long a cluster may have no worker, as while one is started again."""

_POLL_SECONDS = 1.0

_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(256 << 20)}
"""For the processes of an embedded cluster: Dask's own value, 64 KiB, has every fit ask the system for its memory."""


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
    """
    outcome, folder = outcome or Outcome(), Path(results)
    require_pyarrow()
    if scheduler is not None or workers != 0:
        _require_dask()
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

    parts = scan(results, unreadable)
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
        if made.seconds > 0:
            self._per_fit = max(0.8 * self._per_fit + 0.2 * made.seconds / task.count, 1e-5)


# --- clusters ---------------------------------------------------------------------------------------


def _require_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ClnfError(f"{INSTALL}, or use --workers 0") from error


@dataclass(frozen=True)
class _Cluster:
    """Where tasks are done: a client of it, and whether its workers see the photos by their paths."""

    client: Any
    sees: bool = True


@contextmanager
def _cluster(study: Study, workers: int | None, scheduler: str | None, outcome: Outcome) -> Iterator[_Cluster]:
    if scheduler is None:
        for precision in {variant.fit.precision for variant in study.variants}:
            make_ready(np.dtype(str(precision)))  # once, and not by every process
        with _embedded(workers or processors()) as client:
            yield _Cluster(client)
        return
    with connected(scheduler) as client:
        sees = _admitted(client, study)
        if max(client.nthreads().values(), default=1) > 1:
            outcome.notes.append("workers have several threads, which hinder each other; start them with --nthreads 1")
        yield _Cluster(client, sees)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of a Dask cluster.

    Parameters
    ----------
    address : str
        Of its scheduler.

    Yields
    ------
    distributed.Client

    Raises
    ------
    StudyError
        When nothing answers there, or the cluster has no worker.
    """
    _require_dask()
    import dask
    from distributed import Client

    with _quiet(), dask.config.set({"distributed.comm.timeouts.connect": f"{_CONNECT_SECONDS:g}s"}):
        try:
            client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError, TypeError, ImportError) as error:
            raise StudyError(f"no Dask scheduler answers at {address} ({_last(error)})") from None
        try:
            try:
                client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
            except TimeoutError:
                raise StudyError(f"{address}: the cluster has no worker after {_WORKERS_SECONDS:g} s") from None
            yield client
        finally:
            with _deaf():
                client.close(timeout=_CONNECT_SECONDS)


@contextmanager
def _embedded(workers: int) -> Iterator[Any]:
    """A client of a cluster on this machine, which no other can reach, and which ends with this process."""
    import dask
    from distributed import Client, LocalCluster

    environment = dask.config.get("distributed.nanny.pre-spawn-environ", {}) | _MALLOC
    config = {
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.admin.large-graph-warning-threshold": "1GiB",
    }
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(dask.config.set(config))
        with starting_deaf_processes():  # its threads start workers again
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
            try:
                client = Client(cluster, set_as_default=False)
            except BaseException:
                cluster.close()
                raise
        try:
            yield client
        finally:
            with _deaf():
                client.close()
                cluster.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask logs to itself: what a person should know, our own errors say in a sentence."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore further interruptions while a cluster is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _admitted(client: Any, study: Study) -> bool:
    """Find out whether the workers of a cluster can do a study; whether they see its photos.

    Raises
    ------
    StudyError
        When one cannot: it lacks the program, has another version of it, or does not find a model.
    """
    photo = next((photo for photo in islice(photos(study.data), 100) if not photo.problem), None)
    asked = {
        "version": __version__,
        "models": [(model.path, model.fingerprint) for model in {v.model for v in study.variants}],
        "photo": None if photo is None else (photo.file, photo.image if not photo.video else ""),
    }
    probe = _probe()
    answers: dict[str, Any] = client.run(probe, asked, on_error="return")
    for address, answer in sorted(answers.items()):
        if not isinstance(answer, dict):
            answer = {"problem": f"cannot answer ({_last(answer)})"}  # noqa: PLW2901
        if answer["problem"]:
            raise StudyError(f"worker {address} {answer['problem']}")
    sees = all(answer["sees"] for answer in answers.values())
    client.register_plugin(_gate(probe, asked, sees), name="clnf-study")
    return sees


def _probe() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that travels by value, and so runs where this program is missing, too."""

    def probe(asked: dict[str, Any]) -> dict[str, Any]:
        import hashlib  # what a function by value needs, it imports

        try:
            import clnf_engine
            from clnf_engine.library import load_model
        except ImportError as error:
            return {"problem": f"lacks this program ({error}); pip install 'clnf-studio[studies]' there"}
        if clnf_engine.__version__ != asked["version"]:
            found = clnf_engine.__version__
            return {"problem": f"has version {found} of this program; expected {asked['version']}, as here"}
        for path, fingerprint in asked["models"]:
            try:
                found = load_model(path).fingerprint
            except Exception as error:
                return {"problem": f"cannot use a model: {error}"}
            if found != fingerprint:
                return {"problem": f"has another model at {path}: its fingerprint is {found}; expected {fingerprint}"}
        sees = True
        if asked["photo"] is not None:
            file, digest = asked["photo"]
            try:
                with open(file, "rb") as stream:
                    sees = not digest or hashlib.sha256(stream.read()).hexdigest() == digest
            except OSError:
                sees = False
        return {"problem": "", "sees": sees}

    return probe


def _gate(probe: Callable[[dict[str, Any]], dict[str, Any]], asked: dict[str, Any], sees: bool) -> Any:
    """What keeps workers out that join later and cannot do the study."""
    from distributed import WorkerPlugin

    class Gate(WorkerPlugin):  # travels by value, like the probe
        def setup(self, worker: Any) -> None:
            answer = probe(asked)
            if answer["problem"] or (sees and not answer["sees"]):
                raise RuntimeError(answer["problem"] or "does not see the photos")

    return Gate()


def _last(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}", 120)


# --- the loop ---------------------------------------------------------------------------------------


def _run_on(cluster: _Cluster, todo: Iterator[Task], keep: Callable[[Task, Made], None], size: _Size) -> None:
    """Have a cluster do tasks, a few per worker at a time."""
    client = cluster.client
    again: deque[Task] = deque()
    suspects: deque[Task] = deque()
    waiting: dict[str, tuple[Any, Task]] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    watch = _Watch(client)
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
                future = ended.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            _, task = waiting.pop(future.key)
            made = _result(future)
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
            with _deaf():
                client.cancel([future for future, _ in waiting.values()], force=True)


def _result(future: Any) -> Made | None:
    """What a task made; None when workers died of it.

    Raises
    ------
    StudyError
        When it failed for another reason.
    """
    from distributed import KilledWorker

    try:
        made: Made = future.result()
    except KilledWorker:
        return None
    except ClnfError as error:
        raise StudyError(str(error)) from error
    except Exception as error:  # also Dask's own, such as of a task that is lost
        raise StudyError(f"a worker failed at something that is no fit ({_last(error)})") from error
    return made


class _Watch:
    """How many threads a cluster has, asked now and then; an error when it has none for long, or is gone."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._slots, self._asked, self._seen = 0, -_POLL_SECONDS, monotonic()

    def slots(self) -> int:
        now = monotonic()
        if now - self._asked < _POLL_SECONDS:
            return self._slots
        self._asked, gone = now, "its scheduler is gone"
        if self._client.status == "running":
            self._slots, gone = sum(self._client.nthreads().values()), "it has no worker left"
            if self._slots:
                self._seen = now
        if now - self._seen > _WORKERS_SECONDS:
            raise StudyError(
                f"the cluster has done nothing for {_WORKERS_SECONDS:g} s: {gone}; the same command goes on from here"
            )
        return self._slots
