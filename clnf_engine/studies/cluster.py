"""Clusters of Dask: of this machine's processes, or one that is there; what may work there, and other work than fits.

The only module that knows Dask, which takes a second to import, and so is imported where it is needed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from tqdm import tqdm

from clnf_engine import __version__
from clnf_engine.errors import ClnfError, StudyError, one_line
from clnf_engine.io.images import image_bytes
from clnf_engine.io.temporaries import temporary_file
from clnf_engine.processes import starting_deaf_processes
from clnf_engine.studies.parts import INSTALL
from clnf_engine.studies.rows import one_thread
from clnf_engine.studies.variants import StudyModel
from clnf_engine.training.processes import Begin

_CONNECT_SECONDS = 10.0
_WORKERS_SECONDS = 60.0
"""So long a cluster may have no worker, as while one is started again."""

_GATE = "clnf-study"
"""Name of the plugin that keeps workers out."""

POLL_SECONDS = 1.0
"""Between two looks at a cluster that is at work."""

_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(256 << 20)}
"""For the processes of an embedded cluster: Dask's own value, 64 KiB, has every fit ask the system for its memory."""


def require_dask() -> None:
    """Raise a `ClnfError` that says what to install, where Dask is not."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ClnfError(f"{INSTALL}, or use --workers 0") from error


@dataclass(frozen=True)
class Cluster:
    """Where tasks are done: its client, whether workers see the photos by their paths, what brings lost ones back."""

    client: Any
    sees: bool = True
    mend: Callable[[], None] = lambda: None


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
    require_dask()
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
            with deaf():
                with suppress(OSError, ValueError, KeyError):  # it is gone, or nobody was let in
                    if client.status == "running":
                        client.unregister_worker_plugin(_GATE)  # which would keep out workers of the next who comes
                client.close(timeout=_CONNECT_SECONDS)


@contextmanager
def embedded(workers: int) -> Iterator[Cluster]:
    """A cluster on this machine, which no other can reach, and which ends with this process."""
    import dask
    from distributed import Client, LocalCluster, Status

    def mend() -> None:
        """Put other nannies in the place of those that gave up, as their worker died while it started."""
        lost = [name for name, nanny in cluster.workers.items() if nanny.status in (Status.closed, Status.failed)]
        for name in lost:
            del cluster.workers[name]
        if lost or len(cluster.worker_spec) < workers:
            cluster.scale(workers)

    environment = dask.config.get("distributed.nanny.pre-spawn-environ", {}) | _MALLOC
    config = {
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.admin.large-graph-warning-threshold": "1GiB",
        "distributed.worker.profile.enabled": False,  # it takes time, and 200 kB of every second's stacks are kept
    }
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(dask.config.set(config))
        with starting_deaf_processes():  # its threads start workers again
            cluster = LocalCluster(
                n_workers=0,  # a worker that dies while a cluster starts would be the end of that
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
            try:
                cluster.scale(workers)
                client = Client(cluster, set_as_default=False)
            except BaseException:
                cluster.close()
                raise
        try:
            yield Cluster(client, mend=lambda: cluster.loop.add_callback(mend))
        finally:
            with deaf():
                client.close()
                cluster.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask logs to itself: what a person should know, our own errors say in a sentence."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    loggers = [logging.getLogger(name) for name in (*names, "tornado", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def deaf() -> Iterator[None]:
    """Ignore further interruptions while a cluster is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- what lets workers in ---------------------------------------------------------------------------


def admitted(client: Any, models: Iterable[StudyModel], file: tuple[str, str] | None) -> bool:
    """Find out whether the workers of a cluster can do it; whether they see a file, of which the digest is given.

    Raises
    ------
    StudyError
        When one cannot: it lacks the program, has another version of it, or does not find a model.
    """
    asked = {
        "version": __version__,
        "models": [(model.path, model.fingerprint) for model in models],
        "photo": file,
    }
    probe = probe_function()
    answers: dict[str, Any] = client.run(probe, asked, on_error="return")
    for address, answer in sorted(answers.items()):
        if not isinstance(answer, dict):
            answer = {"problem": f"cannot answer ({_last(answer)})"}  # noqa: PLW2901
        if answer["problem"]:
            raise StudyError(f"worker {address} {answer['problem']}")
    sees = all(answer["sees"] for answer in answers.values())
    client.register_plugin(_gate(probe, asked, sees), name=_GATE)
    return sees


def probe_function() -> Callable[[dict[str, Any]], dict[str, Any]]:
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

    class Gate(WorkerPlugin):  # type: ignore[misc]  # travels by value, like the probe
        def setup(self, worker: Any) -> None:
            answer = probe(asked)
            if answer["problem"] or (sees and not answer["sees"]):
                raise RuntimeError(answer["problem"] or "does not see the photos")

    return Gate()


def _last(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}", 120)


# --- tasks ------------------------------------------------------------------------------------------


class Watch:
    """How many threads a cluster has, asked now and then; an error when it has none for long, or is gone."""

    def __init__(self, cluster: Cluster) -> None:
        self._client, self._mend = cluster.client, cluster.mend
        self._slots, self._asked, self._seen = 0, -POLL_SECONDS, monotonic()

    def slots(self) -> int:
        """Threads of all workers, asked once a second; errors as of the class."""
        now = monotonic()
        if now - self._asked < POLL_SECONDS:
            return self._slots
        self._asked, gone = now, "its scheduler is gone"
        with suppress(OSError):  # while the connection breaks
            if self._client.status == "running":
                self._slots, gone = sum(self._client.nthreads().values()), "it has no worker left"
                self._mend()
                if self._slots:
                    self._seen = now
        if now - self._seen > _WORKERS_SECONDS:
            raise StudyError(
                f"the cluster has done nothing for {_WORKERS_SECONDS:g} s: {gone}; the same command goes on from here"
            )
        return self._slots


def result_of(future: Any, fatal: bool = False) -> Any:
    """What a task made; None when workers died of it, unless that is `fatal`.

    Raises
    ------
    StudyError
        When it failed for another reason.
    """
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        if fatal:
            raise StudyError("workers died of a task, perhaps for lack of memory; the same command goes on") from None
        return None
    except ClnfError as error:
        raise StudyError(str(error)) from error
    except (asyncio.CancelledError, concurrent.futures.CancelledError):
        raise StudyError("the cluster is gone, or forgot what it was asked for; the same command goes on") from None
    except Exception as error:
        raise StudyError(f"a worker failed at something that is no fit ({_last(error)})") from error


@contextmanager
def on_cluster(address: str, file: Path, folder: Path | None = None) -> Iterator[Begin]:
    """Have the tasks of a training or an evaluation done on a Dask cluster.

    Parameters
    ----------
    address : str
        Of its scheduler.
    file : Path
        An image that all workers must see, as it is here.
    folder : Path, optional
        For results, which all workers must share.

    Yields
    ------
    callable
        In the place of `clnf_engine.training.processes.worker_processes`.

    Raises
    ------
    StudyError
        When there is no such cluster, or its workers cannot do it.
    """
    with connected(address) as client:
        if not admitted(client, (), (str(file.absolute()), hashlib.sha256(image_bytes(file)).hexdigest())):
            raise StudyError(f"{address}: a worker does not see {file}; expected a folder that all share")
        if folder is not None:
            _expect_shared(client, address, folder)

        @contextmanager
        def begin(
            work: Callable[..., Any], common: object, processes: int | None, bar: tqdm[None]
        ) -> Iterator[Callable[[Sequence[tuple[Any, ...]]], list[Any]]]:
            everywhere = client.scatter(common, broadcast=True, hash=False)
            yield lambda tasks: _run_each(client, [(work, everywhere, task) for task in tasks], bar)

        yield begin


def _expect_shared(client: Any, address: str, folder: Path) -> None:
    """Raise unless all workers see what is written into a folder here."""
    with temporary_file(folder, None) as (token, _):

        def seen(path: str) -> bool:
            import os

            return os.path.exists(path)

        if not all(client.run(seen, str(token)).values()):
            raise StudyError(f"{address}: a worker does not see {folder}; expected a folder that all share")


def _run_each(client: Any, tasks: list[tuple[Any, ...]], bar: tqdm[None]) -> list[Any]:
    """What each of some tasks gives, in their order."""
    ended: SimpleQueue[Any] = SimpleQueue()
    watch = Watch(Cluster(client))
    futures = [client.submit(_alone, *task, pure=False) for task in tasks]
    try:
        for future in futures:
            future.add_done_callback(ended.put)
        left = len(futures)
        while left:
            watch.slots()
            with suppress(Empty):
                result_of(ended.get(timeout=POLL_SECONDS), fatal=True)
                bar.update()
                left -= 1
        return client.gather(futures)  # type: ignore[no-any-return]
    except BaseException:
        with deaf():
            client.cancel(futures, force=True)
        raise


def _alone(work: Callable[..., Any], common: object, task: tuple[Any, ...]) -> Any:
    with one_thread():
        return work(common, *task)
