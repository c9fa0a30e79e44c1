"""``clnf recorder`` and ``clnf import``: what gets data out of a port."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clnf_engine.commandline.arguments import DONE, prepare_file, print_text
from clnf_engine.errors import ClnfError, FileError

RECORDERS = {"python": "clnf_recorder.py", "cpp": "clnf_recorder.hpp"}


def add_commands(commands: Any) -> None:
    """Add the commands to the sub-parsers of ``clnf``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser("recorder", help="write the recorder to copy into a port", allow_abbrev=False)
    command.set_defaults(run=_recorder)
    command.add_argument("language", choices=RECORDERS, help="of the port")
    command.add_argument("-o", "--output", metavar="DIR", default=".", help="folder to write to, made if needed (.)")

    command = commands.add_parser(
        "import", help="make a trace of what another program printed of its fit", allow_abbrev=False
    )
    command.set_defaults(run=_import)
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="CSV of OpenFace, cpp_trace.txt, iteration_history as JSON, folder of response_lm….bin, or a trace; "
        "several when they are of one fit",
    )
    command.add_argument("--image", metavar="IMAGE", help="that was fitted; else one of a source's name beside it")
    command.add_argument("--row", metavar="K", type=_row, help="of the CSV, from 1 (the first that succeeded)")
    command.add_argument("-o", "--output", metavar="T.npz", required=True, help="trace file to write")


def _row(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text[:9]) and len(text) < 10):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from 1")
    return int(text)


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


def _import(args: argparse.Namespace) -> int:
    from clnf_engine.imports.sources import import_trace

    if Path(args.output).suffix != ".npz":
        raise ClnfError(f"{args.output}: expected a name that ends in .npz")
    prepare_file(args.output, [*args.sources, *([args.image] if args.image else [])])
    found = import_trace(args.sources, args.image, args.row)
    found.trace.save(args.output)
    lines = [f"{path}: {kind}\n  {taken}" for path, kind, taken in found.taken]
    lines += [f"  {line}" for line in found.trace.converted]
    print_text("\n".join([*lines, f"written: {args.output}"]) + "\n")
    return DONE
