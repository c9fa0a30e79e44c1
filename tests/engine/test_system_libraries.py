"""Libraries of the system that are not there: which package to install, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clnf_engine import ClnfError
from clnf_engine.system_libraries import OPENCV_LIBRARIES, QT_LIBRARIES, missing_libraries, told_what_to_install

LOADER = "cannot open shared object file: No such file or directory"
RUN = "on Debian and Ubuntu run: sudo apt-get install -y"


def told(problem: str, libraries: dict[str, str]) -> str:
    with pytest.raises(ClnfError) as caught, told_what_to_install(libraries):
        raise ImportError(problem)
    return str(caught.value)


def test_all_that_is_missing_is_named_at_once() -> None:
    libraries = {"libGL.so.1": "libgl1", "libnone-a.so.1": "liba", "libnone-b.so.2": "liba", "libnone-c.so": "libc"}
    assert told(f"libGL.so.1: {LOADER}", libraries) == f"libGL.so.1 is not on this system; {RUN} libgl1 liba libc"


def test_a_library_of_no_known_package() -> None:
    sentence = "libodd.so.3.2 is not on this system; install it with the system's package manager"
    assert told(f"libodd.so.3.2: {LOADER}", {}) == sentence


@pytest.mark.parametrize("problem", ["No module named 'x'", "cannot import name 'libGL.so.1' from 'x'", ""])
def test_other_problems_of_an_import_are_left_alone(problem: str) -> None:
    with pytest.raises(ImportError) as caught, told_what_to_install(OPENCV_LIBRARIES):
        raise ImportError(problem)
    assert str(caught.value) == problem


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries of Linux")
def test_libraries_that_are_here_are_not_missing() -> None:
    assert missing_libraries({"libc.so.6": "libc6", "libnone.so.1": "none"}) == {"libnone.so.1": "none"}
    assert not {name for name in OPENCV_LIBRARIES | QT_LIBRARIES if not name.startswith("lib")}


def test_the_command_says_what_to_install(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text(f"raise ImportError('libGL.so.1: {LOADER}')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    words = [sys.executable, "-m", "clnf_engine", "fit", "photo.jpg"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"clnf: libGL.so.1 is not on this system; {RUN} libgl1")
