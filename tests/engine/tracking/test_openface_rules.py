"""Tracking by OpenFace's rules, frame by frame, against the state machine told in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clnf_engine import FitOptions, FrameResult, Initial, State, TrackOptions
from clnf_engine.errors import OptionsError
from clnf_engine.io.frames import Frame
from clnf_engine.options import Rules, Source
from clnf_engine.tracking import track as room
from clnf_engine.tracking.past import GIVE_UP, Past
from clnf_engine.tracking.track import track_frame

from ..detector_tools import FIND_FACES, finds
from ..tiny_model import start, tiny_image, tiny_model

TRACKING = TrackOptions(rules=Rules.OPENFACE, tracked_windows=(0, 9, 7, 5))
SMALL, ALL = (0, 9, 7, 5), (11, 9, 7, 5)


class Film:
    """Fits that succeed or fail as they are told, and a detector that sees the face in some frames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fits: list[tuple[Source, tuple[int, ...]]] = []
        self.looks = 0
        self.seen = True
        self.tracks = self.detects = True
        self.past = Past()
        monkeypatch.setattr(FIND_FACES, finds(self._look))
        monkeypatch.setattr(room, "_fitted", self._fitted)

    def _look(self, _: Any) -> list[Any]:
        self.looks += 1
        return [start().box] if self.seen else []

    def _fitted(self, frame: Frame, _: Any, initial: Initial, options: FitOptions, *__: Any) -> FrameResult:
        self.fits.append((initial.source, options.windows))
        good = self.tracks if initial.source is Source.PREVIOUS else self.detects
        params = initial.params + 1e-3 * frame.index  # tells which fit a later one starts from
        state = State.TRACKED if good else State.LOST
        return FrameResult(
            frame.index, frame.timestamp, (1, 1), state, initial, options, params, np.zeros((68, 2)), good=good
        )

    def next(self) -> FrameResult:
        """One more frame; what it did is in `fits` and `looks`."""
        self.fits.clear()
        self.looks = 0
        rgb = np.repeat(tiny_image()[..., None], 3, axis=2)
        frame = Frame(self.past.frame, 0.0, rgb, tiny_image())
        result = track_frame(frame, tiny_model(), FitOptions(), TRACKING, None, self.past)
        self.past = self.past.after(result.index, result.state, result.params, result.good, Rules.OPENFACE)
        return result


@pytest.fixture
def film(monkeypatch: pytest.MonkeyPatch) -> Film:
    return Film(monkeypatch)


def test_before_the_first_face_every_frame_is_searched(film: Film) -> None:
    film.seen = False
    for _ in range(3):
        assert film.next().state is State.NO_FACE
        assert (film.looks, film.fits) == (1, [])
    film.seen = True
    assert film.next().state is State.DETECTED
    assert film.fits == [(Source.DETECTOR, ALL)]


def test_the_first_fit_is_kept_whatever_it_is_and_the_next_has_all_windows(film: Film) -> None:
    film.detects = False
    assert film.next().state is State.DETECTED
    assert film.next().state is State.TRACKED
    assert film.fits == [(Source.PREVIOUS, ALL)]
    film.next()
    assert (film.fits, film.looks) == ([(Source.PREVIOUS, SMALL)], 0)


def test_the_detector_is_asked_in_the_frame_of_a_failure_and_every_fourth_later(film: Film) -> None:
    film.next()
    film.tracks = film.seen = False
    looks = []
    for k in range(9):
        before = film.past.params
        result = film.next()
        assert result.state is State.LOST
        assert film.fits == [(Source.PREVIOUS, SMALL if k == 0 else ALL)]
        assert result.initial is not None and before is not None
        np.testing.assert_array_equal(result.initial.params, before)  # a failed fit is gone on from
        looks.append(film.looks)
    assert looks == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_a_fit_from_the_detector_that_fails_is_undone(film: Film) -> None:
    film.next()
    film.tracks = film.detects = False
    result = film.next()
    assert film.fits == [(Source.PREVIOUS, SMALL), (Source.DETECTOR, ALL)]
    assert result.state is State.LOST and result.initial is not None
    assert result.initial.source is Source.PREVIOUS
    film.detects = True
    states = [film.next().state for _ in range(4)]
    assert states == [State.LOST, State.LOST, State.LOST, State.DETECTED]
    film.tracks = True
    film.next()
    assert film.fits == [(Source.PREVIOUS, SMALL)]


def test_after_a_hundred_failures_nothing_is_tracked_and_the_detector_seldom_asked(film: Film) -> None:
    film.next()
    film.tracks = film.seen = False
    states = [film.next().state for _ in range(GIVE_UP + 50)]
    assert states[: GIVE_UP + 1] == [State.LOST] * (GIVE_UP + 1)
    assert set(states[GIVE_UP + 1 :]) == {State.NO_FACE}
    looks = []
    for _ in range(48):
        film.next()
        looks.append(film.looks)
    assert sum(looks) == 2 and looks.index(1) + 24 == len(looks) - 1 - looks[::-1].index(1)
    film.seen, film.detects = True, False
    states = [film.next().state for _ in range(24)]
    assert states.count(State.DETECTED) == 1  # kept though it failed, as the very first


def test_openface_s_rules_know_no_other_start() -> None:
    with pytest.raises(OptionsError, match="previous"):
        replace(TRACKING, initialization=Source.DETECTOR)
