"""Many fits of one face, over several processes where that pays."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from clnf_engine.arrays import Floats
from clnf_engine.diagnostics.finding import Progress
from clnf_engine.fitting import fit_steps
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.options import FitOptions
from clnf_engine.processes import end_with_parent, starting_deaf_processes
from clnf_engine.steps import Stage

Job = tuple[Initial, FitOptions]

_SLOW = 1500
"""Sets of response maps from which on several processes are faster, although each takes a second to start."""

_POLL_SECONDS = 0.05

_NICE = 10
"""By how much the processes stand back, so that a window over them stays alive."""


@dataclass(frozen=True, eq=False)
class FitSummary:
    """What is kept of one fit among many.

    Attributes
    ----------
    path : (k, n, 2) float64
        Landmarks after every iteration and at the end, image px.
    update_norm : float
        ‖Δp‖ of the last iteration; NaN when there was none.
    likelihood : float or None
        Of the last phase; None when no stage was run.
    stage : Stage or None
        The one that the likelihood is of.
    failure : str
        Why the fit failed; "" when it did not.
    """

    path: Floats
    update_norm: float
    likelihood: float | None
    stage: Stage | None
    failure: str

    @property
    def landmarks(self) -> Floats:
        """Final landmarks, (n, 2) float64, image px."""
        final: Floats = self.path[-1]
        return final


def many_fits(image: NDArray[np.uint8], model: Model, jobs: Sequence[Job], progress: Progress) -> list[FitSummary]:
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
    list of FitSummary
        In the order of the jobs.
    """
    if sum(_work(model, options) for _, options in jobs) < _SLOW or _processors() < 2:
        found = []
        for k, (initial, options) in enumerate(jobs):
            progress(k, len(jobs))
            found.append(_summary(image, model, initial, options))
        progress(len(jobs), len(jobs))
        return found
    return _in_processes(image, model, jobs, progress)


def _work(model: Model, options: FitOptions) -> int:
    """About how many sets of response maps a fit computes."""
    stages = len(model.scales) + options.window5_without_sigma
    return stages * (options.max_iterations if options.responses_every_iteration else 1)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(image: NDArray[np.uint8], model: Model, jobs: Sequence[Job], progress: Progress) -> list[FitSummary]:
    # A process that is not forked knows nothing of Qt's threads, on any platform.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(_processors(), len(jobs)), context, _begin, (image, model))
    try:
        with starting_deaf_processes():
            futures = [pool.submit(_summary_here, *job) for job in jobs]
        waiting: set[Future[FitSummary]] = set(futures)
        while waiting:
            progress(len(jobs) - len(waiting), len(jobs))
            _, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
        progress(len(jobs), len(jobs))
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


_face: tuple[NDArray[np.uint8], Model] | None = None
"""The face that a process of `_in_processes` fits."""


def _begin(image: NDArray[np.uint8], model: Model) -> None:
    global _face  # noqa: PLW0603  # how a process pool hands its processes what all jobs need
    _face = image, model
    end_with_parent()
    threadpool_limits(1)  # a BLAS thread per processor in every process would only wait for the others
    if hasattr(os, "nice"):
        os.nice(_NICE)


def _summary_here(initial: Initial, options: FitOptions) -> FitSummary:
    assert _face is not None
    return _summary(*_face, initial, options)


def _summary(image: NDArray[np.uint8], model: Model, initial: Initial, options: FitOptions) -> FitSummary:
    path, update_norm, stage = [], float("nan"), None
    for step in fit_steps(image, model, initial, options):
        if step.iteration is not None:
            path.append(step.landmarks)
            update_norm = float("nan") if step.update_norm is None else step.update_norm
            stage = step.stage
    failure = "" if step.success else step.message
    return FitSummary(np.array([*path, step.landmarks]), update_norm, step.likelihood, stage, failure)
