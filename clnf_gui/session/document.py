"""Session files: what a Session is made of, as JSON that can be shared; paths are relative to the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from clnf_engine import ClnfError, DetectionOptions, FitOptions, Initial, Phase, TrackOptions
from clnf_engine.detection.tree import WHOLE, Node
from clnf_engine.errors import FileError
from clnf_engine.io.files import read_file, write_file
from clnf_engine.options import Source
from clnf_engine.steps import Place
from clnf_engine.stops import parse_stop
from clnf_gui.look import Look
from clnf_gui.session.choices import LANES, Choices, LaneChoices, Start

FORMAT = "clnf-session"
VERSION = 5
"""Of sessions with a detection; those with functions of a file have 4, with a recorded run 3, with a video 2, and with
an image alone 1."""
_MAX_BYTES = 1 << 24


class SessionFileError(FileError):
    """A session file that cannot be read or written."""


@dataclass(frozen=True, eq=False)
class SessionDocument:
    """Everything needed to open a Session again as it was.

    Attributes
    ----------
    model, image : Path
    choices : Choices
        With the starts of an image; those of a video's frames are found again.
    place : Place
    node : Node
        Which run of a detection is shown.
    selection : int or None
    stops : tuple of str
    frame : int or None
        Number of the frame, from 0, when `image` is a video.
    truth : Path or None
        Of the true landmarks.
    recorded : dict of str to Path
        The traces that lanes hold, by the names of the lanes; the choices are without them.
    """

    model: Path
    image: Path
    choices: Choices
    place: Place
    selection: int | None
    stops: tuple[str, ...]
    frame: int | None = None
    truth: Path | None = None
    recorded: dict[str, Path] = field(default_factory=dict)
    node: Node = WHOLE

    def initials(self) -> Iterator[Initial]:
        """Every start it holds."""
        for name in LANES:
            lane = self.choices[name]
            if lane.start is not None:
                yield lane.start.initial
            if lane.first is not None:
                yield lane.first


def write_session(document: SessionDocument, path: Path) -> None:
    """Write a session file, whole or not at all.

    Raises
    ------
    SessionFileError
        When it cannot be written.
    """
    folder = _folder_of(path)
    files = {name: document.choices[name].functions for name in LANES}
    functions = {name: _relative(file, folder) for name, file in files.items() if file is not None}
    content = {
        "format": FORMAT,
        "version": _version(document, bool(functions)),
        "model": _relative(document.model, folder),
        "image": _relative(document.image, folder),
        "lanes": [_lane_json(document.choices[name], document.frame) for name in LANES],
        "comparing": document.choices.comparing,
        "active": document.choices.active,
        "place": list(document.place),
        "look": asdict(document.choices.look),
        "selection": document.selection,
        "stops": list(document.stops),
        "frame": document.frame,
        "truth": None if document.truth is None else _relative(document.truth, folder),
        "recorded": {name: _relative(path, folder) for name, path in document.recorded.items()},
        "functions": functions,
        "node": asdict(document.node),
    }
    # Bytes of a name that are no UTF-8 become escapes of JSON, which read back as those bytes.
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_file(path, text.encode("utf-8", "backslashreplace"), SessionFileError)


def _version(document: SessionDocument, functions: bool) -> int:
    """The lowest that has a word for everything in a session."""
    if any(document.choices[name].detection is not None for name in LANES):
        return VERSION
    if functions:
        return 4
    return 3 if document.recorded else 1 if document.frame is None else 2


def read_session(path: Path) -> SessionDocument:
    """Read a session file.

    Raises
    ------
    SessionFileError
        When it is missing, foreign, of another version or holds something impossible.
    """
    data = read_file(path, "a session file", _MAX_BYTES, SessionFileError)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SessionFileError(path, "", f"expected a session file in JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SessionFileError(path, "", f"names no format {FORMAT!r}; expected a session file")
    version = content.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        problem = f"has version {str(version)[:40]!r}; this program reads 1 to {VERSION}"
        raise SessionFileError(path, "", problem)
    try:
        return _document(content, _folder_of(path))
    except KeyError as error:
        raise SessionFileError(path, "", f"{error.args[0]} is missing") from error
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError, ClnfError) as error:
        raise SessionFileError(path, "", f"not a valid session: {error}") from error


def _document(content: dict[str, Any], folder: Path) -> SessionDocument:
    frame, truth = content.get("frame"), content.get("truth")
    recorded, functions = dict(content.get("recorded", {})), dict(content.get("functions", {}))
    lanes = [_lane(lane, None if frame is None else max(int(frame), 0)) for lane in content["lanes"]]
    active, selection = str(content["active"]), content["selection"]
    if len(lanes) != 2 or active not in ("A", "B"):
        raise ValueError(f"{len(lanes)} lanes, of which {active!r} is active; expected A and B")
    if frame is None:  # a video is tracked by the engine alone
        files = [Path(os.path.abspath(folder / str(functions[name]))) if name in functions else None for name in LANES]
        lanes = [replace(lane, functions=file) for lane, file in zip(lanes, files, strict=True)]
    stage, phase, iteration = content["place"]
    node = dict(content.get("node", {}))
    hypothesis = node.get("hypothesis")
    for stop in content["stops"]:
        parse_stop(stop)
    return SessionDocument(
        model=folder / str(content["model"]),
        image=folder / str(content["image"]),
        choices=Choices(lanes[0], lanes[1], bool(content["comparing"]), active, _look(content["look"])),
        place=(None if stage is None else int(stage), Phase(phase), None if iteration is None else int(iteration)),
        selection=None if selection is None else max(int(selection), 0),
        stops=tuple(content["stops"]),
        frame=None if frame is None else max(int(frame), 0),
        truth=None if truth is None else folder / str(truth),
        recorded={name: folder / str(recorded[name]) for name in LANES if name in recorded},
        node=Node(None if hypothesis is None else int(hypothesis), str(node.get("part", ""))),
    )


def _lane_json(lane: LaneChoices, frame: int | None) -> dict[str, Any]:
    start = lane.start if frame is None else None
    return {
        "options": lane.options.to_json(),
        "base_initial": _initial_json(None if start is None else start.base),
        "initial": _initial_json(None if start is None else start.initial),
        "tracking": lane.tracking.to_json(),
        "begin": lane.begin,
        "first": _initial_json(lane.first),
        "detection": None if lane.detection is None else lane.detection.to_json(),
    }


def _lane(values: dict[str, Any], frame: int | None) -> LaneChoices:
    base, initial, around = _initial(values["base_initial"]), _initial(values["initial"]), values.get("detection")
    return LaneChoices(
        FitOptions.from_json(values["options"]),
        None if initial is None or frame is not None else Start(base or initial, initial),
        TrackOptions.from_json(values.get("tracking", {})),
        max(int(values.get("begin", 0)), 0),
        _initial(values.get("first")),
        detection=None if around is None or frame is not None else DetectionOptions.from_json(around),
    )


def _look(values: dict[str, Any]) -> Look:
    """A Look from JSON; what is missing keeps its default, what this version does not know is left out."""
    default = Look()
    names = [field.name for field in fields(Look) if field.name in values]
    return Look(**{name: _like(getattr(default, name), values[name]) for name in names})


def _like(default: Any, value: Any) -> Any:
    """A JSON value as the type of a Look's default."""
    if isinstance(default, StrEnum):
        return type(default)(value)
    if default == ():  # the pinned landmarks
        return tuple(int(item) for item in value)
    if isinstance(default, tuple):
        return tuple(float(item) for item in value) if len(value) == len(default) else default
    return type(default)(value)


def _folder_of(path: Path) -> Path:
    """Where a session file lies, links followed; unlike Path's own, this puts up with a loop of links.

    Raises
    ------
    SessionFileError
        When no file can have that name.
    """
    try:
        return Path(os.path.realpath(path)).parent
    except ValueError as error:
        raise SessionFileError(path, "", f"no file can have that name ({error})") from error


def _relative(path: Path, folder: Path) -> str:
    """A path as seen from the session file; absolute where there is no such way, as between Windows drives."""
    absolute = os.path.realpath(path)
    try:
        return Path(os.path.relpath(absolute, folder)).as_posix()
    except ValueError:
        return Path(absolute).as_posix()


def _initial_json(initial: Initial | None) -> dict[str, Any] | None:
    if initial is None:
        return None
    return {
        "params": initial.params.tolist(),
        "source": initial.source,
        "box": list(initial.box),
        "seed": initial.seed,
    }


def _initial(values: dict[str, Any] | None) -> Initial | None:
    if values is None:
        return None
    x, y, width, height = (float(value) for value in values["box"])
    seed = values["seed"]
    return Initial(
        np.array(values["params"], dtype=np.float64),
        Source(values["source"]),
        (x, y, width, height),
        None if seed is None else int(seed),
    )
