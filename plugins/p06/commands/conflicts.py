"""``p06 conflicts``: what rows say about who that is and cannot be, counted, and a report for their sender."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from p06.errors import UsageError, messages


def conflicts(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="A source; all by default.")] = None,
    period: Annotated[str | None, typer.Argument(metavar="[PERIOD]", help="A month, YYYY-MM; all by default.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="A report for the sender: .html, .xlsx or .csv.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Rows of each kind at most: 5 on a page, 10,000 in a sheet by default.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Who is who in the published months: the dead who are served, numbers of two people, twins; or a report of it."""
    from p06 import conflictfile, contract, returnfile
    from p06 import conflicts as who
    from p06.period import Period

    known = contract.load(source) if source is not None else None
    month = Period.parse(period) if period else None
    if to is None:
        found = who.counts(source, month)
        if as_json:
            print(json.dumps([one.as_dict() for one in found], ensure_ascii=False, indent=2, default=str))
            return
        words = messages()
        _table(
            "Conflicts",
            ("source", "period", "kind", "rows", "share", "what"),
            [
                (one.source, one.period, one.kind, one.records, f"{one.share} %", words.get(one.kind, {}).get("en", ""))
                for one in found
            ],
        )
        if not found:
            print("nothing was found", file=sys.stderr)
        return
    if known is None or month is None:
        raise UsageError("P06-CONFLICT-002")
    most = limit or (who.SHOWN if returnfile.kind_of(to) == "html" else who.LISTED)
    report = who.report(known, month, most)
    conflictfile.write(to, report)
    if as_json:
        told = {"file": str(to), "staged": report.staged, "concerned": report.concerned}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        print(f"{to}: {report.concerned} of {report.staged} rows in question, {len(report.found)} kinds")


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on a terminal, tab-separated lines otherwise."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in texts:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in texts:
        table.add_row(*row)
    Console().print(table)
