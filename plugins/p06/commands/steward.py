"""``p06 steward``: pairs of a record and a citizen that wait for a person's decision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from p06.commands.printing import show_json, show_table

app = typer.Typer(
    no_args_is_help=True,
    help="Pairs of a record and a citizen that linkage is not sure of: list, show, accept, reject, undo.\n\n"
    "Các cặp bản ghi – công dân chưa chắc chắn: liệt kê, xem, chấp nhận, từ chối, rút lại.",
    epilog="Example: p06 steward list",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PairArgument = Annotated[
    str, typer.Argument(metavar="PAIR", help="A pair's name, or as many of its digits as tell it.")
]
Why = Annotated[str | None, typer.Option(help="Kept beside the decision; no names, no numbers.")]


@app.command("list", epilog="Example: p06 steward list health_visit 2024-02")
def list_pairs(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="A source; all by default.")] = None,
    period: Annotated[str | None, typer.Argument(metavar="[PERIOD]", help="A month, YYYY-MM; all by default.")] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all", help="Also pairs that are decided, and those linked without asking.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The pairs that wait, the likeliest first: what agrees and how many rows each touches; no values."""
    from p06 import contract, steward
    from p06.period import Period

    if source is not None:
        contract.load(source)
    found = steward.queue(source, Period.parse(period) if period else None, all_pairs)
    if as_json:
        show_json([pair.as_dict() for pair in found])
        return
    show_table(None,
        ("pair", "source", "periods", "weight", *steward.AGREEMENTS, "rows", "proposal", "decision"),
        [
            (
                pair.pair, pair.source, " ".join(map(str, pair.periods)), pair.weight, *pair.agrees.values(), pair.rows,
                pair.proposal, pair.decision,
            )
            for pair in found
        ],
    )  # fmt: skip


@app.command(epilog="Example: p06 steward show 7c1f09")
def show(
    pair: PairArgument,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show names, dates and numbers; it is written into the access log.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Both sides of a pair beside each other: initials, years and last digits."""
    from p06 import steward

    name, source, period, sides = steward.show(pair, reveal)
    if as_json:
        show_json({"pair": name, "source": source, "period": str(period), "fields": [side.__dict__ for side in sides]})
        return
    print(f"{name}  {source} {period}", file=sys.stderr)
    show_table(
        None,
        ("field", "record", "register", "agrees"),
        [(side.field, side.record, side.register, side.agrees) for side in sides],
    )


@app.command(epilog="Example: p06 steward accept 7c1f09 --why 'asked the school'")
def accept(pair: PairArgument, why: Why = None) -> None:
    """The record is this citizen's: its rows are linked in every month that holds them, from the next release on."""
    _decide(pair, "accept", why)


@app.command(epilog="Example: p06 steward reject 7c1f09")
def reject(pair: PairArgument, why: Why = None) -> None:
    """The record is not this citizen's: the pair is neither asked nor linked again."""
    _decide(pair, "reject", why)


@app.command(epilog="Example: p06 steward undo 7c1f09")
def undo(pair: PairArgument, why: Why = None) -> None:
    """Take the decision back; the model's verdict counts again."""
    _decide(pair, "undone", why)


@app.command(epilog="Example: p06 steward log --json")
def log(as_json: Json = False) -> None:
    """Every decision ever entered, who took it, and which are in force."""
    from p06 import steward

    found = steward.entries()
    if as_json:
        show_json([entry.__dict__ for entry in found])
        return
    show_table(None,
        ("entry", "pair", "source", "verdict", "weight", "who", "at", "in force", "why"),
        [
            (
                entry.entry, entry.pair, entry.source, entry.verdict, entry.weight, entry.who,
                entry.at.isoformat(timespec="seconds"), "yes" if entry.in_force else "", entry.why,
            )
            for entry in found
        ],
    )  # fmt: skip


@app.command(epilog="Example: p06 steward export decisions.jsonl")
def export(to: Annotated[Path, typer.Argument(metavar="FILE", help="A file of JSON lines to write.")]) -> None:
    """Write the decisions in force to a file, without values, for a warehouse with the same token key."""
    from p06 import steward

    print(f"{to}: {steward.export(to)} decisions")


@app.command("import", epilog="Example: p06 steward import decisions.jsonl")
def import_decisions(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `p06 steward export` wrote.")],
) -> None:
    """Enter the decisions of another warehouse, all or none; those in force already are left alone."""
    from p06 import steward

    print(f"{file}: {steward.replay(file)} decisions entered")


def _decide(pair: str, verdict: Literal["accept", "reject", "undone"], why: str | None) -> None:
    from p06 import steward

    name, entered = steward.decide(pair, verdict, why)
    words = {"accept": "accepted", "reject": "rejected", "undone": "undone"}[verdict]
    print(f"{name}  {words}" if entered else f"{name}  was {words} already")
