"""Measure a model on annotated faces: point-to-point errors as a share of the outer-eye distance.

Sagonas et al., "300 faces in-the-wild challenge", ICCVW 2013, §4.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from clnf_engine.accuracy import LIMITS, Accuracy, ErrorStatistics, accuracy, error_statistics
from clnf_engine.detection.search import detected_at
from clnf_engine.documents import csv_cell
from clnf_engine.errors import one_line
from clnf_engine.fitting import fit_many
from clnf_engine.ibug68 import REGIONS
from clnf_engine.initial import Initial, box_around, initial_from_box, perturbed
from clnf_engine.io.files import atomic_write
from clnf_engine.model import Model
from clnf_engine.options import FitOptions
from clnf_engine.training.annotations import Face, expect_same_landmarks
from clnf_engine.training.processes import Begin

PERTURBATION = 0.1
"""Of a true box: shift per axis and change of size, as a share of the box."""


class Start(StrEnum):
    """Where the fits of an evaluation start."""

    BOX = "box"
    DETECTOR = "detector"
    PERTURBED = "perturbed"


@dataclass(frozen=True, eq=False)
class FaceError:
    """How far a fit ended from the truth.

    Attributes
    ----------
    name : str
    accuracy : Accuracy or None
        Of the landmarks; None when the detector found no face there.
    message : str
        How the fit ended.
    """

    name: str
    accuracy: Accuracy | None
    message: str

    @property
    def mean(self) -> float:
        """Mean over all landmarks, %; infinite without a fit."""
        percent = None if self.accuracy is None else self.accuracy.mean_percent
        return float("inf") if percent is None else percent

    def region(self, name: str) -> float:
        """Mean over the landmarks of a region, %; infinite without a fit."""
        return float("inf") if self.accuracy is None else self.accuracy.regions.get(name, float("inf"))


@dataclass(frozen=True)
class Evaluation:
    """Errors of a model on many faces.

    Attributes
    ----------
    faces : tuple of FaceError
    """

    faces: tuple[FaceError, ...]

    @property
    def not_found(self) -> tuple[str, ...]:
        """Faces that the detector missed."""
        return tuple(face.name for face in self.faces if face.accuracy is None)

    def rows(self) -> dict[str, ErrorStatistics]:
        """Statistics of the whole face ("all") and of every region."""
        rows = {"all": error_statistics([face.mean for face in self.faces])}
        return rows | {name: error_statistics([face.region(name) for face in self.faces]) for name in REGIONS}


def evaluate(
    faces: Iterable[Face],
    model: Model,
    options: FitOptions | None = None,
    start: Start = Start.DETECTOR,
    seed: int = 0,
    begin: Begin | None = None,
) -> Evaluation:
    """Fit a model to annotated faces and compare.

    Parameters
    ----------
    faces : iterable of Face
    model : Model
        Of 68 landmarks.
    options : FitOptions, optional
        OpenFace's by default.
    start : Start
        ``box``: the box around the true landmarks; ``perturbed``: that box, shifted and scaled at random by up to
        `PERTURBATION`; ``detector``: the detected face that overlaps it most.
    seed : int
        Of the perturbation; each face has its own, from this and its name.
    begin : callable, optional
        Where the faces are fitted, such as `clnf_engine.training.processes.worker_processes`; here by default.

    Returns
    -------
    Evaluation

    Raises
    ------
    ClnfError
        When the model has another number of landmarks or an image cannot be read.
    """
    expect_same_landmarks(model)
    common = model, options, start, seed
    if begin is None:
        return Evaluation(tuple(_face_error(common, face) for face in faces))
    every = [(face,) for face in faces]
    with (
        tqdm(total=len(every), desc="evaluating", unit="face", disable=None, leave=False) as bar,
        begin(_face_error, common, None, bar) as run,
    ):
        return Evaluation(tuple(run(every)))


def _face_error(common: tuple[Model, FitOptions | None, Start, int], face: Face) -> FaceError:
    model, options, start, seed = common
    image = face.gray()
    initial = _initial(face, image, model, start, seed)
    if initial is None:
        return FaceError(face.name, None, "the detector found no face there")
    row = next(fit_many([image], model, [initial], options))
    return FaceError(face.name, accuracy(row.landmarks, face.points), row.message)


def _initial(face: Face, image: NDArray[np.uint8], model: Model, start: Start, seed: int) -> Initial | None:
    truth = box_around(face.points)
    if start is Start.DETECTOR:
        return detected_at(model, image, truth)
    initial = initial_from_box(model, truth)
    if start is Start.BOX:
        return initial
    return perturbed(model, initial, seed + zlib.crc32(face.name.encode()), amount=PERTURBATION)


# --- what a person sees -----------------------------------------------------------------------------


def table_text(evaluation: Evaluation) -> str:
    """The statistics as a table; errors in % of the outer-eye distance."""
    limits = "".join(f"{f'< {limit:g} %':>8}" for limit in LIMITS)
    lines = [f"{'% of the outer-eye distance':<28}{'mean':>8}{'median':>8}{'p90':>8}{limits}"]
    for name, row in evaluation.rows().items():
        numbers = "".join(f"{value:8.2f}" for value in (row.mean, row.median, row.p90))
        lines.append(f"{name:<28}{numbers}" + "".join(f"{value:8.1f}" for value in row.below))
    found = len(evaluation.faces) - len(evaluation.not_found)
    lines.append(f"{found} of {len(evaluation.faces)} faces fitted")
    if evaluation.not_found:
        lines.append(f"not found by the detector: {', '.join(evaluation.not_found)}")
    return "\n".join(lines) + "\n"


def csv_text(evaluation: Evaluation) -> str:
    """The error of every face and region, % of the outer-eye distance; empty without a fit."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["face", "all", *REGIONS, "message"])
    for face in evaluation.faces:
        values = [face.mean, *(face.region(name) for name in REGIONS)]
        numbers = ["" if face.accuracy is None else f"{value:.4f}" for value in values]
        writer.writerow([csv_cell(one_line(face.name)), *numbers, csv_cell(face.message)])
    return stream.getvalue()


def save_curve(evaluation: Evaluation, path: Path, title: str) -> None:
    """Write a plot of the cumulative error curve: which share of the faces has an error below x.

    Parameters
    ----------
    evaluation : Evaluation
    path : Path
        A PNG file.
    title : str
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and only needed here

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 101))
    axes.set_title(one_line(title, 60), parse_math=False)  # a name may hold $ and ^
    axes.set_xlabel("mean error of a face, % of the outer-eye distance")
    axes.set_ylabel("faces, %")
    share = 100 * np.arange(1, len(evaluation.faces) + 1) / len(evaluation.faces)
    curves = {"all": [face.mean for face in evaluation.faces]}
    curves |= {name: [face.region(name) for face in evaluation.faces] for name in REGIONS}
    for name, errors in curves.items():
        axes.step(np.sort(errors), share, where="post", label=name, linewidth=2.5 if name == "all" else 1.0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    atomic_write(path, buffer.getvalue())
