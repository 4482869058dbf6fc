"""Tasks of a running Airflow killed in the middle of their work: their next try ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from p06 import fault
from tests.integration.warehouse import Warehouse

# no task more often than it tries again
KILLED = ("load.copied", "load.accepting", "build.started", "build.built", "gate.judged", "publish.written",
          "publish.committed")  # fmt: skip
NAMES = {step[:15]: step for step in KILLED}  # what the system keeps of a process's name
MONTH = "2024-01"


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, Warehouse, Path]]:
    """A warehouse without Airflow, one with it, a month of five hundred people."""
    folder = tmp_path_factory.mktemp("tasks")
    key = folder / "token.key"
    plain = Warehouse(tmp_path_factory.mktemp("plain") / "home", key)
    stack = Warehouse(folder / "home", key, {fault.STOP: " ".join(KILLED)})
    plain.must("synth", "--out", str(folder), "--citizens", "500", "--periods", MONTH, "--seed", "11")
    yield plain, stack, folder
    stack.close()
    plain.close()


def stopped(home: Path) -> list[tuple[int, str]]:
    """(process, step) of every act of this home that has stopped itself."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            name = process.name()
            if (
                name in NAMES
                and process.status() == psutil.STATUS_STOPPED
                and Path(process.cwd()).is_relative_to(home)  # Airflow's name of it lies over its environment
            ):
                found.append((process.pid, NAMES[name]))
    return found


@pytest.mark.long
def test_killed_tasks_of_airflow_are_tried_again_and_end_as_if_nothing_had_happened(
    places: tuple[Warehouse, Warehouse, Path],
) -> None:
    plain, stack, country = places
    plain.deliver(country, [MONTH])
    plain.must("load")
    plain.must("release")
    stack.deliver(country, [MONTH])
    stack.must("up")
    left = set(KILLED)
    until = time.monotonic() + 1500
    published = f"select count(*) from control.published where period = '{MONTH}-01'"
    with psycopg.connect(stack.dsn("admin"), autocommit=True) as connection:
        while left or connection.execute(published.encode()).fetchone() != (1,) or stopped(stack.home):
            assert time.monotonic() < until, f"never reached, or never finished after: {sorted(left)}"
            for pid, step in stopped(stack.home):
                os.kill(pid, signal.SIGKILL if step in left else signal.SIGCONT)
                left.discard(step)
            time.sleep(0.5)
    assert stack.digest() == plain.digest()
    assert stack.query("select count(*) from control.release") == [(1,)]
