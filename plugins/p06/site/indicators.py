"""Indicators: what each means, its trend with every edition, its ranking, map, communes and files to download."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from p06.duty import NATION
from p06.period import Period
from p06.site import figure, subject, tiles, withheld
from p06.site.evidence import TREND, Edition, Evidence, Figure
from p06.site.page import Page
from p06.site.words import Words

_CODE = re.compile(r"[a-z][a-z0-9_]{0,62}(?:\.[a-z][a-z0-9_]{0,62})?")


@dataclass(frozen=True)
class Meaning:
    """What an indicator is, in one language."""

    name: str
    definition: str
    numerator: str
    denominator: str
    where: str


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The list, a page for each indicator, one for each of its months, and its communes by province."""
    title = words.t("indicators.title")
    by_code = _by_code(found)
    newest = found.released[-1] if found.released else None
    nation = {code: [one for one in rows if one.level == "nation"] for code, rows in by_code.items()}
    listed = [(code, meaning(found, words, code), rows[-1]) for code, rows in nation.items() if rows]
    counts = [(one, words.has(f"count.{one.code}")) for one in found.counts if _CODE.fullmatch(one.code)]
    shown = {"listed": listed, "newest": newest, "counts": counts}
    yield Page("indicators.html", "indicators", "indicators.html", title, shown)
    for code, known, _ in listed:
        yield from _indicator(found, words, code, known, nation[code], by_code[code], title)


def files(found: Evidence) -> Iterator[tuple[str, bytes, str | None]]:
    """The files to download, each with the area whose officers alone may have it.

    Nation and provinces of every month; communes of the newest, all together and by province.
    """
    for code, rows in _by_code(found).items():
        yield f"csv/{code}.csv", _csv(found, rows), None
    by_code = defaultdict(list)
    for one in found.communes:
        by_code[one.code].append(one)
    for code, rows in by_code.items():
        if not _CODE.fullmatch(code):
            continue
        yield f"csv/{code}-communes.csv", _csv(found, rows), NATION
        by_province = defaultdict(list)
        for one in rows:
            by_province[found.commune_names.get(one.area, ("", ""))[1]].append(one)
        for province, communes in by_province.items():
            period = Period.of(communes[0].period)
            if province in found.provinces_in(period):
                yield f"csv/{code}-communes-{province}.csv", _csv(found, communes), found.area_of(province, period)


def meaning(found: Evidence, words: Words, code: str) -> Meaning:
    """The words for an indicator; one nobody has described yet is called by its code."""
    kind, _, source = code.partition(".")
    if not words.has(f"indicator.{kind}"):
        return Meaning(code, "", "", "", "")
    of = subject.title(found, words, source) if source else ""
    texts = [
        words.t(f"indicator.{kind}{part}", source=of)
        for part in ("", "_definition", "_numerator", "_denominator", "_where")
    ]
    return Meaning(*texts)


def ranked(figures: Iterable[Figure]) -> list[tuple[int, Figure]]:
    """Figures of one indicator and month with their ranks, the highest first; equal ones share a rank."""
    found: list[tuple[int, Figure]] = []
    for place, one in enumerate(sorted(figures, key=lambda one: (-one.value, one.area)), 1):
        equal = found and found[-1][1].value == one.value
        found.append((found[-1][0] if equal else place, one))
    return found


def _by_code(found: Evidence) -> dict[str, list[Figure]]:
    by_code: dict[str, list[Figure]] = defaultdict(list)
    for one in found.figures:
        if _CODE.fullmatch(one.code):
            by_code[one.code].append(one)
    return by_code


def _indicator(
    found: Evidence,
    words: Words,
    code: str,
    known: Meaning,
    nation: list[Figure],
    rows: list[Figure],
    title: str,
) -> Iterator[Page]:
    editions: dict[Period, list[Edition]] = defaultdict(list)
    for edition in found.editions:
        if edition.code == code:
            editions[Period.of(edition.period)].append(edition)
    shown = nation[-TREND:]
    first_shown = shown[0].period
    drawn = figure.trend(
        shown, [one for month in editions.values() for one in month if one.period >= first_shown], words, known.name
    )
    trail: tuple[tuple[str, str], ...] = (("indicators.html", title),)
    months = [Period.of(one.period) for one in nation]
    newest = months[-1]
    communes = [one for one in found.communes if one.code == code]
    by_province: dict[str, list[Figure]] = defaultdict(list)
    for one in communes:
        by_province[found.commune_names.get(one.area, ("", ""))[1]].append(one)
    names = found.provinces_in(newest)
    shared = {
        "least": withheld.least() if withheld.sources(found, code) else None,
        "code": code,
        "meaning": known,
        "months": months[::-1],
        "communes": sorted(
            ((names[p], p, len(by_province[p])) for p in by_province if p in names), key=lambda row: row[1]
        ),
    }
    for period in [None, *months[:-1]]:
        month = period or newest
        yield Page(
            f"indicators/{code}.html" if period is None else f"indicators/{code}/{period}.html",
            "indicators",
            "indicator.html",
            known.name if period is None else f"{known.name}: {words.month(period)}",
            shared
            | {
                "of_period": month,
                "whole": period is None,
                "trend": drawn if period is None else None,
                "history": [(one, editions[Period.of(one.period)]) for one in shown[::-1]] if period is None else [],
                "withheld": withheld.names(found, code, month),
                "nation": next(one for one in nation if Period.of(one.period) == month),
                "notes": [
                    n for n in found.footnotes
                    if Period.of(n.period) == month and n.mart == "indicator" and n.indicator_code in (None, code)
                ],
            }
            | _provinces(found, words, known.name, [one for one in rows if Period.of(one.period) == month], month),
            trail if period is None else (*trail, (f"indicators/{code}.html", known.name)),
        )  # fmt: skip
    for province, figures in by_province.items():
        if province in names:
            yield Page(
                f"indicators/{code}/communes-{province}.html", "indicators", "communes.html",
                f"{known.name}: {names[province]}",
                {"of_period": newest, "names": found.commune_names, "figures": figures, "code": code, "meaning": known,
                 "province": names[province], "province_code": province, "least": shared["least"],
                 "withheld": withheld.names(found, code, newest, province)},
                (*trail, (f"indicators/{code}.html", known.name)), found.area_of(province, newest),
            )  # fmt: skip


def _provinces(found: Evidence, words: Words, name: str, rows: list[Figure], period: Period) -> dict[str, object]:
    """Ranking and map of a month; the provinces are those in force in it."""
    names = found.provinces_in(period)
    provinces = [one for one in rows if one.level == "province"]
    if not provinces:
        return {"ranking": [], "map": None, "names": names, "bar": figure.bar, "top": 1.0}
    placed = tiles.tiles(period.first_day, names)
    drawn = figure.tile_map(placed, {one.area: one.value for one in provinces}, names, words, name)
    ranking = ranked(provinces)
    return {
        "ranking": ranking,
        "map": drawn,
        "names": names,
        "bar": figure.bar,
        "top": max(one.value for one in provinces),
    }


def _csv(found: Evidence, rows: list[Figure]) -> bytes:
    """As spreadsheets open it: UTF-8 with its mark, a comma between, a point before decimals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(
        ("indicator_code", "period", "area_level", "area_code", "area_name", "numerator", "denominator", "value")
    )
    for one in rows:
        if one.level == "commune":
            name = found.commune_names.get(one.area, ("", ""))[0]
        else:
            name = found.provinces_in(Period.of(one.period)).get(one.area, "")
        writer.writerow((one.code, Period.of(one.period), one.level, one.area, name, one.numerator, one.denominator,
                         f"{one.value:.10f}"))  # fmt: skip
    return text.getvalue().encode("utf-8-sig")
