"""Fixtures that several modules of the engine's tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from clnf_engine import Model, load_model
from clnf_engine.io.openface import write_model

from . import trace_tools
from .cli_tools import save
from .tiny_model import tiny_model


@pytest.fixture(scope="module")
def trace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `trace_tools.load_bytes` writes its files."""
    trace_tools.folder = tmp_path_factory.mktemp("traces")
    return trace_tools.folder


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as files."""
    return str(write_model(tiny_model(), tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def model(model_file: str) -> Model:
    """The tiny model as it is read from its files."""
    return load_model(model_file)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """The tiny face as a file."""
    return save(tmp_path / "photo.png")
