"""What the commands of ``clnf`` share: exit codes, the choices of a fit, where it starts, where a result goes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from clnf_engine.errors import FileError, InitialError, LandmarkFileError, OptionsError, one_line, printable
from clnf_engine.options import FitOptions, SearchOptions, option_defaults
from clnf_engine.presets import PRESETS, PROGRAMS, preset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clnf_engine.arrays import Floats
    from clnf_engine.detection.detect import Detection
    from clnf_engine.detection.search import Candidate
    from clnf_engine.initial import Box, Initial, Rotation
    from clnf_engine.model import Model
    from clnf_engine.trace import Trace

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141
"""What a shell reports for a command ended by SIGINT or SIGPIPE."""


# --- on the terminal --------------------------------------------------------------------------------


def complain(sentence: str, code: int = BAD_INPUT, program: str = "clnf") -> int:
    """Say what went wrong, in one line on standard error; the exit code."""
    try:
        print(f"{program}:", one_line(sentence), file=sys.stderr, flush=True)
    except OSError:  # nobody can be told
        abandon(sys.stderr)
    return code


def abandon(stream: TextIO) -> None:
    """Let what is still buffered go nowhere; Python would try again at exit and complain."""
    with suppress(OSError, ValueError):  # a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def report_failures(image: str, failures: Mapping[str, str | None]) -> int:
    """Say which fits of an image failed, by name when there are several, with their messages; the exit code."""
    code = DONE if failures else complain(f"{image}: no face found", FAILED)
    for name, message in failures.items():
        if message is not None:
            where = f"{image}, {name}" if len(failures) > 1 else image
            code = complain(f"{where}: the fit failed: {message}", FAILED)
    return code


def failure(trace: Trace | Detection) -> str | None:
    """The message of a fit that failed; None of one that did not."""
    return None if trace.success else trace.message


def print_text(text: str) -> None:
    """Write lines to standard output, whatever characters it can hold: names may hold any, but command no terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(printable(text, "\n").encode(encoding, "backslashreplace").decode(encoding))


# --- choices ----------------------------------------------------------------------------------------


def fit_texts(*kinds: type[Any]) -> dict[str, Any]:
    """What the parser of a command is made with that takes options of these kinds; of a fit and a search by default."""
    options = {
        name: value for kind in kinds or (FitOptions, SearchOptions) for name, value in option_defaults(kind).items()
    }
    defaults = ((k, ",".join(map(str, v)) if isinstance(v, tuple) else v) for k, v in options.items())
    epilog = "Options for -O and their defaults: " + " ".join(f"{name}={value}" for name, value in defaults)
    return {"epilog": epilog, "allow_abbrev": False}


def add_fit_choices(command: argparse.ArgumentParser) -> None:
    """Add the model, the options and the start of a fit."""
    add_model_and_options(command)
    start = command.add_mutually_exclusive_group()
    start.add_argument(
        "--box", metavar="X,Y,W,H", type=_box, help="start from this box: eyebrows to chin, cheek to cheek, px"
    )
    start.add_argument("--landmarks", metavar="F.pts", help="start from these landmarks")
    command.add_argument(
        "--rotation",
        metavar="RX,RY,RZ",
        type=_rotation,
        help="start with the face of the box or the detector turned: pitch, yaw, roll in degrees",
    )


def add_truth(command: argparse.ArgumentParser) -> None:
    """Add the true landmarks that a fit is measured against."""
    command.add_argument(
        "--truth", metavar="FILE.pts", help="measure against these landmarks; of the faces found, fit the one there"
    )


def add_functions(command: argparse.ArgumentParser) -> None:
    """Add the functions of one's own that a fit is made with."""
    command.add_argument(
        "--functions",
        metavar="FILE.py",
        help="fit with the functions of this Python file, which is run in a process of its own, in the place of the "
        "operations that they are named after",
    )


def fit_as_asked(
    args: argparse.Namespace, gray: NDArray[np.uint8], model: Model, initial: Initial, options: FitOptions
) -> Trace:
    """A fit, with the functions that the arguments name; what their file prints goes to standard error."""
    from clnf_engine.fitting import fit
    from clnf_engine.plugins.process import fit_with

    if args.functions is None:
        return fit(gray, model, initial, options)
    return fit_with(args.functions, gray, model, initial, options, lambda line: print(line, file=sys.stderr))


def add_model_and_options(command: argparse.ArgumentParser) -> None:
    """Add the model and the options of a fit."""
    command.add_argument("--model", metavar="M", help="main file, folder, or name of a shipped model")
    names = " or ".join([*PRESETS, *PROGRAMS])
    command.add_argument("--preset", metavar="NAME", default="openface", help=f"options to start from: {names}")
    command.add_argument(
        "-O", dest="option", metavar="KEY=VALUE", action="append", default=[], help="change a fit option; repeatable"
    )


def _box(text: str) -> Box:
    try:
        x, y, width, height = (float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected four numbers x,y,width,height") from None
    return x, y, width, height


def _rotation(text: str) -> Rotation:
    try:
        rx, ry, rz = (math.radians(float(word)) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected three angles rx,ry,rz in degrees") from None
    return rx, ry, rz


def texts_for(kind: type[Any], texts: Sequence[str], *kinds: type[Any]) -> list[str]:
    """The texts of -O for options of a kind, where the command takes those of `kinds`.

    Raises
    ------
    OptionsError
        When none of several kinds has an option of that name.
    """
    owners = {name: owner for owner in kinds for name in option_defaults(owner)}
    names = [text.partition("=")[0].strip() for text in texts]
    for name in names:
        if len(kinds) > 1 and name not in owners:
            raise OptionsError(f"there is no option {name!r}; expected one of {', '.join(owners)}")
    return [text for name, text in zip(names, texts, strict=True) if owners.get(name, kinds[0]) is kind]


def chosen_options(args: argparse.Namespace, *beside: type[Any]) -> FitOptions:
    """The preset, with its options changed; -O also takes options of the kinds `beside`."""
    return preset(args.preset).with_text(texts_for(FitOptions, args.option, FitOptions, *beside))


def chosen_search(args: argparse.Namespace) -> SearchOptions:
    """How faces are searched."""
    names = option_defaults(SearchOptions)
    texts = [text for text in args.option if text.partition("=")[0].strip() in names]
    base = PROGRAMS[args.preset].search if args.preset in PROGRAMS else SearchOptions()
    return base.with_text(texts)


def starts(
    model: Model, gray: NDArray[np.uint8], args: argparse.Namespace, truth: Floats | None = None
) -> list[Initial]:
    """One start per face to fit, the likeliest first; with true landmarks only the one that overlaps them most."""
    given = given_start(model, args)
    if given is not None:
        return [given]
    return [candidate.initial for candidate in candidates(model, gray, args, truth)]


def candidates(
    model: Model, gray: NDArray[np.uint8], args: argparse.Namespace, truth: Floats | None = None, every: bool = False
) -> list[Candidate]:
    """The detector's starts, `every` one it considered or the best of each face, turned if the arguments say so."""
    from clnf_engine.detection.search import best_of_faces, nearest, search
    from clnf_engine.initial import box_around

    considered = search(model, gray, chosen_search(args))
    found = considered if every else best_of_faces(considered)
    if truth is not None:
        there = nearest(best_of_faces(considered), box_around(truth))
        found = [c for c in found if there is not None and c.face == there.face]
    return [replace(candidate, initial=_turned(model, candidate.initial, args)) for candidate in found]


def true_landmarks(model: Model, args: argparse.Namespace) -> Floats | None:
    """The landmarks to measure against, if any."""
    from clnf_engine.io.landmarks import read_pts

    if args.truth is None:
        return None
    truth = read_pts(args.truth)
    if len(truth) != model.n_landmarks:
        problem = f"{len(truth)} points; expected {model.n_landmarks}, the landmarks of {model.name}"
        raise LandmarkFileError(args.truth, "", problem)
    return truth


def given_start(model: Model, args: argparse.Namespace) -> Initial | None:
    """The start that the arguments tell."""
    from clnf_engine.initial import initial_from_box, initial_from_landmarks
    from clnf_engine.io.landmarks import read_pts

    if args.box is not None:
        return _turned(model, initial_from_box(model, args.box), args)
    if args.landmarks is None:
        return None
    if args.rotation is not None:
        raise InitialError("--rotation turns the face of a box or of the detector; landmarks have a rotation already")
    try:
        return initial_from_landmarks(model, read_pts(args.landmarks))
    except InitialError as error:
        raise LandmarkFileError(args.landmarks, "", str(error)) from error


def _turned(model: Model, initial: Initial, args: argparse.Namespace) -> Initial:
    """A start, turned if the arguments tell a rotation."""
    from clnf_engine.initial import turned

    return initial if args.rotation is None else turned(model, initial, args.rotation)


def prepare_file(path: str, sources: Sequence[str]) -> None:
    """Find out before the work whether its result, made from `sources`, can have this name.

    Raises
    ------
    FileError
        When it cannot.
    """
    file = Path(path)
    if not file.parent.is_dir():
        raise FileError(file, "", f"cannot be written, there is no folder {file.parent}")
    if file.is_dir():
        raise FileError(file, "", "is a folder; expected a file for the result")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise FileError(file, "", "cannot be written (Permission denied)")
    for source in map(Path, sources):
        if file.exists() and source.exists() and file.samefile(source):
            raise FileError(file, "", "is the input itself; expected another file for the result")


def is_folder(output: str, sources: Sequence[str]) -> bool:
    """Whether results go into a folder, each under the name of what it is made from."""
    return len(sources) > 1 or output.endswith(("/", os.sep)) or Path(output).is_dir()


def prepare_output(output: str, sources: Sequence[str]) -> None:
    """Find out before the work whether its results, made from `sources`, have a place; make their folder.

    Raises
    ------
    FileError
        When they have none.
    """
    path = Path(output)
    if is_folder(output, sources):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(path, "", f"cannot be made a folder for the results ({error.strerror})") from error
        if not os.access(path, os.W_OK):
            raise FileError(path, "", "cannot be written into (Permission denied)")
    else:
        prepare_file(output, sources)
