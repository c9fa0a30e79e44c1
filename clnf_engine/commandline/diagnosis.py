"""``clnf diagnose``, ``clnf compare`` and ``clnf diff``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from clnf_engine.commandline.arguments import (
    DONE,
    add_fit_choices,
    add_truth,
    chosen_options,
    failure,
    fit_texts,
    prepare_file,
    print_text,
    report_failures,
    starts,
    texts_for,
    true_landmarks,
)
from clnf_engine.errors import ClnfError
from clnf_engine.options import FitOptions, SearchOptions
from clnf_engine.presets import preset

if TYPE_CHECKING:
    from clnf_engine.diagnostics.finding import Finding
    from clnf_engine.diagnostics.investigation import Investigation
    from clnf_engine.diagnostics.tools import Tool
    from clnf_engine.model import Model
    from clnf_engine.trace import Trace

_SIDES = (["normalization=none"], ["normalization=peak"])
"""What is compared when neither ``-A`` nor ``-B`` is given."""

_NOT_TOLD = (
    "Whether the difference is noise cannot be told from saved traces; clnf compare runs the fits again and tells."
)


def add_commands(commands: Any) -> None:
    """Add the commands to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser("diagnose", help="fit one face and ask every question about the fit", **fit_texts())
    command.set_defaults(run=_diagnose)
    command.add_argument("image", metavar="IMAGE", help="any image OpenCV can read")
    add_fit_choices(command)
    add_truth(command)
    command.add_argument("--tools", metavar="T,T,…", help="only these; a wrong name lists all")
    _add_forms(command)

    command = commands.add_parser("compare", help="fit one face with two sets of options", **fit_texts())
    command.set_defaults(run=_compare)
    command.add_argument("image", metavar="IMAGE", help="any image OpenCV can read")
    add_fit_choices(command)
    add_truth(command)
    for side in "AB":
        command.add_argument(
            f"-{side}", metavar="KEY=VALUE", action="append", default=[],
            help=f"change an option of run {side}, or its preset; repeatable",
        )  # fmt: skip
    _add_forms(command)

    command = commands.add_parser("diff", help="compare two recorded traces", allow_abbrev=False)
    command.set_defaults(run=_diff)
    command.add_argument("a", metavar="A.npz", help="from clnf trace, or from another program")
    command.add_argument("b", metavar="B.npz", help="the other, with which A is compared")
    command.add_argument(
        "--tolerance", metavar="X", type=_tolerance,
        help="what still counts as equal, in the unit of each value (1e-4); 0: not a bit may differ",
    )  # fmt: skip
    command.add_argument("--model", metavar="M", help="of both: measures parameters exactly instead of by a bound")
    _add_forms(command)


def _add_forms(command: argparse.ArgumentParser) -> None:
    command.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed (text)")
    command.add_argument("--report", metavar="OUT.html", help="also write a report with figures, one HTML file")


# --- clnf diagnose, clnf compare --------------------------------------------------------------------


def _diagnose(args: argparse.Namespace) -> int:
    from clnf_engine.diagnostics.tools import TOOLS, tools_named

    tools = tools_named(TOOLS if args.tools is None else args.tools.split(","))
    return _fit_and_show(args, f"Diagnosis of {args.image}", {"A": chosen_options(args, SearchOptions)}, tools)


def _compare(args: argparse.Namespace) -> int:
    from clnf_engine.diagnostics.tools import TOOLS

    a, b = (args.A, args.B) if args.A or args.B else _SIDES
    sides = {"A": _side(args, a), "B": _side(args, b)}
    return _fit_and_show(args, f"Two fits of {args.image}", sides, [t for t in TOOLS.values() if t.compares])


def _side(args: argparse.Namespace, texts: Iterable[str]) -> FitOptions:
    """The options of one run: its preset or that of both, then the changes to both, then its own."""
    name, changes = args.preset, []
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        if key == "preset":
            name = value
        else:
            changes.append(text)
    texts = texts_for(FitOptions, args.option, FitOptions, SearchOptions)
    return preset(name).with_text([*texts, *changes])


def _fit_and_show(args: argparse.Namespace, title: str, sides: dict[str, FitOptions], tools: Sequence[Tool]) -> int:
    """Fit the first face with the options of every side, run the tools and show what they found."""
    from clnf_engine.calibration import judge
    from clnf_engine.diagnostics.investigation import Investigation
    from clnf_engine.diagnostics.tools import counterpart
    from clnf_engine.fitting import fit
    from clnf_engine.io.images import read_image
    from clnf_engine.library import load_model

    model = load_model(args.model)
    truth = true_landmarks(model, args)
    _prepare_report(args, [args.image])
    gray = read_image(args.image).gray
    found = starts(model, gray, args, truth)[:1]
    runs = {name: fit(gray, model, initial, options) for initial in found for name, options in sides.items()}
    if runs:
        trace, *others = runs.values()
        note = ""
        if not others and any(tool.compares for tool in tools):
            others = [counterpart(trace, model)]
            normalization = others[0].options.normalization
            note = f"Where two runs are compared, B is the same fit with normalization {normalization}."
        findings = _findings(tools, model, trace, *others)
        verdicts = {name: judge(run.steps, model, run.options) for name, run in runs.items()}
        _show(args, Investigation(title, args.typed, runs, findings, note, verdicts, truth))
    return report_failures(args.image, {name: failure(run) for name, run in runs.items()})


def _findings(
    tools: Sequence[Tool], model: Model, trace: Trace, other: Trace | None = None
) -> tuple[tuple[Tool, Finding], ...]:
    """Run the tools, with a progress bar when someone is watching."""
    from tqdm import tqdm

    from clnf_engine.diagnostics.tools import diagnose

    with tqdm(disable=None, leave=False, bar_format="{desc} {bar} {n_fmt}/{total_fmt} {elapsed}") as bar:

        def tell(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        findings = diagnose(trace, model, other, tools, tell)
        found = []
        for tool in tools:
            bar.set_description_str(tool.title, refresh=False)
            tell(0, 1)  # not every tool tells
            found.append(next(findings))
    return tuple(found)


# --- clnf diff --------------------------------------------------------------------------------------


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number from 0")
    return value


def _diff(args: argparse.Namespace) -> int:
    from clnf_engine.diagnostics.divergence import divergence
    from clnf_engine.diagnostics.investigation import Investigation
    from clnf_engine.diagnostics.tools import TOOLS
    from clnf_engine.library import load_model
    from clnf_engine.trace import Trace
    from clnf_engine.units import TOLERANCE

    _prepare_report(args, [args.a, args.b])
    runs = {"A": Trace.load(args.a), "B": Trace.load(args.b)}
    model = None if args.model is None else load_model(args.model)
    try:
        tolerance = TOLERANCE if args.tolerance is None else args.tolerance
        finding = divergence(runs["A"], runs["B"], tolerance, model)
    except ValueError as error:
        raise ClnfError(f"{args.a}, {args.b}: {error}") from error
    found = ((TOOLS["divergence"], finding),)
    _show(args, Investigation(f"{args.a} (A) against {args.b} (B)", args.typed, runs, found, _NOT_TOLD))
    return DONE


# --- what they share --------------------------------------------------------------------------------


def _prepare_report(args: argparse.Namespace, sources: Sequence[str]) -> None:
    if args.report is not None:
        prepare_file(args.report, sources)


def _show(args: argparse.Namespace, investigation: Investigation) -> None:
    """Write the report and print what was found, in this order: a pipe may close early."""
    from clnf_engine.commandline.text import investigation_text
    from clnf_engine.documents import json_text
    from clnf_engine.io.files import write_file

    if args.report is not None:
        from clnf_engine.reports.diagnosis import report_html

        write_file(args.report, report_html(investigation).encode())
    if args.format == "json":
        print_text(json_text(investigation.document()))
    else:
        print_text(investigation_text(investigation))
