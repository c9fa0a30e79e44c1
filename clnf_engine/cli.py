"""The ``clnf`` command: fit landmarks, record a trace, tell what a model holds. Reference: ``docs/cli.md``.

NumPy, OpenCV and SciPy are imported inside the functions that need them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from clnf_engine import __version__
from clnf_engine.errors import ClnfError, FileError, InitialError, LandmarkFileError, OptionsError
from clnf_engine.options import FitOptions, TrackOptions, option_defaults
from clnf_engine.presets import PRESETS, preset
from clnf_engine.training.commands import add_commands

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clnf_engine.initial import Box, Initial
    from clnf_engine.model import Model
    from clnf_engine.trace import Trace

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED, BROKEN_PIPE = 130, 141
"""What a shell reports for a command ended by SIGINT or SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 done; 1 no face found or a fit failed; 2 bad input; 130 interrupted; 141 broken pipe.
    """
    try:
        args = _parser().parse_args(_joined_box(sys.argv[1:] if argv is None else argv))
        code: int = args.run(args)
        sys.stdout.flush()  # so that a failure to write shows here, not at exit
    except SystemExit as stop:  # argparse, after --help and --version
        return int(stop.code or DONE)
    except ClnfError as error:
        return _complain(str(error))
    except MemoryError:
        return _complain("not enough memory")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE
    except OSError as error:  # a full disk behind standard output, or a path no file can have
        _abandon_stdout()
        return _complain(f"{error.filename or 'standard output'}: {error.strerror}")
    return code


def _complain(sentence: str, code: int = BAD_INPUT) -> int:
    print("clnf:", " ".join(sentence.splitlines()), file=sys.stderr)
    return code


def _abandon_stdout() -> None:
    """Let what is still buffered go nowhere; Python would try again at exit and complain."""
    with suppress(OSError):  # a stdout without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- arguments --------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ClnfErrors, reported like all others."""

    def error(self, message: str) -> NoReturn:
        raise ClnfError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="clnf", description="Fit CLNF face landmarks and look at what the fit did.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"clnf {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = commands.add_parser("fit", help="fit landmarks to the faces of images", **_fit_texts())
    command.set_defaults(run=_fit)
    command.add_argument("images", nargs="+", metavar="IMAGE", help="any image OpenCV can read")
    _add_fit_choices(command)
    command.add_argument("--format", choices=("json", "csv", "pts"), default="json", help="of the result (json)")
    command.add_argument("-o", "--output", metavar="OUT", help="file, or folder (needed for several images)")

    command = commands.add_parser("trace", help="fit one face and record every step", **_fit_texts())
    command.set_defaults(run=_trace)
    command.add_argument("image", metavar="IMAGE", help="any image OpenCV can read")
    _add_fit_choices(command)
    command.add_argument("-o", "--output", metavar="T.npz", required=True, help="trace file to write")

    command = commands.add_parser("track", help="follow a face through a video", **_fit_texts(FitOptions, TrackOptions))
    command.set_defaults(run=_track)
    command.add_argument("video", metavar="VIDEO", help="any video FFmpeg can read, or a folder of images")
    _add_fit_choices(command)
    command.add_argument("-o", "--output", metavar="OUT", help="file: .csv, .json or .parquet (CSV to the terminal)")
    command.add_argument("--overlay", metavar="OUT.mp4", help="draw the landmarks into a copy of the video; needs -o")

    command = commands.add_parser("model", help="tell what a model holds", allow_abbrev=False)
    command.set_defaults(run=_model)
    command.add_argument("model", metavar="MODEL", help="main file, folder, or name of a shipped model")
    command.add_argument("--format", choices=("text", "json"), default="text", help="of the description (text)")

    add_commands(commands)
    return parser


def _fit_texts(*kinds: type[Any]) -> dict[str, Any]:
    options = {name: value for kind in kinds or [FitOptions] for name, value in option_defaults(kind).items()}
    defaults = ((k, ",".join(map(str, v)) if isinstance(v, tuple) else v) for k, v in options.items())
    epilog = "Options for -O and their defaults: " + " ".join(f"{name}={value}" for name, value in defaults)
    return {"epilog": epilog, "allow_abbrev": False}


def _add_fit_choices(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="M", help="main file, folder, or name of a shipped model")
    names = " or ".join(PRESETS)
    command.add_argument("--preset", metavar="NAME", default="openface", help=f"options to start from: {names}")
    start = command.add_mutually_exclusive_group()
    start.add_argument(
        "--box", metavar="X,Y,W,H", type=_box, help="start from this box: eyebrows to chin, cheek to cheek, px"
    )
    start.add_argument("--landmarks", metavar="F.pts", help="start from these landmarks")
    command.add_argument(
        "-O", dest="option", metavar="KEY=VALUE", action="append", default=[], help="change a fit option; repeatable"
    )


def _box(text: str) -> Box:
    try:
        x, y, width, height = (float(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected four numbers x,y,width,height") from None
    return x, y, width, height


def _joined_box(argv: Sequence[str]) -> list[str]:
    """Write ``--box V`` as ``--box=V``; argparse would take the minus of a negative x for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] == "--box":
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


# --- clnf fit ---------------------------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> int:
    several = len(args.images) > 1
    if several and (args.box or args.landmarks):
        raise ClnfError(f"--box and --landmarks belong to one image, but {len(args.images)} are given")
    if several and args.format != "json" and args.output is None:
        raise ClnfError(f"the {args.format} form of several images needs a folder; give one with -o")
    options = _options(args)
    model = _load(args.model)
    if args.output is not None:
        _prepare_output(args.output, args.images)
    worst = DONE
    for image in args.images:
        try:
            code = _fit_image(image, model, options, args)
        except ClnfError as error:
            code = _complain(str(error))
        worst = max(worst, code)
    return worst


def _fit_image(image: str, model: Model, options: FitOptions, args: argparse.Namespace) -> int:
    from clnf_engine.fitting import fit
    from clnf_engine.io.images import read_image

    gray = read_image(image).gray
    initials = _initials(model, gray, args)
    if args.format == "pts" and args.output is None and len(initials) > 1:
        raise ClnfError(f"{image}: {len(initials)} faces found, but a .pts file holds one; give -o")
    traces = [fit(gray, model, initial, options) for initial in initials]
    for suffix, text in _results(image, model, traces, args.format):
        if args.output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            _write(_output_path(args, image, suffix, args.format), text)
    return _report(image, traces)


def _results(image: str, model: Model, traces: Sequence[Trace], form: str) -> list[tuple[str, str]]:
    """The suffix to the name and the text of every result file; csv and pts hold no failed fits."""
    from clnf_engine import report
    from clnf_engine.io.landmarks import pts_text

    if form == "json":
        return [("", report.json_text(report.fit_document(image, model.name, traces)))]
    fitted = {number: trace for number, trace in enumerate(traces) if trace.success}
    if form == "csv":
        return [("", report.csv_text(fitted))] if fitted else []
    several = len(traces) > 1
    return [(f"_{number + 1}" if several else "", pts_text(trace.landmarks)) for number, trace in fitted.items()]


def _report(image: str, traces: Sequence[Trace]) -> int:
    """Say which faces have no result; the exit code."""
    code = DONE if traces else _complain(f"{image}: no face found", FAILED)
    for number, trace in enumerate(traces, start=1):
        if not trace.success:
            face = f", face {number} of {len(traces)}" if len(traces) > 1 else ""
            code = _complain(f"{image}{face}: the fit failed: {trace.message}", FAILED)
    return code


# --- clnf trace, clnf model -------------------------------------------------------------------------


def _trace(args: argparse.Namespace) -> int:
    from clnf_engine.fitting import fit
    from clnf_engine.io.images import read_image

    options = _options(args)
    model = _load(args.model)
    _prepare_output(args.output, [args.image])
    gray = read_image(args.image).gray
    initials = _initials(model, gray, args)[:1]
    traces = [fit(gray, model, initial, options) for initial in initials]
    for trace in traces:
        trace.save(_output_path(args, args.image, "", "npz"))
    return _report(args.image, traces)


def _model(args: argparse.Namespace) -> int:
    from clnf_engine import report

    document = report.model_document(_load(args.model))
    text = report.json_text(document) if args.format == "json" else report.model_text(document)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))  # names may hold any character
    return DONE


# --- clnf track -------------------------------------------------------------------------------------


def _track(args: argparse.Namespace) -> int:
    from clnf_engine.io.video import open_video
    from clnf_engine.track_command import TrackJob, check_names

    options, tracking = _track_options(args)
    output, overlay = _track_outputs(args)
    if output is not None:
        check_names(output, overlay)
    model = _load(args.model)
    first = _given(model, args)
    with open_video(args.video) as source:
        job = TrackJob(source, model, options, tracking, first)
        try:
            if output is None:
                job.print_rows()
            else:
                job.write(output, overlay)
        except KeyboardInterrupt:
            again = "" if job.journal is None else f", which {job.journal} holds; the same command goes on from there"
            return _complain(f"{args.video}: interrupted after {job.done} of {len(source)} frames{again}", INTERRUPTED)
    return DONE if job.found else _complain(f"{args.video}: no face found", FAILED)


def _track_options(args: argparse.Namespace) -> tuple[FitOptions, TrackOptions]:
    """The texts of -O, each to those options that know its name."""
    owners = {name: kind for kind in (FitOptions, TrackOptions) for name in option_defaults(kind)}
    texts: dict[type[Any], list[str]] = {FitOptions: [], TrackOptions: []}
    for text in args.option:
        name = text.partition("=")[0].strip()
        if name not in owners:
            raise OptionsError(f"there is no option {name!r}; expected one of {', '.join(owners)}")
        texts[owners[name]].append(text)
    return preset(args.preset).with_text(texts[FitOptions]), TrackOptions().with_text(texts[TrackOptions])


def _track_outputs(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The files to write; one in a folder has the name of the video, so that it can be continued."""
    if args.output is None:
        if args.overlay is not None:
            raise ClnfError("--overlay draws what a file holds; give one with -o")
        return None, None
    for path in filter(None, (args.output, args.overlay)):
        _prepare_output(path, [args.video])
    output = Path(args.output)
    if _is_folder(args.output, [args.video]):
        output /= f"{Path(args.video).stem}.csv"
    return output, None if args.overlay is None else Path(args.overlay)


# --- what they share --------------------------------------------------------------------------------


def _options(args: argparse.Namespace) -> FitOptions:
    return preset(args.preset).with_text(args.option)


def _load(name: str | None) -> Model:
    from clnf_engine.library import load_model

    return load_model(name)


def _initials(model: Model, gray: NDArray[np.uint8], args: argparse.Namespace) -> list[Initial]:
    """One start per face to fit, the largest first."""
    from clnf_engine.initial import initials_from_detector

    given = _given(model, args)
    return initials_from_detector(model, gray) if given is None else [given]


def _given(model: Model, args: argparse.Namespace) -> Initial | None:
    """The start that the arguments tell."""
    from clnf_engine.initial import initial_from_box, initial_from_landmarks
    from clnf_engine.io.landmarks import read_pts

    if args.box is not None:
        return initial_from_box(model, args.box)
    if args.landmarks is None:
        return None
    try:
        return initial_from_landmarks(model, read_pts(args.landmarks))
    except InitialError as error:
        raise LandmarkFileError(args.landmarks, "", str(error)) from error


def _is_folder(output: str, images: Sequence[str]) -> bool:
    return len(images) > 1 or output.endswith(("/", os.sep)) or Path(output).is_dir()


def _prepare_output(output: str, images: Sequence[str]) -> None:
    """Find out before the work whether its result has a place."""
    path = Path(output)
    if _is_folder(output, images):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(path, "", f"cannot be made a folder for the results ({error.strerror})") from error
    elif not path.parent.is_dir():
        raise FileError(path, "", f"cannot be written, there is no folder {path.parent}")
    elif path.exists() and Path(images[0]).exists() and path.samefile(images[0]):
        raise FileError(path, "", "is the input itself; expected another file for the result")


def _output_path(args: argparse.Namespace, image: str, suffix: str, extension: str) -> Path:
    """Where a result goes: the file that was named, or a file of its image's name in the folder that was."""
    output = Path(args.output)
    if not _is_folder(args.output, getattr(args, "images", [image])):
        return output.with_name(f"{output.stem}{suffix}{output.suffix}")
    stem = f"{Path(image).stem}{suffix}"
    path, number = output / f"{stem}.{extension}", 1
    while path.exists():  # another image of this name, or someone's labels: never overwritten
        number += 1
        path = output / f"{stem}_{number}.{extension}"
    return path


def _write(path: Path, text: str) -> None:
    from clnf_engine.io.atomic import write_file

    write_file(path, text.encode())
