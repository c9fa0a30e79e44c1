"""`detect`: a fit with all that OpenFace does around it: parts, hypotheses, validation.

Baltrušaitis, Zadeh, Lim, Morency, "OpenFace 2.0: Facial behavior analysis toolkit", FG 2018, §III. All fits in it are
Traces of the one loop. Where OpenFace does something odd that changes a result, it is done here as well, and named:

* the search for the start of an eye begins in a box of the wrong coordinates (`params_from_known`);
* a landmark at x = 0 exactly counts as unknown in that search (`part_start`);
* the error that ends that search mixes a new pose with old shape coefficients (`params_from_known`);
* after a merge the parameters are not clamped (`Hypothesis.params`);
* the likelihoods are those of the main fit, before the merge (`Detection.likelihood`);
* the parts handed out may be of another hypothesis than the face (`_parts_handed_out`).

In one thing it is not followed: a face so small that no stage is run has failed here; there it succeeds, with the
likelihood of the fit before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, brief, read_only
from clnf_engine.choice import choose
from clnf_engine.detection.known_landmarks import params_from_known
from clnf_engine.detection.parts import EYES, PartFit, fit_parts, merged
from clnf_engine.fitting import fit_and_trace
from clnf_engine.initial import Initial, Rotation, initial_from_box, upright_box
from clnf_engine.model import Model
from clnf_engine.options import DetectionOptions, FitOptions
from clnf_engine.pdm import RIGID, euler_angles, landmarks, rotation_matrix
from clnf_engine.recording import DEFAULT_BUDGET
from clnf_engine.steps import Phase, Step
from clnf_engine.trace import Trace
from clnf_engine.validator import Validator

ROTATIONS: tuple[Rotation, ...] = (
    (0.0, 0.0, 0.0),
    (0.0, 0.5236, 0.0),
    (0.0, -0.5236, 0.0),
    (0.5236, 0.0, 0.0),
    (-0.5236, 0.0, 0.0),
)
"""Rotations of the hypotheses, in the head's own frame: as the start is, turned to the sides, bent down and up."""

VALIDATION_BOUNDARY = -0.45
"""A result is a face when its certainty is below this; −1 is surely a face, +1 surely none."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One start of a detection and all that came of it.

    Attributes
    ----------
    rotation : (rx, ry, rz)
        What the start is turned by in the head's own frame, radians; of `ROTATIONS`.
    trace : Trace
        The main fit, of the whole face.
    parts : mapping of name to PartFit
    merged : (n, 2) float64 or None
        Landmarks of the main fit with those of the parts in their place, image px; None when no part was used.
    params : (6 + m,) float64
        Those of the main fit, or after a merge those nearest to the merged landmarks. These are not clamped.
    landmarks : (n, 2) float64
        Projection of `params`, image px: after a merge near the merged landmarks, but not the same.
    """

    rotation: Rotation
    trace: Trace
    parts: Mapping[str, PartFit]
    merged: Floats | None
    params: Floats
    landmarks: Floats

    __repr__ = brief

    @property
    def likelihood(self) -> float | None:
        """Mean log likelihood of the last non-rigid phase of the main fit; None when no stage was run."""
        return self.trace.likelihood

    @property
    def moments(self) -> tuple[Step, ...]:
        """What is done after the main fit: MERGE and REFIT, or nothing when no part was used.

        The landmarks of both begin where those of the moment before them ended. The parameters of MERGE are still those
        of the main fit: no parameters have these landmarks.
        """
        if self.merged is None:
            return ()
        before = self.trace.numbers[-1]
        return (
            _moment(Phase.MERGE, before.params, self.merged, before.landmarks),
            _moment(Phase.REFIT, self.params, self.landmarks, self.merged),
        )


@dataclass(frozen=True, eq=False)
class Detection:
    """A face and how it was found.

    Attributes
    ----------
    model : Model
    options : DetectionOptions
    hypotheses : tuple of Hypothesis
        One, or five.
    chosen : int
        Index of the hypothesis that is the result.
    parts : mapping of name to PartFit
        The results of the parts: eyes have 28 landmarks each. Those of the chosen hypothesis, or of the one that
        OpenFace would hand out.
    success : bool
        Whether the main fit ended as it should and, where there is a validator, that takes the result for a face.
    certainty : float
        From −1, surely a face, to 1, surely none: the validator's, or one of the two by the success of the main fit.
    """

    model: Model
    options: DetectionOptions
    hypotheses: tuple[Hypothesis, ...]
    chosen: int
    parts: Mapping[str, PartFit]
    success: bool
    certainty: float

    __repr__ = brief

    @property
    def hypothesis(self) -> Hypothesis:
        """The chosen one."""
        return self.hypotheses[self.chosen]

    @property
    def trace(self) -> Trace:
        """Main fit of the chosen hypothesis."""
        return self.hypothesis.trace

    @property
    def params(self) -> Floats:
        """``[scale, rx, ry, rz, tx, ty, q…]``, (6 + m,) float64."""
        return self.hypothesis.params

    @property
    def params_global(self) -> Floats:
        """``[scale, rx, ry, rz, tx, ty]``, (6,) float64."""
        return self.params[:RIGID]

    @property
    def params_local(self) -> Floats:
        """Shape coefficients q, (m,) float64."""
        return self.params[RIGID:]

    @property
    def landmarks(self) -> Floats:
        """Landmarks, (n, 2) float64, image px."""
        return self.hypothesis.landmarks

    @property
    def merged(self) -> Floats | None:
        """`Hypothesis.merged` of the chosen one."""
        return self.hypothesis.merged

    @property
    def likelihood(self) -> float | None:
        """Mean log likelihood of the main fit, before any merge; None when no stage was run."""
        return self.hypothesis.likelihood

    @property
    def validated(self) -> bool:
        """Whether `certainty` is a validator's."""
        return self.trace.success and self.options.validate and self.model.validator is not None

    @property
    def message(self) -> str:
        """How the detection ended."""
        if self.trace.success and not self.success:
            return f"the validator takes it for no face (certainty {self.certainty:.3g}; −1 is one, 1 is none)"
        return self.trace.message


def detect(
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions | None = None,
    detection: DetectionOptions | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Detection:
    """Fit landmarks to a face as OpenFace's programs do.

    Parameters
    ----------
    image : (H, W) uint8
        Grey levels; they must not change as long as the Traces are read.
    model : Model
        Its parts and its validator are used where it has any.
    initial : Initial
        Where to start. Hypotheses other than the first are made from its box.
    options : FitOptions, optional
        Of the main fit; OpenFace's by default.
    detection : DetectionOptions, optional
        OpenFace's by default.
    budget : int
        Bytes of maps to keep of each Trace, as for `fitting.fit`.

    Returns
    -------
    Detection

    Raises
    ------
    InitialError
        When `initial` does not suit the model.
    TypeError, ValueError
        When `image` is not a two-dimensional uint8 array with at least one pixel.

    Examples
    --------
    >>> from clnf_engine import DetectionOptions, detect
    >>> from clnf_engine import initials_from_detector, load_model, sample
    >>> model, gray = load_model(), sample("portrait").gray
    >>> start = initials_from_detector(model, gray)[0]
    >>> found = detect(gray, model, start, detection=DetectionOptions(hypotheses=True, hypothesis_margin=0.05))
    >>> len(found.hypotheses), found.hypothesis.rotation, found.success
    (5, (0.0, 0.0, 0.0), True)
    """
    options, detection = options or FitOptions(), detection or DetectionOptions()
    *_, found = detect_steps(image, model, initial, options, detection, budget)
    assert isinstance(found, Detection)
    return found


def detect_steps(
    image: NDArray[np.uint8],
    model: Model,
    initial: Initial,
    options: FitOptions,
    detection: DetectionOptions,
    budget: int = DEFAULT_BUDGET,
) -> Iterator[Step | Hypothesis | Detection]:
    """`detect` as a stream; parameters and errors as there.

    Yields
    ------
    Step
        Those of the main fit of the first hypothesis.
    Hypothesis
        Each when it is complete.
    Detection
        At last.
    """
    hypotheses: list[Hypothesis] = []
    for rotation in ROTATIONS if detection.hypotheses else ROTATIONS[:1]:
        start = hypothesis_start(model, initial, rotation)
        for item in fit_and_trace(image, model, start, options, budget):
            if isinstance(item, Trace):
                hypotheses.append(_hypothesis(image, model, rotation, item, detection, budget))
                yield hypotheses[-1]
            elif not hypotheses:
                yield item
    chosen = choose([hypothesis.likelihood for hypothesis in hypotheses], detection.hypothesis_margin)
    best = hypotheses[chosen]
    parts = best.parts if detection.mend_slips else _parts_handed_out(hypotheses)
    validator = model.validator if detection.validate else None
    success, certainty = _judged(validator, image, best)
    yield Detection(model, detection, tuple(hypotheses), chosen, parts, success, certainty)


def hypothesis_start(model: Model, initial: Initial, rotation: Rotation) -> Initial:
    """The start of a hypothesis.

    Parameters
    ----------
    model : Model
    initial : Initial
        The start of the detection, which the first hypothesis has unchanged.
    rotation : (rx, ry, rz)
        Of `ROTATIONS`, in the head's own frame.

    Returns
    -------
    Initial
        The mean shape, turned as the start and then by `rotation`, in the upright box of the start; tilted in the image
        with that box as the start is. OpenFace has upright starts only.
    """
    if not any(rotation):
        return initial
    x, y, width, height = box = upright_box(model, initial)
    own = rotation_matrix(initial.params[1:4])
    both = own @ rotation_matrix(np.array(rotation))
    tilt = float(np.arctan2(own[1, 0], own[0, 0]))
    about = rotation_matrix(np.array([0.0, 0.0, tilt]))
    rx, ry, rz = euler_angles(about.T @ both).tolist() if any(initial.rotation) else rotation
    start = initial_from_box(model, box, (rx, ry, rz))
    if not tilt:
        return replace(start, source=initial.source)
    params, middle = start.params.copy(), np.array([x + width / 2, y + height / 2])
    params[1:4] = euler_angles(both)
    params[4:6] = middle + about[:2, :2] @ (params[4:6] - middle)
    return replace(start, params=params, source=initial.source)


def _hypothesis(
    image: NDArray[np.uint8],
    model: Model,
    rotation: Rotation,
    trace: Trace,
    detection: DetectionOptions,
    budget: int,
) -> Hypothesis:
    parts = fit_parts(image, model, trace, detection, budget)
    points = merged(trace.landmarks, parts)
    if points is None:
        return Hypothesis(rotation, trace, parts, None, trace.numbers[-1].params, trace.landmarks)
    params = read_only(params_from_known(model.pdm, points, points[:, 0] != 0))
    return Hypothesis(rotation, trace, parts, points, params, read_only(landmarks(model.pdm, params)))


def _moment(phase: Phase, params: Floats, points: Floats, before: Floats) -> Step:
    moves = np.linalg.norm(points - before, axis=1)
    most = int(moves.argmax())
    return Step(
        phase,
        params,
        points,
        landmarks_before=before,
        shape_change=float(np.linalg.norm(moves)),
        message=f"landmarks moved by {moves.mean():.2f} px, at most by {moves[most]:.2f} px ({most})",
    )


def _parts_handed_out(hypotheses: Sequence[Hypothesis]) -> dict[str, PartFit]:
    """The results of the parts that OpenFace hands out.

    Those of the first hypothesis; a later one replaces a part whose own likelihood is above the best *main* likelihood
    so far. That is a slip: it compares different things, and the parts may be of another hypothesis than the face. A
    part that was not fitted keeps the likelihood it had in an earlier hypothesis.
    """
    handed_out = dict(hypotheses[0].parts)
    of_parts: dict[str, float] = {}
    best = _likelihood(hypotheses[0])
    for index, hypothesis in enumerate(hypotheses):
        best = max(best, _likelihood(hypothesis))  # a NaN stays, and is never taken
        for name, fitted in hypothesis.parts.items():
            if fitted.likelihood is not None:
                of_parts[name] = fitted.likelihood
            if index and of_parts.get(name, -math.inf) > best:
                handed_out[name] = fitted
    return handed_out


def _likelihood(hypothesis: Hypothesis) -> float:
    return -math.inf if hypothesis.likelihood is None else hypothesis.likelihood


def _judged(validator: Validator | None, image: NDArray[np.uint8], hypothesis: Hypothesis) -> tuple[bool, float]:
    """Success and certainty of a result."""
    if not hypothesis.trace.success:
        return False, 1.0
    if validator is None:
        return True, -1.0
    certainty = validator.certainty(image, hypothesis.params[1:4], hypothesis.landmarks)
    return certainty < VALIDATION_BOUNDARY, certainty


def confidence(certainty: float) -> float:
    """From 0 to 1, as in OpenFace's files: the certainty turned about, 1 for what is surely a face."""
    return (1 - certainty) / 2


def certainty_of(confidence: float) -> float:
    """The certainty that a `confidence` was made of."""
    return 1 - 2 * confidence


def eye_landmarks(detection: Detection) -> Floats:
    """Landmarks of the left, then of the right eye, (n, 2) image px; none where those parts were not looked at."""
    eyes = [detection.parts[name].landmarks for name in EYES if name in detection.parts]
    return np.concatenate(eyes) if eyes else np.zeros((0, 2))


def n_eye_landmarks(model: Model, detection: DetectionOptions | None) -> int:
    """How many `eye_landmarks` a detection has."""
    if detection is None or not (detection.parts and detection.eye_parts):
        return 0
    return sum(part.model.n_landmarks for part in model.parts if part.name in EYES)
