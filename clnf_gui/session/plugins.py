"""Plugins: files with functions of a person's own, run in a lane; which may run, and what happens when one is saved."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Slot

from clnf_gui.session.choices import LANES

if TYPE_CHECKING:
    from clnf_gui.session.session import Session

_SETTLE_MS = 150
"""A file is read so long after it has changed: an editor may still be writing."""

_Stamp = tuple[int, int, int] | None
"""What tells that a file has been saved: time, size and identity; None where there is none."""


class Plugins(QObject):
    """Lets lanes run functions of files, which are programs of somebody's: none runs that a person has not allowed.

    What is allowed holds until the program ends. A lane's file is a choice like any other; see `LaneChoices.functions`.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._allowed: set[Path] = set()
        self._stamps: dict[Path, _Stamp] = {}
        """Of the files that are watched."""
        self._new: set[Path] = set()
        """Those whose next run is the first: it is shown where it parts from the other lane's."""
        self._watcher = QFileSystemWatcher(self)
        self._timer = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._timer.timeout.connect(self._look)
        self._watcher.fileChanged.connect(self._wait)
        self._watcher.directoryChanged.connect(self._wait)

    # --- what a person wants ------------------------------------------------------------------

    def use(self, path: str | Path) -> None:
        """Let lane B be lane A with the functions of a file, and show where the two part."""
        self._allowed.add(Path(path).absolute())
        self.offer(path)

    def offer(self, path: str | Path) -> None:
        """The same, but ask before the file runs, unless it is allowed already."""
        session, file = self._session, Path(path).absolute()
        if not self.possible:
            session.told.emit(f"{file.name}: open a photo first, in which its functions can run")
            return
        choices = session.choices
        self._new.add(file)
        lane = replace(choices.a, start=None, recorded=choices.b.recorded, functions=file)
        chosen = replace(choices, b=lane, comparing=True, active="B")
        if chosen == choices:
            self.run()
        else:
            session.choose(chosen)

    @property
    def possible(self) -> bool:
        """Whether there is a photo; a video is tracked by the engine alone."""
        return self._session.image is not None and self._session.video is None

    @property
    def in_use(self) -> bool:
        """Whether a lane that is shown has a file."""
        return any(self._session.choices[name].functions is not None for name in self._session.shown)

    def run(self) -> None:
        """Allow the files of the lanes that are shown, and run them anew."""
        session = self._session
        files = {name: file for name in session.shown if (file := session.choices[name].functions) is not None}
        self._allowed.update(files.values())
        session.set_note("", "")
        for name in files:
            session.refit(name)

    def leave(self) -> None:
        """Let every lane run the engine's functions again."""
        choices = self._session.choices
        for name in LANES:
            choices = choices.with_lane(name, functions=None)
        self._session.choose(choices)

    # --- what a run has to ask, and to say ----------------------------------------------------

    def may_run(self, name: str) -> bool:
        """Whether a lane's file may run, or it has none; where it may not, the person is asked."""
        file = self._session.choices[name].functions
        self._watch()
        if file is None or file in self._allowed:
            return True
        self._session.set_note(
            f"Lane {name} is to run {file}, a program that can do whatever you can do on this computer: "
            "run it only if you know what it does.",
            "run_functions",
        )
        return False

    @Slot(str)
    def end_run(self, name: str) -> None:
        """Say where the lanes part when a lane's run has ended; of the first run of a file, go there."""
        session = self._session
        file = session.lanes[name].functions
        if file is not None and session.comparing and all(session.finished(each) for each in LANES):
            session.tell_divergence(go=file in self._new)
            self._new.discard(file)

    # --- what is saved ------------------------------------------------------------------------

    def _watch(self) -> None:
        """Watch the files of the lanes, and their folders: some editors put a new file in the place of the old."""
        choices = self._session.choices
        files = {file for name in LANES if (file := choices[name].functions) is not None}
        self._stamps = {file: self._stamps.get(file, _stamp(file)) for file in files}
        wanted = {str(file) for file in files if file.exists()} | {str(file.parent) for file in files}
        watched = {*self._watcher.files(), *self._watcher.directories()}
        if gone := watched - wanted:
            self._watcher.removePaths(sorted(gone))
        if new := wanted - watched:
            self._watcher.addPaths(sorted(path for path in new if os.path.exists(path)))

    @Slot(str)
    def _wait(self, _: str) -> None:
        self._timer.start()

    @Slot()
    def _look(self) -> None:
        """Run what has been saved since it was looked at last."""
        self._watch()
        for file, before in tuple(self._stamps.items()):
            now = _stamp(file)
            if now is not None and now != before:
                self._stamps[file] = now
                for name in self._session.shown:
                    if self._session.choices[name].functions == file:
                        self._session.refit(name)


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
