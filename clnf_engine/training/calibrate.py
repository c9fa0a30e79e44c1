"""Calibrate a model: fit annotated faces from good and from bad starts, and keep the likelihoods of both outcomes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from clnf_engine.accuracy import accuracy
from clnf_engine.arrays import Floats, read_only
from clnf_engine.calibration import Calibration, skipped_stage
from clnf_engine.fitting import fit
from clnf_engine.initial import box_around, initial_from_box, perturbed
from clnf_engine.model import Model
from clnf_engine.options import FitOptions
from clnf_engine.trace import Trace
from clnf_engine.training.annotations import Face, expect_same_landmarks, resized

ERROR_LIMIT = 8.0
"""Mean error below which a fit has worked, % of the outer-eye distance; few fits end near it."""

SIZES = (0.5, 1.0, 2.0)
"""Of the image, as a share of its own: likelihoods depend on how large a face is."""

STARTS = ((0.1, 0.0), (0.1, 0.0), (0.1, 0.0), (0.4, 0.7), (0.4, 0.7), (0.4, 0.7))
"""Perturbations of the true box, amount and rotation (radians): half are slight, half so bad that most fits fail."""

_STARTS_TEXT = (
    "each at half, full and double size, from its true box shifted and scaled by up to 10 % (3 times) and by up to "
    "40 % and turned by up to 40° about every axis (3 times)"
)


def calibrate(
    faces: Iterable[Face],
    model: Model,
    options: FitOptions | None = None,
    *,
    origin: str,
    held_out: bool = False,
    subject: Model | None = None,
) -> Calibration:
    """Calibrate a model on annotated faces.

    Parameters
    ----------
    faces : iterable of Face
    model : Model
        Of 68 landmarks; the one that is fitted.
    options : FitOptions, optional
        Of the fits; OpenFace's by default.
    origin : str
        Which faces these are, in words that follow their number.
    held_out : bool
        Whether `model` was trained without them.
    subject : Model, optional
        The model that the calibration is for, where it is not the one that is fitted: trained in the same way, but on
        these faces too.

    Returns
    -------
    Calibration

    Raises
    ------
    ClnfError
        When the model has another number of landmarks or an image cannot be read.
    """
    expect_same_landmarks(model)
    options = options or FitOptions()
    worked: list[float] = []
    failed: list[float] = []
    scales: list[float] = []
    count = 0
    for face in faces:
        count += 1
        for trace, error in _fits(face, model, options):
            if not trace.success or trace.likelihood is None or skipped_stage(trace.steps) is not None:
                continue
            (worked if error < ERROR_LIMIT else failed).append(trace.likelihood)
            if error < ERROR_LIMIT:
                scales.append(float(trace.params_global[0]))
    return Calibration(
        model=(subject or model).fingerprint,
        worked=_sorted(worked),
        failed=_sorted(failed),
        error_limit=ERROR_LIMIT,
        faces=count,
        held_out=held_out,
        scales=(min(scales, default=0.0), max(scales, default=0.0)),
        options=options,
        basis=f"{count} {origin}, {_STARTS_TEXT}",
    )


def _fits(face: Face, model: Model, options: FitOptions) -> Iterator[tuple[Trace, float]]:
    """The fits to a face, and their mean errors, % of the outer-eye distance."""
    image = face.gray()
    for k, size in enumerate(SIZES):
        picture, truth = resized(image, face.points, size)
        box = initial_from_box(model, box_around(truth))
        for start, (amount, rotation) in enumerate(STARTS):
            seed = zlib.crc32(f"{face.name} {k} {start}".encode())
            trace = fit(picture, model, perturbed(model, box, seed, amount, rotation), options)
            error = accuracy(trace.landmarks, truth).mean_percent
            yield trace, float("inf") if error is None else error


def _sorted(values: list[float]) -> Floats:
    return read_only(np.sort(np.array(values, dtype=np.float64)))
