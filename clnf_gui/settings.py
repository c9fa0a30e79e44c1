"""What the program remembers for this user, between runs."""

from __future__ import annotations

from PySide6.QtCore import QSettings


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "CLNF Studio", "clnf-gui")


def last_model() -> str:
    """Path of the model opened last; "" when there is none."""
    return str(_settings().value("last_model", ""))


def remember_model(path: str) -> None:
    """Make `path` the model opened last."""
    _settings().setValue("last_model", path)
