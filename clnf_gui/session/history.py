"""History: what can be undone. What is chosen is a plain value, so undoing is putting an old one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_LIMIT = 200

Value = TypeVar("Value")


class History(Generic[Value]):
    """The values before each change, and those that were undone."""

    def __init__(self) -> None:
        self._past: list[Value] = []
        self._future: list[Value] = []
        self._kind = ""

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to undo."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone change to bring back."""
        return bool(self._future)

    def record(self, before: Value, kind: str = "") -> None:
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

    def undo(self, now: Value) -> Value:
        """How things were before the last change; `now` can be brought back."""
        self._kind = ""
        self._future.append(now)
        return self._past.pop()

    def redo(self, now: Value) -> Value:
        """How things were before the last undo."""
        self._past.append(now)
        return self._future.pop()

    def revise(self, change: Callable[[Value], Value]) -> None:
        """Change every value that there is to go back to, where something was not chosen but has come about."""
        self._past, self._future = list(map(change, self._past)), list(map(change, self._future))

    def clear(self) -> None:
        """Forget everything."""
        self._past, self._future, self._kind = [], [], ""
