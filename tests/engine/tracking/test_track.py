"""Tracking: where each fit starts, what becomes of it, and that nothing is lost by keeping a summary only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clnf_engine import (
    FitOptions,
    FrameResult,
    Initial,
    InitialError,
    OptionsError,
    State,
    TrackOptions,
    first_divergence,
    fit,
    frame_trace,
    initial_from_landmarks,
    initial_from_params,
    initials_from_detector,
    load_model,
    open_video,
    track,
)
from clnf_engine.initial import Box
from clnf_engine.io.video import VideoSource
from clnf_engine.options import Source, option_defaults
from clnf_engine.pdm import rotation_matrix
from clnf_engine.tracking.past import Past
from clnf_engine.tracking.pose import head_pose
from clnf_engine.tracking.track import tracked_windows

from ..detector_tools import FIND_FACES, finds
from ..tiny_model import micro_model, start, tiny_model, true_landmarks
from ..video_tools import decoding_threads, face_pictures, shift, write_folder

COUNT = 16
TRACKING = TrackOptions(min_likelihood=0.5)
"""Suits the tiny model, whose likelihoods are about 1.9 on its face and −1.4 on noise."""


class Detector:
    """Stands in for the face detector; remembers which pictures it saw."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = list(boxes)
        self.seen: list[bytes] = []

    def __call__(self, image: NDArray[np.uint8]) -> list[Box]:
        self.seen.append(image.tobytes())
        return self.boxes


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Detector:
    """Sees the face of the first picture in all of them, a few pixels off."""
    stand_in = Detector([start().box])
    monkeypatch.setattr(FIND_FACES, finds(stand_in))
    return stand_in


def noise() -> NDArray[np.uint8]:
    rng = np.random.default_rng(2)
    return np.clip(rng.normal(128, 60, (150, 144)), 0, 255).astype(np.uint8)


def video(tmp_path: Path, pictures: Sequence[NDArray[np.uint8]]) -> VideoSource:
    return open_video(write_folder(tmp_path / "video", pictures))


def interrupted_pictures() -> list[NDArray[np.uint8]]:
    """The face is away in pictures 4 to 12."""
    pictures = face_pictures(COUNT)
    pictures[4:13] = [noise()] * 9
    return pictures


def same(a: FrameResult, b: FrameResult) -> bool:
    """Whether two results are the same to the last bit."""
    plain = ("index", "timestamp", "size", "state", "options", "likelihood", "iterations", "update_norm", "message")
    arrays = [(x.params, x.landmarks, None if x.initial is None else x.initial.params) for x in (a, b)]
    return all(getattr(a, name) == getattr(b, name) for name in plain) and all(
        (x is None and y is None) or np.array_equal(x, y) for x, y in zip(*arrays, strict=True)
    )


# --- where fits start -------------------------------------------------------------------------------


def test_the_first_frame_is_detected_and_the_others_tracked(tmp_path: Path, detector: Detector) -> None:
    with video(tmp_path, face_pictures(COUNT)) as source:
        results = list(track(source, tiny_model(), tracking=TRACKING))
    assert [result.state for result in results] == [State.DETECTED] + [State.TRACKED] * (COUNT - 1)
    assert [result.options.windows for result in results] == [(11, 9, 7, 5)] + [(0, 9, 7, 5)] * (COUNT - 1)
    assert len(detector.seen) == 1
    for before, result in itertools.pairwise(results):
        assert result.initial is not None and result.initial.source is Source.PREVIOUS
        np.testing.assert_array_equal(result.initial.params, before.params)
    for k, result in enumerate(results):
        error = np.linalg.norm(result.landmarks - (true_landmarks() + shift(k)), axis=1).mean()
        assert error < 2.5, k
        assert (result.index, result.timestamp, result.size) == (k, k / 30, (144, 150))
        assert result.success and result.message == "done"


def test_a_track_is_the_fits_it_is_made_of(tmp_path: Path, detector: Detector) -> None:
    """Against `fit` called by hand."""
    pictures = face_pictures(6)
    options = FitOptions(windows=(11, 7), reg_factor=10)
    with video(tmp_path, pictures) as source:
        results = list(track(source, tiny_model(), options, TRACKING))
        initial, mine = initials_from_detector(tiny_model(), pictures[0])[0], options
        for result, picture in zip(results, pictures, strict=True):
            trace = fit(picture, tiny_model(), initial, mine)
            assert first_divergence(trace, frame_trace(source, tiny_model(), result)) is None
            np.testing.assert_array_equal(result.landmarks, trace.landmarks)
            np.testing.assert_array_equal(result.params, trace.steps[-1].params)
            *_, last, end = trace.steps
            assert (result.likelihood, result.update_norm) == (end.likelihood, last.update_norm)
            assert result.shape_change == last.shape_change
            assert result.iterations == sum(s.rigid_iterations + s.nonrigid_iterations for s in trace.stages)
            initial, mine = initial_from_params(tiny_model(), end.params), replace(options, windows=(0, 7))


def test_a_lost_face_is_sought(tmp_path: Path, detector: Detector) -> None:
    pictures = interrupted_pictures()
    with video(tmp_path, pictures) as source:
        results = list(track(source, tiny_model(), tracking=TRACKING))
    states = [result.state for result in results]
    assert states[:4] == [State.DETECTED] + [State.TRACKED] * 3
    assert set(states[4:13]) == {State.LOST}
    assert states[13:] == [State.TRACKED] * 3
    assert results[4].options.windows == (0, 9, 7, 5), "the frame before it was good"
    for k in range(5, 13):
        assert results[k].options.windows == (11, 9, 7, 5)
        assert results[k].initial.source is (Source.DETECTOR if k in (8, 12) else Source.PREVIOUS)
        if k not in (8, 12):
            np.testing.assert_array_equal(results[k].initial.params, results[3].params)
        assert results[k].message.startswith("the likelihood -")
    assert results[13].options.windows == (11, 9, 7, 5)
    assert results[14].options.windows == (0, 9, 7, 5)
    assert detector.seen == [pictures[k].tobytes() for k in (0, 8, 12)]


@pytest.mark.parametrize(("interval", "looks"), [(1, [4, 5, 6, 7]), (3, [6]), (0, [])])
def test_redetection_interval(tmp_path: Path, detector: Detector, interval: int, looks: list[int]) -> None:
    pictures = [*face_pictures(3), *[noise()] * 5]
    tracking = replace(TRACKING, redetect_interval=interval)
    with video(tmp_path, pictures) as source:
        results = list(track(source, tiny_model(), tracking=tracking))
    assert [r.index for r in results[1:] if r.initial.source is Source.DETECTOR] == looks
    assert len(detector.seen) == 1 + len(looks)


def test_no_face(tmp_path: Path, detector: Detector) -> None:
    detector.boxes = []
    with video(tmp_path, face_pictures(10)) as source:
        results = list(track(source, tiny_model()))
        with pytest.raises(InitialError, match="frame 3 has no fit: no face found"):
            frame_trace(source, tiny_model(), results[2])
    assert {result.state for result in results} == {State.NO_FACE}
    assert len(detector.seen) == 3, "at frames 0, 4 and 8"
    for result in results:
        assert (result.initial, result.params, result.landmarks, result.likelihood) == (None,) * 4
        assert not result.success


def test_detection_in_every_frame(tmp_path: Path, detector: Detector) -> None:
    with video(tmp_path, face_pictures(5)) as source:
        results = list(track(source, tiny_model(), None, replace(TRACKING, initialization=Source.DETECTOR)))
    assert [result.state for result in results] == [State.DETECTED] * 5
    assert len(detector.seen) == 5
    assert {result.options for result in results} == {FitOptions()}


@pytest.mark.parametrize("source_kind", [Source.BOX, Source.LANDMARKS])
def test_given_starts(tmp_path: Path, detector: Detector, source_kind: Source) -> None:
    """In every frame, or in the first only."""
    first = start() if source_kind is Source.BOX else initial_from_landmarks(tiny_model(), true_landmarks())
    with video(tmp_path, face_pictures(5)) as source:
        fixed = list(track(source, tiny_model(), None, replace(TRACKING, initialization=source_kind), first))
        followed = list(track(source, tiny_model(), None, TRACKING, first))
    assert [result.state for result in fixed] == [State.PLACED] * 5
    assert all(result.initial is first for result in fixed)
    assert [result.state for result in followed] == [State.PLACED] + [State.TRACKED] * 4
    assert followed[0].initial is first
    assert detector.seen == []


def test_a_start_of_another_kind_or_model(tmp_path: Path, detector: Detector) -> None:
    other = Initial(np.array([1.0, 0, 0, 0, 5, 5]), Source.BOX, (0, 0, 1, 1))
    with video(tmp_path, face_pictures(1)) as source:
        for first in (None, initial_from_landmarks(tiny_model(), true_landmarks())):
            with pytest.raises(InitialError, match="initialization is box; expected a start of that kind"):
                track(source, tiny_model(), None, TrackOptions(initialization=Source.BOX), first)
        with pytest.raises(InitialError, match="this model expects"):
            track(source, tiny_model(), None, None, other)


def test_the_threshold_decides(tmp_path: Path, detector: Detector) -> None:
    with video(tmp_path, face_pictures(3)) as source:
        good = list(track(source, tiny_model(), tracking=TRACKING))
        limit = good[0].likelihood
        at = list(track(source, tiny_model(), tracking=TrackOptions(min_likelihood=limit)))
        above = list(track(source, tiny_model(), tracking=TrackOptions(min_likelihood=np.nextafter(limit, 9))))
    assert at[0].state is State.DETECTED
    assert above[0].state is State.LOST and "is below" in above[0].message
    np.testing.assert_array_equal(above[0].landmarks, good[0].landmarks, "a lost fit is kept, too")


def test_a_failed_fit_is_lost(tmp_path: Path, detector: Detector) -> None:
    detector.boxes = [(50.0, 50.0, 12.0, 12.0)]
    with video(tmp_path, face_pictures(2)) as source:
        results = list(track(source, tiny_model(), tracking=TrackOptions(min_likelihood=-1e9)))
    assert [result.state for result in results] == [State.LOST, State.NO_FACE]
    assert "too small" in results[0].message
    assert (results[0].iterations, results[0].update_norm, results[0].likelihood) == (0, None, None)


# --- windows of a tracked frame ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "tracked", "scale", "expected"),
    [
        ((11, 9, 7, 5), (), 0.62, (0, 9, 7, 5)),
        ((15, 13, 11, 9), (), 0.62, (0, 13, 11, 9)),
        ((0, 9), (), 0.62, (0, 9)),
        ((11,), (), 0.62, (11,)),
        ((11, 0, 7), (), 0.62, (11, 0, 7)),  # the tiny model has two scales
        ((11, 9, 7, 5), (), 0.3151, (0, 9, 7, 5)),
        ((11, 9, 7, 5), (), 0.3149, (11, 9, 7, 5)),  # the stage at 0.35 would be skipped
        ((11, 9, 7, 5), (7, 5), 0.3, (7, 5)),
    ],
)
def test_windows_after_a_success(
    windows: tuple[int, ...], tracked: tuple[int, ...], scale: float, expected: tuple[int, ...]
) -> None:
    options, tracking = FitOptions(windows=windows), TrackOptions(tracked_windows=tracked)
    assert tracked_windows(tiny_model(), options, tracking, scale) == expected


def test_a_model_of_one_scale_keeps_its_window() -> None:
    assert tracked_windows(micro_model(), FitOptions(), TrackOptions(), 5.0) == (11, 9, 7, 5)


# --- going on ---------------------------------------------------------------------------------------


def test_going_on_is_the_same_as_not_stopping(tmp_path: Path, detector: Detector) -> None:
    with video(tmp_path, interrupted_pictures()) as source:
        whole = list(track(source, tiny_model(), tracking=TRACKING))
        past = Past()
        for k, result in enumerate(whole):
            rest = track(source, tiny_model(), None, TRACKING, None, past)
            assert all(same(a, b) for a, b in zip(itertools.islice(rest, 3), whole[k:], strict=False))
            past = past.after(result.index, result.state, result.params)
        assert list(track(source, tiny_model(), None, TRACKING, None, past)) == []
        del rest
    assert decoding_threads() == []


def test_every_frame_can_be_had_whole_again(tmp_path: Path, detector: Detector) -> None:
    with video(tmp_path, interrupted_pictures()) as source:
        for result in track(source, tiny_model(), tracking=TRACKING):
            trace = frame_trace(source, tiny_model(), result)
            np.testing.assert_array_equal(trace.landmarks, result.landmarks)
            assert (trace.likelihood, trace.options) == (result.likelihood, result.options)


@pytest.mark.parametrize("name", [None, "openface/main_clnf_general.txt"])
def test_a_sample(shared: Path, name: str | None) -> None:
    model = load_model(name and shared / name)
    with open_video(shared / "samples" / "default.wmv") as source:
        results = list(itertools.islice(track(source, model), 40))
        assert [result.state for result in results] == [State.DETECTED] + [State.TRACKED] * 39
        for result in results[::13]:
            trace = frame_trace(source, model, result)
            np.testing.assert_array_equal(trace.landmarks, result.landmarks)
            assert (trace.likelihood, trace.steps[-2].update_norm) == (result.likelihood, result.update_norm)


# --- options ----------------------------------------------------------------------------------------


def test_defaults_and_texts() -> None:
    options = TrackOptions()
    assert (options.initialization, options.redetect_interval) == (Source.PREVIOUS, 4)
    assert (options.min_likelihood, options.tracked_windows) == (-0.5, ())
    texts = ["initialization=detector", "redetect_interval=9", "min_likelihood=-2", "tracked_windows=0,9"]
    changed = options.with_text(texts)
    assert changed == TrackOptions(Source.DETECTOR, 9, -2.0, (0, 9))
    assert TrackOptions.from_json(changed.to_json()) == changed
    assert changed.with_text(["tracked_windows="]).tracked_windows == ()
    assert list(option_defaults(TrackOptions)) == list(options.to_json())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("initialization=eye", "initialization is 'eye'; expected one of box, detector, landmarks, previous"),
        ("redetect_interval=-1", "redetect_interval is -1; expected 0 to 1e"),
        ("min_likelihood=nan", "expected a finite number"),
        ("tracked_windows=8", "tracked_windows: found 8; expected 0 or odd numbers from 3 to 31"),
        ("sigma=2", "there is no option 'sigma'; expected one of initialization, redetect_interval"),
    ],
)
def test_impossible_options(text: str, problem: str) -> None:
    with pytest.raises(OptionsError, match=problem):
        TrackOptions().with_text([text])


# --- pose -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.2, -0.5, 0.1)])
def test_head_pose(angles: tuple[float, float, float]) -> None:
    """Landmarks as a camera sees them, near enough for perspective to matter, give back where the head is."""
    pdm = tiny_model().pdm
    place = np.array([40.0, -25.0, 600.0])
    local = np.array([5.0, -3.0, 2.0, 1.0])
    shape = (pdm.mean + pdm.modes @ local).reshape(3, -1).T @ rotation_matrix(np.array(angles)).T + place
    points = 500 * shape[:, :2] / shape[:, 2:] + [320, 240]
    weak = np.array([0.8, *np.add(angles, 0.1), 340, 230, *local])
    pose = head_pose(pdm, weak, points, (640, 480))
    np.testing.assert_allclose(pose, [*place, *angles], rtol=0, atol=1e-3)
    larger = head_pose(pdm, weak * [2, 1, 1, 1, 2, 2, 1, 1, 1, 1], 2 * points, (1280, 960))
    np.testing.assert_allclose(larger, pose, rtol=0, atol=1e-3)
