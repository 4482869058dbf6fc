"""A database as an origin: one query with the period's bounds, streamed into a gzip csv of the contract's columns.

The query stands in the contract (``query``), with the parameters ``:period_start``, ``:period_end`` (the day after the
last) and ``:as_of`` (the last day). It runs in one read-only transaction that sees one state of the database, through
a cursor that stays on the server. Equal rows in equal order give equal bytes, so give the query an ``order by``.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from p06 import fault, origins
from p06.contract import Column, Contract
from p06.credentials import Credentials
from p06.errors import P06Error
from p06.origins import MadeFile, Server
from p06.period import Period

FILE = "part-0001.csv.gz"
FORMAT = {"kind": "csv", "compression": "gzip", "encoding": "utf-8", "delimiter": ",", "quote": '"', "header": True}
ROWS = 5_000  # fetched at once
BYTES_LIMIT = 1 << 40  # written, before compression
TIME_ZONE = "Asia/Ho_Chi_Minh"  # of the session: what a day in the bounds means, and the offset timestamps come with

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "sqlserver": "mssql+pyodbc",
    "oracle": "oracle+oracledb",
}
# One state of the database for the whole query, by each server's own word for it.
_ISOLATION = {
    "postgresql": "REPEATABLE READ",
    "mysql": "REPEATABLE READ",
    "mssql": "SNAPSHOT",
    "oracle": "SERIALIZABLE",
}
_QUOTED = re.compile(r'[,"\r\n]')
_CODES = ("code", "id12")
_MIDNIGHT = dt.time()


@dataclass(frozen=True)
class Database:
    """The maker of deliveries from a query."""

    contract: Contract
    server: Server
    keeps: str | None = field(default=None, init=False)  # half a result is worth nothing to the next try

    def make(self, period: Period, folder: Path) -> MadeFile:
        """Run the query and write its rows.

        Raises P06Error P06-PULL-002 .. 006, 011, 014, 020 .. 024; UsageError P06-PULL-001.
        """
        with _session(self.server) as connection, _result(connection, self.contract, self.server, period) as result:
            places = _places(self.contract, self.server, list(result.keys()))
            return _write(folder / FILE, self.contract.columns, places, result, self.server)


def _write(path: Path, columns: Sequence[Column], places: Sequence[int], result: Any, server: Server) -> MadeFile:
    """Header and rows, compressed, synced; size and checksum are those of the compressed file."""
    writers = [_writer(column, server.where) for column in columns]
    rows = size = 0
    with origins.written(server.where), path.open("wb") as raw:
        # no name, no time, one level: equal rows give equal bytes
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
            size += _put(file, [",".join(_field(column.physical_name) for column in columns)])
            for batch in _batches(result, server.where):
                lines = [
                    ",".join([write(row[place]) for write, place in zip(writers, places, strict=True)]) for row in batch
                ]
                size += _put(file, lines if len(columns) > 1 else [line or '""' for line in lines])
                rows += len(batch)
                if size > BYTES_LIMIT:
                    raise P06Error("P06-PULL-011", **server.where, bytes=BYTES_LIMIT)
                fault.point("pull.copying")
        raw.flush()
        os.fsync(raw.fileno())
    with path.open("rb") as made:
        checksum = hashlib.file_digest(made, "sha256").hexdigest()
    return MadeFile(FILE, path.stat().st_size, checksum, rows, FORMAT)


def _put(file: gzip.GzipFile, lines: list[str]) -> int:
    return file.write(("\n".join(lines) + "\n").encode("utf-8"))


def _batches(result: Any, where: dict[str, str]) -> Iterator[Any]:
    """Lists of rows; the cursor stays on the server, so one of them is in memory."""
    parts = result.partitions(ROWS)
    while True:
        with origins.told_safely("P06-PULL-020", **where):
            batch = next(parts, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _session(server: Server) -> Iterator[Any]:
    """A connection in a read-only transaction that sees one state of the database, in the server's time zone."""
    import sqlalchemy

    zone = server.text("timeZone", TIME_ZONE)
    try:
        engine = sqlalchemy.create_engine(
            _address(server), poolclass=sqlalchemy.NullPool, hide_parameters=True, connect_args=_arguments(server)
        )
    except ImportError:
        engine = None
    if engine is None:
        raise P06Error("P06-PULL-024", **server.where, type=server.type)
    name = engine.dialect.name
    options: dict[str, Any] = {"stream_results": True, "yield_per": ROWS}
    if name in _ISOLATION:
        options["isolation_level"] = _ISOLATION[name]
    if name == "postgresql":
        options["postgresql_readonly"] = True
    with origins.told_safely("P06-PULL-005", **server.where):
        try:
            connection = engine.connect().execution_options(**options)
        except sqlalchemy.exc.OperationalError as error:
            state = getattr(error.orig, "sqlstate", None) or ""
            words = str(error.orig)  # libpq gives no code while connecting; its words decide and go no further
            if state.startswith("28") or "authentication failed" in words or "no password supplied" in words:
                raise P06Error("P06-PULL-006", **server.where) from None
            raise
    try:
        with origins.told_safely("P06-PULL-005", **server.where):
            if name == "postgresql":
                connection.execute(sqlalchemy.text("select set_config('TimeZone', :zone, true)"), {"zone": zone})
            elif name == "mysql":
                connection.execute(sqlalchemy.text("set transaction read only"))
        yield connection
    finally:
        with origins.told_safely("P06-PULL-005", **server.where):
            connection.close()
            engine.dispose()


@contextmanager
def _result(connection: Any, contract: Contract, server: Server, period: Period) -> Iterator[Any]:
    import sqlalchemy

    statement = sqlalchemy.text(server.text("query"))
    bounds = origins.bounds(contract, period)
    wanted = set(statement.compile().params)
    if not wanted <= bounds.keys():
        server.wrong("query")
    asked = {name: bounds[name] for name in wanted}
    with origins.told_safely("P06-PULL-020", **server.where):
        result = connection.execute(statement, asked)
    try:
        yield result
    finally:
        with origins.told_safely("P06-PULL-020", **server.where):
            result.close()


def _address(server: Server) -> Any:
    """Where the contract says it is, who the connection says we are; a ``url`` in the connection outranks both."""
    import sqlalchemy

    held: Credentials = server.credentials
    if stated := held.get("url"):
        try:
            return sqlalchemy.make_url(stated)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            pass
        raise P06Error("P06-PULL-004", connection=held.name, field="url")
    port = held.get("port") or server.fields.get("port")
    if not str(port or "0").isdecimal():
        server.wrong("port")
    return sqlalchemy.URL.create(
        _DRIVERS[server.type],
        username=held.need("user"),
        password=held.get("password"),
        host=held.get("host") or server.standard("host"),
        port=int(port) if port else None,
        database=held.get("database") or server.fields.get("database") or server.fields.get("serviceName"),
    )


def _arguments(server: Server) -> dict[str, Any]:
    """So that a dead network ends a pull instead of holding it."""
    if server.type not in ("postgresql", "postgres"):
        return {}
    return {
        "connect_timeout": 30,
        "keepalives_idle": 60,
        "keepalives_interval": 15,
        "keepalives_count": 4,
        "tcp_user_timeout": 120_000,
        "application_name": "p06 pull",
    }


def _places(contract: Contract, server: Server, given: list[str]) -> list[int]:
    """Where each column of the contract stands in the result, by name. Raises P06Error P06-PULL-021."""
    missing, places = [], []
    for column in contract.columns:
        found = [number for number, name in enumerate(given) if name in (column.physical_name, column.name)]
        if len(found) == 1:
            places += found
        else:
            missing.append(column.name)
    if missing or len(given) != len(places):
        unknown = [origins.shown(name) for number, name in enumerate(given) if number not in places]
        raise P06Error(
            "P06-PULL-021", **server.where, missing=" ".join(missing) or None, unknown=" ".join(unknown) or None
        )
    return places


def _writer(column: Column, where: dict[str, str]) -> Callable[[Any], str]:
    """How a value of this column is written, in the notation of the delivery interface; NULL is an empty field.

    Raises P06Error P06-PULL-022 on a timestamp that does not say its offset, P06-PULL-023 on a value whose type this
    column cannot take without guessing.
    """

    def refuse(code: str, value: Any) -> P06Error:
        return P06Error(code, **where, column=column.name, type=type(value).__name__)

    def written(value: Any) -> str:
        if value is None:
            return ""
        kind = type(value)
        if kind is str:
            return _field(value)
        if kind is bool:
            return "true" if value else "false"
        if kind in (int, Decimal, float):
            if column.kind in _CODES or column.kind in ("date", "timestamp"):
                raise refuse("P06-PULL-023", value)  # a code that was a number has lost its leading zeros
            return _number(value)
        if kind is dt.datetime:
            return moment(value)
        if kind is dt.date and column.kind != "timestamp":
            return value.isoformat()  # type: ignore[no-any-return]
        if kind is uuid.UUID:
            return str(value)
        raise refuse("P06-PULL-023", value)

    def moment(value: dt.datetime) -> str:
        if column.kind == "date":  # some servers have no date without a time
            if value.tzinfo is None and value.time() == _MIDNIGHT:
                return value.date().isoformat()
            raise refuse("P06-PULL-023", value)
        offset = value.utcoffset()
        if offset is None:
            raise refuse("P06-PULL-022", value)
        if offset.seconds % 60:  # local mean time, before there were zones
            value = value.astimezone(dt.timezone.utc)
        return value.isoformat()

    return written


def _number(value: int | float | Decimal) -> str:
    """Plain notation, every digit."""
    if isinstance(value, int):
        return str(value)
    number = Decimal(repr(value)) if isinstance(value, float) else value
    return format(number, "f")


def _field(text: str) -> str:
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
