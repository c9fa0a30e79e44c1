"""Opener: opens files in the background, one after the other; a newer one takes the place of what it replaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Flag, auto
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import (
    Initial,
    Model,
    Trace,
    VideoSource,
    initial_from_params,
    initials_from_detector,
    load_model,
    open_video,
)
from clnf_engine.arrays import FLOAT64
from clnf_engine.checking.other_model import other_model
from clnf_engine.diagnostics.completed import completed_steps
from clnf_engine.diagnostics.foreign import foreign
from clnf_engine.imports.sources import import_trace
from clnf_engine.io.frames import Frame
from clnf_engine.io.images import Image, read_image
from clnf_engine.io.landmarks import read_pts
from clnf_engine.kernels.ready import make_ready
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.choices import Choices, Recorded
from clnf_gui.session.document import SessionDocument, read_session
from clnf_gui.worker import Job, Worker

_KEPT_FRAMES = 12
"""A person who steps back comes by those before; more would only take memory."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A video and its first frame that decodes."""

    source: VideoSource
    frame: Frame


@dataclass(frozen=True, eq=False)
class Restored:
    """What a session file names, opened.

    Attributes
    ----------
    document : SessionDocument
    choices : Choices
        Those of the document, with its recorded runs.
    model : Model
    picture : Image or Clip
    faces : tuple of Initial
        Detected in the image; none of a video.
    truth : (n, 2) float64 or None
    """

    document: SessionDocument
    choices: Choices
    model: Model
    picture: Image | Clip
    faces: tuple[Initial, ...]
    truth: Any


@dataclass(frozen=True, eq=False)
class Faces:
    """The starts that the detector found, and what it looked at."""

    image: Image
    model: Model
    initials: tuple[Initial, ...]


@dataclass(frozen=True, eq=False)
class Ended:
    """The run of a port to which nothing more will be added, as `Recorded` for good."""

    recorded: Recorded


Opened = Model | Image | Clip | Recorded | Restored | Faces | Ended


class _Brings(Flag):
    """What of the scene an opening replaces."""

    MODEL = auto()
    PICTURE = auto()
    FACES = auto()
    RUN = auto()
    """Whatever is opened, faces that are still being looked for are out of date, and so is the run of a port."""


@dataclass(frozen=True, eq=False)
class _Opening:
    kind: str
    what: str
    brings: _Brings
    job: Job


class Opener(QObject):
    """Opens one thing at a time, in the order they were asked for.

    What a newer opening would replace anyway is given up: it is taken from the queue, or, when it is under way, left to
    end in a thread of its own, so that nothing waits for a huge photo that nobody wants any more.
    """

    opened = Signal(object)
    """One of `Opened`."""
    changed = Signal(Aspect)
    failed = Signal(str, str)
    """A sentence for the person, and details (may be empty)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kinds = count(1)
        self._queue: list[_Opening] = []
        self._running: _Opening | None = None
        self._retired: list[Worker] = []
        self._worker = self._hire()

    @property
    def what(self) -> str:
        """What is being opened, in words; "" when nothing is."""
        return "" if self._running is None else self._running.what

    def open_model(self, path: str | Path) -> None:
        """Load a model."""
        self._open(f"opening model {Path(path).name}", _Brings.MODEL, lambda: _once(lambda: _model(path)))

    def open_image(self, path: str | Path) -> None:
        """Read an image."""
        self._open(f"opening {Path(path).name}", _Brings.PICTURE, lambda: _once(lambda: read_image(path)))

    def open_video(self, path: str | Path) -> None:
        """Open a video, or a folder of images."""
        self._open(f"opening {Path(path).name}", _Brings.PICTURE, lambda: _clips(path))

    def open_trace(self, path: str | Path, model: Callable[[], Model | None]) -> None:
        """Read a saved run, or what another program printed of one, and compare it with the engine's own.

        The engine's own is by the model that is then open.
        """
        read = lambda: _recorded(Path(path), import_trace([path]).trace, model())  # noqa: E731
        self._open(f"opening {Path(path).name}", _Brings.PICTURE, lambda: _once(read))

    def look_again(self, recorded: Recorded, model: Model) -> None:
        """Compare a saved run with the engine's own by another model."""
        again = lambda: _recorded(recorded.path, recorded.trace, model)  # noqa: E731
        self._open(f"opening {recorded.path.name}", _Brings.PICTURE, lambda: _once(again))

    def compare_ended(self, recorded: Recorded, model: Model | None) -> None:
        """Compare the run of a port that has ended with the engine's own."""
        compare = lambda: Ended(_recorded(recorded.path, recorded.trace, model))  # noqa: E731
        self._open(f"comparing {recorded.path.name}", _Brings.RUN, lambda: _once(compare))

    def open_session(self, path: str | Path) -> None:
        """Open everything that a session file names."""
        self._open(f"opening {Path(path).name}", _Brings.MODEL | _Brings.PICTURE, lambda: _restored(Path(path)))

    def open_document(self, what: str, make: Callable[[], tuple[SessionDocument, Model]]) -> None:
        """Open everything that a document names, which `make` gives in the background, with its model."""
        self._open(what, _Brings.MODEL | _Brings.PICTURE, lambda: _opened(*make()))

    def find_faces(self, image: Image, model: Model) -> None:
        """Find the faces of an image, as starts for a model."""
        find = lambda: Faces(image, model, tuple(initials_from_detector(model, image.gray)))  # noqa: E731
        self._open(f"looking for faces in {image.path.name}", _Brings.FACES, lambda: _once(find))

    def cancel(self) -> None:
        """Open nothing of what was asked for."""
        self._queue.clear()
        self._give_up()
        self.changed.emit(Aspect.BUSY)

    def shut_down(self) -> None:
        """Wait for the threads to end; nothing can be opened afterwards."""
        self._queue.clear()
        self._running = None
        for worker in (self._worker, *self._retired):
            worker.shut_down()

    # --- one after the other ------------------------------------------------------------------

    def _open(self, what: str, brings: _Brings, job: Job) -> None:
        replaced = brings | _Brings.FACES | _Brings.RUN
        self._queue = [waiting for waiting in self._queue if waiting.brings not in replaced]
        self._queue.append(_Opening(str(next(self._kinds)), what, brings, job))
        if self._running is not None and self._running.brings in replaced:
            self._give_up()
        self._go_on()

    def _go_on(self) -> None:
        if self._running is None and self._queue:
            self._running = self._queue.pop(0)
            self._worker.submit(self._running.kind, self._running.job)
        self.changed.emit(Aspect.BUSY)

    def _give_up(self) -> None:
        """Let what is under way end by itself, unheard."""
        if self._running is not None:
            self._running = None
            self._worker.retire()
            self._retired = [*(worker for worker in self._retired if not worker.ended), self._worker]
            self._worker = self._hire()

    def _hire(self) -> Worker:
        worker = Worker("clnf-open")
        worker.produced.connect(self._on_produced)
        worker.finished.connect(self._on_finished)
        worker.failed.connect(self._on_failed)
        return worker

    def _is_current(self, kind: str) -> bool:
        """Whether an answer is to what is under way; no two openings share a kind."""
        return self._running is not None and self._running.kind == kind

    @Slot(str, int, object)
    def _on_produced(self, kind: str, _: int, item: Opened) -> None:
        if self._is_current(kind):
            self.opened.emit(item)
        else:
            _close(item)

    @Slot(str, int, float)
    def _on_finished(self, kind: str, _: int, __: float) -> None:
        if self._is_current(kind):
            self._running = None
            self._go_on()

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, _: int, message: str, details: str) -> None:
        if self._is_current(kind):
            self._running = None
            self._go_on()
            self.failed.emit(message, details)


def _once(make: Callable[[], Opened]) -> Iterator[Opened]:
    yield make()


def _model(path: str | Path) -> Model:
    """A model; the kernels of its fits are made ready here, where no view waits for one."""
    model = load_model(path)
    make_ready(FLOAT64)
    return model


def _clips(path: str | Path) -> Iterator[Clip]:
    source = open_video(path)
    source.keep_frames(_KEPT_FRAMES)
    try:
        yield Clip(source, next(source.frames()))
    except BaseException:  # that nobody waits for it any more, too
        source.close()
        raise


def _restored(path: Path) -> Iterator[Restored]:
    document = read_session(path)
    yield from _opened(document, _model(document.model))


def _opened(document: SessionDocument, model: Model) -> Iterator[Restored]:
    for initial in document.initials():
        initial_from_params(model, initial.params)
    truth = None if document.truth is None else read_pts(document.truth)
    choices, pictures = document.choices, []
    for name, file in document.recorded.items():
        recorded = _recorded(file, import_trace([file]).trace, model)
        choices = choices.with_lane(name, recorded=recorded)
        pictures.append(picture_of(recorded))
    if pictures:
        yield Restored(document, choices, model, pictures[0], (), truth)
    elif document.frame is None:
        image = read_image(document.image)
        yield Restored(document, choices, model, image, tuple(initials_from_detector(model, image.gray)), truth)
    else:
        for clip in _clips(document.image):
            yield Restored(document, choices, model, clip, (), truth)


def picture_of(recorded: Recorded) -> Image:
    """The image that a run was recorded of."""
    gray = recorded.trace.image
    return Image(recorded.path, np.ascontiguousarray(np.repeat(gray[:, :, None], 3, axis=2)), gray)


def _recorded(path: Path, trace: Trace, model: Model | None) -> Recorded:
    """A run that was read from a file, as it looks with a model."""
    steps = completed_steps(trace, model)
    if model is None:
        return Recorded(path, trace, steps, other_model="No model is open.")
    return Recorded(path, trace, steps, foreign(trace, model), other_model(trace, model))


def _close(item: Opened) -> None:
    """Close what nobody wants any more."""
    picture = item.picture if isinstance(item, Restored) else item
    if isinstance(picture, Clip):
        picture.source.close()
