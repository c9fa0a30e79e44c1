"""The `clnf-gui` command: arguments first, Qt after."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence

from clnf_engine import __version__
from clnf_engine.commandline.arguments import complain
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.system_libraries import OPENCV_LIBRARIES, QT_LIBRARIES, told_what_to_install


def main(argv: Sequence[str] | None = None) -> int:
    """Run the window; returns the exit code: 2 when it cannot open for what it was given or for what is not here."""
    parser = argparse.ArgumentParser(prog="clnf-gui", description="Step through a CLNF face-landmark fit.")
    parser.add_argument("--version", action="version", version=f"clnf-gui {__version__}")
    parser.add_argument("image", nargs="?", help="image, video, folder of frames, session or trace to open")
    parser.add_argument("--theme", choices=("system", "light", "dark"), help="colours; by default those chosen last")
    parser.add_argument("--fresh", action="store_true", help="open the window as it was made, not as it was left")
    parser.add_argument("--model", help="main file of a CLNF model, its folder, or the name of a shipped model")
    parser.add_argument("--screenshot", metavar="OUT.png", help="fit, save a picture of the window and end")
    parser.add_argument("--size", type=_size, default=(1440, 900), metavar="WxH", help="window size (default 1440x900)")
    arguments = parser.parse_args(argv)
    gc.disable()  # start-up makes little garbage and much that stays; the window collects in its own time
    if importlib.util.find_spec("PySide6") is None:
        parser.error("the window needs PySide6: install clnf-studio[gui]")
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # Qt's loop would leave Ctrl-C to nobody
    try:
        with told_what_to_install(OPENCV_LIBRARIES | QT_LIBRARIES):
            return _open(arguments)
    except ClnfError as error:
        return complain(str(error), program="clnf-gui")
    finally:
        signal.signal(signal.SIGINT, before)


def _open(arguments: argparse.Namespace) -> int:
    """Open the window, if what it is to show is there."""
    from clnf_engine.library import find_model

    if arguments.image is not None and not os.path.exists(arguments.image):
        raise FileError(arguments.image, "", "no such file")
    if arguments.model is not None:
        find_model(arguments.model)
    from clnf_gui.app import run

    return run(arguments)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(word) for word in text.lower().split("x"))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 1280x720")
    return width, height


if __name__ == "__main__":
    sys.exit(main())
