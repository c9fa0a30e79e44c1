"""Many fits of one face, over several processes where that pays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from clnf_engine.diagnostics.finding import Progress
from clnf_engine.fitting import FitRow, fit_many
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.options import FitOptions
from clnf_engine.processes import processors

Job = tuple[Initial, FitOptions]

_SLOW = 1500
"""Sets of response maps from which on several processes are faster, although each takes a second to start."""

_POLL_SECONDS = 0.05

_NICE = 10
"""By how much the processes stand back, so that a window over them stays alive."""


def many_fits(image: NDArray[np.uint8], model: Model, jobs: Sequence[Job], progress: Progress) -> list[FitRow]:
    """Run many fits; the results are the same bit for bit however many processes run them.

    Parameters
    ----------
    image : (H, W) uint8
    model : Model
    jobs : sequence of (Initial, FitOptions)
    progress : Progress
        What it raises ends the processes, too.

    Returns
    -------
    list of FitRow
        In the order of the jobs.
    """
    if sum(_work(model, options) for _, options in jobs) < _SLOW or processors() < 2:
        found: list[FitRow] = []
        initials, options = (job[0] for job in jobs), (job[1] for job in jobs)
        progress(0, len(jobs))
        for row in fit_many(repeat(image), model, initials, options):
            found.append(row)
            progress(len(found), len(jobs))
        return found
    return _in_processes(image, model, jobs, progress)


def _work(model: Model, options: FitOptions) -> int:
    """About how many sets of response maps a fit computes."""
    stages = len(model.scales) + options.window5_without_sigma
    return stages * (options.max_iterations if options.responses_every_iteration else 1)


def _in_processes(image: NDArray[np.uint8], model: Model, jobs: Sequence[Job], progress: Progress) -> list[FitRow]:
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

    from clnf_engine.processes import starting_deaf_processes

    # A process that is not forked knows nothing of Qt's threads, on any platform.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(processors(), len(jobs)), context, _begin, (image, model))
    try:
        with starting_deaf_processes():
            futures = [pool.submit(_fit_here, *job) for job in jobs]
        waiting = set(futures)
        while waiting:
            progress(len(jobs) - len(waiting), len(jobs))
            _, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
        progress(len(jobs), len(jobs))
        return [future.result() for future in futures]
    except BaseException:  # nobody waits for the fits any more: those that run need not end, nor processes begin
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_face: tuple[NDArray[np.uint8], Model] | None = None
"""The face that a process of `_in_processes` fits."""


def _begin(image: NDArray[np.uint8], model: Model) -> None:
    from threadpoolctl import threadpool_limits

    from clnf_engine.processes import end_with_parent

    global _face  # noqa: PLW0603  # how a process pool hands its processes what all jobs need
    _face = image, model
    end_with_parent()
    threadpool_limits(1)  # a BLAS thread per processor in every process would only wait for the others
    if hasattr(os, "nice"):
        os.nice(_NICE)


def _fit_here(initial: Initial, options: FitOptions) -> FitRow:
    assert _face is not None
    image, model = _face
    return next(fit_many([image], model, [initial], options))
