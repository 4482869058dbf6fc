"""Who may write what: each role only what it answers for."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from p06 import database, marts
from p06.settings import settings
from tests.sender import Sender, superuser

_ANSWER = (
    'insert into quality.check_result (period, source, mart, "check", dimension, severity, success, run, owner,'
    " extract_id, build_id) values ('2024-01-01', %s, %s, 'c', 'du', 'warn', false, 'r', 'o', %s, %s)"
)
OF_EXTRACT = ("bank_kyc", None, "bank_kyc-202401-r1-000000000000", None)
OF_BUILD = (None, "indicator", None, 1)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("loader", OF_EXTRACT), ("builder", OF_BUILD), ("publisher", None), ("quality", None), ("analyst", None)],
)
def test_an_answer_is_written_only_by_whoever_judges_its_subject(
    sender: Sender, role: str, allowed: tuple[object, ...] | None
) -> None:
    for answer in (OF_EXTRACT, OF_BUILD):
        with database.connect(role, autocommit=True) as connection:
            if answer == allowed:
                connection.execute(_ANSWER, answer)
                continue
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(_ANSWER, answer)
    if allowed:
        for reader in ("loader", "builder", "publisher", "quality"):
            with database.connect(reader) as connection:
                assert connection.execute("select count(*) from quality.check_result").fetchone() == (1,)


@pytest.mark.parametrize("role", ["loader", "builder"])
def test_an_answer_once_given_stays(sender: Sender, role: str) -> None:
    for change in ("update quality.check_result set success = true", "delete from quality.check_result"):
        with (
            database.connect(role, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(change.encode())


@pytest.mark.parametrize("role", [role for role in database.ROLES if role != "admin"])
def test_nobody_writes_the_editions_but_by_the_functions_that_keep_published_ones(sender: Sender, role: str) -> None:
    marts.sync()
    gate, cleanup = role in ("builder", "publisher"), role == "publisher"
    with database.connect("admin") as connection:
        held = connection.execute(
            "select has_table_privilege(%(role)s, 'build.indicator_edition', 'select'),"
            " has_table_privilege(%(role)s, 'build.indicator_edition', 'insert, update, delete, truncate'),"
            " has_function_privilege(%(role)s, 'control.keep_edition(bigint)', 'execute'),"
            " has_function_privilege(%(role)s, 'control.forget_editions(bigint[])', 'execute'),"
            " has_function_privilege(%(role)s, 'control.seal_edition(bigint)', 'execute')",
            {"role": f"p06_{role}"},
        ).fetchone()
    assert held == (gate, False, gate, cleanup, False)


@pytest.mark.parametrize("role", [role for role in database.ROLES if role != "admin"])
def test_nobody_of_the_warehouse_reaches_the_database_of_airflow(sender: Sender, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(database.dsn(role, database.AIRFLOW), connect_timeout=5)


@pytest.mark.parametrize("role", ["analyst", "sensitive", "identified", "quality"])
def test_a_transaction_of_a_reader_sees_one_state_and_what_is_written_for_an_officer_the_newest(
    sender: Sender, role: str
) -> None:
    with psycopg.connect(database.dsn(role)) as reader:
        assert reader.execute("show transaction_isolation").fetchone() == ("repeatable read",)
    with database.connect("quality") as officer:
        assert officer.execute("show transaction_isolation").fetchone() == ("read committed",)


def test_a_login_of_ones_own_sees_one_state_too_and_whoever_writes_the_newest(sender: Sender) -> None:
    with superuser() as server:
        server.execute("create role office login in role p06_analyst")
        try:
            with psycopg.connect(database.dsn("analyst").replace("p06_analyst", "office", 1)) as reader:
                assert reader.execute("show transaction_isolation").fetchone() == ("repeatable read",)
        finally:
            server.execute("drop role office")
        assert server.execute("show transaction_isolation").fetchone() == ("read committed",)
    for role in ("admin", "loader", "builder", "publisher", "steward"):
        with psycopg.connect(database.dsn(role)) as writer:
            assert writer.execute("show transaction_isolation").fetchone() == ("read committed",)


_VIEWS = (
    "select relname from pg_class where relnamespace = 'marts'::regnamespace and relkind = 'v' and relname ~ '^fct_'"
    " and has_table_privilege(%s, oid, 'select')"
)
_FUNCTIONS = (
    "select proname from pg_proc where pronamespace = 'marts'::regnamespace and proname ~ '^fct_'"
    " and has_function_privilege(%s, oid, 'execute')"
)


def _reads(role: str) -> set[str]:
    """The fact marts a role reads in any of their forms."""
    found: set[str] = set()
    with database.connect("admin") as connection:
        for statement in (_VIEWS, _FUNCTIONS):
            for (name,) in connection.execute(statement.encode(), (f"p06_{role}",)):
                found.add(name.removesuffix("_restated").removesuffix("_as_published"))
    return found


def test_a_restricted_mart_is_read_by_holders_of_its_purpose_alone(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marts.sync()
    closed = {"fct_party_member", "fct_judicial_certificate", "fct_health_ebook", "fct_health_vaccination"}
    assert closed <= marts.restricted()
    closed = set(marts.restricted())
    facts = _reads("sensitive")
    assert closed < facts
    for role in ("analyst", "quality", "identified"):
        assert _reads(role) == facts - closed, role
    assert _reads("steward") == set()
    for view in ("fct_party_member", "fct_party_member_restated"):
        count = f"select count(*) from marts.{view}".encode()
        with psycopg.connect(database.dsn("admin").replace("p06_admin", "postgres", 1)) as everything:
            held = everything.execute(count).fetchone()
        with database.connect("sensitive") as connection:
            assert connection.execute(count).fetchone() == held  # other tests may have filled it
            connection.execute("select * from marts.indicator")
        with (
            database.connect("analyst", autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"select * from marts.{view}".encode())
    # a contract that opens its mart, or closes it again, is followed
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    monkeypatch.setenv("P06_CONTRACTS", str(tmp_path / "contracts"))
    settings.cache_clear()
    path = tmp_path / "contracts" / "party_member.odcs.yaml"
    shipped = path.read_text("utf-8")
    for text, expected in (
        (shipped.replace("  - {property: access, value: restricted}\n", ""), closed - {"fct_party_member"}),
        (shipped, closed),
    ):
        path.write_text(text, "utf-8")
        assert marts.sync()
        assert _reads("analyst") == facts - expected
        assert _reads("steward") == set()
