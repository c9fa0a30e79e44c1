"""The fits of a detection as a tree: their runs, what moved by how much, and how far from the truth."""

from __future__ import annotations

import numpy as np
import pytest

from clnf_engine import Detection, DetectionOptions, FitOptions, Phase, detect, fit
from clnf_engine.accuracy import accuracy
from clnf_engine.detection.detect import Hypothesis, detect_steps
from clnf_engine.detection.tree import WHOLE, Node, counterpart, error, node_run, part_truth, rows, turn_text
from clnf_engine.steps import Continued, Step, numbered_maps, numbers_of, place_order

from ..tiny_model import CERTAINTY, start, tiny_image, tiny_model_with_parts, true_landmarks

MODEL, IMAGE = tiny_model_with_parts(), tiny_image()
ALL = DetectionOptions(eye_parts=True, hypotheses=True)


@pytest.fixture(scope="module")
def found() -> Detection:
    return detect(IMAGE, MODEL, start(), FitOptions(), ALL)


@pytest.fixture(scope="module")
def parted() -> Detection:
    return detect(IMAGE, MODEL, start(), FitOptions(), DetectionOptions(eye_parts=True))


def test_the_stream_is_the_fit_then_the_hypotheses_then_the_detection(found: Detection) -> None:
    items = list(detect_steps(IMAGE, MODEL, start(), FitOptions(), ALL))
    kinds = [type(item) for item in items]
    assert kinds == [Step] * len(found.hypotheses[0].trace.steps) + [Hypothesis] * 5 + [Detection]
    assert items[-1].hypotheses == tuple(item for item in items if isinstance(item, Hypothesis))
    np.testing.assert_array_equal(items[-1].landmarks, found.landmarks)


def test_the_run_of_the_whole_ends_with_merge_and_refit(parted: Detection) -> None:
    run, main = node_run(parted, WHOLE), fit(IMAGE, MODEL, start())
    *steps, merge, refit = run.steps
    assert [step.place for step in steps] == [step.place for step in main.steps]
    assert (merge.phase, refit.phase) == (Phase.MERGE, Phase.REFIT)
    assert sorted(run.steps, key=lambda step: place_order(step.place)) == list(run.steps)
    np.testing.assert_array_equal(merge.landmarks_before, main.landmarks)
    np.testing.assert_array_equal(merge.landmarks, parted.merged)
    np.testing.assert_array_equal(refit.landmarks_before, parted.merged)
    np.testing.assert_array_equal(refit.landmarks, parted.landmarks)
    np.testing.assert_array_equal(refit.params, parted.params)
    moved = np.linalg.norm(parted.merged - main.landmarks, axis=1)
    np.testing.assert_array_equal(moved[:17], 0)  # the jaw has no part
    assert merge.shape_change == pytest.approx(np.sqrt((moved**2).sum()))
    assert f"at most by {moved.max():.2f} px ({moved.argmax()})" in merge.message
    assert run.trace is parted.trace  # which is the fit alone


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Node(None, "inner"), Node(None, "inner")),
        (Node(3, "left_eye_28"), Node(3, "left_eye_28")),
        (Node(3, "mouth"), Node(3)),
        (Node(7, "inner"), Node(None, "inner")),
        (Node(7), WHOLE),
    ],
)
def test_a_node_that_a_detection_lacks_is_the_nearest_one(wanted: Node, shown: Node, found: Detection) -> None:
    run = node_run(found, wanted)
    assert run.node == shown
    own = found.parts if shown.hypothesis is None else found.hypotheses[shown.hypothesis].parts
    assert run.part is (own[shown.part].part if shown.part else None)
    if shown.part:
        assert run.trace is own[shown.part].trace
        assert len(run.steps[0].landmarks) == run.part.model.n_landmarks


def test_a_part_that_is_not_fitted_has_its_start_and_says_why() -> None:
    small = DetectionOptions(eye_parts=True)
    tiny = start(stretch=0.3)
    found = detect(IMAGE, MODEL, tiny, FitOptions(windows=(0,)), small)
    run = node_run(found, Node(None, "inner"))
    assert (run.trace, len(run.steps), run.steps[0].phase) == (None, 1, Phase.INITIAL)
    scale = tiny.params[0]
    assert run.steps[0].message == (
        f"not fitted: the face has {scale:.2f} px per model unit, more than 0.225 are needed"
    )
    np.testing.assert_array_equal(run.steps[0].landmarks, found.parts["inner"].landmarks)
    assert [row.title for row in rows(found)] == ["Whole detection", "Main fit", "inner", "left eye", "right eye"]
    assert all(row.moves is None for row in rows(found))


def test_the_rows(found: Detection, parted: Detection) -> None:
    whole, main, *parts, merge, _ = rows(parted)
    assert [row.title for row in parts] == ["inner", "left eye", "right eye"]
    assert (whole.certainty, main.certainty, whole.likelihood) == (CERTAINTY, None, parted.likelihood)
    assert main.iterations == sum(step.iteration is not None for step in parted.trace.steps)
    inner = parted.parts["inner"]
    np.testing.assert_array_equal(parts[0].moves, np.linalg.norm(inner.landmarks - parted.trace.landmarks[17:], axis=1))
    assert merge.moves.max() >= parts[0].moves.max()
    many = list(rows(found))
    assert len(many) == 1 + 5 * (1 + 6)
    assert {row.node.hypothesis for row in many[1:] if row.chosen} == {found.chosen}
    assert [row.title for row in many if row.depth == 1] == [
        "Hypothesis 1: as the start",
        "Hypothesis 2: turned left by 30°",
        "Hypothesis 3: turned right by 30°",
        "Hypothesis 4: bent down by 30°",
        "Hypothesis 5: bent up by 30°",
    ]
    handed_out = {row.node for row in many if "slip" in row.note}
    assert handed_out == {
        Node(k, name)
        for k, hypothesis in enumerate(found.hypotheses)
        for name, part in hypothesis.parts.items()
        if found.parts[name] is part and k != found.chosen
    }
    without = list(rows(detect(IMAGE, MODEL, start(), FitOptions(), DetectionOptions(parts=False, hypotheses=True))))
    assert [row.depth for row in without] == [0, 1, 1, 1, 1, 1]
    assert turn_text((0.0, 0.0, 0.0)) == "as the start"


def test_errors_of_parts_are_those_of_what_they_share(parted: Detection) -> None:
    truth = true_landmarks()
    by_title = {row.title: error(row, truth) for row in rows(parted)}
    inner, eye = parted.parts["inner"], parted.parts["left_eye_28"]
    of_all = accuracy(parted.landmarks, truth)
    assert by_title["Whole detection"].mean == of_all.mean
    assert by_title["inner"].mean == pytest.approx(np.linalg.norm(inner.landmarks - truth[17:], axis=1).mean())
    shared = np.linalg.norm(eye.landmarks[8:20:2] - truth[36:42], axis=1)
    assert by_title["left eye"].mean_percent == pytest.approx(100 * shared.mean() / of_all.eye_distance)
    assert error(next(rows(parted)), None) is None
    assert error(next(rows(parted)), truth[:5]) is None
    own = part_truth(eye.part, truth)
    assert np.isfinite(own).all(axis=1).sum() == 6
    assert accuracy(eye.landmarks, own).mean == pytest.approx(shared.mean())


def test_a_landmark_has_its_counterpart_in_a_part() -> None:
    inner, left, _ = MODEL.parts
    assert counterpart(37, None, left) == 10
    assert counterpart(10, left, None) == 37
    assert counterpart(10, left, inner) == 20
    assert counterpart(11, left, inner) is None
    assert counterpart(3, None, inner) is None
    assert counterpart(3, None, None) == 3


def test_moments_after_a_recording_leave_it_as_it_is(parted: Detection) -> None:
    """Of a run beyond its budget, whose maps are computed again when they are looked at."""
    found = detect(IMAGE, MODEL, start(), FitOptions(), DetectionOptions(), budget=0)
    steps, whole = node_run(found, WHOLE).steps, node_run(parted, WHOLE).steps
    assert isinstance(steps, Continued)
    assert [step.place for step in steps] == [step.place for step in whole]
    assert [step.place for step in numbers_of(steps)] == [step.place for step in whole]
    assert numbered_maps(steps) == numbered_maps(whole)
    assert steps[-1].phase is steps[len(steps) - 1].phase is Phase.REFIT
    assert [step.phase for step in steps[-3:]] == [Phase.END, Phase.MERGE, Phase.REFIT]
    np.testing.assert_array_equal(steps[3].responses.final, whole[3].responses.final)
