"""The only module that touches the process environment, pyqtgraph's configuration and the exception hook."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

import cv2  # noqa: F401  imported before Qt, because importing it sets Qt's plugin path
import pyqtgraph as pg
from PySide6.QtCore import QCoreApplication, QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication


def has_display() -> bool:
    """Whether windows can be shown to a person here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def make_application() -> QApplication:
    """The QApplication, with environment, style and pyqtgraph set up; off screen where there is no display."""
    qInstallMessageHandler(_log)
    plugin_path = os.environ.get("QT_QPA_PLATFORM_PLUGIN_PATH", "")
    if "cv2" in plugin_path:
        del os.environ["QT_QPA_PLATFORM_PLUGIN_PATH"]
    if not has_display():
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    QCoreApplication.setOrganizationName("CLNF Studio")
    QCoreApplication.setApplicationName("CLNF Studio")
    app.setStyle("Fusion")
    palette = app.palette()
    pg.setConfigOptions(
        imageAxisOrder="row-major",
        antialias=True,
        background=palette.color(QPalette.ColorRole.Base),
        foreground=palette.color(QPalette.ColorRole.Text),
    )
    return app


def _log(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
    """Qt's messages on stderr, but for one that the offscreen platform repeats to no use."""
    if "propagateSizeHints" not in message:
        sys.stderr.write(f"{message}\n")


def show_uncaught(report: Callable[[str, str], None]) -> None:
    """Send exceptions that nobody caught to `report(message, details)` instead of the terminal alone."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        details = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(details)
        if issubclass(kind, Exception):
            report(f"internal error: {error}", details)

    sys.excepthook = hook
