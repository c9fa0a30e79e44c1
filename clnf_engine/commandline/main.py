"""The ``clnf`` command itself, and ``clnf fit``, ``clnf trace`` and ``clnf model``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from clnf_engine import __version__
from clnf_engine.commandline import checking, diagnosis, porting, studies, tracking, training, validation
from clnf_engine.commandline.arguments import (
    BROKEN_PIPE,
    DONE,
    INTERRUPTED,
    abandon,
    add_fit_choices,
    add_functions,
    add_truth,
    candidates,
    chosen_options,
    complain,
    failure,
    fit_as_asked,
    fit_texts,
    given_start,
    is_folder,
    prepare_output,
    print_text,
    report_failures,
    starts,
    true_landmarks,
)
from clnf_engine.commandline.detecting import add_detection_choices, check_model, chosen_detection
from clnf_engine.errors import ClnfError, FileError, InitialError
from clnf_engine.options import DetectionOptions, FitOptions, SearchOptions
from clnf_engine.system_libraries import OPENCV_LIBRARIES, told_what_to_install

if TYPE_CHECKING:
    from clnf_engine.arrays import Floats
    from clnf_engine.detection.search import Candidate
    from clnf_engine.documents import Fit
    from clnf_engine.model import Model
    from clnf_engine.trace import Trace


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
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()  # so that a failure to write shows here, not at exit
    except ClnfError as error:
        return complain(str(error))
    except MemoryError:
        return complain("not enough memory")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        abandon(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:  # a full disk behind standard output, or a path no file can have
        abandon(sys.stdout)
        return complain(f"{error.filename or 'standard output'}: {error.strerror}")
    return code


def _run(words: Sequence[str]) -> int:
    try:
        args = _parser().parse_args(_joined_numbers(words))
    except SystemExit as stop:  # after --help and --version
        return int(stop.code or DONE)
    args.typed = shlex.join(["clnf", *words])
    with told_what_to_install(OPENCV_LIBRARIES):
        code: int = args.run(args)
    return code


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

    command = commands.add_parser("fit", help="fit landmarks to the faces of images", **fit_texts(*_KINDS))
    command.set_defaults(run=_fit)
    command.add_argument("images", nargs="+", metavar="IMAGE", help="any image OpenCV can read")
    add_fit_choices(command)
    add_detection_choices(command)
    command.add_argument(
        "--starts",
        choices=("all", "best"),
        help="tell of the detector's starts; fit from all, or from the best of a face",
    )
    add_truth(command)
    add_functions(command)
    command.add_argument("--format", choices=("json", "csv", "pts"), default="json", help="of the result (json)")
    command.add_argument("-o", "--output", metavar="OUT", help="file, or folder (needed for several images)")

    command = commands.add_parser("trace", help="fit one face and record every step", **fit_texts())
    command.set_defaults(run=_trace)
    command.add_argument("image", metavar="IMAGE", nargs="?", help="any image OpenCV can read")
    command.add_argument("--like", metavar="T", help="instead of IMAGE: fit image, start and options of this trace")
    add_fit_choices(command)
    add_truth(command)
    add_functions(command)
    command.add_argument("-o", "--output", metavar="T.npz", required=True, help="trace file to write")

    command = commands.add_parser("model", help="tell what a model holds", allow_abbrev=False)
    command.set_defaults(run=_model)
    command.add_argument("model", metavar="MODEL", help="main file, folder, or name of a shipped model")
    command.add_argument("--format", choices=("text", "json"), default="text", help="of the description (text)")

    command = commands.add_parser(
        "warm-up", help="compile the kernels of a fit ahead, once per machine", allow_abbrev=False
    )
    command.set_defaults(run=_warm_up)
    command.add_argument("--precision", choices=("float64", "float32"), default="float64", help="of the fits (float64)")

    validation.add_commands(commands)
    diagnosis.add_commands(commands)
    checking.add_commands(commands)
    porting.add_commands(commands)
    tracking.add_commands(commands)
    training.add_commands(commands)
    studies.add_commands(commands)
    return parser


def _joined_numbers(argv: Sequence[str]) -> list[str]:
    """Write ``--box V`` as ``--box=V``; argparse would take the minus of a negative number for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in ("--box", "--rotation"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


# --- clnf warm-up -----------------------------------------------------------------------------------


def _warm_up(args: argparse.Namespace) -> int:
    import numpy as np
    from tqdm import tqdm

    from clnf_engine.kernels.ready import OF_A_FIT, make_ready

    with tqdm(total=len(OF_A_FIT), desc="kernels", unit="", disable=None, leave=False) as bar:
        make_ready(np.dtype(args.precision), progress=lambda done, _: bar.update(done - bar.n))
    print_text(f"The kernels of a fit are ready ({args.precision}).\n")
    return DONE


# --- clnf fit ---------------------------------------------------------------------------------------


_KINDS = (FitOptions, SearchOptions, DetectionOptions)
"""What -O of ``clnf fit`` takes."""


def _fit(args: argparse.Namespace) -> int:
    from clnf_engine.library import load_model

    several = len(args.images) > 1
    if several and (args.box or args.landmarks):
        raise ClnfError(f"--box and --landmarks belong to one image, but {len(args.images)} are given")
    if several and args.truth is not None:
        raise ClnfError(f"--truth belongs to one image, but {len(args.images)} are given")
    if several and args.format != "json" and args.output is None:
        raise ClnfError(f"the {args.format} form of several images needs a folder; give one with -o")
    if args.starts and (args.box or args.landmarks):
        raise ClnfError("--starts tells of the starts that the detector finds; expected no --box or --landmarks")
    options, detection = chosen_options(args, *_KINDS[1:]), chosen_detection(args, *_KINDS)
    if args.functions is not None and detection is not None:
        raise ClnfError("--functions are those of one fit; expected nothing that is done around it, such as --parts")
    model = load_model(args.model)
    check_model(model, args, detection)
    truth = true_landmarks(model, args)
    if args.output is not None:
        prepare_output(args.output, args.images)
    worst = DONE
    for image in args.images:
        try:
            code = _fit_image(image, model, options, detection, args, truth)
        except ClnfError as error:
            code = complain(str(error))
        worst = max(worst, code)
    return worst


def _fit_image(
    image: str,
    model: Model,
    options: FitOptions,
    detection: DetectionOptions | None,
    args: argparse.Namespace,
    truth: Floats | None,
) -> int:
    from clnf_engine.detection.detect import detect
    from clnf_engine.io.images import read_image

    gray = read_image(image).gray
    given = given_start(model, args)
    found = [] if given is not None else candidates(model, gray, args, truth, every=args.starts == "all")
    initials = [given] if given is not None else [candidate.initial for candidate in found]
    if args.format == "pts" and args.output is None and len(initials) > 1:
        raise ClnfError(f"{image}: {len(initials)} faces found, but a .pts file holds one; give -o")
    failures: dict[str, str | None] = {}
    what = "start" if args.starts == "all" else "face"

    def fits() -> Iterator[Fit]:
        """One after the other, as each holds megabytes and an image may have hundreds of faces."""
        for number, initial in enumerate(initials, start=1):
            fitted = (
                fit_as_asked(args, gray, model, initial, options)
                if detection is None
                else detect(gray, model, initial, options, detection)
            )
            failures[f"{what} {number} of {len(initials)}"] = failure(fitted)
            yield fitted

    places = found if args.starts else None
    for suffix, text in _results(image, model, fits(), len(initials) > 1, args.format, truth, places):
        if args.output is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            _write_result(args, image, suffix, text.encode())
    return report_failures(image, failures)


def _results(
    image: str,
    model: Model,
    fits: Iterable[Fit],
    several: bool,
    form: str,
    truth: Floats | None,
    starts: Sequence[Candidate] | None,
) -> Iterator[tuple[str, str]]:
    """The suffix to the name and the text of every result file; csv and pts hold no failed fits."""
    from clnf_engine import documents
    from clnf_engine.io.landmarks import pts_text

    if form == "json":
        yield "", documents.json_text(documents.fit_document(image, model, fits, truth, starts or ()))
        return
    fitted = ((number, trace) for number, trace in enumerate(fits) if trace.success)
    if form == "csv":
        text = documents.csv_text(fitted, truth, starts)
        if text:
            yield "", text
    else:
        for number, trace in fitted:
            yield f"_{number + 1}" if several else "", pts_text(trace.landmarks)


# --- clnf trace, clnf model -------------------------------------------------------------------------


def _trace(args: argparse.Namespace) -> int:
    from clnf_engine.commandline.text import table_text
    from clnf_engine.diagnostics.investigation import error_table
    from clnf_engine.io.images import read_image
    from clnf_engine.library import load_model

    if (args.image is None) == (args.like is None):
        raise ClnfError("expected either IMAGE or --like T; see clnf trace --help")
    source = args.image or args.like
    options = None if args.like is not None else chosen_options(args, SearchOptions)
    model = load_model(args.model)
    truth = true_landmarks(model, args)
    prepare_output(args.output, [source])
    if options is None:
        traces = {"counterpart": _counterpart(args, model)}
    else:
        gray = read_image(source).gray
        initials = starts(model, gray, args, truth)
        traces = {"first face": fit_as_asked(args, gray, model, initials[0], options)} if initials else {}
    for trace in traces.values():
        trace.save(_output_path(args, source))
        if truth is not None:
            print_text(table_text(error_table({"": trace}, truth)) + "\n")
    return report_failures(source, {name: failure(trace) for name, trace in traces.items()})


def _counterpart(args: argparse.Namespace, model: Model) -> Trace:
    """The engine's own run of the image, the start and the options of a trace, with options changed by ``-O``."""
    from dataclasses import replace

    from clnf_engine.diagnostics.foreign import rerun
    from clnf_engine.trace import Trace

    if args.box or args.landmarks or args.preset != "openface":
        raise ClnfError("--like takes start and options from its trace; expected no --box, --landmarks or --preset")
    if args.functions is not None:
        raise ClnfError("--like is the engine's own run; expected no --functions")
    like = Trace.load(args.like)
    if like.fingerprint not in ("", model.fingerprint):
        raise ClnfError(
            f"{args.like}: made with a model of fingerprint {like.fingerprint}; {model.name} has {model.fingerprint}"
        )
    try:
        return rerun(replace(like, options=like.options.with_text(args.option)), model)
    except InitialError as error:
        raise ClnfError(f"{args.like}: {error}") from error


def _model(args: argparse.Namespace) -> int:
    from clnf_engine.commandline.text import model_text
    from clnf_engine.documents import json_text, model_document
    from clnf_engine.library import load_model

    document = model_document(load_model(args.model))
    text = json_text(document) if args.format == "json" else model_text(document)
    print_text(text)
    return DONE


# --- where results go -------------------------------------------------------------------------------


def _output_path(args: argparse.Namespace, image: str) -> Path:
    """Where a trace goes: the file that was named, or a new file of its image's name in the folder that was."""
    if not is_folder(args.output, [image]):
        return Path(args.output)
    return next(path for path in _names_in_folder(args.output, Path(image).stem, "npz") if not path.exists())


def _write_result(args: argparse.Namespace, image: str, suffix: str, data: bytes) -> None:
    """Write the file that was named, or a new file of its image's name in the folder that was."""
    from clnf_engine.io.files import reason, write_file, write_new_file

    output = Path(args.output)
    if not is_folder(args.output, args.images):
        write_file(output.with_name(f"{output.stem}{suffix}{output.suffix}"), data)
        return
    try:
        write_new_file(_names_in_folder(args.output, f"{Path(image).stem}{suffix}", args.format), data)
    except OSError as error:
        raise FileError(output, "", f"cannot be written into ({reason(error)})") from error


def _names_in_folder(folder: str, stem: str, extension: str) -> Iterator[Path]:
    """Names to try: another image may have this one, or someone's labels, which are never overwritten."""
    yield Path(folder) / f"{stem}.{extension}"
    yield from (Path(folder) / f"{stem}_{number}.{extension}" for number in count(2))
