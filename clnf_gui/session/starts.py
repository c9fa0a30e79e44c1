"""Starts: where the runs of the lanes start, and every way in which a person chooses that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from clnf_engine import (
    ClnfError,
    Initial,
    Model,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    perturbed,
    turned,
)
from clnf_engine.errors import LandmarkFileError
from clnf_engine.initial import Box, Rotation, upright_box
from clnf_engine.io.landmarks import read_pts
from clnf_gui.session.choices import Start
from clnf_gui.session.lanes import Lanes
from clnf_gui.session.scene import Scene

_BOX, _TURN, _PERTURBATION = "box", "turn", "perturbation"
"""Kinds of which a run, such as a drag, is undone as one."""


class Starts(QObject):
    """Gives the active lane another start."""

    chosen = Signal(object, str)
    """Choices with another start, and their kind."""
    failed = Signal(str, str)

    def __init__(self, lanes: Lanes, scene: Scene, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lanes, self._scene = lanes, scene

    # --- where runs start ---------------------------------------------------------------------

    def of(self, name: str) -> Start | None:
        """Where a lane's run is to start now; None when there is nothing to start from."""
        frame = self._scene.frame
        offered = self._scene.start if frame is None else self._lanes[name].initial
        return self.given(name) or (None if offered is None else Start(offered, offered, frame))

    def given(self, name: str) -> Start | None:
        """The start that a person gave a lane, for the picture that is shown."""
        return self._lanes.choices.start(name, self._scene.frame)

    @property
    def now(self) -> Start | None:
        """That of the active lane."""
        return self.of(self._lanes.choices.active)

    def upright_box(self, initial: Initial) -> Box:
        """The box of a start before it is turned about the box's centre; its own where no model can tell."""
        model = self._scene.model
        if model is None or initial.params.shape != (6 + model.pdm.n_modes,):
            return initial.box
        return upright_box(model, initial)

    # --- choosing -----------------------------------------------------------------------------

    def set(self, initial: Initial, base: Initial | None = None, kind: str = "") -> None:
        """Start the active lane from `initial`, which a perturbation may have made of `base`.

        A run of starts of one kind is undone as one; with an empty kind this one is undone by itself.
        """
        choices = self._lanes.choices
        start = Start(base or initial, initial, self._scene.frame)
        self.chosen.emit(choices.with_lane(choices.active, start=start), kind and f"{kind} {choices.active}")

    def offer(self, initial: Initial) -> None:
        """The same for a start that was found somewhere, if it is one of the whole face."""
        model = self._scene.model
        if model is not None and initial.params.shape == (6 + model.pdm.n_modes,):
            self.set(initial)
        else:
            self.failed.emit("this is a start of a part, which always starts from the fit of the whole face", "")

    def like_a(self) -> None:
        """Let lane B start where A does."""
        self.chosen.emit(self._lanes.choices.with_lane("B", start=None), "")

    def from_face(self, index: int) -> None:
        """Start from a detected face, counted from the likeliest."""
        if 0 <= index < len(self._scene.faces):
            self.set(self._scene.faces[index])

    def from_box(self, box: Box) -> None:
        """Start from the mean shape in an upright box, (x, y, width, height) in image px, turned as it is now."""
        rotation = (0.0, 0.0, 0.0) if self.now is None else self.now.initial.rotation
        self._make(lambda model: turned(model, initial_from_box(model, box), rotation), _BOX)

    def turn(self, rotation: Rotation) -> None:
        """Give the start another head rotation, (rx, ry, rz) in radians; a perturbation is turned with it."""
        start, model = self.now, self._scene.model
        if model is None or start is None or start.initial.rotation == rotation:
            return
        try:
            base = turned(model, start.base, rotation)
            initial = base if start.initial is start.base else turned(model, start.initial, rotation)
        except ClnfError as error:
            self.failed.emit(str(error), "")
        else:
            self.set(initial, base, _TURN)

    def roll(self, angle: float) -> None:
        """Turn the start to an angle in the image, radians, clockwise where positive; pitch and yaw stay."""
        if self.now is not None:
            pitch, yaw, _ = self.now.initial.rotation
            self.turn((pitch, yaw, angle))

    def from_landmarks(self, path: str | Path) -> None:
        """Start from the landmarks of a ``.pts`` file."""

        def make(model: Model) -> Initial:
            points = read_pts(path)
            try:
                return initial_from_landmarks(model, points)
            except ClnfError as error:
                raise LandmarkFileError(path, "", str(error)) from error

        self._make(make)

    def from_result(self) -> None:
        """Start from the parameters the run ended with."""
        lane = self._lanes.active
        if lane.complete:
            params = lane.params
            self._make(lambda model: initial_from_params(model, params))

    def perturb(self, seed: int, amount: float) -> None:
        """Perturb the chosen start; an amount of 0 takes the perturbation back."""
        start, model = self.now, self._scene.model
        if model is not None and start is not None:
            initial = perturbed(model, start.base, seed, amount) if amount > 0 else start.base
            self.set(initial, start.base, _PERTURBATION)

    def _make(self, make: Callable[[Model], Initial], kind: str = "") -> None:
        if self._scene.model is None:
            return
        try:
            self.set(make(self._scene.model), kind=kind)
        except ClnfError as error:
            self.failed.emit(str(error), "")
