"""What is kept for older snapshots, what a release leaves untouched in the catalog, and whom DDL makes wait."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from p06 import cli, database, lock, marts, publish, release
from p06 import digest as digests
from p06.build import BuildInterrupted
from tests.faults import readers
from tests.faults.scene import APRIL, MAY, WORK, Scene, forge, look_at_rest, superuser

CATALOG = {
    "relations": "select n.nspname, c.relname, c.relkind, c.relowner::regrole, c.relacl, c.reloptions, c.relrowsecurity,"
    " c.relforcerowsecurity, obj_description(c.oid, 'pg_class') from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p', 'v', 'S') and c.relname !~ '__[0-9]{6}(__|$)'"
    " order by 1, 2",
    "columns": "select a.attrelid::regclass::text, a.attname, a.atttypid::regtype, a.attacl,"
    " col_description(a.attrelid, a.attnum) from pg_attribute a join pg_class c on c.oid = a.attrelid"
    " join pg_namespace n on n.oid = c.relnamespace where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p', 'v')"
    " and c.relname !~ '__[0-9]{6}(__|$)' and a.attnum > 0 order by 1, 2",
    "views": "select schemaname, viewname, viewowner, definition from pg_views where schemaname = any(%(schemas)s)"
    " order by 1, 2",
    "policies": "select * from pg_policies where schemaname = any(%(schemas)s) order by 1, 2, 3",
    "functions": "select p.oid::regprocedure::text, p.proacl, p.prosecdef, p.proconfig, md5(p.prosrc),"
    " obj_description(p.oid, 'pg_proc') from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
    " where n.nspname = any(%(schemas)s) order by 1",
    "schemas": "select nspname, nspowner::regrole, nspacl from pg_namespace where nspname = any(%(schemas)s) order by 1",
    "defaults": "select defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl from pg_default_acl"
    " order by 1, 2, 3",
    "leaves": "select distinct c.relowner::regrole, c.relacl::text from pg_class c where c.relkind = 'r' and c.relname ~ '__[0-9]{6}(__|$)'"
    " and c.relnamespace = 'build'::regnamespace order by 1, 2",
}
SCHEMAS = ["marts", "identified", "quality", "control", "build", "vault", "staging", "quarantine", "watching"]


def catalog() -> dict[str, list[Any]]:
    """Rights, policies, definitions, comments and owners of everything that outlives a build."""
    with psycopg.connect(superuser(), autocommit=True) as connection:
        return {
            part: [[str(value) for value in row] for row in connection.execute(query.encode(), {"schemas": SCHEMAS})]
            for part, query in CATALOG.items()
        }


def test_a_release_a_rollback_and_a_cleanup_leave_rights_policies_and_views_as_they_are(scene: Scene) -> None:
    scene.stand("corrected")
    before = catalog()
    assert len(before["views"]) > 20 and before["policies"]
    for source in (1, 2, 1, 2):
        forge(APRIL, source)
        assert catalog() == before
    release.rollback(APRIL, f"{APRIL}.5")
    assert catalog() == before
    assert len(release.clean()) > 10
    assert catalog() == before


@pytest.mark.long
def test_a_whole_release_leaves_the_catalog_as_it_is(scene: Scene) -> None:
    scene.stand("loaded")
    before = catalog()
    code, said = scene.run(WORK["build"], 0)
    assert (code, said) == (0, '"published"\n')
    assert catalog() == before


def cleaned(**how: float) -> set[str]:
    """The numbers of the builds whose leaves a cleanup dropped."""
    return {name.rpartition("__")[2] for name in release.clean(**how) if "__" in name}  # type: ignore[arg-type]


def test_no_build_goes_while_a_snapshot_taken_before_can_ask_for_it(scene: Scene) -> None:
    scene.stand("begun")
    with psycopg.connect(database.dsn("analyst"), autocommit=True) as reader:
        first = readers.look(reader, "statement")
        with reader.transaction():
            reader.execute("set transaction isolation level repeatable read read only")
            reader.execute("select 1")  # the snapshot alone: nothing is locked
            for _ in range(publish.KEPT):
                forge(APRIL, 1)
            last = look_at_rest()
            assert cleaned(patience=0.2) == cleaned(patience=0.2) == set()
            seen = [reader.execute(f"select {piece}".encode()).fetchone()[0] for piece in readers.pieces(reader)]  # type: ignore[index]
            assert tuple(seen) == first
    assert cleaned() == {"1"}
    assert look_at_rest() == last != first


def test_a_digest_is_of_one_state_though_a_release_comes_between_two_marts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_id = scene.stand("passed")
    one = digests._one

    def told() -> dict[str, Any]:
        cli.digest(None, None, as_json=True)
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    def between(connection: psycopg.Connection[Any], schema: str, name: str, *rest: Any) -> digests.Digest:
        if name == "indicator":
            monkeypatch.setattr(digests, "_one", one)
            release.publish_build(build_id)
        return one(connection, schema, name, *rest)

    before = told()
    monkeypatch.setattr(digests, "_one", between)
    assert told() == before
    after = told()
    assert all(after[mart] != before[mart] for mart in ("citizen_month", "indicator"))


def test_a_transaction_begun_after_the_builds_were_given_up_keeps_nothing(scene: Scene) -> None:
    scene.stand("crowded")
    with psycopg.connect(database.dsn("analyst")) as early:
        early.execute("select 1")
        assert cleaned(patience=0.1) == set()
        with psycopg.connect(database.dsn("analyst")) as late:
            late.execute("select 1")
            early.rollback()
            assert cleaned(patience=0.1) == {"1", "2"}


def test_a_snapshot_taken_while_builds_are_being_given_up_keeps_them(scene: Scene) -> None:
    scene.stand("crowded")
    with psycopg.connect(superuser(), autocommit=True) as server, ThreadPoolExecutor(1) as meanwhile:
        with psycopg.connect(superuser()) as other:
            other.execute("select 1 from control.build for update")
            cleaning = meanwhile.submit(cleaned, patience=0.1)
            _until(
                server, "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%''dropping''%'"
            )
            reader = psycopg.connect(database.dsn("analyst"))
            reader.execute("select 1")  # the first releases are still kept for whoever asks what was published then
        with reader:
            assert cleaning.result(60) == set()
    assert cleaned() == {"1", "2"}


def test_a_reader_neither_waits_nor_fails_while_a_detach_left_half_done_is_finished(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.stand("crowded")
    with psycopg.connect(superuser(), autocommit=True) as server, ThreadPoolExecutor(1) as meanwhile:
        with database.connect("publisher", autocommit=True) as publisher:
            publish.doom(publisher, publish.KEPT)
        with psycopg.connect(database.dsn("analyst")) as reader:
            reader.execute("select 1")  # for this snapshot nothing is detached yet
            with psycopg.connect(database.dsn("analyst")) as holder, monkeypatch.context() as patch:
                holder.execute("select count(*) from marts.citizen_month")
                patch.setattr(marts, "_PATIENCE", 0.5)
                cleaned(patience=0.1)
            assert server.execute("select count(*) from pg_inherits where inhdetachpending").fetchone() == (1,)
            cleaning = meanwhile.submit(cleaned, patience=0.1)
            _until(server, "select 1 from pg_stat_activity where query like '%finalize' and pid <> pg_backend_pid()")
            time.sleep(1.5)  # the server looks for deadlocks after a second; whoever comes later is the one who fails
            began = time.perf_counter()
            reader.execute("select count(*) from marts.citizen_month")
            took = time.perf_counter() - began
        assert cleaning.result(60) == {"1", "2"}
        assert took < 0.5
        assert server.execute("select count(*) from pg_inherits where inhdetachpending").fetchone() == (0,)


def test_a_plan_that_was_being_made_while_the_leaves_came_is_not_kept(scene: Scene) -> None:
    """A session learns of new partitions while it plans, but marks only the plans it already keeps (ADR 0032)."""
    scene.stand("corrected")
    with psycopg.connect(superuser(), autocommit=True) as server:
        server.execute(  # evaluated while the statement is planned, after one mart was looked up and before another
            "create function watching.planned() returns boolean immutable language plpgsql as"
            " 'begin perform pg_advisory_xact_lock_shared(32); return true; end';"
            " grant execute on function watching.planned() to p06_analyst; select pg_advisory_lock(32)"
        )
        statement = "select (select count(*) from marts.citizen_month), (select watching.planned()), (select count(*) from marts.indicator)"
        waits = "select 1 from pg_locks where locktype = 'advisory' and not granted"
        attached = "select 1 from pg_class where relname ~ '^scorecard__[0-9]{6}__3$'"
        with psycopg.connect(database.dsn("analyst"), autocommit=True) as reader, ThreadPoolExecutor(2) as meanwhile:
            first = meanwhile.submit(lambda: reader.execute(statement, prepare=True).fetchone())
            _until(server, waits)
            forged = meanwhile.submit(forge, APRIL, 1)
            _until(server, attached)
            server.execute("select pg_advisory_unlock(32)")
            assert first.result(60) is not None
            assert forged.result(60) == 3
            kept = reader.execute(statement, prepare=True).fetchone()
        with psycopg.connect(database.dsn("analyst"), autocommit=True) as fresh:
            assert kept == fresh.execute(statement).fetchone() != first.result()


def _until(connection: psycopg.Connection[Any], query: str, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while connection.execute(query.encode()).fetchone() is None:
        assert time.monotonic() < until, query
        time.sleep(0.02)


def test_a_reader_never_waits_for_a_view_that_has_to_change(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.stand("begun")
    with psycopg.connect(superuser(), autocommit=True) as connection:
        connection.execute("delete from build.reference_list where name in ('marts', 'view marts.citizen_month')")
    with psycopg.connect(database.dsn("analyst")) as holder:
        holder.execute("select count(*) from marts.citizen_month")  # holds the view until its transaction ends
        changing = threading.Thread(target=marts.sync)
        changing.start()
        worst = 0.0
        with psycopg.connect(database.dsn("analyst"), autocommit=True) as other:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                began = time.perf_counter()
                other.execute("select count(*) from marts.citizen_month")
                worst = max(worst, time.perf_counter() - began)
        assert changing.is_alive(), "it waits for the transaction that holds the view"
    changing.join(30)
    assert not changing.is_alive()
    assert worst < 1.0, "nobody queues behind it for longer than one short try"
    assert lock.WAIT == "100ms"


def test_a_run_given_up_for_dead_writes_nothing_more_and_holds_nothing(scene: Scene) -> None:
    scene.stand("loaded")
    written: list[list[Any]] = []

    def tables() -> list[Any]:
        with psycopg.connect(superuser(), autocommit=True) as connection:
            return connection.execute(
                "select oid, relname from pg_class where relnamespace in ('build'::regnamespace, 'vault'::regnamespace)"
                " and relkind in ('r', 'p', 'i') order by 1"
            ).fetchall()

    def overtaken(_: str) -> None:
        if not written:
            with database.connect("builder", autocommit=True) as connection:
                release._forget_dead_builds(connection)  # waits for the models under way
            written.append(tables())

    before = look_at_rest()
    with pytest.raises(BuildInterrupted, match="given up for dead"):
        release.build(MAY, overtaken)
    at_the_end = tables()
    assert written and all(found == at_the_end for found in written)
    with psycopg.connect(superuser(), autocommit=True) as connection:
        assert connection.execute("select count(*) from control.hold").fetchone() == (0,)
    assert look_at_rest() == before
