"""A video file read by FFmpeg through PyAV: an index of its packets, and reading from any frame on, exactly.

Frame k is the k-th in the order of presentation. Where the timestamps of the packets tell that order, a frame is known
by its timestamp, and reading starts at a key frame before it. Where they do not (some are missing, or alike, or were
made up in the order of decoding), frames are counted from the beginning of the file, at a constant rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from clnf_engine.arrays import read_only_fields
from clnf_engine.errors import VideoFileError
from clnf_engine.io.files import reason, require_file
from clnf_engine.io.frames import Develop, Frame

# Without these flags the pixels would depend on the processor.
_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_DEFAULT_RATE = 25
"""Frames per second of streams that tell neither timestamps nor a rate; FFmpeg's default."""

MAX_PIXELS = 35_651_584
"""Largest frame that is decoded: that of the highest level of H.264 and H.265; 8192×4320 has fewer pixels."""

_CONTAINERS = (
    "apng,asf,av1,avi,dnxhd,dv,flv,gif,gxf,h261,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegtsraw,"
    "mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,webm,wtv,yuv4mpegpipe,"
    "aac,flac,mp3,wav"
)
"""FFmpeg's names of what a video may be: no playlist, which names other files and may never end, and no text.

Sounds are among them so that they are told from what is broken.
"""

_SLACK = 1.0
"""A file that ends this much before its header says is a truncated one, seconds."""


@dataclass(frozen=True)
class Index:
    """What the packets of a video tell without decoding.

    Attributes
    ----------
    times : list of float
        Of every frame, seconds from the first.
    numbers : dict or None
        Frame number by timestamp, in the stream's time base; None when frames must be counted.
    keys : list of (int, int)
        Number and timestamp of every key frame.
    promised : int
        Frames that the header announces, when they are more than there are; else 0.
    damage : str
        What kept FFmpeg from reading to the end; "" when nothing did.
    """

    times: list[float]
    numbers: dict[int | None, int] | None
    keys: list[tuple[int, int]]
    promised: int
    damage: str


class Clip:
    """A reader of one video file; not to be shared between threads.

    Parameters
    ----------
    path : Path
    index : Index, optional
        Of the same file, from another reader.

    Raises
    ------
    VideoFileError
        When the file is missing, not a video or holds no frame.
    """

    def __init__(self, path: Path, index: Index | None = None) -> None:
        self.path = path
        self._reformatter = VideoReformatter()
        self._open()
        if index is None:
            try:
                index = self._scan()
            except BaseException:
                self.close()
                raise
        self.index = index

    @property
    def times(self) -> list[float]:
        """As `Reader.times`."""
        return self.index.times

    @property
    def promised(self) -> int:
        """As `Reader.promised`."""
        return self.index.promised

    @property
    def damage(self) -> str:
        """As `Reader.damage`."""
        return self.index.damage

    def twin(self) -> Clip:
        """Another reader of the same file."""
        return Clip(self.path, self.index)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def anchor(self, number: int) -> int:
        """The frame that decoding begins with to get at a frame."""
        if self.index.numbers is None:
            return 0
        at = bisect_right(self.index.keys, number, key=lambda key: key[0])
        return self.index.keys[at - 1][0] if at else 0

    def read(self, start: int) -> Iterator[tuple[int, Develop]]:
        """As `Reader.read`."""
        frames: Iterator[tuple[int, VideoFrame]] = iter(())
        first = None
        for timestamp in self._entries(start):
            frames = self._decoded(timestamp)
            first = next(frames, None)
            if first is not None and first[0] <= start:  # otherwise the seek went too far
                break
        for number, frame in chain([first] if first else [], frames):
            if number >= start:
                yield number, partial(self._developed, number, frame)

    def _open(self) -> None:
        require_file(self.path, "a video", VideoFileError)
        try:
            self._container = av.open(
                f"file:{self.path}",  # so that no name is taken for an address
                options={"format_whitelist": _CONTAINERS, "max_pixels": str(MAX_PIXELS)},  # of what is decoded to probe
                metadata_errors="replace",  # titles may be in any encoding
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoFileError(self.path, "", f"not a video that FFmpeg can read ({reason(error)})") from error
        stream = self._container.streams.best("video")  # the first may be a cover
        try:
            self._stream = self._checked(stream)
        except BaseException:
            self._container.close()
            raise
        self._stream.thread_count = 1  # with more, what is made of damaged frames is a matter of luck
        self._stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # frames can exceed what is announced
        self._untouched = True

    def _checked(self, stream: object) -> VideoStream:
        if not isinstance(stream, VideoStream):
            raise VideoFileError(self.path, "", "holds no video stream")
        if stream.codec_context is None:
            raise VideoFileError(self.path, "", "holds a video stream of a codec that FFmpeg does not know")
        if stream.width * stream.height > MAX_PIXELS:
            size = f"{stream.width}×{stream.height}"
            raise VideoFileError(self.path, "", f"has frames of {size} pixels; expected at most {MAX_PIXELS}")
        return stream

    def _scan(self) -> Index:
        timestamps: list[int | None] = []
        keys: list[int | None] = []
        packets, end, damage = 0, 0.0, ""
        self._untouched = False
        try:
            for packet in self._container.demux():
                if packet.pts is not None and packet.time_base:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index != self._stream.index:
                    continue
                packets += packet.dts is not None or packet.size > 0  # the last packet is none
                if packet.size and not packet.is_discard:
                    timestamps.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
        except av.error.FFmpegError as error:
            damage = error.strerror or type(error).__name__
        if not timestamps:
            raise VideoFileError(self.path, "", f"holds no frame{f' ({damage})' if damage else ''}")
        announced = (self._container.duration or 0) / av.time_base
        if announced > end + _SLACK and not damage:
            damage = f"the header announces {announced:.1f} s, but the file ends after {end:.1f} s"
        missing = self._stream.frames - packets
        if "mov" in self._container.format.name and (announced - end) * self._rate() < missing / 2:
            missing = 0  # left out by an edit list, like their part of the duration
        return self._ordered(timestamps, keys, self._stream.frames if missing > 0 else 0, damage)

    def _rate(self) -> Fraction:
        """Frames per second, on average."""
        return Fraction(self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE)

    def _ordered(self, timestamps: list[int | None], keys: list[int | None], promised: int, damage: str) -> Index:
        """The index of packets in the order of decoding."""
        known = sorted(t for t in timestamps if t is not None)
        # AVI stores no timestamps; those of a stream that reorders frames are right only if they are reordered, too.
        made_up = (
            "avi" in self._container.format.name
            and self._stream.codec_context.reorder_depth > 0
            and known == timestamps
        )
        alike = any(a == b for a, b in pairwise(known))
        if len(known) < len(timestamps) or made_up or alike or self._stream.time_base is None:
            return Index([float(k / self._rate()) for k in range(len(timestamps))], None, [], promised, damage)
        times = [float((timestamp - known[0]) * self._stream.time_base) for timestamp in known]
        numbers: dict[int | None, int] = {timestamp: number for number, timestamp in enumerate(known)}
        return Index(times, numbers, sorted((numbers[t], t) for t in keys if t is not None), promised, damage)

    def _entries(self, start: int) -> Iterator[int | None]:
        """Timestamps of key frames to begin with, ever further before a frame; at last None, the file's beginning."""
        at = bisect_right(self.index.keys, start, key=lambda key: key[0]) - 1
        step = 1
        while at > 0:
            yield self.index.keys[at][1]
            at, step = at - step, 2 * step
        yield None

    def _decoded(self, timestamp: int | None) -> Iterator[tuple[int, VideoFrame]]:
        """Numbered frames from a key frame on; none when seeking to it fails."""
        if timestamp is not None:
            try:
                self._container.seek(timestamp, stream=self._stream)
            except av.error.FFmpegError:
                return
        elif not self._untouched:
            self.close()
            self._open()
        self._untouched = False
        last = -1
        for frame in self._frames(begun=timestamp is None):
            number = last + 1 if self.index.numbers is None else self.index.numbers.get(frame.pts, -1)
            if number > last:
                last = number
                yield number, frame

    def _frames(self, begun: bool) -> Iterator[VideoFrame]:
        """What decodes from here on, or, unless `begun`, from the next key frame on."""
        try:
            for packet in self._container.demux(self._stream):
                begun = begun or (packet.size > 0 and packet.is_keyframe)
                if begun and packet.size and not packet.is_corrupt:  # corrupt: cut off by the end of the file
                    try:
                        yield from self._stream.decode(packet)
                    except av.error.FFmpegError:
                        continue  # a damaged frame; later ones may be whole
        except av.error.FFmpegError:
            pass  # noted in the index
        if begun:
            try:
                yield from self._stream.decode(None)
            except av.error.FFmpegError:
                return

    def _developed(self, number: int, frame: VideoFrame) -> Frame:
        converted = self._reformatter.reformat(frame, format="rgb24", interpolation=_CONVERSION, threads=1)
        rgb = np.ascontiguousarray(np.rot90(converted.to_ndarray(), round(frame.rotation / 90)), dtype=np.uint8)
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        return read_only_fields(Frame(number, self.times[number], rgb, gray))
