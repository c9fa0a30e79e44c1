"""Read an image as 8-bit colour for display and 8-bit grey levels for the fit."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, read_only_fields
from clnf_engine.errors import ImageFileError
from clnf_engine.io.files import read_file
from clnf_engine.io.image_headers import read_header

MAX_PIXELS = 1 << 28
"""Largest image that is read, pixels; the photos of 200-megapixel phones pass."""

MAX_BYTES = 5 << 28
"""Most memory that reading an image may take, the file's bytes included."""

_MAX_FILE_BYTES = 1 << 29
_OWN_COST = 4
"""Bytes per pixel of an `Image`."""

_BAND = 1 << 20
"""Values that are converted at a time."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image in the two forms the program needs.

    Attributes
    ----------
    path : Path
        The file it was read from.
    rgb : (H, W, 3) uint8
        Read-only; for display.
    gray : (H, W) uint8
        Read-only; grey levels, for the fit.
    """

    path: Path
    rgb: NDArray[np.uint8]
    gray: NDArray[np.uint8]


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read any still image that OpenCV reads, upright as its EXIF orientation says.

    16-bit images are divided by 257, so that full range stays full range. Images of any other depth have 0 as
    black and 1, or their maximum where that is larger, as white. Transparency is dropped: the colours under it
    count, as they do for OpenFace. Grey levels of a colour image are OpenCV's ``COLOR_BGR2GRAY`` of its 8-bit
    form; those of a grey image are its own.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Image

    Raises
    ------
    ImageFileError
        When the file is missing, empty, truncated, damaged, too large or not an image.
    """
    return decode_image(path, image_bytes(path))


def image_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of the file of an image, for `decode_image`; errors as of `read_image`."""
    return read_file(path, "an image", _MAX_FILE_BYTES, ImageFileError)


def decode_image(path: str | os.PathLike[str], data: bytes) -> Image:
    """As `read_image`, of a file whose content is known."""
    path = Path(path)
    if not data:
        raise ImageFileError(path, "", "the file is empty; expected an image")
    _check_size(path, data)
    pixels = _to_8_bits(_decode(path, data))
    gray = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    return read_only_fields(Image(path, _as_rgb(pixels), gray))


def _decode(path: Path, data: bytes) -> Array:
    # These flags keep depth and grey, drop alpha and, unlike IMREAD_UNCHANGED, obey the EXIF orientation.
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    try:
        with _silent_opencv(), _silent_libjpeg():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, SystemError):  # the latter for an image whose memory OpenCV cannot get
        pixels = None
    if pixels is None:
        raise ImageFileError(path, "", "not an image that OpenCV can read, or a damaged one")
    return pixels


def _check_size(path: Path, data: bytes) -> None:
    """Refuse an image that would take too much memory, before it is decoded."""
    header = read_header(path, data)
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise ImageFileError(path, "", f"has {header.width}×{header.height} pixels; expected at most {MAX_PIXELS}")
    taken = len(data) + pixels * max(header.cost, _OWN_COST)
    if taken > MAX_BYTES:
        size = f"{header.width}×{header.height} pixels of this kind"
        raise ImageFileError(path, "", f"has {size}, which take {taken} bytes to read; expected at most {MAX_BYTES}")


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """Keep OpenCV's own messages about a broken image off stderr."""
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # moved after OpenCV 4.10
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


_LIBJPEG = re.compile(
    rb"(Corrupt JPEG|Premature end of JPEG|Invalid SOS|Unknown Adobe|Warning: |Inconsistent prog).*\n"
)
_descriptor_2 = threading.Lock()


@contextmanager
def _silent_libjpeg() -> Iterator[None]:
    """Keep what libjpeg says of damage that it mends off stderr, and nothing else that is written there."""
    with _descriptor_2, tempfile.TemporaryFile() as caught:
        try:
            stderr = os.dup(2)
        except OSError:  # closed
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            with suppress(OSError):  # a full disk behind stderr
                os.write(2, _LIBJPEG.sub(b"", caught.read()))


def _to_8_bits(pixels: Array) -> NDArray[np.uint8]:
    """Grey levels of 8 bits, computed in bands, as they take several times as much memory on the way."""
    if pixels.dtype == np.uint8:
        return pixels
    levels = np.empty(pixels.shape, np.uint8)
    bands = [slice(at, at + _BAND // pixels[0].size + 1) for at in range(0, len(pixels), _BAND // pixels[0].size + 1)]
    if pixels.dtype == np.uint16:
        for band in bands:
            levels[band] = (pixels[band].astype(np.uint32) + 128) // 257
        return levels
    whites = (values.max(initial=1.0, where=np.isfinite(values)) for values in map(pixels.__getitem__, bands))
    white = np.float64(max(whites))
    for band in bands:
        with np.errstate(invalid="ignore"):  # signalling NaNs
            shares = np.nan_to_num(pixels[band].astype(np.float64) / white, nan=0.0, posinf=1.0, neginf=0.0)
        levels[band] = np.rint(255 * np.clip(shares, 0.0, 1.0))
    return levels


def _as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours that OpenCV decoded, in their other order, in place."""
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    for row in range(0, len(pixels), 64):
        pixels[row : row + 64] = pixels[row : row + 64, :, ::-1]
    return pixels
