"""``p06 backup`` and ``p06 restore``: the whole warehouse into a folder, and back into an empty home."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from p06.commands.printing import show_json
from p06.commands.progress import Bar

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")]


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet, or empty.")],
    landing: Annotated[bool, typer.Option("--landing", help="Also what senders delivered.")] = False,
    as_json: Json = False,
) -> None:
    """Copy database, keys and, when asked, landing into a folder, while everything goes on.

    The folder then holds the keys of all tokens: keep it as you keep the warehouse.
    """
    from p06 import backup as copying

    with Bar("copying") as bar:
        done = copying.backup(folder, landing, bar)
    if as_json:
        show_json(done.as_dict())
        return
    print(f"{done.folder}: {done.bytes / 2**20:,.0f} MB, every checksum as written")
    print(f"head of the ledger's chain: {done.head}")


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder `p06 backup` wrote.")],
    as_json: Json = False,
) -> None:
    """Bring a backup back into an empty home (P06_HOME), and check the ledger."""
    from p06 import backup as copying
    from p06.settings import settings

    with Bar("restoring") as bar:
        done, verdict = copying.restore(folder, bar)
    if as_json:
        show_json({**done.as_dict(), "home": str(settings().home), "ledger": verdict.as_dict()})
    else:
        print(f"{settings().home}: restored as of {done.made_at}")
        for finding in verdict.findings:
            print(finding.sentence)
        print(f"ledger: {verdict.sentence}")
    raise typer.Exit(0 if verdict.sound else 1)
