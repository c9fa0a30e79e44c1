"""Damaged files and command lines without an end: ``make fuzz ARGS="--seconds 600 --seed 7"``."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from .fuzzer import Fuzzer

_HANG_SECONDS = 120
_COMMANDS = "command lines"


def main() -> int:
    """Fuzz for as long as the command line says; 1 when anything broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Gives bad input to every format and command.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, default=10**9, help="end after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one format")
    arguments = parser.parse_args()
    logging.disable()
    counts: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        names = [arguments.only] if arguments.only else [*fuzzer.formats, _COMMANDS]
        end, number = time.monotonic() + arguments.seconds, 0
        while time.monotonic() < end and number < arguments.inputs:
            name = names[number % len(names)]
            seed = f"{arguments.seed}-{number}"
            faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
            try:
                if name == _COMMANDS:
                    fuzzer.command(Random(seed))
                else:
                    fuzzer.file(name, Random(seed))
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{name}: {type(error).__name__} in {place.filename}, line {place.lineno}"
                if not problems[problem]:
                    print(f"\n--- {name}, seed {seed}", *traceback.format_exception(error), sep="\n")
                problems[problem] += 1
            counts[name] += 1
            number += 1
        faulthandler.cancel_dump_traceback_later()
    for name, count in counts.items():
        print(f"{count:8} {name}")
    print(f"{number:8} in all, {sum(problems.values())} problems")
    for problem, count in problems.items():
        print(f"{count:8} times {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
