"""Changes: the options, starts, look and lanes that a person chooses, all of which can be undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject

from clnf_engine import (
    ClnfError,
    FitOptions,
    Initial,
    Model,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    perturbed,
)
from clnf_engine.initial import Box
from clnf_engine.io.landmarks import read_pts
from clnf_gui.cursor import ALL_ASPECTS, Aspect
from clnf_gui.history import History, LaneSnapshot, Snapshot
from clnf_gui.lane import Origin
from clnf_gui.look import Look
from clnf_gui.video import Video


class Changes(Video):
    """What is chosen of the lanes and the look, and how it was before."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.look = Look()
        self.history = History()

    # --- undo ---------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        lanes = tuple(
            LaneSnapshot(lane.options, lane.base_initial, lane.initial, lane.origin, lane.way)
            for lane in self.lanes.values()
        )
        return Snapshot(lanes, self.frame, self.comparing, self.look)

    def _record(self, kind: str = "") -> None:
        self.history.record(self._snapshot(), kind)

    def _restore(self, snapshot: Snapshot) -> None:
        compared = self.comparing
        self.look, self.comparing = snapshot.look, snapshot.comparing
        if not self.comparing:
            self.active = "A"
        refit, anew = set(), {"B"} if self.comparing and not compared else set()
        for name, new in zip(self.lanes, snapshot.lanes, strict=True):
            lane = self.lanes[name]
            here = self.video is None or (snapshot.frame == self.frame and new.origin is Origin.BY_HAND)
            if here and (lane.base_initial, lane.initial) != (new.base_initial, new.initial):
                lane.base_initial, lane.initial, lane.origin = new.base_initial, new.initial, new.origin
                refit.add(name)
            elif snapshot.frame == self.frame and lane.origin is Origin.BY_HAND and not here:
                anew.add(name)
            if lane.options != new.options:
                refit.add(name)
            if (lane.options, lane.way) != (new.options, new.way):
                lane.options, (lane.tracking, lane.begin, lane.first) = new.options, new.way
                self._forget_track(lane)
        self.changed.emit(ALL_ASPECTS & ~Aspect.SOURCE)
        if refit or self.comparing != compared:
            self._fit_anew(refit, anew)
        elif anew:
            self._take_shot(anew)
        if self.video is not None:
            self._track_on()

    def _fit_anew(self, refit: set[str], anew: set[str]) -> None:
        """Fit lanes with other options or starts; of a video, fit `anew` as tracking does."""
        if self.video is not None:
            self._take_shot(anew)
        for name in self.shown:
            if self.video is None or (name in refit and name not in anew):
                self._refit(name)

    def undo(self) -> None:
        """Take the last change of options, start or look back."""
        if self.history.can_undo:
            self._restore(self.history.undo(self._snapshot()))

    def redo(self) -> None:
        """Bring the last undone change back."""
        if self.history.can_redo:
            self._restore(self.history.redo(self._snapshot()))

    # --- lanes --------------------------------------------------------------------------------

    def set_comparing(self, on: bool) -> None:
        """Show lane B beside lane A, or A alone."""
        if on != self.comparing:
            self._record()
            self.comparing, self.active = on, "A"
            self.changed.emit(Aspect.LANES | Aspect.START | Aspect.OPTIONS | Aspect.STEPS | Aspect.CURSOR)
            self._show_other_lane()

    # --- start --------------------------------------------------------------------------------

    def set_initial(self, initial: Initial) -> None:
        """Start the active lane from `initial`."""
        self._record(f"start {self.active}")
        self.lane.base_initial = self.lane.initial = initial
        self._restart()

    def start_like_a(self) -> None:
        """Let lane B start where A does."""
        lane = self.lanes["B"]
        if lane.initial is not None:
            self._record()
            lane.base_initial = lane.initial = None
            self._restart()

    def start_from_face(self, index: int) -> None:
        """Start from a detected face, counted from the largest."""
        if 0 <= index < len(self.faces):
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
        base = self.lane.base_initial or self.lanes["A"].base_initial
        if self.model is not None and base is not None:
            self._record(f"perturbation {self.active}")
            self.lane.base_initial = base
            self.lane.initial = perturbed(self.model, base, seed, amount) if amount > 0 else base
            self._restart()

    def _start(self, make: Callable[[Model], Initial]) -> None:
        if self.model is None:
            return
        try:
            self.set_initial(make(self.model))
        except ClnfError as error:
            self.failed.emit(str(error), "")

    def _restart(self) -> None:
        """Refit the active lane, and B too where it starts like A."""
        self.set_chasing(False)
        self.changed.emit(Aspect.START)
        for name in self.shown:
            if name == self.active or self.lanes[name].initial is None:
                if self.video is not None:
                    self.lanes[name].origin = Origin.BY_HAND
                self._refit(name)

    # --- options and look -------------------------------------------------------------------------

    def set_options(self, options: FitOptions) -> None:
        """Refit the active lane with other options; the cursor keeps its place."""
        if options != self.lane.options:
            self._record()
            self.lane.options = options
            self.changed.emit(Aspect.OPTIONS)
            self._refit(self.active)
            self._retrack(self.active)

    def set_look(self, look: Look) -> None:
        """Show things another way."""
        if look != self.look:
            self._record()
            self.look = look
            self.changed.emit(Aspect.LOOK)
