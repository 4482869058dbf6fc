"""Readers of four kinds who look at all marts again and again, and what they saw.

Each look gives a *vector* (which release of each month is current, which register state) and the row count and a
checksum of every mart. One vector must always come with the same marts, those that were published under it.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

Look = tuple[str, ...]
KINDS = ("statement", "repeatable", "earlier", "view")
# what does not follow the pointer: it keeps every edition, tells of days, or is the same in all releases
APART = (
    "release", "indicator_edition", "dim_area", "area_change", "area_today", "scorecard_timing", "published_figure",
    "published_comparison", "indicator_target",
)  # fmt: skip
_VECTOR = (
    "coalesce((select string_agg(release_id, ' ' order by period) from marts.release where current), '')"
    " || ' @' || (select state from watching.state)"
)


def prepare(address: str) -> None:
    """Make the view over the views (schema ``watching``), as an office would that builds on the marts; superuser."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "create schema watching; grant usage on schema watching to p06_analyst;"
            "create view watching.state as select state from control.register_state"
        )
        columns = ", ".join(f"{piece} as part{number}" for number, piece in enumerate(pieces(connection)))
        connection.execute(f"create view watching.everything as select {columns}".encode())
        connection.execute("grant select on all tables in schema watching to p06_analyst")


def pieces(connection: psycopg.Connection[Any]) -> list[str]:
    """Expressions: the vector, then one for each mart by name."""
    marts = connection.execute(
        "select table_name from information_schema.views where table_schema = 'marts' and table_name <> all(%s)"
        " and has_table_privilege('p06_analyst', format('marts.%%I', table_name), 'select') order by 1",
        (list(APART),),
    ).fetchall()
    return [
        _VECTOR,
        *(
            f"(select '{name} ' || count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) from marts.{name} as t)"
            for (name,) in marts
        ),
    ]


def look(connection: psycopg.Connection[Any], kind: str, pause: float = 0.0) -> Look:
    """What one reader of that kind sees; ``earlier`` waits ``pause`` seconds between its snapshot and its reading."""
    if kind == "statement":
        row = connection.execute(f"select {', '.join(_pieces(connection))}".encode()).fetchone()
    elif kind == "view":
        row = connection.execute("select * from watching.everything").fetchone()
    else:
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read read only")
            if kind == "earlier":
                connection.execute("select 1")  # takes the snapshot, and locks nothing a build could wait for
                time.sleep(pause)
            row = tuple(
                connection.execute(f"select {piece}".encode()).fetchone()[0]  # type: ignore[index]
                for piece in _pieces(connection)
            )
    assert row is not None
    return row


_known: dict[str, list[str]] = {}


def _pieces(connection: psycopg.Connection[Any]) -> list[str]:
    place = f"{connection.info.host} {connection.info.port} {connection.info.dbname}"
    if place not in _known:
        _known[place] = pieces(connection)
    return _known[place]


class Reader:
    """One reader: looks until told to stop, reconnecting to a server that starts again."""

    def __init__(self, address: str, kind: str, hold: float = 0.3) -> None:
        self.address, self.kind, self.hold = address, kind, hold
        self.seen: dict[Look, int] = {}
        self.lost = 0  # looks cut off by a server that went down
        self.worst = 0.0  # seconds of the slowest look, without the pauses it made itself
        self.errors: list[str] = []

    def run(self, done: threading.Event, between: float = 0.0) -> None:
        """Look until ``done``."""
        chance = random.Random(self.kind)
        while not done.is_set():
            try:
                with psycopg.connect(self.address, autocommit=True, connect_timeout=5) as connection:
                    while not done.is_set():
                        pause = chance.random() * self.hold if self.kind == "earlier" else 0.0
                        began = time.perf_counter()
                        found = look(connection, self.kind, pause)
                        self.worst = max(self.worst, time.perf_counter() - began - pause)
                        self.seen[found] = self.seen.get(found, 0) + 1
                        done.wait(between)
            except psycopg.OperationalError:
                self.lost += 1
                done.wait(0.05)
            except Exception as error:  # a table that is missing, a view that has gone
                self.errors.append(f"{type(error).__name__} {error}")
                done.wait(0.05)

    @property
    def looks(self) -> int:
        """How many there were."""
        return sum(list(self.seen.values()))


def anomalies(readers: Sequence[Reader], expected: dict[str, Look], numbered: bool = False) -> list[str]:
    """What no reader may have seen: errors, unknown vectors, and marts that are not those of their vector.

    A register state has another number when a build before it was given up; it counts when ``numbered``.
    """
    if not numbered:
        expected = {vector.split(" @")[0]: one for vector, one in expected.items()}
    found = [f"{reader.kind}: {error}" for reader in readers for error in reader.errors]
    for reader in readers:
        for one in reader.seen:
            wanted = expected.get(one[0] if numbered else one[0].split(" @")[0])
            if wanted is None:
                found.append(f"{reader.kind}: saw {one[0]}, which was never published")
            elif wanted[1:] != one[1:]:
                found.append(
                    f"{reader.kind}: {reader.seen[one]} looks under {one[0]} saw other rows: {_differing(one, wanted)}"
                )
    return found


def _differing(one: Look, wanted: Look) -> str:
    """The marts that are not as they should be, and how many rows each had."""
    pairs = [(a.split(), b.split()) for a, b in zip(one[1:], wanted[1:], strict=True) if a != b]
    return ", ".join(f"{name} {rows} for {expected}" for (name, rows, _), (_, expected, _) in pairs)


@contextmanager
def watching(address: str, between: float = 0.01, kinds: Sequence[str] = KINDS) -> Iterator[list[Reader]]:
    """Readers in threads of this process."""
    readers, done = [Reader(address, kind) for kind in kinds], threading.Event()
    threads = [threading.Thread(target=one.run, args=(done, between)) for one in readers]
    for thread in threads:
        thread.start()
    try:
        yield readers
    finally:
        done.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """A reader in a process of its own: address, kind. Answers each line of standard input with how often it looked;
    ends when that closes, and prints what it saw."""
    address, kind = sys.argv[1:3]
    reader, done = Reader(address, kind), threading.Event()
    thread = threading.Thread(target=reader.run, args=(done,))
    thread.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(reader.looks, flush=True)
    done.set()
    thread.join()
    json.dump(
        {"seen": list(reader.seen.items()), "lost": reader.lost, "worst": reader.worst, "errors": reader.errors},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
