"""A round of `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import monkey
from .soak import Soak


@pytest.mark.usefixtures("qapp")
def test_rounds_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monkey, "_SETTLE_SECONDS", 0.2)
    soak = Soak(0, tmp_path)
    tracked = []
    soak.window.session.tracker.changed.connect(lambda: tracked.append(True))
    readings = soak.last(0.0)
    assert not soak.problems.found, "\n".join(soak.problems.found.values())
    assert readings[-1].rounds == len(readings) and readings[-1].memory > 50
    assert tracked and str(readings[-1]).endswith(" s")
