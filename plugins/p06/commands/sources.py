"""``p06 sources`` and ``p06 new-source``: the sources there are, how little each is, and one more of them."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from p06.commands.printing import show_json, show_table
from p06.errors import UsageError


def sources(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Every source: who sends it, what it becomes, when it is due, who reads it, and the lines of its three files."""
    from p06 import contract, project, suite
    from p06.settings import settings

    told: list[dict[str, Any]] = []
    for name, known in contract.load_all().items():
        root = settings()
        files = {
            "contract": root.contracts / f"{name}{contract.SUFFIX}",
            "model": root.dbt_project / project.staging_model(known)[0],
            "suite": root.expectations / "sources" / f"{name}.yaml",
        }
        told.append(
            {
                "source": name,
                "sector": known.sector,
                "kind": known.kind,
                "mart": known.mart,
                "due_from": str(known.due_from) if known.due_from else None,
                "access": "restricted" if known.restricted else "analysts",
                "matched": known.is_sector_source,
                "columns": len(known.columns),
                "unconfirmed": sum(bool(column.unconfirmed) for column in known.columns),
                "checks": len(suite.load_source(name).checks),
                "lines": {part: len(path.read_text("utf-8").splitlines()) for part, path in files.items()},
            }
        )
    if as_json:
        show_json(told)
        return
    shown = ("source", "sector", "kind", "due_from", "access", "columns", "checks")
    show_table(
        "Sources",
        (*shown, "contract", "model", "suite"),
        [(*(one[name] for name in shown), *one["lines"].values()) for one in told],
    )


def new_source(
    name: Annotated[str, typer.Argument(help="The new source's name.")],
    sector: Annotated[str, typer.Option(help="Its sector.")] = "public_services",
    kind: Annotated[str, typer.Option(help="state (as it stands at the period's end) or events (of the period).")] = (
        "state"
    ),
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[!][*]:TYPE[:ENGLISH[:TIẾNG VIỆT]]",
            help="A column between the identity columns and updated_at, in the order of the file; again for each."
            " ! is a part of the key, * required. TYPE: text, date, timestamptz, integer, code(5), numeric(15,2),"
            " enum(a=English=Tiếng Việt,b) or a code list such as commune; after it >=0, <=9 and a class, such as"
            " sensitive.",
        ),
    ] = None,
    identity: Annotated[bool, typer.Option(help="Whether a row is about one citizen.")] = True,
) -> None:
    """Write the three files of a new source: contract, staging model, suite."""
    from typing import get_args

    from p06.contract import SourceKind
    from p06.newsource import Field, write

    if kind not in get_args(SourceKind) or kind == "register":
        raise UsageError("P06-CLI-013")
    for path in write(name, sector, cast(SourceKind, kind), tuple(map(Field.parse, column or ())), identity):
        print(path)
