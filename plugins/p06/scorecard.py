"""The scorecard: the measures of the six words, their targets, and what a month says of them.

What a measure is called, how it is made and what it should reach stands once, in the model's YAML
(``dbt_project/models/marts/quality/_scorecard.yml``); the model, the pages and the command read it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from p06 import database, project
from p06.contract import Contract
from p06.dimension import DIMENSIONS, Dimension
from p06.period import Period

NATION = "VN"  # in place of a province: the whole source


@dataclass(frozen=True)
class Measure:
    """One measure. ``target`` is in its unit, or ``deadline``: the contract's day; None: shown and not judged."""

    measure: str
    word: Dimension
    en: str
    vi: str
    formula_en: str
    formula_vi: str
    unit: Literal["share", "days"]
    direction: Literal["up", "down"]
    target: float | Literal["deadline"] | None
    origin: Literal["mart", "ledger"]  # marts.scorecard, or marts.scorecard_timing
    computed_from: str

    def target_for(self, promised: Contract | None) -> float | None:
        """What the measure should reach for a source; None without a target, or without the contract that states it."""
        if self.target == "deadline":
            return float(promised.deadline_day) if promised else None
        return self.target

    def reached(self, value: float, promised: Contract | None) -> bool | None:
        """Whether a value is on the good side of its target; None without one."""
        target = self.target_for(promised)
        if target is None:
            return None
        return value >= target if self.direction == "up" else value <= target

    def better(self, change: float) -> bool:
        """Whether a change goes the good way."""
        return (change > 0) == (self.direction == "up")


@dataclass(frozen=True)
class Score:
    """A measure of a source, area and month; ``province_code`` VN is the whole source."""

    period: date
    source: str
    province_code: str
    measure: str
    numerator: int | None
    denominator: int
    value: float


@dataclass(frozen=True)
class Verdict:
    """What the measures of one word say together: how many have a target and how many of them reach it."""

    judged: int
    reached: int
    shown: int  # with those that have no target

    @property
    def state(self) -> str:
        """passed (all reach it), warned (some do), blocked (none does), info (none is judged) or none (none is there)."""
        if not self.judged:
            return "info" if self.shown else "none"
        if self.reached == self.judged:
            return "passed"
        return "warned" if self.reached else "blocked"


def measures() -> Mapping[str, Measure]:
    """Every measure by its code, in the order of the six words."""
    stated = project.meta("scorecard")["measures"]
    known = [_measure(one) for one in stated]
    order = list(DIMENSIONS)
    return {one.measure: one for one in sorted(known, key=lambda one: order.index(one.word))}


def read(
    connection: psycopg.Connection[Any],
    since: Period | None = None,
    until: Period | None = None,
    province: str | None = None,
    provinces: bool = False,
) -> list[Score]:
    """What readers see of some months (all by default), of one area, of all provinces or of all; whole sources first.

    ``connection`` may read schema marts, of a warehouse that has its views.
    """
    with connection.cursor(row_factory=class_row(Score)) as cursor:
        return cursor.execute(
            _READ,
            {
                "since": since.first_day if since else None,
                "until": until.first_day if until else None,
                "province": province,
                "provinces": provinces,
            },
        ).fetchall()


def compare(period: Period | None, province: str) -> tuple[Period | None, list[Score], dict[tuple[str, str], float]]:
    """A month (the newest published by default), its scores of an area, and (source, measure) -> value the month before.

    No month and no scores when nothing was ever published; nothing of the month before when the code meant another
    province then. Reads as the role of quality officers.
    """
    with database.connect("quality", autocommit=True) as connection:
        there = connection.execute("select to_regclass('marts.scorecard') is not null").fetchone()
        if there is None or not there[0]:
            return period, [], {}
        if period is None:
            newest = connection.execute("select max(period) from marts.release where current").fetchone()
            if newest is None or newest[0] is None:
                return None, [], {}
            period = Period.of(newest[0])
        since = period.shift(-1) if is_the_same(connection, province, period) else period
        scores = read(connection, since, period, province)
    before = {(one.source, one.measure): one.value for one in scores if Period.of(one.period) < period}
    return period, [one for one in scores if Period.of(one.period) == period], before


def is_the_same(connection: psycopg.Connection[Any], province: str, period: Period) -> bool:
    """Whether a province's code meant the same province the month before: codes are used again, provinces merged."""
    changed = connection.execute(
        "select 1 from marts.area_change where level = 'province' and new_code = %s and effective_date > %s"
        " and effective_date <= %s group by effective_date having count(*) > 1 or min(old_code) <> min(new_code)",
        (province, period.shift(-1).first_day, period.first_day),
    ).fetchone()
    return changed is None


def verdict(
    scores: Iterable[Score], word: Dimension, known: Mapping[str, Measure], contracts: Mapping[str, Contract]
) -> Verdict:
    """What these scores of one source, area and month say of a word."""
    answers = [
        known[one.measure].reached(one.value, contracts.get(one.source))
        for one in scores
        if one.measure in known and known[one.measure].word == word
    ]
    judged = [answer for answer in answers if answer is not None]
    return Verdict(len(judged), sum(judged), len(answers))


def _measure(stated: Mapping[str, Any]) -> Measure:
    target = stated.get("target")
    return Measure(
        measure=stated["measure"],
        word=stated["word"],
        en=stated["en"],
        vi=stated["vi"],
        formula_en=stated["formula_en"],
        formula_vi=stated["formula_vi"],
        unit=stated["unit"],
        direction=stated["direction"],
        target=target if target is None or target == "deadline" else float(target),
        origin=stated.get("in", "mart"),
        computed_from=stated["from"],
    )


_READ = """
select period, source, province_code, measure, numerator, denominator, value::float8 as value
from (
    select period, source, province_code, measure, numerator, denominator, value from marts.scorecard
    union all
    select period, source, province_code, measure, numerator, denominator, value from marts.scorecard_timing
) as scores
where (%(since)s::date is null or period >= %(since)s)
    and (%(until)s::date is null or period <= %(until)s)
    and (%(province)s::text is null or province_code = %(province)s)
    and (not %(provinces)s or province_code <> 'VN')
order by period, source, province_code <> 'VN', province_code, measure
"""
