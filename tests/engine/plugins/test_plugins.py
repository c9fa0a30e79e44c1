"""Functions of a user's file in a process of its own: the same fit bit for bit, and one sentence for whatever fails."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems import needs_fifo

from clnf_engine import ClnfError, Trace, fit
from clnf_engine.errors import FileError
from clnf_engine.plugins.file import own_functions
from clnf_engine.plugins.process import fit_steps_with, fit_with

from ..cli_tools import BOX_TEXT, Output, run
from ..tiny_model import start, tiny_image, tiny_model
from ..trace_tools import assert_same
from .files import damped


def with_file(path: Path, text: str | None = None) -> Trace:
    if text is not None:
        path.write_text(text)
    return fit_with(path, tiny_image(), tiny_model(), start())


def test_the_steps_are_those_of_the_same_functions_here(tmp_path: Path) -> None:
    file, told = damped(tmp_path / "mine.py"), []
    file.write_text(file.read_text().replace("    return", "    print('δ', delta.shape)\n    return"))
    (tmp_path / "numbers_of_mine.py").write_text("FACTOR = 0.75")
    file.write_text("import numbers_of_mine\n" + file.read_text().replace("0.75", "numbers_of_mine.FACTOR"))
    there = fit_with(file, tiny_image(), tiny_model(), start(), None, told.append)
    here = fit(tiny_image(), tiny_model(), start(), replace=own_functions(file).functions)
    assert there.landmarks.tobytes() != fit(tiny_image(), tiny_model(), start()).landmarks.tobytes()
    for mine, own in zip(there.steps, here.steps, strict=True):
        assert_same(mine, own)
    maps = [[step.responses is other.responses for other in there.steps] for step in there.steps]
    assert maps == [[step.responses is other.responses for other in here.steps] for step in here.steps]
    step = there.steps[-2]
    assert not (step.params.flags.writeable or step.responses.final.flags.writeable)
    assert not step.mean_shift.reference.flags.writeable
    iterations = sum(step.iteration is not None for step in there.steps)
    assert told.count("δ (6,)") + told.count(f"δ ({len(step.params)},)") == iterations
    assert dict(there.notes) == {"functions": json.dumps(str(file))}


UPDATE = "def update(params, delta):\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (UPDATE + "    return params[:3]\n", "line 1, update: the function in its place gave an array of"),
        (UPDATE + "    return params / [\n        int('x')]\n", "line 3, update: raised ValueError: invalid"),
        (UPDATE + "    raise SystemExit\n", "line 2, update: raised SystemExit"),
        ("STEP_SECONDS = 1.5\n" + UPDATE + "    while True:\n        pass\n", "update: a step took longer than 1.5 s"),
        (
            f"import time\nFIT_SECONDS = 1.5\n{UPDATE}    time.sleep(0.4)\n    return params\n",
            "line 4, update: the fit took longer than 1.5 s",
        ),
        (f"import ctypes\n{UPDATE}    ctypes.string_at(0)\n", "line 3, update: the process of its functions ended"),
        (f"import os\n{UPDATE}    os._exit(3)\n", "mine.py: the process of its functions ended after stage 1"),
    ],
    ids=["shape", "raises", "exits", "loops", "too slow in all", "crashes", "ends"],
)
def test_what_fails_is_one_sentence_that_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ClnfError) as found:
        with_file(tmp_path / "mine.py", text)
    sentence = str(found.value)
    assert sentence.startswith(str(tmp_path / "mine.py")) and said in sentence and "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def update(params:\n", r"line 1: is not Python: '\(' was never closed"),
        ("import nothing_of_this_name\n", "line 1: raised ModuleNotFoundError: No module named"),
        ("def moved(params): return params\n", "has moved, but no function named after an operation; expected one"),
        ("from clnf_engine.pdm import update\nclamp = 3\n", "no function named after an operation"),
        ("def update(a, b, c): return a\n", "line 1, update: the function in its place requires 3 values; expected at"),
        (UPDATE + "    return params\nSTEP_SECONDS = '1'\n", "STEP_SECONDS: found '1'; expected a number of seconds"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(FileError, match=said):
        own_functions(tmp_path / "mine.py")


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.py: no such file"):
        own_functions(tmp_path / "none.py")


WAITS = (
    "import pathlib, time\n"
    "STEP_SECONDS = 600\n"
    "alive = open(pathlib.Path(__file__).with_name('alive'), 'w')\n"
    f"{UPDATE}    print('here', file=alive, flush=True)\n    time.sleep(600)\n"
)
"""Holds a pipe open as long as its process lives."""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file that waits for ever, and what it holds open."""
    os.mkfifo(tmp_path / "alive")
    (tmp_path / "mine.py").write_text(WAITS)
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    yield tmp_path / "mine.py", alive
    os.close(alive)


def heard(alive: int) -> bytes:
    """What comes next; b"" when its process has ended."""
    assert select.select([alive], [], [], 60)[0]
    return os.read(alive, 100)


@needs_fifo
def test_the_process_ends_when_nobody_waits_for_it(waiting: tuple[Path, int]) -> None:
    class EnoughError(Exception):
        pass

    def check() -> None:
        if select.select([waiting[1]], [], [], 0)[0] and os.read(waiting[1], 100) == b"here\n":
            raise EnoughError

    with pytest.raises(EnoughError):
        list(fit_steps_with(waiting[0], tiny_image(), tiny_model(), start(), check=check))
    assert heard(waiting[1]) == b""


@needs_fifo
def test_the_process_ends_with_its_parent_however_that_ends(waiting: tuple[Path, int]) -> None:
    program = (
        "import sys; from engine.tiny_model import *; from clnf_engine.plugins.process import fit_with\n"
        "fit_with(sys.argv[1], tiny_image(), tiny_model(), start(), None)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])}
    ready = select.poll()
    ready.register(waiting[1], select.POLLIN)
    with subprocess.Popen([sys.executable, "-c", program, str(waiting[0])], env=environment) as parent:
        assert ready.poll(60_000)
        assert os.read(waiting[1], 100) == b"here\n"
        parent.kill()
    assert heard(waiting[1]) == b""


def test_the_command_fits_with_the_functions_of_a_file(
    tmp_path: Path, capsys: Output, photo: str, model_file: str
) -> None:
    file = str(damped(tmp_path / "mine.py"))
    choices = [photo, "--model", model_file, "--box", BOX_TEXT]
    code, out, err = run(capsys, "fit", *choices, "--functions", file)
    damped_here = run(capsys, "fit", *choices, "-O", "step_damping=0.75")[1]
    assert (code, err) == (0, "")
    assert json.loads(out)["faces"] == json.loads(damped_here)["faces"]
    code, _, err = run(capsys, "trace", *choices, "--functions", file, "-o", str(tmp_path / "mine.npz"))
    assert (code, err) == (0, "")
    assert Trace.load(tmp_path / "mine.npz").landmarks.tolist() == json.loads(out)["faces"][0]["landmarks"]


def test_what_a_file_prints_and_fails_with_is_on_standard_error(
    tmp_path: Path, capsys: Output, photo: str, model_file: str
) -> None:
    file, out = tmp_path / "mine.py", tmp_path / "mine.npz"
    file.write_text(f"print('mine')\n{UPDATE}    return None\n")
    choices = [photo, "--model", model_file, "--box", BOX_TEXT, "--functions", str(file)]
    code, said, err = run(capsys, "trace", *choices, "-o", str(out))
    assert (code, said, out.exists()) == (2, "", False)
    said = f"clnf: {file}, line 2, update: the function in its place gave NoneType; expected numbers of shape (10,)"
    assert err == f"mine\n{said}\n"
    code, _, err = run(capsys, "fit", *choices, "--parts")
    assert code == 2 and "expected nothing that is done around it" in err
