"""Quality: sources and marts by the six words, a page for each of them, and a page for each check."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from p06 import suite
from p06.period import Period, months
from p06.site import evidence, figure, subject
from p06.site.evidence import TREND, Answer, Evidence
from p06.site.page import Page, check_address
from p06.site.words import Words

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True)
class Line:
    """A check beside its last answer."""

    check: str
    title: str
    dimension: str
    severity: str
    owner: str
    answer: Answer | None

    @property
    def state(self) -> str:
        """The state of the last answer; ``none`` without one."""
        return self.answer.state if self.answer else "none"


@dataclass(frozen=True)
class Judged:
    """A source or mart that gates judge."""

    name: str
    title: str
    newest: Period | None
    lines: tuple[Line, ...]

    def of(self, dimension: str) -> list[Line]:
        """Its checks of one of the six words."""
        return [line for line in self.lines if line.dimension == dimension]


def pages(found: Evidence, words: Words) -> Iterator[Page]:
    """The table, a page for each source and mart, a page for each check."""
    suites = {
        name: known for name, known in found.suites.items() if name not in found.idle
    }  # nothing was asked of them
    order = [*found.contracts, *sorted((found.suites.keys() | found.by_subject.keys()) - found.contracts.keys())]
    judged = [_judged(found, words, name, suites.get(name)) for name in order if _NAME.fullmatch(name)]
    waivers = found.waivers
    title = words.t("quality.title")
    yield Page("quality.html", "quality", "quality.html", title,
               {"judged": [one for one in judged if one.name not in found.idle], "dimensions": subject.DIMENSIONS, "worst": _worst, "waivers": waivers})  # fmt: skip
    above = (("quality.html", title),)
    for one in judged:
        reasons = _reasons(found, one.name, one.newest)
        yield Page(
            f"quality/{one.name}.html", "quality", "judged.html", one.title,
            {"judged": one, "reasons": reasons, "known": found.contracts.get(one.name), "dimensions": subject.DIMENSIONS},
            trail=above,
        )  # fmt: skip
        stated = {check.id: check for check in suites[one.name].checks} if one.name in suites else {}
        for line in one.lines:
            yield _check(found, words, one, line, stated.get(line.check), reasons, waivers, above)


def _judged(found: Evidence, words: Words, name: str, known: suite.Suite | None) -> Judged:
    answers = found.by_subject.get(name, {})
    newest = max((period for by_month in answers.values() for period in by_month), default=None)
    stated = {check.id: check for check in known.checks} if known else {}
    lines = []
    for check in [*stated, *sorted(answers.keys() - stated.keys())]:
        if not _NAME.fullmatch(check):
            continue
        last = answers.get(check, {}).get(newest) if newest else None
        one = stated.get(check) or last
        if one is None:  # asked once, neither in the suite nor in the newest month
            continue
        title = subject.check_title(words, stated.get(check), check)
        lines.append(Line(check, title, one.dimension, one.severity, one.owner, last))
    return Judged(name, subject.title(found, words, name), newest, tuple(lines))


def _worst(lines: list[Line]) -> str:
    return subject.worst([line.answer for line in lines if line.answer])


def _reasons(found: Evidence, name: str, newest: Period | None) -> list[tuple[str, int]]:
    """Reasons and rows of the newest month of a source, the most frequent first."""
    return [(reason, rows) for period, source, reason, rows in found.reasons
            if source == name and newest and Period.of(period) == newest]  # fmt: skip


def _check(
    found: Evidence,
    words: Words,
    judged: Judged,
    line: Line,
    stated: suite.Check | None,
    reasons: list[tuple[str, int]],
    waivers: tuple[suite.Waiver, ...],
    above: tuple[tuple[str, str], ...],
) -> Page:
    answers = found.by_subject.get(judged.name, {}).get(line.check, {})
    last = found.periods[-1] if found.periods else None
    span = [*months(max(last.shift(1 - TREND), found.periods[0]), last)] if last else []
    trend = [(period, answers.get(period)) for period in span]
    limit, _, unless = ((line.answer.threshold if line.answer else None) or "").partition(", unless ")
    content = {
        "judged": judged,
        "line": line,
        "reason": evidence.reason_of(stated, words.language) if stated else (line.answer and line.answer.reason),
        "limit": limit,
        "unless": unless,
        "trend": trend[::-1],
        "states": figure.states(trend, words, line.title) if any(one for _, one in trend) else None,
        "values": figure.values(trend, words, line.title),
        "waivers": [w for w in waivers if w.check == line.check and judged.name in (w.source, w.mart)],
        "reasons": reasons,
        "of_source": judged.name in found.contracts,
    }
    return Page(
        check_address(judged.name, line.check), "quality", "check.html", line.title, content,
        trail=(*above, (f"quality/{judged.name}.html", judged.title)),
    )  # fmt: skip
