"""The command as a test calls it, and the files it is given."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clnf_engine.commandline.main import main

from .tiny_model import tiny_image

BOX = (9.0, 27.0, 130.0, 120.0)
BOX_TEXT = "9,27,130,120"
Output = pytest.CaptureFixture[str]


def run(capsys: Output, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


def save(path: Path, pixels: np.ndarray | None = None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    good, data = cv2.imencode(".png", tiny_image() if pixels is None else pixels)
    assert good
    path.write_bytes(data.tobytes())
    return str(path)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
