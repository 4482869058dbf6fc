"""``p06 scorecard``: the six words of data quality in figures, with targets and the change on the month before."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from p06.commands.printing import show_json, show_table

_COLUMNS = ("source", "word", "measure", "value", "target", "reached", "change", "what")


def scorecard(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="A source; all by default.")] = None,
    province: Annotated[
        str, typer.Option("--province", metavar="CODE", help="A province of the month, two digits; VN: whole sources.")
    ] = "VN",
    period: Annotated[
        str | None, typer.Option("--period", metavar="YYYY-MM", help="A month; the newest published by default.")
    ] = None,
    define: Annotated[bool, typer.Option("--measures", help="Print what each measure is instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How accurate, complete, clean, live, unified and shared each source is, measured.

    Đúng, đủ, sạch, sống, thống nhất, dùng chung: số đo của từng nguồn, so với chỉ tiêu và kỳ trước.
    """
    from p06 import contract, scorecard
    from p06.dimension import DIMENSIONS
    from p06.period import Period

    known = scorecard.measures()
    if define:
        _define(list(known.values()), as_json)
        return
    contracts = contract.load_all()
    if source is not None:
        contract.load(source)
    month, now, before = scorecard.compare(Period.parse(period) if period else None, province)
    told: list[dict[str, Any]] = []
    order = list(known)
    for one in sorted(now, key=lambda one: (one.source, order.index(one.measure) if one.measure in known else -1)):
        if one.measure not in known or source not in (None, one.source):
            continue
        measure, promised = known[one.measure], contracts.get(one.source)
        last = before.get((one.source, one.measure))
        told.append(
            {
                "period": str(month), "source": one.source, "province_code": one.province_code, "word": measure.word,
                "measure": one.measure, "numerator": one.numerator, "denominator": one.denominator, "value": one.value,
                "unit": measure.unit, "target": measure.target_for(promised),
                "reached": measure.reached(one.value, promised), "direction": measure.direction,
                "change": None if last is None else one.value - last, "what_en": measure.en, "what_vi": measure.vi,
            }
        )  # fmt: skip
    if as_json:
        show_json(told)
        return
    show_table(
        f"Scorecard {month or ''} {province}",
        _COLUMNS,
        [
            (
                row["source"], DIMENSIONS[row["word"]].vi, row["measure"], _figure(row["value"], row["unit"]),
                _figure(row["target"], row["unit"]), {True: "yes", False: "no", None: ""}[row["reached"]],
                _change(row["change"], row["unit"]), row["what_en"],
            )
            for row in told
        ],
    )  # fmt: skip
    if not told:
        print("nothing is published for that", file=sys.stderr)


def _define(measures: list[Any], as_json: bool) -> None:
    from dataclasses import asdict

    from p06.dimension import DIMENSIONS

    if as_json:
        show_json([asdict(one) for one in measures])
        return
    show_table(
        "Measures",
        ("word", "measure", "unit", "better", "target", "formula", "công thức"),
        [
            (
                DIMENSIONS[one.word].vi, one.measure, one.unit, one.direction, one.target,
                one.formula_en, one.formula_vi,
            )
            for one in measures
        ],
    )  # fmt: skip


def _figure(value: float | None, unit: str) -> str | None:
    if value is None:
        return None
    return f"{value:.2%}" if unit == "share" else f"{value:g} d"


def _change(value: float | None, unit: str) -> str | None:
    if value is None:
        return None
    return f"{value * 100:+.2f} pp" if unit == "share" else f"{value:+g} d"
