"""Clips made with FFmpeg's encoders, and moving pictures of the tiny face."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from .tiny_model import TRUE_GLOBAL, texture

Pictures = Sequence[NDArray[np.uint8]]


def pictures(count: int, width: int = 96, height: int = 64) -> list[NDArray[np.uint8]]:
    """A blurred random field that moves; picture k has the mean level 35 + 5k."""
    rng = np.random.default_rng(5)
    field = cv2.GaussianBlur(rng.uniform(0, 255, (height + count, width + 2 * count, 3)), (0, 0), 3) - 127.5
    result = []
    for k in range(count):
        view = field[k : k + height, 2 * k : 2 * k + width]
        result.append(np.clip(np.rint(view - view.mean() + 35 + 5 * k), 0, 255).astype(np.uint8))
    return result


def write_clip(
    path: Path,
    frames: Pictures,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    b_frames: int = 0,
    key_interval: int = 10,
    faststart: bool = False,
    **options: str,
) -> Path:
    """Encode RGB frames at 25 per second, or at `times` in milliseconds."""
    container_options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = key_interval
        stream.max_b_frames = b_frames
        if codec != "libx264":  # which knows how many bits it needs
            stream.bit_rate = 4_000_000
        stream.codec_context.time_base = Fraction(1, 1000) if times else Fraction(1, 25)
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = times[k] if times else k, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_folder(path: Path, frames: Pictures) -> Path:
    """Frames as 1.png, 2.png, …"""
    path.mkdir(parents=True, exist_ok=True)
    for k, pixels in enumerate(frames, start=1):
        cv2.imwrite(str(path / f"{k}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels)
    return path


def shift(k: int) -> tuple[float, float]:
    """Where the face of `face_pictures` is in picture k, less where it is in `tiny_image`, px."""
    return 6 * math.sin(k / 6), 4 * math.sin(k / 4)


def face_pictures(count: int) -> list[NDArray[np.uint8]]:
    """The face of `tiny_image`, moving; (150, 144) grey levels."""
    scale, _, _, angle, tx, ty = TRUE_GLOBAL
    result = []
    for k in range(count):
        dx, dy = shift(k)
        y, x = np.mgrid[0:150, 0:144].astype(float)
        x, y = (x - tx - dx) / scale, (y - ty - dy) / scale
        u, v = math.cos(angle) * x + math.sin(angle) * y, -math.sin(angle) * x + math.cos(angle) * y
        result.append(np.clip(np.rint(texture(u, v)), 0, 255).astype(np.uint8))
    return result


def as_rgb(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture in colour."""
    return np.repeat(gray[..., None], 3, axis=2)


def decoding_threads() -> list[threading.Thread]:
    """Those that `VideoSource.frames` started and that live."""
    return [thread for thread in threading.enumerate() if thread.name == "clnf-decode"]
