"""Fits: the runs of the lanes, made in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import DetectionOptions, FitOptions, Initial, Model, Recording, Step, fit_steps
from clnf_engine.arrays import FLOAT64
from clnf_engine.detection.detect import Detection, Hypothesis, detect_steps
from clnf_engine.detection.tree import WHOLE
from clnf_engine.io.images import Image
from clnf_engine.kernels.ready import OF_ROWS, make_ready
from clnf_engine.plugins.process import fit_steps_with
from clnf_engine.recording import DEFAULT_BUDGET
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.cursor import Cursor
from clnf_gui.session.lanes import Lane, Lanes, Origin
from clnf_gui.worker import Worker

_OWN = " own"
"""After the name of a lane: the kind of the jobs that make fits with functions of a file."""

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
    functions : Path or None
        A Python file whose functions take the place of operations.
    detection : DetectionOptions or None
        What is to be done around the fit; None where functions make it.
    """

    image: Image
    model: Model
    initial: Initial
    options: FitOptions
    origin: Origin
    functions: Path | None = None
    detection: DetectionOptions | None = None


class Fits(QObject):
    """Runs fits, the newest order of every lane; a lane's old run stays until the first new Step arrives.

    Of a detection the main fit is shown first, while that takes long, and then the run that the cursor is in.

    Those with functions of a file have a thread of their own: however long one takes, no other waits for it.

    Attributes
    ----------
    budget : int
        Bytes that the maps of a run may take; beyond them they are computed again when they are looked at.
    """

    changed = Signal(Aspect)
    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""
    told = Signal(str)
    """What a file prints."""
    ended = Signal(str)
    """Name of a lane whose run is complete."""
    recovered = Signal(str)
    """What was said of a lane's failed run, when it has a complete one."""

    def __init__(self, lanes: Lanes, cursor: Cursor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lanes, self._cursor = lanes, cursor
        self._orders: dict[str, Order] = {}
        """Those under way."""
        self._begun: dict[str, Recording | list[Step]] = {}
        """The Steps that have come of them, where there are any."""
        self.budget = DEFAULT_BUDGET
        self._told_at = 0.0
        self._problems: dict[str, str] = {}
        self._all_ready = False
        self._worker, self._own_worker = Worker("clnf-fits"), Worker("clnf-own-fits")
        for worker in (self._worker, self._own_worker):
            worker.produced.connect(self._on_produced)
            worker.finished.connect(self._on_finished)
            worker.failed.connect(self._on_failed)

    @property
    def under_way(self) -> frozenset[str]:
        """Names of the lanes that are being fitted."""
        return frozenset(self._orders)

    def refit(self, name: str, order: Order) -> None:
        """Run a lane anew."""
        self.cancel(name)
        self._orders[name] = order
        what = (order.image.gray, order.model, order.initial, order.options)
        file = order.functions
        around = order.detection
        if around is not None:
            self._worker.submit(name, lambda: detect_steps(*what, around, self.budget))
        elif file is None:
            self._worker.submit(name, lambda: fit_steps(*what))
        else:
            tell = lambda line: self.told.emit(f"{file.name}: {line}")  # noqa: E731
            self._own_worker.submit(
                f"{name}{_OWN}", lambda: fit_steps_with(file, *what, tell=tell, check=self._own_worker.check)
            )
        self.changed.emit(Aspect.BUSY)

    def cancel(self, name: str) -> None:
        """End a lane's run where it is."""
        self._worker.cancel(name)
        self._own_worker.cancel(f"{name}{_OWN}")
        self._orders.pop(name, None)
        self._begun.pop(name, None)

    def shut_down(self) -> None:
        """End the threads; nothing can be run afterwards."""
        for worker in (self._worker, self._own_worker):
            worker.shut_down()

    # --- answers ------------------------------------------------------------------------------

    def _lane_of(self, kind: str, epoch: int) -> str:
        """Name of the lane that an answer is for; "" when it comes too late."""
        name = kind.removesuffix(_OWN)
        worker = self._worker if name == kind else self._own_worker
        return name if worker.is_current(kind, epoch) else ""

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, item: Step | Hypothesis | Detection) -> None:
        if not (name := self._lane_of(kind, epoch)):
            return
        lane, order = self._lanes[name], self._orders[name]
        if isinstance(item, Detection):
            lane.take_detection(item, self._cursor.node, order.origin)
            self._cursor.follow(name, lane.numbers[-1])
            lane.show(self._cursor.place)
        elif isinstance(item, Step):
            self._take_step(name, lane, order, item)

    def _take_step(self, name: str, lane: Lane, order: Order, step: Step) -> None:
        if name not in self._begun:
            self._told_at = time.monotonic()
            steps: Recording | list[Step] = []  # what a file's functions made cannot be computed again
            if order.functions is None:
                steps = Recording(order.image.gray, order.model, order.initial, order.options, self.budget)
            self._begun[name] = steps
        steps = self._begun[name]
        steps.append(step)
        late = time.monotonic() - self._told_at > _LIVE_SECONDS
        if lane.steps is not steps:
            if order.detection is not None and not (late and self._cursor.node == WHOLE):
                return  # what is shown now stays until all has come, so that nothing flickers
            lane.begin_run(order.initial, order.options, order.origin, steps, order.functions)
        self._cursor.follow(name, step)
        lane.show(self._cursor.place)
        if late:
            self._tell_of_steps()

    def _tell_of_steps(self) -> None:
        self._told_at = time.monotonic()
        self.changed.emit(Aspect.STEPS | Aspect.CURSOR)

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, seconds: float) -> None:
        if name := self._lane_of(kind, epoch):
            del self._orders[name]
            self._begun.pop(name, None)
            self._lanes[name].end_run(seconds)
            self._tell_of_steps()
            self.changed.emit(Aspect.BUSY)
            if problem := self._problems.pop(name, ""):
                self.recovered.emit(problem)
            self.ended.emit(name)
            if not self._all_ready:
                self._all_ready = True
                self._own_worker.submit("kernels", self._make_ready)

    def _make_ready(self) -> Iterator[None]:
        """Compile what starts and tools call but no fit, while nobody waits for it."""
        make_ready(FLOAT64, OF_ROWS, lambda *_: self._own_worker.check())
        return iter(())

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if name := self._lane_of(kind, epoch):
            if self._orders.pop(name).functions is not None and name not in self._begun:
                self._lanes[name].forget_run()  # which was made from something else
            self._begun.pop(name, None)
            self._problems[name] = message
            self._tell_of_steps()
            self.changed.emit(Aspect.BUSY)
            self.failed.emit(message, details)
