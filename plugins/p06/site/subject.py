"""What several pages say of the same thing: a source's name, where a delivery stands, what somebody must do."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from p06 import suite
from p06.contract import Contract
from p06.dimension import Dimension
from p06.period import Period
from p06.site.evidence import Answer, Arrival, Evidence, Refusal
from p06.site.page import check_address
from p06.site.words import VIETNAM, Words

DIMENSIONS: tuple[Dimension, ...] = ("dung", "du", "sach", "song", "thong_nhat", "dung_chung")
WORST = ("blocked", "warned", "waived", "info", "passed")


@dataclass(frozen=True)
class Standing:
    """Where the delivery of a source and month stands."""

    state: str  # released, accepted, blocked, refused, none, not_due
    source: str
    period: Period
    due: date
    late: bool = False
    arrival: Arrival | None = None
    arrivals: tuple[Arrival, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    waiver: suite.Waiver | None = None

    @property
    def quarantined_share(self) -> float | None:
        """Rows in quarantine by rows received, 0 to 1."""
        return self.arrival.quarantined / self.arrival.received if self.arrival and self.arrival.received else None


@dataclass(frozen=True)
class Action:
    """One thing that waits for somebody."""

    kind: str  # the sign: blocked, refused, warned, waived, none, held
    subject: str
    text: str
    who: str
    address: str


def title(found: Evidence, words: Words, name: str) -> str:
    """A source's name in the language; a mart's own name."""
    known = found.contracts.get(name)
    return words.pair(known.title_en, known.title_vi) if known else name


def due_day(known: Contract, period: Period) -> date:
    """The day by which the delivery of a month is due."""
    following = period.shift(1)
    last = calendar.monthrange(following.year, following.month)[1]
    return date(following.year, following.month, min(known.deadline_day, last))


def standing(found: Evidence, source: str, period: Period) -> Standing:
    """Where a source's delivery of a month stands; late is what its sender produced after the day it was due."""
    known = found.contracts[source]
    due = due_day(known, period)
    arrivals, refusals = found.deliveries.get((source, period), ((), ()))
    winner = found.accepted.get((source, period))
    if winner:
        release = found.current.get(period)
        used = release is not None and (release.release_id, source, winner.period, winner.extract) in found.used
        late = min(one.produced_at for one in arrivals).astimezone(VIETNAM).date() > due
        return Standing("released" if used else "accepted", source, period, due, late, winner, arrivals, refusals)
    if arrivals:
        return Standing(arrivals[-1].state, source, period, due, False, arrivals[-1], arrivals, refusals)
    if refusals:
        return Standing("refused", source, period, due, refusals=refusals)
    waiver = next((w for w in found.waivers if w.check is None and w.source == source and period in w.periods), None)
    not_due = not known.is_due(period)
    return Standing("not_due" if not_due else "none", source, period, due, waiver=waiver)


def worst(answers: Iterable[Answer]) -> str:
    """The gravest state among answers; ``none`` without any."""
    states = {answer.state for answer in answers}
    return next((state for state in WORST if state in states), "none")


def check_title(words: Words, check: suite.Check | None, name: str) -> str:
    """What a check asks, in words; its name when no suite holds it any more."""
    return words.pair(check.title.get("en", ""), check.title.get("vi", "")) if check else name.replace("_", " ")


def actions(found: Evidence, words: Words, period: Period) -> Iterator[Action]:
    """What waits for somebody in a month, the gravest first."""
    for day, answer_by in found.waiting:
        if Period.of(day) == period:
            text = words.t("overview.approval", moment=words.moment(answer_by))
            yield Action("held", "", text, words.t("word.officers"), "releases.html")
    for held in found.held:
        if Period.of(held.period) == period:
            yield Action(
                "held", "", words.named("overview", f"held_{held.kind}"), words.t("word.engineers"), "releases.html"
            )
    for source in found.contracts:
        one = standing(found, source, period)
        open_refusal = one.refusals and (one.arrival is None or one.refusals[-1].at > one.arrival.staged_at)
        if open_refusal:
            codes = " ".join(words.of_code(code) + "." for code in one.refusals[-1].codes)
            yield Action("refused", source, words.t("overview.refused", reasons=codes), found.owner_of(source),
                         f"deliveries/{source}.html")  # fmt: skip
        if one.state == "none" and one.waiver is None:
            text = words.t("overview.not_received", day=words.day(one.due))
            yield Action("none", source, text, found.owner_of(source), f"deliveries/{source}.html")
    failing = [
        by_month[period]
        for by_check in found.by_subject.values()
        for by_month in by_check.values()
        if period in by_month and not by_month[period].success and by_month[period].severity != "info"
    ]
    for answer in sorted(failing, key=lambda one: (WORST.index(one.state), one.subject, one.check)):
        known = found.checks.get((answer.subject, answer.check))
        text = f"{check_title(words, known, answer.check)}: {words.figure(answer.observed) or '–'}"
        yield Action(answer.state, answer.subject, text, answer.owner, check_address(answer.subject, answer.check))
