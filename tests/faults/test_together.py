"""Two of everything at once, a run overtaken by another, a network cut around COMMIT, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from p06 import database, fault
from tests.faults import readers
from tests.faults.proxy import relay
from tests.faults.scene import WORK, Scene, Work, _server, broken_promises, content
from tests.integration.sequence import Months

QUICK = ("load", "publish")
BUSY = 6


def same(scene: Scene, work: Work) -> list[str]:
    """What differs from the undisturbed end, in words."""
    wanted, found = scene.undisturbed_end(work), content()
    return [f"{part}: {found[part]}" for part in wanted if found[part] != wanted[part]] + broken_promises()


def twice(scene: Scene, group: str) -> None:
    work = WORK[group]
    scene.undisturbed_end(work)
    build_id = scene.stand(work.stage)
    with readers.watching(database.dsn("analyst")) as watching:
        children = [scene.start(work, build_id) for _ in "ab"]
        codes = [child.end() for child in children]
        assert set(codes) <= {0, BUSY}, [child.said for child in children]
        again, said = scene.run(work, build_id)
    assert again == 0, said
    found = content()  # before the undisturbed end is looked up again
    wanted = scene.undisturbed_end(work)
    assert [part for part in wanted if found[part] != wanted[part]] + broken_promises() == []
    assert readers.anomalies(watching, scene.expected[work.stage + work.act + work.surroundings]) == []


@pytest.mark.long
@pytest.mark.parametrize("group", [group for group in WORK if group not in QUICK and "." not in group])
def test_two_of_anything_at_once_end_as_one(scene: Scene, group: str) -> None:
    twice(scene, group)


@pytest.mark.long
def test_a_run_overtaken_while_it_slept_publishes_nothing_and_spoils_nothing(scene: Scene) -> None:
    """Its lock is lost with the session that held it; another run builds and publishes; then it wakes up."""
    work = WORK["build"]
    scene.undisturbed_end(work)
    scene.stand(work.stage)
    sleeper = scene.start(work, 0, **{fault.STOP: "build.started"})
    assert sleeper.stopped()
    with _server() as server:
        server.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and pid <> pg_backend_pid()"
        )
    code, said = scene.run(work, 0)
    assert code == 0, said
    sleeper.go_on()
    assert sleeper.end() == 1, sleeper.said
    assert same(scene, work) == []


CUTS = {
    "load": [b"insert into control.extract", b"insert into control.accepted"],
    "publish": [b"insert into control.published"],
    "rollback": [b"update control.published"],
    "cleanup": [b"state = 'dropping'"],
}


def cut(scene: Scene, group: str, after: bytes, when: Literal["before", "after"]) -> None:
    work = WORK[group]
    scene.undisturbed_end(work)
    build_id = scene.stand(work.stage)
    known = scene.expected[work.stage + work.act + work.surroundings]
    with readers.watching(database.dsn("analyst")) as watching:
        folder = database._socket_folder()
        assert folder is not None
        with relay(folder, after, when) as network:
            code, said = scene.run(
                work, build_id, P06_DATABASE_URL=f"postgresql://postgres@localhost/p06?host={network.folder}"
            )
            assert network.cut, said
        assert code not in (0, -signal.SIGKILL), said
        assert "Traceback" not in said or "psycopg" in said
        again, said = scene.run(work, build_id)
        assert again == 0, said
    assert same(scene, work) == []
    assert readers.anomalies(watching, known) == []


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("group", "after"), [(group, one) for group, found in CUTS.items() for one in found])
def test_a_network_cut_around_any_commit_is_made_good(
    scene: Scene, group: str, after: bytes, when: Literal["before", "after"]
) -> None:
    cut(scene, group, after, when)


# ---- a full disk ---------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own; only root of the machine can mount one."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.fail(f"a small file system cannot be mounted here ({mounted.stderr.strip()}); this proof needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def filled(folder: Path, free: int) -> Iterator[None]:
    """All but so many bytes of a file system taken."""
    path = folder / "filler"
    try:
        with path.open("wb", buffering=0) as file, suppress(OSError):  # the server writes, too
            while (left := _free(folder) - free) > 0:
                file.write(bytes(min(left, 1 << 20)))
        yield
    finally:
        path.unlink()


def _free(folder: Path) -> int:
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The two months, all of them on a small disk."""
    with small_disk(tmp_path_factory.mktemp("disk") / "small", 900) as folder:
        months = Months(folder)
        yield Scene(months)
        months.replay.stop()


@pytest.mark.long
@pytest.mark.parametrize(("group", "free"), [("load", 100_000), ("load", 1_000_000), ("build", 400_000), ("build", 3_000_000),
                                             ("publish", 20_000), ("pull", 8_000)])  # fmt: skip
def test_a_full_disk_stops_the_work_and_nothing_else(cramped: Scene, group: str, free: int) -> None:
    work = WORK[group]
    with cramped.open():
        cramped.undisturbed_end(work)
        build_id = cramped.stand(work.stage)
        known: dict[str, Any] = cramped.expected[work.stage + work.act + work.surroundings]
        with readers.watching(database.dsn("analyst")) as watching:
            with filled(cramped.folder, free):
                code, said = cramped.run(work, build_id)
            assert code >= 0, said
            again, said = cramped.run(work, build_id)
            assert again == 0, said
        assert same(cramped, work) == []
        assert [one for one in readers.anomalies(watching, known) if "No space left" not in one] == []
