"""OpenFace's model files made by hand, for the tests of reading them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clnf_engine import ModelFileError
from clnf_engine.io.openface import read_model, write_model

from ..tiny_model import micro_model

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200)


def refused(path: Path, *words: str, read: Any = read_model) -> str:
    """The message of the refusal: one sentence that names a file and holds the given words."""
    with pytest.raises(ModelFileError) as error:
        read(path)
    message = str(error.value)
    assert "\n" not in message
    name = str(error.value.path)
    assert len(message) <= 300
    assert name in message or (len(name) > 200 and message.startswith(name[:100]))
    for word in words:
        assert word in message, message
    return message


def matrix(values: Any, code: int) -> bytes:
    values = np.atleast_2d(values)
    kind = {4: "<i4", 5: "<f4", 6: "<f8"}[code]
    return struct.pack("<iii", *values.shape, code) + values.astype(kind).tobytes()


SYMMETRIC = np.add.outer(np.arange(9), np.arange(9))


def ccnf(**overrides: bytes) -> bytes:
    """Two landmarks, two views, one of which misses landmark 1; every field can be replaced by its name."""
    parts: list[tuple[str, bytes]] = [("scaling", struct.pack("<d", 0.25)), ("views", struct.pack("<i", 2))]
    parts += [("centre0", matrix([[0.0], [0], [0]], 6)), ("centre1", matrix([[0.0], [-30], [5]], 6))]
    parts += [("visible0", matrix([[1], [1]], 4)), ("visible1", matrix([[1], [0]], 4))]
    parts += [("windows", struct.pack("<i", 1)), ("window", struct.pack("<i", 3)), ("count", struct.pack("<i", 2))]
    parts += [("sigma0", matrix(np.eye(9), 5)), ("sigma1", matrix(SYMMETRIC, 5))]
    for view, landmark, neurons in ((0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
        name = f"v{view}l{landmark}"
        parts += [(f"{name}.tag", struct.pack("<i", 5)), (f"{name}.width", struct.pack("<i", 3))]
        parts += [(f"{name}.height", struct.pack("<i", 2)), (f"{name}.neurons", struct.pack("<i", neurons))]
        for k in range(neurons):
            seed = 100 * view + 10 * landmark + k
            parts += [(f"{name}n{k}.tag", struct.pack("<i", 2)), (f"{name}n{k}.kind", struct.pack("<i", 0))]
            parts += [(f"{name}n{k}.numbers", struct.pack("<ddd", seed + 0.1, -seed - 0.2, seed + 0.3))]
            parts += [(f"{name}n{k}.weights", matrix(np.arange(6).reshape(2, 3) + seed, 5))]
        if neurons:
            parts += [(f"{name}.betas", struct.pack("<dd", 0.5, 0.25)), (f"{name}.confidence", struct.pack("<d", 0.75))]
        else:
            parts += [(f"{name}.end", struct.pack("<i", 0))]
    parts.append(("tail", b""))
    unknown = set(overrides) - {name for name, _ in parts}
    assert not unknown, unknown
    return b"".join(overrides.get(name, data) for name, data in parts)


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


def f64(value: float) -> bytes:
    return struct.pack("<d", value)


def files_of(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def write(folder: Path, **files: str | bytes) -> Path:
    """A model, all its files beside each other: the micro model's, some (``main`` for main.txt …) replaced or added."""
    main = write_model(replace(micro_model(), name="main"), folder)
    (own,) = (path for path in folder.iterdir() if path.is_dir())
    for file in own.iterdir():
        file.replace(folder / file.name)
    own.rmdir()
    main.write_text(main.read_text().replace(f"{own.name}/", ""))
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.txt").write_bytes(data)
    return folder / "main.txt"


PATCHES = "ccnf_patches_0_0.25.bin"
PDM_TEXT = """# mean
6
1
6
1.5
2
3
4
5
-6e0
# components
6
1
5
1 0 0 0 0 1
# variances
1
1
6
2.25
"""
