"""Many tasks over several processes that have something large in common, which each gets once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from typing import Any, Protocol

from tqdm import tqdm

from clnf_engine.errors import ClnfError
from clnf_engine.processes import end_with_parent, starting_deaf_processes

Task = tuple[Any, ...]

Run = Callable[[Sequence[Task]], list[Any]]
"""Does tasks; what each gave, in their order."""


class Begin(Protocol):
    """Where tasks are done: `worker_processes`, or the like elsewhere."""

    def __call__(
        self, work: Callable[..., Any], common: object, processes: int | None, bar: tqdm[None]
    ) -> AbstractContextManager[Run]:
        """As `worker_processes`."""


_MAX_PROCESSES = 61
"""More than these, Windows cannot wait for."""

_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def worker_processes(work: Callable[..., Any], common: object, processes: int | None, bar: tqdm[None]) -> Iterator[Run]:
    """Processes that do tasks, each by a call of ``work(common, *task)``.

    Parameters
    ----------
    work : callable
        Of a module, so that processes find it. What is large it leaves in files.
    common : object
        The same object in all tasks of a process, so that a cache may go by it.
    processes : int, optional
        All cores by default.
    bar : tqdm
        Advanced by one for every finished task.

    Yields
    ------
    callable
        A `Run`: takes a sequence of tasks, begins them in this order, and returns when all are done. It raises a
        `ClnfError` when a process dies; an interruption lets tasks under way finish.
    """
    workers = min(processes or os.cpu_count() or 1, _MAX_PROCESSES)
    with _single_threaded(), ProcessPoolExecutor(workers, get_context("spawn"), _begin, (work, common)) as pool:

        def run(tasks: Sequence[Task]) -> list[Any]:
            with starting_deaf_processes():
                futures: list[Future[Any]] = [pool.submit(_do, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
                return [future.result() for future in futures]
            except BrokenProcessPool:
                raise ClnfError(
                    "a training process died, perhaps for lack of memory; the same command goes on from here"
                ) from None
            except BaseException:  # also an interruption; tasks under way are finished and kept
                pool.shutdown(cancel_futures=True)
                raise

        yield run


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Have processes that start now compute on one thread each: quicker side by side, and always the same sums."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_work: Callable[..., Any]
_common: object


def _begin(work: Callable[..., Any], common: object) -> None:
    """First thing in a process: learn what to do, and for whom."""
    global _work, _common
    _work, _common = work, common
    end_with_parent()


def _do(task: Task) -> Any:
    return _work(_common, *task)
