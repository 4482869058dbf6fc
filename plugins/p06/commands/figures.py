"""``p06 figures``: what reports printed, beside what follows from it and what the warehouse computes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from p06.commands.printing import show_json, show_table

Verdict = Literal["match", "truncation", "discrepancy", "ambiguous", "derived", "not_available"]


def figures(
    document: Annotated[str | None, typer.Argument(metavar="[DOCUMENT]", help="A report; all by default.")] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only comparisons that end so.")] = None,
    warehouse: Annotated[
        bool, typer.Option("--warehouse", help="Only comparisons with what the warehouse computes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Printed figures and what becomes of them: match, truncation, discrepancy, ambiguous, derived or not available.

    Số liệu đã in và kết quả đối chiếu.
    """
    from p06 import marts, published_figure

    marts.sync()
    found = [
        one
        for one in published_figure.compared()
        if document in (None, one["document"])
        and verdict in (None, one["verdict"])
        and (one["comparison"] == "warehouse" or not warehouse)
    ]
    if as_json:
        show_json(found)
        return
    columns = ("figure", "printed", "compared with", "verdict", "computed", "difference")
    show_table("Printed figures", columns, [_row(one) for one in found])


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    beside = "numbers printed beside it" if one["comparison"] == "printed" else f"warehouse {one['period']:%Y-%m}"
    computed = one["computed_value"]
    if computed is None and one["computed_low"] is not None:
        computed = f"{one['computed_low']} or {one['computed_high']}"
    return one["figure_id"], one["printed"], beside, one["verdict"], computed, one["difference"]
