"""A database already in use takes the migrations that came since, and what they derive is what a load would say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from p06 import migrate, record
from p06.settings import settings
from tests.sender import Sender, superuser


@pytest.fixture
def used(sender: Sender, tmp_path: Path) -> Iterator[psycopg.Connection[Any]]:
    """A database under the first five migrations: an extract of three bad rows, outranked by one that mends one."""
    folder = tmp_path / "first"
    folder.mkdir()
    for path in sorted(settings().migrations.glob("000[1-5]_*.sql")):
        shutil.copy(path, folder)
    with superuser() as server:
        server.execute("drop database if exists p06_used")
        server.execute("create database p06_used")
        address = make_conninfo(server.info.dsn, dbname="p06_used")
        with psycopg.connect(address, autocommit=True) as connection:
            assert len(migrate.apply(connection, folder)) == 5
            connection.execute("insert into control.load_attempt (source, period, delivery) values (%s, %s, %s)", PLACE)
            for name, revision, state, bad in (("one", 1, "superseded", (2, 3, 4)), ("two", 2, "accepted", (2, 3))):
                connection.execute(
                    "insert into control.extract (extract_id, source, period, revision, content_hash,"
                    " admin_code_version, produced_at, manifest, delivery, contract_version, contract_hash, received,"
                    " duplicates, quarantined, staged, staging_table, quarantine_table, state, attempt_id)"
                    " select %s, 'health_visit', '2024-01-01', %s, %s, '2025-03-01', now(), '{}', '', '1', '', 9, 0, %s,"
                    " %s, %s, %s, %s, max(attempt_id) from control.load_attempt",
                    (name, revision, name, len(bad), 9 - len(bad), name, name, state),
                )
                for at in bad:
                    connection.execute(
                        "insert into quality.failed_row values"
                        " ('health_visit', '2024-01-01', %(name)s, 1, %(line)s, 'sex', 'unknown_code'),"
                        " ('health_visit', '2024-01-01', %(name)s, 1, %(line)s, 'birth_date', 'type_date')",
                        {"name": name, "line": at},
                    )
            connection.execute("insert into control.accepted values ('health_visit', '2024-01-01', 'two', 2)")
            yield connection
        server.execute("drop database p06_used")


PLACE = ("health_visit", "2024-01-01", "")


def test_cleanup_may_come_before_the_first_build(used: psycopg.Connection[Any]) -> None:
    migrate.apply(used, settings().migrations)
    assert used.execute("select to_regclass('build.indicator_edition')").fetchone() == (None,)
    record.forget(used, [])
    record.forget(used, [1])


def test_editions_of_an_older_database_are_found_by_build_and_written_by_no_role(used: psycopg.Connection[Any]) -> None:
    used.execute(
        "set role p06_owner; create table build.indicator_edition (release_id text not null, build_id bigint not null);"
        "grant select, insert on build.indicator_edition to p06_publisher; reset role"
    )
    migrate.apply(used, settings().migrations)
    found = used.execute(
        "select indexdef like '%(build_id)', (select array_agg(has_table_privilege(role, 'build.indicator_edition', held))"
        "  from unnest(array['p06_builder', 'p06_publisher']) as role cross join unnest(array['select', 'insert']) as held)"
        " from pg_indexes where tablename = 'indicator_edition'"
    ).fetchall()
    assert found == [(True, [True, False, True, False])]


def test_what_an_older_database_outranked_is_repeated_as_far_as_the_accepted_extract_holds_it(
    used: psycopg.Connection[Any],
) -> None:
    assert migrate.apply(used, settings().migrations)
    assert migrate.apply(used, settings().migrations) == []
    found = used.execute(
        "select extract, rows, open, corrected, repeated, closed_by, reasons from quality.quarantine_state order by 1"
    ).fetchall()
    assert found == [
        ("one", 3, 0, 1, 2, "two", {"type_date": 3, "unknown_code": 3}),
        ("two", 2, 2, 0, 0, None, {"type_date": 2, "unknown_code": 2}),
    ]
    public = used.execute(
        "select count(*) from pg_proc as p inner join pg_namespace as n on n.oid = p.pronamespace"
        " cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a"
        " where n.nspname in ('quality', 'vault', 'control') and a.grantee = 0"
    ).fetchone()
    assert public == (0,)
