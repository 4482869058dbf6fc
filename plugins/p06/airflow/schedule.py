"""When DAGs run, and the assets that wake them. A run is for one period: its partition key."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any

from airflow.sdk import Asset, CronPartitionTimetable, IdentityMapper, PartitionedAssetTimetable

from p06.airflow.notifier import TaskFailed
from p06.contract import Contract

SWEEP = Asset(
    "p06://sweep",
    extra={"vi": "Kỳ cần công bố do tác vụ theo dõi phát hiện", "en": "Periods the watch found in need of a release"},
)
QUESTION = Asset(
    "p06://question", extra={"vi": "Kỳ chờ cán bộ chất lượng duyệt", "en": "Periods that wait for an approval"}
)


def asset(contract: Contract) -> Asset:
    """The accepted extracts of a source, one partition a period; its name is its address, its title in both languages."""
    return Asset(f"p06://{contract.source}", extra={"vi": contract.title_vi, "en": contract.title_en})


def monthly(contract: Contract) -> CronPartitionTimetable:
    """The contract's own cadence: when it strikes, the month before is loaded."""
    return CronPartitionTimetable(contract.schedule, timezone="UTC", run_offset=-1, key_format="%Y-%m")


def on_any_acceptance(contracts: Iterable[Contract]) -> PartitionedAssetTimetable:
    """Whenever any source accepts an extract of a period, or the sweep names the period."""
    any_of_them = reduce(or_, [asset(contract) for contract in contracts], SWEEP)
    return PartitionedAssetTimetable(assets=any_of_them, default_partition_mapper=IdentityMapper())


def on_a_question() -> PartitionedAssetTimetable:
    """Whenever a build of a period waits for an approval."""
    return PartitionedAssetTimetable(assets=QUESTION, default_partition_mapper=IdentityMapper())


def now_and_then() -> str:
    """The pace of the watch: every quarter of an hour, unless ``P06_WATCH_EVERY`` (cron) says otherwise."""
    return os.environ.get("P06_WATCH_EVERY", "*/15 * * * *")


def retried(owner: str, retries: int = 2) -> dict[str, Any]:
    """Default arguments of the tasks: who answers for them, and how often they try again."""
    return {
        "owner": owner,
        "retries": retries,
        "retry_delay": timedelta(seconds=15),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=5),
        "on_failure_callback": [TaskFailed()],
    }
