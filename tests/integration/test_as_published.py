"""What was published stays readable as it was: between, after a correction, after a rollback, and before there was any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from p06 import as_published, database, digest, marts, release
from p06.cli import app
from p06.errors import UsageError
from p06.period import Period
from tests.integration.sequence import Months, load_ungated

APRIL, MAY = Period.parse("2025-04"), Period.parse("2025-05")
Rows = list[tuple[Any, ...]]
History = dict[str, tuple[datetime, dict[str, Rows]]]


def _names() -> list[str]:
    return [*marts.of_a_month(), "dim_citizen"]


def _read(statement: str, *values: Any) -> Rows:
    with database.connect("sensitive", autocommit=True) as connection:  # an analyst who reads restricted marts too
        return connection.execute(statement.encode(), values).fetchall()


def _now(history: History, name: str) -> None:
    """Note what an analyst sees at this moment."""
    seen = {mart: sorted(_read(f"select * from marts.{mart}"), key=repr) for mart in _names()}
    history[name] = _read("select clock_timestamp()")[0][0], seen


def _then(history: History, name: str, mart: str) -> Rows:
    return sorted(_read(f"select * from marts.{mart}_as_published(%s)", history[name][0]), key=repr)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    made = Months(tmp_path_factory.mktemp("as-published"))
    with made.replay.open():
        made.begin()
    yield made
    made.replay.stop()


@pytest.fixture
def opened(months: Months) -> Iterator[Months]:
    with months.replay.open():
        yield months


class Readers:
    """A transaction for each monthly mart, left as a client begins it; each has read its mart until its plan is kept."""

    def __init__(self) -> None:
        self.sessions = {mart: psycopg.connect(database.dsn("sensitive")) for mart in marts.of_a_month()}
        self.first = [self.look() for _ in range(8)][-1]

    def look(self) -> dict[str, int]:
        counts = {}
        for mart, session in self.sessions.items():
            row = session.execute(f"select count(*) from marts.{mart} where period = '2025-04-01'".encode()).fetchone()
            counts[mart] = row[0] if row else -1
        return counts

    def end(self) -> None:
        for session in self.sessions.values():
            session.close()


def _digest(period: Period, release_id: str | None = None) -> dict[str, tuple[int, str]]:
    with database.connect("admin", autocommit=True) as connection:
        found = (
            digest.digest_of_release(connection, period, release_id)
            if release_id
            else digest.digest(connection, period)
        )
    return {one.mart: (one.rows, one.checksum) for one in found}


def test_every_moment_is_read_as_it_was_published(opened: Months) -> None:
    months, history = opened, History()
    _now(history, "before the first")
    months.replay.publish(APRIL)
    first = _digest(APRIL)
    _now(history, "April alone")
    months.replay.publish(MAY)
    _now(history, "both")
    readers = Readers()
    months.deliver("health_visit", APRIL, 2)
    load_ungated()
    months.replay.publish(APRIL)
    seen_since = readers.look()
    readers.end()
    assert seen_since == readers.first  # and not a month without rows, for want of a partition made since
    corrected = _digest(APRIL)
    _now(history, "April corrected")
    release.rollback(APRIL)
    assert months.told(APRIL)[0] == "held"
    release.rollback(APRIL, "2025-04.2")  # the release of today's inputs: there is nothing to hold back
    assert str(APRIL) not in months.entries()
    release.rollback(APRIL)
    _now(history, "April rolled back")
    months.deliver("population_register", APRIL, 2)
    load_ungated()
    months.replay.publish(MAY)
    _now(history, "another register")
    assert release.rollback(MAY).register == "moved"
    assert release.rollback(MAY, "2025-05.2").register == "moved"  # the citizens' history comes along, both ways
    assert sorted(_read("select * from marts.dim_citizen"), key=repr) == history["another register"][1]["dim_citizen"]
    assert str(MAY) not in months.entries()

    for name, (_, seen) in history.items():
        for mart in _names():
            assert _then(history, name, mart) == seen[mart], (name, mart)
    assert history["April corrected"][1]["fct_health_visit"] != history["both"][1]["fct_health_visit"]
    assert history["another register"][1]["dim_citizen"] != history["both"][1]["dim_citizen"]
    assert all(rows == [] for rows in history["before the first"][1].values())

    # the moment a release names is the first of its own
    for release_id, month, name in (("2025-04.2", APRIL, "April corrected"), ("2025-05.1", MAY, "both")):
        at = _read("select published_at from marts.release where release_id = %s", release_id)[0][0]
        rows = _read("select * from marts.fct_health_visit_as_published(%s, %s)", at, month.first_day)
        seen = history[name][1]["fct_health_visit"]
        assert sorted(rows, key=repr) == [row for row in seen if month.first_day in row]

    # a digest of a kept release is that of its day
    assert _digest(APRIL, "2025-04.1") == first
    assert _digest(APRIL, "2025-04.2") == corrected
    assert first != corrected
    shown = CliRunner().invoke(app, ["digest", "2025-04", "--release", "2025-04.1", "--json"])
    assert {mart: (one["rows"], one["checksum"]) for mart, one in json.loads(shown.stdout).items()} == first

    _what_is_no_longer_kept(months, history)


def _what_is_no_longer_kept(months: Months, history: History) -> None:
    """An undone register cannot be read once another was written over it; dropped builds cannot be read at all."""
    release.rollback(MAY)
    assert _then(history, "another register", "dim_citizen") == history["another register"][1]["dim_citizen"]
    months.replay.publish(MAY)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="P06-RELEASE-010"):
        _then(history, "another register", "dim_citizen")
    assert _then(history, "another register", "citizen_month") == history["another register"][1]["citizen_month"]
    with pytest.raises(UsageError, match="P06-RELEASE-010"):
        _digest(MAY, "2025-05.2")
    with pytest.raises(UsageError, match="P06-RELEASE-005"):
        _digest(MAY, "2025-04.1")

    release.clean(kept=1)
    for name in ("both", "another register"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=r"P06-RELEASE-009 .*2025-05\.[12]"):
            _then(history, name, "fct_health_visit")
        assert _then(history, name, "indicator") == history[name][1]["indicator"]
        rows = _read("select * from marts.match_summary_as_published(%s, '2025-04-01')", history[name][0])
        seen = [row for row in history[name][1]["match_summary"] if APRIL.first_day in row]
        assert sorted(rows, key=repr) == seen
    with pytest.raises(UsageError, match="P06-RELEASE-006"):
        _digest(MAY, "2025-05.1")


def test_a_month_asked_for_opens_no_other_month_and_no_other_build(opened: Months) -> None:
    with database.connect("analyst") as connection:
        connection.execute("select count(*) from marts.citizen_month_as_published(clock_timestamp(), '2025-04-01')")
        opened_leaves = connection.execute(
            "select relation::regclass::text from pg_locks where pid = pg_backend_pid() and locktype = 'relation'"
            " and relation::regclass::text like 'build.citizen\\_month\\_\\_%\\_\\_%'"
        ).fetchall()
    assert opened_leaves
    assert {name.split("__")[1] for (name,) in opened_leaves} == {"202504"}
    assert len({name.split("__")[2].split("_")[0] for (name,) in opened_leaves}) == 1


@pytest.mark.parametrize("mart", ["citizen_month", "indicator"])
def test_any_day_names_its_month(opened: Months, mart: str) -> None:
    counts = [
        _read(f"select count(*) from marts.{mart}_as_published(clock_timestamp(), %s::date)", day)
        for day in ("2025-04-01", "2025-04-30", "2025-05-01", "infinity")
    ]
    assert counts[0] == counts[1] != counts[2]
    assert counts[3] == [(0,)]


def test_a_column_may_be_called_as_what_the_function_calls_its_own(opened: Months) -> None:
    with database.connect("admin") as connection:
        connection.execute("set local role p06_builder")
        connection.execute("create table build.counted (period date, build_id bigint, months int, builds int)")
        connection.execute("insert into build.counted select period, build_id, 7, 8 from control.published")
        connection.execute("set local role p06_owner")
        connection.execute("create view marts.counted as select period, months, builds from build.counted")
        as_published.define(connection, ["counted"], {})
        found = connection.execute(
            "select months, builds from marts.counted_as_published(clock_timestamp())"
        ).fetchall()
        connection.rollback()
    assert found == [(7, 8)] * 2


def test_stewards_have_no_right_on_what_was_published(opened: Months) -> None:
    functions = "select p.oid from pg_proc as p where p.pronamespace = 'marts'::regnamespace"
    with database.connect("admin") as connection:
        granted = connection.execute(
            f"select has_function_privilege('p06_steward', f.oid, 'execute') from ({functions}) as f".encode()
        ).fetchall()
    assert len(granted) == len(_names())
    assert not any(allowed for (allowed,) in granted)


@pytest.mark.parametrize("mart", ["citizen_month", "indicator", "dim_citizen"])
def test_who_may_not_read_a_mart_may_not_read_what_it_was(opened: Months, tmp_path: Path, mart: str) -> None:
    with (
        database.connect("loader", autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(f"select * from marts.{mart}_as_published(now())".encode())
    with (
        database.connect("analyst", autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select * from control.published_at(now())")
