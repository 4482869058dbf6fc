"""Killed inside a COPY, the same command finishes the work; two at once do not meet. Every step: tests/faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from p06 import database, ledger, load
from p06.errors import Busy
from tests.integration.warehouse import Warehouse
from tests.sender import Sender, visits

LOAD = [sys.executable, "-m", "p06.cli", "load", "health_visit"]


def run(**more: str) -> subprocess.CompletedProcess[str]:
    home = Path(os.environ["P06_HOME"])
    place = {"P06_LANDING": os.environ["P06_LANDING"]}
    return Warehouse(home, home / "secrets" / "token.key", place).run("load", "health_visit", **more)


def test_killed_in_the_middle_of_copy_nothing_is_left_and_the_next_run_finishes(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    sender.rows(visits(60_000))
    process = subprocess.Popen(LOAD, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    copying = "select coalesce(sum(tuples_processed), 0) from pg_stat_progress_copy"
    while process.poll() is None and time.monotonic() < deadline:
        [(rows,)] = sees.execute(copying).fetchall()
        if rows > 1000:
            break
    process.kill()
    process.wait()
    assert sees.execute("select count(*) from control.extract").fetchone() == (0,)
    assert run().returncode == 0
    assert sees.execute("select count(*) from staging.health_visit").fetchone() == (60_000,)
    states = [
        state for (state,) in sees.execute("select state from control.load_attempt order by attempt_id").fetchall()
    ]
    assert states == ["failed", "accepted"]


def test_a_backend_killed_mid_load_fails_loudly_and_the_next_load_finishes(
    sender: Sender, sees: psycopg.Connection[Any]
) -> None:
    sender.rows(visits(60_000))
    process = subprocess.Popen(LOAD, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    copying = "select pid from pg_stat_progress_copy where tuples_processed > 1000"
    while process.poll() is None:
        if rows := sees.execute(copying).fetchall():
            sees.execute("select pg_terminate_backend(%s)", rows[0])
            break
    _, said = process.communicate()
    assert process.returncode == 1
    assert "P06-LOAD-043" in said
    assert run().returncode == 0
    assert sees.execute("select count(*) from staging.health_visit").fetchone() == (60_000,)


def test_a_second_run_of_the_same_period_is_told_to_wait(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PATIENCE", 0.3)
    delivery = sender.rows(visits(2))
    other = sender.rows(visits(2), period="2024-02")
    with database.connect("loader", autocommit=True) as connection, ledger.held(connection, "health_visit", "2024-01"):
        with pytest.raises(Busy) as busy:
            load.stage(delivery)
        assert (busy.value.code, busy.value.exit_code) == ("P06-LOAD-033", 6)
        assert load.stage(other).outcome == "staged"
    assert load.stage(delivery).outcome == "staged"


def test_a_run_that_was_overtaken_cannot_commit(sender: Sender, sees: psycopg.Connection[Any]) -> None:
    with database.connect("loader", autocommit=True) as connection:
        first = ledger.begin(connection, "health_visit", load._month(sender.rows(visits(1))), "first")
        assert ledger.is_latest(connection, first, "health_visit", load._month(load.pending()[0]))
        ledger.begin(connection, "health_visit", load._month(load.pending()[0]), "second")
        assert not ledger.is_latest(connection, first, "health_visit", load._month(load.pending()[0]))
    assert sees.execute("select state from control.load_attempt order by 1").fetchall() == [("failed",), ("running",)]
