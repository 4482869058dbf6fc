"""``p06 diff`` and ``p06 releases --show``: what a release is made of, and what tells two of them apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from p06.commands.printing import show_json, show_table

ReleaseArgument = Annotated[str, typer.Argument(metavar="RELEASE", help="A release, like 2024-02.1.")]


def show(release_id: str, as_json: bool) -> None:
    """Print the record of a release."""
    from p06 import database, record
    from p06.errors import P06Error

    with database.connect("publisher", autocommit=True) as connection:
        found = record.read(connection, release_id)
    if found is None:
        raise P06Error("P06-RECORD-002", release=release_id)
    if as_json:
        show_json(found)
        return
    for line in _lines(found):
        print(line)


def diff(
    before: ReleaseArgument,
    after: ReleaseArgument,
    every: Annotated[bool, typer.Option("--all", help="Every indicator that differs, also of communes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What tells two releases apart: inputs, rows of each mart, matches by method, indicators old and new."""
    from p06 import database, record

    with database.connect("publisher", autocommit=True) as connection:
        found = record.difference(connection, before, after)
    if as_json:
        show_json(found.as_dict())
        return
    if found.inputs:
        show_table("Inputs", ("input", before, after), found.inputs)
        print()
    show_table(
        "Rows",
        ("mart", before, after, "content"),
        [(mart, old, new, _content(old, new, same)) for mart, old, new, same in found.marts],
    )
    if found.matches:
        print()
        show_table("Matches, by method", ("source", "method", before, after), found.matches)
    shown = [row for row in found.indicators if every or row[1] != "commune"]
    if shown:
        print()
        show_table(
            "Indicators",
            ("indicator", "level", "area", before, after),
            [(*row[:3], _figure(row[3:6]), _figure(row[6:9])) for row in shown],
        )
    hidden = len(found.indicators) - len(shown)
    if hidden:
        print(f"and {hidden} of communes (--all)")
    if not (found.inputs or found.matches or found.indicators or any(same is False for *_, same in found.marts)):
        print("nothing tells them apart")


def _content(old: int | None, new: int | None, same: bool | None) -> str:
    if same is not None:
        return "the same" if same else "differs"
    return "differs" if old is not None and new is not None and old != new else "not known"


def _figure(three: Any) -> str:
    numerator, denominator, value = three
    return "" if value is None else f"{numerator} / {denominator} = {value}"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """A record for people: what its JSON says, shortened."""
    code, gate, inputs = found["code"], found["gate"], found["inputs"]
    yield f"release      {found['release']} of {found['period']}, build {found['build']}, after {found['previous'] or 'none'}"
    yield f"published    {found['published_at']} by {found['published_by']}" + (
        f": {found['why']}" if found["why"] else ""
    )
    commit = f", commit {code['commit'][:12]}{' with changes' if code['modified'] else ''}" if code["commit"] else ""
    yield f"code         p06 {code['version']}{commit}, models {code['models'][:12]}"
    yield f"fingerprint  {found['fingerprint']}"
    for one in inputs["extracts"]:
        yield f"input        {one['source']} revision {one['revision']}, contract {one['contract_version']}: {one['extract']}"
    months = [one["period"] for one in inputs["register"]]
    yield f"register     {len(months)} months, {months[0]} to {months[-1]}" if months else "register     none"
    yield "gate         " + ", ".join(
        [gate["outcome"], *(
            f"{severity} {counts['asked']} asked {counts['failed']} failed" for severity, counts in gate["checks"].items()
        )]
    )  # fmt: skip
    for one in gate["failed"]:
        waived = f", waived by {one['waived_by']}" if one["waived_by"] else ""
        yield f"             {one['severity']} {one['period']} {one['subject']}.{one['check']}: {one['observed']}{waived}"
    for one in gate["waivers"]:
        yield f"waiver       {one['subject']} {one['check'] or ''}, {one.get('owner')}, until {one.get('until')}"
    for one in found["approvals"]:
        if one["verdict"] is None:
            yield f"approval     asked by {one['asked_by']} at {one['asked_at']}, not answered"
            continue
        yield f"approval     {one['verdict']} by {one['who']} at {one['at']}" + (
            f": {one['why']}" if one["why"] else ""
        )
    for mart, one in found["marts"].items():
        yield f"mart         {mart} {one['rows']} rows, {one['digest'] or 'digest not taken'}"
    if found["diff"]:
        changed = found["diff"]["indicators"]
        yield (
            f"against      {found['diff']['to']}: {len(found['diff']['rows'])} marts differ, indicators"
            f" {changed['changed']} changed, {changed['appeared']} appeared, {changed['gone']} gone"
        )
