"""Results in columns: nothing is lost, jumps and distances are those of the landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest

from clnf_engine import FitOptions, FrameResult, Initial, State, TrackOptions, open_video, track
from clnf_engine.io.video import VideoSource
from clnf_engine.options import Source
from clnf_engine.trace import landmark_distance
from clnf_engine.tracking.results import Apart, Results, largest

from ..tiny_model import start, tiny_model
from ..video_tools import write_folder
from .test_track import COUNT, TRACKING, interrupted_pictures


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VideoSource]:
    with open_video(write_folder(tmp_path_factory.mktemp("video"), interrupted_pictures())) as opened:
        yield opened


def tracked(source: VideoSource, options: FitOptions, tracking: TrackOptions = TRACKING) -> list[FrameResult]:
    first = Initial(start().params, Source.BOX, start().box, 7)
    return list(track(source, tiny_model(), options, replace(tracking, redetect_interval=0), first))


def collected(results: list[FrameResult]) -> Results:
    columns = Results(COUNT, tiny_model())
    for result in results:
        columns.append(result)
    return columns


def same(a: object, b: object) -> bool:
    if isinstance(a, (FrameResult, Initial)):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_results_come_back_bit_for_bit(source: VideoSource) -> None:
    results = tracked(source, FitOptions())
    assert {result.state for result in results} == {State.PLACED, State.TRACKED, State.LOST}
    columns = collected(results)
    assert all(same(a, b) for a, b in zip(results, columns, strict=True))
    last = columns[COUNT - 1]
    assert last is not None and last.landmarks is not None and not last.landmarks.flags.writeable
    assert (columns.begin, columns.end, len(columns)) == (0, COUNT, COUNT)
    assert columns.frames_in(State.LOST, State.NO_FACE).tolist() == list(range(4, 13))


def test_a_frame_without_fit_or_result_has_none(source: VideoSource) -> None:
    columns = Results(COUNT, tiny_model(), begin=3)
    assert columns.past.frame == 3
    nothing = FrameResult(3, 0.1, (144, 150), State.NO_FACE, None, FitOptions())
    columns.append(nothing)
    found = columns[3]
    assert found is not None and same(found, nothing)
    assert columns[2] is None and columns[4] is None
    assert columns.state(4) is None and columns.state(3) is State.NO_FACE
    assert columns.past.failures == 1


def test_the_past_is_that_of_tracking(source: VideoSource) -> None:
    results = tracked(source, FitOptions())
    columns = collected(results[:6])
    tracking = replace(TRACKING, redetect_interval=0)
    rest = list(track(source, tiny_model(), FitOptions(), tracking, past=columns.past))
    assert all(same(a, b) for a, b in zip(results[6:], rest, strict=True))


def test_a_jump_is_the_largest_movement_since_the_last_face(source: VideoSource) -> None:
    results = tracked(source, FitOptions())
    columns = collected(results)
    assert np.isnan(columns.jump[0])
    assert np.isnan(columns.jump[4:13]).all()
    for before, k in ((0, 1), (2, 3), (3, 13), (14, 15)):
        moved = np.linalg.norm(results[k].landmarks - results[before].landmarks, axis=1)
        assert columns.jump[k] == pytest.approx(moved.max(), rel=1e-14)


def test_the_movement_is_that_of_the_farthest_landmark() -> None:
    before = np.zeros((3, 2))
    assert landmark_distance(before, np.array([[0.0, 1.0], [3.0, 4.0], [-2.0, 0.0]])) == 5.0


def test_the_largest_come_first_and_unknown_ones_not_at_all() -> None:
    values = np.array([1.0, np.nan, 3.0, 2.0, 3.0])
    assert largest(values, 3).tolist() == [2, 4, 3]
    assert largest(values, 9).tolist() == [2, 4, 3, 0]
    assert largest(-values, 1).tolist() == [0]


def test_two_trackings_part_where_a_landmark_differs(source: VideoSource) -> None:
    a, b = (tracked(source, FitOptions(reg_factor=reg)) for reg in (25.0, 5.0))
    columns_a, columns_b = Results(COUNT, tiny_model()), collected(b)
    apart = Apart(columns_a, columns_b)
    for result in a[:2]:
        columns_a.append(result)
    apart.update()
    assert apart.end == 2
    for result in a[2:]:
        columns_a.append(result)
    assert not apart.update(at_most=3)
    assert apart.end == 5
    assert apart.update()
    distances = [
        np.linalg.norm(x.landmarks - y.landmarks, axis=1).max() if x.success and y.success else np.nan
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(apart.distance, distances, rtol=1e-14)
    one_only = [x.success != y.success for x, y in zip(a, b, strict=True)]
    assert apart.one_only.tolist() == one_only
    tolerance = float(np.nanmin(distances))
    expected = next(k for k, d in enumerate(distances) if d > tolerance or one_only[k])
    assert apart.parting(tolerance) == expected
    assert apart.parting(0.0) == 0


def test_the_same_tracking_never_parts(source: VideoSource) -> None:
    results = tracked(source, FitOptions())
    apart = Apart(collected(results), collected(results))
    apart.update()
    assert apart.parting(0.0) is None
    assert np.nanmax(apart.distance) == 0


def test_a_face_that_only_one_finds_is_a_parting(source: VideoSource) -> None:
    results = tracked(source, FitOptions())
    lost = [replace(result, state=State.LOST) if result.index == 2 else result for result in results]
    apart = Apart(collected(results), collected(lost))
    apart.update()
    assert apart.parting(1e9) == 2
    assert np.isnan(apart.distance[2])
