"""Rows of a study: `fit_batch`, a pure function of photos, variants and starts.

Fits are made by `fit_many`, `detect` and `track` alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from clnf_engine.accuracy import Accuracy, accuracy
from clnf_engine.arrays import Floats
from clnf_engine.detection.detect import detect
from clnf_engine.detection.search import best_of_faces, nearest, search
from clnf_engine.errors import ClnfError, StudyError, one_line
from clnf_engine.fitting import fit_many, row_of
from clnf_engine.initial import Initial, box_around, initial_from_box, initial_from_landmarks, perturbed
from clnf_engine.io.images import decode_image
from clnf_engine.io.video import open_video
from clnf_engine.model import Model
from clnf_engine.studies.data import Photo
from clnf_engine.studies.variants import ARITHMETIC, Start, Variant, digest
from clnf_engine.tracking.track import track

_NUMBERS_ONLY = 1
"""Bytes of maps to keep: none."""


@dataclass(frozen=True, eq=False)
class Row:
    """One fit of a study.

    Attributes
    ----------
    row : str
        Its id: a digest of image, model, options, start, number of the face and of the frame, and `ARITHMETIC`.
    image : str
        SHA-256 of the photo's or video's bytes.
    photo : str
        Its path, relative to the study's data.
    frame : int or None
        Of a video, from 1, as in the files of ``clnf track``; None for a photo, or where the video has no more.
    face : int
        Number of the detected face, from 0, the likeliest first; 0 for other starts.
    variant, start : str
        Their names.
    seed : int or None
        What `perturbed` was seeded with.
    failure : str or None
        Why there is no fit, or none that succeeded, or no error though there is truth: one sentence.
    success : bool
        Of the fit, and of what is around it.
    likelihood : float or None
        Mean log likelihood at the end of the (main) fit.
    iterations : int
        Of all phases of all stages.
    update_norm : float or None
        Of the last iteration.
    seconds, start_seconds : float
        The fit took; and finding its start, which all fits from it share.
    accuracy : Accuracy or None
        Against the truth.
    initial : Initial or None
        Where the fit started.
    windows : tuple of int or None
        Those of a frame's fit, where they are not its variant's.
    params : (6 + m,) float64 or None
    landmarks : (n, 2) float64 or None
        Image px.
    """

    row: str
    image: str
    photo: str
    frame: int | None
    face: int
    variant: str
    start: str
    seed: int | None
    failure: str | None = None
    success: bool = False
    likelihood: float | None = None
    iterations: int = 0
    update_norm: float | None = None
    seconds: float = 0.0
    start_seconds: float = 0.0
    accuracy: Accuracy | None = None
    initial: Initial | None = None
    windows: tuple[int, ...] | None = None
    params: Floats | None = None
    landmarks: Floats | None = None


def fit_batch(
    photos: Sequence[Photo], variants: Sequence[Variant], starts: Sequence[Start], seed: int = 0
) -> list[Row]:
    """Fit every photo in every way; a photo is decoded once, and its faces are searched once.

    Parameters
    ----------
    photos : sequence of Photo
    variants : sequence of Variant
    starts : sequence of Start
    seed : int
        Of the study.

    Returns
    -------
    list of Row
        By photo, start, variant, face and frame: one per fit, and one where there is none to be had, which says why.
        The same arguments give the same rows, but for the seconds.

    Raises
    ------
    StudyError
        When it is not a face or an option that fails, but a model or a file that was there when the study was planned.
    """
    rows: list[Row] = []
    with one_thread():
        for photo in photos:
            rows += _video_rows(photo, variants, starts) if photo.video else _photo_rows(photo, variants, starts, seed)
    return rows


def failed_rows(
    photos: Sequence[Photo], variants: Sequence[Variant], starts: Sequence[Start], seed: int, failure: str
) -> list[Row]:
    """The rows of `fit_batch` where nothing could be fitted, for the same reason."""
    ways = [(variant, start) for start in starts for variant in variants]
    return [_row(photo, *way, seed, failure=failure) for photo in photos for way in ways]


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for BLAS and OpenCV: side by side, more of them only wait for each other."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _controller().limit(limits=1):
            yield
    finally:
        cv2.setNumThreads(threads)


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@lru_cache(maxsize=1)
def arithmetic_kernel() -> str:
    """What the last bits of a fit depend on, beside the engine: BLAS, its kernel, and the processor compiled for."""
    from llvmlite.binding import get_host_cpu_name  # noqa: PLC0415 - numba's, which a process loads for its first fit

    blas = {
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
        for library in _controller().info()
        if library["user_api"] == "blas"
    }
    return "; ".join([*sorted(blas), str(get_host_cpu_name())])


# --- photos -----------------------------------------------------------------------------------------


def _photo_rows(photo: Photo, variants: Sequence[Variant], starts: Sequence[Start], seed: int) -> list[Row]:
    if photo.problem:
        return failed_rows([photo], variants, starts, seed, photo.problem)
    data = photo.bytes()
    try:
        gray = decode_image(photo.path, data).gray
    except ClnfError as error:
        return failed_rows([photo], variants, starts, seed, str(error))
    found: dict[object, _Found] = {}
    rows: list[Row] = []
    for start in starts:
        for variant in variants:
            model = variant.model.load()
            key = start.kind, variant.model, variant.search if start.kind == "detector" else None
            if key not in found:
                found[key] = _found(photo, gray, model, start.kind, variant)
            here = found[key]
            if here.failure:
                rows.append(_row(photo, variant, start, seed, failure=here.failure, start_seconds=here.seconds))
            rows += (_fit_row(photo, gray, model, variant, start, seed, *face, here.seconds) for face in here.faces)
    return rows


@dataclass(frozen=True, eq=False)
class _Found:
    """Numbers and starts of the faces of a photo, or why there are none; what finding them took."""

    faces: tuple[tuple[int, Initial], ...]
    failure: str
    seconds: float


def _found(photo: Photo, gray: NDArray[np.uint8], model: Model, kind: str, variant: Variant) -> _Found:
    begun, failure = perf_counter(), ""
    faces: tuple[tuple[int, Initial], ...] = ()
    try:
        faces = tuple(_faces(photo, gray, model, kind, variant))
        if not faces:
            failure = "no face found" if photo.truth is None else "the detector found no face there"
    except Exception as error:
        failure = _sentence(error)
    return _Found(faces, failure, perf_counter() - begun)


def _faces(
    photo: Photo, gray: NDArray[np.uint8], model: Model, kind: str, variant: Variant
) -> Iterator[tuple[int, Initial]]:
    if kind == "detector":
        found = best_of_faces(search(model, gray, variant.search))
        if photo.truth is not None:
            there = nearest(found, box_around(photo.truth))
            found = [] if there is None else [there]
        yield from ((candidate.face, candidate.initial) for candidate in found)
    elif photo.truth is None:
        raise ClnfError(f"{photo.path}: has no .pts file beside it; expected one for a start from true landmarks")
    elif kind == "box":
        yield 0, initial_from_box(model, box_around(photo.truth))
    else:
        yield 0, initial_from_landmarks(model, photo.truth)


def _fit_row(
    photo: Photo,
    gray: NDArray[np.uint8],
    model: Model,
    variant: Variant,
    start: Start,
    seed: int,
    face: int,
    initial: Initial,
    start_seconds: float,
) -> Row:
    row = replace(_row(photo, variant, start, seed, face), start_seconds=start_seconds)
    begun = perf_counter()
    try:
        if row.seed is not None:
            initial = perturbed(model, initial, row.seed, start.amount, math.radians(start.degrees))
        row = replace(row, initial=initial)
        begun = perf_counter()
        fitted = _fitted(gray, model, initial, variant)
    except Exception as error:  # of an option that cannot be computed with: its row says so, and the study goes on
        return replace(row, failure=_sentence(error), seconds=perf_counter() - begun)
    return _measured(replace(row, **fitted, seconds=perf_counter() - begun), photo.truth)


def _fitted(gray: NDArray[np.uint8], model: Model, initial: Initial, variant: Variant) -> dict[str, Any]:
    """What became of a fit, as fields of a Row."""
    if variant.detection is None:
        fit = next(fit_many([gray], model, [initial], variant.fit))
        success, message, params, landmarks = fit.success, fit.message, fit.params, fit.landmarks
    else:
        found = detect(gray, model, initial, variant.fit, variant.detection, _NUMBERS_ONLY)
        fit = row_of(found.trace.numbers)
        success, message, params, landmarks = found.success, found.message, found.params, found.landmarks
    return {
        "failure": None if success else message,
        "success": success,
        "likelihood": fit.likelihood,
        "iterations": fit.iterations,
        "update_norm": None if math.isnan(fit.update_norm) else fit.update_norm,
        "params": params,
        "landmarks": landmarks,
    }


def _measured(row: Row, truth: Floats | None) -> Row:
    """A row with its error, where there is truth."""
    if truth is None or row.landmarks is None:
        return row
    try:
        return replace(row, accuracy=accuracy(row.landmarks, truth))
    except ClnfError as error:
        return replace(row, failure=row.failure or str(error))


# --- videos -----------------------------------------------------------------------------------------


def _video_rows(photo: Photo, variants: Sequence[Variant], starts: Sequence[Start]) -> list[Row]:
    if photo.problem:
        return failed_rows([photo], variants, starts, 0, photo.problem)
    if not os.path.isfile(photo.file):
        raise StudyError(f"{photo.file}: no such file; expected the video that the study was planned with")
    rows: list[Row] = []
    for start in starts:
        for variant in variants:
            if start != Start():
                failure = f"{photo.path}: a video has no true landmarks; expected the start detector"
                rows.append(_row(photo, variant, start, 0, failure=failure))
            else:
                rows += _tracked(photo, variant, start)
    return rows


def _tracked(photo: Photo, variant: Variant, start: Start) -> Iterator[Row]:
    """A row per frame; one without a number where the video cannot be decoded to its end, which says why."""
    model = variant.model.load()
    begun = perf_counter()
    try:
        with open_video(photo.file) as source:
            for result in track(
                source, model, variant.fit, variant.tracking, detection=variant.detection, search=variant.search
            ):
                now = perf_counter()
                yield replace(
                    _row(photo, variant, start, 0, frame=result.index + 1),
                    failure=None if result.success else result.message,
                    success=result.success,
                    likelihood=result.likelihood,
                    iterations=result.iterations,
                    update_norm=result.update_norm,
                    seconds=now - begun,
                    initial=result.initial,
                    windows=None if result.options == variant.fit else result.options.windows,
                    params=result.params,
                    landmarks=result.landmarks,
                )
                begun = now
    except Exception as error:
        yield _row(photo, variant, start, 0, failure=_sentence(error).replace(photo.file, photo.path))


# --- what all rows have -----------------------------------------------------------------------------


def _row(
    photo: Photo, variant: Variant, start: Start, seed: int, face: int = 0, frame: int | None = None, **fields: Any
) -> Row:
    drawn = start.seed_for(photo.image, seed)
    name = digest(photo.image, variant.id, start.name, drawn, face, frame, ARITHMETIC)
    return Row(name, photo.image, photo.path, frame, face, variant.name, start.name, drawn, **fields)


def _sentence(error: Exception) -> str:
    """What went wrong, in one line; with the kind of error where its text is not made for people."""
    return str(error) if isinstance(error, ClnfError) else one_line(f"{type(error).__name__}: {error}")
