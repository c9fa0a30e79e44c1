"""What the program remembers for this user, between runs."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QSettings

_MAX_RECENT = 10


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "CLNF Studio", "clnf-gui")


def last_model() -> str:
    """Path of the model opened last; "" when there is none."""
    return str(_settings().value("last_model", ""))


def remember_model(path: str) -> None:
    """Make `path` the model opened last."""
    _settings().setValue("last_model", path)


def recent_files() -> list[str]:
    """Images, sessions and traces opened lately, the newest first."""
    found = _settings().value("recent_files")
    if isinstance(found, list):
        return [str(path) for path in found]
    return [found] if isinstance(found, str) else []


def remember_file(path: str) -> None:
    """Make `path` the newest of the recent files."""
    others = [other for other in recent_files() if other != path]
    _settings().setValue("recent_files", [path, *others][:_MAX_RECENT])


def layout() -> tuple[QByteArray, QByteArray] | None:
    """Geometry and dock state of the window when it was closed last."""
    geometry, state = (_settings().value(f"layout/{name}") for name in ("geometry", "state"))
    return (geometry, state) if isinstance(geometry, QByteArray) and isinstance(state, QByteArray) else None


def remember_layout(geometry: QByteArray, state: QByteArray) -> None:
    """Keep the window's geometry and dock state."""
    _settings().setValue("layout/geometry", geometry)
    _settings().setValue("layout/state", state)


def forget_layout() -> None:
    """Open the window as it was made next time."""
    _settings().remove("layout")
