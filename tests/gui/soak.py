"""One window used for long: it tracks, plays, fits again and asks. `make soak` prints memory and heartbeat."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QSettings

from clnf_gui.qt_setup import make_application
from clnf_gui.session.lab import TOOLS

from .monkey import Monkey
from .monkey_watch import share_heaps, watching

_MOST_GROWTH_MB = 50.0
_WARM_UP_ROUNDS = 5
"""After which caches are full."""
_HANG_SECONDS = 120
_PLAY_MS = 300


@dataclass(frozen=True)
class Reading:
    """What was measured after a round.

    Attributes
    ----------
    seconds : float
        Since the beginning.
    rounds : int
    memory : float
        MB.
    block : float
        The longest time the window has not answered, seconds.
    """

    seconds: float
    rounds: int
    memory: float
    block: float

    def __str__(self) -> str:
        return f"{self.seconds:7.0f} s {self.rounds:6} rounds {self.memory:7.1f} MB, longest block {self.block:.2f} s"


class Soak(Monkey):
    """A window that is used in the same way again and again."""

    def last(self, seconds: float, tell: Callable[[Reading], None] = lambda _: None) -> list[Reading]:
        """Go on for so long; a reading after every round, of which one a minute is told."""
        readings: list[Reading] = []
        begin = told = time.monotonic()
        with watching(self.problems), self._answering():
            self.window.dialogs.open_file(str(self.files.photo.parent / "clip.mp4"))
            self._settle()
            self.heart.skip()
            self.heart.longest = 0.0  # that of the start is another matter
            while not readings or time.monotonic() - begin < seconds:
                faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
                self._round(len(readings))
                now = time.monotonic()
                readings.append(Reading(now - begin, len(readings) + 1, self._memory(), self.heart.longest))
                if now - told >= 60 or len(readings) == _WARM_UP_ROUNDS:
                    tell(readings[-1])
                    told = now
            faulthandler.cancel_dump_traceback_later()
            self._close()
        self.heart.deleteLater()
        return readings

    def _round(self, number: int) -> None:
        session, actions = self.window.session, self.window.actions_by_id
        for what in ("track", "play_video", "run_tool"):
            self.heart.doing = what
            if what == "run_tool":
                session.lab.choose(list(TOOLS)[number % len(TOOLS)])
            actions[what].trigger()
            self._spin(_PLAY_MS if what == "play_video" else 0)
            if what == "play_video":
                actions[what].trigger()
            self._settle()
        self.heart.doing = "fit"
        for sigma in (1.0 + number % 3, 1.5):
            session.set_options(replace(session.lane.options, sigma=sigma))
            self._settle()
        session.frames.go_to(number % 5)
        self._settle()


def main() -> int:
    """Soak for as long as the command line says; 1 when memory grew or anything went wrong."""
    parser = argparse.ArgumentParser(prog="make soak", description="Uses one window for long.")
    parser.add_argument("--minutes", type=float, default=20.0)
    arguments = parser.parse_args()
    share_heaps()
    make_application()
    with tempfile.TemporaryDirectory() as folder:
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, f"{folder}/settings")
        soak = Soak(0, Path(folder))
        readings = soak.last(60 * arguments.minutes, lambda reading: print(reading, flush=True))
    growth = readings[-1].memory - readings[min(_WARM_UP_ROUNDS, len(readings)) - 1].memory
    print(readings[-1])
    print(f"memory grew by {growth:.1f} MB (at most {_MOST_GROWTH_MB:g}); longest block: {soak.heart.culprit}")
    for problem in soak.problems.found.values():
        print(f"\nproblem: {problem}")
    return 0 if growth <= _MOST_GROWTH_MB and not soak.problems.found else 1


if __name__ == "__main__":
    sys.exit(main())
