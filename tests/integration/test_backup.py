"""A backup made while the warehouse works comes back whole into an empty home, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p06 import backup, database, digest, publish, quarantine, release, seal
from p06.errors import Busy, P06Error, UsageError
from p06.fault import BACKUP
from p06.settings import settings
from tests.integration.sequence import Months
from tests.integration.warehouse import Warehouse

APRIL, MAY = Months.periods


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    """Two months, one of them released twice."""
    months = Months(tmp_path_factory.mktemp("backup"))
    with months.replay.open():
        months.begin()
        for period in (APRIL, APRIL, MAY):
            months.replay.publish(period)
        yield months
    months.replay.stop()


@pytest.fixture(scope="module")
def made(working: Months) -> Path:
    """A backup of it."""
    folder = working.folder / "made"
    backup.backup(folder, landing=True)
    return folder


@contextmanager
def home(folder: Path) -> Iterator[None]:
    """Another home is the current one; its server is stopped at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("P06_HOME", str(folder))
        settings.cache_clear()
        try:
            yield
        finally:
            database.stop()
            shutil.rmtree(folder, ignore_errors=True)
    settings.cache_clear()


def content() -> tuple[list[digest.Digest], seal.Verdict]:
    with database.connect("admin", autocommit=True) as connection:
        return digest.digest(connection), seal.verify(connection)


def test_it_comes_back_equal_and_works_on(working: Months, made: Path, tmp_path: Path) -> None:
    before = content()
    keys = [settings().token_key_file.read_bytes(), settings().signing_key_file.read_bytes()]
    with home(tmp_path / "home"):
        known, verdict = backup.restore(made)
        assert verdict.sound and verdict.head == known.head == before[1].head
        assert content() == before
        assert [settings().token_key_file.read_bytes(), settings().signing_key_file.read_bytes()] == keys
        assert settings().signing_key_file.stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in settings().home.iterdir()) == ["landing", "postgres", "secrets"]
        assert release.rollback(APRIL).to_release == f"{APRIL}.1"
        assert content()[1].sound
    assert content() == before


def test_readers_releases_and_writers_go_on_meanwhile(working: Months, tmp_path: Path) -> None:
    stop, failures, turns = threading.Event(), [], []

    def work() -> None:
        try:
            while not stop.is_set():
                with database.connect("publisher", autocommit=True) as connection:
                    current = next(r for r in publish.releases(connection, APRIL) if r.current)
                other = 1 if current.release_id.endswith(".2") else 2
                release.rollback(APRIL, to=f"{APRIL}.{other}")
                quarantine.unmasked("bank_kyc", APRIL)
                turns.append(other)
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        try:
            while not stop.is_set():
                with database.connect("analyst", autocommit=True) as connection:
                    rows = connection.execute("select count(*) from marts.citizen_month").fetchone()
                    assert rows and rows[0] > 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for one in (work, read)]
    for thread in threads:
        thread.start()
    done = backup.backup(tmp_path / "made")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures and turns
    now, chain = content()
    assert chain.sound
    with home(tmp_path / "home"):
        known, verdict = backup.restore(done.folder)
        assert verdict.sound and known.head == done.head
        assert verdict.entries <= chain.entries
        assert content()[0] == now  # both releases of the month have the same content
    with database.connect("admin", autocommit=True) as connection:
        assert verdict.head is not None
        assert seal.verify(connection, verdict.head).sound  # what came back is a beginning of what went on


def test_a_backup_that_is_not_as_it_was_written_is_refused(working: Months, made: Path, tmp_path: Path) -> None:
    def write(path: Path, content: bytes) -> None:
        path.unlink()  # the copy is made of links
        path.write_bytes(content)

    def flip(folder: Path) -> None:
        path = max((folder / "postgres" / "base").rglob("*"), key=lambda one: one.stat().st_size * one.is_file())
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        write(path, bytes(content))

    def cut(folder: Path) -> None:
        text = (folder / "manifest.json").read_bytes()
        write(folder / "manifest.json", text[: len(text) // 2])

    def leave_out(folder: Path) -> None:
        next((folder / "postgres" / "pg_wal").glob("0*")).unlink()

    def add(folder: Path) -> None:
        (folder / "postgres" / "standby.signal").touch()

    def other_key(folder: Path) -> None:
        write(folder / "secrets" / "signing.key", b"00" * 32)

    for number, harm in enumerate((flip, cut, leave_out, add, other_key)):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(made, copy, copy_function=os.link)
        harm(copy)
        with home(tmp_path / "home"), pytest.raises(P06Error, match="P06-BACKUP-008"):
            backup.restore(copy)
        assert not (tmp_path / "home").exists()
        shutil.rmtree(copy)


def test_it_is_restored_into_an_empty_home_only(working: Months, made: Path, tmp_path: Path) -> None:
    before = content()
    with pytest.raises(UsageError, match="P06-BACKUP-007"):
        backup.restore(made)
    database._ready.clear()
    assert content() == before  # and the home that is in use starts as ever
    with pytest.raises(UsageError, match="P06-BACKUP-002"):
        backup.backup(made)
    with home(tmp_path / "home"):
        (tmp_path / "home" / database.RESTORING).mkdir(parents=True)
        with pytest.raises(P06Error, match="P06-DB-007"):
            database.ensure_running()


def test_a_disk_without_room_is_said_and_leaves_nothing(
    working: Months, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
        with pytest.raises(P06Error, match="P06-BACKUP-004"):
            backup.backup(tmp_path / "small")
        with home(tmp_path / "home"):
            with pytest.raises(P06Error, match="P06-BACKUP-004"):
                backup.restore(made)
            with pytest.raises(P06Error, match="P06-DB-007"):
                database.ensure_running()
    assert not [path for path in tmp_path.iterdir() if "small" in path.name]


def test_two_at_once_are_kept_apart(working: Months, tmp_path: Path) -> None:
    with backup._draft(tmp_path / "one"), pytest.raises(Busy, match="P06-BACKUP-003"):
        backup.backup(tmp_path / "one")
    assert not list(tmp_path.iterdir())


def test_a_server_of_ones_own_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P06_DATABASE_URL", "postgresql://someone@127.0.0.1:1/p06")
    settings.cache_clear()
    for call in (backup.backup, backup.restore):
        with pytest.raises(UsageError, match="P06-BACKUP-001"):
            call(tmp_path / "made")
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    "step",
    [pytest.param(one, marks=[] if one == "restore.moved" else pytest.mark.long) for one in BACKUP],
)
def test_killed_on_the_way_nothing_half_made_is_taken_for_whole(
    working: Months, made: Path, tmp_path: Path, step: str
) -> None:
    first = Warehouse(working.replay.home, working.replay.home / "secrets" / "token.key")
    target = tmp_path / "backup"
    if step.startswith("backup"):
        assert first.run("backup", str(target), P06_FAIL_AT=step).returncode == -9
        assert target.exists() == (step == "backup.done")
        if step != "backup.done":
            first.must("backup", str(target))
        made = target
    (tmp_path / "home").mkdir(mode=0o755)
    second = Warehouse(tmp_path / "home", tmp_path / "home" / "secrets" / "token.key")
    try:
        if step.startswith("restore"):
            assert second.run("restore", str(made), P06_FAIL_AT=step).returncode == -9
            assert "P06-DB-007" in second.run("digest").stderr
        second.must("restore", str(made))
        assert second.digest() == first.digest()
        assert json.loads(second.must("verify", "--json"))["sound"]
    finally:
        second.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] in ([], [".backup.lock"])


@pytest.mark.long
def test_a_disk_that_fills_up_on_the_way_is_said_and_the_same_command_finishes(
    working: Months, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a small file system, with the look at the free room beforehand left out."""
    if os.geteuid() != 0:
        pytest.fail("only root can mount a small file system")
    place = tmp_path / "small"
    place.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", str(place)], check=True)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(backup, "_demand", lambda place, wanted: None)
            with pytest.raises(P06Error, match="P06-BACKUP-004"):
                backup.backup(place / "made")
            assert not list(place.iterdir())
            with home(place / "home"):
                with pytest.raises(P06Error, match="P06-BACKUP-004"):
                    backup.restore(made)
                with pytest.raises(P06Error, match="P06-DB-007"):
                    database.ensure_running()
                subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
                assert backup.restore(made)[1].sound
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
