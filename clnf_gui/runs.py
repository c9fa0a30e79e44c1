"""Runs: the fits of both lanes, made in the background, and whether anything is being worked on."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import FitOptions, Initial, Model, Step, Trace, fit_steps
from clnf_engine.io.images import Image
from clnf_gui.cursor import Aspect, Cursor
from clnf_gui.lane import Lane
from clnf_gui.worker import Job, Worker

_LIVE_SECONDS = 0.1
"""A fit that takes longer is shown while it runs, at this interval; a shorter one when it is complete."""


class Runs(Cursor):
    """Fits the image with the model in every lane; an answer to an old question is dropped.

    The Session is this class and those that build on it, one for each matter. What one of them leaves to a later one
    raises NotImplementedError and names it; Qt's metaclass and that of abstract classes exclude each other.
    """

    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.model: Model | None = None
        self.image: Image | None = None
        self._afresh: set[str] = set()
        self._made_with: dict[str, FitOptions] = {}
        self._told_of_steps = 0.0
        self._open: set[str] = set()
        self._worker = Worker("clnf-fits")
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)

    # --- what is shown ------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is being loaded or fitted."""
        return bool(self._open)

    def initial(self, name: str) -> Initial | None:
        """Where a lane's run starts."""
        return self.lanes[name].initial or self.lanes["A"].initial

    def trace(self, name: str = "") -> Trace | None:
        """A lane's run as a Trace (the active lane's without a name); None before its first Step."""
        lane, initial = self.lanes[name or self.active], self.initial(name or self.active)
        if self.image is None or self.model is None or initial is None or not lane.steps:
            return None
        return Trace(self.image.gray, self.model.name, initial, lane.fit_options, tuple(lane.steps))

    def finished(self, name: str) -> bool:
        """Whether a lane's run has ended and no newer one is under way."""
        return self.lanes[name].complete and name not in self._open

    # --- the worker ---------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Stop playing and end the worker thread; nothing can be run afterwards."""
        self._play_timer.stop()
        self._worker.shut_down()

    def _submit(self, kind: str, job: Job) -> None:
        self._worker.submit(kind, job)
        self._open.add(kind)
        self.changed.emit(Aspect.BUSY)

    def _refit(self, name: str) -> None:
        """Run a lane anew; its old Steps stay until the first new one arrives."""
        initial = self.initial(name)
        if self.image is None or self.model is None or initial is None:
            return
        image, model, options = self.image.gray, self.model, self._fit_options(self.lanes[name])
        self._made_with[name] = options
        self._afresh.add(name)
        self._submit(name, lambda: fit_steps(image, model, initial, options))

    def _fit_options(self, lane: Lane) -> FitOptions:
        """What a lane is to be fitted with."""
        return lane.options

    def _forget_runs(self) -> None:
        """Empty every lane, as before another model or image."""
        for name, lane in self.lanes.items():
            self._worker.cancel(name)
            self._open.discard(name)
            lane.clear()

    def _receive(self, kind: str, item: Any) -> None:
        """Take what a job that is no fit has produced; `Session` does."""
        raise NotImplementedError(kind)

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, item: Any) -> None:
        if not self._worker.is_current(kind, epoch):
            return
        if kind in self.lanes:
            self._append(kind, item)
        else:
            self._receive(kind, item)

    def _append(self, name: str, step: Step) -> None:
        lane = self.lanes[name]
        if name in self._afresh:
            self._afresh.discard(name)
            self._told_of_steps = time.monotonic()
            lane.steps, lane.complete, lane.fit_options = [], False, self._made_with[name]
        lane.steps.append(step)
        if self.following and name == self.active:
            self.place = step.place
        lane.show(self.place)
        if time.monotonic() - self._told_of_steps > _LIVE_SECONDS:
            self._tell_of_steps()

    def _tell_of_steps(self) -> None:
        self._told_of_steps = time.monotonic()
        self.changed.emit(Aspect.STEPS | Aspect.CURSOR)

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, seconds: float) -> None:
        if self._worker.is_current(kind, epoch):
            self._open.discard(kind)
            if kind in self.lanes:
                self.lanes[kind].complete, self.lanes[kind].seconds = True, seconds
                self._tell_of_steps()
            self.changed.emit(Aspect.BUSY)
            self._go_on(kind)

    def _go_on(self, kind: str) -> None:
        """Do what follows a job of a kind that has ended; the slot itself, overridden, would run in another thread."""

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(kind, epoch):
            self._open.discard(kind)
            self.changed.emit(Aspect.BUSY)
            self.failed.emit(message, details)
            self._go_on(kind)
