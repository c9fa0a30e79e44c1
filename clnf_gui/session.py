"""Session: the photo, the model, the lanes, the cursor and the look; the one place that holds state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject

from clnf_engine import (
    ClnfError,
    FitOptions,
    Initial,
    Model,
    Trace,
    first_divergence,
    initial_from_box,
    initial_from_landmarks,
    initial_from_params,
    initials_from_detector,
    load_model,
    perturbed,
)
from clnf_engine.deviations import DEVIATIONS, without_deviations
from clnf_engine.diagnostics.finding import Finding, Link
from clnf_engine.diagnostics.tools import Tool
from clnf_engine.initial import Box
from clnf_engine.io.images import Image, read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.steps import describe
from clnf_engine.stops import parse_stop
from clnf_gui.cursor import ALL_ASPECTS, START, Aspect
from clnf_gui.history import History, Snapshot
from clnf_gui.lab import Lab, Subject
from clnf_gui.look import Look
from clnf_gui.runs import Runs
from clnf_gui.session_file import LaneDocument, SessionDocument


class Session(Runs):
    """What the window shows. Commands change it; `changed` tells the views.

    There are two lanes, A and B. B runs only while comparing; as long as it has no start of its own it starts where A
    does. The cursor is a place (stage, phase, iteration) that both lanes share.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.faces: tuple[Initial, ...] = ()
        self.look = Look()
        self.selection: int | None = None
        self.truth: NDArray[np.float64] | None = None
        self.history = History()
        self.lab = Lab(self)
        self.lab.changed.connect(lambda: self.changed.emit(Aspect.LAB))
        self.lab.told.connect(self.told)
        self.lab.failed.connect(self.failed)

    def shut_down(self) -> None:
        """Stop playing and end the threads; the Session cannot be used afterwards."""
        self.lab.shut_down()
        super().shut_down()

    # --- undo ---------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        lanes = self.lanes.values()
        return Snapshot(
            tuple(lane.options for lane in lanes),
            tuple((lane.base_initial, lane.initial) for lane in lanes),
            self.comparing,
            self.look,
        )

    def _restore(self, snapshot: Snapshot) -> None:
        before = self._snapshot()
        self.look, self.comparing = snapshot.look, snapshot.comparing
        if not self.comparing:
            self.active = "A"
        for lane, options, start in zip(self.lanes.values(), snapshot.options, snapshot.starts, strict=True):
            lane.options, (lane.base_initial, lane.initial) = options, start
        self.changed.emit(ALL_ASPECTS & ~Aspect.SOURCE)
        if (before.options, before.starts, before.comparing) != (snapshot.options, snapshot.starts, snapshot.comparing):
            for name in self.shown:
                self._refit(name)

    def undo(self) -> None:
        """Take the last change of options, start or look back."""
        if self.history.can_undo:
            self._restore(self.history.undo(self._snapshot()))

    def redo(self) -> None:
        """Bring the last undone change back."""
        if self.history.can_redo:
            self._restore(self.history.redo(self._snapshot()))

    # --- source -------------------------------------------------------------------------------

    def open_model(self, path: str | Path) -> None:
        """Load a model and fit with it."""
        self._submit("model", lambda: _once(lambda: load_model(path)))

    def open_image(self, path: str | Path) -> None:
        """Load an image, find its faces and fit the largest."""
        self._submit("image", lambda: _once(lambda: read_image(path)))

    # --- lanes --------------------------------------------------------------------------------

    def set_comparing(self, on: bool) -> None:
        """Show lane B beside lane A, or A alone."""
        if on != self.comparing:
            self.history.record(self._snapshot(), "")
            self.comparing, self.active = on, "A"
            self.changed.emit(Aspect.LANES | Aspect.START | Aspect.OPTIONS | Aspect.STEPS | Aspect.CURSOR)
            if on:
                self._refit("B")

    def set_active(self, name: str) -> None:
        """Choose the lane that options and start apply to."""
        if name in self.shown and name != self.active:
            self.active = name
            self.changed.emit(Aspect.LANES | Aspect.START | Aspect.OPTIONS | Aspect.CURSOR)

    def go_to_divergence(self) -> None:
        """Move the cursor to where the lanes first part, and tell which array differs and by how much."""
        a, b = self.trace("A"), self.trace("B")
        if not self.comparing or a is None or b is None:
            return
        found = first_divergence(a, b)
        if found is None:
            self.told.emit("A and B are identical, bit for bit")
            return
        step = found.step_a or found.step_b
        assert step is not None
        self.move_to(step.place)
        what = f"{found.array} differs by {found.difference:.3g}" if found.array else "one run has no such step"
        self.told.emit(f"A and B first part at {describe(step)}: {what}")

    def document(self) -> SessionDocument | None:
        """What a session file holds of this Session; None before a model and an image are open."""
        if self.model is None or self.model.path is None or self.image is None:
            return None
        lanes = self.lanes.values()
        return SessionDocument(
            model=self.model.path,
            image=self.image.path,
            lanes=tuple(LaneDocument(lane.options, lane.base_initial, lane.initial) for lane in lanes),
            comparing=self.comparing,
            active=self.active,
            place=self.place,
            look=self.look,
            selection=self.selection,
            stops=tuple(stop.text for stop in self.stops),
        )

    def open_document(self, document: SessionDocument) -> None:
        """Open what a session file holds."""

        def load() -> tuple[SessionDocument, Model, Image, tuple[Initial, ...]]:
            model, image = load_model(document.model), read_image(document.image)
            for lane in document.lanes:
                if lane.initial is not None:
                    initial_from_params(model, lane.initial.params)
            return document, model, image, tuple(initials_from_detector(model, image.gray))

        self._submit("session", lambda: _once(load))

    def _set_document(self, document: SessionDocument, model: Model, image: Image, faces: tuple[Initial, ...]) -> None:
        self._set_source(model, detect=False)
        self._set_source(image, detect=False)
        self.faces, self.comparing, self.active = faces, document.comparing, document.active
        self.look, self.selection, self.place = document.look, document.selection, document.place
        self.stops = tuple(parse_stop(text) for text in document.stops)
        for lane, kept in zip(self.lanes.values(), document.lanes, strict=True):
            lane.options, lane.base_initial, lane.initial = kept.options, kept.base_initial, kept.initial
        self.changed.emit(ALL_ASPECTS)
        for name in self.shown:
            self._refit(name)

    def open_trace(self, path: str | Path) -> None:
        """Show a saved run in lane A; it can be run anew once its model is open."""
        self._submit("trace", lambda: _once(lambda: (Path(path), Trace.load(path))))

    def _set_trace(self, path: Path, trace: Trace) -> None:
        rgb = np.ascontiguousarray(np.repeat(trace.image[:, :, None], 3, axis=2))
        self._set_source(Image(path, rgb, trace.image), detect=False)
        lane = self.lanes["A"]
        lane.options, lane.base_initial, lane.initial = trace.options, trace.initial, trace.initial
        lane.steps, lane.complete, lane.seconds = list(trace.steps), trace.complete, 0.0
        self.comparing = False
        lane.show(self.place)
        self.changed.emit(ALL_ASPECTS)
        self.told.emit(f"{path}: a saved run of {trace.model_name}; changing an option runs it anew")

    def open_truth(self, path: str | Path) -> None:
        """Load the true landmarks of the image from a ``.pts`` file, to be shown and measured against."""
        try:
            self.truth = read_pts(path)
        except ClnfError as error:
            self.failed.emit(str(error), "")
            return
        self.changed.emit(Aspect.TRUTH)

    # --- start --------------------------------------------------------------------------------

    def set_initial(self, initial: Initial) -> None:
        """Start the active lane from `initial`."""
        self.history.record(self._snapshot(), f"start {self.active}")
        self.lane.base_initial = self.lane.initial = initial
        self._restart()

    def start_like_a(self) -> None:
        """Let lane B start where A does."""
        lane = self.lanes["B"]
        if lane.initial is not None:
            self.history.record(self._snapshot(), "")
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
            self.history.record(self._snapshot(), f"perturbation {self.active}")
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
        self.changed.emit(Aspect.START)
        for name in self.shown:
            if name == self.active or self.lanes[name].initial is None:
                self._refit(name)

    # --- options, look, selection -------------------------------------------------------------

    def set_options(self, options: FitOptions) -> None:
        """Refit the active lane with other options; the cursor keeps its place."""
        if options != self.lane.options:
            self.history.record(self._snapshot(), "")
            self.lane.options = options
            self.changed.emit(Aspect.OPTIONS)
            self._refit(self.active)

    def set_look(self, look: Look) -> None:
        """Show things another way."""
        if look != self.look:
            self.history.record(self._snapshot(), "")
            self.look = look
            self.changed.emit(Aspect.LOOK)

    def select(self, landmark: int | None) -> None:
        """Select a landmark everywhere."""
        if landmark != self.selection:
            self.selection = landmark
            self.changed.emit(Aspect.SELECTION)

    # --- lab ----------------------------------------------------------------------------------

    def subject(self) -> Subject | None:
        """What the Lab's tools would look at now; None before there is a run."""
        trace, other = self.trace("A"), self.trace("B") if self.comparing else None
        return None if trace is None or self.model is None else Subject(trace, self.model, other)

    @property
    def can_diagnose(self) -> bool:
        """Whether the runs that are shown are finished."""
        return self.model is not None and all(self.finished(name) for name in self.shown)

    def diagnose(self, names: Iterable[str]) -> None:
        """Run tools of the Lab on the runs that are shown."""
        subject = self.subject()
        if subject is not None and self.can_diagnose:
            self.lab.run(names, subject)

    def findings(self) -> tuple[tuple[Tool, Finding], ...]:
        """What the Lab has found in the runs that are shown."""
        subject = self.subject()
        return () if subject is None else self.lab.findings(subject)

    def follow(self, link: Link) -> None:
        """Go to what a row of a finding is about: select a landmark, try a deviation, or move the cursor."""
        if isinstance(link, int):
            if self.model is not None and link < self.model.n_landmarks:
                self.select(link)
        elif isinstance(link, str):
            self.try_deviation(link)
        else:
            self.move_to(link)

    def try_deviation(self, name: str) -> None:
        """Compare lane A with a lane B that has A's start and options, but exactly one deviation."""
        a, b, deviation = self.lanes["A"], self.lanes["B"], DEVIATIONS[name]
        value = getattr(a.options, name) if deviation.on(a.options) else deviation.value
        options = replace(without_deviations(a.options), **{name: value})
        if not self.comparing or b.initial is not None or b.options != options:
            self.history.record(self._snapshot(), "")
            b.options, b.base_initial, b.initial = options, None, None
            self.comparing = True
            self._refit("B")
        self.active = "B"
        self.changed.emit(Aspect.LANES | Aspect.START | Aspect.OPTIONS | Aspect.STEPS | Aspect.CURSOR)
        self.told.emit(f"lane B is lane A with no deviation but {name}")

    # --- answers ------------------------------------------------------------------------------

    def _receive(self, kind: str, item: Any) -> None:
        if kind == "faces":
            self._set_faces(item)
        elif kind == "session":
            self._set_document(*item)
        elif kind == "trace":
            self._set_trace(*item)
        else:
            self._set_source(item)

    def _detect(self) -> None:
        """Find the faces of the image, which needs a model to place them."""
        if self.image is not None and self.model is not None:
            image, model = self.image.gray, self.model
            self._submit("faces", lambda: _once(lambda: tuple(initials_from_detector(model, image))))

    def _set_source(self, source: Model | Image, detect: bool = True) -> None:
        if isinstance(source, Model):
            self.model = source
        else:
            self.image, self.truth = source, None
        self._forget_runs()
        self.faces, self.selection, self.active, self.place = (), None, "A", START
        self.history.clear()
        if detect:
            self.changed.emit(ALL_ASPECTS)
            self._detect()

    def _set_faces(self, faces: tuple[Initial, ...]) -> None:
        self.faces = faces
        if faces:
            self.set_initial(faces[0])
            self.history.clear()
        elif self.image is not None and self.model is not None:
            self.start_from_box(_middle_box(self.image))
            self.failed.emit(
                f"{self.image.path}: no face found; the fit starts from a box in the middle, "
                "to be moved under Initialization",
                "",
            )


def _once(make: Callable[[], Any]) -> Iterator[Any]:
    yield make()


def _middle_box(image: Image) -> Box:
    """A square in the middle of an image, half as large as its smaller side."""
    height, width = image.gray.shape
    side = max(min(height, width) / 2, 1.0)
    return ((width - side) / 2, (height - side) / 2, side, side)
