"""The tasks of a load. They hand each other ids of extracts, nothing else."""

from __future__ import annotations

from typing import Any

from airflow.sdk import task

from p06 import origins
from p06.airflow import run, schedule
from p06.contract import Contract


def pull(contract: Contract) -> Any:
    """The task that brings what is new at the contract's origins into landing; none when senders push."""

    @task(task_id="pull", task_display_name="Lấy về · pull")
    def pulling() -> list[str]:
        with run.told_safely():
            from p06 import pull as use_case

            return use_case.pull_new(contract.source, run.period(), run.log.info)

    return pulling() if origins.wanted(contract) else []


@task(task_display_name="Tiếp nhận · stage")
def stage(source: str, pulled: list[str]) -> list[str]:
    """Verify what is pending for the run's period and stream it into staging and quarantine.

    What was ``pulled`` is pending in landing like everything else; being handed it, this task waits for the pull.
    """
    with run.told_safely():
        from p06 import load as loading

        extracts = loading.stage_pending(source, run.period())
        if not extracts:
            raise run.nothing_to_do("nothing is pending")
        return extracts


@task(task_display_name="Kiểm định · gate")
def gate(extracts: list[str]) -> list[str]:
    """Gate 1: each extract by itself; hands on those that passed."""
    with run.told_safely():
        from p06 import load as loading

        return loading.gate_many(extracts)


def accept(contract: Contract) -> Any:
    """The task that makes the highest revision the accepted one and says so to whoever waits for the source."""

    @task(task_id="accept", task_display_name="Chấp nhận · accept", outlets=[schedule.asset(contract)])
    def accepting(extracts: list[str]) -> list[str]:
        with run.told_safely():
            from p06 import load as loading

            accepted = loading.accept_many(extracts)
            if not accepted:
                raise run.nothing_to_do("a newer revision is accepted already")
            return accepted

    return accepting
