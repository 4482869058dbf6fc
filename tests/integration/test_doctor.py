"""The doctor finds what is wrong with the configuration, names the mend, and tells no secret."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p06 import airflow_api, credentials, database, doctor, duty, marts, token
from p06.settings import settings
from tests.sender import Sender, superuser

SECRET = "canary-of-a-password"


@pytest.fixture
def by_url(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A landing that is a URL; returns the file of its connection."""
    monkeypatch.setenv("P06_LANDING", "sftp://127.0.0.1:1/outbox")
    settings.cache_clear()
    path = credentials.folder() / f"{credentials.LANDING}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)
    monkeypatch.undo()
    settings.cache_clear()


def states() -> dict[str, str]:
    return {one.check: one.state for one in doctor.examine()}


def test_a_machine_that_is_right_has_no_bad_finding(sender: Sender) -> None:
    found = states()
    assert {"contracts", "suites", "origins", "landing", "role analyst"} <= set(found)
    assert {state for check, state in found.items() if check != "disk"} == {"good"}


def test_the_connection_of_a_landing_by_url_is_looked_at_and_never_shown(by_url: Path) -> None:
    assert states()["landing"] == "good"
    by_url.write_text('{"password": "' + SECRET)
    by_url.chmod(0o600)
    [broken] = [one for one in doctor.examine() if one.check == "landing"]
    assert broken.state == "bad" and "P06-PULL-003" in broken.found and broken.mend
    by_url.write_text(json.dumps({"password": SECRET}))
    by_url.chmod(0o644)
    [open_to_all] = [one for one in doctor.examine() if one.check == "landing"]
    assert open_to_all.state == "bad" and "P06-PULL-002" in open_to_all.found
    assert SECRET not in str((broken, open_to_all))
    by_url.chmod(0o600)
    assert states()["landing"] == "good"


@contextmanager
def env(monkeypatch: pytest.MonkeyPatch, **values: object) -> Iterator[None]:
    """Settings as the environment would state them, for a while."""
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, str(value))
        settings.cache_clear()
        yield
    settings.cache_clear()


def bad() -> dict[str, str]:
    """What is wrong -> its mend, but for the disk of this machine."""
    return {one.check: one.mend for one in doctor.examine() if one.state == "bad" and one.check != "disk"}


def test_a_key_others_may_read(sender: Sender) -> None:
    key = settings().signing_key_file
    key.chmod(0o644)
    try:
        assert bad() == {"signing key": f"chmod 600 {key}"}
    finally:
        key.chmod(0o600)
    assert bad() == {}


def test_a_token_key_this_warehouse_was_not_built_with(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect("loader") as connection:
        connection.execute("insert into vault.citizen_token values (%s, %s)", token.citizen_tokens([1_190_000_001])[0])
    assert bad() == {}
    token.make_key(tmp_path / "other.key")
    with env(monkeypatch, P06_TOKEN_KEY_FILE=tmp_path / "other.key"):
        assert bad().keys() == {"tokens"} and "put the token key of this warehouse back" in bad()["tokens"]
    with env(monkeypatch, P06_TOKEN_KEY_FILE=tmp_path / "none.key"):
        assert bad().keys() == {"tokens"} and not (tmp_path / "none.key").exists(), "the doctor makes no key"


def test_a_schema_of_a_newer_version(sender: Sender) -> None:
    with superuser() as connection:
        connection.execute("insert into public.p06_migration values ('9999_later.sql', 'x')")
    try:
        assert bad().keys() == {"migrations"} and "a newer p06 has used this database" in bad()["migrations"]
    finally:
        with superuser() as connection:
            connection.execute("delete from public.p06_migration where name = '9999_later.sql'")


def test_a_home_copied_while_its_server_ran_reaches_the_other_homes_database(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    (copy / "postgres").mkdir(parents=True)
    shutil.copy(settings().home / "postgres" / "postmaster.pid", copy / "postgres")
    shutil.copytree(settings().home / "secrets", copy / "secrets")
    with env(monkeypatch, P06_HOME=copy):
        found = bad()
    assert found.keys() == {"database of this home"}
    assert f"Remove {copy / 'postgres' / 'postmaster.pid'}" in found["database of this home"]


def test_the_ledger_of_another_warehouse(sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token.make_key(tmp_path / "signing.key")
    with env(monkeypatch, P06_SIGNING_KEY_FILE=tmp_path / "signing.key"):
        found = bad()
    assert found.keys() == {"ledger's key"} and "P06_SIGNING_KEY_FILE" in found["ledger's key"]


def test_a_landing_that_is_no_folder_and_a_broken_contract(
    sender: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with env(monkeypatch, P06_LANDING=tmp_path / "file"):
        assert bad() == {"landing": "it is no folder: set P06_LANDING to one"}
    shutil.copytree(settings().contracts, tmp_path / "contracts")
    path = tmp_path / "contracts" / "bank_kyc.odcs.yaml"
    path.write_text(path.read_text("utf-8").replace("schema:", "shema:", 1), "utf-8")
    with env(monkeypatch, P06_CONTRACTS=tmp_path / "contracts"):
        found = {one.check: one for one in doctor.examine() if one.state == "bad"}
    assert "bank_kyc" in found["contracts"].found and found["contracts"].mend


def test_nobody_may_open_a_provinces_page(sender: Sender) -> None:
    marts.sync()
    path = airflow_api.port_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1")  # Airflow was started here, and gave its accounts nothing
    try:
        [asked] = [one for one in doctor.examine() if one.check == "duties"]
        assert asked.state == "note" and "p06 duties give admin reader" in asked.mend, "a first start goes on"
        duty.give("lan", "steward")
        assert states()["duties"] == "note", "pairs are no pages"
        duty.give("lan", "reader", "01")
        assert states()["duties"] == "good"
    finally:
        path.unlink()
        with superuser() as connection:
            connection.execute("truncate control.duty_entry")


def test_a_login_of_ones_own_whose_transactions_may_see_two_releases(sender: Sender) -> None:
    name = '"office-of-lan"'
    with superuser() as connection:
        connection.execute(f"create role {name} login in role p06_analyst")
    try:
        assert states()["readers' logins"] == "good", "the database says so"
        with superuser() as connection:  # as where the database is somebody else's
            connection.execute("alter database p06 reset default_transaction_isolation")
        [asked] = [one for one in doctor.examine() if one.check == "readers' logins"]
        assert asked.state == "note" and name in asked.found
        with superuser() as connection:
            connection.execute(asked.mend.partition(": ")[2])
        assert states()["readers' logins"] == "good"
    finally:
        with superuser() as connection:
            connection.execute(f"drop role {name}")
            connection.execute("alter database p06 set default_transaction_isolation = 'repeatable read'")


def test_a_disk_that_is_nearly_full(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(settings().home).free
    monkeypatch.setattr(doctor, "NEEDED_FREE", 2 * free)
    [disk] = [one for one in doctor.examine() if one.check == "disk"]
    assert disk.state == "bad" and "p06 clean" in disk.mend


def test_airflow_without_its_metadata_and_a_port_somebody_else_took(sender: Sender) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        path = airflow_api.port_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(other.getsockname()[1]))
        try:
            found = bad()
        finally:
            path.unlink()
    assert found.keys() == {"airflow's metadata", "airflow's port"}
    assert "p06 up" in found["airflow's metadata"] and f"remove {path}" in found["airflow's port"]
