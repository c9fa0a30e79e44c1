"""Write frames as a video file, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.codec.codec import Codec, UnknownCodecError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from clnf_engine.errors import FileError
from clnf_engine.io.files import reason, replacing

_BEST = "libx264"
_OPTIONS = {"crf": "20", "preset": "veryfast", "x264-params": "cpu-independent=1"}
_THREADS = 4
"""As many on every machine; with these, and without what is only quick on some processors, the same frames give the
same file."""

_TIME_BASE = Fraction(1, 60_000)
"""Seconds; exact for 24, 25, 30, 50 and 60 frames per second, and for 30000/1001."""


_FORMATS = {".mkv": "matroska", ".mov": "mov", ".mp4": "mp4"}
EXTENSIONS = tuple(_FORMATS)
"""Of the files that `write_video` can write; AVI has no timestamps."""


def write_video(path: Path, frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> None:
    """Encode frames as H.264, or as MPEG-4 where FFmpeg lacks an H.264 encoder.

    Parameters
    ----------
    path : Path
        Its extension, one of `EXTENSIONS`, tells the container; an older file is replaced.
    frames : iterable of (timestamp, (H, W, 3) uint8)
        Seconds, ascending, and RGB. Frames of another size than the first are scaled to it; an odd row or column at
        the end is left out, because the codecs cannot have one.

    Raises
    ------
    FileError
        When the file cannot be written.
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise FileError(path, "", "cannot be written, there is no frame to write")
    try:
        with replacing(path) as temporary, av.open(f"file:{temporary}", "w", format=_FORMATS[path.suffix]) as container:
            stream = container.add_stream(_codec(), rate=30, options=_OPTIONS)
            assert isinstance(stream, VideoStream)
            stream.codec_context.thread_count = _THREADS
            stream.height, stream.width = (side - side % 2 for side in first[1].shape[:2])
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = _TIME_BASE
            for timestamp, rgb in chain([first], remaining):
                frame = av.VideoFrame.from_ndarray(_sized(rgb, stream.width, stream.height), format="rgb24")
                frame.pts, frame.time_base = round(timestamp / _TIME_BASE), _TIME_BASE
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise FileError(path, "", f"cannot be written as a video ({reason(error)})") from error


def _codec() -> str:
    try:
        return Codec(_BEST, "w").name
    except UnknownCodecError:
        return "mpeg4"


def _sized(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if rgb.shape[0] - height in (0, 1) and rgb.shape[1] - width in (0, 1):
        return np.ascontiguousarray(rgb[:height, :width])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
