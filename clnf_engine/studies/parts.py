"""Parts: the rows of a study on the disk, one Parquet file per task, and reading them.

A folder of results holds ``study.json``, all that the fits were made with, and ``parts/NAME.parquet``. A part is
written whole or not at all, and its name is a digest of its rows' ids. What it covers is told by its footer, so that a
study goes on without reading a row. `COLUMNS` are those of numbers and texts; `HEAVY` those of arrays, which no report
reads.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clnf_engine import __version__
from clnf_engine.errors import ClnfError, FileError
from clnf_engine.ibug68 import REGIONS
from clnf_engine.io.files import read_file, reason, require_file, write_file
from clnf_engine.studies.data import STUDY_FILE
from clnf_engine.studies.plan import Study

VERSION = 1
"""Of the format of the results."""

INSTALL = "a study needs dask's distributed and pyarrow; pip install 'clnf-studio[studies]'"

PARTS = "parts"
ASIDE = "aside"
"""Where parts go that cannot be read, or are of another version of the arithmetic."""

REGION_COLUMNS = tuple(f"error_{name}" for name in REGIONS)

TEXTS = ("row", "image", "photo", "variant", "start", "failure", "source")
WHOLES = ("frame", "face", "seed", "iterations")
NUMBERS = ("likelihood", "update_norm", "seconds", "start_seconds", "error", "error_px", *REGION_COLUMNS)
HEAVY = ("initial", "box", "params_global", "params_local", "landmarks", "windows")
"""Columns of lists."""

COLUMNS = (*TEXTS, *WHOLES, "success", *NUMBERS)
TIMES = ("seconds", "start_seconds")
"""In these alone the rows of two runs differ."""

_EXPECTED = "a part of a study"
_MAX_STUDY_BYTES = 1 << 28
_MAX_PART_BYTES = 1 << 31
_MAX_PART_ROWS = 10_000_000
KEY = b"clnf-study"
READERS = 4
"""Threads that read files side by side."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part, as its footer tells.

    Attributes
    ----------
    path : Path
    n_rows : int
    footer : mapping
        ``photos``: lists of path, image, `Photo.truth_digest`; ``variants``: their ids by name; ``starts``: names;
        ``versions``, ``kernel``, ``arithmetic``: what the numbers were made with.
    """

    path: Path
    n_rows: int
    footer: Mapping[str, Any]


# --- the study --------------------------------------------------------------------------------------


def write_study(results: Path, study: Study) -> None:
    """Write ``study.json``.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    document = {"format": "clnf-study", "version": VERSION, **study.to_json(), "versions": versions()}
    write_file(results / STUDY_FILE, (json.dumps(document, indent=1) + "\n").encode())


def read_study(results: Path) -> Study:
    """The study of a folder of results.

    Raises
    ------
    FileError
        When it holds none, or one of another version.
    """
    path = results / STUDY_FILE
    data = read_file(path, "the study of a folder of results", _MAX_STUDY_BYTES)
    try:
        document = json.loads(data)
        if document["format"] != "clnf-study" or document["version"] != VERSION:
            raise FileError(path, "", f"expected a study of version {VERSION} of the format")
        return Study.from_json(document)
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, ClnfError) as error:
        raise FileError(path, "", f"not a study as this program writes it ({error})") from error


def versions() -> dict[str, str]:
    """Versions of all that computes."""
    import scipy

    return {
        "clnf-studio": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "opencv": cv2.__version__,
    }


# --- the parts ---------------------------------------------------------------------------------------


def scan(results: Path, unreadable: Callable[[Path, str], None] | None = None) -> list[Part]:
    """All parts of a folder of results, by their names; only footers are read.

    Parameters
    ----------
    results : Path
    unreadable : callable, optional
        Told of a part that cannot be read, and why; else that is an error.

    Raises
    ------
    FileError
        When a part cannot be read, or pyarrow is missing.
    """
    require_pyarrow()
    paths = sorted((results / PARTS).glob("*.parquet"))
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(_part_or_error, paths))
    for path, part in zip(paths, found, strict=True):
        if isinstance(part, FileError):
            if unreadable is None:
                raise part
            unreadable(path, part.problem)
    return [part for part in found if isinstance(part, Part)]


def _part_or_error(path: Path) -> Part | FileError:
    try:
        return _part(path)
    except FileError as error:
        return error


def set_aside(results: Path, path: Path) -> Path:
    """Take a part out of the results; where it is now."""
    aside = results / ASIDE
    try:
        aside.mkdir(exist_ok=True)
        os.replace(path, aside / path.name)
    except OSError as error:
        raise FileError(path, "", f"cannot be moved to {aside} ({reason(error)})") from error
    return aside / path.name


def require_pyarrow() -> None:
    """Find out whether results can be read and written.

    Raises
    ------
    ClnfError
        When pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ClnfError(INSTALL) from error


def types() -> dict[str, Any]:
    """The types of `COLUMNS`."""
    import pyarrow as pa

    types = dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(WHOLES, pa.int64()) | dict.fromkeys(NUMBERS, pa.float64())
    return types | {"success": pa.bool_()}


def _part(path: Path) -> Part:
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_file(path, _EXPECTED, FileError)
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        taken = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        if taken > _MAX_PART_BYTES or metadata.num_rows > _MAX_PART_ROWS:
            raise ValueError(f"{metadata.num_rows} rows of {taken} bytes")
        footer = json.loads((metadata.metadata or {})[KEY])
        if footer["version"] != VERSION:
            raise ValueError("another version")
        expected = types()
        if any(schema.field(name).type != expected[name] for name in COLUMNS):
            raise ValueError("other columns")
        if not all(pa.types.is_nested(schema.field(name).type) for name in HEAVY):
            raise ValueError("other columns")
        texts = [*chain(*footer["photos"]), *footer["variants"], *footer["variants"].values(), *footer["starts"]]
        if not all(isinstance(text, str) for text in [*texts, footer["kernel"]]):
            raise ValueError("another footer")
        if any(len(photo) != 3 for photo in footer["photos"]) or not isinstance(footer["arithmetic"], int):
            raise ValueError("another footer")
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
        raise FileError(path, "", f"not a part of a study as this program writes it ({error})") from error
    return Part(path, metadata.num_rows, footer)


def read_table(path: Path, names: Sequence[str] | None) -> Any:
    """Columns of a part as pyarrow's table, or all of them; texts as dictionaries.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_file(path, _EXPECTED, FileError)
    try:
        with pq.ParquetFile(path, read_dictionary=TEXTS, page_checksum_verification=True) as file:
            table = file.read(columns=None if names is None else list(names), use_threads=False)
        table.validate(full=True)
        return table
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise FileError(path, "", f"not a part of a study as this program writes it ({error})") from error
