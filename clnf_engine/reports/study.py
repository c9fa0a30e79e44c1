"""A study as a report, for a reader who was not there: what was fitted how, what came of it, and the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from clnf_engine.diagnostics.finding import Cell, Table
from clnf_engine.reports.diagnosis import finding_section
from clnf_engine.reports.page import Section, page_html
from clnf_engine.studies.columns import Columns
from clnf_engine.studies.parts import Part
from clnf_engine.studies.plan import Study
from clnf_engine.studies.summary import Summary

_INTRODUCTION = (
    "Every face of a data set was fitted in several ways. Each way is a variant: a model, its options, and what is "
    "done around a fit. A fit is a row of the study, and can be made again bit for bit."
)
_FAILURES = 40
"""So many different sentences are listed; the rest are counted together."""


def study_html(results: Path, study: Study, summary: Summary, parts: list[Part], command: str) -> str:
    """The report as the text of an HTML file that needs no other.

    Parameters
    ----------
    results : Path
    study : Study
    summary : Summary
    parts : list of Part
    command : str
        That makes this report again.
    """
    paragraphs = [_INTRODUCTION, *filter(None, [summary.columns.note])]
    about, *others = study_tables(study, summary.columns, parts)
    sections = [
        finding_section("Variants", "variants", summary),
        Section(about.title, tables=(replace(about, title=""), *others)),
        Section("To make this report again", code=command),
    ]
    return page_html(f"Study {results.resolve().name}", paragraphs, sections)


def study_tables(study: Study, columns: Columns, parts: list[Part]) -> tuple[Table, ...]:
    """What was fitted how, what each variant is made of, and what failed."""
    tables = (_about(study, columns, parts), _variants(columns), _failures(columns))
    return tuple(table for table in tables if table.rows)


def _about(study: Study, columns: Columns, parts: list[Part]) -> Table:
    versions = {f"{name} {version}" for part in parts for name, version in part.footer["versions"].items()}
    models = {variant.model.fingerprint: variant.model.name for variant in study.variants}
    rows: tuple[tuple[Cell, ...], ...] = (
        ("data", study.data),
        ("photos and videos", len(columns.photos)),
        ("variants", len(study.variants)),
        ("starts", ", ".join(start.name for start in study.starts)),
        ("seed", study.seed),
        ("models", ", ".join(f"{name} ({fingerprint})" for fingerprint, name in models.items())),
        ("baseline", study.baseline),
        ("fits", len(columns)),
        ("of which failed", int(columns.failed.sum())),
        ("computing of the fits, s", float(columns.seconds.sum())),
        ("made with", ", ".join(sorted(versions))),
        ("kernels", "; ".join(sorted({part.footer["kernel"] for part in parts}))),
    )
    return Table("The study", ("what", "value"), rows)


def _variants(columns: Columns) -> Table:
    """The options in which the variants differ."""
    names = list(dict.fromkeys(name for options in columns.options for name in options))
    varied = [name for name in names if len({repr(options.get(name)) for options in columns.options}) > 1]
    rows = tuple(
        (variant, *(_value(options.get(name)) for name in varied))
        for variant, options in zip(columns.variants, columns.options, strict=True)
    )
    return Table("What the variants differ in", ("variant", *varied), rows if varied else ())


def _value(value: object) -> Cell:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _failures(columns: Columns) -> Table:
    """What failed, how often, and where first."""
    failed = columns.failure[columns.failed]
    first = dict(zip(failed[::-1].tolist(), columns.failed.nonzero()[0][::-1].tolist(), strict=True))
    counts = Counter(failed.tolist()).most_common()
    rows: list[tuple[Cell, ...]] = [
        (columns.failures[code], count, columns.face_text(first[code])[0]) for code, count in counts[:_FAILURES]
    ]
    if others := counts[_FAILURES:]:
        rows.append((f"{len(others)} others", sum(count for _, count in others), ""))
    return Table("What failed", ("reason", "fits", "for example"), tuple(rows))
