"""The worst frames of a video, as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clnf_engine import State
from clnf_engine.tracking.results import Apart, Results, largest
from clnf_gui.look import Worst

_COUNT = 20
_MOST_LOST = 1000


def worst_columns(kind: Worst, tracks: Mapping[str, Results], apart: Apart | None) -> dict[str, list[Any]]:
    """The worst frames of a kind, the worst first; those that were lost in their order.

    Parameters
    ----------
    kind : Worst
    tracks : dict of str to Results
        By lane.
    apart : Apart or None
        Of two lanes.
    """
    if kind is Worst.APART:
        return {} if apart is None else _apart_columns(apart)
    rows: list[tuple[str, int, float]] = []
    title = ""
    for name, results in tracks.items():
        title, frames, values = _worst_of(kind, results)
        rows += [(name, k, value) for k, value in zip(frames.tolist(), values.tolist(), strict=True)]
    if not rows:
        return {}
    if kind is Worst.LOST:
        rows.sort(key=lambda row: row[1])
    else:
        rows.sort(key=lambda row: row[2], reverse=kind is not Worst.LIKELIHOOD)
        rows = rows[:_COUNT]
    states = [tracks[name].state(k) for name, k, _ in rows]
    columns: dict[str, list[Any]] = {"frame": [k + 1 for _, k, _ in rows]}
    if len(tracks) > 1:
        columns["lane"] = [name for name, _, _ in rows]
    columns[title] = [value for _, _, value in rows]
    columns["state"] = ["" if state is None else state.value.replace("_", " ") for state in states]
    return columns


def _worst_of(kind: Worst, results: Results) -> tuple[str, NDArray[np.intp], NDArray[np.float64]]:
    """What the value is called, frames, and the value of each."""
    if kind is Worst.LOST:
        frames = results.frames_in(State.LOST, State.NO_FACE)[:_MOST_LOST]
        return "log-likelihood", frames, results.likelihood[frames]
    if kind is Worst.LIKELIHOOD:
        frames = largest(-results.likelihood, _COUNT)
        return "log-likelihood", frames, results.likelihood[frames]
    values, title = (
        (results.jump, "jump, px") if kind is Worst.JUMP else (results.shape_change, "last iteration moved, px")
    )
    frames = largest(values, _COUNT)
    return title, frames, values[frames]


def _apart_columns(apart: Apart) -> dict[str, list[Any]]:
    one_only = np.flatnonzero(apart.one_only)[:_COUNT]
    frames = [*one_only.tolist(), *largest(apart.distance, _COUNT).tolist()]
    found = [("A" if apart.a.found[k] else "B") + " only" if apart.one_only[k] else "both" for k in frames]
    distances = apart.distance[frames].tolist() if frames else []
    return {
        "frame": [k + 1 for k in frames],
        "A − B, px": distances,
        "face in": found,
    }
