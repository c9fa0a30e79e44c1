"""``clnf completion``: what the Tab key knows of the commands and their options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from clnf_engine.commandline.arguments import DONE

SHELLS = ("bash", "zsh", "tcsh")


def add_command(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the command to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    parser : ArgumentParser
        Of ``clnf``, of which the command tells.
    """
    command = commands.add_parser(
        "completion",
        help="write what a shell needs to complete commands",
        description='In bash: eval "$(clnf completion bash)", now or in ~/.bashrc. In zsh: a file _clnf of $fpath.',
        allow_abbrev=False,
    )
    command.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    command.set_defaults(run=partial(_write, parser))


def _write(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    import shtab

    for action in _actions(parser):
        if isinstance(action.choices, dict) and not isinstance(action, argparse._SubParsersAction):
            action.choices = list(action.choices)  # shtab takes a table for one of commands
        if action.choices is None and action.nargs != 0 and action.type in (None, str):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    sys.stdout.write(shtab.complete(parser, args.shell).rstrip("\n") + "\n")
    return DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
