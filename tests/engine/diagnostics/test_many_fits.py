"""Many fits: the same bits in this process and in others; cancelling leaves no process behind."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from clnf_engine import FitOptions
from clnf_engine.diagnostics import many_fits as module
from clnf_engine.diagnostics.finding import no_progress
from clnf_engine.diagnostics.many_fits import many_fits

from ..tiny_model import start, tiny_image, tiny_model
from .lab_tools import run

JOBS = [(start(), FitOptions(sigma=sigma)) for sigma in (1.0, 1.5, 2.0)]


def test_processes_compute_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    here = many_fits(tiny_image(), tiny_model(), JOBS, no_progress)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(module, "_SLOW", 0)
    monkeypatch.setattr(module, "processors", lambda: 2)
    there = many_fits(tiny_image(), tiny_model(), JOBS, lambda done, total: told.append((done, total)))
    assert [a.update_norm for a in here] == [b.update_norm for b in there]
    assert all(np.array_equal(a.path, b.path) for a, b in zip(here, there, strict=True))
    trace = run(sigma=2.0)
    assert np.array_equal(here[2].landmarks, trace.landmarks) and here[2].update_norm == trace.steps[-2].update_norm
    assert [(a.likelihood, a.stage, a.failure) for a in here] == [(b.likelihood, b.stage, b.failure) for b in there]
    assert (here[2].likelihood, here[2].stage, here[2].failure) == (trace.likelihood, trace.stages[-1].stage, "")
    assert told[-1] == (3, 3) and told == sorted(told)
    assert not multiprocessing.active_children()


def test_cancelling_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLOW", 0)
    monkeypatch.setattr(module, "processors", lambda: 2)

    def cancel(_: int, __: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        many_fits(tiny_image(), tiny_model(), JOBS * 50, cancel)
    assert not multiprocessing.active_children()
