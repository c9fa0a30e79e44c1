"""What is in the folder of a trace by now, read piece by piece while it is written."""

from __future__ import annotations

import os
from pathlib import Path

from clnf_engine.io.trace_folder import FolderReader, reading
from clnf_engine.io.trace_records import content_of
from clnf_engine.trace import Trace


class Follower:
    """Reads a folder that another program is writing; each line is read once, when it is whole.

    After an error there is nothing more to be had from it. A folder that is begun anew wants a new one.

    Parameters
    ----------
    folder : path-like
        With a ``trace.jsonl``.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._reader = FolderReader(self.folder)

    def poll(self) -> Trace | None:
        """The trace as it is by now; None when it has no new step.

        Raises
        ------
        TraceFileError
            When something in the folder is no part of a trace.
        """
        with reading(self.folder, self._reader):
            records = self._reader.read_more()
            return None if records is None else Trace(**vars(content_of(records)))
