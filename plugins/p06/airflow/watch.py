"""The tasks of the watch."""

from __future__ import annotations

from airflow.sdk import task

from p06.airflow import run
from p06.airflow.schedule import SWEEP


@task(task_display_name="Nạp bản mới · load what arrived")
def load_what_arrived() -> list[str]:
    """Start the load of each source and period with a delivery pending in landing."""
    with run.told_safely():
        from p06 import watch as watching

        return watching.start_loads(run.log.info)


@task(task_display_name="Gọi công bố · wake releases", outlets=[SWEEP], trigger_rule="all_done")
def wake_releases(*, outlet_events: dict) -> list[str]:  # type: ignore[type-arg]
    """Name the stale periods no release is under way for, so that a lost wake-up is made good."""
    with run.told_safely():
        from p06 import watch as watching

        periods = watching.forgotten()
        if not periods:
            raise run.nothing_to_do("nothing is stale")
        outlet_events[SWEEP].add_partitions(periods)
        return periods


@task(task_display_name="Hỏi duyệt · ask officers", trigger_rule="all_done")
def ask_officers() -> list[str]:
    """Ask for every approval that waits, and end the questions that were answered at the command line."""
    with run.told_safely():
        from p06 import watch as watching

        return watching.ask_officers(run.log.info)


@task(task_display_name="Nêu nguồn thiếu · tell what is missing", trigger_rule="all_done")
def tell_what_is_missing() -> list[str]:
    """Expected against arrived, by the contracts' deadlines; whoever is to hear of anything is told now."""
    with run.told_safely():
        from p06 import watch as watching

        found = watching.overdue()
        for line in found:
            run.log.warning("%s", line)
        watching.tell(report=run.log.warning)
        return found


@task(task_display_name="Dọn dẹp · tidy", trigger_rule="all_done")
def tidy() -> list[str]:
    """Close backfills whose process died; drop what no reader and no build needs any more."""
    with run.told_safely():
        from p06 import watch as watching

        return watching.tidy(run.log.info)


@task(task_display_name="Làm mới trang · renew pages", trigger_rule="all_done")
def renew_pages() -> bool:
    """Write the pages again when the warehouse has moved on; a page that cannot be written costs nobody a release."""
    with run.told_safely():
        from p06 import site

        return site.renew(run.log.info, make=True)
