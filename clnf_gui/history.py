"""History: what can be undone. Options, starts and look are plain values, so undoing is putting old ones back."""

from __future__ import annotations

from dataclasses import dataclass

from clnf_engine import FitOptions, Initial
from clnf_gui.lane import Origin, Way
from clnf_gui.look import Look

_LIMIT = 200


@dataclass(frozen=True, eq=False)
class LaneSnapshot:
    """Everything of a lane that undo brings back; of a video, the starts only where they were given by hand."""

    options: FitOptions
    base_initial: Initial | None
    initial: Initial | None
    origin: Origin
    way: Way


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything of a Session that undo brings back.

    Attributes
    ----------
    lanes : tuple of LaneSnapshot
        Of every lane, in order.
    frame : int
        Of the video.
    comparing : bool
    look : Look
    """

    lanes: tuple[LaneSnapshot, ...]
    frame: int
    comparing: bool
    look: Look


class History:
    """Snapshots before each change, and those that were undone."""

    def __init__(self) -> None:
        self._past: list[Snapshot] = []
        self._future: list[Snapshot] = []
        self._kind = ""

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change to bring back."""
        return bool(self._future)

    def record(self, before: Snapshot, kind: str) -> None:
        """Remember how things were before a change.

        A run of changes of the same kind, such as a drag, counts as one; an empty kind never joins another.
        """
        if not (kind and kind == self._kind and self._past):
            self._past = [*self._past[-_LIMIT + 1 :], before]
        self._kind = kind
        self._future = []

    def end_run(self) -> None:
        """Let the next change count by itself, whatever its kind."""
        self._kind = ""

    def undo(self, now: Snapshot) -> Snapshot:
        """How things were before the last change; `now` can be brought back."""
        self._kind = ""
        self._future.append(now)
        return self._past.pop()

    def redo(self, now: Snapshot) -> Snapshot:
        """How things were before the last undo."""
        self._past.append(now)
        return self._future.pop()

    def clear(self) -> None:
        """Forget everything."""
        self._past, self._future, self._kind = [], [], ""
