"""``clnf validate``."""

from __future__ import annotations

import argparse
from typing import Any

from clnf_engine.commandline.arguments import DONE, print_text


def add_commands(commands: Any) -> None:
    """Add the command to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser("validate", help="tell what a recorded trace holds", allow_abbrev=False)
    command.set_defaults(run=_validate)
    command.add_argument("trace", metavar="T", help="trace file, or folder with a trace.jsonl")
    command.add_argument("--model", metavar="M", help="also tell whether it is the trace's: file, folder or name")
    command.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed (text)")


def _validate(args: argparse.Namespace) -> int:
    from clnf_engine.commandline.text import table_text
    from clnf_engine.diagnostics.holdings import holdings
    from clnf_engine.documents import json_text
    from clnf_engine.library import load_model
    from clnf_engine.trace import Trace

    trace = Trace.load(args.trace)
    found = holdings(trace, None if args.model is None else load_model(args.model))
    if args.format == "json":
        print_text(json_text(found.document(args.trace)))
    else:
        lines = "\n".join(f"  {line}" for line in found.lines())
        blocks = [f"{args.trace}\n{lines}", *map(table_text, found.tables())]
        print_text("\n\n".join(blocks) + "\n")
    return DONE
