"""Damage to files: bits, blocks, lengths and numbers changed as transfers, other programs and attackers change them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from random import Random

_NUMBERS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, -(2**31), 2**32 - 1)
_WORDS = (
    *(b"nan", b"inf", b"-inf", b"1e309", b"-0", b"1e-320", b"9" * 400, b"", b"null", b"true", b"[]", b"{}", b'"x"'),
    *(b"\xff", b"\0", b"\xef\xbb\xbf", b"../../x", b"/dev/zero", b"=1+1", b"$x^$", b"1_0", "٣".encode(), b"0x10"),
)
_WORD = re.compile(rb"[A-Za-z0-9_.+-]+")

Mutation = Callable[[bytearray, Random], None]


def mutated(data: bytes, random: Random) -> bytes:
    """A copy with one to four changes."""
    result = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if result:
            random.choice(_MUTATIONS)(result, random)
    return bytes(result)


def _place(data: bytearray, random: Random) -> tuple[int, int]:
    """A block, short ones and those near the beginning more often."""
    start = random.randrange(min(len(data), random.choice((64, 512, len(data)))))
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 16, 200, len(data))))


def _flip(data: bytearray, random: Random) -> None:
    start, _ = _place(data, random)
    data[start] ^= 1 << random.randrange(8)


def _overwrite(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    data[start:end] = random.randbytes(end - start)


def _remove(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    del data[start:end]


def _repeat(data: bytearray, random: Random) -> None:
    start, end = _place(data, random)
    data[start:start] = data[start:end] * random.choice((1, 2, 20))


def _truncate(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def _number(data: bytearray, random: Random) -> None:
    start, _ = _place(data, random)
    form = random.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    data[start : start + size] = struct.pack(form, random.choice(_NUMBERS) % (1 << 8 * size))


def _real(data: bytearray, random: Random) -> None:
    start, _ = _place(data, random)
    value = random.choice((float("nan"), float("inf"), -1.0, 0.0, 1e300, 1e-300))
    packed = struct.pack("<d", value) if random.random() < 0.5 or value == 1e300 else struct.pack("<f", value)
    data[start : start + len(packed)] = packed


def _word(data: bytearray, random: Random) -> None:
    words = list(_WORD.finditer(bytes(data[: 1 << 14])))
    if words:
        word = random.choice(words)
        data[word.start() : word.end()] = random.choice(_WORDS)


def _line(data: bytearray, random: Random) -> None:
    lines = bytes(data).split(b"\n")
    k = random.randrange(len(lines))
    what = random.randrange(3)
    if what == 0:
        del lines[k]
    elif what == 1:
        lines[k:k] = [lines[k]] * random.choice((1, 5))
    else:
        random.shuffle(lines)
    data[:] = b"\n".join(lines)


_MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _overwrite,
    _remove,
    _repeat,
    _truncate,
    _number,
    _number,
    _real,
    _word,
    _word,
    _line,
)
