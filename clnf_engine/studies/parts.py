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
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import scipy

from clnf_engine import __version__
from clnf_engine.arrays import Array, Floats
from clnf_engine.errors import ClnfError, FileError, InitialError
from clnf_engine.ibug68 import REGIONS
from clnf_engine.initial import Initial
from clnf_engine.io.files import read_file, reason, write_file
from clnf_engine.options import Source
from clnf_engine.pdm import RIGID
from clnf_engine.studies.data import STUDY_FILE
from clnf_engine.studies.plan import Done, Study, Task, Way
from clnf_engine.studies.rows import Row, arithmetic_kernel, failed_rows, fit_batch
from clnf_engine.studies.variants import ARITHMETIC, digest

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

_MAX_STUDY_BYTES = 1 << 28
_MAX_PART_BYTES = 1 << 31
_MAX_PART_ROWS = 10_000_000
_KEY = b"clnf-study"
_READERS = 4
"""Threads that read files side by side."""
_AHEAD = 64
"""So many files are read before their rows are copied: a million rows need not be in memory twice."""


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
    return {
        "clnf-studio": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "opencv": cv2.__version__,
    }


# --- writing ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Made:
    """A part that is not written yet.

    Attributes
    ----------
    name : str
    content : bytes
        The whole file.
    n_rows, n_failures : int
        Rows, and those with a `Row.failure`.
    seconds : float
        Making it took.
    kernel : str
        `arithmetic_kernel` of where it was made.
    """

    name: str
    content: bytes
    n_rows: int
    n_failures: int
    seconds: float
    kernel: str


def fit_part(task: Task) -> Made:
    """The part of a task. Errors as of `fit_batch`."""
    begun = perf_counter()
    return part_of(task, fit_batch(task.photos, task.variants, task.starts, task.seed), begun)


def failed_part(task: Task, failure: str) -> Made:
    """The part of a task that could not be done at all."""
    return part_of(task, failed_rows(task.photos, task.variants, task.starts, task.seed, failure), perf_counter())


def part_of(task: Task, rows: Sequence[Row], begun: float) -> Made:
    """The part with these rows of a task, which was begun at this time of `perf_counter`."""
    footer: dict[str, Any] = {
        "version": VERSION,
        "photos": [[photo.path, photo.image, photo.truth_digest] for photo in task.photos],
        "variants": {variant.name: variant.id for variant in task.variants},
        "starts": [start.name for start in task.starts],
        "arithmetic": ARITHMETIC,
        "kernel": arithmetic_kernel(),
        "versions": versions(),
    }
    name, content = digest(*(row.row for row in rows)), _parquet(_table(rows), footer)
    failures = sum(row.failure is not None for row in rows)
    return Made(name, content, len(rows), failures, perf_counter() - begun, footer["kernel"])


def write_part(results: Path, name: str, content: bytes) -> Path:
    """Write a part whole or not at all; its file.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    path = results / PARTS / f"{name}.parquet"
    write_file(path, content)
    return path


def drop_photos(results: Path, part: Part, images: set[str]) -> Part | None:
    """Take the rows of some images out of a part; a kill may take the others, too, which are then fitted anew.

    Returns
    -------
    Part or None
        The one in its place; None when no row is left.

    Raises
    ------
    FileError
        When it cannot be read or written.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    photos = [photo for photo in part.footer["photos"] if photo[1] not in images]
    if len(photos) == len(part.footer["photos"]):
        return part
    table = _read(part.path, None)
    part.path.unlink()  # first, so that no row is ever there twice
    if not photos:
        return None
    types = _types()
    table = table.cast(pa.schema([(column.name, types.get(column.name, column.type)) for column in table.schema]))
    table = table.filter(pc.invert(pc.is_in(table["image"], pa.array(sorted(images)))))
    footer = {**part.footer, "photos": photos}
    path = write_part(results, digest(*table["row"].to_pylist()), _parquet(table, footer))
    return Part(path, len(table), footer)


def _table(rows: Sequence[Row]) -> Any:
    import pyarrow as pa

    names = [*TEXTS[:-1], *WHOLES, "success", "likelihood", "update_norm", "seconds", "start_seconds"]
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in names}
    initials, accuracies = [row.initial for row in rows], [row.accuracy for row in rows]
    columns["source"] = [None if initial is None else str(initial.source) for initial in initials]
    columns["error"] = [None if found is None else found.mean_percent for found in accuracies]
    columns["error_px"] = [None if found is None else found.mean for found in accuracies]
    regions = [{} if found is None else found.regions for found in accuracies]
    columns |= {f"error_{name}": [found.get(name) for found in regions] for name in REGIONS}
    types = _types()
    arrays = {name: pa.array(columns[name], types[name]) for name in COLUMNS}
    params = [row.params for row in rows]
    lists: dict[str, list[Floats | None]] = {
        "initial": [None if initial is None else initial.params for initial in initials],
        "box": [None if initial is None else np.array(initial.box, np.float64) for initial in initials],
        "params_global": [None if p is None else p[:RIGID] for p in params],
        "params_local": [None if p is None else p[RIGID:] for p in params],
        "landmarks": [None if row.landmarks is None else row.landmarks.ravel() for row in rows],
    }
    arrays |= {name: _list_array(values) for name, values in lists.items()}
    arrays["windows"] = pa.array([row.windows for row in rows], pa.list_(pa.int32()))
    return pa.table(arrays)


def _types() -> dict[str, Any]:
    """The types of `COLUMNS`."""
    import pyarrow as pa

    types = dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(WHOLES, pa.int64()) | dict.fromkeys(NUMBERS, pa.float64())
    return types | {"success": pa.bool_()}


def _list_array(values: Sequence[Floats | None]) -> Any:
    """Lists of a fixed size where all have the same, as of one model; null where there is none."""
    import pyarrow as pa

    sizes = {len(value) for value in values if value is not None}
    if len(sizes) != 1:
        return pa.array(values, pa.list_(pa.float64()))
    (size,) = sizes
    return pa.array(values, pa.list_(pa.float64(), size))


def _parquet(table: Any, footer: Mapping[str, Any]) -> bytes:
    """A Parquet file: texts that repeat as a dictionary, numbers split by bytes, which zstd then packs well."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    split: list[str] = list(NUMBERS)
    split += [f"{name}.list.element" for name in HEAVY if name != "windows"]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=[name for name in TEXTS if name != "row"],
        use_byte_stream_split=split,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: json.dumps(footer).encode()})
    content: bytes = sink.getvalue().to_pybytes()
    return content


# --- reading ----------------------------------------------------------------------------------------


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
    with ThreadPoolExecutor(_READERS) as readers:
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


def done_of(results: Path, parts: Iterable[Part]) -> tuple[list[Part], Done]:
    """What these parts have rows of, for `plan.tasks`.

    Rows that another part has, too, as where results of two runs were put together, are taken out; so are those of a
    photo whose truth was another in an earlier part.

    Returns
    -------
    list of Part, Done
        The parts that are there then, and their rows.
    """
    done, there = Done(), []
    shared: dict[frozenset[Way], frozenset[Way]] = {}
    for part in parts:
        ways = frozenset((v, s) for v in part.footer["variants"].values() for s in part.footer["starts"])
        twice: set[str] = set()
        for path, image, truth in part.footer["photos"]:
            before = done.ways.get(image, frozenset())
            if done.truths.get(image, truth) != truth or before & ways:
                twice.add(image)
                continue
            both = before | ways
            done.ways[image] = shared.setdefault(both, both)  # one set for all photos that have the same
            done.truths[image], done.images[path] = truth, image
        left = drop_photos(results, part, twice)
        if left is not None:
            there.append(left)
    return there, done


def without_fit(part: Part) -> set[str]:
    """Images of which some row has no fit.

    Raises
    ------
    FileError
        When the part cannot be read.
    """
    columns = read_columns([part], ["image", "failure", "iterations"])
    failed = np.array([text is not None for text in columns["failure"]], bool) & (columns["iterations"] == 0)
    return set(columns["image"][failed].tolist())


def read_columns(parts: Sequence[Part], names: Sequence[str]) -> dict[str, Array]:
    """Some columns of all rows of some parts.

    Parameters
    ----------
    parts : sequence of Part
    names : sequence of str
        Of `COLUMNS`.

    Returns
    -------
    dict of name to (rows,) array
        Numbers as float64 and whole numbers as float64, too, NaN where there is none; texts as objects that rows
        share, None where there is none; ``success`` as bool. And always ``part``, the index in `parts`, and
        ``position``, the row in it, int32: with these, `read_row` reads the whole row.

    Raises
    ------
    FileError
        When a part cannot be read.
    """
    columns, texts = read_coded(parts, names)
    for name, words in texts.items():
        columns[name] = np.array([*words, None], object)[columns[name]]
    return columns


def read_coded(parts: Sequence[Part], names: Sequence[str]) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
    """As `read_columns`, but for texts: int32 indices, −1 where there is none; and by column the texts they index."""
    sizes = [part.n_rows for part in parts]
    columns: dict[str, Array] = {
        "part": np.repeat(np.arange(len(parts), dtype=np.int32), sizes),
        "position": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes] or [np.zeros(0, np.int32)]),
    }
    columns |= {name: np.zeros(sum(sizes), _kind(name)) for name in names}
    codes: dict[str, dict[str, int]] = {name: {} for name in names if name in TEXTS}
    end = 0
    with ThreadPoolExecutor(_READERS) as readers:
        for at in range(0, len(parts), _AHEAD):
            paths = [part.path for part in parts[at : at + _AHEAD]]
            for path, table in zip(paths, readers.map(lambda path: _read(path, names), paths), strict=True):
                begin, end = end, end + len(table)
                if end > len(columns["part"]):
                    raise FileError(path, "", "changed while it was read")
                for name in names:
                    columns[name][begin:end] = _numbers(table[name].combine_chunks(), codes.get(name))
    return columns, {name: tuple(known) for name, known in codes.items()}


def _kind(name: str) -> type:
    """Of the numbers that `read_coded` gives for a column."""
    return np.int32 if name in TEXTS else bool if name == "success" else np.float64


def _numbers(column: Any, codes: dict[str, int] | None) -> Array:
    """A column of a part as numbers; texts as those that they have in `codes`, which grows."""
    import pyarrow as pa

    if codes is None:
        floats = column.cast(pa.float64()) if pa.types.is_integer(column.type) else column
        return np.asarray(floats.to_numpy(zero_copy_only=False))
    known = np.array([*(codes.setdefault(text, len(codes)) for text in column.dictionary.to_pylist()), -1], np.int32)
    found: Array = known[column.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return found


def read_arrays(part: Part, name: str) -> Floats:
    """A column of `HEAVY` (but ``windows``) of one part, (rows, size) float64; NaN where a row has none, or fewer.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    import pyarrow as pa

    column = _read(part.path, [name])[name].combine_chunks()
    if isinstance(column.type, pa.FixedSizeListType):
        values = column.flatten() if not column.null_count else column.drop_null().flatten()
        found = np.full((len(column), column.type.list_size), np.nan)
        found[column.is_valid().to_numpy(zero_copy_only=False)] = values.to_numpy().reshape(-1, column.type.list_size)
        return found
    lists = column.to_pylist()
    result = np.full((len(lists), max((len(row) for row in lists if row is not None), default=0)), np.nan)
    for row, known in zip(result, lists, strict=True):
        if known is not None:
            row[: len(known)] = known
    return result


def read_row(part: Part, position: int) -> Row:
    """A whole row, with landmarks and start.

    `Row.accuracy` is None: the errors are columns; to compute it anew, use `clnf_engine.accuracy` and the truth.

    Raises
    ------
    FileError
        When it cannot be read.
    IndexError
        When there is no such row.
    """
    table = _read(part.path, None)
    (values,) = table.slice(range(len(table))[position], 1).to_pylist()
    try:
        initial = None
        if values["initial"] is not None:
            start = np.array(values["initial"], np.float64)
            initial = Initial(start, Source(values["source"]), tuple(values["box"]), values["seed"])
        fitted = values["landmarks"] is not None
        names = [*TEXTS[:-1], *WHOLES, "success", "likelihood", "update_norm", "seconds", "start_seconds"]
        return Row(
            **{name: values[name] for name in names},
            initial=initial,
            windows=None if values["windows"] is None else tuple(values["windows"]),
            params=np.array([*values["params_global"], *values["params_local"]]) if fitted else None,
            landmarks=np.array(values["landmarks"], np.float64).reshape(-1, 2) if fitted else None,
        )
    except (ValueError, TypeError, InitialError) as error:
        raise FileError(part.path, f"row {position + 1}", f"not as this program writes it ({error})") from error


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


def _part(path: Path) -> Part:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
        taken = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        if taken > _MAX_PART_BYTES or metadata.num_rows > _MAX_PART_ROWS:
            raise ValueError(f"{metadata.num_rows} rows of {taken} bytes")
        footer = json.loads((metadata.metadata or {})[_KEY])
        if footer["version"] != VERSION:
            raise ValueError("another version")
        types = _types()
        if any(schema.field(name).type != types[name] for name in COLUMNS):
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


def _read(path: Path, names: Sequence[str] | None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=TEXTS, page_checksum_verification=True) as file:
            table = file.read(columns=None if names is None else list(names), use_threads=False)
        table.validate(full=True)
        return table
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise FileError(path, "", f"not a part of a study as this program writes it ({error})") from error
