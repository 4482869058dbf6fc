"""``p06 duties``: which account of Airflow reads or decides for which province."""

from __future__ import annotations

from typing import Annotated

import typer

from p06.commands.printing import show_json, show_table

app = typer.Typer(
    no_args_is_help=True,
    help="Who reads the pages of which province, and who decides pairs: list, give, take.\n\n"
    "Ai xem trang của tỉnh nào, ai quyết định các cặp: liệt kê, giao, thu hồi.",
    epilog="Example: p06 duties give lan reader --province 01",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="As it signs in to Airflow.")]
Kind = Annotated[str, typer.Argument(metavar="DUTY", help="reader or steward.")]
Province = Annotated[
    str | None, typer.Option("--province", metavar="CODE", help="Two digits of today's list; the nation by default.")
]
Why = Annotated[str | None, typer.Option(help="Kept beside the entry; no names, no numbers.")]


@app.command("list", epilog="Example: p06 duties list --json")
def list_duties(
    account: Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="An account; all by default.")] = None,
    as_json: Json = False,
) -> None:
    """The duties in force."""
    from p06 import duty

    found = duty.in_force(account)
    if as_json:
        show_json([one.__dict__ | {"name": one.name} for one in found])
        return
    show_table(
        None,
        ("account", "duty", "province", "name", "since", "given by", "at", "why"),
        [
            (one.account, one.duty, one.province, one.name, one.since, one.who, one.at.isoformat(timespec="seconds"), one.why)
            for one in found
        ],
    )  # fmt: skip


@app.command(epilog="Example: p06 duties give lan reader --province 01")
def give(account: Account, duty: Kind, province: Province = None, why: Why = None) -> None:
    """Give a duty; it counts from the account's next page on."""
    from p06 import duty as duties

    new = duties.give(account, duty, province, why)
    print(f"{account}  {duty} {province or duties.NATION}  {'given' if new else 'has it already'}")


@app.command(epilog="Example: p06 duties take lan reader --province 01")
def take(account: Account, duty: Kind, province: Province = None, why: Why = None) -> None:
    """Take a duty back; it counts from the account's next page on."""
    from p06 import duty as duties

    held = duties.take(account, duty, province, why)
    print(f"{account}  {duty} {province or duties.NATION}  {'taken back' if held else 'had it not'}")
