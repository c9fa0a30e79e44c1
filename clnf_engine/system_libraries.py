"""The libraries of a Linux system that OpenCV and Qt load and pip does not install, each with its Debian package."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from clnf_engine.errors import ClnfError

OPENCV_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
}

QT_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}


def missing_libraries(libraries: Mapping[str, str]) -> dict[str, str]:
    """Those of some libraries that cannot be loaded here."""
    return {library: package for library, package in libraries.items() if not _loads(library)}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@contextmanager
def told_what_to_install(libraries: Mapping[str, str]) -> Iterator[None]:
    """Name the packages to install when an import in the body fails for a library of the system.

    Parameters
    ----------
    libraries : mapping of library to package
        That the body needs; all that are missing are named at once.

    Raises
    ------
    ClnfError
        In place of such an ImportError.
    """
    try:
        yield
    except ImportError as error:
        named = re.match(r"(lib\S+\.so[.\d]*): ", str(error))  # the words of the dynamic loader
        if named is None:
            raise
        raise ClnfError(_advice(named[1], libraries)) from error


def _advice(library: str, libraries: Mapping[str, str]) -> str:
    wanted = [library, *missing_libraries(libraries)]
    packages = dict.fromkeys(libraries[name] for name in wanted if name in libraries)
    if not packages:
        return f"{library} is not on this system; install it with the system's package manager"
    return f"{library} is not on this system; on Debian and Ubuntu run: sudo apt-get install -y {' '.join(packages)}"
