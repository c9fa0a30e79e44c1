"""Live: a port that is followed while it runs, and held."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal, Slot

from clnf_engine import ClnfError, Model
from clnf_engine.checking.other_model import other_model
from clnf_engine.diagnostics.completed import Completion
from clnf_engine.live.follower import Follower
from clnf_engine.live.server import LiveServer, LiveState
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.choices import Recorded
from clnf_gui.session.scene import Scene
from clnf_gui.worker import Worker

COMPUTING = "the port is still computing it"
"""Why a run that is followed is no run of the engine."""

_READ_SECONDS = 0.1
"""Between two looks into the folder of a port that runs; that of one that is held is read at once."""
_QUIET_MS = 400
"""A run to which nothing has been added for so long has ended, if it says so or its port is gone."""
_READ = "read"


class _Reading:
    """A folder that is read while it is written; for one thread at a time."""

    def __init__(self, folder: str, model: Model | None) -> None:
        self._follower, self._model, self._completion = Follower(folder), model, Completion(model)

    def more(self) -> Iterator[Recorded]:
        """The run as it is by now, if it has anything new."""
        trace = self._follower.poll()
        if trace is not None:
            steps = self._completion.of(trace.steps)
            other = "No model is open." if self._model is None else other_model(trace, self._model)
            yield Recorded(self._follower.folder, trace, steps, COMPUTING, other, live=True)


@dataclass(frozen=True)
class _Place:
    """Which fit is read: of which port, in which folder."""

    port: int
    folder: str


class Live(QObject):
    """Listens for a port, reads what it writes in a thread of its own, and lets it go on.

    Whoever hears `arrived` shows the run or lets it wait, and keeps it as `shown` or `waiting`.

    Attributes
    ----------
    shown : Recorded or None
        The run of the port that is shown.
    waiting : Recorded or None
        A newer one, while a person looks at an earlier step of the one that is shown.
    running : bool
        Whether the port runs to a stop condition.
    """

    changed = Signal(Aspect)
    told = Signal(str)
    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""
    arrived = Signal(object)
    """Recorded: the run as it is by now."""
    ended = Signal(object)
    """The Recorded that is shown, to which nothing more will be added."""
    _heard = Signal()

    def __init__(self, scene: Scene, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._scene = scene
        self._server: LiveServer | None = None
        self._worker: Worker | None = None
        self._heard.connect(self._on_heard)
        self._wait = QTimer(self, singleShot=True)
        self._wait.timeout.connect(self._read)
        self._quiet = QTimer(self, singleShot=True, interval=_QUIET_MS)
        self._quiet.timeout.connect(self._look_for_end)
        self._forget()

    def _forget(self) -> None:
        self.shown: Recorded | None = None
        self.waiting: Recorded | None = None
        self.running = False
        self._place: _Place | None = None
        self._reading: _Reading | None = None
        self._read_for = LiveState(connected=False)
        self._problem: tuple[str, str] | None = None
        """What is wrong with the folder, unless it is just being begun anew."""
        self._went: LiveState | None = None
        """The state in which the port was last told to go on; there is no answer while it is the newest."""
        self._unread = self._busy = self._holding = False
        self._ignored = 0
        self._read_at = 0.0

    # --- what is known ------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """What a port connects to; "" while nobody listens."""
        return "" if self._server is None else self._server.address

    @property
    def state(self) -> LiveState:
        """What was heard last of the port that is followed."""
        state = LiveState(connected=False) if self._server is None else self._server.state
        return LiveState(connected=False) if state.port == self._ignored else state

    @property
    def connected(self) -> bool:
        """Whether a port is followed that can be reached."""
        return self.state.connected

    @property
    def held(self) -> bool:
        """Whether the port waits to be told to go on."""
        state = self.state
        return state.held and state is not self._went

    @property
    def holding(self) -> bool:
        """Whether the port is to wait after its steps."""
        return self.connected and (self._holding or self.state.held)

    def set_shown(self, recorded: Recorded) -> None:
        """Say which run of the port the window shows."""
        self.shown = recorded

    def set_waiting(self, recorded: Recorded | None) -> None:
        """Say which run is to be shown once the one before has been seen to its end."""
        self.waiting = recorded

    # --- listening ----------------------------------------------------------------------------

    def listen(self) -> None:
        """Begin to listen; a port that was let go of is followed again."""
        self._ignored = 0
        if self._server is None:
            try:
                self._server = LiveServer(lambda _: self._heard.emit())
            except ClnfError as error:
                self.failed.emit(str(error), "")
                return
            self._worker = Worker("clnf-live")
            self._worker.produced.connect(self._on_read)
            self._worker.finished.connect(self._on_finished)
            self._worker.failed.connect(self._on_failed)
        self._on_heard()

    def stop(self) -> None:
        """Listen no more; a port that is held goes on, and what was received stays."""
        shown = self.shown
        self.shut_down()
        self._forget()
        if shown is not None:
            self.ended.emit(shown)
        self.changed.emit(Aspect.LIVE)

    def shut_down(self) -> None:
        """Let the port go on and end the threads."""
        self._wait.stop()
        self._quiet.stop()
        if self._server is not None and self._worker is not None:
            self._server.close()
            self._worker.shut_down()
        self._server = self._worker = None

    def let_be(self) -> None:
        """Follow the port that is shown no more, as something else has been opened; another one will be."""
        if self.shown is not None and self._server is not None:
            state = self.state
            self._server.hold(False)
            self._give_up()
            self._forget()
            self._ignored = state.port
            if state.connected:
                self.told.emit("the port is not followed any more: it runs on; Follow a port shows it again")
            self.changed.emit(Aspect.LIVE)

    def read_anew(self) -> None:
        """Read the run once more, as it looks with the model that is now open."""
        self._give_up()
        self._place = self._reading = self.shown = self.waiting = None
        self._on_heard()

    def _give_up(self) -> None:
        """Take nothing of what is being read."""
        if self._worker is not None:
            self._worker.cancel(_READ)
        self._busy = False

    # --- holding ------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let the port wait after its next step."""
        self._tell(hold=True)

    def step(self) -> None:
        """Let a held port compute one step."""
        self.running = False
        self._go_on()

    def run(self) -> None:
        """Let the port compute step by step, until `pause`."""
        self._tell(hold=True)
        self.running = self.connected
        self._go_on()

    def pause(self) -> None:
        """Let the port wait where it is."""
        self.running = False

    def let_go(self) -> None:
        """Let the port run."""
        self._tell(hold=False)

    def _tell(self, hold: bool) -> None:
        if self._server is not None:
            self.running, self._holding = False, hold
            self._server.hold(hold)
            self.changed.emit(Aspect.LIVE)

    def _go_on(self) -> None:
        """Once for everything that is heard: a port that was told already is computing."""
        if self._server is not None and self.held:
            self._went = self.state
            self._server.go(1)
            self.changed.emit(Aspect.LIVE)

    # --- reading ------------------------------------------------------------------------------

    @Slot()
    def _look_for_end(self) -> None:
        """Nothing has come for a while: say so of a run to which nothing more will be added, and of what is wrong."""
        shown, problem, self._problem = self.shown, self._problem, None
        if problem is not None:
            self.failed.emit(*problem)
        if shown is None or not shown.live:
            return
        if shown.trace.complete or not self.connected:
            self.ended.emit(shown)

    @Slot()
    def _on_heard(self) -> None:
        if self._server is not None:
            self._unread = True
            self._read_soon()

    def _read_soon(self) -> None:
        if self._busy or not self._unread:
            return
        state, rest = self.state, self._read_at + _READ_SECONDS - time.monotonic()
        if state.held or not state.connected or rest <= 0:
            self._read()
        elif not self._wait.isActive():
            self._wait.start(round(1000 * rest) + 1)

    @Slot()
    def _read(self) -> None:
        self._wait.stop()
        if self._worker is None or self._busy:
            return
        state, self._unread, self._read_at = self.state, False, time.monotonic()
        if not state.folder:
            self.changed.emit(Aspect.LIVE)
            return
        place, before, readings = _Place(state.port, state.folder), self._place, [self._reading]
        if place != before:
            if before is not None and before.folder == place.folder:  # it was begun anew
                readings = []
            self._place, self._reading, self._problem = place, _Reading(state.folder, self._scene.model), None
            readings.append(self._reading)
        self._busy, self._read_for = True, state
        self._worker.submit(
            _READ, lambda: (one for reading in readings if reading is not None for one in reading.more())
        )

    def _is_current(self, kind: str, epoch: int) -> bool:
        return self._worker is not None and self._worker.is_current(kind, epoch)

    @Slot(str, int, object)
    def _on_read(self, kind: str, epoch: int, recorded: Recorded) -> None:
        if not self._is_current(kind, epoch):
            return
        self.arrived.emit(recorded)
        self._quiet.start()

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, _: float) -> None:
        if not self._is_current(kind, epoch):
            return
        self._busy = False
        if self.running and self.state is self._read_for:
            self._go_on()
        if not self.connected:
            self.running = self._holding = False
            self._quiet.start()
        self.changed.emit(Aspect.LIVE)
        self._read_soon()

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if not self._is_current(kind, epoch):
            return
        self._busy, self._reading, self.running = False, None, False
        self._problem = message, details
        self._quiet.start()
        self._read_soon()


def same_run(a: Recorded, b: Recorded) -> bool:
    """Whether two runs were recorded to one folder of one picture, as those of a port that is started again are."""
    return a.path == b.path and np.array_equal(a.trace.image, b.trace.image)
