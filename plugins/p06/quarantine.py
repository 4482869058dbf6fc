"""Quarantine: the rows that cannot be trusted, with raw text, line and reasons. Nothing is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from p06 import staging
from p06.contract import Contract
from p06.judge import Rejected
from p06.manifest import Manifest

Connection = psycopg.Connection[Any]

_WRITE = 1 << 20


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
    connection.execute("delete from quality.failed_row where extract = %s", (manifest.extract_id,))
    connection.execute(
        sql.SQL(
            'insert into quality.failed_row (source, period, extract, file_no, line, "column", reason)'
            " select {}, q.period, q.extract_id, q.file_no, q.line, f.failed, f.reason"
            " from {} as q cross join lateral unnest(q.columns, q.reasons) as f (failed, reason)"
        ).format(sql.Literal(contract.source), table)
    )
    return written


def _array(values: Iterable[str | None]) -> str:
    """An array of names for COPY's text format; names hold no quotes and no backslashes."""
    return "{" + ",".join("NULL" if value is None else f'"{value}"' for value in values) + "}"
