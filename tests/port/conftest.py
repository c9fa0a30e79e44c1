"""The port in C++, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .compiling import SANITIZERS, WARNINGS, compiled


@pytest.fixture(scope="session")
def cpp_port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program in C++ that records; the sanitizers end it where they find anything."""
    program = tmp_path_factory.mktemp("port") / "port"
    return compiled(Path(__file__).parent / "recording.cpp", program, *WARNINGS, *SANITIZERS)
