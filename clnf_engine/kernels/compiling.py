"""`kernel`, which has a function over arrays compiled when it is first called, for the precision of its arguments.

numba is imported then, not before. What it compiled is kept in a folder of the user's that is named after the kernels'
sources, numba, the processor and the precision, so nobody ever meets the wrong code. With ``NUMBA_DISABLE_JIT=1`` the
functions stay Python, for a debugger.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from clnf_engine.arrays import FLOAT64, DType

CACHE_FOLDER = "CLNF_KERNEL_CACHE"
"""Environment variable that names another folder for compiled kernels."""

COMPILING = "compiling the kernels for this machine, once"
"""Said when there is something to compile, once in a process."""

_log = logging.getLogger(__name__)
_lock = RLock()

_ARGUMENT = re.compile(r"(F|I|[a-z]\d)(?:\[([^\]]*)\])?")
_SIZE = re.compile(r"(\d*)([A-Za-z]*)(?:\+(\d+))?")
_Size = tuple[int, str, int]
"""A size as a factor, a letter and what is added."""

_SHAPES_KNOWN = 256
"""How many combinations of shapes a kernel remembers to fit together."""

_PRECISIONS = (np.dtype(np.float64), np.dtype(np.float32))


class Kernel:
    """A function that fills arrays, compiled when it is first called.

    Parameters
    ----------
    function : callable
        In the part of Python and NumPy that numba knows. It may call other kernels.
    signature : str
        ``"what it reads -> what it fills"``: NumPy's codes of the types, F for the precision, I for the integers of its
        size, and the shapes in letters, as in ``"F[n,w,w], f8[m+6] -> F[2n]"``. All arrays are C-contiguous.
    fast : frozenset of str
        The liberties the compiler may take with its arithmetic, by LLVM's names: "contract" to round a product and its
        addition once, "reassoc" to add up in any order. Where it has none, every processor computes the same bits.
    """

    def __init__(self, function: Callable[..., Any], signature: str, fast: frozenset[str]) -> None:
        self._function, self._fast = function, fast
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._arguments = [
            (kind, tuple(map(_size, shape.split(","))) if shape else (), part == 0)
            for part, half in enumerate(signature.split("->"))
            for kind, shape in _ARGUMENT.findall(half)
        ]
        precise = [at for at, (kind, _, _) in enumerate(self._arguments) if kind == "F"]
        self._tells = precise[-1] if precise else None
        self._inlined: Any = None
        self._entries: dict[DType, Callable[..., Any]] = {}
        self._fit: set[tuple[tuple[int, ...], ...]] = set()

    def __call__(self, *arguments: Any) -> Any:
        """Run it on arrays that suit its signature; those it reads are converted.

        Raises
        ------
        ValueError
            When the shapes do not fit together.
        """
        shapes = tuple([argument.shape for argument, kind in zip(arguments, self._arguments, strict=True) if kind[1]])
        precision = FLOAT64
        if self._tells is not None and arguments[self._tells].dtype in _PRECISIONS:
            precision = arguments[self._tells].dtype
        if shapes in self._fit:
            try:
                return self.compiled(precision)(*arguments)
            except TypeError:  # an array of another type or order
                pass
        sizes: dict[str, int] = {}
        fitting = [
            self._fitting(argument, kind, shape, reads, precision, sizes)
            for argument, (kind, shape, reads) in zip(arguments, self._arguments, strict=True)
        ]
        if len(self._fit) < _SHAPES_KNOWN:
            self._fit.add(shapes)
        return self.compiled(precision)(*fitting)

    def _fitting(
        self, value: Any, kind: str, shape: tuple[_Size, ...], reads: bool, precision: DType, sizes: dict[str, int]
    ) -> Any:
        if not shape:
            return value
        dtype = _dtype(kind, precision)
        if reads and not (value.__class__ is np.ndarray and value.dtype is dtype and value.flags.c_contiguous):
            value = np.ascontiguousarray(value, dtype)
        found = value.shape
        if len(found) == len(shape):
            for (factor, name, more), size in zip(shape, found, strict=True):
                one = sizes.setdefault(name, (size - more) // factor) if name else 0
                if factor * one + more != size:
                    break
            else:
                return value
        wanted = ", ".join(
            str(factor * sizes.get(name, 0) + more) if name in sizes or not name else name
            for factor, name, more in shape
        )
        raise ValueError(f"{self.__name__}: found an array of shape {found}; expected ({wanted})")

    def compiled(self, precision: DType) -> Callable[..., Any]:
        """The function itself for a precision, which checks no shapes; compiled or read from the cache at need."""
        entry = self._entries.get(precision)
        if entry is None:
            with _lock:
                entry = self._entries.get(precision) or self._compile(precision)
                for each in _PRECISIONS if self._tells is None else (precision,):
                    self._entries[each] = entry
        return entry

    def _compile(self, precision: DType) -> Callable[..., Any]:
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return self._function
        from numba.core import event
        from numba.core.types import Array as ArrayOf
        from numba.np.numpy_support import from_dtype

        signature = tuple(
            ArrayOf(element, len(shape), "C", readonly=reads) if shape else element
            for element, shape, reads in (
                (from_dtype(_dtype(kind, precision)), shape, reads) for kind, shape, reads in self._arguments
            )
        )
        dispatcher = self._dispatcher(_cache_folder(str(precision)))
        with event.install_listener("numba:compile", _announcer()):
            try:
                dispatcher.compile(signature)
            except Exception as reason:  # numba lets through whatever a damaged file or a full disk leads to
                _uncached(str(reason))
                if not dispatcher.overloads:
                    dispatcher = self._dispatcher(None)
                    dispatcher.compile(signature)
        dispatcher.disable_compile()
        return dispatcher  # type: ignore[no-any-return]

    def _dispatcher(self, folder: Path | None, forceinline: bool = False) -> Any:
        import numba

        # numba chooses the folder when the function is made.
        config: Any = numba.config
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder or "")
        try:
            return numba.njit(
                nogil=True,
                error_model="numpy",
                fastmath=set(self._fast),
                cache=folder is not None,
                forceinline=forceinline,
            )(self._function)
        finally:
            config.CACHE_DIR = before

    @property
    def _numba_type_(self) -> Any:
        """What numba takes it for where another kernel calls it."""
        with _lock:
            if self._inlined is None:
                self._inlined = self._dispatcher(None, forceinline=True)
        return self._inlined._numba_type_


def kernel(signature: str, *fast: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a `Kernel` of a function."""
    return lambda function: Kernel(function, signature, frozenset(fast))


def _size(text: str) -> _Size:
    factor, name, more = _SIZE.fullmatch(text.strip()).groups()  # type: ignore[union-attr]
    return (int(factor or 1), name, int(more or 0)) if name else (1, "", int(factor))


@lru_cache(maxsize=16)
def _dtype(kind: str, precision: DType) -> DType:
    if kind == "F":
        return precision
    return np.dtype({"I": f"i{precision.itemsize}", "b1": "?"}.get(kind, kind))


@lru_cache(maxsize=2)
def _cache_folder(precision: str) -> Path | None:
    """Where compiled kernels are kept; None, and said once, where that cannot be."""
    import llvmlite.binding
    import numba
    from platformdirs import user_cache_path

    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.binding.get_host_cpu_name()}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    named = os.environ.get(CACHE_FOLDER)
    folder = (
        (Path(named) if named else user_cache_path("clnf-studio") / "kernels") / digest.hexdigest()[:16] / precision
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} is not writable")
    except OSError as reason:
        _uncached(str(reason))
        return None
    return folder


@lru_cache(maxsize=1)
def _announcer() -> Any:
    """A listener of numba's that says once that something is compiled."""
    from numba.core.event import Listener

    class Announcer(Listener):
        def on_start(self, _: Any) -> None:
            _say_compiling()

        def on_end(self, _: Any) -> None:
            pass

    return Announcer()


@lru_cache(maxsize=1)
def _say_compiling() -> None:
    _log.warning(COMPILING)


_told: list[str] = []


def _uncached(reason: str) -> None:
    """Say once that compiled kernels cannot be kept."""
    if not _told:
        _told.append(reason)
        _log.warning("compiled kernels cannot be kept, so every start compiles them anew: %s", reason)
