"""The six words in figures: sources by words, a page for each source with its measures, trend and provinces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from p06 import scorecard
from p06.dimension import Dimension
from p06.period import Period, months
from p06.scorecard import NATION, Measure, Score, Verdict
from p06.site import figure, subject, withheld
from p06.site.evidence import SHEETS, TREND, Evidence
from p06.site.page import Page
from p06.site.words import Words

_HISTORY = 12  # months a table shows

ByMeasure = dict[str, Score]


@dataclass(frozen=True)
class Line:
    """A measure of a source in a month, beside its target, the month before and the months up to it."""

    known: Measure
    name: str
    value: str
    target: str
    state: str  # passed, blocked or info
    change: str
    better: bool | None  # None: unchanged, or nothing to compare with
    drawn: Markup | None


@dataclass(frozen=True)
class Table:
    """The scores of the pages, found by month, source, area and measure."""

    found: Evidence
    by_place: dict[tuple[Period, str, str], ByMeasure]

    def of(self, period: Period, source: str, area: str = NATION) -> ByMeasure:
        """Measure -> score of a source and area; empty when it has none."""
        return self.by_place.get((period, source, area), {})

    def verdict(self, period: Period, source: str, word: Dimension, area: str = NATION) -> Verdict:
        """What the measures of a word say together."""
        return scorecard.verdict(
            self.of(period, source, area).values(), word, self.found.measures, self.found.contracts
        )

    def sources(self, period: Period) -> list[str]:
        """The sources a month is asked about: measured in it, sent for it, or due. One nobody awaits yet is not missing."""
        return [
            source
            for source, promised in self.found.contracts.items()
            if self.of(period, source) or (source, period) in self.found.deliveries or promised.is_due(period)
        ]

    def sheets(self) -> list[Period]:
        """The months that have pages of their own, the newest first."""
        released = self.found.released
        return [one for one in released[::-1] if one >= released[-1].shift(1 - SHEETS)]


def table(found: Evidence) -> Table:
    """The scores the pages are made of."""
    by_place: dict[tuple[Period, str, str], ByMeasure] = defaultdict(dict)
    for one in found.scores:
        by_place[Period.of(one.period), one.source, one.province_code][one.measure] = one
    return Table(found, dict(by_place))


def sheet_address(period: Period, area: str) -> str:
    """The committee's page of an area and month."""
    return f"scorecard/{period}/{area}.html"


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The newest month, a page for each of the last twelve, and one for each source."""
    title = words.t("scorecard.title")
    scores = table(found)
    sheets = scores.sheets()
    newest = sheets[0] if sheets else None
    yield _month(scores, words, newest, "scorecard.html")
    for period in sheets:
        yield _month(scores, words, period, f"scorecard/{period}.html")
    for source in found.contracts:
        if newest is not None:
            yield _source(scores, words, source, newest, (("scorecard.html", title),))


def _month(scores: Table, words: Words, period: Period | None, address: str) -> Page:
    title = words.t("scorecard.title")
    if period is None:
        return Page(address, "scorecard", "scorecard.html", title, {"of_period": None})
    found = scores.found
    content = {
        "of_period": period,
        "dimensions": subject.DIMENSIONS,
        "rows": [
            (source, subject.title(found, words, source),
             [scores.verdict(period, source, word) for word in subject.DIMENSIONS])
            for source in scores.sources(period)
        ],
        "sheets": scores.sheets(),
        "areas": [(NATION, words.t("scorecard.nation")), *by_name(found, period)],
        "sheet_address": sheet_address,
    }  # fmt: skip
    trail = () if address == "scorecard.html" else (("scorecard.html", title),)
    return Page(address, "scorecard", "scorecard.html", f"{title}: {words.month(period)}", content, trail)


def by_name(found: Evidence, period: Period) -> list[tuple[str, str]]:
    """Code and name of the provinces of a month, by code."""
    return sorted(found.provinces_in(period).items())


def _source(scores: Table, words: Words, source: str, period: Period, trail: tuple[tuple[str, str], ...]) -> Page:
    found = scores.found
    span = [*months(max(period.shift(1 - TREND), found.released[0]), period)]
    by_word = []
    for word in subject.DIMENSIONS:
        known = [one for one in found.measures.values() if one.word == word]
        known = [one for one in known if any(one.measure in scores.of(month, source) for month in span)]
        history = [
            (month, [shown(words, one, scores.of(month, source).get(one.measure)) for one in known])
            for month in span[::-1][:_HISTORY]
            if scores.of(month, source)
        ]
        if known:
            lines = [_line(scores, words, one, source, span) for one in known]
            by_word.append((word, scores.verdict(period, source, word), lines, history))
    title = subject.title(found, words, source)
    content = {
        "of_period": period,
        "source": source,
        "by_word": by_word,
        "dimensions": subject.DIMENSIONS,
        "provinces": [
            (code, name, [scores.verdict(period, source, word, code) for word in subject.DIMENSIONS])
            for code, name in by_name(found, period)
            if scores.of(period, source, code)
        ],
        "sheet_address": sheet_address,
        "least": withheld.least(),
        "withheld": [name for code, name in by_name(found, period) if (source, period, code) in found.withheld_places],
    }
    return Page(f"scorecard/{source}.html", "scorecard", "scorecard_source.html", title, content, trail)


def _line(scores: Table, words: Words, known: Measure, source: str, span: list[Period]) -> Line:
    promised = scores.found.contracts.get(source)
    over = [scores.of(month, source).get(known.measure) for month in span]
    now = over[-1]
    before = scores.of(span[-1].shift(-1), source).get(known.measure)
    target = known.target_for(promised)
    state, change, better = "none", "–", None
    if now is not None:
        state = {True: "passed", False: "blocked", None: "info"}[known.reached(now.value, promised)]
        if before is not None:
            change, better = changed(words, known, now.value - before.value)
    return Line(
        known,
        words.pair(known.en, known.vi),
        shown(words, known, now),
        "" if target is None else ("≥ " if known.direction == "up" else "≤ ") + _figure(words, known, target),
        state,
        change,
        better,
        figure.spark([one.value if one else None for one in over]),
    )


def shown(words: Words, known: Measure, score: Score | None) -> str:
    """A measure's value as the language writes it; a dash when it is not there."""
    return "–" if score is None else _figure(words, known, score.value)


def changed(words: Words, known: Measure, change: float) -> tuple[str, bool | None]:
    """A change in words, and whether it is for the better; None when the shown figure did not move."""
    size = round(abs(change) * 100, 1) if known.unit == "share" else round(abs(change))
    if not size:
        return f"=\N{NO-BREAK SPACE}{words.t('word.unchanged')}", None
    sign = "▲" if change > 0 else "▼"
    if known.unit == "share":
        return f"{sign} {words.t('scorecard.points', points=words.number(size, 1))}", known.better(change)
    return f"{sign} {_days(words, size)}", known.better(change)


def _figure(words: Words, known: Measure, value: float) -> str:
    if known.unit == "share":
        return words.percent(value)
    return _days(words, value)


def _days(words: Words, value: float) -> str:
    return words.t("scorecard.day") if value == 1 else words.t("scorecard.days", days=words.number(value))
