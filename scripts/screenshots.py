"""Pictures of the window for the documentation: docs/images/*.png, made off screen with the shipped model.

QT_QPA_PLATFORM=offscreen python scripts/screenshots.py         all of them
QT_QPA_PLATFORM=offscreen python scripts/screenshots.py guide   those with numbers in them, and the animation
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PySide6.QtCore import QEventLoop, QPoint, QPointF, QRect, QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QApplication, QDockWidget, QToolBar, QWidget

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
_GUIDE_SIZE = (1600, 900)
_MARK = QColor("#d6006c")
_LANDMARK, _CHIN = 20, 8
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


# --- pictures with numbers in them, and the animation -------------------------------------------------


def _inside(window: MainWindow, widget: QWidget) -> QRect:
    return QRect(widget.mapTo(window, QPoint()), widget.size())


def _numbered(picture: QPixmap, marks: Sequence[QRect | tuple[QPointF, QPointF]]) -> None:
    """Write numbers from 1 into a picture: on a frame around an area, or away from a point with a line to it."""
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(QFont(QApplication.font().family(), 11, QFont.Weight.Bold))
    for number, mark in enumerate(marks, start=1):
        painter.setPen(QPen(_MARK, 2.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if isinstance(mark, QRect):
            area = QRectF(mark).adjusted(2, 2, -2, -2)
            painter.drawRoundedRect(area, 5, 5)
            centre = QPointF(area.center().x(), area.top() + min(14, area.height() / 2))
        else:
            point, away = mark
            centre = point + away
            painter.drawLine(point, centre)
        painter.setPen(QPen(QColor("white"), 1.5))
        painter.setBrush(_MARK)
        badge = QRectF(centre - QPointF(12, 12), centre + QPointF(12, 12))
        painter.drawEllipse(badge)
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, str(number))
    painter.end()


def _save(picture: QPixmap, name: str) -> None:
    path = _FOLDER / f"{name}.png"
    if not picture.save(str(path)):
        sys.exit(f"{path}: cannot be written")
    print(path)


def _grabbed(window: MainWindow) -> QPixmap:
    _settle(window.session)
    window.repaint_now()
    QApplication.processEvents()
    return window.grab()


def _guide(session: Session, window: MainWindow) -> None:
    """The window with its parts numbered, the photo and the landmark from near; and the fit, step by step."""
    window.resize(*_GUIDE_SIZE)
    session.cursor.move_to((0, Phase.NONRIGID, 2))
    session.select(_LANDMARK)
    picture = _grabbed(window)
    tools = window.findChild(QToolBar, "Steps")
    docks = [window.docks[name] for name in ("Response maps", "Landmark", "Convergence", "Lab")]
    view = window.image_views["A"]
    parts = [tools, window.docks["Options"], view, *docks, window.headers["A"], window.timeline, window.statusBar()]
    _numbered(picture, [_inside(window, part) for part in parts])
    _save(picture, "reading-window")

    session.select(_CHIN)
    session.set_look(replace(session.look, show_windows=True, show_map=True, shift_scale=2.0))
    step, view = session.step, window.image_views["A"]
    x, y = step.landmarks[_CHIN]
    view.box.setRange(QRectF(x - 66, y - 54, 132, 84), padding=0)
    picture = _grabbed(window)

    def at(point: np.ndarray, right: float, down: float) -> tuple[QPointF, QPointF]:
        scene = view.box.mapViewToScene(QPointF(*point))
        return QPointF(view.mapTo(window, view.mapFromScene(scene))), QPointF(right, down)

    maps, half = step.responses, (step.stage.window - 1) / 2
    marks = [
        at(step.landmarks[_CHIN], -34, 26),
        at(step.landmarks[_CHIN] + 1.5 * step.mean_shift.image[_CHIN], 40, -12),
        at(session.lane.steps[0].landmarks[_CHIN - 1], -30, 26),
        at(maps.base_shape[_CHIN] + maps.reference_to_image @ np.array([half, -half]), 34, -24),
        at(step.landmarks[_CHIN + 1 : _CHIN + 3].mean(axis=0), 26, 30),
    ]
    _numbered(picture, marks)
    _save(picture.copy(_inside(window, view)), "reading-photo")
    session.set_look(replace(session.look, show_windows=False, show_map=False, shift_scale=1.0))

    window.resize(1920, 1300)
    session.select(_LANDMARK)
    _save(_grabbed(window).copy(_inside(window, window.docks["Landmark"])), "reading-landmark")
    _animate(session, window)


def _animate(session: Session, window: MainWindow) -> None:
    """The whole fit, a frame per step."""
    window.resize(1280, 720)
    session.select(None)
    window.dialogs.zoom_to_face()
    pictures = []
    for index in range(len(session.lane.steps)):
        session.cursor.move_cursor(index)
        grabbed = _grabbed(window).toImage().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(grabbed.constBits(), np.uint8).reshape(grabbed.height(), grabbed.bytesPerLine())
        pixels = rows[:, : 3 * grabbed.width()].reshape(grabbed.height(), grabbed.width(), 3)
        pictures.append(Image.fromarray(pixels.copy()).resize((960, 540), Image.Resampling.LANCZOS))
    path = _FOLDER / "stepping.webp"
    times = [900, *[260] * (len(pictures) - 2), 1600]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=72, method=6)
    print(path, path.stat().st_size)


def guide() -> None:
    """Make the pictures of docs/reading-the-window.md."""
    make_application("light")
    session = Session()
    window = MainWindow(session)
    window.show()
    session.open_model(DEFAULT_MODEL)
    session.open_image(sample_path())
    _settle(session)
    _guide(session, window)
    window.close()


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
    if sys.argv[1:] == ["guide"]:
        guide()
    elif len(sys.argv) > 1:
        main(sys.argv[1])
    else:  # a theme is for the life of a process
        for each in ("light", "dark", "guide"):
            subprocess.run([sys.executable, __file__, each], check=True)
