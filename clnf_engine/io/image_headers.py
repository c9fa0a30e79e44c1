"""What can be told of an image before it is decoded.

Its size, so that a small file cannot claim all memory; and truncation, because libjpeg fills in what is missing and
libpng writes to stderr past any log level. Only kinds of image that are known here are decoded at all.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clnf_engine.errors import ImageFileError


@dataclass(frozen=True)
class Header:
    """Size of an image, and what OpenCV takes to decode it.

    Attributes
    ----------
    width, height : int
        px.
    cost : int
        Most bytes per pixel while it is decoded, with the result and the copy that Python gets.
    """

    width: int
    height: int
    cost: int


def read_header(path: Path, data: bytes) -> Header:
    """The header of a whole image file.

    Raises
    ------
    ImageFileError
        When the file is of no known kind, truncated or damaged, as far as can be told.
    """
    reader = next((reader for start, reader in _READERS if re.match(start, data, re.DOTALL)), None)
    try:
        header = None if reader is None else reader(path, data)
    except struct.error:
        raise _truncated(path, data) from None
    if header is None:
        raise ImageFileError(path, "", "not an image that OpenCV can read, or a damaged one")
    return header


def _truncated(path: Path, data: bytes) -> ImageFileError:
    return ImageFileError(path, f"byte {len(data)}", "the file ends before the image does; it is truncated")


def _cost(channels: int, depth: int) -> int:
    """Of decoders that need nothing but the result: one that is grey or colour, of so many bytes per value."""
    return 2 * depth * (1 if channels == 1 else 3)


_PNG = b"\x89PNG\r\n\x1a\n"


def _png(path: Path, data: bytes) -> Header | None:
    at, kind, header, frames = len(_PNG), b"", None, 1
    while kind != b"IEND":
        if at + 12 > len(data):
            raise _truncated(path, data)
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise _truncated(path, data)
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ImageFileError(path, f"byte {at}", "the checksum of a PNG chunk is wrong; the file is damaged")
        if kind == b"IHDR" and length >= 10:
            header = struct.unpack_from(">IIBB", data, at + 8)
        frames += 4 * (kind == b"acTL")  # of an animation, which are put together
        at = end + 4
    if header is None:
        return None
    width, height, bits, colour = header
    return Header(width, height, _cost(1 if colour == 0 else 3, 2 if bits == 16 else 1) * frames)


def _jpeg(path: Path, data: bytes) -> Header | None:
    at, marker, header = 2, 0, None
    while marker != 0xDA:  # start of scan
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            raise _truncated(path, data)
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # padding and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            scans = 3 + 2 * components if marker == 0xC2 else 0  # progressive: with all coefficients
            header = Header(width, height, max(_cost(components, 1), scans))
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    if data.find(b"\xff\xd9", at) < 0:  # end of image; cannot occur inside the compressed pixels
        raise _truncated(path, data)
    return header


_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 262, 277


def _tiff(path: Path, data: bytes) -> Header | None:
    order = "<" if data[:1] == b"I" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    size, entry, count = ("Q", "HHQ", 20) if big else ("I", "HHI", 12)
    (at,) = struct.unpack_from(order + size, data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    tags = {_BITS: 1, _PHOTOMETRIC: 0, _SAMPLES: 1}
    for k in range(min(entries, 1 << 12)):
        place = at + count * k
        tag, kind, number = struct.unpack_from(order + entry, data, place)
        form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if tag not in (_WIDTH, _HEIGHT, *tags) or form is None:
            continue
        value = place + struct.calcsize("=" + entry)
        if number * struct.calcsize("=" + form) > count - struct.calcsize("=" + entry):
            (value,) = struct.unpack_from(order + size, data, value)
        tags[tag] = max(struct.unpack_from(f"{order}{min(number, 64)}{form}", data, value), default=0)
    if _WIDTH not in tags or _HEIGHT not in tags:
        return None
    samples, depth = min(tags[_SAMPLES], 64), max(1, min(tags[_BITS], 64) // 8)
    grey = samples == 1 and tags[_PHOTOMETRIC] in (0, 1)
    return Header(tags[_WIDTH], tags[_HEIGHT], _cost(1 if grey else 3, depth) + samples * depth)  # with a strip


def _bmp(path: Path, data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<hh" if size == 12 else "<ii", data, 18)
    return Header(abs(width), abs(height), _cost(3, 1))


def _gif(path: Path, data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header(width, height, 13)


def _webp(path: Path, data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return Header(width, height, 8)


def _jpeg2000(path: Path, data: bytes) -> Header | None:
    found = []
    for start in re.finditer(b"\xff\x4f\xff\x51", data):
        right, bottom, left, top = struct.unpack_from(">IIII", data, start.start() + 8)
        components, bits = struct.unpack_from(">HB", data, start.start() + 40)
        cost = _cost(components, 1 if bits & 0x7F < 8 else 2) + 4 * components
        found.append(Header(max(0, right - left), max(0, bottom - top), cost))
    return max(found, key=lambda header: header.width * header.height * header.cost, default=None)


def _avif(path: Path, data: bytes) -> Header | None:
    found = [struct.unpack_from(">II", data, start.end() + 4) for start in re.finditer(b"ispe", data[: 1 << 20])]
    width, height = max(found, key=lambda size: size[0] * size[1], default=(0, 0))
    return Header(width, height, 24) if found else None


def _sun_raster(path: Path, data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 4)
    return Header(width, height, _cost(3, 1))


def _radiance(path: Path, data: bytes) -> Header | None:
    size = re.search(rb"\n-Y +(\d{1,9}) +\+X +(\d{1,9})\n", data[: 1 << 16])
    return size and Header(int(size[2]), int(size[1]), 25)


_GAP = rb"(?:\s|#[^\n]*\n)+"


def _portable(path: Path, data: bytes) -> Header | None:
    """PBM, PGM, PPM, PFM."""
    kind = data[1:2]
    size = re.match(rb"P." + 2 * (_GAP + rb"(\d{1,9})") + rb"(?:" + _GAP + rb"(\d{1,9}))?", data[: 1 << 16])
    if size is None:
        return None
    depth = 4 if kind in b"Ff" else 1 if kind in b"14" or int(size[3] or 0) < 256 else 2
    return Header(int(size[1]), int(size[2]), _cost(1 if kind in b"1245f" else 3, depth))


def _pam(path: Path, data: bytes) -> Header | None:
    names = (rb"WIDTH", rb"HEIGHT", rb"DEPTH", rb"MAXVAL")
    found = [re.search(rb"\n" + name + rb"\s+(\d{1,9})\s", data[: 1 << 16]) for name in names]
    width, height, channels, white = (int(match[1]) if match else 0 for match in found)
    return Header(width, height, _cost(channels, 2 if white > 255 else 1)) if found[0] and found[1] else None


_READERS: tuple[tuple[bytes, Callable[[Path, bytes], Header | None]], ...] = (
    (re.escape(_PNG), _png),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"II[*+]\0|MM\0[*+]", _tiff),
    (rb"BM", _bmp),
    (rb"GIF8[79]a", _gif),
    (rb"RIFF....WEBP", _webp),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", _jpeg2000),
    (rb"....ftypavi[fs]", _avif),
    (rb"\x59\xa6\x6a\x95", _sun_raster),
    (rb"#\?(RGBE|RADIANCE)", _radiance),
    (rb"P[1-6Ff]\s", _portable),
    (rb"P7\n", _pam),
)
"""Beginnings of files, as regular expressions, and what reads them."""
