"""The tasks of a load. They hand each other ids of extracts, nothing else."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task

from p06.airflow import run, schedule
from p06.contract import Contract


@task
def stage(source: str) -> list[str]:
    """Verify what is pending for the run's period and stream it into staging and quarantine."""
    with run.told_safely():
        from p06 import load as loading

        extracts = loading.stage_pending(source, run.period())
        if not extracts:
            raise run.nothing_to_do("nothing is pending")
        return extracts


@task
def gate(extracts: list[str]) -> list[str]:
    """Gate 1: each extract by itself; hands on those that passed."""
    with run.told_safely():
        from p06 import load as loading

        return loading.gate_many(extracts)


def accept(contract: Contract) -> Any:
    """The task that makes the highest revision the accepted one and says so to whoever waits for the source."""

    @task(task_id="accept", outlets=[schedule.asset(contract)])
    def accepting(extracts: list[str]) -> list[str]:
        with run.told_safely():
            from p06 import load as loading

            accepted = loading.accept_many(extracts)
            if not accepted:
                raise run.nothing_to_do("a newer revision is accepted already")
            return accepted

    return accepting
