"""Going on with a study: what its parts have, and what is taken out of them to be fitted anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clnf_engine.studies.making import parquet, write_part
from clnf_engine.studies.parts import Part, read_table, types
from clnf_engine.studies.plan import Done, Way
from clnf_engine.studies.reading import read_columns
from clnf_engine.studies.variants import digest


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
    table = read_table(part.path, None)
    part.path.unlink()  # first, so that no row is ever there twice
    if not photos:
        return None
    plain = types()  # not dictionaries
    table = table.cast(pa.schema([(column.name, plain.get(column.name, column.type)) for column in table.schema]))
    table = table.filter(pc.invert(pc.is_in(table["image"], pa.array(sorted(images)))))
    footer = {**part.footer, "photos": photos}
    path = write_part(results, digest(*table["row"].to_pylist()), parquet(table, footer))
    return Part(path, len(table), footer)
