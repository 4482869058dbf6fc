"""Airflow's notifier over the outbox: a task that failed for good is noted like any other event."""

from __future__ import annotations

import re
from typing import Any

from airflow.sdk import BaseNotifier

_CODE = re.compile(r"P06-[A-Z]+(?:-[0-9]{3})?")


class TaskFailed(BaseNotifier):
    """For ``on_failure_callback``: notes which task of which run failed and the code it failed with.

    A gate that blocked and a delivery refused are left out: their own alerts say more.
    """

    def notify(self, context: Any) -> None:
        """Note the failure; the watch sends it."""
        from p06 import alert, contract, database
        from p06.airflow.run import AlreadyTold
        from p06.errors import UsageError
        from p06.period import Period

        error, run, task = context.get("exception"), context["dag_run"], context["ti"]
        if isinstance(error, AlreadyTold):
            return
        try:
            period = Period.parse(getattr(run, "partition_key", None) or "")
        except UsageError:
            period = None
        code = _CODE.search(str(error or ""))
        source = task.dag_id.removeprefix("load__")
        with database.connect("publisher") as connection:
            alert.note(
                connection,
                "task_failed",
                f"{task.dag_id} {run.run_id} {task.task_id} {task.try_number}",
                source if source in contract.load_all() else None,
                period,
                task=f"{task.dag_id}.{task.task_id}",
                code=code[0] if code else "P06-INTERNAL",
            )
            connection.commit()
