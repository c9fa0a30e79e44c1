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
    Initial,
    Model,
    Trace,
    first_divergence,
    initial_from_params,
    initials_from_detector,
    load_model,
)
from clnf_engine.deviations import DEVIATIONS, without_deviations
from clnf_engine.diagnostics.finding import Finding, Link
from clnf_engine.diagnostics.tools import Tool
from clnf_engine.initial import Box
from clnf_engine.io.images import Image, read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.steps import describe
from clnf_engine.stops import parse_stop
from clnf_gui.changes import Changes
from clnf_gui.cursor import ALL_ASPECTS, START, Aspect
from clnf_gui.lab import Lab, Subject
from clnf_gui.session_file import LaneDocument, SessionDocument
from clnf_gui.video import Opened, opened_video


class Session(Changes):
    """What the window shows. Commands change it; `changed` tells the views.

    There are two lanes, A and B. B runs only while comparing; as long as it has no start of its own it starts where A
    does. The cursor is a place (stage, phase, iteration) that both lanes share.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.selection: int | None = None
        self.truth: NDArray[np.float64] | None = None
        self.lab = Lab(self)
        self.lab.changed.connect(lambda: self.changed.emit(Aspect.LAB))
        self.lab.told.connect(self.told)
        self.lab.failed.connect(self.failed)

    def shut_down(self) -> None:
        """Stop playing and end the threads; the Session cannot be used afterwards."""
        self.lab.shut_down()
        super().shut_down()

    # --- source -------------------------------------------------------------------------------

    def open_model(self, path: str | Path) -> None:
        """Load a model and fit with it."""
        self._submit("model", lambda: _once(lambda: load_model(path)))

    def open_image(self, path: str | Path) -> None:
        """Load an image, find its faces and fit the largest."""
        self._submit("image", lambda: _once(lambda: read_image(path)))

    # --- lanes --------------------------------------------------------------------------------

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
        return SessionDocument(
            model=self.model.path,
            image=self.image.path,
            lanes=tuple(LaneDocument.of(lane) for lane in self.lanes.values()),
            comparing=self.comparing,
            active=self.active,
            place=self.place,
            look=self.look,
            selection=self.selection,
            stops=tuple(stop.text for stop in self.stops),
            frame=self.still,
        )

    def open_document(self, document: SessionDocument) -> None:
        """Open what a session file holds."""

        def load() -> Iterator[tuple[SessionDocument, Model, Image | Opened, tuple[Initial, ...]]]:
            model = load_model(document.model)
            for lane in document.lanes:
                for initial in filter(None, (lane.initial, lane.first)):
                    initial_from_params(model, initial.params)
            if document.frame is not None:
                for opened in opened_video(document.image):
                    yield document, model, opened, ()
            else:
                image = read_image(document.image)
                yield document, model, image, tuple(initials_from_detector(model, image.gray))

        self._submit("session", load)

    def _set_document(
        self, document: SessionDocument, model: Model, source: Image | Opened, faces: tuple[Initial, ...]
    ) -> None:
        self._close_video()
        self._set_source(model, detect=False)
        if isinstance(source, Image):
            self._set_source(source, detect=False)
            self.faces = faces
        else:
            self._set_video(source, document.frame)
        self.comparing, self.active = document.comparing, document.active
        self.look, self.selection, self.place = document.look, document.selection, document.place
        self.stops = tuple(parse_stop(text) for text in document.stops)
        for lane, kept in zip(self.lanes.values(), document.lanes, strict=True):
            lane.options, lane.base_initial, lane.initial = kept.options, kept.base_initial, kept.initial
            lane.tracking, lane.begin, lane.first = kept.tracking, kept.begin, kept.first
            self._forget_track(lane)
        self.changed.emit(ALL_ASPECTS)
        self._take_shot(self.lanes)
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
        lane.fit_options = trace.options
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

    # --- selection ----------------------------------------------------------------------------

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
            self._record()
            b.options, b.base_initial, b.initial = options, None, None
            (b.tracking, b.begin, b.first), b.origin = a.way, a.origin
            self.comparing = True
            self._refit("B")
            self._retrack("B")
        self.active = "B"
        self.changed.emit(Aspect.LANES | Aspect.START | Aspect.OPTIONS | Aspect.STEPS | Aspect.CURSOR)
        self.told.emit(f"lane B is lane A with no deviation but {name}")

    # --- answers ------------------------------------------------------------------------------

    def _receive(self, kind: str, item: Any) -> None:
        take: dict[str, Callable[..., None]] = {
            "faces": self._set_faces,
            "model": self._set_source,
            "image": self._set_source,
            "video": self._show_video,
            "shot": self._set_shot,
            "close": self._set_closed,
        }
        if kind == "session":
            self._set_document(*item)
        elif kind == "trace":
            self._set_trace(*item)
        else:
            take[kind](item)

    def _detect(self) -> None:
        """Find the faces of the image, which needs a model to place them."""
        if self.image is not None and self.model is not None:
            image, model = self.image.gray, self.model
            self._submit("faces", lambda: _once(lambda: tuple(initials_from_detector(model, image))))

    def _set_picture(self, image: Image) -> None:
        self._close_video()
        self.image, self.truth = image, None
        self._forget_everything()

    def _set_source(self, source: Model | Image, detect: bool = True) -> None:
        if isinstance(source, Image):
            self._set_picture(source)
        else:
            self.model = source
            self._forget_everything()
            for lane in self.lanes.values():
                self._forget_track(lane)
        if detect:
            self.changed.emit(ALL_ASPECTS)
            if self.video is None:
                self._detect()
            else:
                self._take_shot(self.lanes)
                self._track_on()

    def _forget_everything(self) -> None:
        """Whatever belongs to a model and an image that are no longer open."""
        self._forget_runs()
        self.faces, self.selection, self.active, self.place = (), None, "A", START
        self.history.clear()

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
