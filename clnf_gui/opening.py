"""What kind of file a path is, by its name, and who opens it; dropped, chosen or named at the start alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clnf_engine.imports.sources import can_import
from clnf_engine.io.frames import natural_order
from clnf_engine.io.trace_folder import folder_of
from clnf_engine.library import shipped_models
from clnf_engine.studies.data import STUDY_FILE
from clnf_gui import settings
from clnf_gui.session import Session

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".gif", ".h264", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".webm", ".wmv", ".y4m"),
)


def open_file(session: Session, path: str) -> None:
    """Open a file: a session, trace, landmarks to start from, model, video or image; a folder is a trace or a video.

    A folder of results, or its ``study.json``, is a study.

    What other programs print of their fits is opened as the trace that it makes. A Python file is one of functions for
    lane B, which run when the person has been asked.
    """
    openers: dict[str, Callable[[str], None]] = {
        ".json": session.open_session,
        **dict.fromkeys((".npz", ".jsonl"), session.open_trace),
        ".pts": session.starts.from_landmarks,
        ".py": session.plugins.offer,
        ".txt": lambda path: open_model(session, path),
    }
    openers |= dict.fromkeys(VIDEO_SUFFIXES, session.open_video)
    suffix = Path(path).suffix.lower()
    results = Path(path).parent if Path(path).name == STUDY_FILE else Path(path)
    if (results / STUDY_FILE).is_file():
        path, suffix, openers[""] = str(results), "", session.studies.open
    elif Path(path).is_dir():
        recorded = folder_of(path) is not None
        suffix, openers[suffix] = "", session.open_trace if recorded else session.open_video
    foreign = can_import(path)
    if foreign:
        openers[suffix] = session.open_trace
    openers.get(suffix, session.open_image)(path)
    if foreign or suffix not in (".pts", ".py", ".txt"):
        settings.remember_file(path)
        settings.remember_folder(path)


def open_model(session: Session, path_or_name: str) -> None:
    """Open a model; one of a file is remembered, a shipped one is always at hand."""
    if path_or_name not in shipped_models():
        settings.remember_model(path_or_name)
    session.open_model(path_or_name)


def neighbour(path: Path, direction: int) -> Path | None:
    """The next (+1) or previous (−1) image or video of a file's folder, by name; None where there is no other.

    Raises
    ------
    OSError
        When the folder cannot be listed.
    """
    here = path.resolve()
    kinds = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    found = {other for other in here.parent.iterdir() if other.suffix.lower() in kinds and other.is_file()}
    names = sorted(found | {here}, key=lambda other: natural_order(other.name))
    return names[(names.index(here) + direction) % len(names)] if len(names) > 1 else None
