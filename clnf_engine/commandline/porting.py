"""``clnf recorder`` and ``clnf import``: what gets data out of a port."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clnf_engine.commandline.arguments import DONE, prepare_file, print_text
from clnf_engine.errors import FileError

RECORDERS = {"python": "clnf_recorder.py", "cpp": "clnf_recorder.hpp"}


def add_commands(commands: Any) -> None:
    """Add the commands to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser(
        "recorder", help="write the recorder to copy into a port", allow_abbrev=False
    )
    command.set_defaults(run=_recorder)
    command.add_argument("language", choices=RECORDERS, help="of the port")
    command.add_argument("-o", "--output", metavar="DIR", default=".", help="folder to write to, made if needed (.)")


def _recorder(args: argparse.Namespace) -> int:
    import clnf_engine.recorders
    from clnf_engine.io.files import write_file

    name = RECORDERS[args.language]
    source = Path(clnf_engine.recorders.__file__).with_name(name)
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(folder, "", f"cannot be written ({error.strerror})") from error
    write_file(folder / name, source.read_bytes())
    print_text(f"{folder / name}\n")
    return DONE
