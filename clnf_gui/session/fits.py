"""Fits: the runs of the lanes, made in the background."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import FitOptions, Initial, Model, Recording, Step, fit_steps
from clnf_engine.io.images import Image
from clnf_engine.recording import DEFAULT_BUDGET
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.cursor import Cursor
from clnf_gui.session.lanes import Lanes, Origin
from clnf_gui.worker import Worker

_LIVE_SECONDS = 0.1
"""A fit that takes longer is shown while it runs, at this interval; a shorter one when it is complete."""


@dataclass(frozen=True, eq=False)
class Order:
    """A run that is to be made.

    Attributes
    ----------
    image : Image
    model : Model
    initial : Initial
    options : FitOptions
    origin : Origin
    """

    image: Image
    model: Model
    initial: Initial
    options: FitOptions
    origin: Origin


class Fits(QObject):
    """Runs fits, the newest order of every lane; a lane's old run stays until the first new Step arrives.

    Attributes
    ----------
    budget : int
        Bytes that the maps of a run may take; beyond them they are computed again when they are looked at.
    """

    changed = Signal(Aspect)
    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""

    def __init__(self, lanes: Lanes, cursor: Cursor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lanes, self._cursor = lanes, cursor
        self._orders: dict[str, Order] = {}
        """Those under way."""
        self._begun: dict[str, Recording] = {}
        """The Steps that have come of them, where there are any."""
        self.budget = DEFAULT_BUDGET
        self._told_at = 0.0
        self._worker = Worker("clnf-fits")
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)

    @property
    def under_way(self) -> frozenset[str]:
        """Names of the lanes that are being fitted."""
        return frozenset(self._orders)

    def refit(self, name: str, order: Order) -> None:
        """Run a lane anew."""
        self._orders[name] = order
        self._begun.pop(name, None)
        self._worker.submit(name, lambda: fit_steps(order.image.gray, order.model, order.initial, order.options))
        self.changed.emit(Aspect.BUSY)

    def cancel(self, name: str) -> None:
        """End a lane's run where it is."""
        self._worker.cancel(name)
        self._orders.pop(name, None)
        self._begun.pop(name, None)

    def shut_down(self) -> None:
        """End the thread; nothing can be run afterwards."""
        self._worker.shut_down()

    # --- answers ------------------------------------------------------------------------------

    @Slot(str, int, object)
    def _on_produced(self, name: str, epoch: int, step: Step) -> None:
        if not self._worker.is_current(name, epoch):
            return
        lane, order = self._lanes[name], self._orders[name]
        if name not in self._begun:
            self._told_at = time.monotonic()
            recording = Recording(order.image.gray, order.model, order.initial, order.options, self.budget)
            self._begun[name] = recording
            lane.begin_run(order.initial, order.options, order.origin, recording)
        self._begun[name].append(step)
        self._cursor.follow(name, step)
        lane.show(self._cursor.place)
        if time.monotonic() - self._told_at > _LIVE_SECONDS:
            self._tell_of_steps()

    def _tell_of_steps(self) -> None:
        self._told_at = time.monotonic()
        self.changed.emit(Aspect.STEPS | Aspect.CURSOR)

    @Slot(str, int, float)
    def _on_finished(self, name: str, epoch: int, seconds: float) -> None:
        if self._worker.is_current(name, epoch):
            del self._orders[name]
            self._begun.pop(name, None)
            self._lanes[name].end_run(seconds)
            self._tell_of_steps()
            self.changed.emit(Aspect.BUSY)

    @Slot(str, int, str, str)
    def _on_failed(self, name: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(name, epoch):
            del self._orders[name]
            self._begun.pop(name, None)
            self.changed.emit(Aspect.BUSY)
            self.failed.emit(message, details)
