"""Command lines made by chance: words that commands know, numbers and names that they do not expect."""

from __future__ import annotations

import argparse
import io
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from random import Random

import cv2
from engine.tiny_model import tiny_image, tiny_model

from clnf_engine.commandline.main import _parser, main
from clnf_engine.io.openface import write_model

_VALUES = (
    *(
        "",
        "0",
        "-1",
        "nan",
        "inf",
        "1e309",
        "1,2,3,4",
        "9,27,130,120",
        "-5,-5,10,10",
        "0,0,0",
        "9" * 400,
        "a=b",
        "=",
        ",",
    ),
    *("sigma=2", "windows=7", "max_iterations=1", "normalization=peak", "support=4", "what=1", "pose", "json", "csv"),
    *("photo.png", "model/main.txt", "model", "text.txt", "folder", "nowhere", "out.csv", "out.json", "no/folder/x"),
    *(
        "-",
        "--",
        "/dev/null",
        "/dev/zero",
        "a:b.mp4",
        "%d.png",
        "-o",
        "x" * 300,
        os.fsdecode(b"\xff"),
        "a\nb",
        "ü\x1b[1m",
    ),
)


class Commands:
    """A folder with some files, and what is typed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        cv2.imwrite(str(folder / "photo.png"), tiny_image())
        write_model(replace(tiny_model(), name="main"), folder / "model")
        (folder / "text.txt").write_text("hello\n")
        (folder / "folder").mkdir()
        self._commands = {name: _options(parser) for name, parser in _subcommands(_parser()).items()}

    def words(self, random: Random) -> list[str]:
        """A command line."""
        name = random.choice([*self._commands, random.choice(_VALUES)])
        known = self._commands.get(name, ["-o"])
        words = [name]
        if random.random() < 0.7 and name in ("fit", "trace", "compare", "diagnose"):
            words += ["photo.png", "--model", "model", "-O", "max_iterations=1", "-O", "windows=7,7"]
        for _ in range(random.randint(0, 5)):
            words.append(random.choice(known) if random.random() < 0.5 else random.choice(_VALUES))
        return words

    def run(self, words: list[str]) -> None:
        """Run a command line, and see that it ends as it should."""
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main(words)
        finally:
            os.chdir(before)
        assert code in (0, 1, 2), code
        lines = [line for line in err.getvalue().splitlines() if line.startswith("clnf: ")]
        assert all(len(line) < 330 and line.isprintable() for line in lines), lines
        assert (code == 0) or lines, "nobody was told what is wrong"
        assert not [name for name in os.listdir(self.folder) if re.match(r"\.clnf-", name)], "a temporary is left"


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [text for action in parser._actions for text in action.option_strings]
