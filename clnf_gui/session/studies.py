"""Studies: the results of a study that is looked at, and how a face of it comes into the lanes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal, Slot

from clnf_engine import Initial, Model, Phase
from clnf_engine.arrays import FLOAT64
from clnf_engine.errors import FileError
from clnf_engine.io.files import write_file
from clnf_engine.io.images import image_bytes
from clnf_engine.kernels.ready import make_ready
from clnf_engine.library import find_model
from clnf_engine.steps import Place
from clnf_engine.studies.agreements import Landmarks
from clnf_engine.studies.columns import Columns, read_results, with_region
from clnf_engine.studies.data import is_video, root_of
from clnf_engine.studies.faces import Beside, Filter, beside, faces_csv
from clnf_engine.studies.parts import Part
from clnf_engine.studies.plan import Study
from clnf_engine.studies.reading import read_row
from clnf_engine.studies.rows import Row, arithmetic_kernel
from clnf_engine.studies.statistics import Indices
from clnf_engine.studies.summary import Summary, summarize
from clnf_engine.studies.variants import Variant
from clnf_gui.session.aspect import Aspect
from clnf_gui.session.choices import LANES, Choices, LaneChoices, Start
from clnf_gui.session.cursor import Cursor
from clnf_gui.session.document import SessionDocument
from clnf_gui.session.fits import Fits
from clnf_gui.session.lanes import Lanes
from clnf_gui.session.opener import Opener
from clnf_gui.session.scene import Scene
from clnf_gui.session.study_run import StudyRun
from clnf_gui.worker import Job, Worker

_STUDY, _FILE = "study", "file"
"""Kinds of jobs."""


@dataclass(frozen=True, eq=False)
class Results:
    """A folder of results that has been read.

    Attributes
    ----------
    path : Path
    study : Study
    parts : list of Part
    columns : Columns
    landmarks : Landmarks
        To be asked in the background only.
    """

    path: Path
    study: Study
    parts: list[Part]
    columns: Columns
    landmarks: Landmarks


@dataclass(frozen=True, eq=False)
class _Found:
    """What a study has found, for variants A and B, as far as it is known."""

    results: Results
    summary: Summary
    faces: Beside


@dataclass(frozen=True, eq=False)
class _Shown:
    """The row that a lane is to show, and what it is made of."""

    row: Row
    variant: Variant
    kernel: str


class Studies(QObject):
    """Reads the results of a study in the background, and opens its faces in the lanes.

    Variant A is what the others are compared with: what lane A shows of a face.

    Attributes
    ----------
    results : Results or None
    summary : Summary or None
        Of the variants, compared with A.
    faces : Beside or None
        A beside B, face by face.
    a, b : int
        The variants that are chosen.
    region : str
        Whose errors are looked at; "" for all landmarks.
    filter : Filter
        Which faces are listed.
    listed : (k,) intp
        Their pairs, in order.
    pair : int or None
        The face that the lanes show.
    note : str
        What there is to say about the fits in the lanes: whether they are those of the study.
    reading : str
        What is being read, in words; "" when nothing is.
    run : StudyRun
        A study that is being made.
    """

    changed = Signal(Aspect)
    failed = Signal(str, str)
    told = Signal(str)
    opened = Signal()
    """Another study is there to be looked at."""

    def __init__(
        self, lanes: Lanes, scene: Scene, cursor: Cursor, fits: Fits, opener: Opener, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._lanes, self._scene, self._cursor, self._opener = lanes, scene, cursor, opener
        self.results: Results | None = None
        self.summary: Summary | None = None
        self.faces: Beside | None = None
        self.a, self.b = 0, 0
        self.region, self.filter = "", Filter.CHANGED
        self.listed: Indices = np.zeros(0, dtype=np.intp)
        self.pair: int | None = None
        self.note, self.reading = "", ""
        self._photo: Path | None = None
        self._shown: Mapping[str, _Shown] = {}
        self._verdicts: dict[str, str] = {}
        self._worker = Worker("clnf-studies")
        self._worker.produced.connect(self._on_produced)
        self._worker.finished.connect(self._on_finished)
        self._worker.failed.connect(self._on_failed)
        fits.ended.connect(self._compare)
        self.run = StudyRun(self)
        self.run.told.connect(self.told)
        self.run.failed.connect(self.failed)
        self.run.changed.connect(lambda: self.changed.emit(Aspect.STUDY))
        self.run.ended.connect(self.open)

    def shut_down(self) -> None:
        """End the thread and the study that is being made; nothing can be read afterwards."""
        self.run.shut_down()
        self._worker.shut_down()

    # --- what is looked at --------------------------------------------------------------------

    def open(self, path: str | Path) -> None:
        """Read the results of a study; first its numbers, then those landmarks that tell which fits are the same."""
        path = Path(path)

        def job() -> Iterator[_Found]:
            study, parts, columns = read_results(path)
            results = Results(path, study, parts, columns, Landmarks(parts, columns))
            a = columns.variant_named(columns.baseline)
            b = next((k for k in range(len(columns.variants)) if k != a), a)
            yield from _found(results, a, b, "")

        self._read(f"reading {path.name}", job)

    def choose(self, a: int | None = None, b: int | None = None, region: str | None = None) -> None:
        """Compare other variants, or the errors of another region."""
        results = self.results
        wanted = (
            self.a if a is None else a,
            self.b if b is None else b,
            self.region if region is None else region,
        )
        if results is None or wanted == (self.a, self.b, self.region):
            return
        if wanted[0] == wanted[1]:  # each takes the place of the other
            wanted = (self.b, self.a, wanted[2])
        anew = wanted[0] != self.a or wanted[2] != self.region
        self.a, self.b, self.region = wanted
        summary = self.summary
        if anew or summary is None or not summary.has_truth:
            self._read("comparing", lambda: _found(results, *wanted))
        else:
            self._take_faces(beside(summary, self.b))
        self.changed.emit(Aspect.STUDY)

    @property
    def here(self) -> bool:
        """Whether the photo in the lanes is that of the face that was opened."""
        return self._scene.image is not None and self._scene.image.path == self._photo

    def pair_text(self, pair: int | None) -> str:
        """A face in words: where it is, and how well A and B fit it."""
        faces = self.faces
        if faces is None or pair is None or pair >= len(faces):
            return ""
        unit = f" {faces.unit}" if faces.has_truth else ""
        parts = [faces.face_text(pair)]
        parts += [f"{lane} {value:.2f}{unit}" for lane, value in zip(LANES, faces.values[:, pair], strict=True)]
        parts.append(
            f"B − A {faces.change[pair]:+.2f}{unit}" if faces.has_truth else f"{faces.change[pair]:.2g} px apart"
        )
        failures = zip(LANES, faces.failures(pair), strict=True)
        return "   ".join([*parts, *(f"{lane}: {failure}" for lane, failure in failures if failure)])

    def set_filter(self, wanted: Filter) -> None:
        """List other faces."""
        self.filter = wanted
        self._list()
        self.changed.emit(Aspect.STUDY)

    def _read(self, what: str, job: Job) -> None:
        self.reading = what
        self._worker.submit(_STUDY, job)
        self.changed.emit(Aspect.STUDY)

    def _take_faces(self, faces: Beside) -> None:
        self.faces = faces
        self._list()

    def _list(self) -> None:
        self.listed = np.zeros(0, dtype=np.intp) if self.faces is None else self.faces.listed(self.filter)

    def export(self, path: Path) -> None:
        """Write the faces that are listed to a CSV file."""
        faces, listed = self.faces, self.listed
        if faces is None:
            return

        def job() -> Iterator[str]:
            write_file(path, faces_csv(faces, listed.tolist()).encode())
            yield f"saved {path}"

        self._worker.submit(_FILE, job)

    # --- into the lanes -----------------------------------------------------------------------

    def show(self, pair: int) -> None:
        """Open the photo of a pair with exactly the starts and options of its fits in lanes A and B."""
        results, faces = self.results, self.faces
        if results is None or faces is None or not 0 <= pair < len(faces):
            return
        fresh: dict[str, _Shown] = {}
        self.pair, self.note, self._shown, self._verdicts = pair, "", fresh, {}
        row = faces.row(pair)
        self._photo = root_of(results.study.data) / faces.columns.photos[faces.columns.photo[row]]
        rows = {name: int(row) for name, row in zip(LANES, faces.rows[:, pair], strict=True) if row >= 0}
        now, model = self._lanes.choices, self._scene.model
        stops = tuple(stop.text for stop in self._cursor.stops)
        place = _END if self._scene.image is None else self._cursor.place

        def make() -> tuple[SessionDocument, Model]:
            shown = {name: _shown(results, row) for name, row in rows.items()}
            fresh.update(shown)
            first = next(iter(shown.values()))
            found = _model_of(first.variant, model)
            path = _photo_of(results, first.row)
            truth = path.with_suffix(".pts")
            choices = _choices(shown, now)
            assert found.path is not None
            video = is_video(str(path))
            document = SessionDocument(
                model=found.path,
                image=path,
                choices=choices,
                place=place,
                selection=None,
                stops=stops,
                frame=max((first.row.frame or 1) - 1, 0) if video else None,
                truth=truth if truth.is_file() and not video else None,
            )
            return document, found

        if faces.columns.frame[row]:
            self.note = f"Tracking the video (F8) gives the study's fit of frame {int(faces.columns.frame[row])}"
        self._opener.open_document(f"opening {faces.face_text(pair)}", make)
        self.changed.emit(Aspect.STUDY)

    @Slot(str)
    def _compare(self, name: str) -> None:
        """Say whether the fits that the lanes show are those of the study."""
        shown, lane = self._shown.get(name), self._lanes[name]
        if shown is None:
            return
        self._verdicts.pop(name, None)
        if lane.fit_options == shown.variant.fit and _same(lane.initial, shown.row.initial):
            self._verdicts[name] = _compared(shown, lane.numbers[-1].landmarks)
        wanted = [other for other in self._lanes.shown if other in self._shown]
        found = {other: self._verdicts[other] for other in wanted if other in self._verdicts}
        before, self.note = self.note, ""
        if len(found) == len(wanted):
            self.note = "; ".join(f"{other}: {text}" for other, text in found.items())
            if len(found) > 1 and set(found.values()) == {_ALIKE}:
                self.note = "Lanes A and B are the study's fits, bit for bit"
        if self.note and self.note != before:
            self.told.emit(self.note)
        self.changed.emit(Aspect.STUDY)

    # --- answers ------------------------------------------------------------------------------

    @Slot(str, int, object)
    def _on_produced(self, kind: str, epoch: int, item: _Found | str) -> None:
        if not self._worker.is_current(kind, epoch):
            return
        if isinstance(item, str):
            self.told.emit(item)
            return
        fresh = item.results is not self.results
        if fresh:
            self.pair, self.note, self._shown, self.filter = None, "", {}, Filter.CHANGED
            self._photo, self._verdicts = None, {}
        self.results, self.summary = item.results, item.summary
        faces = item.faces
        if not fresh and self.b != faces.b and item.summary.has_truth:  # which was chosen while landmarks were read
            faces = beside(item.summary, self.b)
        self.a, self.b, self.region = item.summary.baseline, faces.b, item.summary.region
        self._take_faces(faces)
        if fresh:
            self.opened.emit()
        self.changed.emit(Aspect.STUDY)

    @Slot(str, int, float)
    def _on_finished(self, kind: str, epoch: int, _: float) -> None:
        if kind == _STUDY and self._worker.is_current(kind, epoch):
            if self.reading.startswith("reading") and self.summary is not None:
                self.told.emit(self.summary.verdict)
            self.reading = ""
            self.changed.emit(Aspect.STUDY)

    @Slot(str, int, str, str)
    def _on_failed(self, kind: str, epoch: int, message: str, details: str) -> None:
        if self._worker.is_current(kind, epoch):
            self.reading = "" if kind == _STUDY else self.reading
            self.changed.emit(Aspect.STUDY)
            self.failed.emit(message, details)


_END: Place = (None, Phase.END, None)
_ALIKE = "the study's fit, bit for bit"


def _found(results: Results, a: int, b: int, region: str) -> Iterator[_Found]:
    """What a study has found, without landmarks and then with them."""
    columns, baseline = with_region(results.columns, results.parts, region), results.columns.variants[a]
    quick = summarize(columns, lambda *_: {}, baseline, region)
    yield _Found(results, quick, beside(quick, b))
    summary = summarize(columns, results.landmarks.measure, baseline, region)
    apart = None
    if not summary.has_truth:
        apart, _ = results.landmarks.apart(*summary.pairs.rows[[a, b]])
    yield _Found(results, summary, beside(summary, b, apart))


def _shown(results: Results, row: int) -> _Shown:
    columns = results.columns
    part = results.parts[columns.part[row]]
    found = read_row(part, int(columns.position[row]))
    variant = results.study.variants[columns.variant[row]]
    return _Shown(found, variant, str(part.footer["kernel"]))


def _model_of(variant: Variant, model: Model | None) -> Model:
    """The model of a variant: the one that is open, if it is that."""
    path = find_model(variant.model.path).resolve()
    here = model is not None and model.path is not None and model.path.resolve() == path
    if model is not None and here and model.fingerprint == variant.model.fingerprint:
        return model
    found = variant.model.load()
    make_ready(FLOAT64)
    return found


def _photo_of(results: Results, row: Row) -> Path:
    """The file of a row, if it still is what was fitted.

    Raises
    ------
    FileError
        When it is missing, or another.
    """
    path = root_of(results.study.data) / row.photo
    if not is_video(row.photo) and hashlib.sha256(image_bytes(path)).hexdigest() != row.image:
        raise FileError(path, "", "changed since it was fitted; the study has to be run again")
    return path


def _choices(shown: Mapping[str, _Shown], now: Choices) -> Choices:
    """What makes the lanes show rows; one alone, where the other has none or is of another model."""
    lanes = {name: LaneChoices() for name in LANES}
    for name, one in shown.items():
        start = _start(one.row.initial) if one.row.frame is None else None
        lanes[name] = replace(lanes[name], options=one.variant.fit, start=start, tracking=one.variant.tracking)
    if "A" not in shown:  # what there is
        lanes["A"] = lanes["B"]
    comparing = len(shown) == 2 and len({one.variant.model for one in shown.values()}) == 1
    if comparing and _same(*(one.row.initial for one in shown.values())):
        lanes["B"] = replace(lanes["B"], start=None)  # it starts where A does
    return Choices(lanes["A"], lanes["B"], comparing, "A", now.look)


def _same(a: Initial | None, b: Initial | None) -> bool:
    """Whether two starts are the same, bit for bit."""
    return a is not None and b is not None and np.array_equal(a.params, b.params)


def _start(initial: Initial | None) -> Start | None:
    return None if initial is None else Start(initial, initial)


def _compared(shown: _Shown, landmarks: np.ndarray) -> str:
    """How the fit of a lane compares with the row it is to show."""
    row = shown.row
    if row.landmarks is None:
        return f"the study has no fit: {row.failure}"
    if np.array_equal(row.landmarks, landmarks):
        return _ALIKE
    far = float(np.linalg.norm(row.landmarks - landmarks, axis=1).max())
    if shown.variant.detection is not None:
        why = "what the study did around the fit (parts, hypotheses, validation) is not done in a lane"
    elif shown.kernel != arithmetic_kernel():
        why = f"it was computed with {shown.kernel}, this with {arithmetic_kernel()}"
    else:
        why = "the engine gives other numbers now"
    return f"ends {far:.2g} px from the study's fit: {why}"
