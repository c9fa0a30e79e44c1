"""The errors a user can cause; each message is one sentence that names the place and what was expected."""

from __future__ import annotations

import os
from pathlib import Path

MAX_MESSAGE = 300
"""Characters of the longest message."""


class ClnfError(Exception):
    """Base of every error that bad input can cause; its text is fit to show to a person: one line, by `one_line`."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class FileError(ClnfError):
    """A file that cannot be used.

    Parameters
    ----------
    path : path-like
        The file.
    where : str
        The place in it ("byte 96", "line 3"), or "" for the file as a whole.
    problem : str
        What was found and what was expected there.
    """

    def __init__(self, path: str | os.PathLike[str], where: str, problem: str) -> None:
        self.path = Path(path)
        self.where = where
        self.problem = problem
        place = f"{path}, {where}" if where else f"{path}"
        super().__init__(f"{place}: {problem}")

    def __reduce__(self) -> tuple[type[FileError], tuple[Path, str, str]]:
        """Made anew from what it was made from, in another process, too."""
        return type(self), (self.path, self.where, self.problem)


class ModelFileError(FileError):
    """A CLNF model file that is missing, truncated, corrupt, foreign or unsupported."""


class ImageFileError(FileError):
    """An image that cannot be read."""


class VideoFileError(FileError):
    """A video that cannot be read, or not to its end."""


class LandmarkFileError(FileError):
    """A landmark file that cannot be read."""


class TraceFileError(FileError):
    """A trace file that cannot be read."""


class OptionsError(ClnfError, ValueError):
    """A fit option with an unknown name or an impossible value."""


class InitialError(ClnfError, ValueError):
    """A starting point (box, landmarks, parameters) that no fit can begin from."""


class TruthError(ClnfError, ValueError):
    """True landmarks that a fit cannot be measured against."""


class StopError(ClnfError, ValueError):
    """A text that describes no stop condition."""


class RecordingError(ClnfError):
    """A step of a recorded fit that comes out otherwise when it is computed again, as its image was changed."""


class StudyError(ClnfError):
    """What keeps a study from going on: not a face or an option, but what its fits are made with and where."""


class OperationError(ClnfError):
    """A function put in the place of an operation of the fit that does not fit there.

    Parameters
    ----------
    problem : str
        What was found and what was expected.
    operation : str
        Its name; "" where there is no such operation.
    """

    def __init__(self, problem: str, operation: str = "") -> None:
        self.problem, self.operation = problem, operation
        super().__init__(f"operation {operation}: {problem}" if operation else problem)


def one_line(text: str, most: int = MAX_MESSAGE) -> str:
    """A text as a line of at most `most` characters, without any that a terminal obeys.

    Line breaks between sentences become spaces, other characters that do not print are escaped as in Python, and what
    is too much is left out of the middle: a file's name is in front, what is wrong with it at the end.
    """
    text = printable(" ".join(filter(None, map(str.strip, text.splitlines()))))
    if len(text) <= most:
        return text
    front = (most - 1) * 2 // 5
    return f"{text[:front]}…{text[front + 1 - most :]}"


def printable(text: str, kept: str = "") -> str:
    """A text whose characters that do not print, but for those of `kept`, are escaped as in Python."""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)
