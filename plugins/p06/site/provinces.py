"""Provinces: the list, and for each a page of its own with its figures, its records and its communes, newest month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from p06.period import Period
from p06.site import indicators, subject, withheld
from p06.site.evidence import Evidence, Figure
from p06.site.page import Page
from p06.site.words import Words


@dataclass(frozen=True)
class Row:
    """An indicator of the province beside the month before, the nation and the other provinces."""

    code: str
    name: str
    figure: Figure
    change: float | None  # in points of a hundred
    rank: int
    of: int
    nation: Figure | None
    communes: bool


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The list, which names provinces alone, and a page for each province in force in the newest month."""
    title = words.t("provinces.title")
    newest = found.released[-1] if found.released else None
    names = found.provinces_in(newest) if newest else {}
    trail = (("indicators.html", words.t("indicators.title")),)
    yield Page("provinces.html", "indicators", "provinces.html", title, {"names": names, "of_period": newest}, trail)
    if newest is None:
        return
    figures = {(one.code, one.area, Period.of(one.period)): one for one in found.figures}
    with_communes = {(one.code, found.commune_names.get(one.area, ("", ""))[1]) for one in found.communes}
    of_provinces: dict[str, list[Figure]] = defaultdict(list)
    for one in found.figures:
        if one.level == "province" and Period.of(one.period) == newest:
            of_provinces[one.code].append(one)
    ranked = {code: indicators.ranked(rows) for code, rows in sorted(of_provinces.items())}
    records: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for province, source, method, count in found.matched:
        records[province][source][method] = count
    titles = {name: subject.title(found, words, name) for name in found.contracts}
    for province, name in names.items():
        rows = [
            _row(words, found, code, ordered, province, newest, figures, with_communes)
            for code, ordered in ranked.items()
            if any(one.area == province for _, one in ordered)
        ]
        matched = [
            (titles.get(source, source), sum(methods.values()),
             (methods.get("conflict", 0), methods.get("none", 0)) if found.is_matched(source) else None)
            for source, methods in sorted(records[province].items())
        ]  # fmt: skip
        yield Page(
            f"provinces/{province}.html", "indicators", "province.html", name,
            {"of_period": newest, "rows": rows, "matched": matched, "province": province, "least": withheld.least(),
             "withheld": [indicators.meaning(found, words, one.code).name for one in found.withheld
                          if (one.period, one.area) == (newest, province)]},
            (*trail, ("provinces.html", title)), found.area_of(province, newest),
        )  # fmt: skip


def _row(
    words: Words,
    found: Evidence,
    code: str,
    ordered: list[tuple[int, Figure]],
    province: str,
    period: Period,
    figures: dict[tuple[str, str, Period], Figure],
    with_communes: set[tuple[str, str]],
) -> Row:
    rank, one = next((rank, one) for rank, one in ordered if one.area == province)
    last = period.shift(-1)
    before = figures.get((code, province, last)) if found.is_unchanged(province, period) else None
    return Row(
        code, indicators.meaning(found, words, code).name, one, (one.value - before.value) * 100 if before else None,
        rank, len(ordered), figures.get((code, "VN", period)), (code, province) in with_communes,
    )  # fmt: skip
