"""An order-free checksum of what readers see: equal marts give equal digests, whatever was loaded when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from p06.period import Period

PER_PERIOD = (
    "citizen_month", "indicator", "indicator_commune_restated", "indicator_restated", "match_summary", "reconciliation",
)  # fmt: skip
ALWAYS = ("area_change", "area_today", "dim_area", "dim_citizen")


@dataclass(frozen=True)
class Digest:
    """One mart's row count and checksum: the sum, modulo 2^128, of each row's MD5 over all columns."""

    mart: str
    rows: int
    checksum: str


def digest(connection: psycopg.Connection[Any], period: Period | None = None) -> list[Digest]:
    """The digest of every published mart, sorted by name, of one period or of all.

    Of a period, ``dim_citizen`` counts the versions valid in it. MD5 serves as a fast mixing function, not as a seal.
    """
    facts = [
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.views where table_schema = 'marts' and table_name like 'fct\\_%'"
            " and table_name not like '%\\_restated'"
        ).fetchall()
    ]
    found = [("marts", name) for name in (*facts, *PER_PERIOD, *ALWAYS)] + [("identified", "dim_citizen")]
    return [_one(connection, schema, name, period) for schema, name in sorted(found, key=lambda item: item[::-1])]


def _one(connection: psycopg.Connection[Any], schema: str, name: str, period: Period | None) -> Digest:
    where = sql.SQL("")
    if period is not None and name == "dim_citizen":
        where = sql.SQL("where valid_from <= {day} and (valid_to is null or valid_to > {day})")
    elif period is not None and name not in ALWAYS:
        where = sql.SQL("where period = {day}")
    columns = [
        column
        for (column,) in connection.execute(
            "select column_name from information_schema.columns where table_schema = %s and table_name = %s order by 1",
            (schema, name),
        ).fetchall()
    ]
    if not columns:
        return Digest(_label(schema, name), 0, f"{0:032x}")
    query = sql.SQL(
        "select count(*), coalesce(sum(('x' || left(hash, 16))::bit(64)::bigint::numeric), 0),"
        " coalesce(sum(('x' || right(hash, 16))::bit(64)::bigint::numeric), 0)"
        " from (select md5(row({columns})::text) as hash from {view} {where}) as hashed"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        view=sql.Identifier(schema, name),
        where=where.format(day=sql.Literal(period.first_day)) if period is not None else where,
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    high, low = int(row[1]) % 2**64, int(row[2]) % 2**64
    return Digest(_label(schema, name), row[0], f"{high:016x}{low:016x}")


def _label(schema: str, name: str) -> str:
    return name if schema == "marts" else f"{schema}.{name}"
