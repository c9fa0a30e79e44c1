"""What the program remembers for this user, between runs."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings

_MAX_RECENT = 10


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "CLNF Studio", "clnf-gui")


def recent_models() -> list[str]:
    """Paths of models opened lately, the newest first."""
    return _recent("recent_models")


def remember_model(path: str) -> None:
    """Make `path` the newest of the recent models."""
    _remember("recent_models", path)


def recent_files() -> list[str]:
    """Images, sessions and traces opened lately, the newest first."""
    return _recent("recent_files")


def remember_file(path: str) -> None:
    """Make `path` the newest of the recent files."""
    _remember("recent_files", path)


def recent_folders() -> list[str]:
    """Folders of files opened or saved lately, the newest first."""
    return _recent("recent_folders")


def remember_folder(path: str) -> None:
    """Make the folder of a file, or a folder, the one that dialogs begin in."""
    place = Path(path).resolve()
    _remember("recent_folders", str(place if place.is_dir() else place.parent))


def folder() -> str:
    """Where dialogs begin; "", which is where the program was started, before anything was opened."""
    return next((path for path in recent_folders() if Path(path).is_dir()), "")


def _recent(key: str) -> list[str]:
    found = _settings().value(key)
    if isinstance(found, list):
        return [str(path) for path in found]
    return [found] if isinstance(found, str) else []


def _remember(key: str, path: str) -> None:
    others = [other for other in _recent(key) if other != path]
    _settings().setValue(key, [path, *others][:_MAX_RECENT])


def layout() -> tuple[QByteArray, QByteArray] | None:
    """Geometry and dock state of the window when it was closed last."""
    geometry, state = (_settings().value(f"layout/{name}") for name in ("geometry", "state"))
    return (geometry, state) if isinstance(geometry, QByteArray) and isinstance(state, QByteArray) else None


def remember_layout(geometry: QByteArray, state: QByteArray) -> None:
    """Keep the window's geometry and dock state."""
    _settings().setValue("layout/geometry", geometry)
    _settings().setValue("layout/state", state)


def theme() -> str:
    """The colours that were chosen: "system", "light" or "dark"."""
    return str(_settings().value("theme", "system"))


def remember_theme(name: str) -> None:
    """Open the window in these colours next time."""
    _settings().setValue("theme", name)


def forget_layout() -> None:
    """Open the window as it was made next time."""
    _settings().remove("layout")
