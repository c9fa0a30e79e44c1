"""Evaluations: what a checked run recorded of one operation, beside what is recomputed, where the cursor stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import Model, Trace
from clnf_engine.diagnostics.conformance import ConformanceFinding
from clnf_engine.diagnostics.finding import Finding
from clnf_engine.steps import Place, place_text
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.lab import Result
from clnf_gui.worker import Worker

if TYPE_CHECKING:
    from clnf_engine.checking.evaluation import Evaluation

_EVALUATION = "evaluation"
"""Kind of the only jobs."""


class Evaluations(QObject):
    """Recomputes one operation at one step, in a thread of its own: a long tool of the Lab keeps no step waiting.

    Attributes
    ----------
    operation : str
        That is looked at; "" when none is.
    found : Evaluation or None
    note : str
        Why there is none.
    of : str
        The operation that these two are of: the one before, until the next has been recomputed.
    """

    changed = Signal(Aspect)
    failed = Signal(str, str)
    worst_at = Signal(int)
    """The landmark at which an operation that was just chosen is worst."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.operation, self.of, self.note = "", "", ""
        self.found: Evaluation | None = None
        self._asked: tuple[Finding, str, Place] | None = None
        """What `found` is of, or will be."""
        self._just_chosen = False
        self._worker = Worker("clnf-evaluations")
        self._worker.produced.connect(self._on_produced)
        self._worker.failed.connect(self._on_failed)

    def choose(self, operation: str) -> None:
        """Look at an operation."""
        self.operation, self._just_chosen, self._asked = operation, True, None

    def forget(self) -> None:
        """Look at nothing: the run has not been checked, or is another."""
        if self._asked is not None:
            self._worker.cancel(_EVALUATION)
        self.found, self.note, self._asked = None, "", None

    def show(self, result: Result, trace: Trace, model: Model, place: Place) -> None:
        """Recompute the operation that is looked at near a place of a run that was checked, unless that is known."""
        finding = result.finding
        if not isinstance(finding, ConformanceFinding) or not result.strips or not self.operation:
            self.forget()
            return
        here = result.strips[0].place_at(self.operation, place)
        if self._asked == (finding, self.operation, here or place):
            return
        self._asked = finding, self.operation, here or place
        if here is None:
            self._worker.cancel(_EVALUATION)
            self.of, self.found = self.operation, None
            self.note = f"{self.operation} is not recorded at {place_text(place)}."
            return
        operation = self.operation

        def job() -> Iterator[Evaluation | None]:
            yield finding.evaluation(trace, model, operation, here)

        self._worker.submit(_EVALUATION, job)

    def shut_down(self) -> None:
        """End the thread; nothing can be recomputed afterwards."""
        self._worker.shut_down()

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, found: Evaluation | None) -> None:
        if not self._worker.is_current(kind, epoch) or self._asked is None:
            return
        self.of, self.found = self._asked[1], found
        self.note = "" if found is not None else f"{self.of} has no value at a step: it is judged as a whole."
        if self._just_chosen and found is not None and found.landmark is not None:
            self.worst_at.emit(found.landmark)
        self._just_chosen = False
        self.changed.emit(Aspect.LAB)

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(kind, epoch):
            self.failed.emit(message, details)
