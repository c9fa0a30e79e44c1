"""Pictures of the window for the documentation: docs/images/*.png, made off screen with the shipped model.

QT_QPA_PLATFORM=offscreen python scripts/screenshots.py
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication, QDockWidget

from clnf_engine import FitOptions, Phase, preset
from clnf_engine.library import DEFAULT_MODEL
from clnf_gui.app import sample_portrait
from clnf_gui.look import MapSource
from clnf_gui.qt_setup import make_application
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

_FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
_SIZES = {"small": (1280, 720), "large": (1920, 1080)}
_LANDMARK = 20


def _settle(session: Session) -> None:
    """Let fits and tools end and layouts come to rest."""
    loop = QEventLoop()
    timer = QTimer(interval=60)
    timer.timeout.connect(lambda: None if session.busy or session.lab.busy else loop.quit())
    timer.start()
    loop.exec()
    QApplication.processEvents()


def _grab(window: MainWindow, name: str) -> None:
    _settle(window.session)
    window.repaint_now()
    QApplication.processEvents()
    path = _FOLDER / f"{name}.png"
    if not window.grab().save(str(path)):
        sys.exit(f"{path}: cannot be written")
    print(path)


def _raise(window: MainWindow, *titles: str) -> None:
    for dock in window.findChildren(QDockWidget):
        if dock.windowTitle() in titles:
            dock.raise_()


def main(theme: str) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    make_application(theme)
    session = Session()
    window = MainWindow(session)
    window.show()
    session.open_model(DEFAULT_MODEL)
    session.open_image(sample_portrait())
    _settle(session)
    session.select(_LANDMARK)
    for size, (width, height) in _SIZES.items():
        window.resize(width, height)
        session.set_comparing(False)
        session.move_to((0, Phase.NONRIGID, 2))
        _raise(window, "Response maps", "Convergence")
        _grab(window, f"single-{size}-{theme}")
        _raise(window, "Landmark", "Magnitudes")
        _grab(window, f"landmark-{size}-{theme}")
        session.set_comparing(True)
        session.set_active("B")
        session.set_options(FitOptions(sigma_off=True))
        session.set_look(replace(session.look, map_source=MapSource.B))
        session.move_to((1, Phase.NONRIGID, 3))
        _raise(window, "Response maps", "Convergence")
        _grab(window, f"compare-{size}-{theme}")
        session.set_look(replace(session.look, map_source=MapSource.A))
        session.set_comparing(False)
        session.set_options(preset("pyclnf-2025-11"))
        _settle(session)
        session.diagnose(session.lab.records)
        session.lab.choose("ablation")
        _raise(window, "Lab")
        _grab(window, f"lab-{size}-{theme}")
        session.set_options(FitOptions())
    window.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:  # a theme is for the life of a process
        for each in ("light", "dark"):
            subprocess.run([sys.executable, __file__, each], check=True)
