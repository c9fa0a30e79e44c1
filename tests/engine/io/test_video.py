"""Videos: every frame exactly, in any order; damaged files; threads that end."""

from __future__ import annotations

import gc
import hashlib
import random
import struct
import threading
import wave
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from clnf_engine import VideoFileError, open_video
from clnf_engine.errors import ImageFileError
from clnf_engine.io import clip as clip_module
from clnf_engine.io import video
from clnf_engine.io.frames import Develop, Frame
from clnf_engine.io.images import read_image
from clnf_engine.io.video import VideoSource

from ..video_tools import decoding_threads, pictures, write_clip, write_folder

COUNT = 36
VARIABLE = [int(t) for t in np.cumsum(np.random.default_rng(1).integers(5, 120, COUNT))]
X264 = {"preset": "veryfast"}

CLIPS = {
    "h264 with b-frames.mp4": partial(write_clip, b_frames=3, **X264),
    "open gops.mp4": partial(write_clip, **X264, **{"x264-params": "open-gop=1:keyint=10:bframes=3"}),
    "no key frames.mp4": partial(write_clip, **X264, **{"x264-params": "intra-refresh=1:keyint=10"}),
    "variable rate.mkv": partial(write_clip, b_frames=2, times=VARIABLE, **X264),
    "variable rate.mp4": partial(write_clip, b_frames=2, times=VARIABLE, **X264),
    "stream.ts": partial(write_clip, b_frames=2, **X264),
    "timestamps made up.avi": partial(write_clip, b_frames=2, **X264),
    "no timestamps.h264": partial(write_clip, b_frames=2, **X264),
    "mjpeg.avi": partial(write_clip, codec="mjpeg"),
    "mpeg4.avi": partial(write_clip, codec="mpeg4", b_frames=2),
    "windows.wmv": partial(write_clip, codec="wmv2"),
    "mpeg2.mpg": partial(write_clip, codec="mpeg2video", b_frames=2),
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CLIPS[request.param](tmp_path_factory.mktemp("clips") / request.param, pictures(COUNT))


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of one frame."""
    monkeypatch.setattr(video, "CACHE_BYTES", 1)


def digest(frame: Frame) -> str:
    return hashlib.sha256(frame.rgb.tobytes() + frame.gray.tobytes()).hexdigest()


def check_seeking(path: Path, chosen: int) -> None:
    """Frames sought in random order are those read in order."""
    with open_video(path) as source:
        in_order = [digest(frame) for frame in source.frames()]
        assert len(in_order) == len(source)
        numbers = random.Random(0).sample(range(len(source)), min(chosen, len(source)))
        for k in numbers:
            frame = source.frame(k)
            assert (frame.index, digest(frame)) == (k, in_order[k])


# --- which frame is which ---------------------------------------------------------------------------


def test_seeking_is_exact(clip: Path, forgetful: None) -> None:
    check_seeking(clip, COUNT)


def test_frames_are_what_ffmpeg_decodes_in_the_order_of_presentation(clip: Path) -> None:
    flags = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    with av.open(str(clip)) as container:
        decoded = [f.to_ndarray(format="rgb24", interpolation=flags) for f in container.decode(video=0)]
    with open_video(clip) as source:
        frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(COUNT))
    for k, (frame, pixels) in enumerate(zip(frames, decoded, strict=True)):
        np.testing.assert_array_equal(frame.rgb, pixels)
        np.testing.assert_array_equal(frame.gray, cv2.cvtColor(pixels[..., ::-1].copy(), cv2.COLOR_BGR2GRAY))
        assert frame.rgb.mean() == pytest.approx(35 + 5 * k, abs=2.4)  # less than half a step
        assert frame.rgb.flags.c_contiguous and not frame.rgb.flags.writeable and not frame.gray.flags.writeable


def test_timestamps(clip: Path) -> None:
    expected = np.arange(COUNT) / 25
    if "variable" in clip.name:
        expected = (np.array(VARIABLE) - VARIABLE[0]) / 1000
    with open_video(clip) as source:
        np.testing.assert_allclose([source.timestamp(k) for k in range(COUNT)], expected, rtol=0, atol=1e-4)
        assert [frame.timestamp for frame in source.frames()] == [source.timestamp(k) for k in range(COUNT)]
        assert source.timestamp(0) == 0 and source.timestamp(-1) == source.timestamp(COUNT - 1)


def test_reading_from_the_middle(clip: Path) -> None:
    with open_video(clip) as source:
        whole = [digest(frame) for frame in source.frames()]
        for start in (1, 17, COUNT - 1):
            part = [(frame.index, digest(frame)) for frame in source.frames(start)]
            assert part == list(enumerate(whole))[start:]
        assert list(source.frames(COUNT)) == []


@pytest.mark.parametrize(("name", "chosen"), [("default.wmv", 60), ("changeLighting.wmv", 88), ("multi_face.avi", 15)])
def test_seeking_in_samples_is_exact(shared: Path, forgetful: None, name: str, chosen: int) -> None:
    check_seeking(shared / "samples" / name, chosen)


def test_steps_back_and_forth(tmp_path: Path) -> None:
    with open_video(write_clip(tmp_path / "a.mp4", pictures(COUNT), b_frames=2)) as source:
        whole = list(source.frames())
        for k in (30, 29, 28, 27, 26, 25, 24, 20, 21, 22, 5, 35, 0, 1, -1, -36):
            assert digest(source.frame(k)) == digest(whole[k])
        assert source.frame(7) is source.frame(7)
        for k in (COUNT, -COUNT - 1):
            with pytest.raises(IndexError):
                source.frame(k)


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(write_clip(tmp_path / "a.mp4", pictures(20))) as source:
        first = source.frame(0)
        monkeypatch.setattr(video, "CACHE_BYTES", 3 * (first.rgb.nbytes + first.gray.nbytes))
        for k in (1, 2, 0, 3):
            source.frame(k)
        assert source.frame(0) is first, "used last but one"
        for k in (4, 5, 6):
            source.frame(k)
        assert source.frame(0) is not first


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation(tmp_path: Path, matrix: tuple[int, ...], turns: int) -> None:
    """The matrices that telephones write: 90° clockwise, 180° and 90° counterclockwise."""
    path = write_clip(tmp_path / "a.mp4", pictures(3, height=48))
    with open_video(path) as source:
        lying = source.frame(1).rgb
    data = path.read_bytes()
    a, b, c, d = (value << 16 for value in matrix)
    at = data.index(b"tkhd") + 4 + 40
    values = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], dtype=">i4")
    path.write_bytes(data[:at] + values.tobytes() + data[at + 36 :])
    with open_video(path) as source:
        upright = source.frame(1)
    np.testing.assert_array_equal(upright.rgb, np.rot90(lying, turns))
    assert upright.rgb.flags.c_contiguous
    assert upright.gray.shape == upright.rgb.shape[:2]


@pytest.mark.parametrize("cut", [4, 14])
def test_an_edit_list(tmp_path: Path, forgetful: None, cut: int) -> None:
    """A file whose beginning is not to be shown, as players cut it without encoding anew."""
    whole = write_clip(tmp_path / "whole.mp4", pictures(COUNT), b_frames=2)
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(cut / 25 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    with open_video(whole) as before, open_video(tmp_path / "cut.mp4") as after:
        expected = [digest(frame) for frame in before.frames(cut)]
        assert [digest(frame) for frame in after.frames()] == expected
        for k in random.Random(1).sample(range(len(after)), len(after)):
            assert digest(after.frame(k)) == expected[k]
            assert after.timestamp(k) == pytest.approx(k / 25)


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    """A picture for a track of its own comes first."""
    moving = write_clip(tmp_path / "moving.mp4", pictures(12))
    picture = write_clip(tmp_path / "picture.avi", pictures(1), codec="mjpeg")
    with av.open(str(tmp_path / "both.mkv"), "w") as target, av.open(str(picture)) as a, av.open(str(moving)) as b:
        streams = [target.add_stream_from_template(source.streams.video[0]) for source in (a, b)]
        for source, stream in zip((a, b), streams, strict=True):
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    with av.open(str(tmp_path / "both.mkv")) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["mjpeg", "h264"]
    with open_video(moving) as alone, open_video(tmp_path / "both.mkv") as found:
        assert [digest(frame) for frame in found.frames()] == [digest(frame) for frame in alone.frames()]


def test_a_seek_that_lands_too_late_is_noticed(tmp_path: Path) -> None:
    class Late:
        """A container whose index is wrong by one key frame."""

        def __init__(self, container: av.container.InputContainer) -> None:
            self.container = container
            self.sought: list[int] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def seek(self, timestamp: int, stream: av.VideoStream) -> None:
            self.sought.append(timestamp)
            self.container.seek(timestamp + 10 * 512, stream=stream)

    path = CLIPS["open gops.mp4"](tmp_path / "a.mp4", pictures(COUNT))
    with open_video(path) as source:
        whole = [digest(frame) for frame in source.frames()]
        reader: Any = source._reader
        for k in (29, 28, 25, 19):  # 29 and 28 come before the key frame 30 in presentation, and after it in the file
            reader._container = late = Late(reader._container)
            assert digest(source.frame(k)) == whole[k]
            assert late.sought
            reader._container, source._next = late.container, -1
            source._cache.clear()


# --- folders ----------------------------------------------------------------------------------------


def test_a_folder_is_a_video(tmp_path: Path) -> None:
    frames = pictures(12)
    write_folder(tmp_path, [*frames[:4], frames[4][..., 0], *frames[5:]])
    (tmp_path / "notes.txt").write_text("not a frame")
    with open_video(tmp_path) as source:
        assert len(source) == 12
        for k, frame in enumerate(source.frames()):
            image = read_image(tmp_path / f"{k + 1}.png")
            np.testing.assert_array_equal(frame.gray, image.gray)
            np.testing.assert_array_equal(frame.rgb, image.rgb)
            assert (frame.index, frame.timestamp) == (k, k / 30)
        np.testing.assert_array_equal(source.frame(9).rgb, frames[9])
        assert [frame.index for frame in source.frames(10)] == [10, 11]


def test_a_folder_with_a_damaged_image(tmp_path: Path) -> None:
    write_folder(tmp_path, pictures(5))
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:100])
    with open_video(tmp_path) as source:
        found, error = until_error(source.frames())
        assert found == [0, 1, 3, 4]
        assert "frame 3" in error and "3.png" in error and "4 of 5 frames" in error
        with pytest.raises(ImageFileError, match="truncated"):
            source.frame(2)
        assert source.frame(3).index == 3


def until_error(frames: Iterator[Frame]) -> tuple[list[int], str]:
    """The numbers of the frames before the error, and its text."""
    found = []
    with pytest.raises(VideoFileError) as error:
        for frame in frames:
            found.append(frame.index)
    assert [next(frames, None) for _ in range(3)] == [None] * 3, "an iteration that has failed is over"
    return found, str(error.value)


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
def test_a_truncated_file_gives_what_it_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    codec = "mjpeg" if name == "a.avi" else "libx264"
    write_clip(path, pictures(60), codec=codec, faststart=name == "a.mp4")
    whole = open_video(path)
    expected = [digest(frame) for frame in whole.frames()]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_video(path) as source:
        frames = source.frames()
        found = []
        with pytest.raises(VideoFileError) as error:
            for frame in frames:
                found.append(digest(frame))
    assert 10 < len(found) < 50
    assert found == expected[: len(found)]
    assert f"frame {len(found) + 1}: the first that cannot be decoded" in str(error.value)
    assert f"; {len(found)} " in str(error.value)
    assert ("of 60 frames" in str(error.value)) is (name != "a.mkv"), "Matroska does not tell how many there were"


def test_damage_in_the_middle(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", pictures(60), key_interval=10)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    with open_video(path) as source:
        expected = [digest(frame) for frame in source.frames()]
    data = bytearray(path.read_bytes())
    for at, size in packets[23:26]:
        data[at : at + size] = bytes(size)
    path.write_bytes(data)
    with open_video(path) as source:
        kept: dict[int, str] = {}
        with pytest.raises(VideoFileError, match=r"frame 24: the first that cannot be decoded; 57 of 60 frames"):
            for frame in source.frames():
                kept[frame.index] = digest(frame)
        assert {k for k in range(60) if k not in kept} == {23, 24, 25}
        assert [kept[k] for k in range(23)] == expected[:23]
        assert [kept[k] for k in range(30, 60)] == expected[30:], "from the next key frame on all is well"
        with pytest.raises(VideoFileError, match=r"frame 25: cannot be decoded; the file is damaged there"):
            source.frame(24)
        assert digest(source.frame(40)) == expected[40]
        with pytest.raises(VideoFileError, match=r"frame 24: .*; 37 of 40 frames from frame 21 on"):
            list(source.frames(20))


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("empty.mp4", b"", "not a video that FFmpeg can read"),
        ("text.mp4", b"To be, or not to be" * 20, "not a video that FFmpeg can read"),
        ("nothing.mp4", None, "no such file"),
    ],
)
def test_files_that_are_no_videos(tmp_path: Path, name: str, data: bytes | None, problem: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(VideoFileError, match=rf"^{tmp_path / name}: {problem}"):
        open_video(tmp_path / name)


PLAYLISTS = {
    "without an end.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nv.mp4\n",
    "of FFmpeg.ffconcat": "ffconcat version 1.0\nfile v.mp4\n",
    "art.nfo": "root:x:0:0:root:/root:/bin/bash\n" * 20,
    "words.txt": "root:x:0:0:root:/root:/bin/bash\n" * 20,
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_text_is_no_video(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / "v.mp4", pictures(3))
    (tmp_path / name).write_text(PLAYLISTS[name])
    with pytest.raises(VideoFileError, match=f"{name}: not a video that FFmpeg can read"):
        open_video(tmp_path / name)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_title_in_any_encoding(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "café"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert "café".encode() in data
    path.write_bytes(data.replace("café".encode(), b"caf\xe9 "))
    with open_video(path) as source:
        assert len(source) == len(list(source.frames())) == 1


def test_a_codec_that_nobody_knows(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", pictures(3), codec="mjpeg")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"QQQQ"))
    with pytest.raises(VideoFileError, match=r"a.avi: holds a video stream of a codec that FFmpeg does not know"):
        open_video(path)


def test_frames_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", pictures(3))
    monkeypatch.setattr(clip_module, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(VideoFileError, match=r"a.mp4: has frames of 96×64 pixels; expected at most 6143"):
        open_video(path)


def test_frames_larger_than_announced_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every JPEG of such a video has a size of its own."""
    with open_video(write_clip(tmp_path / "a.avi", pictures(3, 16, 16), codec="mjpeg")) as source:
        assert source.frame(0).gray.shape == (16, 16)
    data = bytearray((tmp_path / "a.avi").read_bytes())
    at = data.index(b"\xff\xc0", data.index(b"\xff\xc0") + 9)
    while at > 0:
        data[at + 5 : at + 9] = struct.pack(">HH", 128, 128)
        at = data.find(b"\xff\xc0", at + 9)
    (tmp_path / "a.avi").write_bytes(data)
    monkeypatch.setattr(clip_module, "MAX_PIXELS", 127 * 128)
    with open_video(tmp_path / "a.avi") as source, pytest.raises(VideoFileError, match="frame 2"):
        list(source.frames())


def test_endless_names(tmp_path: Path) -> None:
    with pytest.raises(VideoFileError, match="no such file"):
        open_video(tmp_path / ("x" * 5000))


def test_a_sound_and_an_empty_folder(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    with pytest.raises(VideoFileError, match="holds no video stream"):
        open_video(tmp_path / "a.wav")
    with pytest.raises(VideoFileError, match="holds no image"):
        open_video(tmp_path)


# --- threads ----------------------------------------------------------------------------------------


class Endless:
    """A reader of grey frames that counts what it develops."""

    promised = 0
    damage = ""

    def __init__(self, fails_at: int = -1) -> None:
        self.times = [float(k) for k in range(10_000)]
        self.fails_at = fails_at
        self.developed = self.closed = 0

    def anchor(self, number: int) -> int:
        return number

    def read(self, start: int) -> Iterator[tuple[int, Develop]]:
        return ((k, partial(self._frame, k)) for k in range(start, len(self.times)))

    def _frame(self, k: int) -> Frame:
        if k == self.fails_at:
            raise RuntimeError("the reader fell over")
        self.developed += 1
        return Frame(k, k, np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))

    def twin(self) -> Endless:
        return self

    def close(self) -> None:
        self.closed += 1


def test_threads_end(tmp_path: Path) -> None:
    source = VideoSource(tmp_path, Endless())
    left, closed = source.frames(), source.frames()
    assert next(left).index == next(closed).index == 0
    assert len(decoding_threads()) == 2
    del left
    gc.collect()
    assert len(decoding_threads()) == 1
    source.close()
    assert decoding_threads() == []
    assert [next(closed, None) for _ in range(3)] == [None] * 3
    for use in (source.frames, partial(source.frame, 0)):
        with pytest.raises(ValueError, match="is closed"):
            use()
    source.close()


def test_a_forgotten_source_leaves_no_thread(tmp_path: Path) -> None:
    def forget() -> None:
        next(VideoSource(tmp_path, Endless()).frames())

    forget()
    gc.collect()
    assert decoding_threads() == []


def test_an_iteration_dropped_by_its_own_thread(tmp_path: Path) -> None:
    """As garbage collection may do, which runs in any thread."""
    dropped: list[Iterator[Frame]] = []

    class Dropping(Endless):
        def _frame(self, k: int) -> Frame:
            if k == 5:
                go.wait()
                dropped.clear()
            return super()._frame(k)

    go = threading.Event()
    dropped.append(VideoSource(tmp_path, Dropping()).frames())
    (thread,) = decoding_threads()
    go.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_decoding_ahead_is_bounded(tmp_path: Path) -> None:
    reader = Endless()
    with VideoSource(tmp_path, reader) as source:
        frames = source.frames()
        taken = [next(frames).index for _ in range(20)]
    assert taken == list(range(20))
    assert reader.developed <= 20 + 10
    assert reader.closed == 2, "by the thread, and by the source"


def test_decoding_ahead_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large its frames, one is ready; smaller ones share what there is."""
    frame = Endless()._frame(0)
    size = frame.rgb.nbytes + frame.gray.nbytes
    for room, ahead in ((1, 1), (3 * size, 3), (100 * size, 8)):
        monkeypatch.setattr(video, "AHEAD_BYTES", room)
        reader = Endless()
        with VideoSource(tmp_path, reader) as source:
            frames = source.frames()
            taken = [next(frames).index for _ in range(20)]
        assert taken == list(range(20))
        assert reader.developed <= 20 + ahead + 2, "those in the queue, one that waits for it, one in the making"


def test_an_error_in_the_thread_reaches_the_consumer(tmp_path: Path) -> None:
    with VideoSource(tmp_path, Endless(fails_at=12)) as source:
        frames = source.frames()
        assert [next(frames).index for _ in range(12)] == list(range(12))
        with pytest.raises(RuntimeError, match="fell over"):
            next(frames)
    assert decoding_threads() == []
