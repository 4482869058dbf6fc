"""Who is who over time: what was found on the rows of the published months, counted and shown masked."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg

from p06 import database, marts
from p06.conflictfile import KINDS, Example, Found, Report
from p06.contract import Contract
from p06.errors import UsageError, messages
from p06.manifest import plain_name
from p06.period import Period

SHOWN = 5  # rows of each kind on a page
LISTED = 10_000  # rows of each kind in a sheet

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Count:
    """How many rows of a source and month one kind was found on, of how many staged."""

    source: str
    period: Period
    kind: str
    records: int
    staged: int

    @property
    def share(self) -> Decimal:
        """Of the staged rows, in percent to two decimals."""
        return Found(self.kind, self.records, self.staged, ()).share

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; with the words of the kind in two languages."""
        words = {name: messages().get(self.kind, {}).get(name, "") for name in ("vi", "en", "next_vi", "next_en")}
        return self.__dict__ | {"period": str(self.period), "share_percent": str(self.share)} | words


def counts(source: str | None = None, period: Period | None = None) -> list[Count]:
    """What was found, by source, month and weight, as quality officers see it.

    Raises UsageError P06-CONFLICT-001, 003 when source and month are named and nothing is known of them.
    """
    marts.sync()
    with database.connect("quality", autocommit=True) as connection:
        if source and period:
            _require(connection, source, period)
        found = [
            Count(name, Period.of(month), kind, records, staged)
            for name, month, kind, records, staged in _counted(connection, source, period)
        ]
    return sorted(found, key=lambda one: (one.source, one.period, _weight(one.kind)))


def report(contract: Contract, period: Period, most: int = SHOWN) -> Report:
    """All there is to tell about a source and month; of each kind at most ``most`` rows, the first by file and line.

    The rows are masked by the database, and read as a quality officer. Raises UsageError P06-CONFLICT-001, 003.
    """
    marts.sync()
    with database.connect("quality") as connection:
        connection.execute("set transaction isolation level repeatable read")
        sums = _require(connection, contract.source, period)
        concerned = connection.execute(
            "select count(distinct (file_no, line)) from quality.identity_finding_row where source = %s and period = %s",
            (contract.source, period.first_day),
        ).fetchone()
        counted = {kind: records for _, _, kind, records, _ in _counted(connection, contract.source, period)}
        examples: dict[str, list[Example]] = {kind: [] for kind in counted}
        for kind, file, name, line, other_file, other_line, shape in connection.execute(
            "select kind, file_no, file_name, line, other_file_no, other_line, shape"
            " from quality.identity_examples(%s, %s, %s) order by kind, file_no, line",
            (contract.source, period.first_day, most),
        ):
            examples[kind].append(Example(file, plain_name(name or ""), line, other_file, other_line, shape))
    found = [Found(kind, counted[kind], sums[1], tuple(examples[kind])) for kind in sorted(counted, key=_weight)]
    revision, staged, matched, conflicting, unmatched = sums
    in_question = concerned[0] if concerned else 0
    return Report(contract, str(period), revision, staged, matched, conflicting, unmatched, in_question, tuple(found))


def _require(connection: Connection, source: str, period: Period) -> tuple[Any, ...]:
    """The sums of what is published of a source and month. Raises UsageError P06-CONFLICT-001, 003."""
    sums = connection.execute(
        "select revision, staged, matched, conflicting, unmatched from marts.reconciliation"
        " where source = %s and period = %s",
        (source, period.first_day),
    ).fetchone()
    if sums is None:
        raise UsageError("P06-CONFLICT-001", source=source, period=period)
    built = connection.execute(
        "select exists (select from pg_class where relname = 'identity_finding__' || to_char(period, 'YYYYMM')"
        " || '__' || build_id) from marts.release where current and period = %s",
        (period.first_day,),
    ).fetchone()
    if built != (True,):
        raise UsageError("P06-CONFLICT-003", period=period)
    return tuple(sums)


def _counted(connection: Connection, source: str | None, period: Period | None) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select f.source, f.period, f.kind, f.records, r.staged from quality.identity_finding as f"
        " inner join marts.reconciliation as r on r.source = f.source and r.period = f.period"
        " where (%(source)s::text is null or f.source = %(source)s)"
        " and (%(period)s::date is null or f.period = %(period)s)",
        {"source": source, "period": period.first_day if period else None},
    ).fetchall()


def _weight(kind: str) -> tuple[int, str]:
    return (list(KINDS).index(kind) if kind in KINDS else len(KINDS), kind)
