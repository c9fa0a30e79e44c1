"""How long the program takes from the start of its process to a photo with its fit, painted; off screen, in seconds.

QT_QPA_PLATFORM=offscreen python benchmarks/bench_start.py [--runs 9]
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time

_CHILD = "--started-at"


def _show(started: float) -> None:
    """Be the program until its fit is painted, tell how long that took, and end."""
    from clnf_gui.__main__ import main as program

    gc.disable()  # as the program does, before it imports anything else
    from PySide6.QtWidgets import QApplication

    from clnf_gui import app

    def until_painted() -> int:
        from clnf_gui.window import MainWindow

        (window,) = (widget for widget in QApplication.topLevelWidgets() if isinstance(widget, MainWindow))
        session = window.session
        while session.busy or not session.lanes["A"].complete:
            QApplication.processEvents()
        window.repaint_now()
        QApplication.processEvents()  # paints it, and zooms to the face
        QApplication.processEvents()
        print(time.time() - started, flush=True)
        os._exit(0)

    app.QApplication.exec = staticmethod(until_painted)
    program(["--fresh"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument(_CHILD, type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if arguments.started_at is not None:
        _show(arguments.started_at)
    from timing import as_installed  # not in the process that is measured

    times = []
    for _ in range(arguments.runs + 1):
        command = [sys.executable, __file__, _CHILD, repr(time.time())]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=as_installed())
        times.append(float(done.stdout))
    times = sorted(times[1:])  # the first start compiles what was never compiled
    print(f"start to first painted fit: median {times[len(times) // 2]:.2f} s, least {times[0]:.2f} s (at most 1.0 s)")


if __name__ == "__main__":
    main()
