"""Interruptions at any moment, and standard streams that are closed or full: real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from systems import heard_ctrl_c, needs_shell, needs_signals

from ..cli_tools import BOX_TEXT, save

INTERRUPTING = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == WHERE:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                import time
                time.sleep(10)
            except KeyboardInterrupt:
                if HOW == "other":
                    raise ImportError("numpy.core.multiarray failed to import")  # as modules in C have it
                raise
sys.meta_path.insert(0, Finder())
sys.argv[1:] = ARGV
runpy.run_module("clnf_engine", run_name="__main__", alter_sys=True)
"""


@needs_signals
@pytest.mark.parametrize("how", ["as it is", "other"])
@pytest.mark.parametrize("where", ["clnf_engine.commandline.main", "argparse", "numpy", "cv2", "clnf_engine.fitting"])
def test_an_interruption_while_modules_are_imported(where: str, how: str, tmp_path: Path, model_file: str) -> None:
    argv = ["fit", save(tmp_path / "a.png"), "--model", model_file, f"--box={BOX_TEXT}"]
    code = f"WHERE, HOW, ARGV = {where!r}, {how!r}, {argv!r}\n{INTERRUPTING}"
    with heard_ctrl_c():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def shell(words: str, tmp_path: Path) -> tuple[int, str]:
    """Exit code and standard error of a command for the shell, in which CLNF is the program."""
    command = words.replace("CLNF", f"{sys.executable} -m clnf_engine")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    return done.returncode, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_closed_and_full_streams(tmp_path: Path) -> None:
    for words, expected in {
        "CLNF models >&-": (2, "clnf: standard output: Bad file descriptor\n"),
        "CLNF --help >&-": (2, "clnf: standard output: Bad file descriptor\n"),
        "CLNF models >/dev/full": (2, "clnf: standard output: No space left on device\n"),
        "CLNF fit none.jpg >&-": (2, "clnf: none.jpg: no such file\n"),
        "CLNF fit none.jpg 2>/dev/full": (2, ""),
        "CLNF fit none.jpg 2>&-": (2, ""),
        "CLNF models <&- >/dev/null 2>&-": (0, ""),
        "CLNF fit none.jpg <&- >&- 2>&-": (2, ""),
    }.items():
        assert shell(words, tmp_path) == expected, words


@needs_shell
def test_names_that_terminals_obey(tmp_path: Path) -> None:
    code, err = shell("CLNF fit \"$(printf 'a\\033[31m.jpg')\"", tmp_path)
    assert (code, err) == (2, "clnf: a\\x1b[31m.jpg: no such file\n")


@needs_shell
def test_files_do_not_get_what_is_meant_for_a_closed_stream(tmp_path: Path, model_file: str) -> None:
    """The first file that is opened would have the number of a stream that is closed."""
    save(tmp_path / "a.png")
    words = f"CLNF fit a.png --model {model_file} --box={BOX_TEXT} --format pts -o a.pts <&- >&- 2>&-"
    assert shell(words, tmp_path)[0] == 0
    assert (tmp_path / "a.pts").read_text().startswith("version: 1\n")
