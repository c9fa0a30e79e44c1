"""``clnf check``."""

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
    command.add_argument("--model", metavar="M", help="main file, folder, or name of a shipped model")
    command.add_argument(
        "--tolerance", metavar="T", type=_tolerance, default=1e-4, help="largest error that counts as right (1e-4)"
    )
    command.add_argument(
        "--mistakes", metavar="FILE.py", help="also try the mistakes of this Python file, which is run"
    )
    command.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed (text)")
    command.add_argument("--report", metavar="OUT.html", help="also write a report, one HTML file")


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


def _write_report(args: argparse.Namespace, finding: ConformanceFinding) -> None:
    from clnf_engine.io.files import write_file
    from clnf_engine.reports.diagnosis import finding_section
    from clnf_engine.reports.page import Section, page_html

    section = finding_section("Conformance", "conformance", finding)
    origin = Section("To make this report again", code=args.typed)
    write_file(args.report, page_html(f"Check of {args.trace}", [], [section, origin]).encode())
