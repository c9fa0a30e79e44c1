"""Pictures of the window for the documentation: docs/images/*.png, made off screen with the shipped model.

QT_QPA_PLATFORM=offscreen python scripts/screenshots.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication, QDockWidget

from clnf_engine import FitOptions, Phase, TrackOptions, preset
from clnf_engine.library import DEFAULT_MODEL
from clnf_engine.options import Source
from clnf_engine.samples import sample_path
from clnf_gui.look import MapSource
from clnf_gui.qt_setup import make_application
from clnf_gui.session import Session
from clnf_gui.window import MainWindow

_FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
_SIZES = {"small": (1280, 720), "large": (1920, 1080)}
_LANDMARK = 20
_FRAMES = 180


def _is_busy(session: Session) -> bool:
    return session.busy or session.tracker.tracking or session.lab.busy


def _settle(session: Session) -> None:
    """Let fits and tools end and layouts come to rest."""
    loop = QEventLoop()
    timer = QTimer(interval=60)
    timer.timeout.connect(lambda: None if _is_busy(session) else loop.quit())
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


def _moving_portrait(folder: Path) -> Path:
    """The sample portrait moved, turned and scaled over time, as a folder of frames; twice somebody has passed."""
    portrait = cv2.imread(str(sample_path()))
    height, width = portrait.shape[:2]
    for k in range(_FRAMES):
        turn = cv2.getRotationMatrix2D((width / 2, 0.35 * height), 9 * np.sin(k / 17), 1 + 0.12 * np.sin(k / 29))
        turn[:, 2] += (320 - width / 2 + 70 * np.sin(k / 13), 190 - 0.35 * height + 25 * np.sin(k / 9))
        picture = cv2.warpAffine(portrait, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE)
        if k % 90 in range(60, 64):
            picture = cv2.GaussianBlur(np.roll(picture, 300, axis=1), (0, 0), 25)
        cv2.imwrite(str(folder / f"{k + 1:03}.jpg"), picture)
    return folder


def _grab_videos(session: Session, window: MainWindow, theme: str, folder: Path) -> None:
    """Two trackings of a video, one from the detector in every frame."""
    session.set_comparing(False)
    session.open_video(_moving_portrait(folder))
    _settle(session)
    session.set_comparing(True)
    session.set_active("B")
    session.set_options(FitOptions())
    session.set_tracking_options(TrackOptions(initialization=Source.DETECTOR))
    session.tracker.start()
    session.tracker.set_chasing(False)
    _settle(session)
    session.go_to_parting()
    for size, (width, height) in _SIZES.items():
        window.resize(width, height)
        _grab(window, f"video-{size}-{theme}")


def main(theme: str) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    make_application(theme)
    session = Session()
    window = MainWindow(session)
    window.show()
    session.open_model(DEFAULT_MODEL)
    session.open_image(sample_path())
    _settle(session)
    session.select(_LANDMARK)
    for size, (width, height) in _SIZES.items():
        window.resize(width, height)
        session.set_comparing(False)
        session.cursor.move_to((0, Phase.NONRIGID, 2))
        _raise(window, "Response maps", "Convergence")
        _grab(window, f"single-{size}-{theme}")
        _raise(window, "Landmark", "Magnitudes")
        _grab(window, f"landmark-{size}-{theme}")
        session.set_comparing(True)
        session.set_active("B")
        session.set_options(FitOptions(sigma_off=True))
        session.set_look(replace(session.look, map_source=MapSource.B))
        session.cursor.move_to((1, Phase.NONRIGID, 3))
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
    with tempfile.TemporaryDirectory() as folder:
        _grab_videos(session, window, theme, Path(folder))
        window.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:  # a theme is for the life of a process
        for each in ("light", "dark"):
            subprocess.run([sys.executable, __file__, each], check=True)
