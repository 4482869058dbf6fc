"""The tasks of a release. They hand each other the build's number, nothing else."""

from __future__ import annotations

from airflow.sdk import Param, task

from p06.airflow import run
from p06.errors import Waiting

REBUILD = {
    "rebuild": Param(
        False,
        type="boolean",
        description="Build the period although the ledger does not ask for it: held, or its models changed.",
    )
}


@task.short_circuit(task_display_name="Cần công bố? · stale")
def stale() -> bool:
    """Ask the ledger: stale, ready, neither held nor inside an open backfill. Otherwise the run ends here."""
    with run.told_safely():
        from p06 import plan

        return run.asked("rebuild") or plan.wake(run.period())


@task(task_display_name="Dựng · build")
def build() -> int:
    """Build every mart of the period beside what readers see, unless a build was approved and has only to be published."""
    with run.told_safely():
        from p06 import plan
        from p06 import release as releasing

        if run.asked("rebuild"):
            return releasing.build(run.period(), run.log.info)
        if not plan.wake(run.period()):
            raise run.nothing_to_do("released meanwhile")
        return releasing.approved(run.period(), run.log.info) or releasing.build(run.period(), run.log.info)


@task(task_display_name="Kiểm định · gate")
def gate(build_id: int) -> int:
    """Gate 2: judge the build, and say who must approve it. A block fails this task; the last release is still served."""
    with run.told_safely():
        from p06 import release as releasing

        releasing.gate(build_id)
        return build_id


@task(task_display_name="Công bố · publish")
def publish(build_id: int) -> str:
    """Point readers at the build, over all marts at once; skipped while it waits for approval."""
    with run.told_safely():
        from p06 import release as releasing

        try:
            return releasing.publish_build(build_id)
        except Waiting as error:
            raise run.nothing_to_do(str(error)) from None
