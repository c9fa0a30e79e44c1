"""Videos, and folders of images as videos: any frame by its number, or frames in order from a thread that decodes.

Numbers count from 0 in Python; messages, like OpenFace's files, count frames from 1.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType

from clnf_engine.errors import FileError, VideoFileError
from clnf_engine.io.frames import Develop, Folder, Frame, Reader

CACHE_BYTES = 1 << 27
"""What the frames that a source keeps may take up."""

AHEAD_BYTES = 1 << 27
"""What the frames that are decoded ahead may take up; one is, however large."""

_AHEAD = 8
"""Most frames that are decoded ahead."""

_BEHIND = 8
"""Frames kept before one that was sought backwards, so that the next step back is there already."""


def open_video(path: str | os.PathLike[str]) -> VideoSource:
    """Open a video file, or a folder of images in the natural order of their names.

    Parameters
    ----------
    path : path-like
        Anything FFmpeg reads, or a folder.

    Returns
    -------
    VideoSource
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    VideoFileError
        When there is no such file, or no frame in it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from shutil import copy
    >>> from clnf_engine import open_video, sample
    >>> folder = Path("frames")
    >>> folder.mkdir()
    >>> for k in (1, 2, 10):
    ...     _ = copy(sample("portrait").path, folder / f"{k}.jpg")
    >>> with open_video(folder) as source:
    ...     len(source), source.frame(2).gray.shape
    (3, (600, 512))
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path's, False for a name that no folder can have
        return VideoSource(path, Folder(path))
    from clnf_engine.io.clip import Clip

    return VideoSource(path, Clip(path))


class VideoSource:
    """The frames of a video, from `open_video`. Threads may share it. Close it, or use it in a ``with`` statement.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path = path
        self._kept_frames: int | None = None
        self._reader = reader
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Frame] = OrderedDict()
        self._reading: Iterator[tuple[int, Develop]] = iter(())
        self._next = -1
        self._feeds: weakref.WeakSet[_Feed] = weakref.WeakSet()
        self._closed = False

    def keep_frames(self, count: int | None) -> None:
        """Keep so many frames, if `CACHE_BYTES` suffice.

        Parameters
        ----------
        count : int or None
            None, as at first, keeps as many as do.
        """
        self._kept_frames = count

    def __len__(self) -> int:
        """Number of frames, with those that are damaged."""
        return len(self._reader.times)

    def timestamp(self, index: int) -> float:
        """When a frame is shown.

        Parameters
        ----------
        index : int
            From 0.

        Returns
        -------
        float
            Seconds from the first frame.

        Raises
        ------
        IndexError
            When there is no such frame.
        """
        return self._reader.times[range(len(self))[index]]

    def frame(self, index: int) -> Frame:
        """One frame; those used last are kept.

        Parameters
        ----------
        index : int
            From 0.

        Returns
        -------
        Frame

        Raises
        ------
        FileError
            When it cannot be decoded.
        IndexError
            When there is no such frame.
        """
        index = range(len(self))[index]
        with self._lock:
            self._check_open()
            if index not in self._cache:
                self._fetch(index)
            if index not in self._cache:
                raise VideoFileError(self.path, f"frame {index + 1}", "cannot be decoded; the file is damaged there")
            self._cache.move_to_end(index)
            return self._cache[index]

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Frames in order, decoded ahead by a thread that ends with the iteration, its garbage collection or `close`.

        Parameters
        ----------
        start : int
            Number of the first frame.

        Returns
        -------
        iterator of Frame

        Raises
        ------
        VideoFileError
            After the last frame that decodes, when some did not: which is the first of them, and how many did.
        """
        with self._lock:
            self._check_open()
            feed = _Feed(self.path, self._reader.twin(), start)
            self._feeds.add(feed)
        return feed

    def close(self) -> None:
        """End every iteration and close the file."""
        with self._lock:
            self._closed = True
            for feed in tuple(self._feeds):
                feed.close()
            self._reading = iter(())
            self._cache.clear()
            self._reader.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.path} is closed")

    def _fetch(self, index: int) -> None:
        """Read on, or anew from the key frame before, until a frame is in the cache."""
        anchor, wanted = self._reader.anchor(index), index
        if not anchor <= self._next <= index:
            if index < self._next:
                wanted = max(anchor, index - _BEHIND)
            self._reading = self._reader.read(wanted)
        for number, develop in self._reading:
            self._next = number + 1
            if number >= wanted:
                self._keep(develop())
            if number >= index:
                return
        self._next = -1  # read to the end

    def _keep(self, frame: Frame) -> None:
        self._cache[frame.index] = frame
        limit = max(1, CACHE_BYTES // (frame.rgb.nbytes + frame.gray.nbytes))
        limit = limit if self._kept_frames is None else min(limit, self._kept_frames)
        while len(self._cache) > limit:
            self._cache.popitem(last=False)


# --- frames in order --------------------------------------------------------------------------------

_Item = Frame | BaseException | None
"""A frame; at the end what went wrong, or None."""


class _FrameQueue(Queue[_Item]):
    """A queue that is full by the bytes of its frames, or when it has `_AHEAD` of them."""

    def __init__(self) -> None:
        super().__init__(AHEAD_BYTES)

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._bytes = 0

    def _qsize(self) -> int:
        return self._bytes

    def _put(self, item: _Item) -> None:
        super()._put(item)
        self._bytes += _weight(item)

    def _get(self) -> _Item:
        item: _Item = super()._get()
        self._bytes -= _weight(item)
        return item


def _weight(item: _Item) -> int:
    size = item.rgb.nbytes + item.gray.nbytes if isinstance(item, Frame) else 1
    return max(size, -(-AHEAD_BYTES // _AHEAD))


class _Feed(Iterator[Frame]):
    """What a thread decodes. The thread knows the queue, not the feed, so that it cannot keep the feed alive."""

    def __init__(self, path: Path, reader: Reader, start: int) -> None:
        self._queue = _FrameQueue()
        stop = threading.Event()
        work = (path, reader, start, self._queue, stop)
        thread = threading.Thread(target=_pump, args=work, name="clnf-decode", daemon=True)
        self._halt = weakref.finalize(self, _halt, thread, self._queue, stop)
        self._ended = False
        thread.start()

    def __next__(self) -> Frame:
        item = None if self._ended else self._queue.get()
        if isinstance(item, Frame):
            return item
        self._ended = True
        self.close()
        if item is None:
            raise StopIteration
        raise item

    def close(self) -> None:
        """End the thread."""
        self._halt()


def _halt(thread: threading.Thread, queue: Queue[_Item], stop: threading.Event) -> None:
    stop.set()
    if thread is threading.current_thread():  # garbage collection runs anywhere, even while `put` holds its lock
        threading.Thread(target=_join, args=(thread, queue), daemon=True).start()
    else:
        _join(thread, queue)


def _join(thread: threading.Thread, queue: Queue[_Item]) -> None:
    """Make room for what the thread may still put, wait for its end, and tell whoever waits for a frame."""
    _empty(queue)
    thread.join()
    _empty(queue)
    queue.put(None)


def _empty(queue: Queue[_Item]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


def _pump(path: Path, reader: Reader, start: int, queue: Queue[_Item], stop: threading.Event) -> None:
    """Fill the queue; after `stop` is set, put into it once at most."""
    end: BaseException | None = None
    try:
        end = _deliver(path, reader, start, queue, stop)
    except BaseException as error:  # the consumer's to handle
        end = error
    finally:
        reader.close()
    if not stop.is_set():
        queue.put(end)


def _deliver(
    path: Path, reader: Reader, start: int, queue: Queue[_Item], stop: threading.Event
) -> VideoFileError | None:
    """Put the frames that can be had; an error that tells of those that could not."""
    delivered, expected, first_bad, reason = 0, start, -1, reader.damage
    for number, develop in reader.read(start):
        if stop.is_set():
            return None
        try:
            frame = develop()
        except FileError as error:
            reason = reason or str(error)
            continue
        if number > expected and first_bad < 0:
            first_bad = expected
        queue.put(frame)
        delivered, expected = delivered + 1, number + 1
    total = max(len(reader.times), reader.promised) - start
    if delivered == total and not reader.damage:
        return None
    where = f"frame {(first_bad if first_bad >= 0 else expected) + 1}"
    cause = f" ({reason})" if reason else ""
    of = f" of {total}" if delivered < total else ""
    onwards = f" from frame {start + 1} on" if start else ""
    return VideoFileError(
        path, where, f"the first that cannot be decoded{cause}; {delivered}{of} frames{onwards} can be"
    )
