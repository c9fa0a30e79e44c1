"""``clnf track``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clnf_engine.commandline.arguments import (
    DONE,
    FAILED,
    INTERRUPTED,
    add_fit_choices,
    chosen_options,
    chosen_search,
    complain,
    fit_texts,
    given_start,
    is_folder,
    prepare_file,
    prepare_output,
    texts_for,
)
from clnf_engine.commandline.detecting import add_detection_choices, check_model, chosen_detection
from clnf_engine.errors import ClnfError
from clnf_engine.options import DetectionOptions, FitOptions, SearchOptions, TrackOptions
from clnf_engine.presets import PROGRAMS

if TYPE_CHECKING:
    from clnf_engine.tracking.job import TrackJob


_KINDS = (FitOptions, TrackOptions, DetectionOptions, SearchOptions)
"""What -O takes."""


def add_commands(commands: Any) -> None:
    """Add the command to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser("track", help="follow a face through a video", **fit_texts(*_KINDS))
    command.set_defaults(run=_track)
    command.add_argument("video", metavar="VIDEO", help="any video FFmpeg can read, or a folder of images")
    add_fit_choices(command)
    add_detection_choices(command)
    command.add_argument("-o", "--output", metavar="OUT", help="file: .csv, .json or .parquet (CSV to the terminal)")
    command.add_argument("--overlay", metavar="OUT.mp4", help="draw the landmarks into a copy of the video; needs -o")


def _track(args: argparse.Namespace) -> int:
    from clnf_engine.io.video import open_video
    from clnf_engine.library import load_model
    from clnf_engine.tracking.job import TrackJob, check_names

    options, tracking = chosen_options(args, *_KINDS[1:]), _tracking(args)
    detection, search = chosen_detection(args, *_KINDS), chosen_search(args)
    output, overlay = _outputs(args)
    if output is not None:
        check_names(output, overlay)
    if args.rotation is not None and args.box is None and args.landmarks is None:
        raise ClnfError("--rotation turns the box that a tracking starts from; give one with --box")
    model = load_model(args.model)
    check_model(model, args, detection)
    first = given_start(model, args)
    with open_video(args.video) as source:
        job = TrackJob(source, model, options, tracking, first, detection, search)
        try:
            if output is None:
                job.print_rows()
            else:
                job.write(output, overlay)
        except KeyboardInterrupt:
            return complain(
                f"{args.video}: interrupted after {job.done} of {len(source)} frames{_again(job)}", INTERRUPTED
            )
    return DONE if job.found else complain(f"{args.video}: no face found", FAILED)


def _again(job: TrackJob) -> str:
    return "" if job.journal is None else f", which {job.journal} holds; the same command goes on from there"


def _tracking(args: argparse.Namespace) -> TrackOptions:
    base = PROGRAMS[args.preset].tracking if args.preset in PROGRAMS else TrackOptions()
    return base.with_text(texts_for(TrackOptions, args.option, *_KINDS))


def _outputs(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The files to write; one in a folder has the name of the video, so that it can be continued."""
    if args.output is None:
        if args.overlay is not None:
            raise ClnfError("--overlay draws what a file holds; give one with -o")
        return None, None
    prepare_output(args.output, [args.video])
    if args.overlay is not None:
        prepare_file(args.overlay, [args.video])
    output = Path(args.output)
    if is_folder(args.output, [args.video]):
        output /= f"{Path(args.video).stem}.csv"
    return output, None if args.overlay is None else Path(args.overlay)
