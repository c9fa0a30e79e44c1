"""Programs in C++ that record, compiled where there is a compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import clnf_engine

RECORDERS = Path(clnf_engine.__file__).parent / "recorders"
COMPILER = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiled(source: Path, program: Path, *flags: str) -> Path:
    """The program of a source, which may include the recorder."""
    words = [str(COMPILER), "-std=c++17", "-pthread", *flags, f"-I{RECORDERS}", "-o", str(program), str(source)]
    run = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return program
