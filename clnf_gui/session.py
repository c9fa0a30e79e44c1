"""Session: the photo, the model, the lane, the cursor and the look; the one place that holds state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Flag, auto
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from clnf_engine import (
    ClnfError,
    FitOptions,
    Initial,
    Model,
    Phase,
    Step,
    Trace,
    fit_steps,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    initials_from_detector,
    load_model,
    perturbed,
)
from clnf_engine.initial import Box
from clnf_engine.io.images import Image, read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.steps import Place
from clnf_gui.look import Look
from clnf_gui.worker import Job, Worker


class Aspect(Flag):
    """What of a Session has changed."""

    SOURCE = auto()
    START = auto()
    OPTIONS = auto()
    STEPS = auto()
    CURSOR = auto()
    LOOK = auto()
    SELECTION = auto()
    PLAYING = auto()
    BUSY = auto()


ALL_ASPECTS = ~Aspect(0)


@dataclass
class Lane:
    """A run: its options and the Steps it has produced so far.

    Attributes
    ----------
    options : FitOptions
    steps : list of Step
    complete : bool
        Whether the run has ended.
    seconds : float
        How long it took.
    """

    options: FitOptions = field(default_factory=FitOptions)
    steps: list[Step] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0


class Session(QObject):
    """What the window shows. Commands change it; `changed` tells the views."""

    changed = Signal(Aspect)
    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.model: Model | None = None
        self.image: Image | None = None
        self.faces: tuple[Initial, ...] = ()
        self.initial: Initial | None = None
        self.base_initial: Initial | None = None
        self.lane = Lane()
        self.look = Look()
        self.selection: int | None = None
        self.cursor = 0
        self._wanted: Place = (0, Phase.RESPONSES, None)
        self._fitting_afresh = False
        self._open: set[str] = set()
        self._worker = Worker()
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)
        self._play_timer = QTimer(self)
        self._play_timer.timeout.connect(self._play_on)
        self.set_speed(8.0)

    # --- what is shown ------------------------------------------------------------------------

    @property
    def step(self) -> Step | None:
        """The Step under the cursor."""
        return self.lane.steps[self.cursor] if self.lane.steps else None

    @property
    def busy(self) -> bool:
        """Whether something is being loaded or fitted."""
        return bool(self._open)

    @property
    def playing(self) -> bool:
        """Whether the cursor moves by itself."""
        return self._play_timer.isActive()

    def trace(self) -> Trace | None:
        """The lane's run as a Trace; None before its first Step."""
        if self.image is None or self.model is None or self.initial is None or not self.lane.steps:
            return None
        return Trace(self.image.gray, self.model.name, self.initial, self.lane.options, tuple(self.lane.steps))

    # --- source -------------------------------------------------------------------------------

    def open_model(self, path: str | Path) -> None:
        """Load a model and fit with it."""
        self._submit("model", lambda: _once(lambda: load_model(path)))

    def open_image(self, path: str | Path) -> None:
        """Load an image, find its faces and fit the largest."""
        self._submit("image", lambda: _once(lambda: read_image(path)))

    # --- start --------------------------------------------------------------------------------

    def set_initial(self, initial: Initial) -> None:
        """Start the fit from `initial`."""
        self.base_initial = self.initial = initial
        self._refit(Aspect.START)

    def start_from_face(self, index: int) -> None:
        """Start from a detected face, counted from the largest."""
        if index < len(self.faces):
            self.set_initial(self.faces[index])

    def start_from_box(self, box: Box) -> None:
        """Start from the mean shape in a box, (x, y, width, height) in image px."""
        self._start(lambda model: initial_from_box(model, box))

    def start_from_landmarks(self, path: str | Path) -> None:
        """Start from the landmarks of a ``.pts`` file."""
        self._start(lambda model: initial_from_landmarks(model, read_pts(path)))

    def start_from_result(self) -> None:
        """Start from the parameters the run ended with."""
        if self.lane.complete:
            params = self.lane.steps[-1].params
            self._start(lambda model: initial_from_params(model, params))

    def perturb(self, seed: int, amount: float) -> None:
        """Perturb the chosen start; an amount of 0 takes the perturbation back."""
        if self.model is not None and self.base_initial is not None:
            base = self.base_initial
            self.initial = perturbed(self.model, base, seed, amount) if amount > 0 else base
            self._refit(Aspect.START)

    def _start(self, make: Callable[[Model], Initial]) -> None:
        if self.model is None:
            return
        try:
            self.set_initial(make(self.model))
        except ClnfError as error:
            self.failed.emit(str(error), "")

    # --- options, look, selection -------------------------------------------------------------

    def set_options(self, options: FitOptions) -> None:
        """Refit with other options; the cursor keeps its place."""
        if options != self.lane.options:
            self.lane.options = options
            self._refit(Aspect.OPTIONS)

    def set_look(self, look: Look) -> None:
        """Show things another way."""
        if look != self.look:
            self.look = look
            self.changed.emit(Aspect.LOOK)

    def select(self, landmark: int | None) -> None:
        """Select a landmark everywhere."""
        if landmark != self.selection:
            self.selection = landmark
            self.changed.emit(Aspect.SELECTION)

    # --- cursor -------------------------------------------------------------------------------

    def move_cursor(self, index: int) -> None:
        """Show another Step; an index out of range means the nearest end."""
        if self.lane.steps:
            index = min(max(index, 0), len(self.lane.steps) - 1)
            self._wanted = self.lane.steps[index].place
            if index != self.cursor:
                self.cursor = index
                self.changed.emit(Aspect.CURSOR)

    def move_by_step(self, direction: int) -> None:
        """To the next (+1) or previous (−1) Step."""
        self.move_cursor(self.cursor + direction)

    def move_by_phase(self, direction: int) -> None:
        """To the start of the next phase, or back to the start of this or the previous one."""
        self._move_by(lambda step: step.place[:2], direction)

    def move_by_stage(self, direction: int) -> None:
        """To the start of the next stage, or back to the start of this or the previous one."""
        self._move_by(lambda step: step.place[0], direction)

    def _move_by(self, group: Callable[[Step], Any], direction: int) -> None:
        groups = [group(step) for step in self.lane.steps]
        starts = [k for k, value in enumerate(groups) if k == 0 or value != groups[k - 1]]
        if direction > 0:
            self.move_cursor(next((k for k in starts if k > self.cursor), len(groups) - 1))
        else:
            self.move_cursor(next((k for k in reversed(starts) if k < self.cursor), 0))

    def set_playing(self, on: bool) -> None:
        """Let the cursor move by itself, from the start if it stands at the end."""
        if on and self.cursor >= len(self.lane.steps) - 1:
            self.move_cursor(0)
        if on != self.playing:
            if on:
                self._play_timer.start()
            else:
                self._play_timer.stop()
            self.changed.emit(Aspect.PLAYING)

    def set_speed(self, steps_per_second: float) -> None:
        """How fast it plays."""
        self._play_timer.setInterval(round(1000 / steps_per_second))

    def _play_on(self) -> None:
        self.move_by_step(1)
        if self.cursor >= len(self.lane.steps) - 1:
            self.set_playing(False)

    # --- the worker ---------------------------------------------------------------------------

    def shut_down(self) -> None:
        """Stop playing and end the worker thread; the Session cannot be used afterwards."""
        self._play_timer.stop()
        self._worker.shut_down()

    def _submit(self, kind: str, job: Job) -> None:
        self._worker.submit(kind, job)
        self._open.add(kind)
        self.changed.emit(Aspect.BUSY)

    def _refit(self, aspect: Aspect) -> None:
        self.changed.emit(aspect)
        if self.image is None or self.model is None or self.initial is None:
            return
        image, model, initial, options = self.image.gray, self.model, self.initial, self.lane.options
        self._fitting_afresh = True
        self._submit("fit", lambda: fit_steps(image, model, initial, options))

    def _detect(self) -> None:
        """Find the faces of the image, which needs a model to place them."""
        if self.image is not None and self.model is not None:
            image, model = self.image.gray, self.model
            self._submit("faces", lambda: _once(lambda: tuple(initials_from_detector(model, image))))

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, item: Any) -> None:
        if not self._worker.is_current(kind, epoch):
            return
        if kind == "fit":
            self._append(item)
        elif kind == "faces":
            self._set_faces(item)
        else:
            if kind == "model":
                self.model = item
            else:
                self.image = item
            self.faces, self.initial, self.base_initial, self.lane.steps = (), None, None, []
            self.lane.complete, self.cursor, self.selection = False, 0, None
            self._wanted = (0, Phase.RESPONSES, None)
            self.changed.emit(ALL_ASPECTS)
            self._detect()

    def _set_faces(self, faces: tuple[Initial, ...]) -> None:
        self.faces = faces
        if faces:
            self.set_initial(faces[0])
        elif self.image is not None and self.model is not None:
            self.start_from_box(_middle_box(self.image))
            self.failed.emit(
                f"{self.image.path}: no face found; the fit starts from a box in the middle, "
                "to be moved under Initialization",
                "",
            )

    def _append(self, step: Step) -> None:
        if self._fitting_afresh:
            self._fitting_afresh = False
            self.lane.steps, self.lane.complete = [], False
        self.lane.steps.append(step)
        # Where the run does not come by the wanted place, the nearest moment before it stands in.
        if _order(step.place) <= _order(self._wanted):
            self.cursor = len(self.lane.steps) - 1
        self.changed.emit(Aspect.STEPS | Aspect.CURSOR)

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, seconds: float) -> None:
        if self._worker.is_current(kind, epoch):
            self._open.discard(kind)
            if kind == "fit":
                self.lane.complete, self.lane.seconds = True, seconds
                self.changed.emit(Aspect.STEPS)
            self.changed.emit(Aspect.BUSY)

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(kind, epoch):
            self._open.discard(kind)
            self.changed.emit(Aspect.BUSY)
            self.failed.emit(message, details)


def _once(make: Callable[[], Any]) -> Iterator[Any]:
    yield make()


def _middle_box(image: Image) -> Box:
    """A square in the middle of an image, half as large as its smaller side."""
    height, width = image.gray.shape
    side = max(min(height, width) / 2, 1.0)
    return ((width - side) / 2, (height - side) / 2, side, side)


def _order(place: Place) -> tuple[float, int, int]:
    """Sorts places in the order a fit comes by them."""
    stage, phase, iteration = place
    if stage is None:
        return (-1.0 if phase is Phase.INITIAL else math.inf, 0, 0)
    return (stage, list(Phase).index(phase), iteration or 0)
