"""An order-free checksum of what readers see: equal marts give equal digests, whatever was loaded when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from p06.errors import UsageError
from p06.period import Period

PER_PERIOD = (
    "citizen_month", "indicator", "indicator_commune_restated", "indicator_count", "indicator_restated", "linked_birth",
    "linked_death", "match_summary", "payment_after_death", "reconciliation", "scorecard",
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
    found = sorted(_found(connection), key=lambda item: item[::-1])
    return [_one(connection, schema, name, period) for schema, name in found]


def digest_of_release(connection: psycopg.Connection[Any], period: Period, release_id: str) -> list[Digest]:
    """The digest of a kept release's marts of its period, the citizens' history as the release left it.

    ``connection`` may read build and vault. Raises UsageError P06-RELEASE-005 when the period has no such release,
    P06-RELEASE-006 when it is no longer kept, P06-RELEASE-010 when the history it left was undone.
    """
    row = connection.execute(
        "select r.build_id, r.kept, r.register_state_after, r.register_state_after = s.state or exists ("
        "  select from vault.register_state_extract e where e.state = r.register_state_after)"
        " from control.release r cross join control.register_state s where r.release_id = %s and r.period = %s",
        (release_id, period.first_day),
    ).fetchone()
    if row is None:
        raise UsageError("P06-RELEASE-005", period=period, release=release_id)
    build_id, kept, state, history = row
    if not kept:
        raise UsageError("P06-RELEASE-006", period=period, release=release_id)
    if not history:
        raise UsageError("P06-RELEASE-010", period=period, release=release_id)
    sources = {
        ("marts", "dim_citizen"): _STATE.format(table="build.dim_citizen", state=int(state)),
        ("identified", "dim_citizen"): _IDENTIFIED.format(state=int(state)),
    }
    found = []
    for schema, name in sorted(_found(connection), key=lambda item: item[::-1]):
        month = f"(select * from build.{name} where build_id = {int(build_id)})"
        source = sources.get((schema, name)) or (month if name not in ALWAYS else f"marts.{name}")
        found.append(_one(connection, schema, name, period, source))
    return found


def digest_of_build(connection: psycopg.Connection[Any], mart: str, build_id: int) -> Digest:
    """The digest one mart of a month would have if this build were published; ``connection`` may read schema build."""
    return _one(connection, "marts", mart, None, f"(select * from build.{mart} where build_id = {int(build_id)})")


_STATE = "(select * from {table} where from_state <= {state} and (to_state is null or to_state > {state}))"
_IDENTIFIED = (
    "(select c.*, lpad(i.citizen_id::text, 12, '0') as citizen_id, i.full_name, i.birth_date from "
    + _STATE.replace("{table}", "build.dim_citizen")
    + " as c inner join "
    + _STATE.replace("{table}", "vault.dim_citizen_identity")
    + " as i on i.citizen_token = c.citizen_token and i.valid_from = c.valid_from)"
)


def _found(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """(schema, view) of every published mart; without those of sources that have no contract here."""
    views = {
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.views where table_schema = 'marts'"
        ).fetchall()
    }
    facts = [name for name in views if name.startswith("fct_") and not name.endswith("_restated")]
    return [("marts", name) for name in (*facts, *(views & {*PER_PERIOD, *ALWAYS}))] + [("identified", "dim_citizen")]


def _one(
    connection: psycopg.Connection[Any], schema: str, name: str, period: Period | None, source: str | None = None
) -> Digest:
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
        view=sql.SQL(source + " as kept") if source is not None else sql.Identifier(schema, name),
        where=where.format(day=sql.Literal(period.first_day)) if period is not None else where,
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    high, low = int(row[1]) % 2**64, int(row[2]) % 2**64
    return Digest(_label(schema, name), row[0], f"{high:016x}{low:016x}")


def _label(schema: str, name: str) -> str:
    return name if schema == "marts" else f"{schema}.{name}"
