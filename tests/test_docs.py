"""README and docs: every block of Python and every command on them runs, in order, page by page.

A page runs in a folder that holds what its reader would have: a photo and its landmarks, a clip, the recorded run of a
port, a model. What does not run is named here, with the reason.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from engine.training.drawn_faces import write_faces
from engine.video_tools import write_clip
from port.foreign_files import cpp_trace, openface_csv, response_files

import clnf_engine
from clnf_engine import FitOptions, Trace, fit, initials_from_detector, load_model, sample
from clnf_engine.commandline.main import _parser, main
from clnf_engine.io.landmarks import pts_text
from clnf_engine.library import find_model

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
OPENFACE_MODEL = Path(os.environ.get("CLNF_SHARED") or ROOT.parent / "shared") / "openface" / "main_clnf_general.txt"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

LEFT_OUT = {
    r"clnf train": "trains for minutes; tests/engine/training does it",
    r"MODEL_DIR|--model MODEL\b|FACES --model path": "needs what the training would have made, or many faces",
    r"check run --model path": "what the program of the line before would have recorded",
    r"clnf diagnose photo.jpg --report": "asks every question; tests/engine/commandline/test_diagnosis.py does it",
    r"PHOTO|clnf compare .*pyclnf": "tests/engine/test_paradox.py asks these questions",
    r"^clnf-gui|-m clnf_gui": "opens the window; tests/gui does it",
    r"FaceLandmarkImg|my_port": "a program of somebody else's",
    r"--scheduler": "needs a cluster; tests/engine/studies has one",
    r"^(pip|python -m pip|uv|git) ": "installs",
}
"""Commands whose words are checked, but which do not run: what they have in them, and why."""

COMPILED_ONLY = {"dask_jobqueue": "runs where jobs are sent to SLURM"}
"""Blocks of Python that are not run: what they import, and why."""

OPENFACE = r"main_clnf_\w+\.txt|--eyes"
"""Commands that need OpenFace's model."""

NOT_CONFORMING = ("check", "check-vectors")
"""Commands that answer "something does not conform" by exit code 1."""

SYNOPSIS = "clnf fit IMAGE…"
"""How the table of all commands begins; it is no program."""


@dataclass(frozen=True)
class Block:
    """A block of code: its page, the line before its first, what it is written in, and its lines."""

    page: Path
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks by their language; indented ones by what they look like."""
    lines = page.read_text(encoding="utf-8").splitlines()
    k = 0
    while k < len(lines):
        first, line = k + 1, lines[k]
        if fence := re.match(r"( *)(```+)\{?([\w-]*)", line):
            k += 1
            while not lines[k].strip().startswith(fence[2]):
                k += 1
            yield Block(page, first, fence[3], "\n".join(x.removeprefix(fence[1]) for x in lines[first:k]))
        elif line.startswith("    ") and not lines[k - 1].strip() and not _in_list(lines, k):
            while k + 1 < len(lines) and (lines[k + 1].startswith("    ") or not lines[k + 1].strip()):
                k += 1
            text = "\n".join(x[4:] for x in lines[first - 1 : k + 1])
            yield Block(page, first - 1, "python" if text.startswith(("import ", "from ")) else "sh", text)
        k += 1


def _in_list(lines: list[str], k: int) -> bool:
    before = next((x for x in reversed(lines[:k]) if x.strip()), "")
    return bool(re.match(r" *([-*]|\d+\.) ", before))


COMMAND = re.compile(r"(\.venv/bin/)?(clnf|clnf-gui|make|python|pip|uv|git)( |$)|PHOTO=|\w+=\S+ \./")


def commands(block: Block) -> list[tuple[int, str]]:
    """The commands of a block of shell, with their lines in the page."""
    if block.language != "sh" or block.text.startswith(SYNOPSIS):
        return []
    numbered = enumerate(block.text.splitlines(), start=block.line + 1)
    return [(number, line.split("  #")[0].strip()) for number, line in numbered if COMMAND.match(line)]


# --- what a reader has --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def possessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trace]:
    """A folder with the files that pages name, and a fit to the photo."""
    folder = tmp_path_factory.mktemp("reader")
    model, portrait = load_model(), sample("portrait")
    start = initials_from_detector(model, portrait.gray)[0]
    trace = fit(portrait.gray, model, start)
    port = fit(portrait.gray, model, start, FitOptions(euler_transposed=True))
    shutil.copy(portrait.path, folder / "photo.jpg")
    (folder / "photo.pts").write_text(pts_text(trace.landmarks))
    Trace(portrait.gray, model.name, start, FitOptions(), port.steps, model.fingerprint).save(folder / "port.npz")
    cpp_trace(folder / "cpp_trace.txt", port)
    response_files(folder / "maps", port)
    openface_csv(folder / "face.csv", port)
    cv2.imwrite(str(folder / "photo.png"), portrait.rgb[..., ::-1])
    write_clip(folder / "clip.mp4", [np.roll(portrait.rgb, 3 * k, axis=1) for k in range(4)])
    for name in ("FACES", "faces"):
        write_faces(folder / name, 2, seed=1)
    shutil.copytree(find_model().parent, folder / "M")
    (folder / "mine.py").write_text("def clamp(moved):\n    return moved\n")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    return folder, trace


@pytest.fixture
def reader(
    possessions: tuple[Path, Trace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """Be where the files are; the names that a page may use without saying where they are from."""
    folder, trace = possessions
    shutil.copytree(folder, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    monkeypatch.syspath_prepend(str(ROOT / "clnf_engine" / "recorders"))
    known = {name: getattr(clnf_engine, name) for name in clnf_engine.__all__}
    yield known | {
        "gray": trace.image,
        "model": load_model(),
        "start": trace.initial,
        "params": trace.initial.params,
        "response": trace.steps[1].responses.final[8],
        "i": 8,
        "my_update": lambda params, delta: params,
    }
    sys.modules.pop("clnf_recorder", None)


# --- tests --------------------------------------------------------------------------------------------


def has_code(page: Path) -> bool:
    return any(block.language == "python" or commands(block) for block in blocks(page))


@pytest.mark.parametrize("page", list(filter(has_code, PAGES)), ids=lambda page: page.name)
def test_a_page_runs(page: Path, reader: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names = {} if page.name == "README.md" else reader
    left_out = 0
    for block in blocks(page):
        if block.language == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            if not any(module in block.text for module in COMPILED_ONLY):
                exec(code, names)
        for line, command in commands(block):
            if re.search(OPENFACE, command) and not is_left_out(command):
                if not OPENFACE_MODEL.is_file():
                    left_out += 1
                    continue
                given = re.sub(r"\S*main_clnf_\w+\.txt|(?<=--model )M\b", str(OPENFACE_MODEL), command)
            else:
                given = command
            run(given, f"{page.name}:{line}", capsys)
    if left_out:
        pytest.skip(f"all but {left_out} commands, which need OpenFace's model")


def is_left_out(command: str) -> bool:
    return any(re.search(pattern, command) for pattern in LEFT_OUT)


def run(command: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of a page, or check its words."""
    words = [word.replace("$PHOTO", "photo.jpg") for word in shlex.split(command, comments=True)]
    program = words[0].removeprefix(".venv/bin/")
    if program == "make":
        target = next((word for word in words[1:] if "=" not in word), "help")
        assert re.search(rf"^{target}:", MAKEFILE, re.M), f"{where}: there is no target {target}"
    elif program == "clnf" and is_left_out(command):
        _parser().parse_args(words[1:])
    elif program == "python" and words[1].startswith("scripts/") and not is_left_out(command):
        runpy.run_path(str(ROOT / words[1]), run_name=words[1])["main"](*words[2:])
    elif program == "clnf":
        prepare(words)
        here = ["--workers", "0"] if words[1:3] == ["study", "run"] else []  # tests/engine/studies starts processes
        code = main([*words[1:], *here])
        said = capsys.readouterr()
        allowed = (0, 1) if words[1] in NOT_CONFORMING else (0,)
        assert code in allowed, f"{where}: {command}: exit code {code}\n{said.err}"
    else:
        assert is_left_out(command), f"{where}: nobody runs {command}"


def prepare(words: list[str]) -> None:
    """What a reader makes between two commands."""
    if words[1] == "check-vectors" and not Path(words[3]).exists():
        shutil.copytree(Path(words[2]) / "update", Path(words[3]) / "update")
    if words[1] == "vectors" and Path(words[2]).exists():
        shutil.rmtree(words[2])


@pytest.mark.parametrize("example", sorted((ROOT / "docs" / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_of_the_gallery_runs(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)
    with plt.rc_context({"backend": "agg"}):
        runpy.run_path(str(example))
        assert plt.get_fignums()
        plt.close("all")


LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)", text, re.M))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("[CS]*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Within the checkout, as on GitHub; the site's own pages of the gallery are made with it."""
    broken = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        if "docs/generated/" not in path.as_posix() and (
            not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path))
        ):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_the_table_of_commands_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    (table,) = (block for page in PAGES for block in blocks(page) if block.text.startswith(SYNOPSIS))
    main(["--help"])
    listed = re.findall(r"^    ([a-z][\w-]*)", capsys.readouterr().out, re.M)
    assert set(re.findall(r"^clnf ([\w-]+)", table.text, re.M)) == set(listed)


def test_what_is_left_out_is_there() -> None:
    """A reason that no page needs any more is none."""
    every = [command for page in PAGES for block in blocks(page) for _, command in commands(block)]
    unused = [pattern for pattern in LEFT_OUT if not any(re.search(pattern, command) for command in every)]
    assert unused == []
    assert len(every) > 60
