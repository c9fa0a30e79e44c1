"""What must hold of any input: it is used, or refused in one short line; in time, without a warning or a crash."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from random import Random

from clnf_engine.errors import ClnfError

from .commands import Commands
from .formats import Format, formats
from .mutations import mutated

MOST_SECONDS = 10.0
"""Of processor time for one input."""


class Fuzzer:
    """All formats and commands.

    Parameters
    ----------
    folder : Path
        For the files.

    Attributes
    ----------
    formats : dict of str to Format
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.formats: dict[str, Format] = formats(folder)
        (folder / "commands").mkdir()
        self._commands = Commands(folder / "commands")

    def whole(self, name: str) -> None:
        """Use the whole files of a format, of which all are good."""
        for seed in self.formats[name].seeds:
            self._use(name, seed)

    def file(self, name: str, random: Random) -> bytes:
        """Use a damaged file of a format; the file, and what happened as an exception if it should not have."""
        data = mutated(random.choice(self.formats[name].seeds), random)
        self.check(name, data)
        return data

    def check(self, name: str, data: bytes) -> None:
        """Use a file of a format, which may be refused."""
        try:
            self._use(name, data)
        except ClnfError as error:
            message = str(error)
            assert len(message) <= 300 and message.isprintable(), message

    def _use(self, name: str, data: bytes) -> None:
        kind = self.formats[name]
        path = self._folder / name.removeprefix("model ") / kind.name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # to overwrite a file is many times slower on some file systems
        path.write_bytes(data)
        begin = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # What zipfile and NumPy have to say about damaged archives is for programmers.
            warnings.filterwarnings("ignore", module="zipfile|numpy")
            kind.use(path)
        taken = time.process_time() - begin
        assert taken < MOST_SECONDS, f"took {taken:.1f} s"

    def command(self, random: Random) -> list[str]:
        """Run a command line; its words."""
        words = self._commands.words(random)
        self._commands.run(words)
        return words
