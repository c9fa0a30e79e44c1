"""The thread in the background: what it makes waits for the window, within limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pytestqt.qtbot import QtBot

from clnf_gui.worker import Worker

ITEMS, MOST = 2_000, 300


class Maker:
    """A job that counts what it makes."""

    def __init__(self) -> None:
        self.made = 0
        self.begun, self.too_many = threading.Event(), threading.Event()

    def job(self) -> Iterator[int]:
        for k in range(ITEMS):
            self.made = k + 1
            if k == MOST // 2:
                self.begun.set()
            if k == MOST:
                self.too_many.set()
            yield k


def test_a_job_waits_for_a_window_that_is_busy_and_loses_nothing(qtbot: QtBot) -> None:
    worker, maker, arrived = Worker("test"), Maker(), list[int]()
    worker.produced.connect(lambda kind, epoch, item: arrived.append(item))  # in the worker's thread
    try:
        with qtbot.waitSignal(worker.finished, timeout=20_000):
            worker.submit("test", maker.job)
            assert not maker.too_many.wait(0.3)  # the window does nothing meanwhile
            assert maker.made > MOST // 2
        assert arrived == list(range(ITEMS))
    finally:
        worker.shut_down()


def test_a_job_that_waits_ends_with_its_window(qtbot: QtBot) -> None:
    worker, maker = Worker("test"), Maker()
    worker.submit("test", maker.job)
    assert maker.begun.wait(10)
    worker.shut_down()
    assert worker.ended
    assert maker.made <= MOST
