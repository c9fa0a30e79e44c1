"""What is made of a finished track: JSON, Parquet, and a video with the landmarks drawn. Formats: ``docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats
from clnf_engine.documents import VERSION, json_text
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.io.files import replacing
from clnf_engine.io.video import VideoSource
from clnf_engine.io.video_writer import write_video
from clnf_engine.model import Model
from clnf_engine.options import DetectionOptions, FitOptions, TrackOptions
from clnf_engine.tracking.journal import TEXT_COLUMNS, WHOLE_COLUMNS, Row, read_rows

_FOUND = (64, 224, 96)
_LOST = (240, 80, 64)
"""Colours of landmarks, RGB."""

_SHIFT = 4
"""Binary places of the coordinates that OpenCV draws at."""


def write_json(
    path: Path,
    journal: Path,
    video: Path,
    model: Model,
    options: FitOptions,
    tracking: TrackOptions,
    detection: DetectionOptions | None = None,
) -> None:
    """One JSON document of a finished CSV file.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    head = {"version": VERSION, "video": str(video), "model": model.name}
    head |= {"options": options.to_json(), "tracking": tracking.to_json()}
    head |= {} if detection is None else {"detection": detection.to_json()}
    try:
        with replacing(path) as temporary, open(temporary, "w", encoding="ascii") as file:
            file.write(json_text(head).removesuffix("}\n") + ',"frames":[')
            for number, row in enumerate(read_rows(journal, model, detection)):
                file.write((",\n" if number else "\n") + json_text(_document(row, model)).removesuffix("\n"))
            file.write("]}\n")
    except OSError as error:
        raise FileError(path, "", f"cannot be written ({error.strerror})") from error


def _document(row: Row, model: Model) -> dict[str, Any]:
    fitted = row.start != "none"
    params = row.params(model)
    return {
        "frame": row.index + 1,
        "timestamp": row.timestamp,
        "confidence": row.confidence,
        "success": row.success,
        "state": row.state,
        "start": row.start if fitted else None,
        "windows": [int(word) for word in row.windows.split()] if fitted else None,
        "pose": row.numbers[:6].tolist() if fitted else None,
        "landmarks": row.landmarks(model).tolist() if fitted else None,
        **({"eye_landmarks": row.eye_landmarks.tolist() if fitted else None} if row.eyes.size else {}),
        "params_global": params[:6].tolist() if fitted else None,
        "params_local": params[6:].tolist() if fitted else None,
        "likelihood": row.likelihood,
        "iterations": row.iterations,
        "update_norm": row.update_norm,
        "shape_change": row.shape_change,
    }


def require_parquet() -> None:
    """Find out before the work whether `write_parquet` can do its own.

    Raises
    ------
    ClnfError
        When pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ClnfError("Parquet needs pyarrow; pip install 'clnf-studio[parquet]', or write .csv or .json") from error


def write_parquet(path: Path, journal: Path) -> None:
    """The columns of a finished CSV file, typed.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    with open(journal, encoding="ascii") as lines:
        names = next(lines).rstrip("\n").split(",")
    types = {name: pa.float64() for name in names}
    types |= {name: pa.string() for name in TEXT_COLUMNS} | {name: pa.int64() for name in WHOLE_COLUMNS}
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[])
    try:
        with (
            replacing(path) as temporary,
            pyarrow.csv.open_csv(journal, convert_options=convert) as batches,
            pyarrow.parquet.ParquetWriter(temporary, batches.schema) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
    except OSError as error:
        raise FileError(path, "", f"cannot be written ({error.strerror or error})") from error


def write_overlay(
    path: Path, journal: Path, source: VideoSource, model: Model, detection: DetectionOptions | None = None
) -> None:
    """The video with the landmarks of a finished CSV file: green where the face was found, red where it was lost.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    write_video(path, _drawn(journal, source, model, detection))


def _drawn(
    journal: Path, source: VideoSource, model: Model, detection: DetectionOptions | None
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    frames = source.frames()
    for row in read_rows(journal, model, detection):
        frame = next(frame for frame in frames if frame.index == row.index)
        yield (
            frame.timestamp,
            draw_landmarks(
                frame.rgb, np.concatenate([row.landmarks(model), row.eye_landmarks]), _FOUND if row.success else _LOST
            ),
        )


def draw_landmarks(rgb: NDArray[np.uint8], points: Floats, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A copy of an image with a dot on every landmark.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    points : (n, 2) float64
        Image px; none is drawn when they are NaN.
    colour : (red, green, blue)
    """
    canvas = rgb.copy()
    radius = max(1.0, canvas.shape[0] / 320)
    for x, y in points[np.isfinite(points).all(axis=1)].clip(-1e4, 1e5).tolist():
        centre = (round(x * 2**_SHIFT), round(y * 2**_SHIFT))
        cv2.circle(canvas, centre, round(radius * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return canvas
