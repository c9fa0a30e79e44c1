"""What the engine says while it works, for the status line."""

from __future__ import annotations

import logging
from collections.abc import Callable

ENGINE_LOG = logging.getLogger("clnf_engine")


class Announcements(logging.Handler):
    """Passes on what the engine says, from whichever thread."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())
