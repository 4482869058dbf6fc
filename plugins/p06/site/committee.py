"""The committee's sheets: one printable page for each area and month, with figures, ranks, the six words and what is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from p06.dimension import Dimension
from p06.period import Period
from p06.scorecard import NATION, Verdict
from p06.site import indicators, scorecard, subject, withheld
from p06.site.evidence import Evidence, Figure
from p06.site.page import Page
from p06.site.scorecard import Table
from p06.site.words import Words

NOTES = 5  # footnotes a sheet has room for
_NAMED = 12  # names of what is missing that a sheet has room for


@dataclass(frozen=True)
class Row:
    """An indicator of the area, beside the month before and the other provinces."""

    code: str
    name: str
    figure: Figure
    change: float | None  # in points of a hundred
    rank: int | None  # among the provinces of the month, 1 is the highest; equal figures share one
    ranked: int


@dataclass(frozen=True)
class Cell:
    """What a word says of a source in the area; ``whole`` when only the whole source can say it."""

    verdict: Verdict
    whole: bool


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """A sheet for the nation and for each province in force, of each of the newest months."""
    scores = scorecard.table(found)
    figures: dict[tuple[Period, str], dict[str, Figure]] = defaultdict(dict)
    values: dict[tuple[Period, str], list[float]] = defaultdict(list)
    for one in found.figures:
        month = Period.of(one.period)
        figures[month, one.area if one.level == "province" else NATION][one.code] = one
        if one.level == "province":
            values[month, one.code].append(one.value)
    names = {code: indicators.meaning(found, words, code).name for code in sorted({one.code for one in found.figures})}
    for period in scores.sheets():
        for area, name in [(NATION, words.t("scorecard.nation")), *scorecard.by_name(found, period)]:
            rows = list(_rows(found, figures, values, names, period, area))
            yield _sheet(scores, words, period, area, name, rows, names)


def _rows(
    found: Evidence,
    figures: dict[tuple[Period, str], dict[str, Figure]],
    values: dict[tuple[Period, str], list[float]],
    names: dict[str, str],
    period: Period,
    area: str,
) -> Iterator[Row]:
    before = figures.get((period.shift(-1), area), {}) if found.is_unchanged(area, period) else {}
    now = figures.get((period, area), {})
    for code, name in names.items():
        if code in now:
            others = values.get((period, code), [])
            rank = 1 + sum(value > now[code].value for value in others) if area != NATION else None
            change = (now[code].value - before[code].value) * 100 if code in before else None
            yield Row(code, name, now[code], change, rank, len(others))


def _sheet(
    scores: Table, words: Words, period: Period, area: str, name: str, rows: list[Row], names: dict[str, str]
) -> Page:
    found = scores.found
    title = words.t("committee.title", area=name, month=words.month(period))
    sources = [
        (source, subject.title(found, words, source), [_cell(scores, period, source, word, area) for word in _WORDS])
        for source in scores.sources(period)
    ]
    notes = [one for one in found.footnotes if Period.of(one.period) == period]
    texts = list(dict.fromkeys(words.pair(one.en, one.vi) for one in notes))
    content = {
        "of_period": period,
        "area": area,
        "release": found.current[period],
        "rows": rows,
        "same": found.is_unchanged(area, period),
        "dimensions": _WORDS,
        "sources": sources,
        "any_whole": any(cell.whole for _, _, cells in sources for cell in cells),
        "missing": list(_missing(scores, words, period, area, rows, names)),
        "notes": texts[:NOTES],
        "notes_more": max(len(texts) - NOTES, 0),
        "density": density(len(rows) + len(sources)),
    }
    trail = (
        ("scorecard.html", words.t("scorecard.title")),
        (f"scorecard/{period}.html", words.month(period)),
    )
    return Page(scorecard.sheet_address(period, area), "scorecard", "committee.html", title, content, trail)


def density(lines: int) -> str:
    """How closely a sheet is printed, so that it stays one page with so many lines in its two tables."""
    return "" if lines <= 16 else " dense" if lines <= 24 else " densest"


def _cell(scores: Table, period: Period, source: str, word: Dimension, area: str) -> Cell:
    verdict = scores.verdict(period, source, word, area)
    if area != NATION and verdict.state == "none":
        return Cell(scores.verdict(period, source, word), True)
    return Cell(verdict, False)


def _missing(
    scores: Table, words: Words, period: Period, area: str, rows: list[Row], names: dict[str, str]
) -> Iterator[str]:
    """What a reader might look for and does not find, a line for each reason."""
    found = scores.found
    sources = {source: subject.title(found, words, source) for source in scores.sources(period)}
    small = [source for source in sources if (source, period, area) in found.withheld_places]
    absent = [source for source in sources if not scores.of(period, source)]
    empty = [
        source
        for source in sources
        if area != NATION and source not in (*small, *absent) and not scores.of(period, source, area)
    ]
    level = "nation" if area == NATION else "province"
    wanted = {one.code for one in found.figures if one.level == level and Period.of(one.period) <= period}
    there = {row.code for row in rows} | {
        one.code for one in found.withheld if (one.period, one.area) == (period, area)
    }
    reasons = (
        ("not_received", [sources[one] for one in absent]),
        ("withheld", [sources[one] for one in small]),
        ("no_rows", [sources[one] for one in empty]),
        ("no_figure", [name for code, name in names.items() if code in wanted - there]),
    )
    room = _NAMED // max(sum(bool(told) for _, told in reasons), 1)
    for reason, told in reasons:
        if told:
            named = "; ".join(told[:room])
            if len(told) > room:
                named += "; " + words.t("committee.others", count=words.number(len(told) - room))
            yield words.t(f"committee.{reason}", names=named, least=words.number(withheld.least()))


_WORDS = subject.DIMENSIONS
