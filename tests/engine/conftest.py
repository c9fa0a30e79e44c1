"""Fixtures that several modules of the engine's tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import trace_tools


@pytest.fixture(scope="module")
def trace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `trace_tools.load_bytes` writes its files."""
    trace_tools.folder = tmp_path_factory.mktemp("traces")
    return trace_tools.folder
