"""``clnf check``, ``clnf vectors`` and ``clnf check-vectors``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from clnf_engine.commandline.arguments import DONE, FAILED, prepare_file, print_text
from clnf_engine.errors import ClnfError

if TYPE_CHECKING:
    from clnf_engine.diagnostics.conformance import ConformanceFinding


def add_commands(commands: Any) -> None:
    """Add the command to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser(
        "check", help="find out which operation of a recorded run is wrong", allow_abbrev=False
    )
    command.set_defaults(run=_check)
    command.add_argument("trace", metavar="TRACE", help="of any program; see docs/trace-format.md")
    _add_choices(command)
    command.add_argument("--report", metavar="OUT.html", help="also write a report, one HTML file")

    command = commands.add_parser(
        "vectors", help="write inputs and outputs of every operation, to test a port with", allow_abbrev=False
    )
    command.set_defaults(run=_vectors)
    command.add_argument("folder", metavar="DIR", help="folder to make; see docs/vectors.md")
    command.add_argument("--model", metavar="M", help="main file, folder, or name of a shipped model")

    command = commands.add_parser(
        "check-vectors", help="find out which outputs of a port are wrong, and how", allow_abbrev=False
    )
    command.set_defaults(run=_check_vectors)
    command.add_argument("folder", metavar="DIR", help="of clnf vectors")
    command.add_argument("outputs", metavar="OUTPUTS", help="folder with the port's outputs, under the same names")
    _add_choices(command)


def _add_choices(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="M", help="main file, folder, or name of a shipped model")
    command.add_argument(
        "--tolerance", metavar="T", type=_tolerance, default=1e-4, help="largest error that counts as right (1e-4)"
    )
    command.add_argument(
        "--mistakes", metavar="FILE.py", help="also try the mistakes of this Python file, which is run"
    )
    command.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed (text)")


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number between 0 and 1")
    return value


def _check(args: argparse.Namespace) -> int:
    from clnf_engine.checking.catalogue import mistakes_of
    from clnf_engine.checking.check import check_trace
    from clnf_engine.commandline.text import table_text
    from clnf_engine.diagnostics.conformance import ConformanceFinding
    from clnf_engine.documents import json_text
    from clnf_engine.library import load_model
    from clnf_engine.trace import Trace

    model = load_model(args.model)
    own = () if args.mistakes is None else mistakes_of(args.mistakes)
    if args.report is not None:
        prepare_file(args.report, [args.trace])
    trace = Trace.load(args.trace)
    found = check_trace(trace, model, args.tolerance, own)
    if not found.checked:
        raise ClnfError(f"{args.trace}: {found.verdict}")
    finding = ConformanceFinding.of(trace, found)
    if args.report is not None:
        _write_report(args, finding)
    if args.format == "json":
        print_text(json_text(found.document(args.trace, str(model.path or model.name))))
    else:
        print_text("\n\n".join([found.verdict, *map(table_text, finding.tables())]) + "\n")
    return DONE if found.conforms else FAILED


def _vectors(args: argparse.Namespace) -> int:
    from clnf_engine.checking.vectors import write_vectors
    from clnf_engine.library import load_model

    written = write_vectors(args.folder, load_model(args.model))
    print_text(f"{written.cases} cases in {written.folder}\n")
    for operation, corners in written.not_exercised.items():
        print_text(f"{operation}: with this model, no case with {', '.join(corners)}\n")
    return DONE


def _check_vectors(args: argparse.Namespace) -> int:
    from clnf_engine.checking.catalogue import mistakes_of
    from clnf_engine.checking.vectors import check_vectors
    from clnf_engine.commandline.text import table_text
    from clnf_engine.diagnostics.conformance import ConformanceFinding
    from clnf_engine.documents import json_text
    from clnf_engine.library import load_model

    model = None if args.model is None else load_model(args.model)
    own = () if args.mistakes is None else mistakes_of(args.mistakes)
    found = check_vectors(args.folder, args.outputs, model, args.tolerance, own)
    if args.format == "json":
        print_text(json_text(found.document(args.outputs, args.folder)))
    else:
        print_text("\n\n".join([found.verdict, *map(table_text, ConformanceFinding(found).tables())]) + "\n")
    return DONE if found.conforms else FAILED


def _write_report(args: argparse.Namespace, finding: ConformanceFinding) -> None:
    from clnf_engine.io.files import write_file
    from clnf_engine.reports.diagnosis import finding_section
    from clnf_engine.reports.page import Section, page_html

    section = finding_section("Conformance", "conformance", finding)
    origin = Section("To make this report again", code=args.typed)
    write_file(args.report, page_html(f"Check of {args.trace}", [], [section, origin]).encode())
