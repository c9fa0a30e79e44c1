"""Making parts: the rows of a task as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from clnf_engine.arrays import Floats
from clnf_engine.ibug68 import REGIONS
from clnf_engine.io.files import write_file
from clnf_engine.pdm import RIGID
from clnf_engine.studies.parts import (
    COLUMNS,
    HEAVY,
    KEY,
    NUMBERS,
    PARTS,
    TEXTS,
    VERSION,
    WHOLES,
    types,
    versions,
)
from clnf_engine.studies.plan import Task
from clnf_engine.studies.rows import Row, arithmetic_kernel, failed_rows, fit_batch
from clnf_engine.studies.variants import ARITHMETIC, digest


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
    name, content = digest(*(row.row for row in rows)), parquet(_table(rows), footer)
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
    kinds = types()
    arrays = {name: pa.array(columns[name], kinds[name]) for name in COLUMNS}
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


def _list_array(values: Sequence[Floats | None]) -> Any:
    """Lists of a fixed size where all have the same, as of one model; null where there is none."""
    import pyarrow as pa

    sizes = {len(value) for value in values if value is not None}
    if len(sizes) != 1:
        return pa.array(values, pa.list_(pa.float64()))
    (size,) = sizes
    return pa.array(values, pa.list_(pa.float64(), size))


def parquet(table: Any, footer: Mapping[str, Any]) -> bytes:
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
        writer.add_key_value_metadata({KEY: json.dumps(footer).encode()})
    content: bytes = sink.getvalue().to_pybytes()
    return content
