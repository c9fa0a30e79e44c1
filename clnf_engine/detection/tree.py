"""The fits of a detection as a tree: hypotheses; of each the fit of the whole, its parts, the merge and the refit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clnf_engine.accuracy import Accuracy, accuracy
from clnf_engine.arrays import Floats, read_only
from clnf_engine.detection.detect import Detection, Hypothesis
from clnf_engine.detection.parts import PartFit, least_scale
from clnf_engine.ibug68 import N_LANDMARKS, eye_distance
from clnf_engine.initial import Initial, Rotation
from clnf_engine.model import ModelPart
from clnf_engine.options import FitOptions
from clnf_engine.steps import Continued, Phase, Place, Step
from clnf_engine.trace import Trace

END, MERGED, REFITTED = ((None, phase, None) for phase in (Phase.END, Phase.MERGE, Phase.REFIT))
"""Places after the iterations of a main fit."""

_SIDES = ((0, "bent down", "bent up"), (1, "turned left", "turned right"))
"""Angle, and the way it turns the face in the image where positive and where negative."""


@dataclass(frozen=True)
class Node:
    """A run of a detection, told without it: what two detections may both have.

    Attributes
    ----------
    hypothesis : int or None
        Of which it is; None: of the one that is chosen.
    part : str
        Name of the part; "" for the whole face, with the merge and the refit.
    """

    hypothesis: int | None = None
    part: str = ""


WHOLE = Node()
"""The whole detection."""


@dataclass(frozen=True, eq=False)
class NodeRun:
    """The run of a node.

    Attributes
    ----------
    node : Node
        The one asked for, or what the detection has instead.
    part : ModelPart or None
        None for the whole face.
    initial : Initial
    options : FitOptions
    trace : Trace or None
        The fit alone; None for a part that was not fitted.
    steps : sequence of Step
        Those of the fit, and the moments after it; of a part that was not fitted its start.
    """

    node: Node
    part: ModelPart | None
    initial: Initial
    options: FitOptions
    trace: Trace | None
    steps: Sequence[Step]


def node_run(detection: Detection, node: Node) -> NodeRun:
    """The run of a node, or of the nearest one that a detection has.

    Parameters
    ----------
    detection : Detection
    node : Node
        Without its hypothesis, that of the chosen one is meant; without its part, the whole face.
    """
    hypothesis, index = _hypothesis(detection, node)
    parts = hypothesis.parts if index is not None else detection.parts
    if node.part in parts:
        return _part_run(parts[node.part], Node(index, node.part), hypothesis.trace)
    trace, moments = hypothesis.trace, hypothesis.moments
    steps: Sequence[Step] = trace.steps
    if moments:
        steps = (*steps, *moments) if isinstance(steps, tuple) else Continued(steps, moments)
    return NodeRun(Node(index), None, trace.initial, trace.options, trace, steps)


def parts_of(detection: Detection, node: Node) -> Mapping[str, PartFit]:
    """The parts that belong to a node: those of its hypothesis, or those that the detection hands out."""
    hypothesis, index = _hypothesis(detection, node)
    return detection.parts if index is None else hypothesis.parts


def _hypothesis(detection: Detection, node: Node) -> tuple[Hypothesis, int | None]:
    index = node.hypothesis
    if index is None or not 0 <= index < len(detection.hypotheses):
        return detection.hypothesis, None
    return detection.hypotheses[index], index


def _part_run(fitted: PartFit, node: Node, main: Trace) -> NodeRun:
    trace, part = fitted.trace, fitted.part
    if trace is not None:
        return NodeRun(node, part, trace.initial, trace.options, trace, trace.steps)
    told = _why_not_fitted(part, main)
    start = Step(Phase.INITIAL, fitted.start.params, read_only(fitted.landmarks), message=told)
    return NodeRun(node, part, fitted.start, main.options, None, (start,))


def _why_not_fitted(part: ModelPart, main: Trace) -> str:
    scale = main.params_global[0]
    return f"not fitted: the face has {scale:.2f} px per model unit, more than {least_scale(part):g} are needed"


# --- the rows of the tree -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Row:
    """A fit, or a moment after one, in the tree.

    Attributes
    ----------
    title : str
    depth : int
        0 for the whole detection.
    node : Node
        The run that it is in.
    place : Place or None
        Where in that run it ends; None for its very end.
    landmarks : (n, 2) float64
        Where it ends, image px.
    part : ModelPart or None
        Of which the landmarks are; None for the whole face.
    likelihood : float or None
    iterations : int or None
        None for what has none.
    moves : (k,) float64 or None
        How far it has moved landmarks of the face from where they were before, image px: of a part that takes part in a
        merge those that it shares with the whole.
    certainty : float or None
        Of a validator.
    chosen : bool
        Whether it is, or belongs to, the hypothesis that is the result.
    note : str
        What else there is to say.
    """

    title: str
    depth: int
    node: Node
    place: Place | None
    landmarks: Floats
    part: ModelPart | None = None
    likelihood: float | None = None
    iterations: int | None = None
    moves: Floats | None = None
    certainty: float | None = None
    chosen: bool = True
    note: str = ""


def rows(detection: Detection) -> Iterator[Row]:
    """The tree from above: the whole detection; below it what it is made of, or the hypotheses and what they are."""
    best, several = detection.hypothesis, len(detection.hypotheses) > 1
    yield Row(
        "Whole detection",
        0,
        WHOLE,
        None,
        detection.landmarks,
        likelihood=detection.likelihood,
        moves=None if best.merged is None else _distances(detection.landmarks, best.trace.landmarks),
        certainty=detection.certainty if detection.validated else None,
        note="" if detection.success else detection.message,
    )
    if not several:
        yield from _hypothesis_rows(detection, best, None, 1)
        return
    for index, hypothesis in enumerate(detection.hypotheses):
        chosen = hypothesis is best
        title = f"Hypothesis {index + 1}: {turn_text(hypothesis.rotation)}"
        node, end = Node(index), hypothesis.landmarks
        note = "" if hypothesis.trace.success else hypothesis.trace.message
        if not hypothesis.parts:
            numbers = hypothesis.likelihood, _iterations(hypothesis.trace)
            yield Row(title, 1, node, END, end, None, *numbers, chosen=chosen, note=note)
            continue
        yield Row(title, 1, node, None, end, likelihood=hypothesis.likelihood, chosen=chosen, note=note)
        yield from _hypothesis_rows(detection, hypothesis, index, 2)


def _hypothesis_rows(detection: Detection, hypothesis: Hypothesis, index: int | None, depth: int) -> Iterator[Row]:
    trace, node = hypothesis.trace, Node(index)
    chosen = hypothesis is detection.hypothesis
    numbers = trace.likelihood, _iterations(trace)
    yield Row("Main fit", depth, node, END, trace.landmarks, None, *numbers, chosen=chosen)
    for name, fitted in hypothesis.parts.items():
        pairs, told = fitted.part.landmark_pairs, fitted.trace
        note = "" if told is not None else _why_not_fitted(fitted.part, trace)
        if detection.parts.get(name) is fitted and not chosen:
            note = "the result of this part, by a slip of OpenFace's"
        yield Row(
            part_title(name),
            depth,
            Node(index, name),
            None,
            fitted.landmarks,
            fitted.part,
            fitted.likelihood,
            None if told is None else _iterations(told),
            _distances(fitted.landmarks[pairs[:, 1]], trace.landmarks[pairs[:, 0]]) if hypothesis.moments else None,
            chosen=chosen,
            note=note,
        )
    for place, title, moment in zip((MERGED, REFITTED), ("Merge", "Refit"), hypothesis.moments, strict=False):
        assert moment.landmarks_before is not None
        moves = _distances(moment.landmarks, moment.landmarks_before)
        yield Row(title, depth, node, place, moment.landmarks, moves=moves, chosen=chosen)


def part_title(name: str) -> str:
    """What to call a part: "left eye" for ``left_eye_28``."""
    return name.removesuffix("_28").replace("_", " ")


def node_title(node: Node) -> str:
    """What to call a node in a line of text: "hypothesis 2, left eye"; "" for the whole detection."""
    words = [] if node.hypothesis is None else [f"hypothesis {node.hypothesis + 1}"]
    return ", ".join([*words, part_title(node.part)] if node.part else words)


def turn_text(rotation: Rotation) -> str:
    """A hypothesis' rotation in words, such as "turned left by 30°"."""
    words = [
        f"{positive if rotation[k] > 0 else negative} by {abs(math.degrees(rotation[k])):.0f}°"
        for k, positive, negative in _SIDES
        if rotation[k]
    ]
    return ", ".join(words) or "as the start"


def error(row: Row, truth: Floats | None) -> Accuracy | None:
    """How far the landmarks of a row are from the truth, of a part those that it shares with the whole.

    Parameters
    ----------
    row : Row
    truth : (n, 2) float64 or None
        Of the whole face, image px.

    Returns
    -------
    Accuracy or None
        None where there is no truth of this model.
    """
    if truth is None:
        return None
    if row.part is None:
        return accuracy(row.landmarks, truth) if truth.shape == row.landmarks.shape else None
    pairs = row.part.landmark_pairs
    if pairs[:, 0].max(initial=-1) >= len(truth):
        return None
    distances = _distances(row.landmarks[pairs[:, 1]], truth[pairs[:, 0]])
    return Accuracy(distances, (eye_distance(truth) or None) if len(truth) == N_LANDMARKS else None)


def part_truth(part: ModelPart, truth: Floats) -> Floats:
    """True landmarks of a part, (n, 2) image px, of those of the whole; NaN for those that it does not share."""
    found, pairs = np.full((part.model.n_landmarks, 2), np.nan), part.landmark_pairs
    known = pairs[pairs[:, 0] < len(truth)]
    found[known[:, 1]] = truth[known[:, 0]]
    return read_only(found)


def counterpart(landmark: int, before: ModelPart | None, after: ModelPart | None) -> int | None:
    """The landmark of one part that is a landmark of another; None where there is none. None is the whole face."""
    if before is after:
        return landmark
    whole: int | None = landmark
    if before is not None:
        whole = next((int(a) for a, b in before.landmark_pairs if b == landmark), None)
    if after is None or whole is None:
        return whole
    return next((int(b) for a, b in after.landmark_pairs if a == whole), None)


def _iterations(trace: Trace) -> int:
    return sum(step.iteration is not None for step in trace.numbers)


def _distances(points: Floats, others: Floats) -> Floats:
    distances: Floats = np.linalg.norm(points - others, axis=1)
    return distances
