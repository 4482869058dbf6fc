"""What the pages tell, read from the warehouse in one snapshot by the role of quality officers; no rows of people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

import psycopg
from psycopg.rows import class_row

from p06 import contract, database, duty, scorecard, suite
from p06.contract import Contract
from p06.errors import P06Error
from p06.period import Period, months
from p06.scorecard import Measure, Score
from p06.site.withheld import Place, Withheld, least, withhold

ROLE = "quality"
TREND = 24  # months a trend shows
SHEETS = 12  # newest months whose provinces have a page of the scorecard


@dataclass(frozen=True)
class Arrival:
    """One extract that was staged; counts are rows."""

    source: str
    period: date
    extract: str
    revision: int
    state: str
    accepted: bool
    produced_at: datetime
    staged_at: datetime
    accepted_at: datetime | None
    contract_version: str
    admin_code_version: date
    received: int
    duplicates: int
    quarantined: int
    staged: int


@dataclass(frozen=True)
class Refusal:
    """One delivery that was refused, with the codes of its reasons."""

    source: str
    period: date
    at: datetime
    codes: list[str]


@dataclass(frozen=True)
class Release:
    """One published state of a month."""

    release_id: str
    period: date
    build_id: int
    published_at: datetime
    gate: str
    approved_by: str | None
    current: bool

    @property
    def number(self) -> int:
        """Which release of its month it is, from 1."""
        return int(self.release_id.rpartition(".")[2])


@dataclass(frozen=True)
class PointerChange:
    """A publication or a rollback."""

    event_id: int
    period: date
    kind: str
    from_release: str | None
    to_release: str
    who: str
    why: str | None
    at: datetime


@dataclass(frozen=True)
class Held:
    """A month that is left alone until something changes."""

    period: date
    kind: str
    at: datetime


@dataclass(frozen=True)
class Sum:
    """The reconciliation of a source and month; the last four are None for a register, the three before the last also
    for a source that states nobody, whose rows are not matched.
    """

    period: date
    source: str
    revision: int
    received: int
    duplicates: int
    quarantined: int
    staged: int
    matched: int | None
    conflicting: int | None
    unmatched: int | None
    published: int | None

    @property
    def adds_up(self) -> bool:
        """Whether nothing was lost and nothing doubled on the way."""
        received = self.received == self.duplicates + self.quarantined + self.staged
        if self.matched is None or self.conflicting is None or self.unmatched is None:
            return received and self.published in (None, self.staged)
        return received and self.staged == self.matched + self.conflicting + self.unmatched == self.published


@dataclass(frozen=True)
class Answer:
    """What a gate last said about a check of a month."""

    period: date
    source: str | None
    mart: str | None
    check: str
    dimension: str
    severity: str
    success: bool
    observed: str | None
    threshold: str | None
    owner: str
    reason: str | None
    waived_by: str | None
    extract_id: str | None
    build_id: int | None

    @property
    def subject(self) -> str:
        """The source or mart that was judged."""
        return self.source or self.mart or ""

    @property
    def state(self) -> str:
        """passed, waived, info, warned or blocked."""
        if self.success:
            return "passed"
        if self.waived_by:
            return "waived"
        return {"block": "blocked", "warn": "warned"}.get(self.severity, "info")


@dataclass(frozen=True)
class Figure:
    """An indicator of an area and month."""

    code: str
    period: date
    level: str
    area: str
    numerator: int
    denominator: int
    value: float


@dataclass(frozen=True)
class Count:
    """A count of the nation in the newest month that has one."""

    code: str
    period: date
    value: int


@dataclass(frozen=True)
class Edition:
    """A figure of the nation as one release published it."""

    code: str
    period: date
    numerator: int
    denominator: int
    value: float
    release_id: str


@dataclass(frozen=True)
class Column:
    """A column readers see."""

    name: str
    type: str
    en: str
    vi: str


@dataclass(frozen=True)
class Mart:
    """A view readers see, with its columns."""

    schema: str
    name: str
    en: str
    vi: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Footnote:
    """What a reader of a figure has to know besides."""

    period: date
    mart: str
    indicator_code: str | None
    en: str
    vi: str


@dataclass
class Evidence:
    """Everything the pages are made of. Lists are ordered, so that equal content gives equal pages."""

    contracts: Mapping[str, Contract]
    arrivals: list[Arrival] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    inputs: list[tuple[str, str, date, str]] = field(default_factory=list)  # release, source, period, extract
    changes: list[PointerChange] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    methods: list[tuple[date, str, str, int]] = field(default_factory=list)  # period, source, method, records
    matched: list[tuple[str, str, str, int]] = field(
        default_factory=list
    )  # of the newest released month: province, source, method, records
    answers: list[Answer] = field(default_factory=list)
    failures: list[Answer] = field(default_factory=list)  # of every build and extract, not only the last judged
    reasons: list[tuple[date, str, str, int]] = field(
        default_factory=list
    )  # of the extract judged last: period, source, reason, rows
    waiting: list[tuple[date, datetime]] = field(default_factory=list)  # period that waits for approval, until when
    figures: list[Figure] = field(default_factory=list)  # nation and provinces
    communes: list[Figure] = field(default_factory=list)  # of the newest released month
    counts: list[Count] = field(default_factory=list)
    editions: list[Edition] = field(default_factory=list)
    provinces: list[tuple[str, date, date | None, str]] = field(default_factory=list)  # code, valid from, to, name
    changed_provinces: list[tuple[str, date]] = field(default_factory=list)  # code, day it became another province
    commune_names: dict[str, tuple[str, str]] = field(default_factory=dict)  # code -> name, province; newest month
    marts: list[Mart] = field(default_factory=list)
    footnotes: list[Footnote] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)  # whole sources; provinces of the newest months
    withheld: list[Withheld] = field(default_factory=list)  # figures that speak of too few records to be shown
    withheld_places: frozenset[Place] = frozenset()  # source, month and area they are of

    @cached_property
    def released(self) -> list[Period]:
        """The months readers see, oldest first."""
        return sorted(Period.of(one.period) for one in self.releases if one.current)

    @cached_property
    def periods(self) -> list[Period]:
        """Every month anything is known of, without gaps, oldest first."""
        days = [one.period for one in self.arrivals]
        days += [one.period for one in self.refusals]
        days += [one.period for one in self.releases]
        known = sorted({Period.of(day) for day in days})
        return list(months(known[0], known[-1])) if known else []

    @cached_property
    def current(self) -> dict[Period, Release]:
        """The release of each month that readers see."""
        return {Period.of(one.period): one for one in self.releases if one.current}

    @cached_property
    def by_subject(self) -> dict[str, dict[str, dict[Period, Answer]]]:
        """Subject -> check -> month -> the last answer."""
        found: dict[str, dict[str, dict[Period, Answer]]] = defaultdict(lambda: defaultdict(dict))
        for answer in self.answers:
            found[answer.subject][answer.check][Period.of(answer.period)] = answer
        return found

    @cached_property
    def accepted(self) -> dict[tuple[str, Period], Arrival]:
        """The winning extract of each source and month."""
        return {(one.source, Period.of(one.period)): one for one in self.arrivals if one.accepted}

    @cached_property
    def deliveries(self) -> dict[tuple[str, Period], tuple[tuple[Arrival, ...], tuple[Refusal, ...]]]:
        """What came for each source and month: what was staged, and what was refused."""
        found: dict[tuple[str, Period], tuple[list[Arrival], list[Refusal]]] = defaultdict(lambda: ([], []))
        for arrival in self.arrivals:
            found[arrival.source, Period.of(arrival.period)][0].append(arrival)
        for refusal in self.refusals:
            found[refusal.source, Period.of(refusal.period)][1].append(refusal)
        return {key: (tuple(arrivals), tuple(refusals)) for key, (arrivals, refusals) in found.items()}

    @cached_property
    def used(self) -> frozenset[tuple[str, str, date, str]]:
        """(release, source, month, extract) of everything a release was made of."""
        return frozenset(self.inputs)

    @cached_property
    def idle(self) -> frozenset[str]:
        """Sources nothing has come from yet and that are due in none of the months, and the facts made of them."""
        heard = {one.source for one in self.arrivals} | {one.source for one in self.refusals}
        silent = [
            known
            for source, known in self.contracts.items()
            if source not in heard and known.due_from and not any(map(known.is_due, self.periods))
        ]
        return frozenset(name for known in silent for name in (known.source, known.mart) if name)

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """The measures of the scorecard, by code."""
        return scorecard.measures()

    @cached_property
    def suites(self) -> dict[str, suite.Suite]:
        """The suites of every source and mart, by name; one that cannot be read is left out, its gate says why."""
        found = {}
        for name in (*self.contracts, *suite.marts()):
            with suppress(P06Error):
                found[name] = suite.load_source(name) if name in self.contracts else suite.load_mart(name)
        return found

    @cached_property
    def checks(self) -> dict[tuple[str, str], suite.Check]:
        """(subject, check) -> what the suite says of it."""
        return {(one.name, check.id): check for one in self.suites.values() for check in one.checks}

    @cached_property
    def waivers(self) -> tuple[suite.Waiver, ...]:
        """The waivers as they are written; none when the file cannot be read, which the gates report."""
        try:
            return suite.waivers()
        except P06Error:
            return ()

    def provinces_in(self, period: Period) -> dict[str, str]:
        """Code -> name of the provinces in force in a month."""
        day = period.first_day
        return {
            code: name for code, first, last, name in self.provinces if first <= day and (last is None or day < last)
        }

    def area_of(self, province: str, period: Period) -> str:
        """A province in force in a month by its code and first day."""
        day = period.first_day
        return next(
            duty.area(code, first)
            for code, first, last, _ in self.provinces
            if code == province and first <= day and (last is None or day < last)
        )

    def is_unchanged(self, province: str, period: Period) -> bool:
        """Whether the code named the same province the month before: codes are used again with other meanings."""
        now, before = period.first_day, period.shift(-1).first_day
        return not any(code == province and before < day <= now for code, day in self.changed_provinces)

    def is_matched(self, source: str) -> bool:
        """Whether rows of a source are matched with citizens; where they are not, no share of them is unmatched."""
        return source not in self.contracts or self.contracts[source].is_sector_source

    def owner_of(self, source: str) -> str:
        """Who answers for a source, as its contract says."""
        return self.contracts[source].owner if source in self.contracts else ""


def read() -> Evidence:
    """Read the warehouse in one snapshot. Raises P06Error when the database does not answer."""
    found = Evidence(contract.load_all())
    with database.connect(ROLE, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = on")
        connection.execute("set jit = off")
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            _read_all(connection, found)
    withhold(found)
    return found


def mark() -> str:
    """What changes whenever pages may: the newest moves of the ledger, in a few look-ups."""
    with database.connect(ROLE, autocommit=True) as connection:
        row = connection.execute(_MARK).fetchone()
    restricted = sorted(name for name, known in contract.load_all().items() if known.restricted)
    return " ".join(str(part) for part in (*(row or ()), least(), ",".join(restricted)))


def reason_of(check: suite.Check, language: str) -> str:
    """Why a check is made, in one language when it has it."""
    reason: Any = check.reason
    if isinstance(reason, Mapping):
        return str(reason.get(language) or reason.get("en") or "")
    return str(getattr(check, f"reason_{language}", None) or reason or "")


def _read_all(connection: psycopg.Connection[Any], found: Evidence) -> None:
    def rows(kind: type[Any], query: str, **values: Any) -> list[Any]:
        with connection.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(query.encode(), values).fetchall()

    def tuples(query: str, **values: Any) -> list[Any]:
        with connection.cursor() as cursor:
            return cursor.execute(query.encode(), values).fetchall()

    sources = list(found.contracts)
    found.arrivals = rows(Arrival, _ARRIVALS, sources=sources)
    found.refusals = rows(Refusal, _REFUSALS, sources=sources)
    found.changes = rows(PointerChange, "select * from quality.pointer_change order by event_id")
    found.held = rows(Held, "select * from quality.held_period order by period")
    found.answers = rows(Answer, _ANSWERS)
    found.failures = rows(Answer, _FAILURES)
    found.reasons = tuples(
        "select f.period, f.source, f.reason, count(distinct (f.file_no, f.line)) from quality.failed_row as f"
        " inner join (select distinct on (period, source) period, source, extract_id from quality.check_result"
        " where extract_id is not null order by period, source, at desc, run desc) as j on j.extract_id = f.extract"
        " group by 1, 2, 3 order by 1, 2, 4 desc, 3"
    )
    found.waiting = tuples("select period, answer_by from quality.approval where state = 'waiting' order by 1, 2")
    if not _exists(connection, "marts.release"):
        return  # nothing was ever built
    found.releases = rows(Release, _RELEASES)
    found.inputs = tuples("select release_id, source, period, extract from quality.release_extract order by 1, 2, 3")
    found.sums = [
        one if found.is_matched(one.source) else replace(one, matched=None, conflicting=None, unmatched=None)
        for one in rows(Sum, _SUMS)
    ]
    methods = tuples(
        "select period, source, match_method, sum(records)::bigint from marts.match_summary group by 1, 2, 3 order by 1, 2, 3"
    )
    found.methods = [one for one in methods if found.is_matched(one[1])]
    found.figures = rows(Figure, _FIGURES)
    found.editions = rows(Edition, _EDITIONS)
    if _exists(connection, "marts.indicator_count"):
        found.counts = rows(Count, _COUNTS)
    found.provinces = tuples(
        "select code, valid_from, valid_to, name from marts.dim_area where level = 'province' order by 1, 2"
    )
    found.changed_provinces = tuples(
        "select new_code, effective_date from marts.area_change where level = 'province' group by 1, 2"
        " having count(*) > 1 or min(old_code) <> new_code order by 1, 2"
    )
    if found.released:
        newest = found.released[-1].first_day
        found.communes = rows(Figure, _COMMUNES, period=newest)
        found.matched = tuples(
            "select province_code, source, match_method, sum(records)::bigint from marts.match_summary"
            " where period = %(period)s and province_code is not null group by 1, 2, 3 order by 1, 2, 3",
            period=newest,
        )
        found.commune_names = {code: (name, parent) for code, name, parent in tuples(_COMMUNE_NAMES, period=newest)}
    found.marts = _marts(connection)
    found.footnotes = _footnotes(connection)
    if found.released and _exists(connection, "marts.scorecard_timing"):
        newest_month = found.released[-1]
        shown = set(found.released)  # what was rolled back to nothing or never published has no page
        scores = scorecard.read(connection, newest_month.shift(1 - TREND), province=scorecard.NATION)
        scores += scorecard.read(connection, newest_month.shift(1 - SHEETS), provinces=True)
        found.scores = [one for one in scores if Period.of(one.period) in shown]


def _exists(connection: psycopg.Connection[Any], name: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", (name,)).fetchone()
    return bool(row and row[0])


def _marts(connection: psycopg.Connection[Any]) -> list[Mart]:
    """The views of schema marts and quality this role reads, from their comments, in two languages."""
    found: dict[tuple[str, str], tuple[str, list[Column]]] = {}
    for schema, view, about, name, kind, comment in connection.execute(_COLUMNS.encode()).fetchall():
        _, columns = found.setdefault((schema, view), (about or "", []))
        en, _, vi = (comment or "").partition(" · ")
        columns.append(Column(name, kind, en, vi))
    marts = []
    for (schema, name), (about, columns) in found.items():
        en, _, vi = about.partition(" · ")
        marts.append(Mart(schema, name, en, vi, tuple(columns)))
    return marts


def _footnotes(connection: psycopg.Connection[Any]) -> list[Footnote]:
    """The footnotes of the current releases, where the warehouse keeps them."""
    if not _exists(connection, "marts.footnote"):
        return []
    with connection.cursor(row_factory=class_row(Footnote)) as cursor:
        return cursor.execute(
            "select distinct period, mart, indicator_code, text_en as en, text_vi as vi from marts.footnote"
            " order by 1, 2, 3, 4, 5"
        ).fetchall()


_MARK = """
select
    (select coalesce(max(event_id), 0) from quality.pointer_change),
    (select coalesce(max(staged_at)::text, '-') from quality.arrival),
    (select coalesce(max(accepted_at)::text, '-') from quality.arrival),
    (select coalesce(max(at)::text, '-') from quality.refusal),
    (select coalesce(max(at)::text, '-') from quality.held_period),
    (select count(*) from quality.held_period),
    (select coalesce(max(at)::text, '-') from quality.check_result),
    (select coalesce(max(request_id), 0) from quality.approval),
    (select coalesce(max(at)::text, '-') from quality.approval)
"""
_ARRIVALS = """
select source, period, extract, revision, state, accepted, produced_at, staged_at, accepted_at, contract_version,
    admin_code_version, received, duplicates, quarantined, staged
from quality.arrival
where source = any(%(sources)s)
order by source, period, revision, staged_at, extract
"""
# A folder's name is not believed: only sources that have a contract, and months near the day of the refusal.
_REFUSALS = """
select source, period, at, codes
from quality.refusal
where source = any(%(sources)s)
    and period > at - interval '10 years' and period <= at + interval '1 month'
order by source, period, at
"""
_RELEASES = """
select release_id, period, build_id, published_at, gate, approved_by, current
from marts.release
order by period, length(release_id), release_id
"""
_SUMS = """
select period, source, revision, received, duplicates, quarantined, staged, matched, conflicting, unmatched, published
from marts.reconciliation
order by period, source
"""
# The last judgement as a whole: what only an earlier one asked was mended or is asked no more. Failed tests of the
# models stand beside the judgement of their build.
_ANSWERS = """
with last_run as (
    select distinct on (period, source) period, source, run, build_id
    from quality.check_result
    where run not like 'dbt:%%'
    order by period, source, at desc, run desc
)
select c.period, c.source, c.mart, c."check", c.dimension, c.severity, c.success, c.observed, c.threshold, c.owner,
    c.reason, c.waived_by, c.extract_id, c.build_id
from quality.check_result as c
left join last_run as l on l.period = c.period and l.source is not distinct from c.source
where c.run = l.run or (c.run like 'dbt:%%' and c.build_id >= coalesce(l.build_id, 0))
order by c.period, c.source, c.mart, c."check", c.at, c.run
"""
_FAILURES = """
with last_run as (
    select distinct on (extract_id, build_id) extract_id, build_id, run
    from quality.check_result
    where run not like 'dbt:%%'
    order by extract_id, build_id, at desc, run desc
)
select c.period, c.source, c.mart, c."check", c.dimension, c.severity, c.success, c.observed, c.threshold, c.owner,
    c.reason, c.waived_by, c.extract_id, c.build_id
from quality.check_result as c
left join last_run as l
    on l.extract_id is not distinct from c.extract_id and l.build_id is not distinct from c.build_id
where not c.success and (c.run = l.run or c.run like 'dbt:%%')
order by c.extract_id, c.build_id, c.source, c.mart, c."check", c.at, c.run
"""
_FIGURES = """
select indicator_code as code, period, area_level as level, area_code as area, numerator, denominator,
    value::float8 as value
from marts.indicator
where area_level in ('nation', 'province')
order by indicator_code, period, area_level, area_code
"""
_COMMUNES = """
select indicator_code as code, period, area_level as level, area_code as area, numerator, denominator,
    value::float8 as value
from marts.indicator
where area_level = 'commune' and period = %(period)s
order by indicator_code, area_code
"""
_COMMUNE_NAMES = """
select code, name, parent_code
from marts.dim_area
where level = 'commune' and valid_from <= %(period)s and (valid_to is null or valid_to > %(period)s)
order by code
"""
_COUNTS = """
select distinct on (indicator_code) indicator_code as code, period, value
from marts.indicator_count
where area_level = 'nation'
order by indicator_code, period desc
"""
_EDITIONS = """
select indicator_code as code, period, numerator, denominator, value::float8 as value, release_id
from marts.indicator_edition
where area_level = 'nation'
order by indicator_code, period, length(release_id), release_id
"""
_COLUMNS = """
select
    n.nspname as schema,
    c.relname as view,
    obj_description(c.oid, 'pg_class') as about,
    a.attname as name,
    format_type(a.atttypid, a.atttypmod) as type,
    col_description(c.oid, a.attnum) as comment
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = 'marts' and c.relkind = 'v' and has_table_privilege(c.oid, 'select')
order by 1, 2, a.attnum
"""
