"""Model files on disk, for the tests of reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clnf_engine.io.openface import write_model

from ..tiny_model import micro_model
from .model_tools import ccnf


@pytest.fixture
def patch_file(tmp_path: Path) -> Any:
    """Write a CCNF file with some fields replaced."""

    def write(**overrides: bytes) -> Path:
        path = tmp_path / "patches.bin"
        path.write_bytes(ccnf(**overrides))
        return path

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the micro model, written once; tests that break one use `broken`."""
    path = tmp_path_factory.mktemp("micro")
    write_model(micro_model(), path)
    return path
