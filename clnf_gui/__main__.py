"""The `clnf-gui` command: arguments first, Qt after."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the window; returns the exit code."""
    parser = argparse.ArgumentParser(prog="clnf-gui", description="Step through a CLNF face-landmark fit.")
    parser.add_argument("image", nargs="?", help="image, video, folder of frames, session or trace to open")
    parser.add_argument("--theme", choices=("system", "light", "dark"), default="system", help="colours of the window")
    parser.add_argument("--fresh", action="store_true", help="open the window as it was made, not as it was left")
    parser.add_argument("--model", help="main file of a CLNF model, its folder, or the name of a shipped model")
    parser.add_argument("--screenshot", metavar="OUT.png", help="fit, save a picture of the window and end")
    parser.add_argument("--size", type=_size, default=(1440, 900), metavar="WxH", help="window size (default 1440x900)")
    arguments = parser.parse_args(argv)
    if importlib.util.find_spec("PySide6") is None:
        parser.error("the window needs PySide6: install clnf-studio[gui]")
    from clnf_gui.app import run

    return run(arguments)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(word) for word in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 1280x720") from None
    return width, height


if __name__ == "__main__":
    sys.exit(main())
