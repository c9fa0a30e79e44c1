"""``clnf study``: many faces, fitted in many ways."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from clnf_engine.commandline import study_results
from clnf_engine.commandline.arguments import DONE, INTERRUPTED, complain, fit_texts, print_text
from clnf_engine.commandline.detecting import add_detection_choices
from clnf_engine.options import DetectionOptions, FitOptions, SearchOptions, TrackOptions
from clnf_engine.presets import PRESETS, PROGRAMS

if TYPE_CHECKING:
    from clnf_engine.studies.plan import Study
    from clnf_engine.studies.run import Outcome
    from clnf_engine.studies.variants import Start

_KINDS = (FitOptions, DetectionOptions, SearchOptions, TrackOptions)
"""What -O, -G and -V take, beside model and preset."""


def add_commands(commands: Any) -> None:
    """Add the commands to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    study = commands.add_parser("study", help="fit many faces in many ways, and compare", allow_abbrev=False)
    parts = study.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(parts)
    study_results.add_commands(parts)


def add_cluster(command: argparse.ArgumentParser) -> None:
    """Add where the work of a command is done."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        metavar="N",
        type=_count,
        help="processes on this machine (all cores); 0: only this one, no Dask",
    )
    where.add_argument("--scheduler", metavar="ADDRESS", help="run on this Dask cluster, such as tcp://host:8786")


def _add_run(parts: Any) -> None:
    command = parts.add_parser("run", help="make the rows of a study, or go on with it", **fit_texts(*_KINDS))
    command.set_defaults(run=_run)
    command.add_argument(
        "data",
        metavar="DATA",
        help="folder of photos (each perhaps with its .pts) and videos, a glob, a list of paths (.txt), or one of them",
    )
    command.add_argument("-o", "--output", metavar="RESULTS", required=True, help="folder of the results; they grow")
    command.add_argument("--model", metavar="M", help="main file, folder, or name of a shipped model")
    names = " or ".join([*PRESETS, *PROGRAMS])
    command.add_argument("--preset", metavar="NAME", help=f"options to start from: {names}")
    command.add_argument(
        "-O", dest="option", metavar="KEY=VALUE", action="append", default=[], help="an option of all; repeatable"
    )
    command.add_argument(
        "-G",
        dest="axis",
        metavar="KEY=V,V,…",
        action="append",
        default=[],
        help="values of an option, a model or a preset to compare; several axes: all combinations. Those of a list are "
        "parted by slashes: windows=11,9,7,5/9,7,5",
    )
    command.add_argument(
        "-V", dest="variant", metavar="'K=V K=V'", action="append", default=[], help="one more variant; repeatable"
    )
    command.add_argument(
        "--deviations", action="store_true", help="a variant with each deviation from OpenFace, too, and one without"
    )
    add_detection_choices(command)
    command.add_argument(
        "--start",
        metavar="START",
        action="append",
        help="detector (default), box or landmarks (of the truth), perturbed as box:SHARE or box:SHARE:DEGREES; "
        "repeatable",
    )
    command.add_argument("--seeds", metavar="N", type=_positive, default=1, help="perturbations of each such start (1)")
    command.add_argument("--seed", type=int, default=0, help="of everything that is drawn at random (0)")
    command.add_argument("--baseline", metavar="NAME", default="", help="variant that the others are compared with")
    add_cluster(command)
    command.add_argument("--retry-failed", action="store_true", help="make rows again that have no fit")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 1024:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from 0 to 1024")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from 1 to 1000000")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    from clnf_engine.studies.run import Outcome, run_study

    study, outcome = _study(args), Outcome()
    where = {"workers": args.workers, "scheduler": args.scheduler, "retry_failed": args.retry_failed}
    try:
        run_study(study, args.output, **where, outcome=outcome)
    except KeyboardInterrupt:
        return complain(
            f"{args.output}: interrupted after {outcome.before + outcome.rows} rows, which are kept; the same command "
            "goes on from there",
            INTERRUPTED,
        )
    finally:
        for note in outcome.notes:
            complain(note)
    print_text(_told(args.output, outcome))
    return DONE


def _told(results: str, outcome: Outcome) -> str:
    failures = f", {outcome.failures} of them without a good fit" if outcome.failures else ""
    before = f"; {outcome.before} fits were there" if outcome.before else ""
    return f"{results}: {outcome.rows} rows{failures}{before}\n"


def _study(args: argparse.Namespace) -> Study:
    from clnf_engine.deviations import DEVIATIONS
    from clnf_engine.studies.plan import Study
    from clnf_engine.studies.variants import Variant, grid

    common = [f"preset={args.preset}"] if args.preset else []
    flags = {"parts": args.parts or args.eyes, "eye_parts": args.eyes}
    flags |= {"hypotheses": args.hypotheses, "validate": args.validate}
    common += [f"{name}=on" for name, asked in flags.items() if asked] + args.option
    variants = list(grid(args.axis, common, args.model)) if args.axis or not (args.variant or args.deviations) else []
    if args.deviations:
        variants.append(Variant.of(common, model=args.model))
        variants += [Variant.of([*common, f"{d.name}={d.value}"], d.name, args.model) for d in DEVIATIONS.values()]
    variants += [Variant.of([*common, *shlex.split(text)], text, args.model) for text in args.variant]
    return Study(args.data, tuple(variants), _starts(args), args.seed, args.baseline)


def _starts(args: argparse.Namespace) -> tuple[Start, ...]:
    from dataclasses import replace

    from clnf_engine.studies.variants import Start

    starts: list[Start] = []
    for text in args.start or ["detector"]:
        start = Start.of(text)
        seeds = range(start.seed, start.seed + args.seeds) if start.perturbed and "#" not in text else [start.seed]
        starts += [replace(start, seed=seed) for seed in seeds]
    return tuple(starts)
