"""The month at a glance: what arrived, what waits for somebody, what was published, the figures of the nation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from p06.period import Period
from p06.site import subject
from p06.site.evidence import Evidence, Figure, Footnote
from p06.site.page import Page, month_address
from p06.site.words import Words


@dataclass(frozen=True)
class Row:
    """A source in a month."""

    source: str
    title: str
    standing: subject.Standing
    match_rate: float | None
    state: str  # the gravest answer of its checks


@dataclass(frozen=True)
class National:
    """An indicator of the nation, beside the month before."""

    code: str
    figure: Figure
    change: float | None  # in points of a hundred


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The newest month readers see, and a page for each month anything is known of."""
    newest = found.released[-1] if found.released else (found.periods[-1] if found.periods else None)
    yield _month(found, words, newest, "index.html")
    for period in found.periods:
        yield _month(found, words, period, month_address(period))


def _month(found: Evidence, words: Words, period: Period | None, address: str) -> Page:
    title = words.t("overview.title")
    if period is None:
        return Page(address, "overview", "overview.html", title, {"of_period": None})
    content = {
        "of_period": period,
        "release": found.current.get(period),
        "rows": [_row(found, words, source, period) for source in found.contracts if source not in found.idle],
        "actions": list(subject.actions(found, words, period)),
        "national": list(_national(found, period)),
        "notes": _notes(found, period),
        "months": found.periods[::-1],
        "titles": {name: subject.title(found, words, name) for name in found.contracts},
    }
    return Page(address, "overview", "overview.html", f"{title}: {words.month(period)}", content)


def _notes(found: Evidence, period: Period) -> list[Footnote]:
    """What the release says beside its marts, with their names; what touches indicators alone stands with them."""
    return [
        replace(one, en=f"{one.mart}: {one.en}", vi=f"{one.mart}: {one.vi}")
        for one in found.footnotes
        if Period.of(one.period) == period and (one.mart != "indicator" or one.indicator_code is None)
    ]


def _row(found: Evidence, words: Words, source: str, period: Period) -> Row:
    one = next((s for s in found.sums if s.source == source and Period.of(s.period) == period), None)
    rate = one.matched / one.staged if one and one.matched is not None and one.staged else None
    mart = found.contracts[source].mart
    answers = [
        by_month[period]
        for name in (source, mart)
        for by_month in found.by_subject.get(name or "", {}).values()
        if period in by_month
    ]
    return Row(source, subject.title(found, words, source), subject.standing(found, source, period), rate,
               subject.worst(answers))  # fmt: skip


def _national(found: Evidence, period: Period) -> Iterator[National]:
    nation = {(one.code, Period.of(one.period)): one for one in found.figures if one.level == "nation"}
    for code in sorted({one.code for one in found.figures}):
        figure = nation.get((code, period))
        if figure:
            before = nation.get((code, period.shift(-1)))
            yield National(code, figure, (figure.value - before.value) * 100 if before else None)
