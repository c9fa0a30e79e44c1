"""Recording: the Steps of a run within a budget of memory.

A Step's numbers take nine kilobytes, its response maps, Jacobian and Hessian (`steps.LARGE`) up to a megabyte and
more. A Recording keeps the numbers of every Step, and the large arrays as far as its budget reaches. Beyond that they
are computed again when somebody looks at them, as the frames of a video are decoded: by `moments.moment`, of which the
fit itself is made, from the numbers that were kept. So they are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, overload
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from clnf_engine.errors import RecordingError
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.moments import computes_maps, moment
from clnf_engine.operations import functions_of
from clnf_engine.options import FitOptions
from clnf_engine.shelf import Shelf
from clnf_engine.steps import LARGE, Phase, ResponseMaps, Step, Steps, describe, holds_large, without_large
from clnf_engine.trace import Trace

DEFAULT_BUDGET = 256 << 20
"""Bytes; a default fit takes 3 MB, a long one with maps of its own in every iteration 1 MB per iteration."""


# --- reading ----------------------------------------------------------------------------------------


class _Part(Steps):
    """Some Steps of a store, whole."""

    def __init__(self, store: _Store, indices: range) -> None:
        self._store, self._range = store, indices

    @property
    def _indices(self) -> range:
        return self._range

    @property
    def numbers(self) -> Sequence[Step]:
        """The Steps there are now with `LARGE` left out; always the same objects, and reading them computes nothing."""
        return _Numbers(self._store, self._indices)

    @property
    def maps_keys(self) -> Sequence[int | None]:
        """Of every Step a key that is the same for all that share their ResponseMaps; None where it has none."""
        return [self._store.maps_keys[index] for index in self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        indices = self._indices[index]
        return _Part(self._store, indices) if isinstance(indices, range) else self._store.whole(indices)

    def __iter__(self) -> Iterator[Step]:
        return self._store.walk(self._indices)

    def __reversed__(self) -> Iterator[Step]:
        return self._store.walk(reversed(self._indices))

    def __contains__(self, step: object) -> bool:
        return any(_same(step, numbers) for numbers in self.numbers)

    def index(self, step: Any, start: int = 0, stop: int | None = None) -> int:
        """Index of a Step that came from here, whole or its numbers; nothing is computed.

        Raises
        ------
        ValueError
            When there is none between `start` and `stop`.
        """
        numbers = self.numbers
        for index in range(len(numbers))[start:stop]:
            if _same(step, numbers[index]):
                return index
        raise ValueError("the step is not in this run")


def _same(step: object, numbers: Step) -> bool:
    """Whether a Step is the one with these numbers: a moment has a place of its own, and its small arrays stay."""
    return isinstance(step, Step) and step.place == numbers.place and step.landmarks is numbers.landmarks


class _Numbers(Sequence[Step]):
    """The numbers of some Steps of a store."""

    def __init__(self, store: _Store, indices: range) -> None:
        self._store, self._indices = store, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        indices = self._indices[index]
        return _Numbers(self._store, indices) if isinstance(indices, range) else self._store.numbers(indices)

    def __iter__(self) -> Iterator[Step]:
        return map(self._store.numbers, self._indices)


class Recording(_Part):
    """The Steps of a run, in order, as `fit_steps` yields them.

    Indexing and iterating give whole Steps. As long as all fit into the budget, they are the very objects that were
    appended. Beyond it the large arrays of the Steps that were appended or indexed longest ago are dropped; those of
    the RESPONSES steps, on which whole stages rest, last. Whoever indexes such a Step gets one that is equal bit for
    bit, and the same object for as long as anybody has it. Its small arrays are those that were appended.

    `numbers` has all Steps without the large arrays, for curves, tables and conditions. Iterating takes a time linear
    in the length, and keeps nothing that was not kept before. A slice is a view of the Steps there were when it was
    made.

    One thread may append while any threads read.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels; they must not change as long as Steps are read.
    model : Model
    initial : Initial
    options : FitOptions
        All as they are given to `fit_steps`.
    budget : int
        Bytes of large arrays to keep, at least 0. The numbers, 9 kB per Step, come on top.

    Raises
    ------
    ValueError
        When the budget is negative.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        model: Model,
        initial: Initial,
        options: FitOptions,
        budget: int = DEFAULT_BUDGET,
    ) -> None:
        super().__init__(_Store(image, model, options, budget), range(0))
        self.image, self.model, self.initial, self.options = image, model, initial, options

    @property
    def _indices(self) -> range:
        return range(len(self._store))

    def append(self, step: Step) -> None:
        """Add the next Step of the fit.

        Raises
        ------
        ValueError
            When the first Step is not INITIAL, or a later one is, or the run has ended.
        """
        self._store.append(step)

    def trace(self) -> Trace:
        """The run so far; its `steps` are this Recording when the run has ended, before that a slice that stays."""
        steps: Sequence[Step] = self if self.complete else self[:]
        return Trace(self.image, self.model.name, self.initial, self.options, steps, self.model.fingerprint)

    @property
    def complete(self) -> bool:
        """Whether the run has ended."""
        return self._store.complete

    @property
    def budget(self) -> int:
        """Bytes of large arrays that are kept at most."""
        return self._store.budget

    @property
    def held_bytes(self) -> int:
        """Bytes of large arrays that are kept now; maps that several Steps share count once."""
        return self._store.held_bytes

    @property
    def n_dropped(self) -> int:
        """Number of Steps whose large arrays are not kept, but computed again when they are looked at."""
        return self._store.n_dropped

    def __repr__(self) -> str:
        return f"<Recording: {len(self)} steps, {self.n_dropped} dropped, {self.held_bytes} of {self.budget} bytes>"


# --- keeping and computing again --------------------------------------------------------------------


class _Store:
    """The numbers of all Steps, and a shelf of whole ones."""

    def __init__(self, image: NDArray[np.uint8], model: Model, options: FitOptions, budget: int) -> None:
        if budget < 0:
            raise ValueError(f"the budget is {budget} bytes; expected at least 0")
        self._image, self._model, self._options = image, model, options
        self._functions = functions_of(options)
        self._fresh_maps = self._functions.schedule(len(model.scales)).fresh_maps
        self._shelf = Shelf(budget)
        self._lock = Lock()
        self._numbers: list[Step | None] = []
        """None while the shelf has the whole Step and nobody has asked for its numbers."""
        self.maps_keys: list[int | None] = []
        """Of every Step the index of the one that its maps were computed for."""
        self.complete = False
        self._n_large = 0
        # What somebody still has, here or elsewhere, need not be computed for another.
        self._lent: WeakValueDictionary[int, Step] = WeakValueDictionary()
        self._maps: WeakValueDictionary[int, ResponseMaps] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def budget(self) -> int:
        return self._shelf.budget

    @property
    def held_bytes(self) -> int:
        with self._lock:
            return self._shelf.bytes

    @property
    def n_dropped(self) -> int:
        with self._lock:
            return self._n_large - len(self._shelf)

    def append(self, step: Step) -> None:
        with self._lock:
            index, large = len(self._numbers), bool(step.left_out) or holds_large(step)
            if self.complete or (index == 0) != (step.phase is Phase.INITIAL):
                raise ValueError(f"found {describe(step)} after {index} steps; expected the next step of a fit")
            key = None
            if step.has("responses"):
                key = index if computes_maps(self._fresh_maps, self._any(index - 1), step.phase) else self.maps_keys[-1]
            whole = large and not step.left_out
            self.maps_keys.append(key)
            self._numbers.append(None if whole else step)
            self._n_large += large
            self.complete = step.phase is Phase.END
            if whole:
                if key == index:
                    self._note_maps(index, step)
                self._keep(index, step)

    def numbers(self, index: int) -> Step:
        """A Step without its large arrays."""
        with self._lock:
            return self._numbers_of(index, self._any(index))

    def whole(self, index: int) -> Step:
        """A whole Step, kept in the place of those that were looked at longest ago."""
        step = self._found_or_restored(index)
        with self._lock:
            return self._keep(index, step)

    def walk(self, indices: Iterable[int]) -> Iterator[Step]:
        """Whole Steps one after the other; what is not kept stays until the next, which may share its maps."""
        for index in indices:
            step = self._found_or_restored(index)
            yield step

    # These six are called with the lock held.

    def _any(self, index: int) -> Step:
        """A Step, whole or not."""
        found = self._numbers[index] or self._shelf.get(index)
        assert found is not None
        return found

    def _whole(self, index: int) -> Step | None:
        """A whole Step, if there is one anywhere."""
        numbers = self._numbers[index]
        if numbers is not None and not numbers.left_out:
            return numbers
        return self._shelf.get(index) or self._lent.get(index)

    def _numbers_of(self, index: int, step: Step) -> Step:
        numbers = self._numbers[index]
        if numbers is None:
            numbers = self._numbers[index] = without_large(step)
        return numbers

    def _keep(self, index: int, step: Step) -> Step:
        """Put a whole Step on the shelf; of those that make room for it, keep the numbers."""
        if step is not self._numbers[index]:
            for other, dropped in self._shelf.put(index, step):
                self._numbers_of(other, dropped)
                self._lend(other, dropped)
        return step

    def _lend(self, index: int, step: Step) -> Step:
        """Remember a whole Step as long as somebody has it."""
        self._lent[index] = step
        self._note_maps(index, step)
        return step

    def _note_maps(self, index: int, step: Step) -> None:
        key = self.maps_keys[index]
        if key is not None and key not in self._maps and step.responses is not None:
            self._maps[key] = step.responses

    # These two are called without it.

    def _found_or_restored(self, index: int) -> Step:
        with self._lock:
            found = self._whole(index)
        if found is None:
            restored = self._restored(index)
            with self._lock:
                found = self._whole(index) or self._lend(index, restored)  # another thread may have been faster
        return found

    def _restored(self, index: int) -> Step:
        numbers, before, key = self.numbers(index), self.numbers(index - 1), self.maps_keys[index]
        with self._lock:
            maps = None if key is None else self._maps.get(key)
        if numbers.phase is Phase.RESPONSES and maps is not None:
            return replace(numbers, left_out=None, responses=maps)
        if key is not None and key != index:
            before = replace(before, responses=maps or self._restored(key).responses)
        stage = numbers.stage
        assert stage is not None
        again = moment(
            self._image,
            self._model,
            self._functions,
            stage,
            before,
            numbers.phase,
            numbers.iteration,
            self._fresh_maps,
        )
        if again.params.tobytes() != numbers.params.tobytes():
            raise RecordingError(
                f"{describe(numbers)}: other parameters when computed again; expected the image to be as it was fitted"
            )
        return replace(numbers, left_out=None, **{name: getattr(again, name) for name in LARGE})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled are the numbers alone; the rest is computed again where it is read."""
        steps = tuple(self.numbers(index) for index in range(len(self)))
        return _unpickled, (self._image, self._model, self._options, self.budget, steps)


def _unpickled(
    image: NDArray[np.uint8], model: Model, options: FitOptions, budget: int, steps: Iterable[Step]
) -> _Store:
    store = _Store(image, model, options, budget)
    for step in steps:
        store.append(step)
    return store
