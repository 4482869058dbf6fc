"""Quarantine: the rows that cannot be trusted, with raw text, line and reasons. Nothing is dropped.

Rows are open until an extract that outranks theirs is accepted, which closes them as corrected or repeated (ADR 11).
"""

from __future__ import annotations

import os
import pwd
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from p06 import contract as contracts
from p06 import database, ledger, returnfile, seal, staging
from p06.contract import Contract
from p06.errors import UsageError
from p06.judge import Rejected
from p06.ledger import Extract
from p06.manifest import Manifest, plain_name
from p06.masking import RAW_LIMIT
from p06.period import Period
from p06.returnfile import Findings, Heading
from p06.settings import settings

Connection = psycopg.Connection[Any]

RETURNED = ("html", "xlsx")  # what the load gives back
RETURN_LIMIT = 5_000  # rows in them: a sheet of 100,000 takes fifteen seconds to write, which no load has to spare

_WRITE = 1 << 20
_AT_ONCE = 5_000


@dataclass
class Written:
    """What went into quarantine: rows, and rows per reason (a row counts under each of its reasons)."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def write(
    connection: Connection, contract: Contract, leaf: str, manifest: Manifest, rejected: Iterable[Rejected]
) -> Written:
    """Make the extract's leaf in ``quarantine`` and fill it; note each failed value in ``quality.failed_row``."""
    table = sql.Identifier("quarantine", leaf)
    columns = [
        sql.SQL("{} {} not null").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind, _ in staging.shape(contract, "quarantine")
        if name not in ("period", "extract_id")
    ]
    connection.execute(sql.SQL("create table {} ({})").format(table, sql.SQL(", ").join(columns)))
    written = Written()
    cursor = connection.cursor()
    with cursor.copy(
        sql.SQL("copy {} (file_no, line, record_no, raw, reasons, columns) from stdin").format(table)
    ) as stream:
        held, size = [], 0
        for one in rejected:
            line = (
                f"{one.file}\t{one.line}\t{one.record}\t\\\\x{one.raw.hex()}\t{_array(one.reasons)}"
                f"\t{_array(one.columns)}\n"
            )
            written.reasons.update(set(one.reasons))
            held.append(line)
            size += len(line)
            if size > _WRITE:
                stream.write("".join(held))
                held, size = [], 0
        stream.write("".join(held))
    written.rows = cursor.rowcount
    staging.constants(connection, table, manifest)
    if leaf == staging.leaf_name(manifest):  # the leaf of a replay speaks for its extract only once it is accepted
        note(connection, contract.source, manifest.period, manifest.extract_id, manifest.revision, leaf)
    return written


def note(
    connection: Connection, source: str, period: Period, extract_id: str, revision: int, leaf: str, replayed: int = 0
) -> None:
    """Write down what the leaf holds, without values: each failed value, the sets of faults, and that it is open."""
    table = sql.Identifier("quarantine", leaf)
    connection.execute("delete from quality.failed_row where extract = %s", (extract_id,))
    connection.execute(
        sql.SQL(
            'insert into quality.failed_row (source, period, extract, file_no, line, "column", reason)'
            " select {}, q.period, q.extract_id, q.file_no, q.line, f.failed, f.reason"
            " from {} as q cross join lateral unnest(q.columns, q.reasons) as f (failed, reason)"
        ).format(sql.Literal(source), table)
    )
    connection.execute("delete from control.quarantine_fault where extract_id = %s", (extract_id,))
    connection.execute(
        sql.SQL(
            "insert into control.quarantine_fault (extract_id, reasons, columns, rows)"
            " select q.extract_id, q.reasons, q.columns, count(*) from {} as q"
            " group by q.extract_id, q.reasons, q.columns"
        ).format(table)
    )
    connection.execute(
        "insert into control.quarantine_state as s (extract_id, source, period, revision, rows, replayed)"
        " select %(extract)s, %(source)s, %(period)s, %(revision)s, count.rows, %(replayed)s from ("
        "  select coalesce(sum(rows), 0) as rows from control.quarantine_fault where extract_id = %(extract)s) as count"
        " where count.rows > 0 or %(replayed)s > 0"
        " or exists (select from control.quarantine_state where extract_id = %(extract)s)"
        " on conflict (extract_id) do update set rows = excluded.rows, corrected = 0, repeated = 0,"
        " replayed = s.replayed + excluded.replayed, closed_at = null, closed_by = null",
        {
            "extract": extract_id,
            "source": source,
            "period": period.first_day,
            "revision": revision,
            "replayed": replayed,
        },
    )


def settle(connection: Connection, source: str, period: date) -> None:
    """Close the open rows of every extract the accepted one outranks, in the transaction that accepts it.

    As many rows as the accepted extract holds with the same faults (reasons and columns) are repeated, the others are
    corrected. Reads and writes sums alone, so it takes no time however many rows there are.
    """
    connection.execute(
        "with winner as ("
        "  select a.extract_id, e.revision from control.accepted as a"
        "  inner join control.extract as e on e.extract_id = a.extract_id"
        "  where a.source = %(source)s and a.period = %(period)s"
        "), loser as ("
        "  select s.extract_id, w.extract_id as winner_id from control.quarantine_state as s"
        "  inner join control.extract as e on e.extract_id = s.extract_id cross join winner as w"
        "  where s.source = %(source)s and s.period = %(period)s and s.closed_at is null"
        "  and s.extract_id <> w.extract_id and (e.state = 'superseded' or e.revision < w.revision)"
        "), fault as ("
        "  select f.extract_id, k.kind, sum(f.rows) as rows from control.quarantine_fault as f"
        "  cross join lateral (select array_agg(concat_ws(' ', u.reason, u.failed) order by u.reason, u.failed) as kind"
        "   from unnest(f.reasons, f.columns) as u (reason, failed)) as k"
        "  where f.extract_id in (select extract_id from loser union select winner_id from loser)"
        "  group by f.extract_id, k.kind"
        "), again as ("
        "  select l.extract_id, l.winner_id, coalesce(sum(case when n.rows is not null then least(o.rows, n.rows) end), 0) as repeated from loser as l"
        "  left join fault as o on o.extract_id = l.extract_id"
        "  left join fault as n on n.extract_id = l.winner_id and n.kind = o.kind"
        "  group by l.extract_id, l.winner_id"
        ")"
        " update control.quarantine_state as s set repeated = a.repeated, corrected = s.rows - a.repeated,"
        " closed_at = clock_timestamp(), closed_by = a.winner_id from again as a where s.extract_id = a.extract_id",
        {"source": source, "period": period},
    )


@dataclass(frozen=True)
class State:
    """The rows one extract put into quarantine, and what became of them; ``reasons`` counts those it holds."""

    source: str
    period: Period
    revision: int
    extract: str
    rows: int
    open: int
    corrected: int
    repeated: int
    replayed: int
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reasons: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.__dict__ | {"period": str(self.period)}


def states(source: str | None = None, period: Period | None = None) -> list[State]:
    """Every extract that put rows into quarantine, as quality officers see it."""
    with database.connect("quality", autocommit=True) as connection:
        rows = connection.execute(
            "select source, period, revision, extract, rows, open, corrected, repeated, replayed, opened_at, closed_at,"
            " closed_by, reasons from quality.quarantine_state"
            " where (%(source)s::text is null or source = %(source)s)"
            " and (%(period)s::date is null or period = %(period)s) order by source, period, revision, extract",
            {"source": source, "period": period.first_day if period else None},
        ).fetchall()
    found = []
    for name, month, *figures, reasons in rows:
        counted = returnfile.by_count({reason: int(count) for reason, count in reasons.items()})
        values: list[Any] = [name, Period.of(month), *figures, counted]
        found.append(State(*values))
    return found


@dataclass(frozen=True)
class Held:
    """One row in quarantine as it is shown; ``text`` is its shape, or the record itself."""

    extract: str
    file: int
    line: int
    record: int
    columns: tuple[str | None, ...]
    reasons: tuple[str, ...]
    text: str


def masked(source: str, period: Period, reason: str | None = None, limit: int = 20) -> list[Held]:
    """Rows of the extracts of a month that nothing outranks, masked by the database; read as a quality officer."""
    with database.connect("quality", autocommit=True) as connection:
        rows = connection.execute(
            "select extract, file_no, line, record_no, columns, reasons, shape"
            " from quality.quarantined_rows(%s, %s, %s, %s) order by revision, extract, file_no, line, record_no",
            (source, period.first_day, reason, limit),
        ).fetchall()
    return [
        Held(extract, file, line, record, tuple(columns), tuple(reasons), text)
        for extract, file, line, record, columns, reasons, text in rows
    ]


def unmasked(source: str, period: Period, reason: str | None = None, limit: int = 20) -> list[Held]:
    """The same rows as they were sent. Who read what is in the access log before anything is read."""
    found: list[Held] = []
    with database.connect("admin", autocommit=True) as connection:
        with connection.transaction():
            connection.execute(
                "insert into control.access_log (purpose, object) values (%s, %s)",
                (f"quarantine show for {_person()}", f"quarantine.{source} {period}"),
            )
            seal.enter_entered(connection)
        for one in _standing(connection, source, period):
            rows = held(connection, one.quarantine_table, limit - len(found), reason)
            found += [
                Held(one.extract_id, r.file, r.line, r.record, r.columns, r.reasons, returnfile.shown(r.raw))
                for r in rows
            ]
    return found


def _person() -> str:
    """The account of this machine that asks; its number when it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def held(connection: Connection, leaf: str, limit: int, reason: str | None = None) -> Iterator[Rejected]:
    """The first rows of a leaf by file and line, their raw text cut as a return file needs it."""
    query = sql.SQL(
        "select file_no, line, record_no, substr(raw, 1, {}), reasons, columns from {}"
        " where %(reason)s::text is null or %(reason)s = any(reasons)"
        " order by file_no, line, record_no limit %(limit)s"
    ).format(sql.Literal(RAW_LIMIT), sql.Identifier("quarantine", leaf))
    with connection.transaction(), connection.cursor("held_rows") as cursor:
        cursor.execute(query, {"reason": reason, "limit": limit})
        while rows := cursor.fetchmany(_AT_ONCE):
            for file, line, record, raw, reasons, columns in rows:
                yield Rejected(-1, file, line, record, bytes(raw), tuple(reasons), tuple(columns))


def findings(connection: Connection, one: Extract, limit: int = returnfile.ROW_LIMIT) -> Findings:
    """What a return file says about an extract."""
    counted = connection.execute(
        "select r.reason, sum(f.rows)::bigint from control.quarantine_fault as f cross join lateral"
        " (select distinct u.reason from unnest(f.reasons) as u (reason)) as r where f.extract_id = %s group by 1",
        (one.extract_id,),
    ).fetchall()
    rows = returnfile.within(held(connection, one.quarantine_table, limit))
    return Findings(rows, one.counts.quarantined, returnfile.by_count(dict(counted)))


def heading(contract: Contract, one: Extract) -> Heading:
    """The same heading the sender's own check gives."""
    return Heading(
        one.source, contract.title_en, contract.title_vi, str(one.period), one.revision, one.extract_id,
        tuple(plain_name(file["name"]) for file in one.manifest["files"]),
        one.counts.received, one.counts.duplicates, one.counts.quarantined, one.counts.staged,
    )  # fmt: skip


def give_back(connection: Connection, contract: Contract, extract_id: str) -> list[Path]:
    """Write the return files of a staged extract below ``$P06_HOME/returns``; none when nothing is in quarantine.

    Call it when the extract is committed: from then on any run can write them. Raises P06Error P06-QUAR-005.
    """
    one = ledger.extract(connection, extract_id)
    if one is None:
        return []
    paths = [_returned(one, kind) for kind in RETURNED]
    if not one.counts.quarantined:
        for path in paths:
            path.unlink(missing_ok=True)
        return []
    found = findings(connection, one, RETURN_LIMIT)
    for path in paths:
        returnfile.write(path, contract, heading(contract, one), found)
    return paths


def mend(connection: Connection, source: str | None = None, period: Period | None = None) -> None:
    """Write the return files of open extracts that have none. Raises P06Error P06-QUAR-005."""
    names = connection.execute(
        "select extract_id from control.quarantine_state where closed_at is null and rows > 0"
        " and (%(source)s::text is null or source = %(source)s)"
        " and (%(period)s::date is null or period = %(period)s) order by source, period, extract_id",
        {"source": source, "period": period.first_day if period else None},
    ).fetchall()
    known = contracts.load_all()
    for (name,) in names:
        one = ledger.extract(connection, name)
        if one and one.source in known and not all(_returned(one, kind).exists() for kind in RETURNED):
            give_back(connection, known[one.source], name)


def export(contract: Contract, period: Period, path: Path, limit: int = returnfile.ROW_LIMIT) -> Findings:
    """Write the return file of the extract that counts for a month: the accepted one, else the newest.

    Raises UsageError P06-CHECK-006, P06-QUAR-001; P06Error P06-QUAR-005. The load's own files are mended by the way.
    """
    returnfile.kind_of(path)
    with database.connect("loader", autocommit=True) as connection:
        one = _standing(connection, contract.source, period)[0]
        found = findings(connection, one, limit)
        returnfile.write(path, contract, heading(contract, one), found)
        if not all(_returned(one, kind).exists() for kind in RETURNED):
            give_back(connection, contract, one.extract_id)
    return found


def _returned(one: Extract, kind: str) -> Path:
    return settings().home / "returns" / one.source / str(one.period) / f"{one.extract_id}.{kind}"


def _standing(connection: Connection, source: str, period: Period) -> list[Extract]:
    """Extracts of a month that nothing outranks, the accepted one first. Raises UsageError P06-QUAR-001."""
    names = connection.execute(
        "select extract_id from control.extract where source = %s and period = %s and state <> 'superseded'"
        " order by state = 'accepted' desc, revision desc, extract_id",
        (source, period.first_day),
    ).fetchall()
    found = [one for (name,) in names if (one := ledger.extract(connection, name))]
    if not found:
        raise UsageError("P06-QUAR-001", source=source, period=period)
    return found


def _array(values: Iterable[str | None]) -> str:
    """An array of names for COPY's text format; names hold no quotes and no backslashes."""
    return "{" + ",".join("NULL" if value is None else f'"{value}"' for value in values) + "}"
