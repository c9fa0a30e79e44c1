"""Texts about the program itself."""

from __future__ import annotations

from clnf_engine import __version__


def about_html() -> str:
    """Versions and licence."""
    import platform
    from importlib.metadata import version

    packages = ", ".join(f"{name} {version(name)}" for name in ("PySide6-Essentials", "pyqtgraph", "numpy"))
    return (
        f"<h3>CLNF Studio {__version__}</h3><p>A debugger for CLNF face-landmark fitting.</p>"
        f"<p>MIT licence. Python {platform.python_version()}, {packages}.</p>"
    )
