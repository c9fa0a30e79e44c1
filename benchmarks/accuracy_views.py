"""Accuracy of a model of several views: on frontal faces, on turned copies of them, and in a video of turning heads.

    python benchmarks/accuracy_views.py MODEL FACES HELD_OUT.txt [--video V --reference M] [--only PART]

MODEL must not have been trained on the faces named in HELD_OUT.txt: that of ``clnf train``'s work folder. Errors are
means over landmarks in % of the distance of the outer eye corners; of turned heads that in space, which turning does
not shorten. *Inner* leaves out the jaw, where models disagree by convention. Fits start from the true box, shifted and
scaled by up to 10 %: once, or turned to every side and the one taken that `choose` chooses, with several margins.
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine import Model, Trace, detect_faces, fit, initial_from_box, load_model, open_video, track
from clnf_engine.accuracy import error_statistics
from clnf_engine.choice import choose
from clnf_engine.detection.detect import ROTATIONS
from clnf_engine.ibug68 import eye_distance
from clnf_engine.initial import box_around, perturbed
from clnf_engine.pdm import rotation_matrix, unposed_shape
from clnf_engine.training.annotations import Face, read_annotations, select
from clnf_engine.training.evaluate import Start, evaluate
from clnf_engine.training.recipe import Recipe
from clnf_engine.training.turning import turned as turned_copy
from clnf_engine.training.views import can_be_turned

MARGINS = (0.0, 0.05, 0.1)
POSES = {"yaw 15": (0, 15), "yaw 25": (0, 25), "yaw 35": (0, 35), "yaw 45": (0, 45)}
POSES |= {"pitch +15": (15, 0), "pitch −15": (-15, 0)}
INNER = slice(17, 68)
AGREE = 0.03
"""Two fits agree that end nearer than this share of the eye distance."""

ELSEWHERE = 50.0
"""Two tracks farther apart than this, % of the eye distance, follow different heads."""

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]


def five(image: Image, model: Model, box: Box) -> list[Trace]:
    """Fits from a box with the mean shape turned in it as OpenFace's hypotheses are."""
    return [fit(image, model, initial_from_box(model, box, rotation)) for rotation in ROTATIONS]


def chosen(traces: Sequence[Trace], margin: float) -> Trace:
    """The fit to believe."""
    return traces[choose([trace.likelihood if trace.success else None for trace in traces], margin)]


def jittered(model: Model, points: Floats, name: str) -> Box:
    """The box around landmarks, shifted and scaled by up to 10 %, by a name."""
    return perturbed(model, initial_from_box(model, box_around(points)), zlib.crc32(name.encode()), 0.1).box


def error(found: Floats, truth: Floats, eyes: float, part: slice = slice(None)) -> float:
    """Mean distance, % of an eye distance."""
    return 100 * float(np.linalg.norm(found - truth, axis=1)[part].mean()) / eyes


def line(name: str, errors: Sequence[float]) -> None:
    if not errors:
        return
    row = error_statistics(errors)
    print(
        f"{name:<44}{len(errors):5d}{row.mean:8.2f}{row.median:8.2f}{row.p90:8.2f}"
        + "".join(f"{share:8.1f}" for share in row.below),
        flush=True,
    )


def head(title: str) -> None:
    print(f"\n{title:<44}{'n':>5}{'mean':>8}{'median':>8}{'p90':>8}{'< 5 %':>8}{'< 8 %':>8}")


def frontal(model: Model, faces: Sequence[Face]) -> None:
    head("frontal faces")
    for start in (Start.DETECTOR, Start.PERTURBED):
        line(f"{start}, one start", [face.mean for face in evaluate(faces, model, start=start).faces])
    fits = [five(face.gray(), model, jittered(model, face.points, face.name)) for face in faces]
    for margin in MARGINS:
        ends = [chosen(traces, margin).landmarks for traces in fits]
        errors = [error(end, face.points, face.eye_distance) for end, face in zip(ends, faces, strict=True)]
        line(f"box, five starts, margin {margin:g}", errors)


def synthetic(model: Model, faces: Sequence[Face]) -> None:
    """On copies turned by the same renderer as those that views learn from, of other people."""
    faces = [face for face in faces if can_be_turned(face, model.pdm, Recipe())]
    for name, (pitch, yaw) in POSES.items():
        head(f"turned copies, {name}")
        errors: dict[str, list[float]] = {}
        for face in faces:
            sign = 1 if zlib.crc32(face.name.encode()) % 2 else -1  # half of them to each side
            rotation = rotation_matrix(np.radians([pitch, sign * yaw, 0.0]))
            copy = turned_copy(face.gray(), np.column_stack([face.points, face.depth]), model.pdm, rotation)
            truth = copy.points[:, :2]
            eyes = eye_distance(copy.points)
            traces = five(copy.image, model, jittered(model, truth, face.name))
            ends = {"one start": traces[0]} | {f"five starts, margin {m:g}": chosen(traces, m) for m in MARGINS}
            for how, trace in ends.items():
                errors.setdefault(how, []).append(error(trace.landmarks, truth, eyes))
        for how, values in errors.items():
            line(how, values)


# --- video ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reference:
    """A face in a frame, as the reference model sees it."""

    frame: int
    params: Floats
    landmarks: Floats
    eyes: float

    @property
    def yaw(self) -> float:
        return abs(math.degrees(self.params[2]))


def references(video: str, model: Model, every: int) -> Iterator[tuple[Reference, Image]]:
    """Faces of every `every`-th frame on which at least two of five starts agree; found by Haar, then carried on."""
    known: list[Box] = []
    with open_video(video) as source:
        for frame in source.frames():
            if frame.index % every:
                continue
            image, boxes, known = frame.gray, known, []
            boxes += [box for box in detect_faces(image) if not any(_same(box, other) for other in boxes)]
            for box in boxes:
                traces = five(image, model, box)
                best = chosen(traces, 0.0)
                eyes = eyes_of(model, best.steps[-1].params)
                near = [error(t.landmarks, best.landmarks, eyes) < 100 * AGREE for t in traces]
                if best.success and sum(near) >= 2 and not any(_same(box_around(best.landmarks), k) for k in known):
                    known.append(box_around(best.landmarks))
                    yield Reference(frame.index, best.steps[-1].params, best.landmarks, eyes), image


def eyes_of(model: Model, params: Floats) -> float:
    """Distance of the outer eye corners in space, image px."""
    return float(params[0]) * eye_distance(unposed_shape(model.pdm, params).T)


def _same(a: Box, b: Box) -> bool:
    """Whether the centre of one box is near that of another."""
    return math.hypot(a[0] - b[0] + (a[2] - b[2]) / 2, a[1] - b[1] + (a[3] - b[3]) / 2) < 0.5 * max(a[2], b[2])


def video(model: Model, path: str, reference: Model, every: int, pictures: Path | None) -> None:
    """On the heads of a video, against the reference model's fits; these have an error of their own."""
    errors: dict[str, list[tuple[float, float]]] = {}
    for found, image in references(path, reference, every):
        traces = five(image, model, jittered(model, found.landmarks, str(found.frame)))
        ends = {"one start": traces[0]} | {f"five starts, margin {m:g}": chosen(traces, m) for m in MARGINS}
        for how, trace in ends.items():
            errors.setdefault(how, []).append((found.yaw, error(trace.landmarks, found.landmarks, found.eyes, INNER)))
        if pictures is not None and found.yaw > 15:
            draw(pictures, found, image, ends["five starts, margin 0.05"])
    for title, least, most in (("yaw to 15°", 0, 15), ("yaw over 15°", 15, 90), ("yaw over 25°", 25, 90)):
        head(f"{Path(path).name}, inner, {title}")
        for how, values in errors.items():
            line(how, [value for yaw, value in values if least < yaw <= most])


def draw(folder: Path, found: Reference, image: Image, trace: Trace) -> None:
    """The head, once with the reference's landmarks and once with the model's."""
    x, y, width, height = box_around(found.landmarks)
    left, top = max(int(x - 0.5 * width), 0), max(int(y - 0.5 * height), 0)
    part = image[top : int(y + 1.4 * height), left : int(x + 1.5 * width)]
    sides = []
    for points in (found.landmarks, trace.landmarks):
        large = cv2.cvtColor(cv2.resize(part, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2BGR)
        for px, py in 3 * (points - (left, top)) + 1:
            cv2.circle(large, (round(px), round(py)), 2, (0, 255, 255), -1, cv2.LINE_AA)
        sides.append(large)
    angles = [math.degrees(a) for a in (found.params[2], trace.params_global[2])]
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{found.frame:04d}_{int(x):03d}_yaw{angles[0]:+.0f}_{angles[1]:+.0f}.png"
    cv2.imwrite(str(folder / name), np.hstack(sides))


def tracking(model: Model, path: str, reference: Model) -> None:
    """The track of a head against the reference model's own; both begin at the largest face that is found."""
    errors: list[tuple[float, float]] = []
    elsewhere = lost = 0
    with open_video(path) as one, open_video(path) as other:
        for theirs, ours in zip(track(one, reference), track(other, model), strict=True):
            if theirs.params is None or theirs.landmarks is None or not theirs.success:
                continue
            if ours.landmarks is None or not ours.success:
                lost += 1
                continue
            value = error(ours.landmarks, theirs.landmarks, eyes_of(reference, theirs.params), INNER)
            if value > ELSEWHERE:
                elsewhere += 1
            else:
                errors.append((abs(math.degrees(theirs.params[2])), value))
    head(f"{Path(path).name}, tracked, inner")
    for least, most in ((0, 8), (8, 15), (15, 20), (20, 30), (30, 90)):
        line(f"yaw {least} to {most}°", [value for yaw, value in errors if least <= yaw < most])
    print(f"lost in {lost} frames, and at another head in {elsewhere}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("faces", metavar="FACES")
    parser.add_argument("held_out", metavar="HELD_OUT.txt")
    parser.add_argument("--video", help="of turning heads")
    parser.add_argument("--reference", metavar="M", help="model of several views that tells where the heads are")
    parser.add_argument("--every", type=int, default=8, help="frames (%(default)s)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw the turned heads of the video there")
    parser.add_argument("--only", choices=("frontal", "synthetic", "video", "tracking"), action="append")
    args = parser.parse_args()
    parts = args.only or ("frontal", "synthetic", "video", "tracking")
    model = load_model(args.model)
    faces = select(read_annotations(args.faces).faces, Path(args.held_out).read_text("utf-8").split())
    if "frontal" in parts:
        frontal(model, faces)
    if "synthetic" in parts:
        synthetic(model, faces)
    if args.video and args.reference:
        reference = load_model(args.reference)
        if "video" in parts:
            video(model, args.video, reference, args.every, args.pictures)
        if "tracking" in parts:
            tracking(model, args.video, reference)


if __name__ == "__main__":
    main()
