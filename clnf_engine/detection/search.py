"""`search`: starts for the faces of an image, upright or tilted, sorted by how likely they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations, repeat

import numpy as np
from numpy.typing import NDArray

from clnf_engine.detection import haar
from clnf_engine.detection.haar import Found
from clnf_engine.fitting import fit_many
from clnf_engine.initial import Box, Initial, initial_from_box, turned
from clnf_engine.model import Model
from clnf_engine.options import SearchOptions, Source

LIKELY = -0.5
"""A start whose fit has a lower likelihood is on no face; `tracking.track` tells how that was measured."""

_FITTED = 5
"""So many of the strongest starts are fitted to find out which is the likeliest."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A start that was considered.

    Attributes
    ----------
    initial : Initial
    angle : float
        By how much the face is tilted, degrees, clockwise where positive.
    strength : int
        How many places and sizes around it the cascade answers to.
    sure : bool
        Whether the cascade alone is sure of it.
    likelihood : float or None
        Of a fit from it with OpenFace's options; None when that was not needed to choose, or no stage was run.
    face : int
        Number of the face, from 0, the likeliest first; candidates of one face overlap.
    openface : bool
        Whether OpenFace's detector finds it, too.
    """

    initial: Initial
    angle: float
    strength: int
    sure: bool
    likelihood: float | None
    face: int
    openface: bool

    @property
    def box(self) -> Box:
        """Eyebrows to chin and cheek to cheek once the face is turned upright about its middle, image px."""
        return self.initial.box


def search(model: Model, image: NDArray[np.uint8], options: SearchOptions | None = None) -> list[Candidate]:
    """Every start that was considered.

    Where all faces are upright beyond doubt nothing is fitted, and the largest comes first. Else the strongest are
    fitted, and the likeliest comes first.

    Parameters
    ----------
    model : Model
    image : (H, W) uint8
        Grey levels.
    options : SearchOptions, optional

    Returns
    -------
    list of Candidate
        The best first.

    Examples
    --------
    >>> import cv2
    >>> from clnf_engine import load_model, sample, search
    >>> gray = sample("portrait").gray
    >>> turn = cv2.getRotationMatrix2D((256, 300), -40, 1)  # 40 degrees clockwise
    >>> tilted = cv2.warpAffine(gray, turn, (512, 600), borderMode=cv2.BORDER_REPLICATE)
    >>> best = search(load_model(), tilted)[0]
    >>> best.sure, bool(30 <= best.angle <= 50)
    (True, True)
    """
    candidates: list[Candidate] = []
    for number, found in enumerate(haar.find_faces(image, options or SearchOptions())):
        candidates += [_candidate(model, f, upright_pass=number == 0) for f in found]
        if not any(candidate.sure for candidate in candidates):
            candidates = _fitted(model, image, candidates)
        if any(map(likely, candidates)):
            break
    if _in_doubt(candidates):
        candidates = _fitted(model, image, candidates)
    if any(candidate.likelihood is not None for candidate in candidates):
        candidates.sort(key=lambda c: -math.inf if c.likelihood is None else c.likelihood, reverse=True)
    else:
        candidates = _strongest_of_faces_first(candidates)
    return _numbered(candidates)


def likely(candidate: Candidate) -> bool:
    """Whether there is a face: the cascade is sure, or a fit has a likelihood that only faces have."""
    return candidate.sure or (candidate.likelihood is not None and candidate.likelihood >= LIKELY)


def initials_from_detector(
    model: Model, image: NDArray[np.uint8], options: SearchOptions | None = None
) -> list[Initial]:
    """One start per face that was found, the likeliest first; none when no face is found.

    Parameters
    ----------
    model : Model
    image : (H, W) uint8
        Grey levels.
    options : SearchOptions, optional

    Returns
    -------
    list of Initial

    Examples
    --------
    >>> from clnf_engine import initials_from_detector, load_model, sample
    >>> starts = initials_from_detector(load_model(), sample("portrait").gray)
    >>> len(starts), starts[0].source.value
    (1, 'detector')
    """
    return [candidate.initial for candidate in best_of_faces(search(model, image, options))]


def best_of_faces(candidates: list[Candidate]) -> list[Candidate]:
    """The first candidate of every face, as far as they are likely.

    Those whose fits have a likelihood of no face are left out if there are others: a model may have likelihoods of its
    own. Where nothing is likely it is what OpenFace's detector finds.
    """
    firsts = _firsts(candidates)
    as_a_fit_says = [c for c in firsts if (c.sure if c.likelihood is None else c.likelihood >= LIKELY)]
    return as_a_fit_says or list(filter(likely, firsts)) or _firsts([c for c in candidates if c.openface])


def detected_at(model: Model, image: NDArray[np.uint8], box: Box) -> Initial | None:
    """The start at the detected face that overlaps a box most, the likelier of equals; None when none does."""
    found = nearest(best_of_faces(search(model, image)), box)
    return None if found is None else found.initial


def nearest(candidates: list[Candidate], box: Box) -> Candidate | None:
    """The candidate that overlaps a box most, the earlier of equals; None when none does."""
    best = max(candidates, default=None, key=lambda candidate: _overlap(candidate.box, box))
    return best if best is not None and _overlap(best.box, box) > 0 else None


def _candidate(model: Model, found: Found, upright_pass: bool) -> Candidate:
    initial = replace(initial_from_box(model, found.box), source=Source.DETECTOR)
    if found.angle:
        initial = turned(model, initial, (0.0, 0.0, math.radians(found.angle)))
    return Candidate(initial, found.angle, found.strength, found.sure, None, 0, upright_pass and not found.angle)


def _strongest_of_faces_first(candidates: list[Candidate]) -> list[Candidate]:
    """Faces as their strongest candidates come, the sure ones first; of a face the strongest first."""
    places = {id(candidate.initial): place for place, candidate in enumerate(candidates)}
    of_faces = _numbered(sorted(candidates, key=lambda c: -c.strength))
    lead = {first.face: (not first.sure, places[id(first.initial)]) for first in _firsts(of_faces)}
    return sorted(of_faces, key=lambda c: (lead[c.face], -c.strength))


def _in_doubt(candidates: list[Candidate]) -> bool:
    """Whether fits must choose: the strongest sure candidate of a face is tilted, or two upright ones overlap."""
    sure = sorted(filter(lambda c: c.sure, candidates), key=lambda c: -c.strength)
    upright = [candidate for candidate in sure if not candidate.angle]
    return any(candidate.angle for candidate in _firsts(_numbered(sure))) or any(
        _overlap_much(a.box, b.box) for a, b in combinations(upright, 2)
    )


def _fitted(model: Model, image: NDArray[np.uint8], candidates: list[Candidate]) -> list[Candidate]:
    """The same candidates, the strongest of them with a likelihood."""
    strongest = sorted(range(len(candidates)), key=lambda k: (not candidates[k].sure, -candidates[k].strength))
    asked = [k for k in strongest[:_FITTED] if candidates[k].likelihood is None]
    result = list(candidates)
    rows = fit_many(repeat(image), model, [candidates[k].initial for k in asked])
    for k, row in zip(asked, rows, strict=True):
        known = row.likelihood is not None and not math.isnan(row.likelihood)
        result[k] = replace(result[k], likelihood=row.likelihood if known else None)
    return result


def _numbered(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates with numbers of faces: one that shares half of the smaller box with an earlier one is of its face.

    Two that are upright and sure are two faces, as they are to OpenFace.
    """
    numbered: list[Candidate] = []
    for candidate in candidates:
        same = (
            other.face
            for other in numbered
            if not (candidate.sure and other.sure and candidate.angle == other.angle == 0)
            and _overlap_much(candidate.box, other.box)
        )
        face = next(same, 1 + max((other.face for other in numbered), default=-1))
        numbered.append(replace(candidate, face=face))
    return numbered


def _firsts(candidates: list[Candidate]) -> list[Candidate]:
    """The first candidate of every face, in order."""
    firsts: dict[int, Candidate] = {}
    for candidate in candidates:
        firsts.setdefault(candidate.face, candidate)
    return list(firsts.values())


def _overlap_much(a: Box, b: Box) -> bool:
    """Whether two boxes share half of the smaller."""
    return _overlap(a, b) > 0.5 * min(a[2] * a[3], b[2] * b[3])


def _overlap(a: Box, b: Box) -> float:
    """Area common to two boxes, px²."""
    sides = [max(0.0, min(a[k] + a[k + 2], b[k] + b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    return sides[0] * sides[1]
