"""Who may write what: each role only what it answers for."""

from __future__ import annotations

import psycopg
import pytest

from p06 import database
from tests.sender import Sender

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
def test_nobody_of_the_warehouse_reaches_the_database_of_airflow(sender: Sender, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(database.dsn(role, database.AIRFLOW), connect_timeout=5)
