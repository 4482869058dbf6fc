"""Broken at any step in any way, readers see one release, and the same act again ends as if nothing had happened.

Killed are the process itself, its sessions (politely), one of its backends (SIGKILL, by which the server restarts every
session) and the postmaster. dbt runs in the process of the build, so that there is no child of it to kill: killing the
process at ``build.*`` kills dbt. What Airflow makes of a killed task stands in ``test_airflow.py``.
"""

from __future__ import annotations

import random
import signal

import pytest

from p06 import fault
from tests.faults.scene import ELSEWHERE, KILLS, Outcome, Scene

STEPS = [step for step in fault.STEPS if step not in ELSEWHERE]
CELLS = [(step, kill) for step in STEPS for kill in KILLS]
QUICK = {"load": 3, "replay": 1, "pull": 1, "publish": 1, "rollback": 1, "cleanup": 1}  # cells of each group


def sample(seed: int = 5) -> list[tuple[str, str]]:
    """The cells a change has to pass: some of each quick group, with every way to kill among them."""
    chance = random.Random(seed)
    found = []
    for group, count in QUICK.items():
        steps = chance.sample([step for step in STEPS if step.startswith(f"{group}.")], count)
        found += [(step, KILLS[(len(found) + at) % len(KILLS)]) for at, step in enumerate(steps)]
    return found


def broken(scene: Scene, note: dict[str, Outcome], step: str, kill: str) -> None:
    outcome = scene.break_at(step, kill)
    note[f"{step} {kill}"] = outcome
    if kill == "self":
        assert outcome.code == -signal.SIGKILL
    assert outcome.looks > 0
    assert outcome.anomalies == []
    assert outcome.differences == []


@pytest.mark.long
@pytest.mark.parametrize(("step", "kill"), CELLS)
def test_no_fault_at_any_step_leaves_a_trace(scene: Scene, note: dict[str, Outcome], step: str, kill: str) -> None:
    broken(scene, note, step, kill)
