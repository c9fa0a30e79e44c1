"""Texts about the program itself: shortcuts and versions."""

from __future__ import annotations

import html
import platform
from collections.abc import Iterable
from importlib.metadata import version

from clnf_engine import __version__
from clnf_gui.commands import Command


def shortcuts_html(commands: Iterable[Command]) -> str:
    """A table of every command that has a shortcut."""
    rows = "".join(
        f"<tr><td><b>{html.escape(c.keys)}</b>&nbsp;&nbsp;&nbsp;</td><td>{html.escape(c.text.rstrip('…'))}</td></tr>"
        for c in commands
        if c.shortcut
    )
    return f"<table>{rows}</table>"


def about_html() -> str:
    """Versions and licence."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("PySide6-Essentials", "pyqtgraph", "numpy"))
    return (
        f"<h3>CLNF Studio {__version__}</h3><p>A debugger for CLNF face-landmark fitting.</p>"
        f"<p>MIT licence. Python {platform.python_version()}, {packages}.</p>"
    )
