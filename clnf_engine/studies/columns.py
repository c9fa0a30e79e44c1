"""The rows of a study as columns of numbers, without their landmarks: what statistics and figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats
from clnf_engine.errors import FileError, StudyError
from clnf_engine.studies.parts import Part, read_study, scan
from clnf_engine.studies.plan import Study
from clnf_engine.studies.reading import read_coded
from clnf_engine.studies.variants import ARITHMETIC, Variant

Whole = NDArray[np.int32]

_READ = (
    *("image", "photo", "variant", "start", "failure", "frame", "face"),
    *("likelihood", "seconds", "error", "error_px"),
)
"""Every column of a file takes time, however short it is."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Fits of a study, n of them, in no particular order.

    Attributes
    ----------
    variants : tuple of str
        Names.
    options : tuple of mapping of str to value
        Every option of each variant, and its model.
    starts, photos, failures : tuple of str
        Names of the starts, paths relative to the study's data, and sentences.
    baseline : str
        Name of the variant that the others are compared with.
    part, position : (n,) int32
        Which part holds the row, in the order in which they were listed, and its number in that part.
    variant, start, photo : (n,) int32
        Indices of the names above.
    face : (n,) int32
        0, 1, …: rows of one face of one image or frame share it.
    number : (n,) int32
        Number of the face in its image, from 0.
    frame : (n,) int32
        Of a video, from 1; 0 of a photo.
    failure : (n,) int32
        Index of the sentence; −1 where nothing failed.
    likelihood, seconds : (n,) float64
    error, error_px : (n,) float64
        Mean over the landmarks, % of the outer-eye distance and px; NaN where there is no truth or no fit.
    regions : mapping of str to (n,) float64
        Mean over those of a region, %; of the regions that were asked for.
    note : str
        What is to be known of how the rows were made, a sentence; "" when nothing is.
    """

    variants: tuple[str, ...]
    options: tuple[Mapping[str, Any], ...]
    starts: tuple[str, ...]
    photos: tuple[str, ...]
    failures: tuple[str, ...]
    baseline: str
    part: Whole
    position: Whole
    variant: Whole
    start: Whole
    photo: Whole
    face: Whole
    number: Whole
    frame: Whole
    failure: Whole
    likelihood: Floats
    seconds: Floats
    error: Floats
    error_px: Floats
    regions: Mapping[str, Floats] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(self.variant)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which rows say that something failed."""
        return self.failure >= 0

    def variant_named(self, name: str) -> int:
        """Index of a variant.

        Raises
        ------
        StudyError
            When there is none of this name.
        """
        if name not in self.variants:
            raise StudyError(f"there is no variant {name!r}; expected one of {', '.join(self.variants)}")
        return self.variants.index(name)

    def errors(self, region: str = "") -> Floats:
        """The errors of a region, % of the outer-eye distance; of all landmarks without a name."""
        return self.regions[region] if region else self.error

    def face_text(self, row: int) -> tuple[str, int]:
        """Photo, with the frame of a video, and number of the face, from 1, of a row."""
        frame, photo = int(self.frame[row]), self.photos[self.photo[row]]
        return f"{photo}, frame {frame}" if frame else photo, int(self.number[row]) + 1


def read_results(results: Path) -> tuple[Study, list[Part], Columns]:
    """Everything of a folder of results but landmarks and the like.

    Parameters
    ----------
    results : Path

    Returns
    -------
    study : Study
    parts : list of Part
        Those that `Columns.part` counts; without those of another version of the engine's arithmetic.
    columns : Columns

    Raises
    ------
    FileError
        When there is none, or a part cannot be read.
    ClnfError
        When pyarrow is not installed.
    """
    study = read_study(results)
    found = scan(results)
    parts = [part for part in found if part.footer["arithmetic"] == ARITHMETIC]
    raw, texts = read_coded(parts, _READ)
    names = {variant.name: k for k, variant in enumerate(study.variants)}
    unknown = set(texts["variant"]) - names.keys()
    if unknown:
        raise FileError(results, "", f"has rows of a variant {min(unknown)!r}, which its study does not name")
    known = np.array([names[name] for name in texts["variant"]], np.int32)
    variant = known[raw.pop("variant")] if known.size else raw.pop("variant")
    image, start = raw.pop("image"), raw.pop("start")
    frame, number = (_whole(raw.pop(name)) for name in ("frame", "face"))
    return (
        study,
        parts,
        Columns(
            variants=tuple(names),
            options=tuple(map(_options, study.variants)),
            starts=texts["start"],
            photos=texts["photo"],
            failures=texts["failure"],
            baseline=study.baseline,
            part=raw.pop("part"),
            position=raw.pop("position"),
            variant=variant,
            start=start,
            photo=raw.pop("photo"),
            face=_faces(image, frame, number, variant, start),
            number=number,
            frame=frame,
            failure=raw.pop("failure"),
            likelihood=raw.pop("likelihood"),
            seconds=raw.pop("seconds"),
            error=raw.pop("error"),
            error_px=raw.pop("error_px"),
            note=_note(parts, len(found) - len(parts)),
        ),
    )


def _whole(numbers: Floats) -> Whole:
    return np.nan_to_num(numbers).astype(np.int32)


def with_region(columns: Columns, parts: Sequence[Part], region: str) -> Columns:
    """Columns with the errors of a region, too; of the parts that they were read from.

    Raises
    ------
    FileError
        When a part cannot be read.
    """
    if not region or region in columns.regions:
        return columns
    name = f"error_{region}"
    raw, _ = read_coded(parts, [name])
    return replace(columns, regions={**columns.regions, region: raw[name]})


def _faces(image: Whole, frame: Whole, number: Whole, variant: Whole, start: Whole) -> Whole:
    """Which rows are of one face: of one image and frame, and where that has several, of one number.

    With true landmarks there is one face to an image, whichever number the detector gives it with whatever options.
    """
    place = _ranks(image, frame)
    way = _ranks(place, variant, start)
    several = np.zeros(int(place.max(initial=-1)) + 1, dtype=bool)
    several[place[np.bincount(way)[way] > 1]] = True
    return _ranks(place, np.where(several[place], number, 0))


def _ranks(*keys: Array) -> Whole:
    """Numbers 0, 1, … for the rows of several keys that are not negative; the same for equal ones."""
    ranks: Array = np.zeros(len(keys[0]), dtype=np.int64)
    for key in keys:
        ranks = ranks * (int(key.max(initial=0)) + 1) + key
        ranks = np.unique(ranks, return_inverse=True)[1]
    return ranks.astype(np.int32)


def _options(variant: Variant) -> dict[str, Any]:
    """Every option of a variant, by its name."""
    around = {} if variant.detection is None else variant.detection.to_json()
    kinds = (variant.fit.to_json(), around, variant.search.to_json(), variant.tracking.to_json())
    return {"model": variant.model.fingerprint} | {name: value for kind in kinds for name, value in kind.items()}


def _note(parts: Sequence[Part], others: int) -> str:
    kernels = sorted({part.footer["kernel"] for part in parts})
    told = []
    if len(kernels) > 1:
        told.append(
            f"The rows were made with {len(kernels)} different kernels ({', '.join(kernels)}); their last bits differ."
        )
    if others:
        told.append(f"{others} parts of another version of the engine's arithmetic are left out.")
    return " ".join(told)
