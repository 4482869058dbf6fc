"""Staging: typed rows, one parent per source partitioned by period, one leaf per extract.

A leaf is created and filled in one transaction and stands by itself until its extract is accepted. ``period`` and
``extract_id`` are the same in all its rows, so they are added after the rows as columns with a constant default, which
takes no room and no time.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from p06 import contract as contracts
from p06 import encode, fault, lock, token
from p06.contract import Column, Contract
from p06.errors import P06Error
from p06.intake import Batch
from p06.manifest import Manifest
from p06.period import Period

Connection = psycopg.Connection[Any]

SCHEMAS = ("staging", "quarantine")
LEAF = re.compile(r".*__[0-9]{6}__[0-9a-f]{8}")
_NAME_LIMIT = 63
_STATISTICS = 30  # a sample of 9,000 rows is enough to plan joins by, and three times quicker than the usual
_WRITE = 1 << 20  # bytes handed to the server at once
_NUMBERS_AT_ONCE = 50_000
_BEFORE = (("period", "date"), ("extract_id", "text"), ("file_no", "smallint"), ("line", "bigint"))
_QUARANTINE = (*_BEFORE, ("record_no", "bigint"), ("raw", "bytea"), ("reasons", "text[]"), ("columns", "text[]"))


def has_record_key(contract: Contract) -> bool:
    """Whether staged rows carry ``record_key``."""
    return contract.kind != "register"


def shape(contract: Contract, schema: str) -> tuple[tuple[str, str, bool], ...]:
    """(name, SQL type, not null) of each column of a source's table in ``staging`` or ``quarantine``."""
    if schema == "quarantine":
        return tuple((name, kind, True) for name, kind in _QUARANTINE)
    key = (("record_key", "uuid", True),) if has_record_key(contract) else ()
    return (
        *((name, kind, True) for name, kind in _BEFORE),
        *((column.name, column.sql_type, False) for column in contract.columns),
        *key,
    )


def sync(connection: Connection) -> list[str]:
    """Create the parents the contracts ask for and add columns they gained; returns what was changed.

    Costs one query when nothing is to do. Raises P06Error P06-LOAD-042 when a column changed its type, Busy P06-DB-006
    when one reader held the parent all the time.
    """
    return lock.patiently(lambda: _sync(connection), "P06-DB-006")


def _sync(connection: Connection) -> list[str]:
    changed = []
    with connection.transaction():
        if not _missing(connection):
            return []
        connection.execute(sql.SQL("set local lock_timeout = {}").format(lock.WAIT))
        connection.execute("select pg_advisory_xact_lock(%s)", (0x503038,))
        for schema, contract, present in _missing(connection):
            parent = sql.Identifier(schema, contract.source)
            columns = [
                (name, sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(kind), sql.SQL(" not null" * fixed)))
                for name, kind, fixed in shape(contract, schema)
            ]
            if present is None:
                connection.execute(
                    sql.SQL("create table {} ({}) partition by list (period)").format(
                        parent, sql.SQL(", ").join(column for _, column in columns)
                    )
                )
            else:
                for _, column in (one for one in columns if one[0] not in present):
                    connection.execute(sql.SQL("alter table {} add column {}").format(parent, column))
            changed.append(f"{schema}.{contract.source}")
    return changed


def _missing(connection: Connection) -> list[tuple[str, Contract, dict[str, str] | None]]:
    """Parents that lack something: schema, contract, and the columns present (None: no table)."""
    present: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in connection.execute(
        "select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_class as c"
        " inner join pg_namespace as n on n.oid = c.relnamespace"
        " inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where n.nspname = any(%s) and c.relkind = 'p'",
        (list(SCHEMAS),),
    ).fetchall():
        present.setdefault((schema, table), {})[column] = kind
    found: list[tuple[str, Contract, dict[str, str] | None]] = []
    for contract in contracts.load_all().values():
        for schema in SCHEMAS:
            there = present.get((schema, contract.source))
            wanted = {name: _full_name(kind) for name, kind, _ in shape(contract, schema)}
            for name, kind in wanted.items():
                if there is not None and there.get(name, kind) != kind:
                    raise P06Error("P06-LOAD-042", source=contract.source, column=name)
            if there is None or not wanted.keys() <= there.keys():
                found.append((schema, contract, there))
    return found


def _full_name(kind: str) -> str:
    return {"timestamptz": "timestamp with time zone"}.get(kind, kind)


def leaf_name(manifest: Manifest) -> str:
    """``<source>__<yyyymm>__<8 hex of the extract id>``, within PostgreSQL's limit for names."""
    tail = f"__{manifest.period.year:04d}{manifest.period.month:02d}__" + _digest(manifest.extract_id)
    return manifest.source[: _NAME_LIMIT - len(tail)] + tail


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def create(connection: Connection, contract: Contract, leaf: str) -> None:
    """A new leaf with the columns COPY fills, and none yet of those that are constant."""
    for schema in SCHEMAS:
        connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(schema, leaf)))
    columns = [
        sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(kind), sql.SQL(" not null" * fixed))
        for name, kind, fixed in shape(contract, "staging")
        if name not in ("period", "extract_id")
    ]
    connection.execute(
        sql.SQL("create table {} ({})").format(sql.Identifier("staging", leaf), sql.SQL(", ").join(columns))
    )


def extend(connection: Connection, contract: Contract, leaf: str) -> None:
    """Give a leaf that is not attached yet the columns its contract gained since for other months; they are null."""
    table = leaf.rpartition(".")[2]
    present = {
        name
        for (name,) in connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
            (f'staging."{table}"',),
        ).fetchall()
    }
    for name, kind, _ in shape(contract, "staging"):
        if present and name not in present:
            connection.execute(
                sql.SQL("alter table {} add column {} {}").format(
                    sql.Identifier("staging", table), sql.Identifier(name), sql.SQL(kind)
                )
            )


def copy(
    connection: Connection, contract: Contract, leaf: str, batches: Iterable[Batch], columns: Sequence[Column]
) -> int:
    """Send the rows; returns how many the server took. The leaf must be created in the same transaction.

    ``columns``: in the order the batches carry them.
    """
    _widen(connection)
    first = ["file_no", "line", "record_key"] if has_record_key(contract) else ["file_no", "line"]
    statement = sql.SQL("copy {} ({}) from stdin (format binary, freeze)").format(
        sql.Identifier("staging", leaf),
        sql.SQL(", ").join(map(sql.Identifier, [*first, *(column.name for column in columns)])),
    )
    cursor = connection.cursor()
    with cursor.copy(statement) as stream:
        stream.write(encode.HEADER)
        for batch in batches:
            for piece in encode.slices(batch.data, _WRITE):
                stream.write(piece)
            fault.point("load.copy_started")
        stream.write(encode.TRAILER)
    return cursor.rowcount


def _widen(connection: Connection) -> None:
    """Let the system hold more of what was sent, so that the server never waits for Python to take its turn."""
    link = socket.socket(fileno=connection.fileno())
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _WRITE)
    finally:
        link.detach()


def remove(connection: Connection, leaf: str, places: Iterable[tuple[int, int]]) -> int:
    """Take rows out again by (file number, line); returns how many were there."""
    connection.execute("create temporary table removed (file_no smallint, line bigint) on commit drop")
    with connection.cursor().copy("copy removed from stdin") as stream:
        for file, line in places:
            stream.write(f"{file}\t{line}\n")
    connection.execute("analyze removed")
    table = sql.Identifier("staging", leaf)
    cursor = connection.execute(
        sql.SQL("delete from {} as l using removed as r where r.file_no = l.file_no and r.line = l.line").format(table)
    )
    connection.execute("drop table removed")
    return cursor.rowcount


def finish(connection: Connection, contract: Contract, leaf: str, manifest: Manifest) -> None:
    """Add what is constant, the CHECK that lets it be attached without a scan, indexes and statistics."""
    table = sql.Identifier("staging", leaf)
    constants(connection, table, manifest)
    if contract.kind == "register":
        numbers = [column for column in contract.columns if column.kind == "id12"]
        for column in numbers:
            partial = sql.SQL("" if column.required else " where {} is not null").format(sql.Identifier(column.name))
            connection.execute(sql.SQL("create index on {} ({}){}").format(table, sql.Identifier(column.name), partial))
    connection.execute(f"set local default_statistics_target = {_STATISTICS}")
    connection.execute(sql.SQL("analyze {}").format(table))
    connection.execute("set local default_statistics_target to default")


def constants(connection: Connection, table: sql.Identifier, manifest: Manifest) -> None:
    """``period`` and ``extract_id`` of a leaf, and the CHECK on the period."""
    period = sql.Literal(manifest.period.first_day)
    connection.execute(
        sql.SQL(
            "alter table {} add column period date not null default {}, add column extract_id text not null default {},"
            " add check (period = {})"
        ).format(table, period, sql.Literal(manifest.extract_id), period)
    )


def name_citizens(connection: Connection, contract: Contract, leaf: str) -> int:
    """Give every number a register extract names its token; returns how many were new."""
    if contract.kind != "register":
        return 0
    table = sql.Identifier("staging", leaf)
    numbers = sql.SQL(" union ").join(
        sql.SQL("select {0} as number from {1} where {0} is not null").format(sql.Identifier(column.name), table)
        for column in contract.columns
        if column.kind == "id12"
    )
    connection.execute("create temporary table named (citizen_id bigint, citizen_token uuid) on commit drop")
    with connection.cursor("new_numbers") as cursor:
        cursor.execute(
            sql.SQL(
                "select number from ({}) as n where not exists"
                " (select from vault.citizen_token as t where t.citizen_id = n.number)"
            ).format(numbers)
        )
        while rows := cursor.fetchmany(_NUMBERS_AT_ONCE):
            lines = [f"{number}\t{name.hex}\n" for number, name in token.citizen_tokens(row[0] for row in rows)]
            with connection.cursor().copy("copy named from stdin") as stream:
                stream.write("".join(lines))
    added = connection.execute(
        "insert into vault.citizen_token select citizen_id, citizen_token from named order by citizen_id"
        " on conflict do nothing"
    ).rowcount
    connection.execute("drop table named")
    return added


def attach(connection: Connection, source: str, period: Period, leaves: tuple[str, str]) -> None:
    """Make these leaves (staging, quarantine) the ones the parents show for the period, in place of any others."""
    for schema, leaf in zip(SCHEMAS, leaves, strict=True):
        parent, table = sql.Identifier(schema, source), sql.Identifier(schema, leaf)
        for (other,) in connection.execute(
            "select c.relname from pg_inherits as i inner join pg_class as c on c.oid = i.inhrelid"
            " where i.inhparent = %s::regclass and pg_get_expr(c.relpartbound, c.oid) = %s",
            (f"{schema}.{source}", f"FOR VALUES IN ('{period.first_day}')"),
        ).fetchall():
            connection.execute(
                sql.SQL("alter table {} detach partition {}").format(parent, sql.Identifier(schema, other))
            )
        for name, kind in connection.execute(
            "select p.attname, format_type(p.atttypid, p.atttypmod) from pg_attribute as p"
            " where p.attrelid = %s::regclass and p.attnum > 0 and not p.attisdropped and not exists ("
            "  select from pg_attribute as c where c.attrelid = %s::regclass and c.attname = p.attname"
            "  and not c.attisdropped) order by p.attnum",
            (f"{schema}.{source}", f'{schema}."{leaf}"'),
        ).fetchall():  # what the contract gained since the leaf was made, or no longer has
            connection.execute(
                sql.SQL("alter table {} add column {} {}").format(table, sql.Identifier(name), sql.SQL(kind))
            )
        connection.execute(
            sql.SQL("alter table {} attach partition {} for values in ({})").format(
                parent, table, sql.Literal(period.first_day)
            )
        )


def drop_orphans(connection: Connection) -> list[str]:
    """Drop leaves no extract of the ledger names; returns them. Nothing a parent shows is ever dropped.

    ``connection`` is in autocommit. A leaf somebody reads is left for the next call.
    """
    from p06 import ledger

    found = connection.execute(
        "select n.nspname, c.relname from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname = any(%s) and c.relkind = 'r' and not c.relispartition order by 1, 2",
        (list(SCHEMAS),),
    ).fetchall()
    dropped = []
    for schema, name in found:
        if not LEAF.fullmatch(name):
            continue
        try:
            with connection.transaction():
                connection.execute(sql.SQL("set local lock_timeout = {}").format(lock.WAIT))
                if f"{schema}.{name}" not in ledger.known_tables(connection):
                    fault.point("cleanup.orphans")
                    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(schema, name)))
                    dropped.append(f"{schema}.{name}")
        except psycopg.errors.LockNotAvailable:
            continue
    return dropped
