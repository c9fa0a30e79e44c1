"""Read an image as 8-bit colour for display and 8-bit grey levels for the fit."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, read_only_fields
from clnf_engine.errors import ImageFileError
from clnf_engine.io.files import read_file

MAX_PIXELS = 1 << 28
"""Largest image that is read, pixels; the photos of 200-megapixel phones pass."""

_MAX_FILE_BYTES = 1 << 29
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


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
    path = Path(path)
    data = read_file(path, "an image", _MAX_FILE_BYTES, ImageFileError)
    if not data:
        raise ImageFileError(path, "", "the file is empty; expected an image")
    if data.startswith(_PNG):
        _check_png(path, data)
    elif data.startswith(_JPEG):
        _check_jpeg(path, data)
    pixels = _to_8_bits(_decode(path, data))
    if pixels.ndim == 2:
        gray, rgb = pixels, _converted(pixels, cv2.COLOR_GRAY2RGB)
    else:
        gray, rgb = _converted(pixels, cv2.COLOR_BGR2GRAY), _converted(pixels, cv2.COLOR_BGR2RGB)
    return read_only_fields(Image(path, rgb, gray))


def _converted(pixels: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    return cv2.cvtColor(pixels, code).astype(np.uint8, copy=False)


def _decode(path: Path, data: bytes) -> Array:
    # These flags keep depth and grey, drop alpha and, unlike IMREAD_UNCHANGED, obey the EXIF orientation.
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    try:
        with _silent_opencv():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise _too_large(path, "more") from error
        pixels = None
    if pixels is None:
        raise ImageFileError(path, "", "not an image that OpenCV can read, or a damaged one")
    if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise _too_large(path, f"{pixels.shape[1]}×{pixels.shape[0]}")
    return pixels


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


def _to_8_bits(pixels: Array) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    values = pixels.astype(np.float64)
    white = values.max(initial=1.0, where=np.isfinite(values))
    levels: NDArray[np.float64] = np.nan_to_num(values / white, nan=0.0, posinf=1.0, neginf=0.0)
    return np.rint(255 * np.clip(levels, 0.0, 1.0)).astype(np.uint8)


# --- what can be told before decoding ---------------------------------------------------------------
#
# Image size, so that a small file cannot claim all memory; and truncation, because libjpeg fills in what is
# missing (older OpenCV passes that on without a word) and libpng writes to stderr past any log level.


def _check_png(path: Path, data: bytes) -> None:
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise _truncated(path, data)
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise _truncated(path, data)
        if kind == b"IHDR" and length >= 8:
            _check_size(path, *struct.unpack_from(">II", data, at + 8))
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ImageFileError(path, f"byte {at}", "the checksum of a PNG chunk is wrong; the file is damaged")
        at = end + 4


def _check_jpeg(path: Path, data: bytes) -> None:
    at, marker = 2, 0
    while marker != 0xDA:  # start of scan
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            raise _truncated(path, data)
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # padding and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            if at + 9 > len(data):
                raise _truncated(path, data)
            height, width = struct.unpack_from(">HH", data, at + 5)
            _check_size(path, width, height)
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    if data.find(b"\xff\xd9", at) < 0:  # end of image; cannot occur inside the compressed pixels
        raise _truncated(path, data)


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}×{height}")


def _too_large(path: Path, size: str) -> ImageFileError:
    return ImageFileError(path, "", f"has {size} pixels; expected at most {MAX_PIXELS}")


def _truncated(path: Path, data: bytes) -> ImageFileError:
    return ImageFileError(path, f"byte {len(data)}", "the file ends before the image does; it is truncated")
