"""What is left of a window once it is closed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from PySide6.QtCore import QCoreApplication, QEvent, QObject
from PySide6.QtWidgets import QApplication

from clnf_gui.window import MainWindow

Traces = Mapping[str, weakref.ref[Any]]


def traces_of(window: MainWindow) -> Traces:
    """Weak references to all that belongs to a window: widgets and other objects, what it looks at, what it found."""
    session = window.session
    things: dict[str, object] = {
        "panes": window.panes,
        "pins": window.pins,
        "dialogs": window.dialogs,
        "menus": window.menus,
        "scene": session.scene,
        "lanes": session.lanes,
        "history": session.history,
        "video": session.video,
    }
    if (model := session.model) is not None:
        things |= {"model": model, "shape model": model.pdm}
        things |= {f"experts {k}": scale for k, scale in enumerate(model.scales)}
        things |= {
            f"view {k} of {view}": part for k, scale in enumerate(model.scales) for view, part in enumerate(scale.views)
        }
    if session.image is not None:
        things |= {"image": session.image, "pixels": session.image.rgb, "grey values": session.image.gray}
    for name, lane in session.lanes.items():
        things |= {f"lane {name}": lane, f"last step of lane {name}": lane.step}
    things |= {f"result of {name}": record.result for name, record in session.lab.records.items()}
    for owner in (window, session):
        for part in (owner, *owner.findChildren(QObject)):
            things[f"{type(part).__name__} {part.objectName()} {len(things)}"] = part
    return {name: weakref.ref(thing) for name, thing in things.items() if thing is not None}


def close(window: MainWindow) -> None:
    """Close a window for good; the caller is to forget it."""
    window.close()
    window.deleteLater()


def bury(rounds: int = 3) -> None:
    """Let Qt delete what it was told to, and Python collect what nobody can reach; one may let the other free more."""
    for _ in range(rounds):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        gc.collect()


def survivors(traces: Traces) -> Iterator[str]:
    """Names of what is still there."""
    return (name for name, trace in traces.items() if trace() is not None)
