"""What a build counted, kept beside it: the history a month is compared with, read without touching its partitions.

A mart's suite says what is counted (``profile``); of a fact the contract adds its codes, the orders of magnitude of
its amounts and the days of birth. Each profile is taken once, when gate 2 judges the build, and kept in
``quality.profile``. A published month whose profile is missing, or was taken by another definition, is taken again from
its partition: after an upgrade or a change of the suite, up to twelve times and never more.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from p06 import codelist, contract
from p06.contract import Contract
from p06.history import WINDOW, Past, Profile
from p06.period import Period
from p06.settings import settings
from p06.staging import has_record_key
from p06.suite import IDENTITY, Measure, Suite

_FEW = 20  # an integer with no more values than this is a code
_STEPS = [base * 10**power for power in range(13) for base in (1, 3)]
_MAGNITUDE = f"width_bucket({{column}}, array{_STEPS}::numeric[])"
_BIRTH_DAY = (
    "case when extract(month from birth_date) = 1 and extract(day from birth_date) = 1 then '1 Jan'"
    " else extract(day from birth_date)::text end"
)
# equal for equal sets of records and times of change, and hardly ever otherwise
_CONTENT = "hash_record_extended(row(r.record_key, r.updated_at), 0) & 1048575"
DEFINITION = "#"
_TOGETHER = 4  # keys that share a scan


def measures(asked: Suite) -> tuple[Measure, ...]:
    """What the profile of a mart counts: what its suite says, then what its contract gives."""
    found = {measure.measure: measure for measure in asked.profile}
    promised = contract.load_all().get(asked.of_source) if found and asked.of_source else None
    if promised:
        for measure in _of_contract(promised):
            found.setdefault(measure.measure, measure)
    return tuple(found.values())


def _of_contract(promised: Contract) -> list[Measure]:
    found = []
    for column in promised.columns:
        if not column.in_mart or column.name in IDENTITY or column.codelist == codelist.COMMUNE:
            continue
        listed = column.kind == "code" and column.codelist is not None
        few = column.kind == "integer" and column.minimum is not None and column.maximum is not None
        if column.kind == "enum" or listed or (few and column.maximum - column.minimum <= _FEW):  # type: ignore[operator]
            found.append(Measure(f"code.{column.name}", key=column.name))
        elif column.kind == "numeric":
            found.append(Measure(f"magnitude.{column.name}", key=_MAGNITUDE.format(column=column.name)))
    if any(column.name == "birth_date" for column in promised.columns):
        found.append(Measure("birth_day", key=_BIRTH_DAY, of="staged"))
    if has_record_key(promised) and any(column.name == "updated_at" for column in promised.columns):
        found.append(Measure("content", value=_CONTENT, of="staged"))
    return found


def definition(asked: Sequence[Measure]) -> str:
    """A short hash of what is counted and how."""
    return hashlib.sha256(repr(tuple(asked)).encode()).hexdigest()[:16]


def statement(asked: Sequence[Measure]) -> str:
    """One query over ``{rows}`` and ``{staged}`` giving measure, key and value.

    Plain counts share scans, a few keys to each: all of them together would make nearly as many groups as rows.
    """
    plain = [m for m in asked if m.value is None and m.where is None and m.of == "rows"]
    heads, parts = [], []
    for first in range(0, len(plain), _TOGETHER):
        some, table = plain[first : first + _TOGETHER], f"counted_{first // _TOGETHER}"
        keys = ", ".join(f"({m.key or 'null'})::text as k{at}" for at, m in enumerate(some))
        grouped = ", ".join(str(at + 1) for at in range(len(some)))
        heads.append(f"{table} as materialized (select {keys}, count(*) as n from {{rows}} as r group by {grouped})")
        parts += [
            f"select {_text(m.measure)}, coalesce(k{at}, ''), sum(n) from {table} group by 2"
            for at, m in enumerate(some)
        ]
    for m in asked:
        if m not in plain:
            key, value = f"coalesce(({m.key or 'null'})::text, '')", f"sum({m.value})" if m.value else "count(*)"
            place = "{staged}" if m.of == "staged" else "{rows}"
            where = f" where {m.where}" if m.where else ""
            parts.append(f"select {_text(m.measure)}, {key}, {value} from {place} as r{where} group by 2")
    return (f"with {', '.join(heads)} " if heads else "") + " union all ".join(parts)


@dataclass
class Keeper:
    """The profiles of one build: taken, compared with the published ones, then written."""

    connection: psycopg.Connection[Any]
    period: Period
    build_id: int
    taken: list[tuple[date, int, str, str, str, float]] = field(default_factory=list)

    def compare(self, asked: Suite) -> tuple[Profile, Past]:
        """The profile of this build's mart, and what it is compared with. Raises psycopg.Error."""
        now = self._take(asked, self.period, self.build_id)
        months = self._published(asked.of_source)
        known = self._kept(asked, [build for _, build in months])
        for period, build in months:
            if build not in known and build != self.build_id:
                known[build] = self._take(asked, period, build)
        areas = {measure.measure for measure in measures(asked) if measure.area}
        profiles = {
            period: _restated(known[build], areas, period, self.period) for period, build in months if build in known
        }
        before = [period for period in sorted(profiles) if period < self.period]
        return now, Past(
            months=[profiles[period] for period in before[-WINDOW:]],
            before=profiles.get(self.period.shift(-1)),
            year_before=profiles.get(self.period.shift(-12)),
            released=profiles.get(self.period),
        )

    def write(self) -> None:
        """Keep what was taken, within the caller's transaction; profiles of builds that are gone go with them."""
        for build_id, mart in sorted({(row[1], row[2]) for row in self.taken}):
            self.connection.execute("delete from quality.profile where build_id = %s and mart = %s", (build_id, mart))
        with self.connection.cursor() as cursor:
            cursor.executemany("insert into quality.profile values (%s, %s, %s, %s, %s, %s)", self.taken)
        self.connection.execute(
            "delete from quality.profile as p using control.build as b where b.build_id = p.build_id"
            " and b.state in ('dropping', 'dropped', 'failed')"
        )

    def _published(self, source: str | None) -> list[tuple[Period, int]]:
        """The months a comparison may need, oldest first: the newest before this one, last year's, and this one.

        Of a fact not those that left its ``source`` out: they tell nothing of what is usual.
        """
        rows = self.connection.execute(
            "select m.period, m.build_id, array(select e.source from control.build_extract as e"
            "  where e.build_id = m.build_id and e.period = m.period) from ("
            " (select period, build_id from control.published where period < %(period)s order by period desc limit %(most)s)"
            " union select period, build_id from control.published where period in (%(period)s, %(year)s)"
            ") as m order by 1",
            {"period": self.period.first_day, "year": self.period.shift(-12).first_day, "most": WINDOW},
        ).fetchall()
        months = [(Period.of(day), build, received) for day, build, received in rows]
        return [(at, build) for at, build, received in months if source not in contract.left_out(at, received)]

    def _kept(self, asked: Suite, builds: Sequence[int]) -> dict[int, dict[str, dict[str, float]]]:
        found: dict[int, dict[str, dict[str, float]]] = {}
        for build, measure, key, value in self.connection.execute(
            "select build_id, measure, key, value from quality.profile where mart = %s and build_id = any(%s)",
            (asked.name, list(builds)),
        ):
            found.setdefault(build, {}).setdefault(measure, {})[key] = float(value)
        wanted = definition(measures(asked))
        return {build: profile for build, profile in found.items() if wanted in profile.get(DEFINITION, {})}

    def _take(self, asked: Suite, period: Period, build_id: int) -> dict[str, dict[str, float]]:
        counted = measures(asked)
        leaf = self._leaf(asked, period, build_id) if any(m.of == "staged" for m in counted) else None
        counted = tuple(m for m in counted if m.of == "rows" or leaf is not None)
        places = {
            "rows": f"(select * from build.{asked.name} where period = date '{period.first_day}'"
            f" and build_id = {int(build_id)})",
            "staged": leaf or "",
        }
        query = statement(counted)
        for place, text in places.items():
            query = query.replace(f"{{{place}}}", text)
        profile: dict[str, dict[str, float]] = {}
        with self.connection.transaction():
            for measure, key, value in self.connection.execute(query.encode()).fetchall() if query else ():
                profile.setdefault(measure, {})[str(key)[:40]] = float(value or 0)
        profile[DEFINITION] = {definition(measures(asked)): 1}
        self.taken += [
            (period.first_day, build_id, asked.name, measure, key, value)
            for measure, keys in profile.items()
            for key, value in keys.items()
        ]
        return profile

    def _leaf(self, asked: Suite, period: Period, build_id: int) -> str | None:
        """The staging table the build read, while it is there."""
        row = self.connection.execute(
            "select e.staging_table from control.build_extract as b inner join control.extract as e using (extract_id)"
            " where b.build_id = %s and b.source = %s and b.period = %s",
            (build_id, asked.of_source, period.first_day),
        ).fetchone()
        if row is None:
            return None
        name = sql.Identifier("staging", str(row[0]).rpartition(".")[2]).as_string(self.connection)
        there = self.connection.execute("select to_regclass(%s) is not null", (name,)).fetchone()
        return name if there and there[0] else None


def _restated(
    profile: Mapping[str, Mapping[str, float]], areas: set[str], then: Period, now: Period
) -> dict[str, dict[str, float]]:
    """A profile with the provinces of another month read as their default successors in this one."""
    successors = _successors(codelist.hash("area_change"), then.first_day, now.first_day)
    if not successors:
        return {measure: dict(keys) for measure, keys in profile.items()}
    found: dict[str, dict[str, float]] = {}
    for measure, keys in profile.items():
        into = found.setdefault(measure, {})
        for key, value in keys.items():
            code = successors.get(key, key) if measure in areas else key
            into[code] = into.get(code, 0) + value
    return found


@cache
def _successors(content: str, then: date, now: date) -> Mapping[str, str]:
    """Province code of a day -> the code of the province it went into by another, where they differ."""
    with (settings().codelists / "area_change.csv").open(encoding="utf-8-sig", newline="") as file:
        changes = sorted(
            (date.fromisoformat(row["effective_date"]), row["old_code"], row["new_code"])
            for row in csv.DictReader(file)
            if row["level"] == "province" and row["is_default"] == "1"
        )
    found: dict[str, str] = {}
    for day in sorted({day for day, _, _ in changes if then < day <= now}):
        step = {old: new for at, old, new in changes if at == day}
        found = {code: step.get(new, new) for code, new in found.items()} | {
            old: new for old, new in step.items() if old not in found
        }
    return {old: new for old, new in found.items() if old != new}


def _text(value: str) -> str:
    return sql.Literal(value).as_string(None) + "::text"
