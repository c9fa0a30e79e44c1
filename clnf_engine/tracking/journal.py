"""Tracks as CSV: a row per frame, in a file that grows and can be continued. Format: ``docs/cli.md``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.detection.detect import VALIDATION_BOUNDARY, certainty_of, confidence, n_eye_landmarks
from clnf_engine.documents import VERSION, eye_columns, fit_columns
from clnf_engine.errors import FileError
from clnf_engine.initial import Initial
from clnf_engine.io.files import open_file, reason
from clnf_engine.io.validator_file import validator_bytes
from clnf_engine.io.video import VideoSource
from clnf_engine.model import Model, fit_arrays
from clnf_engine.options import DetectionOptions, FitOptions, Rules, SearchOptions, Source, TrackOptions
from clnf_engine.pdm import landmarks
from clnf_engine.tracking.past import Past, State
from clnf_engine.tracking.pose import head_pose
from clnf_engine.tracking.track import FrameResult

CONFIDENCE_SLOPE = 4.0
"""Of the logistic function from likelihood to confidence: 0.5 at the threshold, 0.88 half a unit above it."""

_FIRST = ["frame", "face_id", "timestamp", "confidence", "success"]
_POSE = ["pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"]
_LAST = ["state", "start", "windows", "likelihood", "iterations", "update_norm", "shape_change", "run"]

_MAX_LINE = 1 << 24
"""Bytes of a row; there are none as long."""

_AGREEMENT_PX = 1e-6
"""How far landmarks of a row may be from those of its parameters; other processors round otherwise."""

TEXT_COLUMNS = ("state", "start", "windows", "run")
WHOLE_COLUMNS = ("frame", "face_id", "success", "iterations")
"""All other columns hold real numbers."""


def columns(model: Model, detection: DetectionOptions | None = None) -> list[str]:
    """The names of the columns: OpenFace's of FeatureExtraction for what is computed here, then our own."""
    eyes = eye_columns(n_eye_landmarks(model, detection))
    return [*_FIRST, *eyes, *_POSE, *fit_columns(model.n_landmarks, model.pdm.n_modes), *_LAST]


def run_name(
    source: VideoSource,
    model: Model,
    options: FitOptions,
    tracking: TrackOptions,
    first: Initial | None,
    detection: DetectionOptions | None = None,
    search: SearchOptions | None = None,
) -> str:
    """What two runs share when they give the same rows: a digest of the frames' times, the model and the options."""
    digest = hashlib.sha256(np.array([source.timestamp(k) for k in range(len(source))]).tobytes())
    for array in fit_arrays(model):
        digest.update(str(array.shape).encode() + array.tobytes())
    start = None if first is None else [first.source, first.params.tolist()]
    chosen: list[Any] = [options.to_json(), tracking.to_json(), start, (search or SearchOptions()).to_json()]
    if detection is not None:
        chosen += [detection.to_json(), [[part.name, part.model.fingerprint] for part in model.parts]]
        digest.update(b"" if model.validator is None else validator_bytes(model.validator))
    digest.update(json.dumps([VERSION, *chosen]).encode())
    return f"v{VERSION}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True, eq=False)
class Row:
    """What is written of a frame; numbers are NaN where there was no fit.

    Attributes
    ----------
    index : int
        Of the frame, from 0; files count from 1.
    timestamp : float
        Seconds from the first frame.
    confidence : float
        Of the validator, or by OpenFace's rules, as in its files; else the logistic function of the likelihood, 0.5 at
        `TrackOptions.min_likelihood`, 0 when there is no likelihood.
    numbers : (6 + 2n + 6 + m,) float64
        `head_pose`, x of all landmarks, y of all, parameters.
    state : State
    start : str
        Source of the start of the fit; "none" when there was no fit.
    windows : str
        Of the fit, with spaces between.
    likelihood, update_norm, shape_change : float
    iterations : int
    run : str
        From `run_name`.
    eyes : (2k,) float64
        x of all k eye landmarks, then y.
    """

    index: int
    timestamp: float
    confidence: float
    numbers: Floats
    state: State
    start: str
    windows: str
    likelihood: float
    iterations: int
    update_norm: float
    shape_change: float
    run: str
    eyes: Floats

    @staticmethod
    def of(
        result: FrameResult, model: Model, tracking: TrackOptions, run: str, detection: DetectionOptions | None = None
    ) -> Row:
        """The row of a tracked frame."""
        numbers = np.full(len(columns(model)) - len(_FIRST) - len(_LAST), math.nan)
        eyes = np.full(2 * n_eye_landmarks(model, detection), math.nan)
        if result.eyes is not None and len(eyes) == 2 * len(result.eyes):
            eyes = result.eyes.T.ravel()
        start, windows, sure = "none", "", 0.0
        if result.initial is not None and result.params is not None and result.landmarks is not None:
            pose = head_pose(model.pdm, result.params, result.landmarks, result.size)
            numbers = np.concatenate([pose, result.landmarks.T.ravel(), result.params])
            start, windows = str(result.initial.source), " ".join(map(str, result.options.windows))
        if result.certainty is not None:
            sure = confidence(result.certainty)
        elif result.likelihood is not None:
            margin = CONFIDENCE_SLOPE * (result.likelihood - tracking.min_likelihood)
            sure = 0.5 * (1 + math.tanh(0.5 * margin))
        likelihood, update_norm, shape_change = (
            math.nan if value is None else value
            for value in (result.likelihood, result.update_norm, result.shape_change)
        )
        return Row(
            result.index,
            result.timestamp,
            sure,
            numbers,
            result.state,
            start,
            windows,
            likelihood,
            result.iterations,
            update_norm,
            shape_change,
            run,
            eyes,
        )

    @staticmethod
    def parse(line: str, model: Model, detection: DetectionOptions | None = None) -> Row:
        """A row from its text.

        Raises
        ------
        ValueError
            When the text is no row of this model, as `text` writes it.
        """
        words = line.rstrip("\n").split(",")
        names = columns(model, detection)
        if len(words) != len(names):
            raise ValueError(f"{len(words)} columns; expected {len(names)}")
        begin = len(_FIRST) + 2 * n_eye_landmarks(model, detection)
        state, start, windows, likelihood, iterations, update_norm, shape_change, run = words[-len(_LAST) :]
        row = Row(
            int(words[0]) - 1,
            float(words[2]),
            float(words[3]),
            np.array([float(word) for word in words[begin : -len(_LAST)]]),
            State(state),
            start,
            windows,
            float(likelihood),
            int(iterations),
            float(update_norm),
            float(shape_change),
            run,
            np.array([float(word) for word in words[len(_FIRST) : begin]]),
        )
        written = row.text().rstrip("\n").split(",")
        for name, found, expected in zip(names, words, written, strict=True):
            if found != expected:
                raise ValueError(f"{name} is {found[:40]!r}; expected {expected}")
        row.check(model)
        return row

    def check(self, model: Model) -> None:
        """Raise unless the values of a row from a file agree with each other.

        Raises
        ------
        ValueError
            When they do not.
        """
        if not re.fullmatch(r"([0-9]{1,4}( [0-9]{1,4})*)?", self.windows):
            raise ValueError(f"windows is {self.windows[:40]!r}; expected whole numbers")
        if self.start != "none":
            Source(self.start)
        if not self.success:
            return
        initial = Initial(self.params(model), Source(self.start), (0.0, 0.0, 0.0, 0.0))  # of the next frame
        if not np.allclose(landmarks(model.pdm, initial.params), self.landmarks(model), rtol=0, atol=_AGREEMENT_PX):
            raise ValueError("the landmarks are not those of the parameters")

    def text(self) -> str:
        """The row as a line of CSV; numbers read back exactly."""
        words = [str(self.index + 1), "0", repr(self.timestamp), repr(self.confidence), str(int(self.success))]
        words += map(repr, [*self.eyes.tolist(), *self.numbers.tolist()])
        words += [str(self.state), self.start, self.windows, repr(self.likelihood), str(self.iterations)]
        return ",".join([*words, repr(self.update_norm), repr(self.shape_change), self.run]) + "\n"

    @property
    def success(self) -> bool:
        """Whether the frame has a face."""
        return self.state.found

    def params(self, model: Model) -> Floats:
        """``[scale, rx, ry, rz, tx, ty, q…]``, (6 + m,)."""
        return self.numbers[6 + 2 * model.n_landmarks :]

    @property
    def eye_landmarks(self) -> Floats:
        """(k, 2), image px; those of the left eye first."""
        return self.eyes.reshape(2, -1).T

    def landmarks(self, model: Model) -> Floats:
        """(n, 2), image px."""
        return self.numbers[6 : 6 + 2 * model.n_landmarks].reshape(2, -1).T


def read_rows(path: Path, model: Model, detection: DetectionOptions | None = None) -> Iterator[Row]:
    """The rows of a finished file, which `Journal` has checked."""
    with open(path, encoding="ascii") as lines:
        next(lines)
        for line in lines:
            yield Row.parse(line, model, detection)


def _open(path: str, flags: int) -> int:
    """Make a file where there is none, also where a link leads, and wait for no pipe."""
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)


class Journal:
    """The file of a track while it grows: whole rows at every moment, but for a last one that a crash may tear.

    Parameters
    ----------
    path : Path
        A new file, or that of an earlier run, which is continued.
    source : VideoSource
    model : Model
    run : str
        From `run_name`; that of the earlier run must be the same.
    detection : DetectionOptions or None
        What is done around every fit.
    rules : Rules
        Of the tracking.

    Attributes
    ----------
    past : Past
        Where to go on.
    rows, found : int
        Frames done, and those of them with a face.

    Raises
    ------
    FileError
        When the file cannot be written, or is not the beginning of this track.
    """

    def __init__(
        self,
        path: Path,
        source: VideoSource,
        model: Model,
        run: str,
        detection: DetectionOptions | None = None,
        rules: Rules = Rules.OWN,
    ) -> None:
        self.path, self._model, self._run, self._detection, self._rules = path, model, run, detection, rules
        self.past, self.rows, self.found = Past(), 0, 0
        self._end = 0
        try:
            self._file = open(path, "r+b", buffering=0, opener=_open)  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise FileError(path, "", f"cannot be written ({reason(error)})") from error
        try:
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise FileError(path, "", "not a file; expected one that can be read again and continued")
            self._continue(source)
        except BaseException:
            self._file.close()
            raise

    def append(self, row: Row) -> None:
        """Write the row of a frame.

        Raises
        ------
        FileError
            When the disk is full or the like.
        """
        self._write(row.text())
        self._count(row)

    def close(self) -> None:
        """Close the file; what an interruption left of a row is cut off."""
        self._file.truncate(self._end)
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, text: str) -> None:
        rest = memoryview(text.encode("ascii"))
        end = self._end + len(rest)
        try:
            self._file.seek(self._end)
            while rest:  # once, unless the disk fills up
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise FileError(self.path, "", f"cannot be written ({error.strerror})") from error
        self._end = end

    def _count(self, row: Row) -> None:
        good = certainty_of(row.confidence) < VALIDATION_BOUNDARY
        self.past = self.past.after(row.index, row.state, row.params(self._model), good, self._rules)
        self.rows += 1
        self.found += row.success

    def _continue(self, source: VideoSource) -> None:
        header = (",".join(columns(self._model, self._detection)) + "\n").encode("ascii")
        with open_file(self.path, "a track", FileError) as lines:
            found = lines.readline(len(header) + 1)
            if found != header and not header.startswith(found):
                raise FileError(
                    self.path,
                    "line 1",
                    "other columns than this track has; expected a file that it began, or a new name",
                )
            if found != header:  # new, or torn
                self._write(header.decode("ascii"))
                return
            self._end = len(header)
            for number in count(2):
                line = lines.readline(_MAX_LINE)
                if not line.endswith(b"\n"):
                    if len(line) == _MAX_LINE:
                        problem = f"longer than {_MAX_LINE} bytes; not a row of a track"
                        raise FileError(self.path, f"line {number}", problem)
                    break  # torn; written anew, or cut off in the end
                self._take(number, line, source)
                self._end += len(line)

    def _take(self, number: int, line: bytes, source: VideoSource) -> None:
        """Check and count a row of the earlier run."""
        try:
            row = Row.parse(line.decode("ascii"), self._model, self._detection)
        except ValueError as error:
            raise FileError(self.path, f"line {number}", f"not a row of a track ({error})") from error
        if row.run != self._run:
            problem = "made of another video, model or options; expected the same, or a new name"
            raise FileError(self.path, f"line {number}", problem)
        if not self.past.frame <= row.index < len(source) or row.timestamp != source.timestamp(row.index):
            problem = f"frame {row.index + 1} of another time; expected one after frame {self.past.frame}"
            raise FileError(self.path, f"line {number}", problem)
        self._count(row)
