"""``clnf study report`` and ``clnf study show``: what a study has found, and what it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from clnf_engine.commandline.arguments import DONE, prepare_file, print_text
from clnf_engine.errors import ClnfError


def add_commands(commands: Any) -> None:
    """Add the commands to the sub-parsers of ``clnf study``.

    Parameters
    ----------
    commands : what `argparse.ArgumentParser.add_subparsers` returns
    """
    command = commands.add_parser("report", help="which variant is better, and by how much", allow_abbrev=False)
    command.set_defaults(run=_report)
    _add_results(command)
    command.add_argument("--baseline", metavar="NAME", default="", help="compare with this variant (the study's own)")
    command.add_argument("--region", metavar="R", default="", help="errors of jaw, brows, nose, eyes or mouth (of all)")
    command.add_argument("--report", metavar="OUT.html", help="also write a report with figures, one HTML file")

    command = commands.add_parser("show", help="what a study is made of, and what failed", allow_abbrev=False)
    command.set_defaults(run=_show)
    _add_results(command)


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument("results", metavar="RESULTS", help="folder that clnf study run has made")
    command.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed (text)")


def _report(args: argparse.Namespace) -> int:
    from clnf_engine.commandline.text import table_text
    from clnf_engine.diagnostics.finding import finding_document
    from clnf_engine.documents import json_text
    from clnf_engine.ibug68 import REGIONS
    from clnf_engine.io.files import write_file
    from clnf_engine.studies.agreements import Landmarks
    from clnf_engine.studies.columns import read_results, with_region
    from clnf_engine.studies.summary import summarize

    results = Path(args.results)
    if args.region and args.region not in REGIONS:
        raise ClnfError(f"--region {args.region}: expected one of {', '.join(REGIONS)}")
    if args.report is not None:
        prepare_file(args.report, [])
    study, parts, columns = read_results(results)
    columns = with_region(columns, parts, args.region)
    summary = summarize(columns, Landmarks(parts, columns).measure, args.baseline, args.region)
    if args.report is not None:
        from clnf_engine.reports.study import study_html

        write_file(Path(args.report), study_html(results, study, summary, parts, args.typed).encode())
    if args.format == "json":
        print_text(json_text(finding_document("study", summary) | {"note": columns.note}))
        return DONE
    notes = [columns.note] if columns.note else []
    blocks = [*map(table_text, summary.tables()), summary.provenance, *notes, summary.question + "\n" + summary.verdict]
    print_text("\n\n".join(blocks) + "\n")
    return DONE


def _show(args: argparse.Namespace) -> int:
    from clnf_engine.commandline.text import table_text
    from clnf_engine.documents import json_text
    from clnf_engine.reports.study import study_tables
    from clnf_engine.studies.columns import read_results

    study, parts, columns = read_results(Path(args.results))
    tables = study_tables(study, columns, parts)
    if args.format == "json":
        documents = [
            {"title": t.title, "columns": list(t.columns), "rows": [list(row) for row in t.rows]} for t in tables
        ]
        print_text(json_text(study.to_json() | {"tables": documents, "note": columns.note}))
        return DONE
    print_text("\n\n".join([*map(table_text, tables), *([columns.note] if columns.note else [])]) + "\n")
    return DONE
