"""The only module that touches the process environment, pyqtgraph's configuration and the exception hook."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType, TracebackType
from typing import Any

import cv2  # noqa: F401  imported before Qt, because importing it sets Qt's plugin path
from PySide6.QtCore import QCoreApplication, QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import QColor, QIcon, QPalette, QPixmapCache
from PySide6.QtWidgets import QApplication

_DESKTOP_NAME = "clnf-studio"
"""Of the desktop file and the icon, by which a desktop knows the program."""
_DARK = 128
_SWITCH_SECONDS = 0.001
"""How long a thread that computes keeps the window's thread waiting, at every turn; Python's own 5 ms add up."""
_PIXMAPS_KB = 96 * 1024
"""For photos as large as a screen of today; Qt's own 10 MB hold none."""
_DARK_CHECK_BOXES = (
    "QCheckBox::indicator:unchecked { width: 11px; height: 11px; border: 1px solid #8b9197; border-radius: 2px; }"
)
"""Fusion draws an empty box in dark colours so faintly that it cannot be seen."""


def has_display() -> bool:
    """Whether windows can be shown to a person here, or someone chose where Qt is to show them."""
    if sys.platform.startswith("linux"):
        return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    return True


def bare_application() -> QApplication:
    """The QApplication, off screen where there is no display: enough for a Session to open files in the background.

    It does not import pyqtgraph, which takes longer than opening a photo.
    """
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
    sys.setswitchinterval(_SWITCH_SECONDS)
    return app


def make_application(theme: str = "system") -> QApplication:
    """The QApplication, with style, colours and pyqtgraph set up for windows.

    Parameters
    ----------
    theme : str
        "system" follows the desktop's light or dark, "light" and "dark" do not.
    """
    import_pyqtgraph()
    import pyqtgraph as pg

    from clnf_gui.icons import resource_folder

    app = bare_application()
    app.setWindowIcon(QIcon(str(resource_folder() / f"{_DESKTOP_NAME}.svg")))
    app.setDesktopFileName(_DESKTOP_NAME)
    app.setStyle("Fusion")
    pg.setConfigOptions(imageAxisOrder="row-major", antialias=True)
    set_theme(theme)
    QPixmapCache.setCacheLimit(_PIXMAPS_KB)
    _collect_garbage_here()
    return app


def set_theme(theme: str) -> None:
    """Give the program the colours of the desktop ("system"), or "light" or "dark" ones."""
    import pyqtgraph as pg

    app = QApplication.instance()
    if not isinstance(app, QApplication):
        return
    app.setPalette(QPalette() if theme == "system" else _palette(dark=theme == "dark"))
    palette = app.palette()
    dark = palette.color(QPalette.ColorRole.Window).lightness() < _DARK
    app.setStyleSheet(_DARK_CHECK_BOXES if dark else "")
    pg.setConfigOptions(
        background=palette.color(QPalette.ColorRole.Base), foreground=palette.color(QPalette.ColorRole.Text)
    )


def import_pyqtgraph() -> None:
    """Import pyqtgraph, without making every class of Qt.

    It has mirrors of three of Qt's modules and copies all names into them. PySide6 makes a class, and all its enums,
    when its name is first used; doing that for seven hundred takes a third of pyqtgraph's import. Here the mirrors ask
    for a name when it is used, and are shown an empty list of what there is to copy.
    """
    if "pyqtgraph" in sys.modules:
        return
    sources = [importlib.import_module(f"PySide6.{name}") for name in ("QtCore", "QtGui", "QtWidgets")]
    lists = [{key: names for key, names in vars(source).items() if key == "__dir__"} for source in sources]
    try:
        for source in sources:
            mirror = ModuleType(source.__name__.replace("PySide6", "pyqtgraph.Qt"))
            mirror.__getattr__ = partial(_reflect, mirror, source)  # type: ignore[method-assign]
            sys.modules[mirror.__name__] = mirror
            source.__dir__ = list  # type: ignore[method-assign]
        importlib.import_module("pyqtgraph")
    finally:
        for source, own in zip(sources, lists, strict=True):
            del source.__dir__
            vars(source).update(own)


def _reflect(mirror: ModuleType, source: ModuleType, name: str) -> Any:
    value = getattr(source, name)
    setattr(mirror, name, value)  # which is not asked for again
    return value


@cache
def _collect_garbage_here() -> object:
    """Collect garbage in this thread only: Qt aborts when a widget is destroyed in the worker's."""
    from pyqtgraph.util.garbage_collector import GarbageCollector

    gc.freeze()  # what start-up made stays; it need not be looked at, now or ever
    return GarbageCollector(interval=0.25)  # often, so that no time takes long


def _palette(dark: bool) -> QPalette:
    """A palette of Fusion's own light colours, or of dark ones."""
    if not dark:
        return QPalette(QColor("#f0f0f0"))
    palette = QPalette(QColor("#2d3033"))
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    for name, colour in (
        (role.Base, "#1f2123"),
        (role.AlternateBase, "#26292b"),
        (role.ToolTipBase, "#3a3e42"),
        (role.Highlight, "#2f6fb2"),
        (role.Link, "#6fb1ff"),
    ):
        palette.setColor(name, QColor(colour))
    for name in (role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.HighlightedText):
        palette.setColor(name, QColor("#e4e6e8"))
        palette.setColor(group.Disabled, name, QColor("#7c8187"))
    return palette


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
