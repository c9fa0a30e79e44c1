"""Toolbar icons, drawn from SVG in the colour of the palette, sharp at every scale."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

_SIZES = (16, 20, 24, 32, 48, 64)


def resource_folder() -> Path:
    """Where ``resources/`` is: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("clnf_gui")))
    installed = package / "resources"
    return installed if installed.is_dir() else package.parent / "resources"


def icon(name: str) -> QIcon:
    """The icon of a name, in the colour of button texts."""
    palette, role = QApplication.palette(), QPalette.ColorRole.ButtonText
    groups = (QPalette.ColorGroup.Active, QPalette.ColorGroup.Disabled)
    return _drawn(name, *(palette.color(group, role).name() for group in groups))


@lru_cache(maxsize=128)
def _drawn(name: str, active: str, disabled: str) -> QIcon:
    svg = (resource_folder() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    result = QIcon()
    for mode, colour in ((QIcon.Mode.Normal, active), (QIcon.Mode.Disabled, disabled)):
        renderer = QSvgRenderer(QByteArray(svg.replace("currentColor", colour).encode()))
        for size in _SIZES:
            pixmap = QPixmap(size, size)
            pixmap.fill(Qt.GlobalColor.transparent)
            painter = QPainter(pixmap)
            renderer.render(painter, QRectF(0, 0, size, size))
            painter.end()
            result.addPixmap(pixmap, mode)
    return result
