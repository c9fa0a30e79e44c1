"""`kernel`, which has a function over arrays compiled when it is first called, for the precision of its arguments.

What numba compiled is kept in a folder of the user's that is named after the kernels' sources, numba and the processor,
so nobody ever meets the wrong code; `machine_code` brings it into other processes, which do not import numba. With
``NUMBA_DISABLE_JIT=1`` the functions stay Python, for a debugger.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from clnf_engine.arrays import FLOAT64, DType
from clnf_engine.errors import ClnfError

CACHE_FOLDER = "CLNF_KERNEL_CACHE"
"""Environment variable that names another folder for compiled kernels."""

UNUSED_SECONDS = 30 * 86400
"""What other sources, processors or versions of numba left in the cache goes when no process used it for so long."""

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

_OURS = re.compile("[0-9a-f]{16}")
"""A folder of the cache."""

_PRECISIONS = (np.dtype(np.float64), np.dtype(np.float32))

_READ, _FILLED = 0x101, 0x501
"""NumPy's flags of arrays that are C-contiguous and aligned, and of those that are writable, too."""


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
        self._forms = {precision: self._forms_of(precision) for precision in _PRECISIONS}
        self._fit: set[tuple[Any, ...]] = set()

    def _forms_of(self, precision: DType) -> tuple[tuple[int, DType, int], ...]:
        """Of every array its place among the arguments, its dtype and the flags it needs."""
        return tuple(
            (at, _dtype(kind, precision), _READ if reads else _FILLED)
            for at, (kind, shape, reads) in enumerate(self._arguments)
            if shape
        )

    def __call__(self, *arguments: Any) -> Any:
        """Run it on arrays that suit its signature; those it reads are converted.

        Raises
        ------
        TypeError
            When an array that it fills is of another type, not contiguous or not writable.
        ValueError
            When the shapes do not fit together.
        """
        precision = FLOAT64
        if self._tells is not None and arguments[self._tells].dtype in _PRECISIONS:
            precision = arguments[self._tells].dtype
        return self.compiled(precision)(*self.suited(arguments, precision))

    def suited(self, arguments: tuple[Any, ...], precision: DType, first: int = 0) -> tuple[Any, ...]:
        """Arguments, from a place in the signature on, as `compiled` takes them; errors as for a call."""
        fit: list[Any] | None = None
        shapes = []
        for place, dtype, flags in self._forms[precision]:
            at = place - first
            if not 0 <= at < len(arguments):
                continue
            value = arguments[at]
            if value.dtype is not dtype or value.flags.num & flags != flags:
                if flags == _FILLED and not (value.dtype == dtype and value.flags.carray):
                    raise TypeError(f"{self.__name__}: no writable, contiguous array of {dtype} to fill")
                fit = fit or list(arguments)
                fit[at] = value = np.require(value, dtype, ("C", "A"))
            shapes.append(value.shape)
        key = (first, *shapes)
        if key not in self._fit:
            self._check(first, shapes)
            if len(self._fit) < _SHAPES_KNOWN:
                self._fit.add(key)
        return arguments if fit is None else tuple(fit)

    def _check(self, first: int, shapes: list[tuple[int, ...]]) -> None:
        """Raise ValueError unless the shapes of the arrays from a place on fit together."""
        sizes: dict[str, int] = {}
        for found, shape in zip(shapes, (shape for _, shape, _ in self._arguments[first:] if shape), strict=False):
            if len(found) == len(shape):
                for (factor, name, more), size in zip(shape, found, strict=True):
                    one = sizes.setdefault(name, (size - more) // factor) if name else 0
                    if factor * one + more != size:
                        break
                else:
                    continue
            wanted = ", ".join(
                str(factor * sizes.get(name, 0) + more) if name in sizes or not name else name
                for factor, name, more in shape
            )
            raise ValueError(f"{self.__name__}: found an array of shape {found}; expected ({wanted})")

    def compiled(self, precision: DType) -> Callable[..., Any]:
        """The function itself for a precision, which checks nothing; compiled or read from the cache at need.

        Its arguments must be as `suited` makes them.
        """
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
        from clnf_engine.kernels.machine_code import MachineCode, link

        kept = _cache_folder() / str(precision) / f"{self._function.__module__}.{self.__name__}"
        try:
            return link(MachineCode.read(kept), self.__name__)
        except (OSError, ClnfError):  # there is none, or it is damaged
            pass
        _say_compiling()
        dispatcher = self._dispatcher()
        dispatcher.compile(self._signature(precision))
        dispatcher.disable_compile()
        (result,) = dispatcher.overloads.values()
        try:
            code = MachineCode.compiled(result)
            entry = link(code, self.__name__)
        except ClnfError as reason:  # this numba is made in another way; its own works all the same
            _uncached(str(reason))
            return dispatcher  # type: ignore[no-any-return]
        try:
            code.write(kept)
        except OSError as reason:
            _uncached(str(reason))
        return entry

    def _signature(self, precision: DType) -> tuple[Any, ...]:
        """The types of its arguments, as numba names them."""
        from numba.core.types import Array as ArrayOf
        from numba.np.numpy_support import from_dtype

        return tuple(
            ArrayOf(element, len(shape), "C", readonly=reads) if shape else element
            for element, shape, reads in (
                (from_dtype(_dtype(kind, precision)), shape, reads) for kind, shape, reads in self._arguments
            )
        )

    def _dispatcher(self, within: bool = False) -> Any:
        """What numba calls a function; `within` others, not for Python, which leaves it less to compile."""
        import numba

        compiler: Any = numba.njit  # some of its options are told to no type checker
        return compiler(
            nogil=True,
            error_model="numpy",
            fastmath=set(self._fast),
            forceinline=within,
            no_cpython_wrapper=within,
            no_cfunc_wrapper=True,
        )(self._function)

    @property
    def _numba_type_(self) -> Any:
        """What numba takes it for where another kernel calls it."""
        with _lock:
            if self._inlined is None:
                self._inlined = self._dispatcher(within=True)
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


@lru_cache(maxsize=1)
def _cache_folder() -> Path:
    """Where compiled kernels are kept. What others left there and no process used for long is removed."""
    from platformdirs import user_cache_path

    from clnf_engine.kernels.machine_code import fingerprint

    digest = hashlib.sha256(fingerprint())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    named = os.environ.get(CACHE_FOLDER)
    kernels = Path(named) if named else user_cache_path("clnf-studio") / "kernels"
    ours = kernels / digest.hexdigest()[:16]
    with suppress(OSError):  # it is not there yet, or somebody else's
        os.utime(ours)
    with suppress(OSError):
        for other in kernels.iterdir():
            if _OURS.fullmatch(other.name) and time.time() - other.stat().st_mtime > UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return ours


@lru_cache(maxsize=1)
def _say_compiling() -> None:
    _log.warning(COMPILING)


_told: list[str] = []


def _uncached(reason: str) -> None:
    """Say once that compiled kernels cannot be kept."""
    if not _told:
        _told.append(reason)
        _log.warning("compiled kernels cannot be kept, so every start compiles them anew: %s", reason)
