"""The proofs about faults every change has to pass, in one file, so that one worker makes their warehouse once.

A sample of the matrix, of two at once and of cut networks; what `snapshots` claims; the whole of it is long.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Literal

import psycopg
import pytest

from p06 import contract, database, fault
from p06.synth import SOURCES
from tests.faults import readers
from tests.faults.scene import APRIL, MAY, WORK, Outcome, Scene, _server, look_at_rest
from tests.faults.snapshots import *  # noqa: F403
from tests.faults.test_matrix import broken, sample
from tests.faults.test_together import CUTS, QUICK, cut, twice


@pytest.mark.parametrize(("step", "kill"), sample())
def test_a_sample_of_faults_leaves_no_trace(scene: Scene, note: dict[str, Outcome], step: str, kill: str) -> None:
    broken(scene, note, step, kill)


@pytest.mark.parametrize("group", QUICK)
def test_two_at_once_end_as_one(scene: Scene, group: str) -> None:
    twice(scene, group)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_network_cut_around_the_commit_of_a_publication_is_made_good(
    scene: Scene, when: Literal["before", "after"]
) -> None:
    cut(scene, "publish", *CUTS["publish"], when)


def test_a_killed_load_leaves_no_process_behind(scene: Scene) -> None:
    work = WORK["load"]
    scene.stand(work.stage)
    child = scene.start(work, 0, **{fault.STOP: "load.copied"}, P06_WORKERS="2")
    assert child.stopped()
    os.kill(child.pid, signal.SIGKILL)
    assert child.end() == -signal.SIGKILL
    until = time.monotonic() + 10
    while child.family() and time.monotonic() < until:
        time.sleep(0.05)
    assert child.family() == []
    with _server() as server:
        while time.monotonic() < until:
            if server.execute("select 1 from pg_stat_activity where usename = 'p06_loader'").fetchone() is None:
                break
            time.sleep(0.05)
        assert server.execute("select 1 from pg_stat_activity where usename = 'p06_loader'").fetchall() == []


def test_what_is_published_is_what_the_scenes_compare(scene: Scene) -> None:
    """The proofs above would be worth nothing if both contents of April, or two marts of them, were alike."""
    scene.stand("begun")
    first = look_at_rest()
    scene.stand("corrected")
    second = look_at_rest()
    assert first[0] == f"{APRIL}.1 @1" and second[0] == f"{APRIL}.2 @2"
    alike = {a.split()[0]: a.split()[1] for a, b in zip(first, second, strict=True) if a == b}
    assert set(alike.values()) == {"0"}, alike  # no gate judged them, and what no ministry of the scene sends
    assert not {known.mart for source, known in contract.load_all().items() if source in SOURCES} & set(alike)
    assert not {"citizen_month", "dim_citizen", "indicator", "match_summary", "reconciliation", "scorecard"} & set(
        alike
    )
    assert str(MAY) not in second[0]
    with psycopg.connect(database.dsn("analyst"), autocommit=True) as connection:
        assert all(readers.look(connection, kind) == second for kind in readers.KINDS)
