"""The results of all frames in columns, to plot, search and compare: a frame takes about 0.5 kB."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, read_only
from clnf_engine.initial import Initial
from clnf_engine.model import Model
from clnf_engine.options import FitOptions, Rules, Source
from clnf_engine.pdm import landmarks
from clnf_engine.trace import landmark_distance
from clnf_engine.tracking.past import Past, State
from clnf_engine.tracking.track import FrameResult

_STATES = tuple(State)
_SOURCES = tuple(Source)
_NO_FIT = -1
_NO_SEED = -1


class Results:
    """What `track` yields of one video, in the order of its frames.

    Parameters
    ----------
    frames : int
        Of the video.
    model : Model
    begin : int
        Number of the frame that tracking begins with.
    rules : Rules
        Of the tracking.

    Attributes
    ----------
    past : Past
        To go on with.
    likelihood, update_norm, shape_change : (frames,) float64
        As in `FrameResult`; NaN where it has none.
    jump : (frames,) float64
        Largest movement of a landmark since the last frame with a face, image px; NaN where there is no face, or none
        before.
    found : (frames,) bool
        Whether there is a face.
    """

    def __init__(self, frames: int, model: Model, begin: int = 0, rules: Rules = Rules.OWN) -> None:
        m = 6 + model.pdm.n_modes
        self._pdm, self._rules = model.pdm, rules
        self.begin, self.past = begin, Past(begin)
        self.likelihood, self.update_norm, self.shape_change, self.jump = (np.full(frames, np.nan) for _ in range(4))
        self.found = np.zeros(frames, dtype=bool)
        # Zeros take no memory until they are written.
        self._params = np.zeros((frames, m))
        self._before = np.full(frames, _NO_FIT, dtype=np.int32)
        """Number of the frame whose parameters a fit started from; of other starts, `_odd_starts` keeps them."""
        self._boxes, self._times = np.zeros((frames, 4)), np.zeros(frames)
        self._sizes, self._iterations = np.zeros((frames, 2), dtype=np.int32), np.zeros(frames, dtype=np.int32)
        self._state, self._source = (np.full(frames, _NO_FIT, dtype=np.int8) for _ in range(2))
        self._seeds = np.full(frames, _NO_SEED, dtype=np.int64)
        self._option = np.zeros(frames, dtype=np.int16)
        self._options: list[FitOptions] = []
        self._messages: dict[int, str] = {}
        self._good = np.ones(frames, dtype=bool)
        self._around: dict[int, tuple[float | None, Floats | None]] = {}
        """Certainty and eye landmarks, where there are any."""
        self._odd_starts: dict[int, Floats] = {}
        self._odd_landmarks: dict[int, Floats] = {}
        self._last: tuple[int, Floats] | None = None
        """Number and landmarks of the last frame with a face."""

    def __len__(self) -> int:
        """Number of frames of the video."""
        return len(self.found)

    @property
    def end(self) -> int:
        """Number of the frame after the last one that was added."""
        return self.past.frame

    def append(self, result: FrameResult) -> None:
        """Add the result of the next frame that decodes."""
        k = result.index
        self._state[k] = _STATES.index(result.state)
        self._times[k], self._sizes[k], self._iterations[k] = result.timestamp, result.size, result.iterations
        self._option[k] = self._number(result.options)
        self._messages[k], self._good[k] = result.message, result.good
        if result.certainty is not None or result.eyes is not None:
            self._around[k] = result.certainty, result.eyes
        for column, value in (
            (self.likelihood, result.likelihood),
            (self.update_norm, result.update_norm),
            (self.shape_change, result.shape_change),
        ):
            column[k] = np.nan if value is None else value
        if result.initial is not None and result.params is not None and result.landmarks is not None:
            initial = result.initial
            self._boxes[k] = initial.box
            if self._last is not None and np.array_equal(self._params[self._last[0]], initial.params):
                self._before[k] = self._last[0]
            else:
                self._odd_starts[k] = initial.params
            self._source[k] = _SOURCES.index(initial.source)
            self._seeds[k] = _NO_SEED if initial.seed is None else initial.seed
            self._params[k] = result.params
            if not np.array_equal(landmarks(self._pdm, result.params), result.landmarks):
                self._odd_landmarks[k] = result.landmarks
        if result.success and result.landmarks is not None:
            if self._last is not None:
                self.jump[k] = landmark_distance(self._last[1], result.landmarks)
            self.found[k], self._last = True, (k, result.landmarks)
        self.past = self.past.after(k, result.state, result.params, result.good, self._rules)

    def _number(self, options: FitOptions) -> int:
        if options not in self._options:
            self._options.append(options)
        return self._options.index(options)

    def state(self, index: int) -> State | None:
        """What became of a frame; None when it was not tracked."""
        number = int(self._state[index])
        return None if number == _NO_FIT else _STATES[number]

    def __getitem__(self, index: int) -> FrameResult | None:
        """The result of a frame, bit for bit as it was added; None when it was not."""
        state = self.state(index)
        if state is None:
            return None
        initial = params = points = None
        if self._source[index] != _NO_FIT:
            seed = int(self._seeds[index])
            x, y, width, height = self._boxes[index].tolist()
            initial = Initial(
                self._params[self._before[index]] if index not in self._odd_starts else self._odd_starts[index],
                _SOURCES[self._source[index]],
                (x, y, width, height),
                None if seed == _NO_SEED else seed,
            )
            params, points = read_only(self._params[index].copy()), self.landmarks(index)
        width, height = self._sizes[index].tolist()
        certainty, eyes = self._around.get(index, (None, None))
        return FrameResult(
            index=index,
            timestamp=float(self._times[index]),
            size=(width, height),
            state=state,
            initial=initial,
            options=self._options[self._option[index]],
            params=params,
            landmarks=points,
            likelihood=_known(self.likelihood[index]),
            iterations=int(self._iterations[index]),
            update_norm=_known(self.update_norm[index]),
            shape_change=_known(self.shape_change[index]),
            message=self._messages[index],
            certainty=certainty,
            eyes=eyes,
            good=bool(self._good[index]),
        )

    def __iter__(self) -> Iterator[FrameResult]:
        """All results, in order."""
        return (result for k in range(self.begin, self.end) if (result := self[k]) is not None)

    def landmarks(self, index: int) -> Floats:
        """Landmarks of a frame that had a fit, (n, 2), image px."""
        odd = self._odd_landmarks.get(index)  # with NaN among them, for one
        return read_only(landmarks(self._pdm, self._params[index])) if odd is None else odd

    def frames_in(self, *states: State) -> NDArray[np.intp]:
        """Numbers of the frames in any of these states."""
        return np.flatnonzero(np.isin(self._state, [_STATES.index(state) for state in states]))


class Apart:
    """How far two trackings of a video are apart, frame by frame as both come by.

    Attributes
    ----------
    distance : (frames,) float64
        Between the two places of the landmark for which it is largest, image px; NaN where not both found a face.
    one_only : (frames,) bool
        Whether only one of them found a face.
    """

    def __init__(self, a: Results, b: Results) -> None:
        self.a, self.b = a, b
        self.distance, self.one_only = np.full(len(a), np.nan), np.zeros(len(a), dtype=bool)
        self._next = max(a.begin, b.begin)

    @property
    def end(self) -> int:
        """Number of the frame after the last one that was compared."""
        return self._next

    def update(self, at_most: int | None = None) -> bool:
        """Compare frames that both have come by since the last time; whether that was all of them."""
        end = min(self.a.end, self.b.end)
        last = end if at_most is None else min(end, self._next + at_most)
        for k in range(self._next, last):
            if self.a.found[k] and self.b.found[k]:
                self.distance[k] = landmark_distance(self.a.landmarks(k), self.b.landmarks(k))
            self.one_only[k] = self.a.found[k] != self.b.found[k]
            self._next = k + 1
        return last == end

    def parting(self, tolerance: float) -> int | None:
        """The first frame with a landmark more than `tolerance` px apart, or with one face only; None without any."""
        apart = np.flatnonzero(self.one_only | (self.distance > tolerance))
        return int(apart[0]) if apart.size else None


def largest(values: Floats, count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest values that are numbers, the largest first."""
    known = np.flatnonzero(~np.isnan(values))
    return known[np.argsort(-values[known], kind="stable")[:count]]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
