"""Machine code of kernels as a file, and its way into a process without numba, whose import takes ten times as long.

What numba makes of a function is an object file with an entry that Python can call. It refers to the C library, to
Python's C interface and to functions of numba's extension modules, which can be loaded alone; llvmlite links it.
"""

from __future__ import annotations

import builtins
import ctypes
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite.binding as llvm

from clnf_engine.errors import ClnfError, FileError


@dataclass(frozen=True)
class MachineCode:
    """A function as numba compiled it.

    Attributes
    ----------
    entry : str
        The symbol that Python can call, with a tuple of arguments.
    environment : str
        The symbol of a pointer to an environment of numba's.
    needs : tuple of str
        The functions and variables that it refers to.
    code : bytes
        An object file.
    """

    entry: str
    environment: str
    needs: tuple[str, ...]
    code: bytes

    @classmethod
    def compiled(cls, result: Any) -> MachineCode:
        """That of a result of numba's compiler."""
        if result.environment.consts:
            raise ClnfError(f"{result.fndesc.qualname} refers to Python objects; expected arrays and numbers alone")
        _, _, (code, _) = result.library.serialize_using_object_code()
        module = llvm.parse_assembly(result.library.get_llvm_str())
        names = [each.name for each in (*module.functions, *module.global_variables) if each.is_declaration]
        needs = tuple(sorted(name for name in names if not name.startswith("llvm.")))
        return cls(result.fndesc.llvm_cpython_wrapper_name, result.fndesc.env_name, needs, code)

    @classmethod
    def read(cls, path: Path) -> MachineCode:
        """That of a file.

        Raises
        ------
        OSError
            When it cannot be read.
        FileError
            When it is damaged.
        """
        with path.open("rb") as file:
            checksum, rest = file.readline().strip(), file.read()
        if hashlib.sha256(rest).hexdigest().encode() != checksum:
            raise FileError(path, "", "is damaged")
        head, _, code = rest.partition(b"\n")
        entry, environment, needs = json.loads(head)
        return cls(entry, environment, tuple(needs), code)

    def write(self, path: Path) -> None:
        """Make a file of it, whole or not at all: a checksum, a line of JSON with the names, the object file.

        Raises
        ------
        OSError
            When that cannot be.
        """
        rest = json.dumps([self.entry, self.environment, self.needs]).encode() + b"\n" + self.code
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            temporary.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_VARARGS_KEYWORDS = 3
"""The flags METH_VARARGS | METH_KEYWORDS of a method."""

_linked: list[Any] = []
"""What the linked functions point to, which must stay."""


def link(code: MachineCode, name: str) -> Callable[..., Any]:
    """Make it a function of this process, of a name, which releases the GIL while it runs.

    It takes arrays of the types it was compiled for; nobody checks them but for their number of dimensions.

    Raises
    ------
    ClnfError
        When something that it needs is not to be found.
    """
    engine = _engine()
    for needed in code.needs:
        if not llvm.address_of_symbol(needed):
            raise ClnfError(f"{name} needs {needed}, which this numba does not have")
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.code))
    engine.finalize_object()
    environment = ctypes.c_void_p.from_address(engine.get_global_value_address(code.environment))
    environment.value = id(_environment())
    method = _Method(name.encode(), engine.get_function_address(code.entry), _VARARGS_KEYWORDS, None)
    _linked.append(method)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.POINTER(_Method), ctypes.c_void_p, ctypes.c_void_p)
    function: Callable[..., Any] = make(ctypes.byref(method), None, None)
    return function


@lru_cache(maxsize=1)
def _engine() -> Any:
    """LLVM's linker for this process, with all that compiled kernels may refer to by the names that numba gives it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.add_symbol("_Py_NoneStruct", id(None))
    for thing in vars(builtins).values():
        if isinstance(thing, type) and issubclass(thing, BaseException):
            llvm.add_symbol(f"PyExc_{thing.__name__}", id(thing))
    for name, address in _extension("_helperlib").c_helpers.items():
        llvm.add_symbol(f"numba_{name}", address)
    for name, address in _extension("core.runtime._nrt_python").c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
    module = llvm.parse_assembly("")
    module.triple = llvm.get_process_triple()
    target = llvm.Target.from_triple(module.triple).create_target_machine(codemodel="jitdefault", jit=True)
    return llvm.create_mcjit_compiler(module, target)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """An environment of numba's with nothing in it."""
    return _extension("_dynfunc").Environment({})


def _extension(name: str) -> Any:
    """An extension module of numba's without numba itself, unless that is imported already."""
    name = f"numba.{name}"
    if name in sys.modules:
        return sys.modules[name]
    path = numba_folder().joinpath(*name.split(".")[1:])
    for suffix in EXTENSION_SUFFIXES:
        file = path.with_name(path.name + suffix)
        if file.is_file():
            loader = ExtensionFileLoader(name, str(file))
            spec = spec_from_loader(name, loader)
            assert spec is not None
            module = module_from_spec(spec)
            loader.exec_module(module)
            return module
    raise ClnfError(f"{path} is missing; numba is not as it was installed")


@lru_cache(maxsize=1)
def numba_folder() -> Path:
    """Where numba is installed."""
    spec = find_spec("numba")
    if spec is None or not spec.submodule_search_locations:
        raise ClnfError("numba is not installed")
    return Path(spec.submodule_search_locations[0])


def fingerprint() -> bytes:
    """What the same source leads to the same machine code for: Python, numba, LLVM and the processor."""
    parts = (
        sys.version,
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        *map(str, llvm.llvm_version_info),
    )
    return "\n".join(parts).encode() + (numba_folder() / "_version.py").read_bytes()
