"""How long loads and builds will take, from how long this warehouse's own have taken. For people; nothing depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

SAMPLES = 200  # the newest loads, and as many builds, are looked at
# Seconds for each, and for each row it reads, until there is history: a small machine of two cores, at rest.
LOAD_BY_DEFAULT = (1.0, 12e-6)
BUILD_BY_DEFAULT = (5.0, 20e-6)


@dataclass(frozen=True)
class Pace:
    """Seconds = ``each`` + ``per_row`` x rows; ``samples`` says how many past ones that rests on, 0: a default."""

    each: float
    per_row: float
    samples: int

    def seconds(self, rows: Sequence[int]) -> float:
        """For one after another of these sizes."""
        return sum(self.each + self.per_row * one for one in rows)


def pace(samples: Sequence[tuple[int, float]], default: tuple[float, float]) -> Pace:
    """The straight line through (rows, seconds) of past ones, never falling and never below zero."""
    if not samples:
        return Pace(*default, 0)
    count = len(samples)
    mean_rows = sum(rows for rows, _ in samples) / count
    mean_seconds = sum(seconds for _, seconds in samples) / count
    spread = sum((rows - mean_rows) ** 2 for rows, _ in samples)
    together = sum((rows - mean_rows) * (seconds - mean_seconds) for rows, seconds in samples)
    per_row = max(together / spread, 0.0) if spread else 0.0
    each = mean_seconds - per_row * mean_rows
    if each < 0:
        each, per_row = 0.0, mean_seconds / mean_rows
    return Pace(each, per_row, count)


def of_loads(connection: psycopg.Connection[Any]) -> Pace:
    """The pace of loads, by the rows their manifests state."""
    rows = connection.execute(
        "select e.received, extract(epoch from a.ended_at - a.started_at)::float8 from control.load_attempt as a"
        " inner join control.extract as e on e.attempt_id = a.attempt_id"
        " where a.state = 'accepted' and a.ended_at is not null order by a.attempt_id desc limit %s",
        (SAMPLES,),
    ).fetchall()
    return pace(rows, LOAD_BY_DEFAULT)


def of_builds(connection: psycopg.Connection[Any]) -> Pace:
    """The pace of builds with their gate, by the rows they read: the month's and the register's up to it."""
    rows = connection.execute(
        "select sum(e.staged)::bigint, extract(epoch from b.ended_at - b.started_at)::float8 from control.build as b"
        " inner join control.build_extract as x on x.build_id = b.build_id and x.period <= b.period"
        " inner join control.extract as e on e.extract_id = x.extract_id"
        " where b.state in ('published', 'dropping', 'dropped') and b.ended_at is not null"
        " group by b.build_id order by b.build_id desc limit %s",
        (SAMPLES,),
    ).fetchall()
    return pace(rows, BUILD_BY_DEFAULT)


def based_on(loads: Pace, builds: Pace) -> str:
    """What the two rest on, in words."""

    def one(what: str, known: Pace) -> str:
        origin = (
            f"the last {known.samples} {what}s here" if known.samples else f"a default, no {what} has ended here yet"
        )
        return f"{known.each:.1f} s a {what} and {known.per_row * 1e6:.1f} s a million rows ({origin})"

    return f"{one('load', loads)}; {one('build', builds)}"
