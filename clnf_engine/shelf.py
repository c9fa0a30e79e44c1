"""Shelf: whole Steps within a number of bytes, for `Recording`."""

from __future__ import annotations

from collections import Counter, OrderedDict

import numpy as np

from clnf_engine.steps import Phase, ResponseMaps, Step


class Shelf:
    """Whole Steps within a number of bytes: those put there or looked at longest ago go first, RESPONSES steps last.

    Parameters
    ----------
    budget : int
        Bytes of `LARGE` that may be here.

    Attributes
    ----------
    bytes : int
        That are here; maps that several Steps share count once.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.bytes = budget, 0
        self._iterations: OrderedDict[int, Step] = OrderedDict()
        self._starts: OrderedDict[int, Step] = OrderedDict()
        self._users: Counter[ResponseMaps] = Counter()
        """How many of the Steps here have these maps."""

    def __len__(self) -> int:
        return len(self._iterations) + len(self._starts)

    def get(self, index: int) -> Step | None:
        """The Step of this index, if it is here; its place in the queue stays."""
        return self._iterations.get(index) or self._starts.get(index)

    def put(self, index: int, step: Step) -> list[tuple[int, Step]]:
        """Add a Step, or move it to the end of the queue; returns those that had to go, by their index."""
        queue = self._starts if step.phase is Phase.RESPONSES else self._iterations
        if index in queue:
            queue.move_to_end(index)
            return []
        queue[index] = step
        self.bytes += _own_bytes(step)
        if step.responses is not None:
            users = self._users[step.responses]
            self.bytes += 0 if users else maps_bytes(step.responses)
            self._users[step.responses] = users + 1
        dropped = []
        for queue in (self._iterations, self._starts):
            while self.bytes > self.budget and queue:
                dropped.append(self._drop(queue))
        return dropped

    def _drop(self, queue: OrderedDict[int, Step]) -> tuple[int, Step]:
        index, step = queue.popitem(last=False)
        self.bytes -= _own_bytes(step)
        if step.responses is not None:
            self._users[step.responses] -= 1
            if not self._users[step.responses]:
                del self._users[step.responses]
                self.bytes -= maps_bytes(step.responses)
        return index, step


def _own_bytes(step: Step) -> int:
    """Of the large arrays that a Step shares with no other."""
    return (0 if step.jacobian is None else step.jacobian.nbytes) + (0 if step.hessian is None else step.hessian.nbytes)


def maps_bytes(maps: ResponseMaps) -> int:
    """Bytes of all arrays of response maps; the same array under two names counts once."""
    return sum({id(value): value.nbytes for value in vars(maps).values() if isinstance(value, np.ndarray)}.values())
