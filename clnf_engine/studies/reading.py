"""Reading parts: columns of all of them, or one row."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.errors import FileError, InitialError
from clnf_engine.initial import Initial
from clnf_engine.options import Source
from clnf_engine.studies.parts import READERS, TEXTS, WHOLES, Part, read_table
from clnf_engine.studies.rows import Row

_AHEAD = 64
"""So many files are read before their rows are copied: a million rows need not be in memory twice."""


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
    with ThreadPoolExecutor(READERS) as readers:
        for at in range(0, len(parts), _AHEAD):
            paths = [part.path for part in parts[at : at + _AHEAD]]
            for path, table in zip(paths, readers.map(lambda path: read_table(path, names), paths), strict=True):
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

    column = read_table(part.path, [name])[name].combine_chunks()
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
    table = read_table(part.path, None)
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
