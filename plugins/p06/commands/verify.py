"""``p06 verify``: whether the ledger says what was written into it."""

from __future__ import annotations

from typing import Annotated

import typer

from p06.commands.printing import show_json
from p06.commands.progress import Bar


def verify(
    head: Annotated[
        bool, typer.Option("--head", help="Print the newest entry, NUMBER:MAC, alone; keep it elsewhere.")
    ] = False,
    expect: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:MAC", help="A head printed earlier that must stand in the chain still."),
    ] = None,
    begin_anew: Annotated[
        str | None,
        typer.Option(
            metavar="WHY", help="Go on under a new key from the rows as they are now: the key was lost or leaked."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Check the seal over the ledger: a row changed, removed or slipped in is named, and the exit code is 1.

    Kiểm tra niêm phong của sổ cái: dòng bị sửa, xóa hoặc chèn thêm đều được chỉ ra.
    """
    from p06 import database, seal

    if begin_anew is not None:
        with database.connect("admin", autocommit=True) as connection:
            seal.begin_anew(connection, begin_anew)
    with Bar("verifying"), database.connect("admin", autocommit=True) as connection:
        found = seal.verify(connection, expect)
    if as_json:
        show_json(found.as_dict())
    else:
        if not head:
            for one in found.beginnings:
                if one.rows or one.why:
                    checked = "" if one.key_here else "; its key is not here, so its entries were not checked"
                    print(
                        f"from entry {one.entry} on, {one.at:%Y-%m-%d %H:%M} UTC: {one.rows} rows as they were found then"
                        f"{f' ({one.why})' if one.why else ''}{checked}"
                    )
            for finding in found.findings:
                print(finding.sentence)
            print(found.sentence)
        print(found.head or "")
    raise typer.Exit(0 if found.sound else 1)
