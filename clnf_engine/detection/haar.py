"""Where an image may hold faces, upright or tilted: OpenCV's Haar cascade over the image and over turned copies of it.

Viola and Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001. The pass over the
upright image is OpenFace's detector. It finds few faces tilted by more than 15°, and takes for a face what is none. So
what it finds with few answers is looked at closer, at several angles and one size, and when nothing stands up to that,
turned copies of the image are searched. Measured on 118 portraits turned by 0 to 50°: a closer look has 18 answers and
more at faces, at the angle nearest to theirs, and up to 15 elsewhere; all of 236 turned by 20 to 50° are found.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats
from clnf_engine.errors import ClnfError
from clnf_engine.initial import Box
from clnf_engine.options import SearchOptions

_NEAR = 30
"""Faces tilted further than this, degrees, are not found upright."""
_SURE = 16
"""A closer look with fewer answers has seen no face."""
_LOOKED_AT = 64
"""Side of what is looked at closer, px."""
_WINDOW = 24
"""The smallest face in a turned copy of the image, px."""
_PASSES = ((5, 1, 1.1), (24, 1, 1.2))
"""Turned copies are searched for faces larger than this share of the image's longer side, of so many answers, in such
steps of size: for large faces with care, then for smaller ones. So the work hardly depends on the size of the image."""
_CLOSER = 5
"""So many things, those with the most answers, are looked at closer."""

_Answer = tuple[float, float, float, float, int]
"""What the cascade finds, x, y, width and height (larger than a `Box`), and how many windows answered."""


@dataclass(frozen=True)
class Found:
    """Something that looks like a face.

    Attributes
    ----------
    box : (x, y, width, height)
        Eyebrows to chin and cheek to cheek of the face once it is upright, image px.
    angle : float
        By how much it is tilted about the middle of its box, degrees, clockwise where positive.
    strength : int
        How many places and sizes around it the cascade answers to: in a closer look if there was one.
    sure : bool
        Whether that is enough.
    """

    box: Box
    angle: float
    strength: int
    sure: bool


def detect_faces(image: NDArray[np.uint8]) -> list[Box]:
    """Upright frontal faces, as OpenFace finds them: one pass, with its correction of the box.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels.

    Returns
    -------
    list of (x, y, width, height)
        Largest first, image px, around eyebrows to chin and cheek to cheek.

    Examples
    --------
    >>> from clnf_engine import detect_faces, sample
    >>> [(x, y, width, height)] = detect_faces(sample("portrait").gray)
    >>> round(x), round(y), round(width), round(height)
    (162, 153, 206, 200)
    """
    (found,) = find_faces(image, SearchOptions(search=False))
    return [face.box for face in found]


def find_faces(image: NDArray[np.uint8], options: SearchOptions) -> Iterator[list[Found]]:
    """Faces, upright or tilted, in one pass after the other; who has seen enough does not ask for the next.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels.
    options : SearchOptions

    Yields
    ------
    list of Found
        First what the pass over the upright image finds: the sure ones before the others, and of those the largest
        first. Then what passes over turned copies find. A face may be in it several times, at several angles.
    """
    upright = [
        _Raw((x + w / 2, y + h / 2), (w, h), 0.0, k) for x, y, w, h, k in _cascade(image, options.search_min_size)
    ]
    at_once = options.search_strength if options.search else 0
    found = [_found(raw, True) for raw in upright if raw.strength >= at_once]
    found += _closer(image, [raw for raw in upright if raw.strength < at_once], options.search_angles)
    yield sorted(found, key=lambda f: (not f.sure, -f.box[2] * f.box[3], f.box))
    for share, min_answers, step in _PASSES if options.search and options.search_angles else ():
        smallest = max(float(options.search_min_size), max(image.shape) / share)
        finds = _in_turned_copies(image, (0, *options.search_angles), smallest, min_answers, step)
        yield list(_closer(image, finds, options.search_angles))


@dataclass(frozen=True)
class _Raw:
    """What the cascade finds: its middle (image px), its size in px of the image, its tilt in degrees."""

    middle: tuple[float, float]
    size: tuple[float, float]
    angle: float
    strength: int

    @property
    def side(self) -> float:
        """Its width, px."""
        return self.size[0]


def _found(raw: _Raw, sure: bool) -> Found:
    """With OpenFace's correction of the box: from brow to chin, and narrower."""
    (x, y), (w, h) = raw.middle, raw.size
    left, top, width, height = x - w / 2 + 0.0578 * w, y - h / 2 + 0.2166 * h, 0.8924 * w, 0.8676 * h
    if raw.angle:
        right, down = left + width / 2 - x, top + height / 2 - y
        cos, sin = math.cos(math.radians(raw.angle)), math.sin(math.radians(raw.angle))
        left, top = x + cos * right - sin * down - width / 2, y + sin * right + cos * down - height / 2
    return Found((left, top, width, height), raw.angle, raw.strength, sure)


def _in_turned_copies(
    image: NDArray[np.uint8], angles: Iterable[float], smallest: float, min_answers: int, step: float
) -> Iterator[_Raw]:
    """What the cascade finds in copies of the image that are turned by `angles`."""
    height, width = image.shape
    small, to_small = _shrunk(image, (0, 0, width, height), min(1.0, _WINDOW / smallest))
    middle = (np.array(small.shape[::-1]) - 1) / 2
    for angle in angles:
        turn = _turn(middle, angle)
        size = np.ceil(np.abs(turn[:2, :2]) @ small.shape[::-1]).astype(int)  # no corner is lost
        turn[:2, 2] += (size - 1) / 2 - middle
        copy = cv2.warpAffine(small, turn[:2], (int(size[0]), int(size[1])))
        yield from _back(_cascade(copy, _WINDOW, 0, min_answers, step), turn @ to_small, angle)


def _closer(image: NDArray[np.uint8], finds: Iterable[_Raw], angles: Iterable[float]) -> Iterator[Found]:
    """The strongest finds, looked at closer at their own angle and those beside it; unsure where nothing answers."""
    seen: list[_Raw] = []
    for raw in sorted(finds, key=lambda raw: -raw.strength):
        if len(seen) == _CLOSER:
            break
        if any(math.dist(raw.middle, other.middle) < other.side / 2 for other in seen):
            continue
        seen.append(raw)
        reach = math.sqrt(2) * raw.side  # corners of a turned square twice as large as the face
        corner = [max(0, math.floor(m - reach)) for m in raw.middle]
        end = [min(limit, math.ceil(m + reach) + 1) for m, limit in zip(raw.middle, image.shape[::-1], strict=True)]
        small, to_small = _shrunk(image, (*corner, *end), _LOOKED_AT / raw.side)
        middle = (to_small @ (*raw.middle, 1.0))[:2]
        answered = False
        for angle in sorted({raw.angle, 0.0, *angles}):
            if abs(angle - raw.angle) > _NEAR:
                continue
            look = _turn(middle, angle)
            look[:2, 2] += _LOOKED_AT - middle
            sides = (2 * _LOOKED_AT, 2 * _LOOKED_AT)
            copy = cv2.warpAffine(small, look[:2], sides, borderMode=cv2.BORDER_REPLICATE)
            answers = _cascade(copy, round(0.7 * _LOOKED_AT), round(1.5 * _LOOKED_AT), 2, 1.1)
            best = max(_back(answers, look @ to_small, angle), key=lambda b: b.strength, default=None)
            if best is not None:
                # An upright face keeps the box of the pass over the whole image: it is OpenFace's.
                place = replace(raw, strength=best.strength) if angle == raw.angle == 0 else best
                answered = True
                yield _found(place, best.strength >= _SURE)
        if not answered:
            yield _found(raw, False)


def _shrunk(image: NDArray[np.uint8], region: tuple[int, int, int, int], factor: float) -> tuple[Array, Floats]:
    """A region (left, top, right, bottom) of an image, resized, and the (3, 3) map from the image to it."""
    left, top, right, bottom = region
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    size = [max(1, round(factor * side)) for side in (right - left, bottom - top)]
    small: Array = cv2.resize(image[top:bottom, left:right], size, interpolation=how)
    fx, fy = size[0] / (right - left), size[1] / (bottom - top)
    # Pixels are squares around whole numbers, so their corners stay in place, not their centres.
    return small, np.array([[fx, 0, (fx - 1) / 2 - fx * left], [0, fy, (fy - 1) / 2 - fy * top], [0, 0, 1]])


def _turn(middle: Floats, angle: float) -> Floats:
    """The (3, 3) map that turns counterclockwise, so that a face tilted clockwise by as much is upright."""
    x, y = middle.tolist()
    return np.vstack([cv2.getRotationMatrix2D((x, y), angle, 1.0), (0, 0, 1)])


def _back(answers: Iterable[_Answer], to_copy: Floats, angle: float) -> Iterator[_Raw]:
    """What was found in a copy, in the image."""
    back = np.linalg.inv(to_copy)
    scale = math.sqrt(np.linalg.det(back[:2, :2]))
    for x, y, width, height, strength in answers:
        cx, cy, _ = (back @ (x + width / 2, y + height / 2, 1)).tolist()
        yield _Raw((cx, cy), (scale * width, scale * height), float(angle), strength)


_local = threading.local()
_NAME = "haarcascade_frontalface_alt.xml"


def _cascade_file() -> Path:
    """The cascade of this OpenCV: pip installs it into the package, conda and Debian into a folder of shared data."""
    package = Path(cv2.__file__).parent
    shared = [Path(prefix, "share/opencv4") for prefix in (sys.prefix, "/usr/local", "/usr")]
    folders = [package / "data", *(folder / "haarcascades" for folder in (*shared, Path(sys.prefix, "Library/etc")))]
    for folder in folders:
        if (folder / _NAME).is_file():
            return folder / _NAME
    raise ClnfError(f"OpenCV's face detector, {_NAME}, is not here; expected in one of: {', '.join(map(str, folders))}")


def _classifier() -> cv2.CascadeClassifier:
    """The cascade, read here: OpenCV opens no file on Windows whose path is not in the code page of the system."""
    file = _cascade_file()
    cascade = cv2.CascadeClassifier()
    storage = cv2.FileStorage()
    try:
        storage.open(file.read_text("utf-8"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        usable = cascade.read(storage.getFirstTopLevelNode())
    except (OSError, ValueError, cv2.error):
        usable = False
    if not usable:
        raise ClnfError(f"{file}: cannot be read as OpenCV's face detector; install OpenCV again")
    return cascade


def _cascade(image: Array, min_size: int, max_size: int = 0, min_answers: int = 2, step: float = 1.2) -> list[_Answer]:
    """The frontal faces of OpenCV's cascade, and to how many windows around each it answered; 0 is no largest size."""
    # A classifier may not be shared between threads.
    cascade: cv2.CascadeClassifier | None = getattr(_local, "cascade", None)
    if cascade is None:
        cascade = _local.cascade = _classifier()
    boxes, answers = cascade.detectMultiScale2(
        image, step, min_answers, minSize=(min_size, min_size), maxSize=(max_size, max_size)
    )
    rows = np.column_stack([np.reshape(boxes, (-1, 4)), np.ravel(answers)]).tolist()
    return [(float(x), float(y), float(w), float(h), int(k)) for x, y, w, h, k in rows]
