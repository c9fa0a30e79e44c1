# MIT License
#
# Copyright (c) 2026 CLNF Studio contributors
#
# Permission is hereby granted, free of charge, to any person obtaining a copy
# of this software and associated documentation files (the "Software"), to deal
# in the Software without restriction, including without limitation the rights
# to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
# copies of the Software, and to permit persons to whom the Software is
# furnished to do so, subject to the following conditions:
#
# The above copyright notice and this permission notice shall be included in all
# copies or substantial portions of the Software.
#
# THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
# IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
# FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
# AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
# LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
# OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
# SOFTWARE.
"""Records the fits of a CLNF port, step by step, for CLNF Studio. Copy this one file into the port.

Python 3.8 or newer. NumPy is used where it is there. How to use it is told in ``docs/recorders.md`` of CLNF Studio,
what every value means in ``docs/trace-format.md``.

    rec = Recorder("run")                       # every fit becomes a folder: run, run_2, run_3 …
    rec.begin(gray, params, box=(x, y, width, height))
    rec.stage(window=11, scale=0.25, view=0, sigma=1.5, reg_factor=25)
    rec.maps(final=maps)                        # (n, w, w); or of one landmark: rec.map(i, final=map)
    rec.put(jacobian=J, hessian=H)              # of the iteration that is being computed
    rec.iteration("rigid", params=params, delta=delta)
    rec.end()
"""

from __future__ import annotations

import errno
import json
import math
import os
import select
import socket
import struct
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from typing import IO, Any, Callable, Iterator, NamedTuple, Sequence

try:
    import numpy

    np: Any = numpy
except ImportError:
    np = None

__all__ = ["Recorder", "RecorderError"]

# Shapes: n landmarks, p parameters, q those that the phase moves, w the window, "." any size.
_ROWS = {
    "params": "p",
    "landmarks": "n 2",
    "landmarks_before": "n 2",
    "mean_shift/position": "n 2",
    "mean_shift/kernel_sum": "n",
    "mean_shift/reference": "n 2",
    "mean_shift/image": "n 2",
    "mean_shift/empty": "n",
    "weights": "n",
    "jacobian": "2n q",
    "hessian": "q q",
    "gradient": "q",
    "delta": "q",
    "clamped": "p",
    "likelihoods": "n",
    "update_norm": "",
    "shape_change": "",
    "likelihood": "",
}
_MAPS = {
    "base_shape": "n 2",
    "reference_shape": "n 2",
    "image_to_reference": "2 2",
    "reference_to_image": "2 2",
    "visible": "n",
    "area": "n . .",
    "neuron_ncc": "n . w w",
    "neuron_output": "n . w w",
    "raw": "n w w",
    "after_sigma": "n w w",
    "shifted": "n w w",
    "final": "n w w",
}
_SHAPES = {**_ROWS, **_MAPS}
_STAGE = {
    "index": int,
    "window": int,
    "scale": float,
    "patch_scale": int,
    "view": int,
    "sigma": float,
    "reg_factor": float,
    "weight_factor": float,
    "sigma_transform": bool,
}
_BOOLS = ("clamped", "mean_shift/empty", "visible")
_MAX_INLINE = 64  # numbers that are written into the line itself
_MAX_BYTES = 1 << 31  # of the arrays of a trace, as its readers have it
_MAX_STEPS = 100_000
_LINES, _ARRAYS = "trace.jsonl", "arrays.raw"
_FORMATS = {"f8": "d", "f4": "f", "f2": "e", "b1": "?"}


class RecorderError(ValueError):
    """A mistake in calling the recorder, or a folder that cannot be written, in one sentence."""


class Recorder:
    """Writes the fits of a port, each to a folder of its own, which holds every completed step whatever happens next.

    All methods may be called from any thread. Outside of `begin` … `end`, `maps`, `map`, `neuron`, `put` and `put_at`
    do nothing.

    Parameters
    ----------
    folder : path-like, optional
        Of the first fit; those that follow get ``_2``, ``_3`` … added. Traces of these names are replaced. Without it,
        that of the environment variable ``CLNF_RECORD``; without that, nothing is recorded and every call returns at
        once.
    stream : str, optional
        Address that a running CLNF Studio shows, ``127.0.0.1:PORT#TOKEN`` or ``unix:PATH#TOKEN``: it follows the folder
        while it is written. By default that of the environment variable ``CLNF_STREAM``. Without a folder, a temporary
        one is made. Whether it answers, slowly or not at all, the port goes on.
    hold : bool
        Whether the port waits after every step until it is told to go on; where nobody listens, it never waits.
    strict : bool
        Whether mistakes raise `RecorderError`. Otherwise a value that is wrong is left out, recording stops where the
        folder cannot be written, and each is told once on standard error.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        strict: bool = True,
        stream: str | None = None,
        hold: bool = False,
    ) -> None:
        found = os.environ.get("CLNF_RECORD") if folder is None else os.fspath(folder)
        address = os.environ.get("CLNF_STREAM") if stream is None else stream
        if address and not found:
            found = os.path.join(tempfile.mkdtemp(prefix="clnf-"), "run")
        self._folder = found or ""
        self._on, self._strict, self._fits = bool(found), strict, 0
        self._lock = threading.RLock()
        self._here = threading.local()
        self._said: set[str] = set()
        self._fit: _Fit | None = None
        self._stream: _Stream | None = None
        if address:
            try:
                self._stream = _Stream(address, hold)
            except RecorderError as error:
                self._mistake(error)

    @property
    def folder(self) -> str:
        """Of the fit that was begun last; "" before the first."""
        return _numbered(self._folder, self._fits) if self._fits else ""

    def begin(
        self,
        image: Any,
        params: Any = None,
        landmarks: Any = None,
        *,
        box: Sequence[float] | None = None,
        source: str = "box",
        model: str = "",
        model_fingerprint: str = "",
        options: dict[str, Any] | None = None,
        conventions: Sequence[str] = (),
        notes: dict[str, Any] | None = None,
        n_landmarks: int | None = None,
        landmark_indices: Sequence[int] | None = None,
    ) -> None:
        """Begin a fit.

        Parameters
        ----------
        image : (height, width) uint8
            Grey levels that are fitted.
        params : (p,), optional
            Where the fit starts: scale, rx, ry, rz, tx, ty, and a number for each shape mode.
        landmarks : (n, 2), optional
            At the start, image px.
        box : x, y, width, height, optional
            Of the face, where the start was computed from one; `source` is "detector" where it was found by one.
        model, model_fingerprint : str
            Name of the model, and what ``clnf model`` tells of it.
        options : dict, optional
            Of the fit, as in the header of a trace.
        conventions : sequence of str
            In which the values depart from ``docs/trace-format.md``.
        notes : dict, optional
            Anything that JSON can hold.
        n_landmarks, landmark_indices : int and sequence of int, optional
            Where arrays have rows for these landmarks only.
        """

        def begun() -> None:
            self._close()
            header: dict[str, Any] = {"format": "clnf-trace", "version": 2}
            known: dict[str, Any] = {
                "model": model,
                "model_fingerprint": model_fingerprint,
                "options": options,
                "notes": notes,
                "conventions": list(conventions),
                "n_landmarks": n_landmarks,
                "landmark_indices": None if landmark_indices is None else list(map(int, landmark_indices)),
            }
            header.update({key: value for key, value in known.items() if value not in (None, "", [])})
            if box is not None:
                header["initial"] = {"source": source, "box": [float(value) for value in box]}
            elif params is not None:
                header["start"] = "params"
            picture = _picture(image)
            self._fits += 1
            rows = n_landmarks if landmark_indices is None else len(landmark_indices)
            self._fit = _Fit(_numbered(self._folder, self._fits), rows, self._mistake, self._stream)
            start = self._fit.fitted(self._whole({"params": params, "landmarks": landmarks}), {})
            if "params" in start:
                header["initial_params"] = start["params"]
            self._fit.header(header, picture)
            self._fit.step("initial", start)

        self._guarded(begun)

    def stage(self, **settings: Any) -> None:
        """Begin a stage, one patch scale and window.

        Parameters
        ----------
        **settings
            Any of index (counted from 0 where it is not given), window, scale (reference px per model unit),
            patch_scale, view, sigma, reg_factor, weight_factor (as they are used, after their adaptation to the scale),
            sigma_transform.
        """
        self._guarded(lambda: self._open().begin_stage(self._settings(settings)))

    def skip(self, reason: str, **settings: Any) -> None:
        """Tell that a stage was not run, and why; the settings are those of `stage`."""

        def skipped() -> None:
            fit = self._open()
            fit.begin_stage(dict(self._settings(settings), skipped=str(reason) or "skipped"))
            fit.step("skipped", {}, message=str(reason))

        self._guarded(skipped)

    def maps(self, **arrays: Any) -> None:
        """Response maps of the stage, of all landmarks: any of those of ``responses`` in the format."""
        self._collect(arrays, lambda fit, name, value: fit.collect(name, value), _MAPS)

    def map(self, landmark: int | None = None, **arrays: Any) -> None:
        """Response maps of one landmark; without its number, of that of the surrounding `landmark`."""
        self._collect(arrays, lambda fit, name, value: fit.collect(name, value, self._index(landmark)), _MAPS)

    def neuron(self, neuron: int, landmark: int | None = None, **arrays: Any) -> None:
        """``neuron_ncc`` and ``neuron_output``, (w, w), of a neuron of a landmark; 0 where it is never called."""

        def one(fit: _Fit, name: str, value: _Array) -> None:
            if not name.startswith("neuron_"):
                raise RecorderError(f"{name} is no map of a neuron; expected neuron_ncc or neuron_output")
            fit.collect(name, value, self._index(landmark), _index("neuron", neuron))

        self._collect(arrays, one, _MAPS)

    def put(self, **values: Any) -> None:
        """Values of the step that is written next; ``mean_shift_image`` stands for ``mean_shift/image``."""
        self._collect(values, lambda fit, name, value: fit.collect(name, value), _ROWS)

    def put_at(self, landmark: int | None = None, **values: Any) -> None:
        """The rows of one landmark of such values."""

        def one(fit: _Fit, name: str, value: _Array) -> None:
            if not _ROWS[name].startswith("n"):
                raise RecorderError(f"{name} has no row for each landmark; give it whole, with put")
            fit.collect(name, value, self._index(landmark))

        self._collect(values, one, _ROWS)

    @contextmanager
    def landmark(self, landmark: int) -> Iterator[None]:
        """In its body, and this thread, `map`, `neuron` and `put_at` mean this landmark."""
        before = getattr(self._here, "landmark", None)
        self._here.landmark = landmark
        try:
            yield
        finally:
            self._here.landmark = before

    def iteration(
        self, phase: str, *, iteration: int | None = None, converged: bool | None = None, **values: Any
    ) -> None:
        """Write an iteration, with what was `put` since the one before.

        Parameters
        ----------
        phase : "rigid" or "nonrigid"
        iteration : int, optional
            From 1; counted where it is not given.
        converged : bool, optional
            Whether the phase ends here because the shape stopped moving.
        **values
            As for `put`.
        """

        def written() -> None:
            if phase not in ("rigid", "nonrigid"):
                raise RecorderError(f"phase is {phase!r}; expected 'rigid' or 'nonrigid'")
            fit = self._open()
            count = None if iteration is None else _index("iteration", iteration)
            found = None if converged is None else bool(converged)
            fit.iteration(phase, count, self._whole(values), converged=found)

        self._guarded(written)

    def more(self, *, converged: bool | None = None, **values: Any) -> None:
        """Add to the step that was written last what became known only later, such as its likelihoods."""

        def added() -> None:
            found = None if converged is None else bool(converged)
            self._open().more(self._whole(values), converged=found)

        self._guarded(added)

    def end(self, success: bool = True, message: str = "", **values: Any) -> None:
        """End the fit; the values are those of `put`, such as its likelihood."""

        def ended() -> None:
            fit = self._open()
            fit.before_step()
            found = fit.fitted(self._whole(values), {})
            fit.step("end", found, success=bool(success), message=str(message))
            self._close()

        self._guarded(ended)

    def close(self) -> None:
        """Close the files; a fit that was not ended stays as it is."""
        self._guarded(self._close)

    # --- what happens to mistakes -----------------------------------------------------------------

    def _guarded(self, do: Callable[[], None]) -> None:
        if not self._on:
            return
        with self._lock:
            try:
                do()
            except RecorderError as error:
                self._mistake(error)
            except OSError as error:
                self._on = False
                self._mistake(RecorderError(f"{self.folder or self._folder}: cannot be written ({error.strerror})"))
            except Exception as error:  # an array of a library that fails to hand it out
                self._mistake(RecorderError(" ".join(f"{type(error).__name__}: {error}".split())))

    def _mistake(self, error: RecorderError) -> None:
        if self._strict:
            raise error
        text = str(error)
        if text not in self._said and len(self._said) < 100:
            self._said.add(text)
            print(f"clnf_recorder: {text}", file=sys.stderr)

    # --- arguments --------------------------------------------------------------------------------

    def _open(self) -> _Fit:
        if self._fit is None:
            raise RecorderError("no fit is open; call begin first")
        if self._fit.steps >= _MAX_STEPS:
            raise RecorderError(f"the fit has {_MAX_STEPS} steps; those that follow are not recorded")
        return self._fit

    def _close(self) -> None:
        if self._fit is not None:
            self._fit.close()
            self._fit = None

    def _index(self, landmark: int | None) -> int:
        found = getattr(self._here, "landmark", None) if landmark is None else landmark
        if found is None:
            raise RecorderError("no landmark is given; expected its number, or a surrounding landmark(i)")
        return _index("landmark", found)

    def _collect(self, values: dict[str, Any], put: Callable[[_Fit, str, _Array], None], names: dict[str, str]) -> None:
        def collected() -> None:
            for name, array in self._whole(values, names).items():
                try:
                    put(self._open(), name, array)
                except RecorderError as error:
                    self._mistake(error)

        if self._fit is not None:
            self._guarded(collected)

    def _whole(self, values: dict[str, Any], names: dict[str, str] = _ROWS) -> dict[str, _Array]:
        """Values by the names of the format, as arrays; None is left out."""
        found: dict[str, _Array] = {}
        for key, value in values.items():
            name = key.replace("mean_shift_", "mean_shift/")
            if name not in names:
                self._mistake(RecorderError(f"{key} is no value here; expected one of {', '.join(names)}"))
            elif value is not None:
                try:
                    found[name] = _array(name, value)
                except RecorderError as error:
                    self._mistake(error)
        return found

    def _settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in settings.items():
            kind = _STAGE.get(name)
            if kind is None:
                self._mistake(RecorderError(f"{name} is no setting of a stage; expected one of {', '.join(_STAGE)}"))
            elif value is not None:
                found[name] = kind(value)
                if kind is float and not math.isfinite(found[name]):
                    del found[name]
        return found


# --- arrays -----------------------------------------------------------------------------------------


class _Array(NamedTuple):
    """An array in C order: dtype as in the format, shape, bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def inline(self) -> bool:
        """Whether a line can hold it without losing anything."""
        if self.dtype == "|b1":
            return len(self.data) <= _MAX_INLINE
        if self.dtype != "<f8" or len(self.data) > 8 * _MAX_INLINE:
            return False
        return not any(math.isinf(value) for value in self.numbers())

    def numbers(self) -> list[Any]:
        """All, in C order."""
        size = int(self.dtype[2:])
        return list(struct.unpack(f"<{len(self.data) // size}{_FORMATS[self.dtype[1:]]}", self.data))

    def json(self) -> Any:
        """As nested lists, or a number; null is NaN."""
        flat: list[Any] = [None if value != value else value for value in self.numbers()]  # noqa: PLR0124
        for size in self.shape[:0:-1]:
            flat = [flat[k : k + size] for k in range(0, len(flat), size)]
        return flat if self.shape else flat[0]


def _array(name: str, value: Any) -> _Array:
    """Anything that holds numbers: of NumPy or convertible to it, buffers such as `array.array`, nested lists."""
    if np is None:
        return _plain(name, value)
    try:
        array = np.asarray(value)
        if name in _BOOLS and array.dtype.kind != "b" and np.isin(array, (0, 1)).all():
            array = array.astype(np.bool_)
        elif array.dtype.kind in "iu" and name != "image":
            array = array.astype(np.float64)
    except Exception as error:  # ragged lists, and tensors that live on another device
        raise RecorderError(f"{name} cannot be read as an array ({' '.join(str(error).split())[:100]})") from error
    if array.dtype.kind not in "fiub" or (name in _BOOLS) != (array.dtype.kind == "b"):
        expected = "true and false" if name in _BOOLS else "real numbers"
        raise RecorderError(f"{name} holds {array.dtype}; expected {expected}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    one = array.dtype.newbyteorder("<")
    return _Array(one.str, tuple(int(size) for size in array.shape), array.astype(one, copy=False).tobytes())


def _plain(name: str, value: Any) -> _Array:
    """An array without NumPy: of a buffer, whose numbers keep their size, or of nested lists."""
    numbers: list[Any] = []
    try:
        view = memoryview(value)
    except TypeError:
        shape, code = _flatten(name, value, numbers), "d"
    else:
        shape, code = tuple(view.shape or ()), str(view.format)
        _flatten(name, view.tolist(), numbers)
    if name in _BOOLS:
        if any(number not in (0, 1) for number in numbers):
            raise RecorderError(f"{name} holds other numbers than 0 and 1; expected true and false")
        return _Array("|b1", shape, bytes(map(int, numbers)))
    if name == "image" and all(0 <= number <= 255 and number == int(number) for number in numbers):
        return _Array("|u1", shape, bytes(map(int, numbers)))
    code = "f" if code == "f" else "d"
    return _Array("<f4" if code == "f" else "<f8", shape, struct.pack(f"<{len(numbers)}{code}", *numbers))


def _flatten(name: str, value: Any, into: list[Any]) -> tuple[int, ...]:
    """Add the numbers of nested lists, and tell their shape."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        try:
            into.append(float(value))
        except (TypeError, ValueError):
            raise RecorderError(f"{name} holds {type(value).__name__}; expected real numbers") from None
        return ()
    shapes = {_flatten(name, item, into) for item in value}
    if len(shapes) > 1:
        raise RecorderError(f"{name} cannot be read as an array (its rows have several lengths)")
    return (len(value), *(shapes.pop() if shapes else ()))


def _picture(image: Any) -> _Array:
    """Grey levels as bytes."""
    if np is not None:
        image = np.asarray(image)
        if image.dtype.kind in "fiu" and image.dtype != np.uint8 and image.size:
            whole = image.astype(np.uint8) if 0 <= image.min() and image.max() <= 255 else None
            image = image if whole is None or (whole != image).any() else whole
    array = _array("image", image)
    if array.dtype != "|u1" or len(array.shape) != 2 or not array.data:
        raise RecorderError(
            f"image is {array.dtype[1:]} {_text(array.shape)}; expected grey levels, uint8 height×width"
        )
    return array


def _index(name: str, value: Any) -> int:
    try:
        number = value.__index__()
    except AttributeError:
        number = -1
    if not 0 <= number < 1_000_000:
        raise RecorderError(f"{name} is {value!r}; expected a whole number from 0")
    return int(number)


def _text(shape: Sequence[Any]) -> str:
    return "×".join(str(size) for size in shape) or "a number"


def _squeezed(shape: Sequence[int], count: int) -> tuple[int, ...]:
    """A shape without sizes of 1, from the first, as long as there are more than so many."""
    sizes = list(shape)
    while len(sizes) > count and 1 in sizes:
        sizes.remove(1)
    return tuple(sizes)


def _numbered(folder: str, number: int) -> str:
    return folder if number == 1 else f"{folder}_{number}"


# --- one fit ----------------------------------------------------------------------------------------


class _Fit:
    """The folder of a fit that is open, and what was collected for its next step."""

    def __init__(
        self, folder: str, rows: int | None, mistake: Callable[[RecorderError], None], stream: _Stream | None
    ) -> None:
        os.makedirs(folder, exist_ok=True)
        self._stream = stream
        self._mistake = mistake
        self._folder, self._size, self.steps = folder, 0, 0
        self._lines: IO[bytes] = open(os.path.join(folder, _LINES), "wb", 0)  # noqa: SIM115
        self._arrays: IO[bytes] = open(os.path.join(folder, _ARRAYS), "wb", 0)  # noqa: SIM115
        self._sizes: dict[str, int] = {} if rows is None else {"n": rows}
        self._stage: dict[str, Any] | None = None
        self._stages, self._told, self._count = 0, False, {"rigid": 0, "nonrigid": 0}
        self._answered = True  # whether the stage has its step of responses
        self._values: dict[str, Any] = {}
        self._last: dict[str, Any] = {}

    def close(self) -> None:
        for file in (self.__dict__.get("_lines"), self.__dict__.get("_arrays")):
            if file is not None:
                file.close()

    __del__ = close  # a recorder that is let go of warns nobody

    # --- what is collected

    def collect(self, name: str, array: _Array, landmark: int | None = None, neuron: int | None = None) -> None:
        """Keep a value, or the row of a landmark, for the next step."""
        if name in _MAPS and self._stage is None:
            raise RecorderError(f"{name} belongs to a stage; call stage first")
        if landmark is None:
            self._values[name] = array
            return
        limit = self._sizes.get("n", 1000)
        if landmark >= limit:
            raise RecorderError(f"landmark is {landmark}, but there are {limit}")
        rows = self._values.get(name)
        if not isinstance(rows, _Rows):
            rows = self._values[name] = _Rows(name)
        rows.put(landmark, neuron, array)

    def begin_stage(self, settings: dict[str, Any]) -> None:
        self.before_step()
        settings.setdefault("index", self._stages)
        self._stages = settings["index"] + 1
        self._stage, self._told, self._count = settings, False, {"rigid": 0, "nonrigid": 0}
        self._answered = "skipped" in settings
        self._values.clear()

    def before_step(self) -> None:
        """Write the step of the stage's response maps, when that was not done."""
        if self._answered or self._stage is None:
            return
        self._answered = True
        self.step("responses", {}, responses=self._taken(_MAPS, {}))

    def _taken(self, names: dict[str, str], sizes: dict[str, int]) -> dict[str, Any]:
        """The values of these names that were collected, which are collected no more."""
        found: dict[str, _Array] = {}
        for name in [name for name in self._values if name in names]:
            value = self._values.pop(name)
            try:
                found[name] = value.array(self._sizes.get("n")) if isinstance(value, _Rows) else value
            except RecorderError as error:
                self._mistake(error)
        return self.fitted(found, sizes)

    # --- what is written

    def header(self, header: dict[str, Any], picture: _Array) -> None:
        header["image"] = self._appended(picture)
        self._line(header)

    def iteration(self, phase: str, count: int | None, values: dict[str, _Array], **entry: Any) -> None:
        if self._stage is None:
            raise RecorderError(f"a {phase} iteration belongs to a stage; call stage first")
        self.before_step()
        maps = self._taken(_MAPS, {})
        if maps:
            entry["responses"] = maps
        q = 6 if phase == "rigid" else self._sizes.get("p", 0)
        sizes = {"q": q} if q else {}
        self._values.update(values)
        found = self._taken(_ROWS, sizes)
        if "q" in sizes and phase == "nonrigid":
            self._sizes.setdefault("p", sizes["q"])
        self._count[phase] = self._count[phase] + 1 if count is None else count
        self.step(phase, found, iteration=self._count[phase], **entry)

    def step(self, phase: str, values: dict[str, Any], **entry: Any) -> None:
        """Write a step; where it moves nothing, parameters and landmarks are those of the step before."""
        line: dict[str, Any] = {"phase": phase}
        if self._stage is not None and phase not in ("initial", "end"):
            line["stage"] = self._stage["index"] if self._told else self._stage
            self._told = True
        line.update({key: value for key, value in entry.items() if value not in (None, "")})
        moves = phase in ("rigid", "nonrigid")
        kept = {} if moves else {key: value for key, value in self._last.items() if key not in values}
        line.update(kept)
        line.update(values)
        self.steps += 1
        self._line(line)
        self._last = {name: line[name] for name in ("params", "landmarks") if name in line}
        if self._stream is not None:
            self._stream.tell(os.path.abspath(self._folder), self.steps)

    def more(self, values: dict[str, _Array], **entry: Any) -> None:
        if not self.steps:
            raise RecorderError("there is no step to add to")
        line: dict[str, Any] = {"more": True}
        line.update({key: value for key, value in entry.items() if value is not None})
        found = self.fitted(values, {})
        line.update(found)
        self._line(line)
        self._last.update({name: found[name] for name in ("params", "landmarks") if name in found})

    def fitted(self, values: dict[str, _Array], sizes: dict[str, int]) -> dict[str, Any]:
        """Values as a line has them, those of the wrong shape left out; larger ones are written to the arrays."""
        found: dict[str, Any] = {}
        window = (self._stage or {}).get("window", 0)
        if window:
            sizes.setdefault("w", window)
        for name, array in values.items():
            try:
                one = array._replace(shape=self._shape(name, array, sizes))
                found[name] = one.json() if one.inline() or not one.shape else self._appended(one)
            except RecorderError as error:
                self._mistake(error)
        return found

    def _shape(self, name: str, array: _Array, sizes: dict[str, int]) -> tuple[int, ...]:
        """The shape of a value, without sizes of 1 that are too many; sizes that were not known are from now on."""
        wanted = _SHAPES[name].split()
        shape = _squeezed(array.shape, len(wanted))
        known = {**self._sizes, **sizes, "2": 2}
        known["2n"] = 2 * known.get("n", 0)
        new: dict[str, int] = {}
        good = len(shape) == len(wanted)
        for size, letter in zip(shape, wanted) if good else ():
            number = known.get(letter) or new.get(letter) or None
            if letter == "2n" and not number:
                new["n"], number = size // 2, 2 * (size // 2)
            if letter != "." and number is None:
                new[letter] = size
            good = good and (letter == "." or number in (None, size)) and size > 0
        if not good:
            sizes_text = _text([known.get(letter) or new.get(letter) or letter for letter in wanted])
            expected = sizes_text + (f" ({_text(wanted)})" if _text(wanted) != sizes_text else "")
            raise RecorderError(f"{name} is {_text(array.shape)}; expected {expected}{_hint(array.shape, wanted)}")
        self._sizes.update({letter: size for letter, size in new.items() if letter in "np"})
        sizes.update({letter: size for letter, size in new.items() if letter in "qw"})
        return shape

    def _appended(self, array: _Array) -> dict[str, Any]:
        if self._size + len(array.data) > _MAX_BYTES:
            raise RecorderError(f"the arrays of the fit hold {_MAX_BYTES} bytes; those that follow are not recorded")
        _write(self._arrays, array.data)
        entry = {"file": _ARRAYS, "dtype": array.dtype, "shape": list(array.shape), "offset": self._size}
        self._size += len(array.data)
        return entry

    def _line(self, entry: dict[str, Any]) -> None:
        _write(self._lines, json.dumps(entry, separators=(",", ":")).encode() + b"\n")


class _Rows:
    """A value that is given a landmark, or a neuron of a landmark, at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: dict[tuple[int, int | None], _Array] = {}

    def put(self, landmark: int, neuron: int | None, array: _Array) -> None:
        count = len(_SHAPES[self._name].split()) - (1 if neuron is None else 2)
        array = array._replace(shape=_squeezed(array.shape, count))
        first = next(iter(self._rows.items()), None)
        if len(array.shape) != count or (neuron is not None and first is not None and first[0][1] is None):
            raise RecorderError(f"{self._name} of landmark {landmark} is {_text(array.shape)}; expected {count} sizes")
        if first is not None and first[1][:2] != array[:2]:
            here, there = (f"{one.dtype[1:]} {_text(one.shape)}" for one in (array, first[1]))
            raise RecorderError(f"{self._name} of landmark {landmark} is {here}; that of {first[0][0]} was {there}")
        self._rows[landmark, neuron] = array

    def array(self, count: int | None) -> _Array:
        """All, NaN (false) for landmarks without a row, 0 for neurons without."""
        landmarks = max(landmark for landmark, _ in self._rows) + 1 if count is None else count
        neurons = [neuron for _, neuron in self._rows if neuron is not None]
        one = next(iter(self._rows.values()))
        kinds = 1 + max(neurons) if neurons else 1
        size = len(one.data)
        missing = b"\0" if one.dtype == "|b1" else struct.pack(f"<{_FORMATS[one.dtype[1:]]}", math.nan)
        data = bytearray(missing * (size // len(missing)) * kinds * landmarks)
        for landmark in {landmark for landmark, _ in self._rows} if neurons else ():
            data[landmark * kinds * size : (landmark + 1) * kinds * size] = bytes(kinds * size)
        for (landmark, neuron), array in self._rows.items():
            start = (landmark * kinds + (neuron or 0)) * size
            data[start : start + size] = array.data
        return _Array(one.dtype, (landmarks, *((kinds,) if neurons else ()), *one.shape), bytes(data))


def _hint(shape: Sequence[int], wanted: Sequence[str]) -> str:
    """What to do with landmarks that come as one column."""
    if list(wanted) == ["n", "2"] and max(shape, default=0) > 2 and len([size for size in shape if size > 1]) == 1:
        return "; use x.reshape(2, -1).T where all x come first, x.reshape(-1, 2) where x and y alternate"
    return ""


class _Stream:
    """Tells a running window which folder has how many steps; what they hold, it reads there.

    Nothing here waits for the other side, unless the port is held: what cannot be sent now is sent with a later step,
    or never, and a connection that is gone is tried again with a later step.
    """

    _RETRY_SECONDS = 0.5
    _MAX_ANSWER = 1 << 12

    def __init__(self, address: str, hold: bool) -> None:
        self._socket: socket.socket | None = None
        self._connecting, self._tried = False, -math.inf
        place, _, self._token = address.rpartition("#")
        host, _, port = place.rpartition(":")
        self._family = socket.AF_INET
        self._place: Any = (host, int(port[:6]) if port.isdecimal() else 0)
        if place.startswith("unix:") and hasattr(socket, "AF_UNIX"):
            self._family, self._place = socket.AF_UNIX, place[5:]
        elif host != "127.0.0.1" or not 0 < self._place[1] < 1 << 16:
            raise RecorderError(f"stream is {address!r}; expected 127.0.0.1:PORT#TOKEN or unix:PATH#TOKEN")
        self._hold, self._held, self._allowed = hold, False, 0
        self._unsent, self._heard = b"", b""

    def tell(self, folder: str, steps: int) -> None:
        """Tell of a step; where the port is held, wait until it may go on."""
        self._connect()
        if self._socket is None or self._connecting:
            return
        self._listen()
        if self._held:
            self._allowed -= 1
        waits = self._held and self._allowed < 0
        if not self._unsent or waits:
            state = {"folder": folder, "steps": steps, "held": waits}
            self._unsent += json.dumps(state).encode() + b"\n"
        self._send()
        while self._socket is not None and self._held and self._allowed < 0:
            select.select([self._socket], [self._socket] if self._unsent else [], [])
            self._send()
            self._listen()

    def _connect(self) -> None:
        if self._socket is None and time.monotonic() - self._tried >= self._RETRY_SECONDS:
            self._tried = time.monotonic()
            self._socket, self._connecting = socket.socket(self._family, socket.SOCK_STREAM), True
            self._socket.setblocking(False)
            error = self._socket.connect_ex(self._place)
            if error not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                self._give_up()
        if self._socket is not None and self._connecting and select.select([], [self._socket], [], 0)[1]:
            if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._give_up()
                return
            self._connecting, self._held, self._allowed, self._heard = False, self._hold, 0, b""
            self._unsent = json.dumps({"clnf-live": 1, "token": self._token}).encode() + b"\n"
            self._send()

    def _send(self) -> None:
        try:
            if self._socket is not None and self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._give_up()

    def _listen(self) -> None:
        """Take what the window answered: ``{"go": 1}``, ``{"hold": true}``."""
        try:
            while self._socket is not None:
                data = self._socket.recv(self._MAX_ANSWER)
                lines = (self._heard + data).split(b"\n")
                self._heard = lines.pop()
                if not data or len(self._heard) > self._MAX_ANSWER:
                    self._give_up()
                for line in lines:
                    answer = json.loads(line)
                    self._held = bool(answer.get("hold", self._held))
                    self._allowed += max(0, int(answer.get("go", 0)))
                    self._allowed = self._allowed if self._held else 0
        except (BlockingIOError, InterruptedError):
            pass
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            self._give_up()

    def _give_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._connecting, self._held, self._unsent = None, False, False, b""

    __del__ = _give_up


def _write(file: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]
