"""A backfill in this process: register months in any order, every month loaded, every month built once."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from p06 import backfill, build, database, marts, release
from p06.estimate import BUILD_BY_DEFAULT, Pace, pace
from p06.period import Period, parse_range
from p06.synth import SOURCES, correction, generate
from tests.integration.sequence import Replay, load_ungated

REGISTER = "population_register"


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    tmp_path.chmod(0o755)
    made = Replay(tmp_path / "home")
    with made.open():
        made.begin()
        yield made
    made.stop()


def _leave_open(months: list[Period]) -> None:
    """A backfill in the ledger whose process has ended without a word."""
    with subprocess.Popen(["true"]) as gone:
        pass
    with database.connect("publisher", autocommit=True) as connection:
        connection.execute(
            "insert into control.backfill (first_period, last_period, sources, host, pid, process_started)"
            " values (%s, %s, '{health_visit}', %s, %s, 0)",
            (months[0].first_day, months[-1].first_day, socket.gethostname(), gone.pid),
        )


def _builds() -> dict[str, int]:
    with database.connect("publisher") as connection:
        return dict(
            connection.execute(
                "select to_char(period, 'YYYY-MM'), count(*) from control.build group by 1 order by 1"
            ).fetchall()
        )


def _ledger() -> dict[str, str]:
    """A hash over all rows of each table of the ledger and of the quality schema."""
    found = {}
    with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1)) as connection:
        for (table,) in connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('control', 'quality', 'vault') order by 1"
        ).fetchall():
            rows = connection.execute(f"select t::text from {table} as t order by 1".encode()).fetchall()
            found[table] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def _proves(replay: Replay, country: Path, months: list[Period], corrected: list[Period]) -> None:
    generate(country, 50, months, 5, "usual")
    span = f"{months[0]}..{months[-1]}"
    for month in random.Random(1).sample(months, len(months)):  # the register's months in any order
        replay.deliver(country / "landing" / REGISTER / str(month) / "rev-1", 1, "rev-1")
        assert backfill.backfill([month], REGISTER).exit_code == 0
    assert _builds() == {}
    for source in SOURCES:
        for month in months:
            if source != REGISTER:
                replay.deliver(country / "landing" / source / str(month) / "rev-1", 1, "rev-1")

    before = _ledger()
    foretold = backfill.backfill(parse_range(span), dry_run=True)
    assert _ledger() == before
    assert len(foretold.extracts) == len(months) * (len(SOURCES) - 1)
    assert foretold.rows["pending"] == sum(one["rows"] for one in foretold.extracts) > 0
    assert foretold.accepted == {REGISTER: len(months)}
    assert set(foretold.releases.values()) == {"would be released if what is pending is accepted"}
    assert foretold.expected_minutes is not None
    assert foretold.expected_minutes * 60 > len(months) * BUILD_BY_DEFAULT[0]
    assert f"the last {len(months)} loads here" in foretold.based_on
    assert "a default, no build has ended here yet" in foretold.based_on

    done = backfill.backfill(parse_range(span), reason="first load")
    assert (done.exit_code, done.through) == (0, "this process")
    assert _builds() == {str(month): 1 for month in months}
    assert done.releases == {str(month): "published" for month in months}
    assert replay.plan() == []
    foretold = backfill.backfill(parse_range(span), dry_run=True)
    assert (foretold.extracts, foretold.releases, foretold.expected_minutes) == ([], {}, 0)
    assert f"the last {len(months)} builds here" in foretold.based_on

    # corrections, the newest month's first: exactly those months again
    for month in sorted(corrected, reverse=True):
        replay.deliver(correction(country, "health_visit", month, 2, 0.05, 0.2, 0.5).folder, 2, "rev-2")
    foretold = backfill.backfill(parse_range(span), "health_visit", dry_run=True)
    assert list(foretold.releases) == [str(month) for month in corrected]
    with database.connect("publisher", autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (release.LOCK,))
        assert backfill.backfill(parse_range(span), "health_visit").exit_code == 6
    told = backfill.Backfill([], [], False)
    assert backfill._tell_releases(told, corrected, set()) == 6, "a month that is still stale is no success"
    assert told.releases == {str(month): "stale" for month in corrected}
    assert _builds() == {str(month): 1 for month in months}
    _leave_open(months)  # a backfill that was killed; the same command again finishes the work
    assert backfill.backfill(parse_range(span), "health_visit").exit_code == 0
    assert _builds() == {str(month): 1 + (month in corrected) for month in months}


def test_a_backfill_builds_each_month_once_and_foretelling_it_changes_nothing(replay: Replay, tmp_path: Path) -> None:
    months = parse_range("2025-05..2025-07")
    _proves(replay, tmp_path / "country", months, months[:1])


@pytest.mark.long
def test_a_backfill_of_two_years_builds_each_month_once(replay: Replay, tmp_path: Path) -> None:
    months = parse_range("2024-01..2025-12")
    _proves(replay, tmp_path / "country", months, [months[2], months[11], months[20]])


def test_a_register_month_foretells_every_later_month(replay: Replay, tmp_path: Path) -> None:
    country, months = tmp_path / "country", parse_range("2025-05..2025-06")
    generate(country, 50, months, 5, "usual")
    for source in SOURCES:
        for month in months:
            if (source, month) != ("land_parcel", months[1]):
                replay.deliver(country / "landing" / source / str(month) / "rev-1", 1, "rev-1")
    foretold = backfill.backfill(months, dry_run=True)
    assert foretold.releases == {
        "2025-05": "would be released if what is pending is accepted",
        "2025-06": "would wait, not received: land_parcel",
    }
    replay.deliver(country / "landing" / "land_parcel" / "2025-06" / "rev-1", 1, "rev-1")
    load_ungated()
    folder = correction(country, REGISTER, months[0], 2, 0.05, 0.2, 0.5).folder
    replay.deliver(folder, 2, "rev-2")
    foretold = backfill.backfill(months[:1], REGISTER, dry_run=True)
    assert foretold.releases["2025-06"] == "would be released again if the register of 2025-05 is accepted"
    idle = build.not_made(months[0], SOURCES)  # no event is there to follow
    made = [mart for mart in marts.of_a_month(months[0], SOURCES) if mart not in idle]
    assert foretold.marts == ["dim_citizen", *made]
    facts = {mart for mart in foretold.marts if mart.startswith("fct_")}
    alone = backfill.backfill(months, "health_visit", dry_run=True).marts
    assert set(alone) == set(made) - facts | {"fct_health_visit"}


def test_the_pace_of_past_loads_is_a_line_that_never_falls() -> None:
    assert pace([(0, 2.0), (1_000_000, 12.0)], (1, 1)) == Pace(2.0, 1e-05, 2)
    assert pace([(10, 5.0), (20, 3.0)], (1, 1)) == Pace(4.0, 0.0, 2)
    assert pace([(100, 1.0), (200, 4.0)], (1, 1)) == Pace(0.0, 2.5 / 150, 2)
    assert pace([(100, 1.0)], (1, 1)) == Pace(1.0, 0.0, 1)
    assert pace([], (3.0, 0.5)) == Pace(3.0, 0.5, 0)
    assert Pace(2.0, 0.5, 9).seconds([10, 20]) == 19.0
