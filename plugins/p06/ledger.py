"""The load's side of the ledger: attempts, extracts, and which extract is accepted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from p06 import seal
from p06.area_codes import AreaCodes
from p06.contract import Contract
from p06.errors import Busy, P06Error
from p06.manifest import Manifest
from p06.period import Period

Connection = psycopg.Connection[Any]

NO_PERIOD = date.min  # of an attempt whose folder names no month
PATIENCE = 5.0  # seconds to wait for a lock: a killed loader's session ends within that
_NOT_REMEMBERED = "P06-LOAD-008"  # a period in the future comes by itself


@dataclass(frozen=True)
class Counts:
    """received = duplicates + quarantined + staged."""

    received: int
    duplicates: int
    quarantined: int
    staged: int


@dataclass(frozen=True)
class Extract:
    """One staged extract."""

    extract_id: str
    source: str
    period: Period
    revision: int
    content_hash: str
    contract_hash: str
    manifest: dict[str, Any]
    delivery: str
    counts: Counts
    staging_table: str
    quarantine_table: str
    state: str
    gate_key: str | None
    attempt_id: int


@dataclass(frozen=True)
class Accepted:
    """The accepted extract of a source and period."""

    extract_id: str
    content_hash: str
    revision_floor: int


@contextmanager
def held(connection: Connection, source: str, period: str) -> Iterator[None]:
    """Hold the session lock of a source and period. Raises Busy P06-LOAD-033 when another run has it."""
    name = f"p06.load|{source}|{period}"
    deadline = time.monotonic() + PATIENCE
    while not _one(connection, "select pg_try_advisory_lock(hashtextextended(%s, 0))", name):
        if time.monotonic() > deadline:
            raise Busy("P06-LOAD-033", source=source, period=period)
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            _one(connection, "select pg_advisory_unlock(hashtextextended(%s, 0))", name)


def begin(connection: Connection, source: str, period: date, delivery: str) -> int:
    """Open an attempt; call it with the lock held. Attempts of processes that died are closed as failed."""
    with connection.transaction():
        given_up = connection.execute(
            "update control.load_attempt set state = 'failed', ended_at = clock_timestamp()"
            " where source = %s and period = %s and state = 'running' and extract_id is null returning attempt_id",
            (source, period),
        ).fetchall()
        attempt_id = int(
            _one(
                connection,
                "insert into control.load_attempt (source, period, delivery) values (%s, %s, %s) returning attempt_id",
                source,
                period,
                delivery,
            )
        )
        seal.enter(connection, "load_attempt", [number for (number,) in given_up])
        return attempt_id


def end(
    connection: Connection,
    attempt_id: int,
    state: str,
    extract_id: str | None = None,
    mismatches: Sequence[P06Error] = (),
) -> None:
    """Close an attempt."""
    named = [{"code": error.code, "where": _plain(error.where)} for error in mismatches]
    with connection.transaction():
        connection.execute(
            "update control.load_attempt set state = %s, ended_at = clock_timestamp(), mismatches = %s,"
            " extract_id = coalesce(%s, extract_id) where attempt_id = %s",
            (state, Jsonb(named), extract_id, attempt_id),
        )
        seal.enter(connection, "load_attempt", [attempt_id])


def is_latest(connection: Connection, attempt_id: int, source: str, period: date) -> bool:
    """Whether no later attempt for the source and period was begun: the fence of a process that was given up."""
    return bool(
        _one(
            connection,
            "select max(attempt_id) = %s from control.load_attempt where source = %s and period = %s",
            attempt_id,
            source,
            period,
        )
    )


def settled(connection: Connection) -> tuple[frozenset[str], frozenset[str]]:
    """Deliveries that need no further look: in whatever contract, and under the contract named behind them."""
    rows = connection.execute(
        "select delivery, state in ('accepted', 'duplicate', 'superseded') from control.load_attempt"
        " where state in ('accepted', 'duplicate', 'superseded', 'refused', 'blocked')"
        " and not mismatches @> %s",
        (Jsonb([{"code": _NOT_REMEMBERED}]),),
    ).fetchall()
    return (
        frozenset(delivery.rpartition("-")[0] for delivery, for_good in rows if for_good),
        frozenset(delivery for delivery, for_good in rows if not for_good),
    )


def accepted(connection: Connection, source: str, period: date, lock: bool = False) -> Accepted | None:
    """The accepted extract of a source and period; locked until the transaction ends when asked."""
    row = connection.execute(
        "select a.extract_id, e.content_hash, a.revision_floor"
        " from control.accepted as a inner join control.extract as e on e.extract_id = a.extract_id"
        " where a.source = %s and a.period = %s" + (" for update of a" if lock else ""),
        (source, period),
    ).fetchone()
    return Accepted(*row) if row else None


def was_accepted_otherwise(connection: Connection, one: Manifest | Extract) -> bool:
    """Whether another content was once accepted under this one's revision."""
    return bool(
        _one(
            connection,
            "select exists (select from control.extract where source = %s and period = %s and revision = %s"
            " and content_hash <> %s and accepted_at is not null)",
            one.source,
            one.period.first_day,
            one.revision,
            one.content_hash,
        )
    )


def was_refused(connection: Connection, one: Extract) -> bool:
    """Whether the attempt that staged the extract ended in a refusal."""
    return bool(
        _one(connection, "select state = 'refused' from control.load_attempt where attempt_id = %s", one.attempt_id)
    )


def raise_floor(connection: Connection, source: str, period: date, revision: int) -> None:
    """The accepted content was stated again under a higher revision."""
    with connection.transaction():
        connection.execute(
            "update control.accepted set revision_floor = greatest(revision_floor, %s) where source = %s and period = %s",
            (revision, source, period),
        )
        seal.enter(connection, "accepted", [_place(source, period)])


def extract(connection: Connection, extract_id: str) -> Extract | None:
    """A staged extract by id."""
    return next(_extracts(connection, "extract_id = %s", extract_id), None)


def stated(connection: Connection, source: str, period: date) -> list[tuple[int, dict[str, Any]]]:
    """(revision, manifest) of every extract of a source and period; the accepted one also under its floor."""
    rows = connection.execute(
        "select revision, manifest from control.extract where source = %s and period = %s"
        " union all select a.revision_floor, e.manifest from control.accepted as a"
        " inner join control.extract as e on e.extract_id = a.extract_id where a.source = %s and a.period = %s",
        (source, period, source, period),
    ).fetchall()
    return [(revision, manifest) for revision, manifest in rows]


def undecided(connection: Connection, source: str | None, period: date | None) -> list[Extract]:
    """Extracts that are staged or blocked, lowest revision first."""
    return list(
        _extracts(
            connection,
            "state in ('staged', 'blocked') and (%s::text is null or source = %s)"
            " and (%s::date is null or period = %s) order by source, period, revision, extract_id",
            source,
            source,
            period,
            period,
        )
    )


def _extracts(connection: Connection, condition: str, *values: Any) -> Iterator[Extract]:
    rows = connection.execute(
        "select extract_id, source, period, revision, content_hash, contract_hash, manifest, delivery,"
        " received, duplicates, quarantined, staged, staging_table, quarantine_table, state, gate_key, attempt_id"
        " from control.extract where " + condition,
        values,
    ).fetchall()
    for name, source, period, revision, content, contract, manifest, delivery, *rest in rows:
        counts, places = Counts(*rest[:4]), rest[4:]
        yield Extract(name, source, Period.of(period), revision, content, contract, manifest, delivery, counts, *places)


def store(
    connection: Connection,
    contract: Contract,
    manifest: Manifest,
    delivery: str,
    counts: Counts,
    tables: tuple[str, str],
    attempt_id: int,
    areas: AreaCodes | None = None,
) -> None:
    """Write a staged extract, in the transaction that stages it."""
    connection.execute(
        "insert into control.extract (extract_id, source, period, revision, content_hash, admin_code_version,"
        " produced_at, manifest, delivery, contract_version, contract_hash, received, duplicates, quarantined, staged,"
        " staging_table, quarantine_table, attempt_id, area_codes)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (extract_id) do update set manifest = excluded.manifest, delivery = excluded.delivery,"
        " produced_at = excluded.produced_at, contract_version = excluded.contract_version,"
        " contract_hash = excluded.contract_hash, received = excluded.received, duplicates = excluded.duplicates,"
        " quarantined = excluded.quarantined, staged = excluded.staged, staging_table = excluded.staging_table,"
        " quarantine_table = excluded.quarantine_table, attempt_id = excluded.attempt_id,"
        " area_codes = excluded.area_codes, state = 'staged',"
        " gate_key = null, staged_at = clock_timestamp()",
        (
            *(manifest.extract_id, manifest.source, manifest.period.first_day, manifest.revision),
            *(manifest.content_hash, manifest.admin_code_version, manifest.produced_at, Jsonb(manifest.document)),
            *(delivery, contract.version, contract.hash),
            *(counts.received, counts.duplicates, counts.quarantined, counts.staged),
            *(*tables, attempt_id, Jsonb(areas.as_dict()) if areas else None),
        ),
    )
    _own(connection, manifest.source, manifest.period.first_day, manifest.extract_id, attempt_id)


def take_over(connection: Connection, one: Extract, attempt_id: int) -> None:
    """Let a later attempt finish an extract that is staged already."""
    with connection.transaction():
        connection.execute(
            "update control.extract set attempt_id = %s where extract_id = %s", (attempt_id, one.extract_id)
        )
        _own(connection, one.source, one.period.first_day, one.extract_id, attempt_id)


def _own(connection: Connection, source: str, period: date, extract_id: str, attempt_id: int) -> None:
    """The attempt speaks for the extract from now on; one that died after staging it is closed as failed."""
    given_up = connection.execute(
        "update control.load_attempt set state = 'failed', ended_at = clock_timestamp()"
        " where source = %s and period = %s and extract_id = %s and attempt_id <> %s and state = 'running'"
        " returning attempt_id",
        (source, period, extract_id, attempt_id),
    ).fetchall()
    connection.execute(
        "update control.load_attempt set extract_id = %s where attempt_id = %s", (extract_id, attempt_id)
    )
    seal.enter(connection, "load_attempt", [number for (number,) in given_up])


def judged(connection: Connection, one: Extract, gate_key: str, blocked: bool) -> None:
    """Remember gate 1's answer and the suites it rests on."""
    with connection.transaction():
        connection.execute(
            "update control.extract set gate_key = %s, state = %s where extract_id = %s"
            " and state in ('staged', 'blocked')",
            (gate_key, "blocked" if blocked else "staged", one.extract_id),
        )
        if blocked:
            end(connection, one.attempt_id, "blocked")


def move(connection: Connection, one: Extract, before: Accepted | None) -> None:
    """Make an extract the accepted one of its source and period, in the caller's transaction.

    Raises Busy P06-LOAD-038 when the accepted one is no longer ``before``.
    """
    period = one.period.first_day
    if before is None:
        changed = connection.execute(
            "insert into control.accepted (source, period, extract_id, revision_floor) values (%s, %s, %s, %s)"
            " on conflict do nothing",
            (one.source, period, one.extract_id, one.revision),
        )
    else:
        changed = connection.execute(
            "update control.accepted set extract_id = %s, revision_floor = %s, accepted_at = clock_timestamp()"
            " where source = %s and period = %s and extract_id = %s and revision_floor = %s",
            (one.extract_id, one.revision, one.source, period, before.extract_id, before.revision_floor),
        )
        supersede(connection, before.extract_id)
    if changed.rowcount != 1:
        raise Busy("P06-LOAD-038", source=one.source, period=one.period)
    connection.execute(
        "update control.extract set state = 'accepted', accepted_at = clock_timestamp() where extract_id = %s",
        (one.extract_id,),
    )
    end(connection, one.attempt_id, "accepted")
    seal.enter_all(connection, {"extract": [one.extract_id], "accepted": [_place(one.source, period)]})


def supersede(connection: Connection, extract_id: str) -> None:
    """An extract that another of its period outranks."""
    connection.execute("update control.extract set state = 'superseded' where extract_id = %s", (extract_id,))


def blocking_checks(connection: Connection, extract_id: str) -> list[str]:
    """The checks that blocked the extract when gate 1 last judged it."""
    rows = connection.execute(
        'select "check" from quality.check_result where extract_id = %(extract)s and not success and waived_by is null'
        " and severity = 'block' and run = (select l.run from quality.check_result as l"
        " where l.extract_id = %(extract)s order by l.at desc limit 1) order by 1",
        {"extract": extract_id},
    ).fetchall()
    return [check for (check,) in rows]


def known_tables(connection: Connection) -> frozenset[str]:
    """Every leaf that is still needed, with its schema.

    The staged rows of a superseded extract are needed only while a running build reads them; its quarantine is kept.
    A replay that waits for the gate is needed, what it replaced is not.
    """
    rows: Iterable[tuple[str]] = connection.execute(
        "select 'quarantine.' || quarantine_table from control.extract union"
        " select 'staging.' || e.staging_table from control.extract as e where e.state <> 'superseded' or exists ("
        "  select 1 from control.build_extract as p inner join control.build as b using (build_id)"
        "  where p.extract_id = e.extract_id and b.state = 'running') union"
        " select s.name || '.' || r.leaf from control.replay as r"
        " cross join (values ('staging'), ('quarantine')) as s (name) where r.state = 'staged'"
    ).fetchall()
    return frozenset(name for (name,) in rows)


def _place(source: str, period: date) -> str:
    """How the chain names the accepted extract of a source and period."""
    return f"{source} {period:%Y-%m}"


def _one(connection: Connection, statement: str, *values: Any) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


def _plain(where: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else str(value) for name, value in where.items() if value is not None}
