"""Files to open in a window: good ones, broken ones, and such as are not what their names say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from engine.tiny_model import start, tiny_image, tiny_model, tiny_model_with_parts, true_landmarks
from engine.video_tools import as_rgb, face_pictures, write_clip, write_folder

from clnf_engine import fit
from clnf_engine.io.openface import write_model
from clnf_gui.session.choices import Choices
from clnf_gui.session.cursor import START
from clnf_gui.session.document import SessionDocument, write_session

_FRAMES = 12


@dataclass(frozen=True)
class Files:
    """What can be chosen in a dialog or dropped on a window.

    Attributes
    ----------
    model, photo : Path
        Those a window begins with.
    to_open : tuple of Path
        Whether they can be opened or not.
    folders : tuple of Path
    to_write : tuple of Path
        Whether they can be written or not.
    """

    model: Path
    photo: Path
    to_open: tuple[Path, ...]
    folders: tuple[Path, ...]
    to_write: tuple[Path, ...]


def make_files(folder: Path) -> Files:
    """Write all of them to a folder."""
    model = write_model(tiny_model_with_parts(), folder / "model")
    photo = folder / "face.png"
    cv2.imwrite(str(photo), tiny_image())
    good = [*_pictures(folder), *_landmarks(folder), *_recordings(folder, model, photo)]
    folders = _folders(folder)
    broken = [_cut(path, folder) for path in (photo, *good)]
    odd = _odd(folder)
    return Files(
        model,
        photo,
        (photo, photo, model, *good, *good, *broken, *odd, *folders),
        folders,
        tuple(folder / name for name in ("out.csv", "out.json", "out.npz", "out", "gone/out.png", "a folder.png")),
    )


def _pictures(folder: Path) -> list[Path]:
    pictures = {
        "pixel.png": np.full((1, 1), 7, np.uint8),
        "line.png": np.full((1, 300), 200, np.uint8),
        "deep.png": tiny_image().astype(np.uint16) * 256,
        "grün mit Leerzeichen.bmp": cv2.cvtColor(tiny_image(), cv2.COLOR_GRAY2BGR),
        "large.jpg": cv2.resize(tiny_image(), (1200, 900)),
    }
    for name, pixels in pictures.items():
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, pixels)[1].tobytes())
    clip = write_clip(folder / "clip.mp4", [as_rgb(picture) for picture in face_pictures(_FRAMES)], crf="12")
    return [*(folder / name for name in pictures), clip]


def _landmarks(folder: Path) -> list[Path]:
    rows = {
        "face.pts": true_landmarks(),
        "few.pts": true_landmarks()[:5],
        "point.pts": np.zeros((68, 2)),
        "nan.pts": np.full((68, 2), np.nan),
    }
    for name, points in rows.items():
        lines = "\n".join(f"{x} {y}" for x, y in points)
        (folder / name).write_text(f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n")
    return [folder / name for name in rows]


def _recordings(folder: Path, model: Path, photo: Path) -> list[Path]:
    fit(tiny_image(), tiny_model(), start()).save(folder / "run.npz")
    document = SessionDocument(model, photo, Choices(), START, 30, (), None, None)
    write_session(document, folder / "session.json")
    content = json.loads((folder / "session.json").read_text())
    (folder / "lost.json").write_text(json.dumps(content | {"image": "nowhere.png"}))
    return [folder / name for name in ("run.npz", "session.json", "lost.json")]


def _folders(folder: Path) -> tuple[Path, ...]:
    write_folder(folder / "frames", face_pictures(3))
    for name in ("empty", "a folder.png", "a folder.json"):
        (folder / name).mkdir()
    return tuple(folder / name for name in ("frames", "empty", "a folder.png", "a folder.json"))


def _cut(path: Path, folder: Path) -> Path:
    """A copy that ends halfway."""
    content = path.read_bytes()
    result = folder / f"cut {path.name}"
    result.write_bytes(content[: len(content) // 2])
    return result


def _odd(folder: Path) -> list[Path]:
    for name in ("text.png", "text.mp4", "text.json", "text.npz", "text.pts", "main_text.txt", "text"):
        (folder / name).write_text("This is not what you think.\n")
    for name in ("empty.png", "empty.mp4", "empty.json", "empty.npz", "empty.pts", "empty.txt"):
        (folder / name).write_bytes(b"")
    missing = [folder / name for name in ("no.png", "no.json", "no.mp4", "no.txt")]
    return [*folder.glob("text*"), folder / "main_text.txt", *folder.glob("empty.*"), *missing]
