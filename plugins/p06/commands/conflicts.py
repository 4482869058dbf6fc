"""``p06 conflicts``: what rows say about who that is and cannot be, counted, and a report for their sender."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from p06.commands.printing import show_json, show_table
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
            show_json([one.as_dict() for one in found])
            return
        words = messages()
        show_table(
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
        show_json(told)
    else:
        print(f"{to}: {report.concerned} of {report.staged} rows in question, {len(report.found)} kinds")
